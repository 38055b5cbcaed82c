"""The command palette: type a part of a command's name, press Enter."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent, QKeySequence, QPalette
from PySide6.QtWidgets import QLabel, QTreeWidget, QTreeWidgetItem, QWidget

from widgets.commands import Command, Registry
from widgets.overlay import Overlay

_WALK = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)


class CommandPalette(Overlay):
    """A list of all commands over the middle of the window, filtered while one types.

    Up and Down choose, Enter runs, Escape closes and gives the keyboard back to where it was.
    """

    def __init__(self, registry: Registry, window: QWidget) -> None:
        super().__init__(window, 720, 440)
        self._registry = registry
        self.setObjectName("command_palette")
        self.field.setPlaceholderText("Type a part of a command's name, such as “exp” or “opim”")
        self.field.setAccessibleName("Command")
        self.field.textChanged.connect(self._search)
        self.field.returnPressed.connect(self.run_current)
        self.list = QTreeWidget(columnCount=3, headerHidden=True, rootIsDecorated=False, uniformRowHeights=True)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setAlternatingRowColors(True)
        self.list.itemClicked.connect(self.run_current)
        self.list.currentItemChanged.connect(self._describe)
        self.about = QLabel(wordWrap=True)
        self.about.setContentsMargins(4, 0, 4, 2)
        self.column.addWidget(self.list, 1)
        self.column.addWidget(self.about)

    def open(self) -> None:
        """Show it with an empty line."""
        self.field.clear()
        self._search("")
        super().open()

    def place(self) -> None:
        """Divide the width among title, menu and shortcut."""
        super().place()
        self.list.setColumnWidth(0, self.width() - 300)
        self.list.setColumnWidth(1, 120)

    def run_current(self) -> None:
        """Close, then run the chosen command."""
        command = self.current()
        if command is None or not command.is_enabled():
            return
        self.close_overlay()
        command.run()

    def current(self) -> Command | None:
        """Return the chosen command."""
        item = self.list.currentItem()
        return item.data(0, Qt.ItemDataRole.UserRole) if item is not None else None

    def _search(self, text: str) -> None:
        found = self._registry.search(text)
        self.list.clear()
        for command in found:
            keys = QKeySequence(command.shortcut).toString(QKeySequence.SequenceFormat.NativeText)
            item = QTreeWidgetItem([command.title, command.menu.replace("/", " › "), keys])
            item.setData(0, Qt.ItemDataRole.UserRole, command)
            item.setToolTip(0, command.help)
            item.setForeground(1, self.palette().placeholderText())
            if not command.is_enabled():
                for column in range(3):
                    item.setForeground(
                        column, self.palette().brush(QPalette.ColorGroup.Disabled, QPalette.ColorRole.Text)
                    )
            self.list.addTopLevelItem(item)
        if found:
            self.list.setCurrentItem(self.list.topLevelItem(0))
            return
        near = self._registry.near_miss(text)
        if near is not None:
            self.about.setText(f"No command is called “{escape(text)}”. Did you mean <b>{escape(near.title)}</b>?")
            item = QTreeWidgetItem([near.title, near.menu, ""])
            item.setData(0, Qt.ItemDataRole.UserRole, near)
            self.list.addTopLevelItem(item)
            self.list.blockSignals(True)  # keep the question in view; Enter answers it with yes
            self.list.setCurrentItem(item)
            self.list.blockSignals(False)
        else:
            self.about.setText(f"No command is called “{escape(text)}”. Help › Manual lists all of them.")

    def _describe(self) -> None:
        command = self.current()
        if command is not None:
            self.about.setText(escape(command.help) + ("" if command.is_enabled() else " <i>Not available now.</i>"))

    def press(self, event: QKeyEvent) -> bool:
        """Send the walking keys to the list."""
        if event.key() in _WALK:
            self._walk(event.key())
            return True
        return super().press(event)

    def _walk(self, key: int) -> None:
        count = self.list.topLevelItemCount()
        if not count:
            return
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1, Qt.Key.Key_PageUp: -10, Qt.Key.Key_PageDown: 10}[Qt.Key(key)]
        at = self.list.indexOfTopLevelItem(self.list.currentItem()) + step
        at = at % count if abs(step) == 1 else max(0, min(at, count - 1))
        self.list.setCurrentItem(self.list.topLevelItem(at))
