"""Scores of layers' parts: a row for each layer, under its name, and in it a cell for each part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter
from PySide6.QtWidgets import QWidget

from widgets.views.matrix_view import MatrixView
from widgets.views.scatter_plot import COLOURS
from widgets.views.view import elided, figure_font

NAMES = 0.3
"""Most of the width that the layers' names take."""
WRITTEN = 12
"""Columns up to which the parts' names are written into the cells."""


class LayerMatrix(MatrixView):
    """Layers from the input at the top down to the output; columns are parts in their own order, or the strongest first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layers: tuple[str, ...] = ()
        self._texts: tuple[tuple[tuple[str, str], ...], ...] = ()
        self.setAccessibleName("Scores by layer and part")

    def show_scores(
        self,
        values: np.ndarray,
        layers: Sequence[str],
        texts: Sequence[Sequence[tuple[str, str]]],
        *,
        label: str,
        title: str,
        caption: str,
        tell: Callable[[int, int], str],
        made_from: Mapping[str, object],
    ) -> None:
        """Show scores ``layer part``, NaN where a layer has no such part.

        Parameters
        ----------
        layers
            Names of the rows.
        texts
            Name and score that are written into the cells of each row; the name is shortened, or left out, where there is little room.
        """
        self._layers, self._texts = tuple(layers), tuple(tuple(row) for row in texts)
        rows, columns = values.shape
        self.show_matrix(
            values, range(rows), range(columns), label=label, title=title, caption=caption, tell=tell, made_from=made_from
        )  # fmt: skip

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self._layers, self._texts = (), ()
        super().clear(message)

    def _areas(self, rect: QRectF) -> tuple[QRectF, QRectF]:
        frame, bar = super()._areas(rect)
        widest = max((QFontMetricsF(figure_font(10)).horizontalAdvance(name) for name in self._layers), default=0.0)
        frame.setLeft(frame.left() + min(widest + 17, NAMES * rect.width()))
        return frame, bar

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw the cells, the layers' names beside them, and where there is room what the cells are."""
        super().paint(painter, rect)
        if self._pixels is None or self._map is None or self._scale is None:
            return
        frame, _ = self._areas(rect)
        small, (rows, columns) = figure_font(10), self._map.shape
        metrics = QFontMetricsF(small)
        painter.save()
        painter.setFont(small)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setClipRect(QRectF(rect.left(), frame.top(), rect.width(), frame.height()))
        last = -1e9
        for row, name in enumerate(self._layers):
            top, bottom = (self._from_image((row + side) / rows, frame, False) for side in (0, 1))
            middle = (top + bottom) / 2
            if middle - last < metrics.height() - 2:
                continue
            last = middle
            room = QRectF(rect.left() + 13, middle - 8, frame.left() - rect.left() - 17, 16)
            painter.setPen(self.ink.text)
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(room, right, elided(name, room.width(), small, Qt.TextElideMode.ElideMiddle))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(COLOURS[row % len(COLOURS)]))  # as the layer's points have it in the scatters
            painter.drawEllipse(QPointF(rect.left() + 7, middle), 3, 3)
        painter.setClipRect(frame)
        if columns <= WRITTEN and frame.height() / rows >= metrics.height():
            colours = self._scale.colours(self._map)
            for row, texts in enumerate(self._texts):
                for column, (name, figure) in enumerate(texts):
                    corner, end = (
                        QPointF(
                            self._from_image((column + side) / columns, frame, True), self._from_image((row + side) / rows, frame, False)
                        )
                        for side in (0, 1)
                    )
                    room = QRectF(corner, end).adjusted(3, 0, -3, 0)
                    light = colours[row, column] @ np.array([0.3, 0.59, 0.11]) > 140
                    painter.setPen(Qt.GlobalColor.black if light else Qt.GlobalColor.white)
                    left = room.width() - metrics.horizontalAdvance(f"  {figure}")
                    shown = elided(name, left, small) if left > metrics.horizontalAdvance("mm…") else ""
                    if metrics.horizontalAdvance(figure) <= room.width():  # a figure is whole or not there
                        painter.drawText(room, Qt.AlignmentFlag.AlignCenter, f"{shown}  {figure}".strip())
        painter.restore()
