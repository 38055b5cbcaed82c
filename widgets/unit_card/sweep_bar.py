"""Offers to show all images to the network, and says how far that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QToolButton, QVBoxLayout, QWidget

from widgets.theme import say, set_icon
from workbench.amounts import rough_duration

if TYPE_CHECKING:
    from workbench.jobs.job import JobEvent


class SweepBar(QWidget):
    """A text with a button, or a text with a progress bar."""

    start = Signal()
    stop = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.text = QLabel(self)
        self.text.setWordWrap(True)
        self.button = QPushButton(self)
        self.button.setAccessibleName("Sweep")
        self.button.setToolTip("Show the images to the layer; it can be stopped, and goes on where it stopped")
        self.button.clicked.connect(self.start)
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.cancel = QToolButton(self)
        set_icon(self.cancel, "cancel")
        self.cancel.setAutoRaise(True)
        self.cancel.setToolTip("Stop the sweep; it goes on where it stopped when it is started again")
        self.cancel.setAccessibleName("Stop the sweep")
        self.cancel.clicked.connect(self.stop)
        line = QHBoxLayout()
        line.addWidget(self.bar, 1)
        line.addWidget(self.cancel)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(8, 4, 8, 4)
        whole.addWidget(self.text)
        whole.addWidget(self.button, 0, Qt.AlignmentFlag.AlignLeft)
        whole.addLayout(line)

    def offer(self, text: str, action: str) -> None:
        """Show the button."""
        self._say(text, button=action)

    def warn(self, text: str, action: str) -> None:
        """Say what went wrong, and show the button."""
        self._say(text, button=action, wrong=True)

    def follow(self, event: JobEvent) -> None:
        """Say how far the sweep is."""
        seen = (
            f"{int(event.done):,} of {int(event.total):,} images"
            if event.total
            else event.note or "waiting for its turn"
        )
        rate = f"{event.rate:.0f} images/s" if event.rate else ""
        left = f"{rough_duration(event.seconds_left)} left" if event.seconds_left is not None else ""
        self._say("Sweep: " + " · ".join(part for part in (seen, rate, left) if part), busy=True)
        self.bar.setRange(0, int(event.total) or 1)
        self.bar.setValue(int(event.done))

    def _say(self, text: str, button: str = "", busy: bool = False, wrong: bool = False) -> None:
        say(self.text, text, wrong)
        self.button.setText(button)
        self.button.setVisible(bool(button))
        self.bar.setVisible(busy)
        self.cancel.setVisible(busy)
        self.setVisible(True)
