"""The layers of a network as a tree, by their dotted names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from PySide6.QtCore import QModelIndex, QRegularExpression, QSortFilterProxyModel, Qt
from PySide6.QtGui import QAction, QGuiApplication, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from widgets.session import Session
from workbench.models.layer import Layer

REF = Qt.ItemDataRole.UserRole
SEARCHED = Qt.ItemDataRole.UserRole + 1
PART = Qt.ItemDataRole.UserRole + 2
WIDTHS = (146, 46, 90, 38)
"""Of the columns in pixels; the last one takes the rest."""


class LayerTree(QWidget):
    """The layers by their dotted names; selecting one selects it in the session."""

    HEADINGS: ClassVar = (
        ("Layer", "Name of the layer, as the library names its modules"),
        ("Units", "Number of units: channels, neurons, heads or token features"),
        ("Shape", "Shape of one example: units, y and x of a feature map; tokens and units of a sequence"),
        ("Act.", "pre: it feeds a non-linearity. post: it is the output of one"),
        ("Kind", "The operation that makes it"),
    )

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._rows: dict[str, QStandardItem] = {}
        self.field = QLineEdit(placeholderText="Filter layers by name, kind, pre or post", clearButtonEnabled=True)
        self.field.setAccessibleName("Filter layers")
        self.field.textChanged.connect(self._filter)
        self._model = QStandardItemModel(self)
        self._shown = QSortFilterProxyModel(self, recursiveFilteringEnabled=True)
        self._shown.setAutoAcceptChildRows(False)
        self._shown.setSourceModel(self._model)
        self._shown.setFilterRole(SEARCHED)
        self._shown.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.tree = QTreeView(uniformRowHeights=True, alternatingRowColors=True, allColumnsShowFocus=True)
        self.tree.setAccessibleName("Layers")
        self.tree.setIndentation(13)
        self.tree.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.tree.setModel(self._shown)
        self.tree.selectionModel().currentChanged.connect(self._choose)
        copy = QAction("Copy name", self.tree, shortcut="Ctrl+C")
        copy.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        copy.triggered.connect(self._copy)
        self.tree.addAction(copy)
        self.tree.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.count = QLabel()
        line = QHBoxLayout()
        line.addWidget(self.field, 1)
        line.addWidget(self.count)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(line)
        layout.addWidget(self.tree, 1)
        session.layer_changed.connect(self._show_selected)

    def show_layers(self, layers: Sequence[Layer]) -> None:
        """List the layers of a network."""
        self.tree.selectionModel().blockSignals(True)
        self._model.clear()
        self._rows.clear()
        self._model.setHorizontalHeaderLabels([name for name, _ in self.HEADINGS])
        for column, (_, tip) in enumerate(self.HEADINGS):
            self._model.setHeaderData(column, Qt.Orientation.Horizontal, tip, Qt.ItemDataRole.ToolTipRole)
        self.tree.selectionModel().blockSignals(False)
        for layer in layers:
            self._add(layer)
        header = self.tree.header()
        header.setMinimumSectionSize(34)
        for column, width in enumerate(WIDTHS):
            header.resizeSection(column, width)
        self.count.setText(f"{len(layers)} layer{'s' * (len(layers) != 1)}" if layers else "")
        self.field.setEnabled(bool(layers))
        self._filter(self.field.text())
        self._show_selected(self._session.layer)

    def _add(self, layer: Layer) -> None:
        parts = path_of(layer.name)
        row = self._row(parts)
        above = row.parent()
        role = {"pre": "pre", "post": "post", "": ""}[layer.role]
        searched = f"{layer.name} {layer.kind} {role} {' '.join(layer.aliases)}"
        tip = f"{layer.name}\n{layer.kind}, {layer.units:,} units, shape {shape_of(layer)}"
        tip += {"pre": "\npre-activation", "post": "\npost-activation", "": ""}[layer.role]
        tip += f"\nalso called {', '.join(layer.aliases)}" if layer.aliases else ""
        row.setData(layer.name, REF)
        row.setData(searched, SEARCHED)
        row.setToolTip(tip)
        for column, text in ((1, f"{layer.units:,}"), (2, shape_of(layer)), (3, role), (4, layer.kind)):
            cell = item(text, tip)
            if column in (1, 2):
                cell.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            if above is None:
                self._model.setItem(row.row(), column, cell)
            else:
                above.setChild(row.row(), column, cell)
        self._rows[layer.name] = row

    def _row(self, parts: tuple[str, ...]) -> QStandardItem:
        # Never by `invisibleRootItem`: Python's object for an item that Qt made outlives it, and is then taken for whatever
        # Qt makes next at the same address.
        above = self._row(parts[:-1]) if len(parts) > 1 else None
        count, at = (self._model.rowCount(), self._model.item) if above is None else (above.rowCount(), above.child)
        for place in range(count - 1, -1, -1):
            if at(place).data(PART) == parts[-1]:
                return at(place)
        row = item(parts[-1], "")
        row.setData(parts[-1], PART)
        (self._model if above is None else above).appendRow(row)
        return row

    def _filter(self, text: str) -> None:
        pattern = ".*".join(QRegularExpression.escape(part) for part in text.split("*"))
        self._shown.setFilterRegularExpression(
            QRegularExpression(pattern, QRegularExpression.PatternOption.CaseInsensitiveOption)
        )
        if text:
            self.tree.expandAll()
        else:
            self.tree.collapseAll()
            self.tree.expandToDepth(0)
            self._show_selected(self._session.layer)

    def _choose(self, index: QModelIndex) -> None:
        name = index.siblingAtColumn(0).data(REF)
        if name and name in self._session.layers:
            self._session.select_layer(name)

    def _show_selected(self, name: str) -> None:
        row = self._rows.get(name)
        if row is None:
            return
        index = self._shown.mapFromSource(row.index())
        if index.isValid() and self.tree.currentIndex().siblingAtColumn(0) != index:
            self.tree.setCurrentIndex(index)
            self.tree.scrollTo(index, QAbstractItemView.ScrollHint.EnsureVisible)

    def _copy(self) -> None:
        name = self.tree.currentIndex().siblingAtColumn(0).data(REF)
        if name:
            QGuiApplication.clipboard().setText(name)


def path_of(name: str) -> tuple[str, ...]:
    """Split a layer's name into the levels of the tree: ``blocks.3:add`` -> ``blocks``, ``3``, ``:add``."""
    path, colon, operation = name.partition(":")
    return (*path.split("."), *((f":{operation}",) if colon else ()))


def shape_of(layer: Layer) -> str:
    """Write the shape of one example, units first for feature maps: ``40×28×28``."""
    return "×".join(str(size) for size in layer.shape) or "1"


def item(text: str, tip: str) -> QStandardItem:
    """Make an entry that can be chosen, not edited."""
    made = QStandardItem(text)
    made.setEditable(False)
    made.setToolTip(tip)
    return made
