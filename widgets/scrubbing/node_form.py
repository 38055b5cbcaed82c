"""The fields of one node of a hypothesis; what cannot be is said below them, and the hypothesis stays as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QLineEdit, QWidget

from widgets.buttons import push_button
from widgets.project_edit import UndoKeys
from widgets.theme import say
from workbench.hypothesis import Node, offsets_in, offsets_text
from workbench.input_error import InputError

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent

    from widgets.session import Session

LIVE = 250
"""Milliseconds after the last key before a feature that is typed is tried."""
MANY = 12
"""Values of a column from which bins are offered."""


class NodeForm(QWidget):
    """Name, units, feature and cells of the node that is chosen."""

    edited = Signal(str, object)
    """Name of the node, and what takes its place, once a field is complete."""
    tried = Signal(object)
    """The node as it would be with the feature that is being typed."""
    selection_wanted = Signal()
    """Take the selected units in place of the node's."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._node: Node | None = None
        self._is_root = False
        self.name = self._field("Name of the node", "What the node is called; each has a name of its own")
        self.units = self._field("Units of the node", "A layer and the numbers of its units: conv2d1:3, or conv2d1:3,4,12 taken as one")
        self.take = push_button(self, "Selected", "Take the units that are selected in the window", self.selection_wanted.emit)
        self.feature = QComboBox(self, editable=True)
        self.feature.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.feature.setMinimumContentsLength(14)
        self.feature.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.feature.setAccessibleName("Feature of the node")
        self.feature.setToolTip(
            "What the units are claimed to compute. Two images agree where it is the same:\n"
            "all – nothing is claimed; itself – everything is\n"
            "orientation – the values of a column;  orientation / 8 – in 8 even bins\n"
            "activation / 5 – what the units do, in 5 bins of as many images each\n"
            "= floor(orientation / 15) + 100 * (radius > 0.3) – an expression of columns"
        )
        self.feature.activated.connect(lambda _index: self._commit())
        self.feature.lineEdit().editingFinished.connect(self._commit)
        self.offsets = self._field(
            "Cells of the node",
            "Rows down and columns to the right of where its parent looks, such as 0 -1; 2 3; empty for whole maps",
        )
        self.offsets.setPlaceholderText("whole maps")
        self.said = QLabel(self, wordWrap=True)
        self._wait = QTimer(self, singleShot=True, interval=LIVE)
        self._wait.timeout.connect(self._try)
        self.feature.lineEdit().textEdited.connect(lambda _text: self._wait.start())
        UndoKeys(session, self.name, self.units, self.offsets, self.feature.lineEdit(), own_first=True)
        form = QFormLayout(self)
        form.setContentsMargins(6, 4, 6, 4)
        form.setVerticalSpacing(3)
        line = QHBoxLayout()
        line.addWidget(self.units, 1)
        line.addWidget(self.take)
        form.addRow("Name", self.name)
        form.addRow("Units", line)
        form.addRow("Feature", self.feature)
        form.addRow("Cells", self.offsets)
        form.addRow(self.said)
        self.show_node(None, is_root=False)

    def _field(self, name: str, tip: str) -> QLineEdit:
        field = QLineEdit(self)
        field.setAccessibleName(name)
        field.setToolTip(tip)
        field.editingFinished.connect(self._commit)
        return field

    def show_columns(self, columns: Mapping[str, int]) -> None:
        """Offer the columns of the open images, by name with the number of their values."""
        text = self.feature.currentText()
        self.feature.blockSignals(True)
        self.feature.clear()
        for name, values in columns.items():
            if values > 1:
                self.feature.addItem(name)
                if values > MANY:
                    self.feature.addItem(f"{name} / 8")
        for name in ("activation / 2", "activation / 5", "itself", "all"):
            self.feature.addItem(name)
        self.feature.setEditText(text)
        self.feature.blockSignals(False)

    def show_node(self, node: Node | None, *, is_root: bool) -> None:
        """Show a node; of the root, which is what is explained, there is no feature and no offset."""
        same = node is not None and self._node is not None and node.name == self._node.name
        self._node, self._is_root = node, is_root
        self._wait.stop()
        self.setEnabled(node is not None)
        texts = ("", "", "", "") if node is None else (node.name, node.units, node.feature, offsets_text(node.offsets))
        for field, text in zip((self.name, self.units, self.feature.lineEdit(), self.offsets), texts, strict=True):
            if field.text() != text:
                field.setText(text)
        for field in (self.feature, self.offsets):
            field.setEnabled(node is not None and not is_root)
        if not same:
            self.say("")

    def say(self, text: str, wrong: bool = False) -> None:
        """Say something of the node."""
        say(self.said, text, wrong)
        self._make_room()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep room for what is said, which may take more lines now."""
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        """Let the form be as high as all lines of what is said: a splitter would else cut them off."""
        margins = self.layout().contentsMargins()
        self.said.setMinimumHeight(max(0, self.said.heightForWidth(self.width() - margins.left() - margins.right())))

    def _changed(self) -> Node:
        """Return the node as the fields say it is."""
        assert self._node is not None
        units = "".join(self.units.text().split()) if "," in self.units.text() else self.units.text().strip()
        name = " ".join(self.name.text().split())
        feature = self._node.feature if self._is_root else self.feature.currentText().strip()
        offsets = self._node.offsets if self._is_root else offsets_in(self.offsets.text())
        return replace(self._node, name=name, units=units, feature=feature, offsets=offsets)

    def _commit(self) -> None:
        self._wait.stop()
        if self._node is None:
            return
        try:
            after = self._changed()
        except InputError as error:
            self.say(str(error), wrong=True)
            return
        if after != self._node:
            self.edited.emit(self._node.name, after)

    def _try(self) -> None:
        """Have the feature counted that is being typed."""
        if self._node is None or not self.feature.currentText().strip():
            return
        try:
            self.tried.emit(self._changed())
        except InputError as error:
            self.say(str(error), wrong=True)
