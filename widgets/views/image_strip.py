"""Images in labelled rows: dataset examples by range of activation, feature visualizations by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, QSizeF, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QFontMetricsF,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import QMenu, QScrollArea, QToolTip, QWidget

from widgets.ancestry import outwards
from widgets.views.axes import number
from widgets.views.view import PAPER, ViewWidget, as_image, draw_image, elided, figure_font, fit

GAP = 6.0
HEADER = 18.0
LINE = 13.0


@dataclass(frozen=True)
class Picture:
    """One image of a strip.

    Attributes
    ----------
    pixels
        uint8 ``y x 3``, or None while it is not there yet.
    caption
        First line below it, such as the activation.
    label
        Second line, such as what the image shows; may be empty.
    value
        The number behind the caption; NaN for none.
    tip
        Tooltip.
    mark
        Where to look: ``(y, x)`` in [0, 1] of the image, drawn as a small ring; None for nowhere.
    chosen
        Whether it is the one that is open now; it gets a frame.
    """

    pixels: np.ndarray | None
    caption: str = ""
    label: str = ""
    value: float = math.nan
    tip: str = ""
    mark: tuple[float, float] | None = None
    chosen: bool = False


@dataclass(frozen=True)
class Row:
    """A labelled row of images; `note` stands at the right of its heading. It may wrap into so many lines; what is left is not drawn."""

    label: str
    pictures: tuple[Picture, ...]
    note: str = ""
    lines: int = 1


class ImageStrip(ViewWidget):
    """Rows of images under one another, as many side by side as the width allows.

    Parameters
    ----------
    smallest, largest
        Width of an image in pixels: rows shrink to the smallest before images are wrapped or left out.
    """

    picked = Signal(int, int)
    """Row and place of the image that was clicked, or chosen with Enter."""

    def __init__(self, parent: QWidget | None = None, *, smallest: int = 60, largest: int = 112) -> None:
        super().__init__(parent)
        self._rows: tuple[Row, ...] = ()
        self._smallest, self._largest = smallest, largest
        self._focused = (0, 0)
        self.message = ""
        self.offers: Callable[[QMenu, int, int], None] | None = None
        """Adds what can be done with an image to the menu, by its row and place."""
        self._asked_at: tuple[int, int] | None = None
        self.setMouseTracking(True)

    @property
    def rows(self) -> tuple[Row, ...]:
        """What is shown."""
        return self._rows

    def show_rows(self, rows: Sequence[Row], *, title: str = "", made_from: Mapping[str, object] | None = None) -> None:
        """Show these rows; an empty sequence shows the message."""
        if [len(row.pictures) for row in rows] != [len(row.pictures) for row in self._rows]:
            self._focused = (0, 0)
        self._rows = tuple(rows)
        self.title = title
        self.made_from = made_from or {}
        described = "; ".join(f"{row.label}: {len(row.pictures)} images" for row in rows)
        self.setAccessibleDescription(described)
        self._keep_bars()
        self._fit_height()
        self.update()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self.message = message
        self.show_rows(())

    # ------------------------------------------------------------------------------------------------ geometry

    def _columns(self, width: float) -> tuple[int, float]:
        """Images side by side, and the width of one."""
        longest = max((len(row.pictures) for row in self._rows), default=1) or 1
        room = width - 16
        columns = max(1, min(longest, int((room + GAP) // (self._smallest + GAP))))
        return columns, min(float(self._largest), (room + GAP) / columns - GAP)

    @property
    def _caption_lines(self) -> int:
        pictures = [picture for row in self._rows for picture in row.pictures]
        return any(p.caption for p in pictures) + any(p.label for p in pictures)

    def _places(self, width: float, y: float = 4.0) -> list[tuple[QRectF, list[QRectF]]]:
        """For each row: the rectangle of its heading, and of the images that fit. `y` is where the first row begins."""
        columns, side = self._columns(width)
        below = self._caption_lines * LINE
        placed = []
        for row in self._rows:
            head = QRectF(8, y, width - 16, HEADER)
            y += HEADER if row.label or row.note else 0
            shown = min(len(row.pictures), columns * row.lines)
            rects = [
                QRectF(8 + place % columns * (side + GAP), y + place // columns * (side + below + GAP), side, side)
                for place in range(shown)
            ]
            y += max(1, math.ceil(shown / columns)) * (side + below + GAP)
            placed.append((head, rects))
        self._bottom = y
        return placed

    def height_for(self, width: float) -> float:
        """Height that all rows take at a width."""
        if not self._rows:
            return 56.0 if self.message else 0.0
        self._places(width)
        return self._bottom + 2

    def figure_size(self) -> QSizeF:
        """As wide as the page of a paper, as tall as the rows are."""
        longest = max((len(row.pictures) for row in self._rows), default=1) or 1
        width = min(624.0, 16 + longest * (self._largest + GAP))
        return QSizeF(width, self.height_for(width) + HEADER)

    def _fit_height(self) -> None:
        self.setFixedHeight(math.ceil(self.height_for(self.width())))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Take the height that the rows need at this width."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit_height()

    def showEvent(self, event: QShowEvent) -> None:
        """Let the bars beside images stay from now on."""
        super().showEvent(event)
        self._keep_bars()

    def _keep_bars(self) -> None:
        """Where images are scrolled, let the bar stay: beside it they are less tall, so one as needed comes and goes endlessly."""
        for at in outwards(self) if self._rows else ():
            if isinstance(at, QScrollArea):
                at.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)

    def sizeHint(self) -> QSize:
        """Ask for a usual panel's width."""
        return QSize(360, math.ceil(self.height_for(360)))

    def minimumSizeHint(self) -> QSize:
        """Hold at least two images."""
        return QSize(2 * self._smallest + 24, 0)

    # ------------------------------------------------------------------------------------------------ drawing

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw headings, images and captions."""
        ink = self.ink
        painter.save()
        painter.translate(rect.topLeft())
        if not self._rows:
            painter.setPen(ink.faint)
            area = QRectF(12, 0, rect.width() - 24, rect.height())
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)
            painter.restore()
            return
        bold, small = figure_font(11, bold=True), figure_font(10)
        top = 4.0
        if ink is PAPER:  # on the screen the panel has a heading of its own
            painter.setFont(figure_font(12, bold=True))
            painter.setPen(ink.text)
            painter.drawText(QPointF(8, 16), elided(self.title, rect.width() - 16, painter.font()))
            top += HEADER
        for row, (head, rects) in zip(self._rows, self._places(rect.width(), top), strict=True):
            if row.note:
                painter.setFont(small)
                painter.setPen(ink.faint)
                beside = QFontMetricsF(bold).horizontalAdvance(row.label) + GAP if row.label else 0.0
                note = elided(row.note, max(0.0, min(head.width() * 0.75, head.width() - beside)), small)
                painter.drawText(head, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, note)
            painter.setFont(bold)
            painter.setPen(ink.text)
            painter.drawText(head, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, row.label)
            for picture, place in zip(row.pictures, rects, strict=False):
                self._paint_picture(painter, picture, place)
        painter.restore()

    def _paint_picture(self, painter: QPainter, picture: Picture, place: QRectF) -> None:
        ink, small = self.ink, figure_font(10)
        if picture.pixels is None:
            painter.fillRect(place, ink.quiet)
            painter.setPen(ink.faint)
            painter.setFont(small)
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, "…")
        else:
            image = as_image(picture.pixels)
            ratio = painter.device().devicePixelRatioF()
            width = place.width() * ratio
            # Qt's painter samples when it shrinks; averaging first keeps fine texture as it is. Files keep every pixel.
            if isinstance(painter.device(), QWidget) and image.width() > 1.5 * width:
                image = image.scaled(
                    round(width),
                    round(width),
                    Qt.AspectRatioMode.KeepAspectRatio,
                    Qt.TransformationMode.SmoothTransformation,
                )
            painted = fit(place, image.width(), image.height())
            draw_image(painter, painted, image, smooth=4 * image.width() > place.width())
            if picture.mark is not None:
                centre = painted.topLeft() + QPointF(
                    picture.mark[1] * painted.width(), picture.mark[0] * painted.height()
                )
                painter.setBrush(Qt.BrushStyle.NoBrush)
                for colour, thick in ((Qt.GlobalColor.black, 2.4), (Qt.GlobalColor.white, 1)):
                    painter.setPen(QPen(colour, thick))
                    painter.drawEllipse(centre, 4, 4)
        if picture.chosen:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(ink.marker, 2))
            painter.drawRect(place.adjusted(-2, -2, 2, 2))
        y = place.bottom()
        painter.setFont(small)
        for text, colour in ((picture.caption, ink.text), (picture.label, ink.faint)):
            if text:
                painter.setPen(colour)
                line = QRectF(place.left(), y, place.width(), LINE)
                painter.drawText(line, Qt.AlignmentFlag.AlignCenter, elided(text, place.width(), small))
                y += LINE

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint, and frame the image that the keyboard is on."""
        super().paintEvent(event)
        if self.hasFocus() and (place := self._place(*self._focused)) is not None:
            painter = QPainter(self)
            painter.setPen(QPen(self.ink.accent, 2))
            painter.drawRect(place.adjusted(-2, -2, 2, 2))

    def _place(self, row: int, picture: int) -> QRectF | None:
        if not self._rows:
            return None
        places = self._places(self.width())
        return places[row][1][picture] if row < len(places) and picture < len(places[row][1]) else None

    def data(self) -> dict[str, np.ndarray]:
        """Per row ``images_I`` uint8 [n, y, x, 3] (where all have one size) and ``values_I`` float64 [n]."""
        arrays: dict[str, np.ndarray] = {"rows": np.array([row.label for row in self._rows])}
        for index, row in enumerate(self._rows):
            pictures = [p for p in row.pictures if p.pixels is not None]
            arrays[f"values_{index}"] = np.array([p.value for p in pictures])
            arrays[f"captions_{index}"] = np.array([f"{p.caption} {p.label}".strip() for p in pictures])
            if pictures and len({p.pixels.shape for p in pictures if p.pixels is not None}) == 1:
                arrays[f"images_{index}"] = np.stack([p.pixels for p in pictures if p.pixels is not None])
            else:
                arrays |= {f"image_{index}_{i}": p.pixels for i, p in enumerate(pictures) if p.pixels is not None}
        return arrays

    def provenance(self) -> dict[str, object]:
        """Name the rows and every image's caption and tooltip."""
        rows = [
            {
                "label": row.label,
                "note": row.note,
                "images": [
                    {
                        "caption": p.caption,
                        "label": p.label,
                        "value": None if math.isnan(p.value) else number(p.value),
                        "source": p.tip,
                    }
                    for p in row.pictures
                ],
            }
            for row in self._rows
        ]
        return super().provenance() | {"rows": rows}

    # ------------------------------------------------------------------------------------------------ mouse and keys

    def _hit(self, position: QPointF) -> tuple[int, int] | None:
        for index, (_, rects) in enumerate(self._places(self.width())):
            for place, rect in enumerate(rects):
                if rect.contains(position):
                    return index, place
        return None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pick the image under the mouse."""
        hit = self._hit(event.position())
        if hit is not None and event.button() == Qt.MouseButton.LeftButton:
            self._focused = hit
            self.update()
            self.picked.emit(*hit)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Open the menu of the image under the mouse, or of the one that the keyboard is on."""
        by_mouse = event.reason() == QContextMenuEvent.Reason.Mouse
        self._asked_at = self._hit(QPointF(event.pos())) if by_mouse else self._focused if self._rows else None
        super().contextMenuEvent(event)

    def fill_menu(self, menu: QMenu) -> None:
        """Offer what can be done with the image, and what every view offers."""
        if self.offers is not None and self._asked_at is not None:
            self.offers(menu, *self._asked_at)
        super().fill_menu(menu)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show by the cursor what can be clicked."""
        over = self._hit(event.position()) is not None
        self.setCursor(Qt.CursorShape.PointingHandCursor if over else Qt.CursorShape.ArrowCursor)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move between images, Enter picks one."""
        row, place = self._focused
        moves = {
            Qt.Key.Key_Left: (row, place - 1),
            Qt.Key.Key_Right: (row, place + 1),
            Qt.Key.Key_Up: (row - 1, place),
            Qt.Key.Key_Down: (row + 1, place),
        }
        if (
            event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)
            and self._place(row, place) is not None
        ):
            self.picked.emit(row, place)
        elif event.key() in moves:
            target = moves[Qt.Key(event.key())]
            if min(target) >= 0 and self._place(*target) is not None:
                self._focused = target
                self.update()
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Show the tooltip of the image under the mouse."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            hit = self._hit(QPointF(event.pos()))
            text = self._rows[hit[0]].pictures[hit[1]].tip if hit else ""
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)
