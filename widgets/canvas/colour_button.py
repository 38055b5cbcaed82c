"""A button that shows a colour and lets the user choose another."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QColorDialog, QToolButton, QWidget


class ColourButton(QToolButton):
    """Shows a colour; a click opens the dialog that chooses one."""

    taken = Signal(str)
    """Another colour was chosen, ``#rrggbb``."""

    def __init__(self, parent: QWidget, name: str, tip: str, colour: str = "#000000", text: str = "") -> None:
        super().__init__(parent)
        self.setToolTip(tip)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setIconSize(QSize(18, 18))
        if text:
            self.setText(text)
            self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.clicked.connect(self._choose)
        self.show_colour(colour)

    def show_colour(self, colour: str) -> None:
        """Show a colour without choosing it."""
        self.colour = colour
        picture = QPixmap(36, 36)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        painter.setPen(QColor("#808080"))
        painter.setBrush(QColor(colour))
        painter.drawRect(1, 1, 33, 33)
        painter.end()
        self.setIcon(QIcon(picture))
        self.setAccessibleDescription(colour)

    def _choose(self) -> None:
        dialog = QColorDialog(QColor(self.colour), self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle(self.accessibleName())
        dialog.colorSelected.connect(lambda chosen: self.take(chosen.name()))
        dialog.open()

    def take(self, colour: str) -> None:
        """Show a colour and say that it was chosen."""
        self.show_colour(colour)
        self.taken.emit(colour)
