"""The line that says that images are unlike what a network was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QLabel, QWidget

from widgets.theme import set_colour

if TYPE_CHECKING:
    from widgets.session import Session


class Badge(QLabel):
    """Shows itself while the open images are unlike what the open network was trained on."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session = session
        self.setWordWrap(True)
        set_colour(self, "warning")
        self.setAccessibleName("Warning about the images")
        self.setToolTip("What a network does on images of another kind tells little of what it has learned")
        session.model_changed.connect(self._show)
        session.images_changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        text = self._session.badge
        self.setText(f"{text[:1].upper()}{text[1:]}")
        self.setVisible(bool(text))
