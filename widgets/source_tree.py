"""The networks that can be opened, as a tree one can search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPoint, QRegularExpression, QSortFilterProxyModel, Qt, Signal
from PySide6.QtGui import QGuiApplication, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QToolButton,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from widgets.file_dialogs import ask_for_file
from widgets.theme import set_icon

if TYPE_CHECKING:
    from workbench.jobs.requests import SourceEntry

REF = Qt.ItemDataRole.UserRole
SEARCHED = Qt.ItemDataRole.UserRole + 1
GROUPS = {"bundled": "Bundled", "timm": "timm", "torchvision": "torchvision", "lucid": "Lucid", "open_clip": "open_clip"}
OWN_FILE, OWN_CODE = "own:file", "own:code"


class SourceTree(QWidget):
    """All networks that can be opened by name, filtered by a wildcard or a part of the name; a full reference opens as typed."""

    chosen = Signal(str)
    """A reference to open."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.field = QLineEdit(
            placeholderText="Find or open: timm:convnext*, resnet, file:PATH …", clearButtonEnabled=True
        )
        self.field.setAccessibleName("Find a network, or type a reference")
        self.field.setToolTip(
            "A part of a name or a wildcard filters the list. A full reference and Enter opens it:\n"
            "timm:resnet18, timm:resnet18?pretrained=false&seed=0, torchvision:googlenet,\n"
            "open_clip:ViT-B-32:TAG, diffusers:PATH_OR_ID?prompt=a cat, transformers:PATH_OR_ID,\n"
            "file:weights.safetensors?architecture=timm:resnet18, python:net.py:make_net"
        )
        self.field.textChanged.connect(self._filter)
        self.field.returnPressed.connect(self._enter)
        browse = QToolButton(toolTip="Open weights or a Python file (Ctrl+Shift+O)")
        browse.setAccessibleName("Open a network file")
        set_icon(browse, "open")
        browse.clicked.connect(lambda: self._ask_for_file("Networks (*.safetensors *.pt *.pth *.py)"))

        self._model = QStandardItemModel(self)
        self._shown = QSortFilterProxyModel(self, recursiveFilteringEnabled=True)
        self._shown.setSourceModel(self._model)
        self._shown.setFilterRole(SEARCHED)
        self.tree = QTreeView(headerHidden=True, uniformRowHeights=True)
        self.tree.setAccessibleName("Networks")
        self.tree.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.tree.setModel(self._shown)
        self.tree.activated.connect(self._activate)
        self.tree.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.tree.customContextMenuRequested.connect(self._open_menu)
        self._said = QLabel(wordWrap=True)
        self._said.hide()
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.field, 1)
        line.addWidget(browse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(line)
        layout.addWidget(self.tree, 1)
        layout.addWidget(self._said)
        self.fill(())

    def fill(self, entries: Sequence[SourceEntry]) -> None:
        """List networks by their groups, and the ways to open one's own."""
        self._model.clear()
        groups: dict[str, QStandardItem] = {}
        for name in (*GROUPS, "own"):
            self._group(groups, name)
        for entry in entries:
            row = item(entry.title, f"Enter or double click opens {entry.ref}")
            row.setData(entry.ref, REF)
            row.setData(entry.ref, SEARCHED)
            self._group(groups, entry.group).appendRow(row)
        for ref, title, tip in (
            (OWN_FILE, "Weights file…", "Open .safetensors, .pt or .pth; nothing in it is run"),
            (OWN_CODE, "Python file…", "Open a network that a function of yours makes; you are asked before it is run"),
        ):
            row = item(title, tip)
            row.setData(ref, REF)
            row.setData(f"{title} {ref} file: python:", SEARCHED)
            groups["own"].appendRow(row)
        for name, group in groups.items():
            count = group.rowCount()
            if "/" not in name and name != "own":
                group.setText(f"{GROUPS.get(name, name)}" + (f"  ({leaves(group):,})" if count else "  (listing…)"))
        self._filter(self.field.text())

    def _group(self, groups: dict[str, QStandardItem], path: str) -> QStandardItem:
        if path not in groups:
            above, _, name = path.rpartition("/")
            title = "Your own" if path == "own" else GROUPS.get(path, name)
            group = item(title, "")
            group.setData("", SEARCHED)
            (self._group(groups, above) if above else self._model).appendRow(group)
            groups[path] = group
        return groups[path]

    def say(self, text: str) -> None:
        """Say something below the list; nothing for an empty text."""
        self._said.setText(text)
        self._said.setVisible(bool(text))

    def _filter(self, text: str) -> None:
        text = text.strip()
        if "*" in text or "[" in text:  # a wildcard means the whole reference, or the whole name after the colon
            options = QRegularExpression.WildcardConversionOption
            wild = QRegularExpression.wildcardToRegularExpression(
                text, options.UnanchoredWildcardConversion | options.NonPathWildcardConversion
            )
            pattern = f"^(?:[^:]*:)?(?:{wild})$"
        else:
            pattern = QRegularExpression.escape(text)
        self._shown.setFilterRegularExpression(
            QRegularExpression(pattern, QRegularExpression.PatternOption.CaseInsensitiveOption)
        )
        if text:
            self.tree.expandAll()
        else:
            self.tree.collapseAll()
            for row in range(self._shown.rowCount()):
                index = self._shown.index(row, 0)
                if self._shown.rowCount(index) <= 8:
                    self.tree.expand(index)
        if not text or self._shown.rowCount():
            self.say("")
        elif ":" in text and "*" not in text:
            self.say("No network of that name is listed; Enter opens it as a reference.")
        else:
            self.say("No network of that name is listed.")

    def _enter(self) -> None:
        text = self.field.text().strip()
        if not text:
            return
        found = self._references()
        if len(found) == 1:
            self.chosen.emit(found[0])
        elif ":" in text and "*" not in text:
            self.chosen.emit(text)
        elif f"timm:{text}" in found:
            self.chosen.emit(f"timm:{text}")
        else:
            self.tree.setFocus(Qt.FocusReason.OtherFocusReason)
            self.say(f"{len(found):,} networks fit; choose one.")

    def _references(self, parent: QModelIndex | None = None) -> list[str]:
        parent = parent if parent is not None else QModelIndex()
        found = []
        for row in range(self._shown.rowCount(parent)):
            index = self._shown.index(row, 0, parent)
            ref = index.data(REF)
            found += [ref] if ref and not ref.startswith("own:") else self._references(index)
        return found

    def _activate(self, index: QModelIndex) -> None:
        ref = index.data(REF)
        if ref == OWN_FILE:
            self._ask_for_file("Weights (*.safetensors *.pt *.pth);;All files (*)")
        elif ref == OWN_CODE:
            self._ask_for_file("Python files (*.py)")
        elif ref:
            self.chosen.emit(ref)

    def _open_menu(self, place: QPoint) -> None:
        ref = self.tree.indexAt(place).data(REF)
        if not ref or ref.startswith("own:"):
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Open", lambda: self.chosen.emit(ref))
        if not ref.startswith("bundled:"):
            menu.addAction("Open with random weights", lambda: self.chosen.emit(f"{ref}?pretrained=false&seed=0"))
        menu.addAction("Copy reference", lambda: QGuiApplication.clipboard().setText(ref))
        menu.popup(self.tree.viewport().mapToGlobal(place))

    def _ask_for_file(self, patterns: str) -> None:
        def take(path: str) -> None:
            self.chosen.emit(f"{'python' if path.endswith('.py') else 'file'}:{path}")

        ask_for_file(self, "Open a network", patterns, take)


def leaves(group: QStandardItem) -> int:
    """Count the networks of a group and of the groups in it."""
    return sum(leaves(child) if (child := group.child(row)).hasChildren() else 1 for row in range(group.rowCount()))


def item(text: str, tip: str) -> QStandardItem:
    """Make an entry that can be chosen, not edited."""
    made = QStandardItem(text)
    made.setEditable(False)
    made.setToolTip(tip)
    return made
