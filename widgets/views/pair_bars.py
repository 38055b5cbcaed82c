"""Two numbers for each name, one of the clean and one of the corrupt image, as a pair of bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter
from PySide6.QtWidgets import QWidget

from widgets.views.axes import number
from widgets.views.view import ViewWidget, blend, elided, figure_font

LINE, TITLE = 25.0, 32.0
NUMBERS = 46.0


class PairBars(ViewWidget):
    """One line for each name: the name, the bar of the clean image over that of the corrupt one, both numbers."""

    clicked = Signal(int)
    """The place of a line that was clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.message = ""
        self._names: tuple[str, ...] = ()
        self._clean = self._corrupt = np.zeros(0)
        self._whole, self._write = 1.0, number
        self._marked = -1
        self.setMinimumSize(140, 90)

    def show_pairs(
        self,
        names: Sequence[str],
        clean: np.ndarray,
        corrupt: np.ndarray,
        *,
        title: str,
        whole: float | None = None,
        write: Callable[[float], str] = number,
        marked: int = -1,
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show pairs.

        Parameters
        ----------
        whole
            What a full bar is; the largest number without.
        write
            Writes a number beside its bar.
        marked
            The line that is selected, -1 for none.
        """
        self._names, self._clean, self._corrupt = tuple(names), np.asarray(clean, float), np.asarray(corrupt, float)
        largest = float(np.abs(np.concatenate([self._clean, self._corrupt])).max(initial=0.0))
        self._whole = whole if whole is not None else largest or 1.0
        self._write, self._marked, self.message = write, marked, ""
        self.title, self.made_from = title, made_from or {}
        pairs = zip(self._names, self._clean.tolist(), self._corrupt.tolist(), strict=True)
        self.setAccessibleDescription("; ".join(f"{name}: clean {write(one)}, corrupt {write(other)}" for name, one, other in pairs))
        self.update()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self._names, self._clean, self._corrupt, self.message = (), np.zeros(0), np.zeros(0), message
        self.update()

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw the lines that there is room for."""
        ink = self.ink
        area = rect.adjusted(8, 4, -8, -4)
        if not self._names:
            painter.setPen(ink.faint)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)
            return
        bold, font, small = figure_font(11, bold=True), figure_font(11), figure_font(9)
        painter.setFont(bold)
        painter.setPen(ink.text)
        painter.drawText(QPointF(area.left(), area.top() + 11), elided(self.title, area.width(), bold))
        colours = blend(ink.bar, ink.paper, 0.85), blend(ink.marker, ink.paper, 0.85)
        painter.setFont(font)
        left = area.left()
        for word, colour in zip(("clean", "corrupt"), colours, strict=True):
            painter.fillRect(QRectF(left, area.top() + 18, 9, 7), colour)
            painter.setPen(ink.faint)
            painter.drawText(QPointF(left + 13, area.top() + 26), word)
            left += 22 + painter.fontMetrics().horizontalAdvance(word)
        name_width = min(0.42 * area.width(), 150.0)
        room = area.width() - name_width - NUMBERS - 12
        zero = area.left() + name_width + 6 + (room / 2 if self._signed() else 0)
        scale = (room / 2 if self._signed() else room) / (self._whole or 1)
        for place, name in enumerate(self._names):
            line = QRectF(area.left(), area.top() + TITLE + place * LINE, area.width(), LINE - 2)
            if line.bottom() > rect.bottom() + 1:
                break
            if place == self._marked:
                painter.fillRect(line.adjusted(-4, -1, 4, 1), blend(ink.accent, ink.paper, 0.18))
            painter.setPen(ink.text)
            named = QRectF(line.left(), line.top(), name_width, line.height())
            painter.drawText(named, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, elided(name, name_width, font))
            for row, (value, colour) in enumerate(zip((self._clean[place], self._corrupt[place]), colours, strict=True)):
                top = line.top() + row * line.height() / 2
                track = QRectF(area.left() + name_width + 6, top + 1.5, room, line.height() / 2 - 3)
                painter.fillRect(track, ink.quiet)
                long = min(room, max(-room / 2 if self._signed() else 0.0, float(value) * scale)) if np.isfinite(value) else 0.0
                painter.fillRect(QRectF(zero, track.top(), long, track.height()).normalized(), colour)
                painter.setPen(ink.faint)
                painter.setFont(small)
                beside = QRectF(line.right() - NUMBERS, top, NUMBERS, line.height() / 2)
                painter.drawText(beside, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, self._write(float(value)))
                painter.setFont(font)

    def _signed(self) -> bool:
        return bool((np.concatenate([self._clean, self._corrupt]) < 0).any())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Say which line was clicked."""
        place = int((event.position().y() - 4 - TITLE) // LINE)
        if event.button() == Qt.MouseButton.LeftButton and 0 <= place < len(self._names):
            self.clicked.emit(place)
        super().mousePressEvent(event)

    def data(self) -> dict[str, np.ndarray]:
        """``names`` str ``n``, ``clean`` and ``corrupt`` float64 ``n``."""
        return {"names": np.array(self._names), "clean": self._clean, "corrupt": self._corrupt} if self._names else {}

    def figure_size(self) -> QSizeF:
        """Half a page wide, one line for each name."""
        return QSizeF(340, TITLE + 8 + LINE * max(3, len(self._names)))
