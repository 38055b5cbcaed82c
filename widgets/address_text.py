"""A text to write in, in which addresses of the workbench are links."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPoint, Qt, Signal
from PySide6.QtGui import (
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPalette,
    QSyntaxHighlighter,
    QTextCharFormat,
    QTextDocument,
)
from PySide6.QtWidgets import QPlainTextEdit, QToolTip, QWidget

from workbench.address import addresses_in


class AddressText(QPlainTextEdit):
    """Underlines addresses; Ctrl+click on one, or Ctrl+Enter in it, follows it."""

    followed = Signal(str)
    """The address that is to be gone to."""

    def __init__(self, parent: QWidget | None = None, **properties: object) -> None:
        super().__init__(parent, **properties)
        self._links = Links(self.document(), self.palette())
        self.viewport().setMouseTracking(True)

    def address_at(self, place: QPoint) -> str:
        """Return the address at a place of the viewport, empty for none."""
        cursor = self.cursorForPosition(place)
        # The cursor is the nearest one, also of a place far behind the line.
        if abs(self.cursorRect(cursor).center().x() - place.x()) > self.fontMetrics().averageCharWidth() * 2:
            return ""
        return self._address_in(cursor.block().text(), cursor.positionInBlock())

    @staticmethod
    def _address_in(line: str, position: int) -> str:
        found = (address for start, address in addresses_in(line) if start <= position <= start + len(address))
        return next(found, "")

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show by the cursor what can be followed."""
        super().mouseMoveEvent(event)
        follows = event.modifiers() & Qt.KeyboardModifier.ControlModifier and self.address_at(event.position().toPoint())
        self.viewport().setCursor(Qt.CursorShape.PointingHandCursor if follows else Qt.CursorShape.IBeamCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Follow an address with Ctrl held down."""
        super().mouseReleaseEvent(event)
        left, held = event.button() == Qt.MouseButton.LeftButton, event.modifiers() & Qt.KeyboardModifier.ControlModifier
        if left and held and (address := self.address_at(event.position().toPoint())):
            self.followed.emit(address)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Follow the address that the cursor is in with Ctrl+Enter."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            cursor = self.textCursor()
            if address := self._address_in(cursor.block().text(), cursor.positionInBlock()):
                self.followed.emit(address)
                return
        super().keyPressEvent(event)

    def viewportEvent(self, event: QEvent) -> bool:
        """Say how an address is followed."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            address = self.address_at(event.pos())
            QToolTip.showText(event.globalPos(), f"Ctrl+click (or Ctrl+Enter) goes to {address}" if address else self.toolTip(), self)
            return True
        return super().viewportEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Draw the links in the new colours when they change."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_links"):
            self._links.ink(self.palette())


class Links(QSyntaxHighlighter):
    """Draws addresses as links."""

    def __init__(self, document: QTextDocument, palette: QPalette) -> None:
        super().__init__(document)
        self._format = QTextCharFormat()
        self._format.setFontUnderline(True)
        self.ink(palette)

    def ink(self, palette: QPalette) -> None:
        """Take the colour of links from a palette."""
        self._format.setForeground(palette.color(QPalette.ColorRole.Link))
        self.rehighlight()

    def highlightBlock(self, text: str) -> None:
        """Format the addresses of one paragraph."""
        for start, address in addresses_in(text):
            self.setFormat(utf16(text[:start]), utf16(address), self._format)


def utf16(text: str) -> int:
    """Count the units that Qt counts a text in: two for a character beyond the first 65,536."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
