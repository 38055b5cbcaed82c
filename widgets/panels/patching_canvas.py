"""Two drawings side by side, clean and corrupt, and while one draws what the network makes of each and which parts carry the difference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QMenu,
    QSplitter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from widgets.badge import Badge
from widgets.canvas.drawing_edit import SIDES, drawing_of, name_of, push_drawings
from widgets.canvas.hand import Hand
from widgets.canvas.ink_supply import InkSupply
from widgets.canvas.object_list import ObjectList
from widgets.canvas.pictures import Pictures, Place, notice
from widgets.canvas.results import Results
from widgets.canvas.side import Side
from widgets.canvas.tool_bar import ToolBar
from widgets.docks import Panel
from widgets.popup import opens
from widgets.sight import in_sight
from widgets.theme import set_icon
from workbench.image_pair import ImagePair
from workbench.images.drawing import Drawing, Ground
from workbench.images.drawn_stimulus import Stimulus
from workbench.images.thing import Thing
from workbench.jobs.picture_requests import DescribeStimuli, Picture
from workbench.kept_image import KeptImage

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.paint_canvas import PaintCanvas
    from widgets.views.view import View
    from workbench.images.stimulus import Parameter
    from workbench.jobs.job import JobEvent

PLAIN = 128, 128
"""Height and width of the canvases while no network is open."""
HINTS = {
    "clean": "Draw here, or drop or paste an image",
    "corrupt": "The same with something changed: copy the clean drawing across (→), or choose Corrupt",
}
CORRUPTIONS = {
    "blur": ("Blur", "A Gaussian whose deviation is a sixteenth of the side at strength 1"),
    "occlusion": ("Occlude", "A square of the mean colour at a random place, half as wide as the image at strength 1"),
    "patch swap": ("Swap a patch", "The middle of another image of the set, half as wide as the image at strength 1"),
    "swap": ("Swap the image", "Another image of the set, of another concept"),
    "hue": ("Shift the hue", "All hues turned by 120° at strength 1"),
}


class PatchingCanvasPanel(Panel):
    """The drawings are the project's; every stroke is one step that can be taken back."""

    id: ClassVar[str] = "patching_canvas"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.hand = Hand()
        self.ink = InkSupply(session, self)
        self.pictures = Pictures(session, self)
        self._announced: ImagePair | None = None
        self._holding = self._held = False
        self._active = "clean"
        self._described: DescribeStimuli | None = None
        self._build()
        self.ink.arrived.connect(self._on_ink)
        self.pictures.arrived.connect(self._take_picture)
        session.model_changed.connect(lambda _card: self._on_network())
        session.project_changed.connect(self._on_other_project)
        session.touched.connect(self._on_project)
        self._on_project()
        self._on_network()

    # ------------------------------------------------------------------------------------------------ what stands where

    def _build(self) -> None:
        self.tools = ToolBar(self.hand, self.session.undo_stack, self)
        self.tools.family_wanted.connect(self._describe_stimuli)
        self.tools.picture.clicked.connect(lambda: self.pictures.ask_for_file(Place(self._active, "stamp")))
        self.sides = {name: Side(name, self.hand, self.ink, HINTS[name], self._missing, self) for name in SIDES}
        for name, side in self.sides.items():
            self._connect(name, side)
        self.objects = ObjectList(self)
        self.objects.chosen.connect(lambda place: self._canvas.select(place))
        self.objects.edited.connect(self._edit_object)
        self.objects.removed.connect(lambda places: self._canvas.remove(places))
        canvases = QWidget(self)
        grid = QGridLayout(canvases)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.addWidget(self.sides["clean"], 0, 0)
        grid.addLayout(self._between(), 0, 1)
        grid.addWidget(self.sides["corrupt"], 0, 2)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(2, 1)
        self.upper = QSplitter(Qt.Orientation.Horizontal, self)
        self.upper.addWidget(canvases)
        self.upper.addWidget(self.objects)
        self.upper.setStretchFactor(0, 1)
        self.upper.setSizes([640, 170])
        self.results = Results(self.session, self)
        self.splitter = QSplitter(Qt.Orientation.Vertical, self)
        self.splitter.addWidget(self.upper)
        self.splitter.addWidget(self.results)
        self.splitter.setSizes([360, 250])
        self.splitter.setStretchFactor(0, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(6, 4, 6, 2)
        whole.setSpacing(3)
        whole.addWidget(self.tools)
        whole.addWidget(Badge(self.session, self))
        whole.addWidget(self.splitter, 1)

    def _connect(self, name: str, side: Side) -> None:
        canvas = side.canvas
        canvas.shown.connect(self._on_shown)
        canvas.finished.connect(lambda drawing, text: self._finish(name, drawing, text))
        canvas.chosen.connect(lambda _place: self._activate(name))
        canvas.picked.connect(self._take_colour)
        canvas.brought.connect(lambda mime: self.pictures.take_mime(mime, self._place(name), "Dropped"))
        canvas.pasted.connect(lambda: self.pictures.take_mime(QGuiApplication.clipboard().mimeData(), self._place(name), "Pasted"))
        canvas.tool_taken.connect(self.tools.take)
        canvas.thickened.connect(self.tools.thicken)
        canvas.picture_wanted.connect(lambda: self.pictures.ask_for_file(Place(name, "stamp")))
        self.tools.changed.connect(canvas.update)
        side.started.connect(lambda kind: self._start(name, kind))
        side.ground.taken.connect(lambda colour: self._set_ground(name, colour))

    def _between(self) -> QVBoxLayout:
        """Make what carries drawings across."""
        column = QVBoxLayout()
        column.setSpacing(4)
        column.addStretch(1)
        self.across: dict[str, QToolButton] = {}
        for name, tip, run in (
            ("copy_right", "Copy the clean drawing across", lambda: self._copy("clean", "corrupt")),
            ("copy_left", "Copy the corrupt drawing across", lambda: self._copy("corrupt", "clean")),
            ("swap", "Let both change places", self._swap),
        ):
            button = QToolButton(self, toolTip=tip)
            button.setAccessibleName(tip)
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            set_icon(button, name)
            button.clicked.connect(run)
            self.across[name] = button
            column.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)
        self.corrupt = QToolButton(self, text="Corrupt")
        self.corrupt.setToolTip("Make the corrupt drawing from the clean one")
        self.corrupt.setAccessibleName("Corrupt the clean drawing")
        self.corrupt.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.corruptions = menu = QMenu(self.corrupt)
        menu.setToolTipsVisible(True)
        self._erase_last = menu.addAction("Erase the last stroke", lambda: self.erase(selected=False))
        self._erase_chosen = menu.addAction("Erase what is selected", lambda: self.erase(selected=True))
        menu.addSeparator()
        for kind, (title, tip) in CORRUPTIONS.items():
            action = menu.addAction(title, lambda kind=kind: self.corrupt_by(kind))
            action.setData(kind)
            action.setToolTip(tip)
        menu.aboutToShow.connect(self._offer_corruptions)
        opens(self.corrupt, menu)
        self.strength = QDoubleSpinBox(self, minimum=0.1, maximum=2.0, singleStep=0.1, value=1.0, decimals=1)
        self.strength.setAccessibleName("Strength")
        self.strength.setToolTip("How wide the blur, how large the patch, how far the hues turn; 1 is usual")
        column.addSpacing(10)
        column.addWidget(self.corrupt, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addWidget(self.strength, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(1)
        return column

    @property
    def _canvas(self) -> PaintCanvas:
        """The canvas whose objects are listed."""
        return self.sides[self._active].canvas

    def _activate(self, name: str) -> None:
        """List the objects of a canvas; on the other one nothing is selected."""
        canvas = self.sides[name].canvas
        if canvas.selected < 0 and name != self._active:
            return
        self._active = name
        for other, side in self.sides.items():
            if other != name and canvas.selected >= 0:
                side.canvas.select(-1)
        self._list_objects()

    def _list_objects(self) -> None:
        self.objects.show_drawing(self._active, self._canvas.drawing, self._canvas.selected)

    # ------------------------------------------------------------------------------------------------ the drawings

    def _on_other_project(self) -> None:
        """Show its drawings; the picture that was stamped is one of the project before."""
        self.hand.picture = ""
        self._on_project()

    def _on_project(self) -> None:
        """Show what the project says now: something was drawn, taken back, or another project opened."""
        project = self.session.project
        with self._both_first():
            for name, side in self.sides.items():
                side.canvas.show_drawing(drawing_of(project, name), project.arrays)
                side.ground.show_colour(side.canvas.drawing.ground.colour)
        self._list_objects()

    def _finish(self, name: str, drawing: Drawing, text: str) -> None:
        if self._active != name:
            self._active = name
            for other, side in self.sides.items():
                if other != name:
                    side.canvas.select(-1)
        push_drawings(self.session, {name: drawing}, text)

    def _edit_object(self, place: int, one: Thing, name: str) -> None:
        drawing = self._canvas.drawing.with_replaced(place, one)
        where = "drawing", self._active, place, name
        push_drawings(self.session, {self._active: drawing}, f"change {name.replace('_', ' ')}", typing=where)

    def _copy(self, source: str, target: str) -> None:
        push_drawings(self.session, {target: self.sides[source].canvas.drawing}, f"copy the {source} drawing")

    def _swap(self) -> None:
        clean, corrupt = (self.sides[name].canvas.drawing for name in SIDES)
        push_drawings(self.session, {"clean": corrupt, "corrupt": clean}, "swap the drawings")

    def _set_ground(self, name: str, colour: str) -> None:
        drawing = self.sides[name].canvas.drawing
        push_drawings(self.session, {name: replace(drawing, ground=replace(drawing.ground, colour=colour))}, "change the ground")

    def _take_colour(self, colour: str) -> None:
        self.hand.colour = colour
        self.tools.show_hand()

    # ------------------------------------------------------------------------------------------------ pictures

    def _missing(self, kind: str) -> str:
        """Say why a drawing cannot start from something; empty where it can."""
        if kind == "shown" and self.session.image is None:
            return "There is none: drop an image onto the window, or click a dataset example"
        return "Open images first" if kind in ("random", "numbered") and self.session.images is None else ""

    def _place(self, name: str) -> Place:
        """Return where a picture goes that is brought to a canvas: it is stamped while that tool is held."""
        return Place(name, "stamp" if self.hand.tool == "stamp" else "ground")

    def _start(self, name: str, kind: str) -> None:
        place, size = Place(name, "ground"), self._canvas.size_shown
        if kind == "blank":
            push_drawings(self.session, {name: Drawing(Ground(self.sides[name].canvas.drawing.ground.colour))}, "begin a blank drawing")
        elif kind == "shown" and self.session.image is not None:
            opaque = np.full((*self.session.image.shape[:2], 1), 255, np.uint8)
            self.pictures.read(np.concatenate([self.session.image, opaque], 2), self.session.image_name or "the image", place)
        elif kind == "random":
            self.pictures.of_set(size, place)
        elif kind == "numbered":
            self.pictures.ask_for_number(size, place)
        elif kind == "file":
            self.pictures.ask_for_file(place)

    def _take_picture(self, picture: Picture, place: Place) -> None:
        """Put a picture where it was asked for."""
        name, canvas = name_of(picture.pixels), self.sides[place.side].canvas
        new = {name: picture.pixels}
        if place.how == "stamp":
            self.hand.picture, self.hand.proportions = name, picture.pixels.shape[1] / picture.pixels.shape[0]
            self.session.project.arrays.update(new)
            self.tools.take("stamp")
            canvas.put((0.0, 0.0))
        elif place.how == "corrupted":
            ground = Ground(self.sides["clean"].canvas.drawing.ground.colour, name, picture.name)
            push_drawings(self.session, {place.side: Drawing(ground)}, f"corrupt: {picture.name}", new)
        else:
            ground = Ground(canvas.drawing.ground.colour, name, picture.name)
            push_drawings(self.session, {place.side: replace(canvas.drawing, ground=ground)}, f"put in {picture.name}", new)
        told = notice(picture, canvas.size_shown, canvas.drawing.ground.colour) if place.how == "ground" else ""
        if told:
            self.session.inform(told)

    # ------------------------------------------------------------------------------------------------ corrupting

    def _offer_corruptions(self) -> None:
        clean = self.sides["clean"].canvas
        self._erase_last.setEnabled(bool(clean.drawing.objects))
        self._erase_chosen.setEnabled(bool(self._chosen_of_clean()))
        for action in self.corruptions.actions():
            if "swap" in str(action.data()):
                action.setEnabled(self.session.images is not None)

    def _chosen_of_clean(self) -> set[int]:
        chosen = self.objects.places() if self._active == "clean" else set()
        return chosen or ({self.sides["clean"].canvas.selected} - {-1})

    def erase(self, selected: bool) -> None:
        """Make the corrupt drawing the clean one without its last stroke, or without what is selected."""
        clean = self.sides["clean"].canvas.drawing
        gone = self._chosen_of_clean() if selected else {len(clean.objects) - 1}
        push_drawings(self.session, {"corrupt": clean.without(gone)}, "corrupt: erase strokes")

    def corrupt_by(self, kind: str) -> None:
        """Make the corrupt drawing a picture of the clean one, corrupted."""
        clean = self.sides["clean"].canvas
        if clean.is_waiting:
            self.session.inform("A stimulus of the clean drawing is still being drawn; corrupt it in a moment.")
            return
        self.pictures.corrupted(clean.fine, kind, self.strength.value(), clean.drawing.ground.source, Place("corrupt", "corrupted"))

    # ------------------------------------------------------------------------------------------------ stimuli

    def _describe_stimuli(self) -> None:
        if self._described is None:
            self._described = DescribeStimuli()
            self.session.relay.submit(self._described, self._take_description)

    def _take_description(self, event: JobEvent) -> None:
        if event.state == "failed":
            self._described = None
            self.session.report(event.error, event.details)
        elif event.state == "done":
            parameters: Any = event.result
            self.hand.defaults = {name: _defaults(parts) for name, parts in parameters.items()}
            self.objects.describe(parameters)

    def _on_ink(self) -> None:
        for side in self.sides.values():
            if any(isinstance(one, Stimulus) for one in side.canvas.current.objects):
                side.canvas.refresh()

    # ------------------------------------------------------------------------------------------------ what the network does

    def _on_network(self) -> None:
        with self._both_first():
            for side in self.sides.values():
                side.canvas.set_size(self._size)
        self._on_shown()  # drawings that have the right size already are asked about, too

    @property
    def _size(self) -> tuple[int, int]:
        """Height and width of the drawings: those that the network sees."""
        model = self.session.model
        return model.size if model is not None else PLAIN

    @contextmanager
    def _both_first(self) -> Iterator[None]:
        """Ask about the drawings once both are changed: in between stands a pair that nobody drew."""
        self._holding, self._held = True, False
        try:
            yield
        finally:
            self._holding = False
        if self._held:
            self._on_shown()

    def _on_shown(self) -> None:
        """Ask what the network does now, and once a stroke is finished make both drawings the pair that is patched between."""
        if self._holding:
            self._held = True
            return
        clean, corrupt = (self.sides[name].canvas for name in SIDES)
        if any(canvas.size_shown != self._size for canvas in (clean, corrupt)):  # a stimulus of this size is still waited for
            return
        drawing = clean.is_drawing or corrupt.is_drawing
        if in_sight(self):
            told = {name: side.canvas.current.told() for name, side in self.sides.items()}
            self.results.show_pair(clean.pixels, corrupt.pixels, drawing, told)
        if not drawing:
            self._announce(clean, corrupt)

    def _announce(self, clean: PaintCanvas, corrupt: PaintCanvas) -> None:
        pixels, pair = (clean.pixels, corrupt.pixels), self._announced
        if pair is not None and pair is self.session.pair and all(map(np.array_equal, pixels, (pair.clean.pixels, pair.corrupt.pixels))):
            return
        if np.array_equal(*pixels):
            self._announced = None
            if pair is not None and pair is self.session.pair:  # not one that came from elsewhere
                self.session.set_pair(None)
            return
        name = f"{clean.drawing.told()} / {corrupt.drawing.told()}"
        self._announced = ImagePair(KeptImage(pixels[0]), KeptImage(pixels[1]), name)
        self.session.set_pair(self._announced)

    # ------------------------------------------------------------------------------------------------ the panel's contract

    def showEvent(self, event: Any) -> None:
        """Ask for what was not asked for while nobody looked."""
        super().showEvent(event)
        self._on_shown()

    def save_state(self) -> dict[str, Any]:
        """Keep the brush, and how the panel is divided; the drawings are the project's."""
        hand = {name: getattr(self.hand, name) for name in ("tool", "colour", "width", "filled", "family")}
        return {"hand": hand, "sizes": [splitter.sizes() for splitter in (self.splitter, self.upper, self.results.splitter)]}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.hand.restore(state.get("hand"))
        self.tools.show_hand()
        if self.hand.tool == "stimulus":
            self._describe_stimuli()
        sizes = state.get("sizes")
        if isinstance(sizes, list) and len(sizes) == 3:
            for splitter, each in zip((self.splitter, self.upper, self.results.splitter), sizes, strict=True):
                if isinstance(each, list) and len(each) == splitter.count():
                    splitter.setSizes(each)

    def views(self) -> list[View]:
        """Both drawings, and what is shown below them."""
        found: list[View] = [side.canvas for side in self.sides.values() if not side.canvas.drawing.is_blank]
        return found + self.results.views()


def _defaults(parts: tuple[Parameter, ...]) -> dict[str, float]:
    """Return what a stimulus begins with; what has no end by default, such as a grating's window, is left to its family."""
    return {part.name: part.default for part in parts if math.isfinite(part.default)}
