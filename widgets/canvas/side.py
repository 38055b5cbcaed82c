"""One of the two canvases with its heading: where its drawing begins, and the colour it stands on."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QToolButton, QVBoxLayout, QWidget

from widgets.canvas.colour_button import ColourButton
from widgets.canvas.hand import Hand
from widgets.canvas.ink_supply import InkSupply
from widgets.popup import opens
from widgets.views.paint_canvas import PaintCanvas

STARTS = {
    "blank": ("Blank", "Begin with nothing"),
    "shown": ("The image in the inspector", "Stand on the image that was dropped, pasted or clicked"),
    "random": ("A random image of the set", "Stand on some image of the open set"),
    "numbered": ("Image of the set by number …", "Stand on one image of the open set"),
    "file": ("Image file …", "Stand on an image of your own; it can be dropped and pasted, too"),
}


class Side(QWidget):
    """A canvas and its heading."""

    started = Signal(str)
    """One of `STARTS` was chosen."""

    def __init__(self, name: str, hand: Hand, ink: InkSupply, hint: str, offered: Callable[[str], str], parent: QWidget) -> None:
        super().__init__(parent)
        self.name = name
        self._offered = offered
        self.canvas = PaintCanvas(hand, ink, name.capitalize(), self)
        self.canvas.hint = hint
        self.start = QToolButton(self, text="Start from")
        self.start.setToolTip(f"What the {name} drawing stands on: nothing, an image of the set, an image of yours")
        self.start.setAccessibleName(f"Start the {name} drawing from")
        self.start.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.starts = menu = QMenu(self.start)
        menu.setToolTipsVisible(True)
        for kind, (title, tip) in STARTS.items():
            action = menu.addAction(title, lambda kind=kind: self.started.emit(kind))
            action.setData((kind, tip))
        menu.aboutToShow.connect(self._offer)
        opens(self.start, menu)
        tip = "Colour of the ground: shown where nothing is drawn, and where a picture is transparent"
        self.ground = ColourButton(self, f"Ground of the {name} drawing", tip, "#ffffff", "Ground")
        title = QLabel(f"<b>{name.capitalize()}</b>", self)
        line = QHBoxLayout()
        line.setContentsMargins(2, 0, 2, 0)
        line.addWidget(title)
        line.addStretch(1)
        line.addWidget(self.ground)
        line.addWidget(self.start)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addLayout(line)
        whole.addWidget(self.canvas, 1)

    def _offer(self) -> None:
        """Switch off what there is not, and say why."""
        for action in self.starts.actions():
            kind, tip = action.data()
            missing = self._offered(kind)
            action.setEnabled(not missing)
            action.setToolTip(missing or tip)
