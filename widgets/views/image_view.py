"""One image, and over it where in the image a unit is active."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, QSizeF, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QImage, QKeyEvent, QMouseEvent, QPainter, QPen, QWheelEvent
from PySide6.QtWidgets import QApplication, QMenu, QToolTip, QWidget

from widgets.views.axes import number, tick, ticks
from widgets.views.colour_scale import ColourScale
from widgets.views.view import PAPER, ViewWidget, as_image, draw_image, elided, figure_font, fit

FURTHEST = 32.0
CAPTION = 16.0
BAR = 62.0


class ImageView(ViewWidget):
    """An image with zoom (wheel, drag, double click to fit) and an activation map laid over it, with its colour scale.

    Where `takes_regions` is on, a drag over the whole image, or one with Shift held, marks a region.
    """

    opacity_changed = Signal(float)
    region_marked = Signal(object)
    """Top, left, bottom, right in fractions of the image; None when the region was taken away."""
    cell_picked = Signal(int, int)
    """Row and column of the map's cell that was clicked, without dragging, or chosen with Enter."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.message = ""
        self.takes_regions = False
        self._region: tuple[float, float, float, float] | None = None
        self._drawn_from: QPointF | None = None  # of the image, while a region is drawn
        self._drawn: tuple[float, float, float, float] | None = None
        self._pixels: np.ndarray | None = None
        self._map: np.ndarray | None = None
        self._scale: ColourScale | None = None
        self._caption = ""
        self._opacity = 0.7
        self._smooth = True
        self._zoom = 1.0
        self._centre = QPointF(0.5, 0.5)
        self._dragged: QPointF | None = None
        self._pressed: QPointF | None = None
        self._cell: tuple[int, int] | None = None
        self._painted: dict[str, QImage] = {}
        self.setMouseTracking(True)
        self.setMinimumSize(140, 140)
        self.setAccessibleName("Image with activation map")

    # ------------------------------------------------------------------------------------------------ what is shown

    def show_image(
        self,
        pixels: np.ndarray | None,
        *,
        title: str = "",
        caption: str = "",
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show an image (uint8 ``y x 3``), or the message when there is none; the map of the last image goes away."""
        if self._pixels is None or pixels is None or pixels.shape != self._pixels.shape:
            self._zoom, self._centre = 1.0, QPointF(0.5, 0.5)
        self._pixels = pixels
        self._map = self._scale = self._cell = None
        self._drawn_from = self._drawn = None
        self.title, self._caption, self.made_from = title, caption, made_from or {}
        self._painted.clear()
        self.updateGeometry()
        self.update()

    def show_map(
        self,
        values: np.ndarray | None,
        *,
        label: str = "",
        scale: ColourScale | None = None,
        caption: str = "",
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Lay an activation map ``[y, x]`` over the whole image.

        Parameters
        ----------
        values
            Activations; None takes the map away.
        label
            Quantity on the colour scale, such as ``activation (post)``.
        scale
            Colours; the range of `values` by default.
        caption
            One line below the image.
        made_from
            Provenance.
        """
        self._map = None if values is None else np.asarray(values, np.float32)
        self._scale = None if self._map is None else scale or ColourScale.of(self._map, label)
        self._caption = caption
        self.made_from = made_from or self.made_from
        self._painted.clear()
        self.update()

    def set_caption(self, caption: str) -> None:
        """Write another line below the image."""
        self._caption = caption
        self.update()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self.message = message
        self.show_image(None)

    @property
    def opacity(self) -> float:
        """How much the map covers the image, in [0, 1]: at 0 it is hidden, at 1 nothing shines through.

        In between, strong activations cover more than weak ones, so that the image stays visible where nothing happens.
        """
        return self._opacity

    @opacity.setter
    def opacity(self, share: float) -> None:
        share = min(1.0, max(0.0, share))
        if share != self._opacity:
            self._opacity = share
            self._painted.clear()
            self.update()
            self.opacity_changed.emit(share)

    @property
    def smooth(self) -> bool:
        """Whether image and map are interpolated when enlarged; otherwise every pixel is a square."""
        return self._smooth

    @smooth.setter
    def smooth(self, on: bool) -> None:
        self._smooth = on
        self.update()

    @property
    def zoom(self) -> float:
        """Enlargement over fitting the whole image, 1-32."""
        return self._zoom

    def zoom_to(self, zoom: float, at: QPointF | None = None) -> None:
        """Zoom, keeping the point `at` of the widget (its middle by default) where it is."""
        if self._pixels is None:
            return
        zoom = min(FURTHEST, max(1.0, zoom))
        frame, _ = self._areas(QRectF(self.rect()))
        at = at if at is not None else frame.center()
        before = self._to_image(at, frame)
        self._zoom = zoom
        after = self._to_image(at, frame)
        self._look_at(self._centre + before - after)

    def _look_at(self, centre: QPointF) -> None:
        half = 0.5 / self._zoom
        self._centre = QPointF(min(1 - half, max(half, centre.x())), min(1 - half, max(half, centre.y())))
        self.update()

    # ------------------------------------------------------------------------------------------------ geometry

    def figure_size(self) -> QSizeF:
        """Three inches wide, and room for the colour scale."""
        height, width = self._pixels.shape[:2] if self._pixels is not None else (1, 1)
        caption = CAPTION + 4 if self._caption else 0
        return QSizeF(288 + (BAR if self._scale else 0), 288 * min(2.0, height / width) + caption + 22)

    def sizeHint(self) -> QSize:
        """Ask for a square."""
        return QSize(300, 240)

    def _areas(self, rect: QRectF) -> tuple[QRectF, QRectF]:
        """Where the image stands, and the colour scale."""
        assert self._pixels is not None
        height, width = self._pixels.shape[:2]
        heading = 18 if self.ink is PAPER else 0
        right, below = BAR if self._scale else 0, CAPTION if self._caption else 0
        room = rect.adjusted(4, 4 + heading, -4 - right, -4 - below)
        frame = fit(room, width, height)
        return frame, QRectF(frame.right() + 8, frame.top(), BAR - 8, frame.height())

    def _to_image(self, place: QPointF, frame: QRectF) -> QPointF:
        """From widget coordinates to [0, 1] of the image."""
        return QPointF(
            self._centre.x() + ((place.x() - frame.left()) / frame.width() - 0.5) / self._zoom,
            self._centre.y() + ((place.y() - frame.top()) / frame.height() - 0.5) / self._zoom,
        )

    # ------------------------------------------------------------------------------------------------ drawing

    def _overlay(self) -> QImage:
        """The map as RGBA pixels, one for each activation."""
        assert self._map is not None and self._scale is not None
        strength = np.abs(self._map) / max(abs(self._scale.low), abs(self._scale.high))
        share = self._opacity * (self._opacity + (1 - self._opacity) * np.sqrt(strength.clip(0, 1)))
        alpha = np.round(255 * np.nan_to_num(share)).astype(np.uint8)
        return as_image(np.dstack([self._scale.colours(self._map), alpha]))

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw image, map, scale bar, colour scale and caption."""
        ink, small = self.ink, figure_font(10)
        painter.setFont(figure_font())
        if self._pixels is None:
            painter.setPen(ink.faint)
            area = rect.adjusted(16, 8, -16, -8)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)
            return
        frame, bar = self._areas(rect)
        whole = QRectF(0, 0, frame.width() * self._zoom, frame.height() * self._zoom)
        whole.moveTopLeft(frame.center() - QPointF(self._centre.x() * whole.width(), self._centre.y() * whole.height()))
        if "image" not in self._painted:
            self._painted["image"] = as_image(self._pixels)
        if self._map is not None and "map" not in self._painted:
            self._painted["map"] = self._overlay()
        painter.save()
        painter.setClipRect(frame)
        draw_image(painter, whole, self._painted["image"], self._smooth)
        if self._map is not None and self._opacity > 0:
            draw_image(painter, whole, self._painted["map"], self._smooth)
        if self._cell is not None and self._map is not None:
            rows, columns = self._map.shape
            side = QSizeF(whole.width() / columns, whole.height() / rows)
            corner = QPointF(whole.left() + self._cell[1] * side.width(), whole.top() + self._cell[0] * side.height())
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(ink.marker, 2))
            painter.drawRect(QRectF(corner, side))
        region = self._drawn or self._region
        if region is not None:
            self._paint_region(painter, whole, region)
        self._paint_scale_bar(painter, frame)
        painter.restore()
        painter.setPen(QPen(ink.line, 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(frame)
        if self._scale:
            self._scale.paint(painter, bar, ink)
        painter.setFont(small)
        if self._caption:
            painter.setPen(ink.text)
            line = QRectF(rect.left() + 4, frame.bottom() + 1, rect.width() - 8, CAPTION)
            painter.drawText(
                line,
                Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter,
                elided(self._caption, line.width(), small),
            )
        if ink is PAPER:
            bold = figure_font(11, bold=True)
            painter.setFont(bold)
            painter.setPen(ink.text)
            painter.drawText(
                QPointF(frame.left(), frame.top() - 6), elided(self.title, rect.right() - frame.left() - 4, bold)
            )

    def _paint_region(self, painter: QPainter, whole: QRectF, region: tuple[float, float, float, float]) -> None:
        """Frame a region so that it is seen on any image: dashes of two colours."""
        top, left, bottom, right = region
        corner = QPointF(whole.left() + left * whole.width(), whole.top() + top * whole.height())
        box = QRectF(corner, QSizeF((right - left) * whole.width(), (bottom - top) * whole.height()))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(Qt.GlobalColor.white, 2))
        painter.drawRect(box)
        painter.setPen(QPen(self.ink.marker, 2, Qt.PenStyle.DashLine))
        painter.drawRect(box)

    def _paint_scale_bar(self, painter: QPainter, frame: QRectF) -> None:
        """A bar of a round number of image pixels, about a fifth of the frame long."""
        assert self._pixels is not None
        shown = self._pixels.shape[1] / self._zoom
        marks = [mark for mark in ticks(0, shown * 0.3, 3) if mark > 0]
        if not marks or frame.width() < 120:
            return
        length = marks[-1] / shown * frame.width()
        font = figure_font(10)
        text = f"{tick(marks[-1])} px"
        room = max(length, QFontMetricsF(font).horizontalAdvance(text)) + 12
        box = QRectF(frame.left() + 6, frame.bottom() - 26, room, 20)
        painter.fillRect(box, Qt.GlobalColor.white)
        painter.setPen(QPen(Qt.GlobalColor.black, 2))
        y = box.bottom() - 4
        left = box.center().x() - length / 2
        painter.drawLine(QPointF(left, y), QPointF(left + length, y))
        painter.setFont(font)
        painter.drawText(box.adjusted(0, 0, 0, -5), Qt.AlignmentFlag.AlignCenter, text)

    def data(self) -> dict[str, np.ndarray]:
        """``image`` uint8 [y, x, 3] and, when there is one, ``map`` float32 [y, x]."""
        arrays = {} if self._pixels is None else {"image": self._pixels}
        return arrays if self._map is None else {**arrays, "map": self._map}

    def provenance(self) -> dict[str, object]:
        """Give caption and colour scale beside what the image and the map were made from."""
        scale = (
            {"low": self._scale.low, "high": self._scale.high, "quantity": self._scale.label} if self._scale else None
        )
        region = {"region": list(self._region)} if self._region is not None else {}
        return super().provenance() | {"caption": self._caption, "colour scale": scale, "map opacity": self._opacity} | region

    def fill_menu(self, menu: QMenu) -> None:
        """Offer interpolation and fitting."""
        toggle = menu.addAction("Smooth when enlarged")
        toggle.setCheckable(True)
        toggle.setChecked(self._smooth)
        toggle.triggered.connect(lambda on: setattr(self, "smooth", on))
        menu.addAction("Fit the whole image").triggered.connect(lambda: self.zoom_to(1.0))
        if self._region is not None and self.takes_regions:
            menu.addAction("Take the region away").triggered.connect(lambda: self._mark(None))
        if self._pixels is not None:
            super().fill_menu(menu)

    # ------------------------------------------------------------------------------------------------ mouse and keys

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom about the mouse; an image that is not zoomed lets the panel scroll unless Ctrl is held."""
        held = event.modifiers() & Qt.KeyboardModifier.ControlModifier
        if self._pixels is None or not (held or self._zoom > 1):
            event.ignore()
            return
        self.zoom_to(self._zoom * 1.2 ** (event.angleDelta().y() / 120), event.position())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin to drag the zoomed image, or to click."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed = event.position()
        if event.button() != Qt.MouseButton.LeftButton:
            return
        shift = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        if self.takes_regions and self._pixels is not None and (shift or self._zoom == 1):
            self._drawn_from = self._to_image(event.position(), self._areas(QRectF(self.rect()))[0])
        elif self._zoom > 1:
            self._dragged = event.position()
            self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End the drag; without one it was a click on a cell of the map."""
        pressed, self._pressed, self._dragged = self._pressed, None, None
        drawn, self._drawn_from, self._drawn = self._drawn, None, None
        self.unsetCursor()
        self.update()
        if drawn is not None and pressed is not None and self._is_drag(pressed, event.position()):
            self._mark(drawn)
            return
        if pressed is not None and not self._is_drag(pressed, event.position()):
            cell = self._cell_at(event.position())
            if cell is not None:
                self.cell_picked.emit(*cell)

    @staticmethod
    def _is_drag(start: QPointF, end: QPointF) -> bool:
        return (end - start).manhattanLength() >= QApplication.startDragDistance()

    def _cell_at(self, place: QPointF) -> tuple[int, int] | None:
        """Return row and column of the map's cell under a place of the widget."""
        if self._pixels is None or self._map is None:
            return None
        frame, _ = self._areas(QRectF(self.rect()))
        if not frame.contains(place):
            return None
        rows, columns = self._map.shape
        on_image = self._to_image(place, frame)
        return min(rows - 1, int(on_image.y() * rows)), min(columns - 1, int(on_image.x() * columns))

    def show_region(self, region: tuple[float, float, float, float] | None) -> None:
        """Frame a region: top, left, bottom, right in fractions of the image; None for none."""
        self._region = region
        self.update()

    def _mark(self, region: tuple[float, float, float, float] | None) -> None:
        self.show_region(region)
        self.region_marked.emit(region)

    def mark_cell(self, cell: tuple[int, int] | None) -> None:
        """Frame one cell of the map; None for none."""
        self._cell = cell
        self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag, or say position and activation under the mouse."""
        if self._pixels is None:
            return
        frame, _ = self._areas(QRectF(self.rect()))
        if self._drawn_from is not None and self._pressed is not None and self._is_drag(self._pressed, event.position()):
            self._drawn = _between(self._drawn_from, self._to_image(event.position(), frame))
            self.update()
            return
        if self._dragged is not None:
            step = event.position() - self._dragged
            self._dragged = event.position()
            shift = QPointF(step.x() / frame.width(), step.y() / frame.height()) / self._zoom
            self._look_at(self._centre - shift)
            return
        place = self._to_image(event.position(), frame)
        if not frame.contains(event.position()):
            QToolTip.hideText()
            return
        height, width = self._pixels.shape[:2]
        text = f"x {int(place.x() * width)}, y {int(place.y() * height)} px"
        cell = self._cell_at(event.position())
        if cell is not None and self._map is not None and self._scale is not None:
            y, x = cell
            text += f"\nmap ({y}, {x}): {number(float(self._map[y, x]))}  {self._scale.label}"
        QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Fit the whole image, or zoom in when it fits already."""
        if self._pixels is not None:
            self.zoom_to(1.0 if self._zoom > 1 else 3.0, event.position())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Plus, minus and zero zoom; arrows move a zoomed image; Escape takes the region away."""
        step = 0.1 / self._zoom
        moves = {
            Qt.Key.Key_Left: QPointF(-step, 0),
            Qt.Key.Key_Right: QPointF(step, 0),
            Qt.Key.Key_Up: QPointF(0, -step),
            Qt.Key.Key_Down: QPointF(0, step),
        }
        if event.key() == Qt.Key.Key_Escape and self._region is not None and self.takes_regions:
            self._mark(None)
        elif event.text() in ("+", "="):
            self.zoom_to(self._zoom * 1.25)
        elif event.text() == "-":
            self.zoom_to(self._zoom / 1.25)
        elif event.text() == "0":
            self.zoom_to(1.0)
        elif event.key() in moves and self._zoom > 1:
            self._look_at(self._centre + moves[Qt.Key(event.key())])
        else:
            super().keyPressEvent(event)


def _between(one: QPointF, other: QPointF) -> tuple[float, float, float, float] | None:
    """Return the rectangle between two places, inside the image; None where nothing of it is inside."""
    left, right = (min(1.0, max(0.0, x)) for x in sorted((one.x(), other.x())))
    top, bottom = (min(1.0, max(0.0, y)) for y in sorted((one.y(), other.y())))
    return (top, left, bottom, right) if bottom > top and right > left else None
