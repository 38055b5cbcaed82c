"""What was found, under headings: each finding with pictures of its units and of what they read, a line of words, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, QSizeF, Qt, Signal
from PySide6.QtGui import QHelpEvent, QKeyEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.views.view import PAPER, ViewWidget, as_image, blend, draw_image, elided, figure_font, fit

HEADING, GAP = 44.0, 6.0
PICTURE, SMALL = 46.0, 34.0
ROW = PICTURE + 22.0
FIGURES = 108.0
"""Width of the column with score and q."""
EXPORTED = 40
"""Findings that a figure shows; the file with the numbers has all."""


@dataclass(frozen=True)
class Found:
    """One finding: addresses of its units and of what they read, words, score and q.

    Attributes
    ----------
    marked
        What it is to be taken for, where with care.
    pattern
        uint8 ``y x 3`` of the kernel that it is about, or None.
    """

    units: tuple[str, ...]
    inputs: tuple[str, ...]
    words: str
    score: float
    q: float
    marked: str = ""
    pattern: np.ndarray | None = None


@dataclass(frozen=True)
class Group:
    """Findings under one heading: its title, a line of counts, and what is said where there are none."""

    title: str
    counts: str
    found: tuple[Found, ...]
    nothing: str = ""


class FindingList(ViewWidget):
    """Groups under one another, as tall as they are; pictures come from a function of the address, None while there is none."""

    picked = Signal(str)
    """Address of the unit whose picture was clicked."""
    chosen = Signal(int)
    """Place of the finding that was chosen, counted over all groups."""
    opened = Signal(int)
    """Place of the finding that was double-clicked, or chosen with Enter."""

    def __init__(self, pictures: Callable[[str], np.ndarray | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pictures = pictures
        self.groups: tuple[Group, ...] = ()
        self.message = ""
        self.current = -1
        self.setMouseTracking(True)

    def show_groups(self, groups: Sequence[Group], *, title: str = "", made_from: Mapping[str, object] | None = None) -> None:
        """Show these; none shows the message."""
        self.groups, self.title, self.made_from = tuple(groups), title, made_from or {}
        self.current = -1
        self.setAccessibleDescription("; ".join(f"{group.title}: {group.counts}" for group in groups))
        self.setMinimumHeight(round(self._height()) if groups else 0)
        self.updateGeometry()
        self.update()

    def clear(self, message: str) -> None:
        """Show nothing but a message."""
        self.message = message
        self.show_groups(())

    @property
    def found(self) -> list[Found]:
        """All findings, in the order shown."""
        return [one for group in self.groups for one in group.found]

    def choose(self, place: int) -> None:
        """Choose a finding."""
        if 0 <= place < len(self.found):
            self.current = place
            self.update()
            self.chosen.emit(place)

    # ------------------------------------------------------------------------------------------------ geometry

    def _height(self) -> float:
        return sum(HEADING + (len(group.found) or 0.35) * ROW + GAP for group in self.groups)

    def _rows(self) -> list[tuple[Group, int, float]]:
        """Return each finding's group, its place in it, and where it begins."""
        rows, y = [], 0.0
        for group in self.groups:
            y += HEADING
            rows += [(group, place, y + place * ROW) for place in range(len(group.found))]
            y += (len(group.found) or 0.35) * ROW + GAP
        return rows

    def _boxes(self, found: Found, top: float, width: float) -> list[tuple[str, QRectF]]:
        """Return the addresses of a finding with the places of their pictures: its units, then smaller what they read."""
        x, boxes = 10.0 + (PICTURE + 12 if found.pattern is not None else 0), []
        room = max(2, int((width - FIGURES - 60) // (PICTURE + 4)))
        for address in found.units[: max(1, min(6, room // 2 if found.inputs else room))]:
            boxes.append((address, QRectF(x, top + 2, PICTURE, PICTURE)))
            x += PICTURE + 4
        x += 26
        for address in found.inputs[:8]:
            if x + SMALL > width - FIGURES:
                break
            boxes.append((address, QRectF(x, top + 2 + (PICTURE - SMALL) / 2, SMALL, SMALL)))
            x += SMALL + 4
        return boxes

    def visible_addresses(self, low: float, high: float) -> list[str]:
        """Return the addresses whose pictures lie between two heights."""
        shown: dict[str, None] = {}
        for group, place, top in self._rows():
            if top + ROW > low and top < high:
                shown |= dict.fromkeys(address for address, _ in self._boxes(group.found[place], top, self.width()))
        return list(shown)

    def exported_addresses(self) -> list[str]:
        """Return the addresses whose pictures a figure shows."""
        width, shown = self.figure_size().width(), self._share()
        found = [one for group in self.groups for one in group.found[:shown]]
        return list(dict.fromkeys(address for one in found for address, _ in self._boxes(one, 0, width)))

    def _share(self) -> int:
        """Return how many findings of a group a figure shows."""
        return EXPORTED if len(self.found) <= EXPORTED else max(1, EXPORTED // max(1, sum(bool(group.found) for group in self.groups)))

    def place_of(self, place: int) -> tuple[float, float]:
        """Return where a finding begins, and how tall it is."""
        return self._rows()[place][2], ROW

    def figure_size(self) -> QSizeF:
        """As wide as a page; the first findings of all."""
        shown = sum(min(self._share(), len(group.found)) for group in self.groups)
        return QSizeF(640, 26 + len(self.groups) * (HEADING + GAP + 0.35 * ROW) + shown * ROW)

    def sizeHint(self) -> QSize:
        """Ask for the height of all findings."""
        return QSize(420, round(self._height()))

    # ------------------------------------------------------------------------------------------------ drawing

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw what is to be seen."""
        ink = self.ink
        if not self.groups:
            painter.setPen(ink.faint)
            area = rect.adjusted(24, 12, -24, -12)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)
            return
        paper = ink is PAPER
        seen = QRectF(rect) if paper else QRectF(self.visibleRegion().boundingRect())
        y = rect.top()
        if paper:
            painter.setFont(figure_font(12, bold=True))
            painter.setPen(ink.text)
            painter.drawText(QPointF(rect.left() + 8, y + 16), elided(self.title, rect.width() - 16, painter.font()))
            y += 26
        share, number = self._share(), 0
        for group in self.groups:
            head = QRectF(rect.left() + 8, y + 4, rect.width() - 16, HEADING - 4)
            if head.intersects(seen):
                self._paint_heading(painter, group, head)
            y += HEADING
            if not group.found:
                painter.setPen(ink.faint)
                painter.setFont(figure_font(11))
                where = QRectF(rect.left() + 10, y - 4, rect.width() - 20, 0.35 * ROW + 4)
                painter.drawText(where, Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWordWrap, group.nothing)
            shown = group.found[:share] if paper else group.found
            for place, one in enumerate(shown):
                area = QRectF(rect.left(), y + place * ROW, rect.width(), ROW)
                if area.intersects(seen):
                    self._paint_found(painter, one, area, number + place == self.current and not paper)
            y += (len(shown) or 0.35) * ROW + GAP
            number += len(group.found)

    def _paint_heading(self, painter: QPainter, group: Group, head: QRectF) -> None:
        ink = self.ink
        painter.setPen(ink.text)
        painter.setFont(figure_font(13, bold=True))
        painter.drawText(head, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, group.title)
        painter.setPen(ink.faint)
        painter.setFont(figure_font(11))
        below = head.adjusted(0, 18, 0, 0)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, elided(group.counts, below.width(), painter.font()))
        painter.setPen(ink.line)
        painter.drawLine(head.bottomLeft() - QPointF(0, 5), head.bottomRight() - QPointF(0, 5))

    def _paint_found(self, painter: QPainter, found: Found, area: QRectF, current: bool) -> None:
        ink = self.ink
        if current:
            painter.fillRect(area, blend(ink.accent, ink.paper, 0.16))
        if found.pattern is not None:
            image = as_image(found.pattern)
            box = QRectF(area.left() + 10, area.top() + 2, PICTURE, PICTURE)
            draw_image(painter, fit(box, image.width(), image.height()), image, smooth=False)
        boxes = self._boxes(found, area.top(), area.width())
        units = [box for address, box in boxes if address in found.units]
        inputs = [box for address, box in boxes if address not in found.units]
        for address, box in boxes:
            self._paint_picture(painter, address, box.translated(area.left(), 0))
        painter.setPen(ink.faint)
        painter.setFont(figure_font(16))
        if units and inputs:
            arrow = QRectF(units[-1].right() + 4 + area.left(), area.top() + 2, 22, PICTURE)
            painter.drawText(arrow, Qt.AlignmentFlag.AlignCenter, "←")
        words = QRectF(area.left() + 10, area.top() + PICTURE + 4, area.width() - 20, 15)
        painter.setFont(figure_font(11))
        text = f"{', '.join(found.units)}: {found.words}" if len(found.units) < 3 and found.pattern is None else found.words
        painter.setPen(ink.text)
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, elided(text, words.width(), painter.font()))
        right = QRectF(area.right() - FIGURES, area.top() + 4, FIGURES - 10, PICTURE)
        painter.setFont(figure_font(12, bold=True))
        painter.drawText(right, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, f"{found.score:.2f}")
        painter.setFont(figure_font(11))
        painter.setPen(ink.faint)
        painter.drawText(right.adjusted(0, 16, 0, 0), Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, said_q(found.q))
        if found.marked:
            painter.setPen(ink.marker)
            painter.drawText(right.adjusted(0, 31, 0, 0), Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, found.marked)

    def _paint_picture(self, painter: QPainter, address: str, box: QRectF) -> None:
        pixels = self._pictures(address)
        if pixels is not None:
            image = as_image(pixels)
            draw_image(painter, fit(box, image.width(), image.height()), image, smooth=True)
            return
        painter.fillRect(box, self.ink.quiet)
        painter.setPen(self.ink.faint)
        painter.setFont(figure_font(10))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, address.rpartition(":")[2])

    # ------------------------------------------------------------------------------------------------ data, mouse and keys

    def data(self) -> dict[str, np.ndarray]:
        """``kind`` ``units`` ``inputs`` ``words`` str [n], ``score`` ``q`` float64 [n]."""
        found = self.found
        return {
            "kind": np.array([group.title for group in self.groups for _ in group.found], str),
            "units": np.array([" ".join(one.units) for one in found], str),
            "inputs": np.array([" ".join(one.inputs) for one in found], str),
            "words": np.array([one.words for one in found], str),
            "score": np.array([one.score for one in found], float),
            "q": np.array([one.q for one in found], float),
        }

    def _hit(self, position: QPointF) -> tuple[int, str]:
        """Return the finding at a position, -1 for none, and the address of the picture there, empty for none."""
        for place, (group, at, top) in enumerate(self._rows()):
            if top <= position.y() < top + ROW:
                boxes = self._boxes(group.found[at], top, self.width())
                return place, next((address for address, box in boxes if box.contains(position)), "")
        return -1, ""

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the finding, and pick the unit whose picture is clicked."""
        place, address = self._hit(event.position())
        if place >= 0 and event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton):
            self.choose(place)
            if address and event.button() == Qt.MouseButton.LeftButton:
                self.picked.emit(address)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Open the finding."""
        place, address = self._hit(event.position())
        if place >= 0 and not address and event.button() == Qt.MouseButton.LeftButton:
            self.choose(place)
            self.opened.emit(place)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show by the cursor what can be clicked."""
        over = bool(self._hit(event.position())[1])
        self.setCursor(Qt.CursorShape.PointingHandCursor if over else Qt.CursorShape.ArrowCursor)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up and down choose, Enter opens."""
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        if step is not None and self.found:
            self.choose(min(max(0, self.current + step), len(self.found) - 1))
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current >= 0:
            self.opened.emit(self.current)
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Show the address of the unit under the mouse, or all words of the finding."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            place, address = self._hit(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), address or (self.found[place].words if place >= 0 else ""), self)
            return True
        return super().event(event)


def said_q(q: float) -> str:
    """Return a corrected p for people."""
    return "q < 1e-12" if q < 1e-12 else f"q = {q:.2g}"
