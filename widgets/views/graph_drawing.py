"""How the parts of a circuit graph are drawn: a unit as a card with its picture, an edge as a curve, the legend that explains both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter, QPainterPath, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from widgets.views.colour_scale import diverging
from widgets.views.view import Ink, blend, draw_image, elided, figure_font

SIDE = 80.0
"""Of a card's picture."""
PAD = 3.0
LINE = 15.0
WIDEST, THINNEST = 7.0, 0.8
"""Widths of edges."""
BOW = 40.0
"""How far an edge inside a row goes out of it."""
ALONG = (0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78, 0.35, 0.65)
"""Where on an edge its number may stand, the first place that is free first."""
STACK = 3.0
"""How far the cards behind a family stand out."""


@dataclass(frozen=True)
class Card:
    """One node.

    Attributes
    ----------
    address
        Of the unit, or of units taken as one.
    number
        First line below the picture: the unit's number, or how many units these are.
    name
        Second line: what it is called; may be empty.
    pictures
        One, or those of the family's first four units; None for what is not there yet.
    """

    address: str
    number: str
    name: str = ""
    pictures: tuple[QImage | None, ...] = (None,)

    @property
    def is_family(self) -> bool:
        """Whether it stands for several units."""
        return len(self.pictures) > 1


def card_size(named: bool) -> tuple[float, float]:
    """Return width and height of cards: room for one line below the picture, or for two where something is named."""
    return SIDE + 2 * PAD, SIDE + 2 * PAD + (2 if named else 1) * LINE


def paint_card(painter: QPainter, rect: QRectF, card: Card, ink: Ink, frame: QPen) -> None:
    """Draw a card: frame, picture, number and name."""
    painter.setPen(frame)
    painter.setBrush(ink.paper)
    if card.is_family:
        for behind in (2, 1):
            painter.drawRoundedRect(rect.translated(behind * STACK, -behind * STACK), 4, 4)
    painter.drawRoundedRect(rect, 4, 4)
    picture = QRectF(rect.left() + PAD, rect.top() + PAD, SIDE, SIDE)
    tiles = [picture]
    if card.is_family:
        half = (SIDE - 1) / 2
        tiles = [
            QRectF(picture.left() + column * (half + 1), picture.top() + row * (half + 1), half, half)
            for row in range(2)
            for column in range(2)
        ]
    for tile, image in zip(tiles, card.pictures, strict=False):
        if image is None:
            painter.fillRect(tile, ink.quiet)
            painter.setPen(ink.faint)
            painter.setFont(figure_font(10))
            painter.drawText(tile, Qt.AlignmentFlag.AlignCenter, "…")
        else:
            _paint_picture(painter, tile, image)
    below = QRectF(rect.left() + 2, picture.bottom() + 1, rect.width() - 4, LINE)
    lines = ((card.number, ink.text, True), (card.name, ink.faint, False))
    for text, colour, bold in lines:
        font = figure_font(13 if bold else 11, bold)
        painter.setFont(font)
        painter.setPen(colour)
        painter.drawText(below, Qt.AlignmentFlag.AlignCenter, elided(text, below.width(), font))
        below.translate(0, LINE - 1)


def _paint_picture(painter: QPainter, rect: QRectF, image: QImage) -> None:
    """Draw a picture; on the screen averaged to its size there, pixel for pixel, which is finer and faster than the painter's scaling."""
    device, place = painter.device(), painter.transform().mapRect(rect)
    pixels = round(place.width() * device.devicePixelRatioF())
    if not isinstance(device, QWidget) or not 0 < pixels <= 1.3 * image.width():
        draw_image(painter, rect, image, smooth=True)
        return
    reduced = image.scaled(pixels, pixels, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)
    reduced.setDevicePixelRatio(device.devicePixelRatioF())
    painter.save()
    painter.resetTransform()
    painter.drawImage(QPointF(round(place.left()), round(place.top())), reduced)
    painter.restore()


def edge_colour(value: float, ink: Ink) -> QColor:
    """Return red for what excites, blue for what inhibits, grey for what is not known; light enough on dark paper."""
    if not math.isfinite(value):
        return ink.line
    dark = ink.paper.lightness() < 128
    place = (214 if dark else 234) if value >= 0 else (41 if dark else 21)
    return QColor(*(int(part) for part in diverging()[place]))


def edge_width(share: float) -> float:
    """Return the width of an edge whose value is a share in [0, 1] of the largest."""
    return max(THINNEST, WIDEST * share) if math.isfinite(share) else THINNEST


