"""A stimulus with handles on it: one moves it, the other turns and bends it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QKeyEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QWidget

from widgets.views.image_view import ImageView
from widgets.views.view import elided, figure_font

REACH = 12.0
"""Pixels around a handle that belong to it."""
ARM = 0.25
"""Of the side: how far the turning handle stands from the middle, where that says nothing but the angle."""
NEAREST = 0.02


class StimulusView(ImageView):
    """The stimulus as the network sees it. The square handle moves it, the round one turns it; where it has a radius, its distance is that.

    With the keyboard arrows move the stimulus by a pixel, with Shift held left and right turn it by five degrees.
    """

    dragged = Signal(object)
    """Parameters that a handle changed, by name."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.smooth = False
        self._values: dict[str, float] = {}
        self._field: tuple[int, int, int, int] | None = None
        self._held = ""
        self.setMinimumSize(180, 180)
        self.setAccessibleName("Stimulus with handles")

    def show_stimulus(
        self,
        pixels: np.ndarray,
        values: Mapping[str, float],
        field: tuple[int, int, int, int] | None,
        *,
        title: str,
        caption: str,
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show a stimulus.

        Parameters
        ----------
        values
            Its parameters: lengths as fractions of the shorter side, x and y from the middle (y downwards), orientation in degrees.
        field
            Top, left, height and width in pixels of what the unit sees; framed.
        """
        if not self._held:
            self._values = dict(values)
        self._field = field
        self.show_image(pixels, title=title, caption=caption, made_from=made_from)

    @property
    def values(self) -> Mapping[str, float]:
        """Where the handles stand: parameters by name."""
        return self._values

    def _side(self, frame: QRectF) -> float:
        return min(frame.width(), frame.height())

    def handles(self) -> dict[str, QPointF]:
        """Return where the handles stand in the widget, by name: ``place``, ``turn``."""
        if self._pixels is None or "x" not in self._values or self.zoom > 1:
            return {}
        frame, _ = self._areas(QRectF(self.rect()))
        side = self._side(frame)
        place = frame.center() + QPointF(self._values["x"], self._values["y"]) * side
        found = {"place": place}
        if "orientation" in self._values:
            turn = math.radians(self._values["orientation"])
            away = self._values["radius"] if self._bends else ARM
            found["turn"] = place + QPointF(math.cos(turn), -math.sin(turn)) * min(away, 0.48) * side
        elif "radius" in self._values:
            found["turn"] = place + QPointF(self._values["radius"] * side, 0)
        return found

    def where(self) -> str:
        """Return where the handles stand: ``45° · radius 0.31 · 0.10 right, 0.20 up``; lengths are parts of the shorter side."""
        values = self._values
        if "x" not in values:
            return ""
        parts = [f"{round(values['orientation']) % 360}°"] if "orientation" in values else []
        if self._bends:
            parts.append(f"radius {values['radius']:.2f}")
        across, down = round(values["x"], 2), round(values["y"], 2)
        ways = (across, "right" if across > 0 else "left"), (down, "down" if down > 0 else "up")
        moved = [f"{abs(by):.2f} {way}" for by, way in ways if by]
        return " · ".join([*parts, ", ".join(moved) or "in the middle"])

    @property
    def _bends(self) -> bool:
        """Whether the distance of the turning handle is the radius: not of corners, where 0 is sharp."""
        return "radius" in self._values and "angle" not in self._values

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw the stimulus, the frame of what the unit sees, and on the screen the handles."""
        super().paint(painter, rect)
        if self._pixels is None or self.zoom > 1:
            return
        frame, _ = self._areas(rect)
        height, width = self._pixels.shape[:2]
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if self._field is not None:
            top, left, rows, columns = self._field
            across, down = frame.width() / width, frame.height() / height
            box = QRectF(frame.left() + left * across, frame.top() + top * down, columns * across, rows * down)
            for pen in (QPen(Qt.GlobalColor.white, 2), QPen(self.ink.accent, 1.5, Qt.PenStyle.DashLine)):
                painter.setPen(pen)
                painter.drawRect(box)
        handles = self.handles() if rect == QRectF(self.rect()) else {}
        if len(handles) == 2:
            painter.setPen(QPen(self.ink.marker, 1.5))
            painter.drawLine(handles["place"], handles["turn"])
        painter.setPen(QPen(Qt.GlobalColor.white, 1.5))
        for name, place in handles.items():
            painter.setBrush(self.ink.marker if name == "turn" else Qt.BrushStyle.NoBrush)  # small stimuli lie under the square
            if name == "place":
                painter.setPen(QPen(self.ink.marker, 4))
                painter.drawRect(QRectF(place - QPointF(5, 5), QSizeF(10, 10)))
                painter.setPen(QPen(Qt.GlobalColor.white, 1.5))
                painter.drawRect(QRectF(place - QPointF(5, 5), QSizeF(10, 10)))
            else:
                painter.drawEllipse(place, 6, 6)
        if handles:
            self._paint_where(painter, frame)
        painter.restore()

    def _paint_where(self, painter: QPainter, frame: QRectF) -> None:
        """Write in a corner of the stimulus where the handles stand."""
        font = figure_font(10)
        painter.setFont(font)
        text = elided(self.where(), frame.width() - 8, font)
        box = QRectF(QFontMetricsF(font).boundingRect(text)).adjusted(-4, -2, 4, 2)
        box.moveTopLeft(frame.topLeft() + QPointF(1, 1))
        ground = QColor(self.ink.paper)
        ground.setAlpha(210)
        painter.fillRect(box, ground)
        painter.setPen(self.ink.text)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    # ------------------------------------------------------------------------------------------------ handles

    def _change(self, **values: float) -> None:
        self._values.update(values)
        self.update()
        self.dragged.emit(values)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take a handle, or the image."""
        near = {name: (place - event.position()).manhattanLength() for name, place in self.handles().items()}
        nearest = min(near, key=lambda name: near[name], default="")
        if event.button() == Qt.MouseButton.LeftButton and nearest and near[nearest] <= REACH:
            self._held = nearest
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        else:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move, turn or bend the stimulus with the handle that is held."""
        if not self._held:
            super().mouseMoveEvent(event)
            return
        frame, _ = self._areas(QRectF(self.rect()))
        away = (event.position() - frame.center()) / self._side(frame)
        if self._held == "place":
            self._change(x=min(0.5, max(-0.5, away.x())), y=min(0.5, max(-0.5, away.y())))
            return
        right, up = away.x() - self._values["x"], self._values["y"] - away.y()
        changed = {}
        if "orientation" in self._values:
            changed["orientation"] = math.degrees(math.atan2(up, right)) % 360
        if self._bends:
            changed["radius"] = max(NEAREST, math.hypot(right, up))
        self._change(**changed)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let the handle go."""
        if self._held:
            self._held = ""
            self.unsetCursor()
        else:
            super().mouseReleaseEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Zoom where there is no handle: a handle is taken, not zoomed into."""
        if not any((place - event.position()).manhattanLength() <= REACH for place in self.handles().values()):
            super().mouseDoubleClickEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the stimulus by a pixel; with Shift, left and right turn it by five degrees."""
        moves = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1)}
        step = moves.get(Qt.Key(event.key()))
        if step is None or self._pixels is None or not self.handles():
            super().keyPressEvent(event)
        elif event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            if "orientation" in self._values and step[0]:
                self._change(orientation=(self._values["orientation"] - 5 * step[0]) % 360)
        else:
            pixel = 1 / min(self._pixels.shape[:2])
            self._change(x=self._values["x"] + step[0] * pixel, y=self._values["y"] + step[1] * pixel)

    def data(self) -> dict[str, np.ndarray]:
        """``image``, and each parameter under its name."""
        return super().data() | {name: np.array(value) for name, value in self._values.items()}
