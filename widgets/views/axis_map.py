"""Responses over two quantities as squares of colour, with both axes written out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter
from PySide6.QtWidgets import QWidget

from widgets.views.axes import number
from widgets.views.image_view import BAR
from widgets.views.matrix_view import MatrixView
from widgets.views.view import PAPER, elided, figure_font

LEFT, BELOW, HEADING = 60.0, 46.0, 20.0
EMPTY = np.empty(0)


@dataclass(frozen=True, eq=False)
class Axis:
    """What rows or columns are: a quantity, its values one by one, and its unit, such as ``°`` or ``of the side``."""

    name: str
    values: np.ndarray
    unit: str

    @property
    def label(self) -> str:
        """What is written along it."""
        return f"{self.name} ({'degrees' if self.unit == '°' else self.unit})"

    def told(self, place: int) -> str:
        """Write one of the values with its name and unit."""
        return f"{self.name} {self.values[place]:.3g}{'' if self.unit == '°' else ' '}{self.unit}"


class AxisMap(MatrixView):
    """A matrix whose rows and columns are values of two quantities; zooms and moves as an image does."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._down = self._across = Axis("", EMPTY, "")
        self._note = self._merit = ""

    def show_responses(
        self,
        values: np.ndarray,
        down: Axis,
        across: Axis,
        *,
        label: str,
        title: str,
        note: str = "",
        merit: str = "",
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show ``row column`` over the axes of rows and columns; `label` is the quantity on the colour scale.

        `merit`, the one figure that says how much there is to see, and `note` stand below.
        """
        self._down, self._across, self._note, self._merit = down, across, note, merit

        def tell(row: int, column: int) -> str:
            return f"{down.told(row)}, {across.told(column)}: {number(float(self.values[row, column]))}"

        rows, columns = np.arange(len(down.values)), np.arange(len(across.values))
        self.show_matrix(values, rows, columns, label=label, title=title, tell=tell, made_from=made_from)
        row, column = np.unravel_index(int(np.nanargmax(self.values)), self.values.shape)
        self.setAccessibleDescription(f"{title}. Largest at {tell(int(row), int(column))}. {merit} {note}")

    def data(self) -> dict[str, np.ndarray]:
        """``values`` float32 [row, column], and the values of the axes by their names."""
        if self._map is None:
            return {}
        return {"values": self._map, self._down.name: self._down.values, self._across.name: self._across.values}

    def provenance(self) -> dict[str, object]:
        """Name axes and sample beside what the numbers were made from."""
        return super().provenance() | {"rows": self._down.label, "columns": self._across.label, "sample": self._note} | (
            {"merit": self._merit} if self._merit else {}
        )

    # ------------------------------------------------------------------------------------------------ drawing

    def _areas(self, rect: QRectF) -> tuple[QRectF, QRectF]:
        """Leave room for the heading and both axes."""
        frame = rect.adjusted(LEFT, HEADING, -8 - BAR, -BELOW - (13 if self._merit else 0))
        return frame, QRectF(frame.right() + 8, frame.top(), BAR - 8, frame.height())

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw the matrix, its heading and its axes."""
        super().paint(painter, rect)
        if self._map is None:
            return
        frame, _ = self._areas(rect)
        painter.save()
        bold, small = figure_font(11, bold=True), figure_font(10)
        if self.ink is not PAPER:
            painter.setFont(bold)
            painter.setPen(self.ink.text)
            painter.drawText(QPointF(frame.left(), frame.top() - 6), elided(self.title, rect.right() - frame.left() - 4, bold))
        painter.setFont(small)
        painter.setPen(self.ink.faint)
        metrics = QFontMetricsF(small)
        for place, text in self._marks(self._across, frame, True, metrics):
            painter.drawText(QPointF(place - metrics.horizontalAdvance(text) / 2, frame.bottom() + 3 + metrics.ascent()), text)
        for place, text in self._marks(self._down, frame, False, metrics):
            painter.drawText(QPointF(frame.left() - 5 - metrics.horizontalAdvance(text), place + metrics.capHeight() / 2), text)
        line = QRectF(rect.left() + 4, frame.bottom() + 16, rect.width() - 8, 14)
        painter.drawText(line, Qt.AlignmentFlag.AlignCenter, elided(self._across.label, line.width(), small))
        for at, text in enumerate(text for text in (self._merit, self._note) if text):
            painter.drawText(line.translated(0, 13 * (1 + at)), Qt.AlignmentFlag.AlignCenter, elided(text, line.width(), small))
        painter.translate(rect.left() + 4 + metrics.ascent(), frame.center().y())
        painter.rotate(-90)
        upright = QRectF(-frame.height() / 2, -metrics.ascent(), frame.height(), metrics.height())
        painter.drawText(upright, Qt.AlignmentFlag.AlignCenter, elided(self._down.label, frame.height(), small))
        painter.restore()

    def _marks(self, axis: Axis, frame: QRectF, horizontal: bool, metrics: QFontMetricsF) -> list[tuple[float, str]]:
        """Return where on the widget which values of an axis are written: every one, or every so many as there is room for."""
        texts = [f"{value:.3g}".replace("-", "−") for value in axis.values.tolist()]
        size = (frame.width() if horizontal else frame.height()) * self.zoom / max(1, len(texts))
        wide = max(metrics.horizontalAdvance(text) for text in texts) + 8 if horizontal else metrics.height()
        step = max(1, int(np.ceil(wide / max(size, 1e-9))))
        low, high = (frame.left(), frame.right()) if horizontal else (frame.top(), frame.bottom())
        marks = [(self._from_image((at + 0.5) / len(texts), frame, horizontal), texts[at]) for at in range(0, len(texts), step)]
        return [(place, text) for place, text in marks if low <= place <= high]
