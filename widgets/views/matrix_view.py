"""A matrix of numbers between two lists of units, in any order, with its colour scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.views.colour_scale import ColourScale
from widgets.views.image_view import BAR, CAPTION, ImageView
from widgets.views.view import PAPER

NOTHING = 190
"""Grey of a cell without a number."""


class MatrixView(ImageView):
    """Rows and columns as squares of colour; zooms and moves as an image does. Rows and columns are named by their own numbers."""

    picked = Signal(int, int)
    """Row and column that were clicked, by their own numbers."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.smooth = False
        self.opacity = 1.0
        self._rows: np.ndarray = np.empty(0, int)
        self._columns: np.ndarray = np.empty(0, int)
        self._values: np.ndarray = np.empty((0, 0), np.float32)
        self._tell: Callable[[int, int], str] = lambda _row, _column: ""
        self._row: int | None = None
        self._column: int | None = None
        self.setAccessibleName("Matrix of weights")
        self.cell_picked.connect(lambda y, x: self.picked.emit(int(self._rows[y]), int(self._columns[x])))

    def show_matrix(
        self,
        values: np.ndarray,
        rows: Sequence[int] | np.ndarray,
        columns: Sequence[int] | np.ndarray,
        *,
        label: str = "",
        title: str = "",
        caption: str = "",
        tell: Callable[[int, int], str] | None = None,
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show a matrix in an order of its rows and columns.

        Parameters
        ----------
        values
            ``row column``, float; what is not a number is grey.
        rows, columns
            Which come first, by their own numbers.
        label
            Quantity on the colour scale.
        tell
            Gives the tooltip of a row and a column.
        """
        self._values, self._rows, self._columns = np.asarray(values, np.float32), np.asarray(rows), np.asarray(columns)
        self._tell = tell or (lambda _row, _column: "")
        shown = self._values[np.ix_(self._rows, self._columns)]
        finite = np.abs(shown[np.isfinite(shown)])
        most = float(np.quantile(finite, 0.995)) if finite.size else 0.0  # one strong weight must not hide all others
        most = most or float(finite.max(initial=0.0)) or 1.0
        scale = ColourScale(-most if (shown < 0).any() else 0.0, most, label)
        self.show_image(np.full((*shown.shape, 3), NOTHING, np.uint8), title=title)
        self.show_map(shown, label=label, scale=scale, caption=caption, made_from=made_from)

    def mark(self, row: int | None, column: int | None) -> None:
        """Point at a row and a column, by their own numbers; None for none."""
        self._row, self._column = row, column
        self.update()

    @property
    def values(self) -> np.ndarray:
        """What is shown, ``row column`` by their own numbers."""
        return self._values

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw the matrix, and lines beside the row and column pointed at."""
        super().paint(painter, rect)
        if self._pixels is None or self._map is None:
            return
        frame, _ = self._areas(rect)
        painter.save()
        painter.setClipRect(frame.adjusted(-3, -3, 3, 3))
        painter.setPen(QPen(self.ink.marker, 1.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        rows, columns = self._map.shape
        for at, order, number, upright in ((self._row, self._rows, rows, False), (self._column, self._columns, columns, True)):
            place = np.flatnonzero(order == at) if at is not None else ()
            if len(place):
                start, end = (self._from_image((int(place[0]) + side) / number, frame, upright) for side in (0, 1))
                if upright:
                    painter.drawRect(QRectF(QPointF(start, frame.top()), QPointF(max(end, start + 1), frame.bottom())))
                else:
                    painter.drawRect(QRectF(QPointF(frame.left(), start), QPointF(frame.right(), max(end, start + 1))))
        painter.restore()

    def _areas(self, rect: QRectF) -> tuple[QRectF, QRectF]:
        """Fill the room: cells need not be squares."""
        heading = 18 if self.ink is PAPER else 0
        frame = rect.adjusted(4, 4 + heading, -4 - (BAR if self._scale else 0), -4 - (CAPTION if self._caption else 0))
        return frame, QRectF(frame.right() + 8, frame.top(), BAR - 8, frame.height())

    def figure_size(self) -> QSizeF:
        """Two columns of a page wide."""
        return QSizeF(480, 360)

    def _from_image(self, share: float, frame: QRectF, horizontal: bool) -> float:
        """From [0, 1] of the image to widget coordinates, along one axis."""
        middle, start, size = (
            (self._centre.x(), frame.left(), frame.width()) if horizontal else (self._centre.y(), frame.top(), frame.height())
        )
        return start + size * (0.5 + (share - middle) * self._zoom)

    def _paint_scale_bar(self, painter: QPainter, frame: QRectF) -> None:
        """Cells are no pixels: there is no length to show."""

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag, or say what lies under the mouse."""
        cell = self._cell_at(event.position())
        if self._dragged is not None or cell is None:
            super().mouseMoveEvent(event)
            return
        text = self._tell(int(self._rows[cell[0]]), int(self._columns[cell[1]]))
        QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def data(self) -> dict[str, np.ndarray]:
        """``values`` float32 [row, column] as they are shown, and which ``rows`` and ``columns`` these are."""
        if self._map is None:
            return {}
        return {"values": self._map, "rows": self._rows, "columns": self._columns}

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self._values = np.empty((0, 0), np.float32)
        super().clear(message)
