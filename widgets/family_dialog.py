"""Naming a family, ordering its units and giving them angles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QAction, QIcon, QKeySequence, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from widgets.popup import opens
from widgets.project_edit import ProjectEdit
from widgets.session import Session
from widgets.theme import say
from workbench.labels import primary
from workbench.models.layer import Unit
from workbench.owner import known_of
from workbench.project import Project
from workbench.unit_families import Families, Family, angle_in, find_family, in_order_of_angle, put_family

UNIT, LABEL, ANGLE = range(3)
PICTURE = QSize(40, 40)


def edit_family(session: Session, model: str, before: Family | None, after: Family | None) -> None:
    """Add, replace or delete a family, so that it can be taken back; the selection follows its name."""
    old = deepcopy(session.project.families)
    new = deepcopy(old)
    put_family(new, model, before, after)

    def putting(families: Families):
        def change(project: Project) -> None:
            project.families = deepcopy(families)

        return change

    what = "delete" if after is None else "make" if before is None else "change"
    name = (after or before).name if (after or before) is not None else ""
    session.undo_stack.push(ProjectEdit(session, f"{what} the family {name}", putting(new), putting(old)))
    if after is not None and session.layer == after.layer:
        session.select_family(after.layer, after.name)
    elif after is None:
        session.select_together(session.selection)


class FamilyDialog(QDialog):
    """Shows the units in their order, which is changed by dragging, with Alt+Up and Alt+Down, or by angle.

    Parameters
    ----------
    layer, units, angles
        What is shown at first.
    before
        The family that is changed; None for a new one.
    pictures
        Images of units, where there are some.
    """

    def __init__(
        self,
        session: Session,
        layer: str,
        units: Sequence[int],
        angles: Sequence[float | None],
        before: Family | None,
        pictures: Mapping[int, QPixmap],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Change the family" if before is not None else "Make a family")
        self.resize(460, 520)
        self._session, self._layer, self._before = session, layer, before
        self._model = session.model.ref if session.model is not None else ""
        self.name = QLineEdit(before.name if before is not None else "", placeholderText="such as curve detectors")
        self.name.setAccessibleName("Name of the family")
        self.list = QTreeWidget(columnCount=3, rootIsDecorated=False, uniformRowHeights=True)
        self.list.setAccessibleName("Units of the family in their order")
        self.list.setHeaderLabels(["Unit", "Label", "Angle"])
        self.list.setIconSize(PICTURE)
        self.list.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.list.setToolTip("Drag units into their order; a double click on the angle, or F2, changes it")
        self.list.header().setStretchLastSection(False)
        self.list.header().setSectionResizeMode(LABEL, QHeaderView.ResizeMode.Stretch)
        for unit, angle in zip(units, angles, strict=True):
            self.list.addTopLevelItem(self._item(unit, angle, pictures.get(unit)))
        self.list.itemDoubleClicked.connect(lambda item, _column: self.list.editItem(item, ANGLE))
        self.list.itemChanged.connect(self._check)
        self.said = QLabel(wordWrap=True)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        form = QFormLayout()
        form.addRow("Name", self.name)
        form.addRow("Layer", QLabel(layer))
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.list, 1)
        layout.addLayout(self._tools())
        layout.addWidget(self.said)
        layout.addWidget(self.buttons)
        self.name.textChanged.connect(self._check)
        self._check()
        self.name.setFocus()

    def _item(self, unit: int, angle: float | None, picture: QPixmap | None) -> QTreeWidgetItem:
        label = primary(known_of(self._session.project.labels, self._model, self._layer).get(str(Unit(self._layer, unit)), ()))
        item = QTreeWidgetItem([str(unit), label.name if label is not None else "", "" if angle is None else f"{angle:g}°"])
        item.setData(UNIT, Qt.ItemDataRole.UserRole, unit)
        item.setData(ANGLE, Qt.ItemDataRole.UserRole, (item.text(ANGLE), angle))
        item.setFlags((item.flags() | Qt.ItemFlag.ItemIsEditable) & ~Qt.ItemFlag.ItemIsDropEnabled)
        if picture is not None:
            item.setIcon(UNIT, QIcon(picture))
        return item

    def _tools(self) -> QHBoxLayout:
        angles = QMenu(self)
        angles.addAction("From the labels", self.angles_from_labels)
        angles.addAction("Spread over 360°", lambda: self.spread(360))
        angles.addAction("Spread over 180°", lambda: self.spread(180))
        angles.addAction("None", lambda: self._write_angles([None] * self.list.topLevelItemCount()))
        tools = QHBoxLayout()
        opens(self._tool(tools, "Angles", "Give all units angles at once", None), angles)
        self._tool(tools, "Order by angle", "From the smallest to the largest; those without one stay behind", self.order_by_angle)
        self._tool(tools, "Up", "Move the chosen units up (Alt+Up)", lambda: self.move(-1), "Alt+Up")
        self._tool(tools, "Down", "Move the chosen units down (Alt+Down)", lambda: self.move(1), "Alt+Down")
        self._tool(tools, "Remove", "Take the chosen units out of the family (Del)", self.remove_chosen, "Del")
        change = QAction(self.list, shortcut=QKeySequence("F2"), shortcutContext=Qt.ShortcutContext.WidgetShortcut)
        change.triggered.connect(lambda: self.list.currentItem() and self.list.editItem(self.list.currentItem(), ANGLE))
        self.list.addAction(change)
        tools.addStretch(1)
        return tools

    def _tool(self, line: QHBoxLayout, text: str, tip: str, act, shortcut: str = "") -> QPushButton:
        button = QPushButton(text, toolTip=tip, autoDefault=False)
        if act is not None:
            button.clicked.connect(lambda: act())
        if shortcut:
            action = QAction(self.list, shortcut=QKeySequence(shortcut), shortcutContext=Qt.ShortcutContext.WidgetShortcut)
            action.triggered.connect(lambda: act())
            self.list.addAction(action)
        line.addWidget(button)
        return button

    # ------------------------------------------------------------------------------------------------ what stands there

    def _items(self) -> list[QTreeWidgetItem]:
        return [self.list.topLevelItem(row) for row in range(self.list.topLevelItemCount())]

    def units(self) -> list[int]:
        """Return the units in their order."""
        return [item.data(UNIT, Qt.ItemDataRole.UserRole) for item in self._items()]

    def angles(self) -> list[float | None]:
        """Return their angles.

        Raises
        ------
        ValueError
            When one is not a number of degrees.
        """
        found: list[float | None] = []
        for item in self._items():
            shown, value = item.data(ANGLE, Qt.ItemDataRole.UserRole)
            text = item.text(ANGLE)
            if text == shown:  # the whole number, not what is shown of it
                found.append(value)
                continue
            plain = text.replace("°", "").replace(",", ".").replace("−", "-").strip()
            try:
                angle = float(plain) if plain else None
            except ValueError:
                angle = math.nan
            if angle is not None and not math.isfinite(angle):
                raise ValueError(f"The angle of unit {item.text(UNIT)} is not a number of degrees: {text}")
            found.append(angle)
        return found

    def family(self) -> Family:
        """Return the family as it stands there.

        Raises
        ------
        ValueError
            When it cannot be, with the reason.
        """
        if not self.name.text().strip():
            raise ValueError("Give the family a name.")
        if not self._items():
            raise ValueError("A family needs a unit at least.")
        made = Family(self.name.text(), self._layer, self.units(), self.angles())
        other = find_family(self._session.project.families, self._model, self._layer, made.name)
        if other is not None and other != self._before:
            raise ValueError(f"There is a family {other.name} in {self._layer} already.")
        return made

    def _check(self) -> None:
        wrong = ""
        try:
            self.family()
        except ValueError as error:
            wrong = str(error)
        count = self.list.topLevelItemCount()
        say(self.said, wrong or f"{count} units, selected together as {self._layer}:{{{' '.join(self.name.text().split())}}}", bool(wrong))
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(not wrong)

    # ------------------------------------------------------------------------------------------------ what one can do

    def order_by_angle(self) -> None:
        """Put the units in the order of their angles."""
        try:
            order = in_order_of_angle(self.units(), self.angles())
        except ValueError:
            return  # said below the list
        items = [self.list.takeTopLevelItem(0) for _ in range(self.list.topLevelItemCount())]
        self.list.addTopLevelItems([items[place] for place in order])

    def angles_from_labels(self) -> None:
        """Take the angles from labels such as ``curve, 45°``; units whose label has none keep theirs."""
        for item in self._items():
            angle = angle_in(item.text(LABEL))
            if angle is not None:
                self._write_angle(item, angle)

    def spread(self, degrees: float) -> None:
        """Give the units even angles in the order in which they stand."""
        count = self.list.topLevelItemCount()
        self._write_angles([degrees * place / count for place in range(count)])

    def _write_angles(self, angles: Sequence[float | None]) -> None:
        for item, angle in zip(self._items(), angles, strict=True):
            self._write_angle(item, angle)

    def _write_angle(self, item: QTreeWidgetItem, angle: float | None) -> None:
        text = "" if angle is None else f"{angle:g}°"
        item.setData(ANGLE, Qt.ItemDataRole.UserRole, (text, angle))
        item.setText(ANGLE, text)

    def move(self, step: int) -> None:
        """Move the chosen units up (-1) or down (1)."""
        chosen = sorted(self.list.indexOfTopLevelItem(item) for item in self.list.selectedItems())
        current = self.list.currentItem()
        if not chosen or not (chosen[0] + step >= 0 and chosen[-1] + step < self.list.topLevelItemCount()):
            return
        for row in chosen if step < 0 else reversed(chosen):
            item = self.list.takeTopLevelItem(row)
            self.list.insertTopLevelItem(row + step, item)
            item.setSelected(True)
        self.list.setCurrentItem(current, UNIT, self.list.selectionModel().SelectionFlag.NoUpdate)

    def remove_chosen(self) -> None:
        """Take the chosen units out."""
        for item in self.list.selectedItems():
            self.list.takeTopLevelItem(self.list.indexOfTopLevelItem(item))
        self._check()

    def accept(self) -> None:
        """Keep the family and select it."""
        try:
            family = self.family()
        except ValueError:
            return
        edit_family(self._session, self._model, self._before, family)
        super().accept()
