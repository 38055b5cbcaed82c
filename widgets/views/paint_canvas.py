"""A canvas: a drawing as the network sees it, pixel by pixel, and the tools that change it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QDragEnterEvent,
    QDropEvent,
    QHelpEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPen,
)
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.canvas.hand import KEYS, Hand
from widgets.canvas.handles import REACH, TIPS, draw_handles, handle_at, handles_of
from widgets.views.canvas_surface import DEEPEST, CanvasSurface
from workbench.images.drawing import Drawing
from workbench.images.drawn_stimulus import Stimulus
from workbench.images.raster import Ink, Raster
from workbench.images.shapes import Fill
from workbench.images.strokes import Brush, Eraser, Path
from workbench.images.thing import Point, Thing
from workbench.images.touch import object_at
from workbench.input_error import InputError

TURNED = 5.0
"""Degrees by which an arrow key with Shift turns the selected object."""
NEAREST = 0.004
"""Of the shorter side: how far the mouse moves until a stroke has a further point."""


class InkSupply(Protocol):
    """What draws stimuli somewhere else."""

    def __call__(self, stimulus: Stimulus, size: tuple[int, int]) -> Ink | None:
        """Return a stimulus' coverage and ink; None where it is not there yet and was asked for."""


class PaintCanvas(CanvasSurface):
    """Shows a drawing and draws on it with the tool that the hand holds.

    A selected object has handles; they can be taken whatever the tool. The wheel zooms, the middle button (or the left one with Ctrl)
    moves what is shown. Images can be dropped and pasted.
    """

    shown = Signal()
    """Other pixels are shown: also after each movement of the mouse while something is drawn."""
    finished = Signal(object, str)
    """The `Drawing` as it is now, and what was done, once a stroke is over."""
    picked = Signal(str)
    """The colour picker took this colour."""
    chosen = Signal(int)
    """Another object is selected; -1 for none."""
    brought = Signal(object)
    """The `QMimeData` that was dropped here."""
    pasted = Signal()
    tool_taken = Signal(str)
    """A key asked for a tool."""
    thickened = Signal(float)
    """A key asked for a thicker or thinner brush, by this factor."""
    picture_wanted = Signal()
    """There is no picture to stamp yet."""

    def __init__(self, hand: Hand, ink: InkSupply, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.hand, self._ink, self.name = hand, ink, name
        self.drawing = Drawing()
        self.selected = -1
        self.message = self.hint = ""
        self._pictures: Mapping[str, np.ndarray] = {}
        self._raster = Raster((64, 64), ink)
        self._draft: Drawing | None = None
        self._act: Callable[[Point, bool], None] | None = None  # what a movement does while a button is held
        self._button = Qt.MouseButton.NoButton  # the one that began it
        self._text, self._turns = "", False  # whether what is drawn is an object that is turned
        self._mouse: QPointF | None = None
        self.setMouseTracking(True)
        self.setAcceptDrops(True)
        self.setMinimumSize(150, 150)
        self.setAccessibleName(f"{name} drawing")
        self.setAccessibleDescription(
            "Draw with the mouse; Return puts the tool's object into the middle; arrows move the selected object, "
            "Shift with left or right turns one that has a direction"
        )

    # ------------------------------------------------------------------------------------------------ what is shown

    @property
    def fine(self) -> np.ndarray:
        """The finished drawing on the fine grid it is made on, uint8 ``y x 3``, read-only."""
        return self._raster.draw_fine(self.drawing, self._pictures)

    @property
    def is_drawing(self) -> bool:
        """Whether something is drawn or dragged just now."""
        return self._draft is not None

    @property
    def current(self) -> Drawing:
        """The drawing that is shown: with what is being drawn just now."""
        return self._draft or self.drawing

    def set_size(self, size: tuple[int, int]) -> None:
        """Show drawings at another height and width."""
        if size != self._raster.size:
            self._raster = Raster(size, self._ink)
            self._draft = self._act = None
            self.refresh()

    def show_drawing(self, drawing: Drawing, pictures: Mapping[str, np.ndarray]) -> None:
        """Show a drawing; what is selected stays so while it is there. The one that is shown already may go on being drawn on."""
        others = pictures is not self._pictures
        self._pictures = pictures
        if others:  # of another project, which may not have what was drawn from
            self._raster = Raster(self._raster.size, self._ink)
        if drawing == self.drawing and not (others and drawing.pictures):
            return
        self.drawing, self._draft, self._act = drawing, None, None
        if self.selected >= len(drawing.objects):
            self.select(-1)
        self.refresh()

    @property
    def is_waiting(self) -> bool:
        """Whether a stimulus of the drawing is still being drawn."""
        return any(isinstance(one, Stimulus) and self._ink(one, self._raster.size) is None for one in self.current.objects)

    def refresh(self) -> None:
        """Draw what is there now; a stimulus that is not drawn yet is waited for, what is shown stays until then."""
        self.message = ""
        if not self.is_waiting:
            try:
                pixels = self._raster.draw(self.current, self._pictures)
            except InputError as error:
                self.message = str(error)
            else:
                self._pixels = pixels
                self.shown.emit()
        self.update()

    def select(self, place: int) -> None:
        """Select an object, -1 for none."""
        place = place if place < len(self.drawing.objects) else -1
        if place != self.selected:
            self.selected = place
            self.chosen.emit(place)
            self.update()

    def _finish(self, drawing: Drawing, text: str, select: int | None = None) -> None:
        self._draft = self._act = None
        self.drawing = drawing
        self.refresh()
        if select is not None:
            self.select(select)
        self.finished.emit(drawing, text)

    def _try(self, make: Callable[[], Thing], place: int | None = None) -> None:
        """Show the drawing with an object that is being drawn or dragged; one that cannot be is left as it was."""
        try:
            one = make()
        except InputError:
            return
        self._draft = self.drawing.with_object(one) if place is None else self.drawing.with_replaced(place, one)
        self.refresh()

    # ------------------------------------------------------------------------------------------------ handles and the brush

    def handles(self) -> dict[str, QPointF]:
        """Return where the handles of the selected object are shown, by name."""
        objects = self.current.objects
        if not 0 <= self.selected < len(objects):
            return {}
        return handles_of(objects[self.selected], self)

    def paint_over(self, painter: QPainter, frame: QRectF) -> None:
        """Draw handles, the brush under the mouse, and what is said."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        turned = self.current.objects[self.selected].direction if self._turns and self.is_drawing else None
        draw_handles(painter, self.handles(), self.ink, "" if turned is None else f"{turned:.0f}°")
        drags = self.is_drawing and self.selected >= 0
        brush = self.hand.tool in ("brush", "eraser", "line", "arc") and not drags
        if self._mouse is not None and brush and not handle_at(self.handles(), self._mouse):
            radius = max(1.5, self.hand.width / 2 * min(frame.width(), frame.height()))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            for pen in (QPen(Qt.GlobalColor.white, 2.2), QPen(Qt.GlobalColor.black, 1)):
                painter.setPen(pen)
                painter.drawEllipse(self._mouse, radius, radius)
        if self.current.is_blank and not self.message and self.hint:
            painter.setPen(Qt.GlobalColor.gray)
            painter.drawText(frame.adjusted(16, 8, -16, -8), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.hint)
        if self.message:
            painter.setPen(self.ink.text)
            painter.fillRect(frame, self.ink.quiet)
            painter.drawText(frame, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)

    # ------------------------------------------------------------------------------------------------ the mouse

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take a handle, begin a stroke, or do what the tool does at once."""
        at = event.position()
        button, held = event.button(), event.modifiers()
        pans = button == Qt.MouseButton.MiddleButton or held & Qt.KeyboardModifier.ControlModifier
        if self._act is not None:  # another button while one is held
            return
        self._button = button
        if pans:
            begun, middle = at, self._middle
            side = min(self.frame().width(), self.frame().height())

            def pan(_point: Point, _even: bool) -> None:
                assert self._mouse is not None
                away = (begun - self._mouse) / side
                self._look_at((middle[0] + away.x(), middle[1] + away.y()))

            self._act = pan
        elif button == Qt.MouseButton.LeftButton:
            point = self.point(at)
            handle = handle_at(self.handles(), at)
            if handle:
                self._take(handle, point)
            else:
                self._begin(point)
        else:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on with what was begun, or show where the brush is."""
        self._mouse = event.position()
        if self._act is not None:
            self._act(self.point(self._mouse), bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        else:
            over = bool(handle_at(self.handles(), self._mouse))
            shape = Qt.CursorShape.OpenHandCursor if over else Qt.CursorShape.ArrowCursor if self.hand.tool == "select" else None
            self.setCursor(Qt.CursorShape.CrossCursor if shape is None else shape)
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Finish what was begun."""
        if self._act is None:
            super().mouseReleaseEvent(event)
            return
        if event.button() != self._button:
            return
        self._act = None
        if self._draft is not None:
            drawn = self._draft
            new = len(drawn.objects) > len(self.drawing.objects)
            free = isinstance(drawn.objects[-1], Path)
            self._finish(drawn, self._text, len(drawn.objects) - 1 if new and not free else None)

    def leaveEvent(self, event: QEvent) -> None:
        """Show no brush where the mouse is not."""
        self._mouse = None
        self.update()
        super().leaveEvent(event)

    def _take(self, handle: str, begun: Point) -> None:
        place, one = self.selected, self.drawing.objects[self.selected]
        self._turns = handle == "turn"
        self._text = f"{'turn' if self._turns else 'change'} {_a(one)}"
        if self._turns:
            self._act = lambda point, even: self._try(lambda: one.turned_by_hand(begun, point, even), place)
        else:
            self._act = lambda point, _even: self._try(lambda: one.dragged(handle, point), place)

    def _begin(self, point: Point) -> None:
        tool, self._turns = self.hand.tool, False
        if tool == "select":
            self._grasp(point)
        elif tool in ("brush", "eraser"):
            self._stroke(point)
        elif tool in ("line", "arc", "rectangle", "ellipse"):
            self.select(-1)
            self._text = f"draw {'an' if tool in ('arc', 'ellipse') else 'a'} {tool}"
            self._act = lambda to, even: self._try(lambda: self.hand.spanned(point, to, even))
        elif tool == "picker":
            self._pick(point)
        else:
            self.put(point)

    def _grasp(self, point: Point) -> None:
        """Select what is here, and move it with the mouse."""
        frame = self.frame()
        place = object_at(self.drawing, point, REACH / 2 / min(frame.width(), frame.height()))
        self.select(place)
        if place < 0:
            return
        one = self.drawing.objects[place]
        self._text = f"move {_a(one)}"
        self._act = lambda to, _even: self._try(lambda: one.moved(to[0] - point[0], to[1] - point[1]), place)

    def _stroke(self, point: Point) -> None:
        """Begin a stroke with a dot."""
        self.select(-1)
        hand = self.hand
        path: Path = Eraser((point,), hand.width) if hand.tool == "eraser" else Brush((point,), hand.width, hand.colour)
        self._text = "erase" if hand.tool == "eraser" else "draw a stroke"

        def go_on(to: Point, even: bool) -> None:
            nonlocal path
            if math.dist(path.points[-1], to) < NEAREST:
                return
            path = path.on_to(to)
            self._try(lambda: path)

        self._act = go_on
        self._try(lambda: path)

    def _pick(self, point: Point) -> None:
        height, width = self._pixels.shape[:2]
        side = min(height, width)
        row, column = int(point[1] * side + height / 2), int(point[0] * side + width / 2)
        if 0 <= row < height and 0 <= column < width:
            self.picked.emit("#" + bytes(self._pixels[row, column].tolist()).hex())

    def put(self, point: Point) -> None:
        """Put what the tool makes at a place, of its usual size."""
        if self.hand.tool == "stamp" and not self.hand.picture:
            self.picture_wanted.emit()
            return
        made = self.hand.placed(point)
        if made is not None:
            drawing = self.drawing.with_object(made)
            free = isinstance(made, Fill | Brush)
            self._finish(drawing, f"draw {_a(made)}", None if free else len(drawing.objects) - 1)

    # ------------------------------------------------------------------------------------------------ keys, wheel, drops

    def event(self, event: QEvent) -> bool:
        """Take the keys that are used here, also those that are shortcuts of the window."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and self._used(event):
            event.accept()
            return True
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            tip = TIPS.get(handle_at(self.handles(), QPointF(event.pos())), "")
            QToolTip.showText(event.globalPos(), tip, self)  # hides the one before where there is none
            return True
        return super().event(event)

    def _used(self, event: QKeyEvent) -> bool:
        if event.matches(QKeySequence.StandardKey.Paste):
            return True
        keys = {Qt.Key.Key_BracketLeft, Qt.Key.Key_BracketRight, Qt.Key.Key_Plus, Qt.Key.Key_Minus, Qt.Key.Key_0, Qt.Key.Key_Delete}
        plain = not event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)
        return plain and (event.key() in keys or event.text().upper() in KEYS.values())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take a tool, move or remove the selected object, zoom, paste."""
        key = event.key()
        moves = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1)}
        chosen = 0 <= self.selected < len(self.drawing.objects)
        direction = self.drawing.objects[self.selected].direction if chosen else None
        plain = not event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)
        tool = next((tool for tool, letter in KEYS.items() if plain and letter == event.text().upper()), None)
        if event.matches(QKeySequence.StandardKey.Paste):
            self.pasted.emit()
        elif key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and chosen:
            self.remove({self.selected})
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right) and event.modifiers() & Qt.KeyboardModifier.ShiftModifier and direction is not None:
            one = self.drawing.objects[self.selected]
            turned = one.turned((direction + (TURNED if key == Qt.Key.Key_Left else -TURNED)) % 360)
            self._finish(self.drawing.with_replaced(self.selected, turned), f"turn {_a(one)}")
        elif key in moves and chosen:
            pixel = 1 / min(self._raster.size)
            right, down = (step * pixel for step in moves[Qt.Key(key)])
            one = self.drawing.objects[self.selected].moved(right, down)
            self._finish(self.drawing.with_replaced(self.selected, one), f"move {_a(one)}")
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.put((0.0, 0.0))
        elif key == Qt.Key.Key_Escape and (chosen or self._draft is not None):
            self._draft = self._act = None
            self.select(-1)
            self.refresh()
        elif key in (Qt.Key.Key_BracketLeft, Qt.Key.Key_BracketRight):
            self.thickened.emit(1.25 if key == Qt.Key.Key_BracketRight else 0.8)
        elif plain and key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus):
            self.zoom_by(0.8 if key == Qt.Key.Key_Minus else 1.25)
        elif plain and key == Qt.Key.Key_0:
            self.zoom_by(1 / DEEPEST)
        elif tool is not None:
            self.tool_taken.emit(tool)
        else:
            super().keyPressEvent(event)

    def remove(self, places: set[int]) -> None:
        """Take objects off the drawing."""
        self.select(-1)
        self._finish(self.drawing.without(places), "erase an object" if len(places) == 1 else f"erase {len(places)} objects")

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept what may be an image."""
        if event.mimeData().hasImage() or event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Hand on what was dropped: it belongs to this canvas and not to the window."""
        event.acceptProposedAction()
        self.brought.emit(event.mimeData())


    # ------------------------------------------------------------------------------------------------ as a view

    def provenance(self) -> dict[str, object]:
        """Name the objects, too."""
        return super().provenance() | {"drawing": self.drawing.document()}


def _a(one: Thing) -> str:
    return f"{'an' if one.title[0] in 'AEIOU' else 'a'} {one.title.lower()}"
