"""How much of a difference each part of each block carries: a line for a block, a cell with a bar for each of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import QHelpEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.views.view import ViewWidget, blend, elided, figure_font

LINE, LOWEST, TITLE, SAID = 21.0, 15.0, 34.0, 16.0
NAMES = 92.0


@dataclass(frozen=True)
class Row:
    """One block.

    Attributes
    ----------
    parts
        Names of its parts.
    scores
        One for each, None while they are not known.
    old
        Whether they are of an earlier pair of images.
    """

    block: str
    parts: tuple[str, ...]
    scores: np.ndarray | None = None
    old: bool = False


class PartBars(ViewWidget):
    """Bars from 0 (nothing comes with the part) to 1 (all of the difference does), blue; those that go the other way orange."""

    clicked = Signal(str)
    """The name of a block that was clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.message = ""
        self.caption = ""
        self.rows: tuple[Row, ...] = ()
        self.setMinimumSize(180, 90)
        self.setAccessibleName("What each part carries")

    def show_rows(
        self, rows: Sequence[Row], *, title: str, caption: str = "", made_from: Mapping[str, object] | None = None
    ) -> None:
        """Show blocks from early to late."""
        self.rows, self.title, self.caption, self.message = tuple(rows), title, caption, ""
        self.made_from = made_from or {}
        known = [f"{part} {score:.2f}" for row in rows if row.scores is not None for part, score in _paired(row)]
        self.setAccessibleDescription("; ".join(known))
        self.update()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self.rows, self.message = (), message
        self.update()

    def _columns(self) -> tuple[int, tuple[str, ...]]:
        """Return how many cells stand side by side, and their headings: what the parts of all blocks have in common."""
        number = max((len(row.parts) for row in self.rows), default=1)
        endings = [tuple(_within(part, row.block) for part in row.parts) for row in self.rows]
        return number, endings[0] if len(set(endings)) == 1 and number > 1 else ()

    def _cells(self, rect: QRectF) -> list[tuple[Row, QRectF, list[QRectF]]]:
        """Return each block with the place of its name and of its cells."""
        area = rect.adjusted(8, 4, -8, -4)
        number, headings = self._columns()
        top = area.top() + TITLE + (SAID if headings else 0)
        wide = (area.width() - NAMES) / number
        line = max(LOWEST, min(LINE, (area.bottom() + 4 - top) / max(1, len(self.rows))))
        found = []
        for place, row in enumerate(self.rows):
            y = top + place * line
            name = QRectF(area.left(), y, NAMES - 6, line - 3)
            found.append((row, name, [QRectF(area.left() + NAMES + at * wide, y, wide - 4, line - 3) for at in range(len(row.parts))]))
        return found

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw title, headings and cells."""
        ink = self.ink
        area = rect.adjusted(8, 4, -8, -4)
        if not self.rows:
            painter.setPen(ink.faint)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)
            return
        bold, font, small = figure_font(11, bold=True), figure_font(11), figure_font(10)
        painter.setFont(bold)
        painter.setPen(ink.text)
        painter.drawText(QPointF(area.left(), area.top() + 11), elided(self.title, area.width(), bold))
        painter.setFont(small)
        painter.setPen(ink.faint)
        painter.drawText(QPointF(area.left(), area.top() + 26), elided(self.caption, area.width(), small))
        _, headings = self._columns()
        cells = self._cells(rect)
        for heading, cell in zip(headings, cells[0][2], strict=True) if headings else ():
            above = QRectF(cell.left(), cell.top() - SAID, cell.width(), SAID)
            painter.drawText(above, Qt.AlignmentFlag.AlignVCenter, elided(heading, cell.width(), small))
        for row, name, places in cells:
            if name.bottom() > rect.bottom() + 1:
                break
            painter.setFont(font)
            painter.setPen(ink.text)
            middle = Qt.TextElideMode.ElideMiddle
            painter.drawText(
                name, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, elided(row.block, name.width(), font, middle)
            )
            for at, place in enumerate(places):
                score = None if row.scores is None else float(row.scores[at])
                self._cell(painter, place, "" if headings else _within(row.parts[at], row.block), score, row.old)

    def _cell(self, painter: QPainter, place: QRectF, name: str, score: float | None, old: bool) -> None:
        ink, small = self.ink, figure_font(10)
        painter.fillRect(place, ink.quiet)
        if score is not None and np.isfinite(score):
            share = 0.25 if old else 0.55
            colour = blend(ink.bar if score >= 0 else ink.marker, ink.paper, share)
            painter.fillRect(QRectF(place.left(), place.top(), place.width() * min(1.0, abs(score)), place.height()), colour)
        painter.setFont(small)
        inside = place.adjusted(4, 0, -4, 0)
        painter.setPen(ink.faint)
        painter.drawText(inside, Qt.AlignmentFlag.AlignVCenter, elided(name, max(0.0, inside.width() - 34), small))
        painter.setPen(ink.faint if old else ink.text)
        painter.drawText(
            inside, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, "…" if score is None else f"{score:.2f}"
        )

    def _under(self, position: QPointF) -> tuple[Row, int] | None:
        for row, name, places in self._cells(QRectF(self.rect())):
            if name.contains(position):
                return row, -1
            for at, place in enumerate(places):
                if place.contains(position):
                    return row, at
        return None

    def event(self, event: QEvent) -> bool:
        """Say what is under the mouse."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            under = self._under(QPointF(event.pos()))
            if under is not None:
                row, at = under
                whole = f"{row.block}: everything passes through it, so as a whole it carries 1. Click to look at the layer."
                score = "" if row.scores is None or at < 0 else f" carries {row.scores[at]:.3f} of the difference"
                QToolTip.showText(event.globalPos(), whole if at < 0 else f"{row.parts[at]}{score}", self)
            else:
                QToolTip.hideText()
            return True
        return super().event(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Say which block was clicked."""
        under = self._under(event.position())
        if event.button() == Qt.MouseButton.LeftButton and under is not None:
            self.clicked.emit(under[0].block)
        super().mousePressEvent(event)

    def data(self) -> dict[str, np.ndarray]:
        """``parts`` str ``n`` and ``scores`` float64 ``n``, of all blocks that are known."""
        known = [pair for row in self.rows if row.scores is not None and not row.old for pair in _paired(row)]
        if not known:
            return {}
        return {"parts": np.array([part for part, _ in known]), "scores": np.array([score for _, score in known])}

    def figure_size(self) -> QSizeF:
        """One line for each block."""
        return QSizeF(460, TITLE + SAID + 8 + LINE * max(3, len(self.rows)))


def _paired(row: Row) -> list[tuple[str, float]]:
    assert row.scores is not None
    return list(zip(row.parts, row.scores.tolist(), strict=True))


def _within(part: str, block: str) -> str:
    """Return what a part is called inside its block."""
    return part.removeprefix(block).lstrip(".:") or part