def edge_path(points: Sequence[QPointF], upward: bool = True) -> QPainterPath:
    """Return a curve through points, upright at each of them."""
    path = QPainterPath(points[0])
    for start, end in pairwise(points):
        bow = 0.5 * abs(end.y() - start.y()) * (-1 if upward else 1)
        if bow == 0:  # of one row: over both
            path.cubicTo(start + QPointF(0, -BOW), end + QPointF(0, -BOW), end)
        else:
            path.cubicTo(QPointF(start.x(), start.y() + bow), QPointF(end.x(), end.y() - bow), end)
    return path


def paint_edge(painter: QPainter, path: QPainterPath, value: float, width: float, colour: QColor) -> None:
    """Draw an edge: an arrow head where it excites, a bar across its end where it inhibits, dashes where its value is not known."""
    known = math.isfinite(value)
    pen = QPen(colour, width, Qt.PenStyle.SolidLine if known else Qt.PenStyle.DashLine, Qt.PenCapStyle.FlatCap)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if not known:
        painter.drawPath(path)
        return
    last, before = (path.elementAt(path.elementCount() - place) for place in (1, 2))
    end, back = QPointF(last.x, last.y), 1.0 if before.y > last.y else -1.0  # where it comes from
    reach = 3 + 0.75 * width
    line = QPainterPath(path)
    if value >= 0:  # the line ends inside the head, so that the tip is sharp
        line.setElementPositionAt(path.elementCount() - 1, last.x, last.y + back * 1.3 * reach)
    painter.drawPath(line)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    if value >= 0:
        painter.drawPolygon(QPolygonF([end, end + QPointF(-reach, back * 1.6 * reach), end + QPointF(reach, back * 1.6 * reach)]))
    else:
        thick = max(2.0, 0.4 * width)
        painter.drawRect(QRectF(end.x() - reach, end.y() if back > 0 else end.y() - thick, 2 * reach, thick))


def paint_number(painter: QPainter, path: QPainterPath, text: str, colour: QColor, ink: Ink, taken: list[QRectF]) -> None:
    """Write an edge's number on it, on a piece of paper, where none of the places `taken` is covered; it is taken from then on."""
    font = figure_font(10)
    room = QFontMetricsF(font).horizontalAdvance(text) + 4
    boxes = [QRectF(at.x() - room / 2, at.y() - 6.5, room, 13) for at in map(path.pointAtPercent, ALONG)]
    box = next((box for box in boxes if not any(box.intersects(other) for other in taken)), boxes[0])
    taken.append(box)
    painter.fillRect(box, ink.paper)
    painter.setFont(font)
    painter.setPen(blend(colour, ink.text, 0.7))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def wrapped(text: str, width: float, font: QFont) -> list[str]:
    """Break a text into lines no wider than `width`, at spaces."""
    metrics, lines = QFontMetricsF(font), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if metrics.horizontalAdvance(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def paint_legend(painter: QPainter, rect: QRectF, ink: Ink, scale: float, unknown: bool, notes: Sequence[str]) -> None:
    """Show colours and widths in one line, and write what they mean and what else must be known in the lines below.

    Parameters
    ----------
    scale
        How much larger than on its page the graph is drawn.
    unknown
        Whether there are edges without a value.
    notes
        Lines that fit, as of `wrapped`.
    """
    font = figure_font(11)
    metrics = QFontMetricsF(font)
    x, y = rect.left(), rect.top() + 8
    kinds = [(1.0, "excites"), (-1.0, "inhibits"), *([(math.nan, "not computed")] if unknown else [])]
    for value, text in kinds:
        painter.save()
        painter.translate(x, y)
        painter.rotate(90)  # edges are drawn upwards, these lie
        colour = edge_colour(value, ink)
        paint_edge(painter, edge_path([QPointF(0, 0), QPointF(0, -30)]), value, 2.5, colour)
        painter.restore()
        painter.setFont(font)
        painter.setPen(ink.text)
        painter.drawText(QPointF(x + 36, y + 4), text)
        x += 36 + metrics.horizontalAdvance(text) + 18
    for share in (1.0, 0.5, 0.1):
        painter.setPen(QPen(ink.text, scale * edge_width(share), Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
        painter.drawLine(QPointF(x, y), QPointF(x + 24, y))
        text = f"{share:.0%}".replace("%", " %")
        painter.setFont(font)
        painter.setPen(ink.text)
        painter.drawText(QPointF(x + 29, y + 4), text)
        x += 29 + metrics.horizontalAdvance(text) + 12
    painter.setFont(figure_font(10))
    painter.setPen(ink.faint)
    below = QRectF(rect.left(), y + 10, rect.width(), LINE)
    for note in notes:
        painter.drawText(below, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, note)
        below.translate(0, LINE)
