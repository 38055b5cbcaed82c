"""What a unit does at every orientation of a stimulus, around a circle, over the band of what random weights reach."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.views.axes import number, tick, ticks
from widgets.views.legend import LINE, Named, in_lines, paint_names, shade
from widgets.views.plot import Plot
from widgets.views.view import elided, figure_font

MARGIN = 26
SPOKES = 8
RIM = 5.0
GROUND = "above the plain ground"


class PolarPlot(Plot):
    """Responses as distances from the middle: counter-clockwise from the right, a period goes once around; below zero is the middle."""

    axis = "response"
    note_share = 0.5

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, logarithmic=False)
        self.setMouseTracking(True)
        self.setMinimumSize(180, 180)
        self.setAccessibleName("Radial tuning")
        self.clear()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self.message, self.title, self._note, self._merit = message, "", "", ""
        self._angles, self._values, self._second = np.empty(0), np.empty(0), np.empty(0)
        self._band = np.empty((0, 0))
        self._whole = 0.0
        self._beside: tuple[tuple[str, np.ndarray], ...] = ()
        self._name = ""
        self._period = 360.0
        self._quantity, self._angle = GROUND, "orientation"
        self._rim: tuple[QColor, ...] = ()
        self._least = 1e-9
        self.setAccessibleDescription(message)
        self.update()

    def show_tuning(
        self,
        angles: np.ndarray,
        values: np.ndarray,
        *,
        period: float,
        second: np.ndarray | None = None,
        band: np.ndarray | None = None,
        whole: float | None = None,
        name: str = "",
        beside: Sequence[tuple[str, np.ndarray]] = (),
        quantity: str = GROUND,
        angle: str = "orientation",
        rim: np.ndarray | None = None,
        least: Sequence[float] = (),
        title: str,
        note: str = "",
        merit: str = "",
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show a tuning curve.

        Parameters
        ----------
        angles, values
            Orientations in degrees, in even steps over the period, and the response at each.
        second
            Responses in a second rendering, half a step further.
        band
            ``twin orientation``: what the best unit of each random-weight twin does, each turned to prefer 0 and over its largest response.
        whole
            Response of this unit that 1 of the band stands for; without it, its largest here.
        name, beside
            What the unit is called, and names and responses of further units at the same orientations. Then each is drawn over its own
            largest response: what units of a family prefer is compared, and not how strong they are.
        quantity, angle
            What the distance from the middle is, and what is turned, in words.
        rim
            uint8 ``angle 3``: colours that the circle is drawn in, at the angles.
        least
            Response that the circle stands for at least, of the unit and of each one beside it: less is drawn as the little that it is.
        merit
            The one figure that says how much there is to see, beside what twins have; on a line of its own.
        """
        self.message, self._period, self._quantity, self._angle = "", period, quantity, angle
        own, *others = least or [1e-9] * (1 + len(beside))
        self._least = own
        self._rim = tuple(QColor(*colour) for colour in rim.tolist()) if rim is not None else ()
        self._angles, self._values = np.asarray(angles, float), np.asarray(values, float)
        self._second = np.empty(0) if second is None else np.asarray(second, float)
        self._band = np.empty((0, 0)) if band is None else np.asarray(band, float)
        self._name, self._beside = name, tuple((called, np.asarray(own, float)) for called, own in beside)
        self._whole = max(float(self._values.max()), 0.0) if whole is None else whole
        if self._beside:
            largest = max(float(self._values.max()), own)
            self._values, self._second, self._least = self._values / largest, self._second / largest, 1.0
            self._whole /= largest
            self._beside = tuple((called, one / max(float(one.max()), at)) for (called, one), at in zip(self._beside, others, strict=True))
        self.title, self._note, self._merit, self.made_from = title, note, merit, made_from or {}
        best = float(self._angles[int(np.argmax(self._values))])
        self.setAccessibleDescription(f"{title}. Largest at {number(best)} degrees: {number(float(self._values.max()))}. {merit} {note}")
        self.update()

    def figure_size(self) -> QSizeF:
        """A square with room for the heading."""
        return QSizeF(340, 370)

    def data(self) -> dict[str, np.ndarray]:
        """Degrees of what is turned, ``response``, ``second_response`` half a step on; ``twins`` and ``beside`` ``[…, angle]``."""
        if not len(self._values):
            return {}
        found = {self._angle: self._angles, "response": self._values}
        if len(self._second):
            found["second_response"] = self._second
        if self._beside:
            names, curves = zip(*self._beside, strict=True)
            found |= {"beside": np.stack(curves), "beside_names": np.array(names)}
        return found | ({"twins": self._band * self._whole} if len(self._band) else {})

    def provenance(self) -> dict[str, object]:
        """Name the axes beside what the numbers were made from."""
        radius = f"response {self._quantity}" + (", each over its largest" if self._beside else "")
        axes = {"angle": f"{self._angle} (degrees, of {self._period:g})", "radius": radius}
        return super().provenance() | axes

    # ------------------------------------------------------------------------------------------------ drawing

    def fill_menu(self, menu: object) -> None:
        """Offer export only: a distance from the middle is never logarithmic."""
        super(Plot, self).fill_menu(menu)

    def _circle(self, rect: QRectF) -> tuple[QPointF, float]:
        names = LINE * len(self._lines(rect.width() - 12)) + 8 if self._beside else 0
        names += LINE if self._merit else 0
        inner = rect.adjusted(MARGIN, 24 + 16 + names, -MARGIN, -18 - 26)
        return inner.center(), max(20.0, min(inner.width(), inner.height()) / 2)

    def _most(self) -> float:
        of_twins = self._whole * float(np.max(self._band, initial=0.0))
        return max(float(np.max(self._values)), float(np.max(self._second, initial=0.0)), self._least, of_twins)

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw circles, spokes, the band and the curves."""
        if not len(self._values):
            self.paint_message(painter, rect)
            return
        ink = self.ink
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.paint_heading(painter, rect)
        middle, radius = self._circle(rect)
        most = self._most()
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setFont(figure_font(10))
        rings = [mark for mark in ticks(0, most, 4) if mark > 0]
        for mark in rings:
            painter.setPen(QPen(ink.quiet, 1))
            painter.drawEllipse(middle, radius * mark / most, radius * mark / most)
        painter.setPen(QPen(ink.line, 1))
        painter.drawEllipse(middle, radius, radius)
        self._paint_rim(painter, middle, radius)
        for spoke in range(SPOKES):
            turn = 2 * math.pi * spoke / SPOKES
            along = QPointF(math.cos(turn), -math.sin(turn))
            painter.setPen(QPen(ink.quiet, 1))
            painter.drawLine(middle, middle + along * radius)
            painter.setPen(ink.faint)
            place = middle + along * (radius + 15)
            angle = f"{self._period * spoke / SPOKES:g}°"
            painter.drawText(QRectF(place.x() - 22, place.y() - 8, 44, 16), Qt.AlignmentFlag.AlignCenter, angle)
        if len(self._band):
            self._paint_band(painter, middle, radius)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for place, (_, own) in enumerate(self._beside):
            painter.setPen(QPen(self.colour(place), 1.5))
            painter.drawPolygon(self._polygon(self._angles, own / most, middle, radius))
        if self._beside:
            top = rect.top() + 24 + (LINE if self._merit else 0)
            paint_names(painter, QPointF(rect.left() + 8, top), self._lines(rect.width() - 12))
        if len(self._second) and not self._beside:
            half = self._period / len(self._second) / 2
            painter.setPen(QPen(ink.marker, 1.3, Qt.PenStyle.DashLine))
            painter.drawPolygon(self._polygon(self._angles + half, self._second / most, middle, radius))
        painter.setPen(QPen(ink.bar, 1.8))
        painter.drawPolygon(self._polygon(self._angles, self._values / most, middle, radius))
        painter.setPen(ink.faint)
        for mark in rings:
            away = radius * mark / most
            painter.drawText(middle + QPointF(away * math.cos(0.3) + 1, -away * math.sin(0.3)), tick(mark))
        legend = self._quantity + (", each over its largest response" if self._beside else "")
        if len(self._second) and not self._beside:
            legend += " · dashed: 2nd rendering"
        if len(self._band):
            legend += f" · grey: best of {len(self._band)} random-weight twins"
        line = QRectF(rect.left() + 6, rect.bottom() - 17, rect.width() - 12, 14)
        painter.drawText(line, Qt.AlignmentFlag.AlignCenter, elided(legend, line.width(), painter.font()))
        painter.restore()

    def colour(self, place: int) -> QColor:
        """Return the colour of a unit beside the first."""
        return shade(place, len(self._beside), self.ink)

    def _lines(self, width: float) -> list[list[Named]]:
        """Return the names with their colours in lines that fit a width."""
        named = [(self._name, self.ink.bar), *((called, self.colour(place)) for place, (called, _) in enumerate(self._beside))]
        return in_lines(named, width)

    def _paint_rim(self, painter: QPainter, middle: QPointF, radius: float) -> None:
        """Draw the circle in the colours of its angles."""
        circle = QRectF(middle.x() - radius, middle.y() - radius, 2 * radius, 2 * radius)
        for angle, colour in zip(self._angles.tolist(), self._rim, strict=False):
            painter.setPen(QPen(colour, RIM, Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
            half = 180 / len(self._rim)  # degrees of the drawing; Qt counts in sixteenths
            painter.drawArc(circle, round(16 * (angle * 360 / self._period - half)), round(32 * half))

    def _paint_band(self, painter: QPainter, middle: QPointF, radius: float) -> None:
        """Fill up to the largest of the twins at each angle from the preferred one."""
        best = int(np.argmax(self._values))
        outline = np.roll(self._band.max(0), best) * self._whole / self._most()
        colour = QColor(self.ink.line)
        colour.setAlpha(70)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        steps = np.arange(self._band.shape[1]) * self._period / self._band.shape[1]
        painter.drawPolygon(self._polygon(steps, outline, middle, radius))

    def _polygon(self, angles: np.ndarray, shares: np.ndarray, middle: QPointF, radius: float) -> QPolygonF:
        turn = angles * 2 * np.pi / self._period
        away = radius * shares.clip(0)
        x, y = middle.x() + away * np.cos(turn), middle.y() - away * np.sin(turn)
        return QPolygonF([QPointF(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)])

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say the response at the orientation under the mouse."""
        if not len(self._values):
            return
        middle, _ = self._circle(QRectF(self.rect()))
        away = event.position() - middle
        angle = math.degrees(math.atan2(-away.y(), away.x())) % 360 * self._period / 360
        at = int(np.abs((self._angles - angle + self._period / 2) % self._period - self._period / 2).argmin())
        lines = [f"{self._angles[at]:g}°: {number(float(self._values[at]))}" + (f" ({self._name})" if self._beside else "")]
        lines += [f"{called}: {number(float(own[at]))}" for called, own in self._beside]
        QToolTip.showText(event.globalPosition().toPoint(), "\n".join(lines), self)
