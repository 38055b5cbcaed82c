"""The command palette: type a part of a command's name, press Enter."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent, QKeySequence, QPalette
from PySide6.QtWidgets import QFrame, QLabel, QLineEdit, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from widgets.commands import Command, Registry

_WALK = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)


class CommandPalette(QFrame):
    """A list of all commands over the middle of the window, filtered while one types.

    Up and Down choose, Enter runs, Escape closes and gives the keyboard back to where it was.
    """

    def __init__(self, registry: Registry, window: QWidget) -> None:
        super().__init__(window)
        self._registry = registry
        self._before: QWidget | None = None
        self.setObjectName("command_palette")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.Window)
        self.field = QLineEdit(
            placeholderText="Type a part of a command's name, such as “exp” or “opim”", clearButtonEnabled=True
        )
        self.field.setAccessibleName("Command")
        self.field.textChanged.connect(self._search)
        self.field.returnPressed.connect(self.run_current)
        self.field.installEventFilter(self)
        self.list = QTreeWidget(columnCount=3, headerHidden=True, rootIsDecorated=False, uniformRowHeights=True)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setAlternatingRowColors(True)
        self.list.itemClicked.connect(self.run_current)
        self.list.currentItemChanged.connect(self._describe)
        self.about = QLabel(wordWrap=True)
        self.about.setContentsMargins(4, 0, 4, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.field)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.about)
        self.hide()
        window.installEventFilter(self)

    def open(self) -> None:
        """Show it with an empty field and take the keyboard."""
        self._before = self.window().focusWidget()
        self.field.clear()
        self._search("")
        self._place()
        self.show()
        self.raise_()
        self.field.setFocus(Qt.FocusReason.PopupFocusReason)

    def close_palette(self) -> None:
        """Hide it and give the keyboard back."""
        if self.isHidden():
            return
        self.hide()
        if self._before is not None:
            self._before.setFocus(Qt.FocusReason.PopupFocusReason)
        self._before = None

    def run_current(self) -> None:
        """Close, then run the chosen command."""
        command = self.current()
        if command is None or not command.is_enabled():
            return
        self.close_palette()
        command.run()

    def current(self) -> Command | None:
        """Return the chosen command."""
        item = self.list.currentItem()
        return item.data(0, Qt.ItemDataRole.UserRole) if item is not None else None

    def _place(self) -> None:
        window = self.window().rect()
        width, height = min(720, window.width() - 40), min(440, window.height() - 80)
        self.setGeometry((window.width() - width) // 2, min(70, window.height() // 10), width, height)
        self.list.setColumnWidth(0, width - 300)
        self.list.setColumnWidth(1, 120)

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

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Send the walking keys of the field to the list, close on Escape and when the keyboard goes elsewhere."""
        if watched is self.field and event.type() == QEvent.Type.KeyPress:
            assert isinstance(event, QKeyEvent)
            if event.key() == Qt.Key.Key_Escape:
                self.close_palette()
                return True
            if event.key() in _WALK:
                self._walk(event.key())
                return True
        elif watched is self.field and event.type() == QEvent.Type.FocusOut and self.window().isActiveWindow():
            self.hide()
        elif watched is self.window() and event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return False

    def _walk(self, key: int) -> None:
        count = self.list.topLevelItemCount()
        if not count:
            return
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1, Qt.Key.Key_PageUp: -10, Qt.Key.Key_PageDown: 10}[Qt.Key(key)]
        at = self.list.indexOfTopLevelItem(self.list.currentItem()) + step
        at = at % count if abs(step) == 1 else max(0, min(at, count - 1))
        self.list.setCurrentItem(self.list.topLevelItem(at))
