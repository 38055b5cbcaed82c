"""One line of text that is shortened where there is no room, with all of it in the tooltip."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget


class ElidedLabel(QLabel):
    """Shows as much of `full_text` as fits; asks for no more width than a few letters."""

    def __init__(
        self,
        text: str = "",
        parent: QWidget | None = None,
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
    ) -> None:
        super().__init__(parent)
        self.full_text = ""
        self._mode = mode
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.show_text(text)

    def show_text(self, text: str, tip: str = "") -> None:
        """Show another text; `tip` says more than the text itself in the tooltip."""
        self.full_text = text
        self.setToolTip(tip or text)
        self.setAccessibleName(text)
        self._elide()

    def setText(self, text: str) -> None:
        """Show another text, as any label does."""
        self.show_text(text)

    def clear(self) -> None:
        """Show nothing."""
        self.show_text("")

    def minimumSizeHint(self) -> QSize:
        """Ask for one line."""
        return QSize(self.fontMetrics().horizontalAdvance("x") * 8, self.fontMetrics().lineSpacing() + 2)

    def sizeHint(self) -> QSize:
        """Ask for no more: how long the text is must not move what is around it."""
        return self.minimumSizeHint()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show as much as fits now."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        super().setText(self.fontMetrics().elidedText(self.full_text, self._mode, self.contentsRect().width()))
