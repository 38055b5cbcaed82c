"""Errors and remarks in a bar above the panels: they interrupt nothing, can be copied with their details, and wait to be closed."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from widgets.session import Message
from widgets.theme import icon, set_icon, signal_colour

KEPT = 20
"""How many messages wait at most; older ones are dropped from the bar, never the newest."""


class MessageBar(QWidget):
    """Shows the newest `Message`; closing it shows the one before."""

    filled = Signal(bool)
    """There is something to read, or not any more."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("message_bar")
        self.setAccessibleName("Messages")
        self._messages: list[Message] = []
        self._picture = QLabel()
        self._text = QLabel(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self._text.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self._text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._count = QLabel()
        self._more = self._button("Details", "Show what happened in full", "", self._toggle_details)
        self._more.setCheckable(True)
        self._copy = self._button("Copy", "Copy the message and its details", "copy", self.copy)
        self._close = self._button("", "Close this message (Ctrl+Shift+X)", "close", self.dismiss)
        self._close.setAccessibleName("Close message")
        self._details = QPlainTextEdit(readOnly=True)
        self._details.setMaximumHeight(170)
        self._details.setAccessibleName("Details of the message")
        self._details.hide()

        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self._picture)
        line.addWidget(self._text, 1)
        for widget in (self._count, self._more, self._copy, self._close):
            line.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 2, 6, 2)
        layout.addLayout(line)
        layout.addWidget(self._details)

    def _button(self, text: str, tip: str, picture: str, run) -> QToolButton:
        button = QToolButton(text=text, toolTip=tip, autoRaise=True)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        if picture:
            set_icon(button, picture)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.clicked.connect(run)
        return button

    @property
    def messages(self) -> list[Message]:
        """What waits to be read, the newest last."""
        return list(self._messages)

    def show_message(self, message: Message) -> None:
        """Show a message in front of those that are there; one that is shown already moves to the front."""
        self._messages = [*[m for m in self._messages if m != message][-(KEPT - 1) :], message]
        self._refresh()

    def dismiss(self) -> None:
        """Close the message in front."""
        if self._messages:
            self._messages.pop()
        self._refresh()

    def copy(self) -> None:
        """Copy the message in front with its details to the clipboard."""
        if self._messages:
            message = self._messages[-1]
            QGuiApplication.clipboard().setText("\n\n".join(part for part in (message.text, message.details) if part))

    def _toggle_details(self) -> None:
        self._details.setVisible(self._more.isChecked())

    def _refresh(self) -> None:
        self.filled.emit(bool(self._messages))
        if not self._messages:
            return
        message = self._messages[-1]
        self._show_picture()
        self._text.setText(message.text)
        self._text.setAccessibleName(f"{message.level}: {message.text}")
        self._more.setChecked(False)
        self._more.setVisible(bool(message.details))
        self._details.setPlainText(message.details)
        self._details.hide()
        self._count.setText(f"{len(self._messages)} messages" if len(self._messages) > 1 else "")
        self.update()

    def changeEvent(self, event: QEvent) -> None:
        """Draw the icon again in the new colour."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._messages:
            self._show_picture()

    def _show_picture(self) -> None:
        name = "error" if self._messages[-1].level == "error" else "info"
        self._picture.setPixmap(icon(name).pixmap(QSize(20, 20), self.devicePixelRatio()))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint a tint of the message's meaning and a stripe at its left."""
        if not self._messages:
            return
        colour = signal_colour(self._messages[-1].level, self.palette())
        painter = QPainter(self)
        painter.fillRect(0, 0, 4, self.height(), colour)
        colour.setAlphaF(0.13)
        painter.fillRect(self.rect(), colour)
