"""Thousands of thumbnails that scroll while a network is being computed.

A delegate per thumbnail is a Python call per thumbnail, and each of those waits for the interpreter lock that the computing thread
holds. So there is one Python call a repaint: tiles are composed once into *bands* (images a few rows high and as wide as the view), and
`paintEvent` copies the bands on screen. A new image redraws its own tile in its band and nothing else. The model is Qt's own
`QStringListModel`: layout, selection, hit testing and type-ahead search ("37" jumps to unit 37) stay in C++.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PySide6.QtCore import (
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPoint,
    QRect,
    QSize,
    QStringListModel,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import (
    QContextMenuEvent,
    QFontMetrics,
    QHelpEvent,
    QImage,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QListView,
    QMenu,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolTip,
    QWidget,
)

from widgets.views.axes import number
from widgets.views.view import Ink, as_image, figure_font

SMALLEST, LARGEST = 16, 320
CAPTIONED = 44  # narrower tiles have no room for a legible caption
MARGIN = 3  # between a tile and the edge of its cell; the selection frame lives here
BAND = 256  # height of a band in pixels: a few bands fill a screen, one takes about 3 ms to compose


SMALL = 32  # pixels of the copy that small tiles are made from
SCALED_BYTES = 64 << 20  # images kept at the size of the tiles, so that resizing and selecting need no scaling


class _Cells(QStyledItemDelegate):
    """Answers the two things Qt asks of a delegate that does not paint: how large an item is, and its tooltip."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        return self.parent().gridSize()

    def helpEvent(
        self, event: QHelpEvent, view: QAbstractItemView, option: QStyleOptionViewItem, index: QModelIndex
    ) -> bool:
        if event.type() != QEvent.Type.ToolTip or not index.isValid():
            return False
        grid = self.parent()
        QToolTip.showText(event.globalPos(), grid.describe(grid.units[index.row()]), grid.viewport(), option.rect)
        return True


def _scaled(image: QImage, side: int) -> QImage:
    """Fit an image into a square; Qt averages areas here, and does so ten times faster than a painter that scales while drawing."""
    return image.scaled(side, side, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)


class ThumbnailGrid(QListView):
    """A grid of numbered images: units of a layer, or anything else that has a number and a picture.

    Items are known by their unit number; `show_units` says which are shown and in which order.
    """

    visible_range = Signal(object)
    """Unit numbers on screen, in reading order (tuple), once scrolling rests for 80 ms and whenever that set changed."""
    unit_selected = Signal(int)
    """The unit that a click or a key moved to."""
    unit_activated = Signal(int)
    """The unit on which Enter or a double click fell."""
    tile_size_changed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._units: tuple[int, ...] = ()
        self._row: dict[int, int] = {}
        self._images: dict[int, tuple[QImage, QImage]] = {}  # whole, and small
        self._fine: set[int] = set()
        self._values: Mapping[int, float] = {}
        self._at_size: dict[int, QImage] = {}
        self._bands: OrderedDict[int, QImage] = OrderedDict()
        self._selected: set[int] = set()
        self._hovered = -1
        self._tile = 96
        self._side = 0  # of a tile as drawn
        self._columns = 1
        self._last_visible: tuple[int, ...] | None = None
        self._ratio = 1.0
        self._moving_in_code = False
        self._ink = Ink.from_palette(self.palette())
        self.describe: Callable[[int], str] = str
        self.message = ""

        # What a contact sheet of this grid says; the panel sets it.
        self.title = self.subtitle = self.value_name = ""
        self.made_from: Mapping[str, object] = {}

        self._model = QStringListModel(self)
        self.setModel(self._model)
        self.setItemDelegate(_Cells(self))
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Fixed)  # the grid size is set on each resize, which lays out anew
        self.setUniformItemSizes(True)
        self.setMovement(QListView.Movement.Static)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setMouseTracking(True)
        self.setAccessibleName("Thumbnails")
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

        self._settle = QTimer(self, singleShot=True, interval=80)
        self._settle.timeout.connect(self._report_visible)
        self.verticalScrollBar().valueChanged.connect(lambda _value: self._settle.start())
        self.entered.connect(self._hover)
        self.viewportEntered.connect(self._hover)
        self.activated.connect(self._activated)
        self.selectionModel().selectionChanged.connect(self._selection_changed)
        self.selectionModel().currentChanged.connect(self._current_changed)
        self._lay_out()

    # ------------------------------------------------------------------------------------------------ what is shown

    @property
    def units(self) -> tuple[int, ...]:
        """Unit numbers in the order shown."""
        return self._units

    def show_units(self, units: Sequence[int], describe: Callable[[int], str] | None = None) -> None:
        """Show these units in this order; images, selection and current unit stay with their numbers.

        Parameters
        ----------
        units
            Unit numbers, each once.
        describe
            Gives the tooltip of a unit; the last one given stays.
        """
        units = tuple(int(unit) for unit in units)
        self.describe = describe or self.describe
        if units == self._units:
            return
        kept, current = self.selected_units(), self.current_unit()
        self._units = units
        self._row = {unit: row for row, unit in enumerate(units)}
        self._bands.clear()
        self._hovered = -1
        self._moving_in_code = True
        self._selected.clear()  # a model that is reset drops its selection without a signal
        self._model.setStringList([str(unit) for unit in units])
        chosen = QItemSelection()
        for unit in kept:
            if unit in self._row:
                index = self._model.index(self._row[unit])
                chosen.select(index, index)
        self.selectionModel().select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        if current in self._row:
            self.selectionModel().setCurrentIndex(
                self._model.index(self._row[current]), QItemSelectionModel.SelectionFlag.NoUpdate
            )
        self._moving_in_code = False
        self.viewport().update()
        self._settle.start()

    def set_images(self, images: Mapping[int, np.ndarray], *, fine: bool) -> None:
        """Take new images (uint8 ``y x 3`` by unit number); cost grows with the new ones only. Coarse never replaces fine."""
        for unit, pixels in images.items():
            if unit in self._fine and not fine:
                continue
            whole = as_image(pixels).convertToFormat(QImage.Format.Format_RGB32)
            self._images[unit] = whole, _scaled(whole, SMALL)
            self._at_size.pop(unit, None)
            if fine:
                self._fine.add(unit)
            self._redraw(unit)

    def forget_images(self) -> None:
        """Drop all images: another layer or another model is shown."""
        self._images.clear()
        self._at_size.clear()
        self._fine.clear()
        self._drop_bands()

    def set_values(self, values: Mapping[int, float]) -> None:
        """Set the number beside each unit's number in the captions; an empty mapping takes it away."""
        if values != self._values:
            self._values = values
            self._drop_bands()

    def level(self, unit: int) -> str:
        """Say which image a unit has: ``""``, ``"coarse"`` or ``"fine"``."""
        return "fine" if unit in self._fine else "coarse" if unit in self._images else ""

    def image(self, unit: int) -> QImage | None:
        """Return the image of a unit at full size, if it has one."""
        return self._images[unit][0] if unit in self._images else None

    def value(self, unit: int) -> float | None:
        """Return the number in the unit's caption."""
        return self._values.get(unit)

    def set_message(self, message: str) -> None:
        """Set what is written in the middle while no unit is shown."""
        self.message = message
        self.viewport().update()

    # ------------------------------------------------------------------------------------------------ what is selected

    def selected_units(self) -> tuple[int, ...]:
        """Return the selected unit numbers, in the order shown."""
        return tuple(self._units[row] for row in sorted(self._selected) if row < len(self._units))

    def current_unit(self) -> int | None:
        """Return the unit that has the keyboard's focus."""
        row = self.currentIndex().row()
        return self._units[row] if 0 <= row < len(self._units) else None

    def select_unit(self, unit: int) -> None:
        """Select a unit and scroll to it, without the signal; nothing happens when it is not shown."""
        if unit not in self._row or (unit == self.current_unit() and self._row[unit] in self._selected):
            return
        self._moving_in_code = True
        self.setCurrentIndex(self._model.index(self._row[unit]))
        self._moving_in_code = False

    def visible_units(self) -> tuple[int, ...]:
        """Return the unit numbers on screen, in reading order."""
        top = self.verticalScrollBar().value()
        height = self._cell.height()
        first = top // height * self._columns
        last = (top + self.viewport().height() - 1) // height * self._columns + self._columns
        return self._units[first:last]

    # ------------------------------------------------------------------------------------------------ size of the tiles

    @property
    def tile_size(self) -> int:
        """Smallest width of a thumbnail in pixels, 16-320; they are drawn as much larger as fills the width of the grid."""
        return self._tile

    @tile_size.setter
    def tile_size(self, size: int) -> None:
        size = max(SMALLEST, min(LARGEST, int(size)))
        if size == self._tile:
            return
        middle = self.verticalScrollBar().value() + self.viewport().height() // 2
        kept = min(len(self._units) - 1, middle // self._cell.height() * self._columns + self._columns // 2)
        if self.current_unit() in self.visible_units():
            kept = self.currentIndex().row()
        self._tile = size
        self._lay_out()
        if kept >= 0:
            self.scrollTo(self._model.index(kept), QAbstractItemView.ScrollHint.PositionAtCenter)
        self.tile_size_changed.emit(size)

    def _lay_out(self) -> None:
        """Fit whole columns into the width, and enlarge the tiles by what is left."""
        width = max(1, self.viewport().width() - 1)  # Qt wraps an item that ends on the last pixel
        self._caption = QFontMetrics(figure_font(10)).height() + 1 if self._tile >= CAPTIONED else 0
        margin = MARGIN if self._tile >= CAPTIONED else 1
        self._margin = margin
        self._columns = max(1, width // (self._tile + 2 * margin))
        side = max(1, width // self._columns - 2 * margin)
        if side != self._side:
            self._side = side
            self._at_size.clear()
        self._cell = QSize(max(1, width // self._columns), side + 2 * margin + self._caption)
        self.setGridSize(self._cell)
        self.verticalScrollBar().setSingleStep(max(24, self._cell.height() // 3))
        self._drop_bands()
        self._settle.start()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay out for the new width, keeping the first row on screen."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            first = self.verticalScrollBar().value() // self._cell.height() * self._columns
            self._lay_out()
            if 0 < first < len(self._units):
                self.scrollTo(self._model.index(first), QAbstractItemView.ScrollHint.PositionAtTop)
        self._settle.start()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scroll; with Ctrl, change the size of the tiles."""
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.tile_size = round(self._tile * 1.15 ** (event.angleDelta().y() / 120))
            event.accept()
        else:
            super().wheelEvent(event)

    # ------------------------------------------------------------------------------------------------ keys and mouse

    def moveCursor(self, action: QAbstractItemView.CursorAction, modifiers: Qt.KeyboardModifier) -> QModelIndex:
        """Move through the units in reading order: right of the last column is the first of the next row."""
        last = len(self._units) - 1
        if last < 0:
            return QModelIndex()
        page = max(1, self.viewport().height() // self._cell.height()) * self._columns
        Action = QAbstractItemView.CursorAction
        row = self.currentIndex().row()
        steps = {
            Action.MoveLeft: -1,
            Action.MovePrevious: -1,
            Action.MoveRight: 1,
            Action.MoveNext: 1,
            Action.MoveUp: -self._columns,
            Action.MoveDown: self._columns,
            Action.MovePageUp: -page,
            Action.MovePageDown: page,
        }
        if action == Action.MoveHome or row < 0:
            row = 0
        elif action == Action.MoveEnd:
            row = last
        else:
            moved = row + steps[action]
            in_column = moved % self._columns + (last - moved % self._columns) // self._columns * self._columns
            if action in (Action.MoveUp, Action.MovePageUp):
                row = moved if moved >= 0 else row % self._columns
            elif action in (Action.MoveDown, Action.MovePageDown):
                row = moved if moved <= last else max(row, in_column)
            else:
                row = max(0, min(last, moved))
        return self._model.index(row)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ctrl+Plus and Ctrl+Minus change the size of the tiles; Enter opens a unit; the rest is Qt's."""
        if event.matches(QKeySequence.StandardKey.ZoomIn):
            self.tile_size = round(self._tile * 1.15)
        elif event.matches(QKeySequence.StandardKey.ZoomOut):
            self.tile_size = round(self._tile / 1.15)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self._activated(self.currentIndex())  # Qt leaves Enter alone on some platforms
        else:
            super().keyPressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        """Forget the hovered unit."""
        self._hover(QModelIndex())
        super().leaveEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer the export of what is on screen or selected."""
        from widgets.export import add_export_actions
        from widgets.views.contact_sheet import ContactSheet

        if not self._units:
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        add_export_actions(menu, ContactSheet.of(self), self)
        menu.popup(event.globalPos())

    def _hover(self, index: QModelIndex | None = None) -> None:
        row = index.row() if index is not None else -1
        for changed in {self._hovered, row} - {-1}:
            self.viewport().update(self._cell_rect(changed))
        self._hovered = row

    def _activated(self, index: QModelIndex) -> None:
        self.unit_activated.emit(self._units[index.row()])

    def _current_changed(self, current: QModelIndex, previous: QModelIndex) -> None:
        for index in (current, previous):
            if index.isValid():
                self.viewport().update(self._cell_rect(index.row()))
        if current.isValid() and not self._moving_in_code:
            self.unit_selected.emit(self._units[current.row()])

    def _selection_changed(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        def rows(selection: QItemSelection) -> set[int]:
            return {row for part in selection for row in range(part.top(), part.bottom() + 1)}

        gone, new = rows(deselected), rows(selected)
        self._selected = (self._selected - gone) | new
        if len(gone | new) > 64:
            self._drop_bands()
            return
        for row in gone | new:
            if row < len(self._units):
                self._redraw(self._units[row])

    def _report_visible(self) -> None:
        visible = self.visible_units()
        if visible != self._last_visible:
            self._last_visible = visible
            self.visible_range.emit(visible)

    # ------------------------------------------------------------------------------------------------ painting

    def changeEvent(self, event: QEvent) -> None:
        """Follow the palette and the font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange) and hasattr(self, "_bands"):
            self._ink = Ink.from_palette(self.palette())
            self._lay_out()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Copy the bands on screen; compose those that are missing. Works in device pixels, so tiles are sharp on any screen."""
        self._follow_screen()
        painter = QPainter(self.viewport())
        dirty = event.rect()
        if not self._units:
            painter.fillRect(dirty, self._ink.paper)
            painter.setFont(figure_font(12))
            painter.setPen(self._ink.faint)
            area = self.viewport().rect().adjusted(24, 0, -24, 0)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)
            return
        ratio = self._ratio
        painter.scale(1 / ratio, 1 / ratio)
        top = self.verticalScrollBar().value()
        rows = self._rows_a_band
        first = (top + dirty.top()) // self._cell.height() // rows
        last = (top + dirty.bottom()) // self._cell.height() // rows
        y = round(dirty.top() * ratio)
        for number_ in range(first, min(last, (len(self._units) - 1) // (rows * self._columns)) + 1):
            band = self._band(number_)
            y = self._device_y(number_ * rows) - round(top * ratio)
            painter.drawImage(0, y, band)
            y += band.height()
        bottom = round((dirty.bottom() + 1) * ratio) + 1
        if y < bottom:
            painter.fillRect(0, y, round((dirty.right() + 1) * ratio) + 1, bottom - y, self._ink.paper)
        painter.scale(ratio, ratio)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        current = self.currentIndex().row()
        if self._hovered >= 0 and self._hovered not in self._selected:
            painter.setPen(self._ink.line)
            painter.drawRect(self._cell_rect(self._hovered).adjusted(0, 0, -1, -1))
        if current >= 0 and self.hasFocus():
            painter.setPen(QPen(self._ink.text, 1, Qt.PenStyle.DotLine))
            painter.drawRect(self._cell_rect(current).adjusted(0, 0, -1, -1))

    def _follow_screen(self) -> None:
        ratio = self.devicePixelRatioF()
        if ratio != self._ratio:
            self._ratio = ratio
            self._at_size.clear()
            self._bands.clear()

    @property
    def _rows_a_band(self) -> int:
        return max(1, BAND // self._cell.height())

    def _device_y(self, row: int) -> int:
        return round(row * self._cell.height() * self._ratio)

    def _cell_rect(self, row: int) -> QRect:
        """Where an item is in the viewport."""
        line, column = divmod(row, self._columns)
        corner = QPoint(column * self._cell.width(), line * self._cell.height() - self.verticalScrollBar().value())
        return QRect(corner, self._cell)

    def _band(self, number_: int) -> QImage:
        if number_ in self._bands:
            self._bands.move_to_end(number_)
            return self._bands[number_]
        rows = self._rows_a_band
        top = self._device_y(number_ * rows)
        size = QSize(round(self.viewport().width() * self._ratio) + 1, self._device_y((number_ + 1) * rows) - top)
        band = QImage(size, QImage.Format.Format_RGB32)
        band.fill(self._ink.paper)
        painter = self._band_painter(band)
        first = number_ * rows * self._columns
        for row in range(first, min(len(self._units), first + rows * self._columns)):
            self._draw_tile(painter, row, top)
        painter.end()
        self._bands[number_] = band
        # One screen above and below what is shown stays composed.
        most = 3 * (self.viewport().height() // (rows * self._cell.height()) + 2)
        while len(self._bands) > most:
            self._bands.popitem(last=False)
        return band

    def _band_painter(self, band: QImage) -> QPainter:
        painter = QPainter(band)
        font = figure_font(10)
        font.setPixelSize(round(10 * self._ratio))
        painter.setFont(font)
        return painter

    def _draw_tile(self, painter: QPainter, row: int, band_top: int) -> None:
        """Draw one tile, caption and selection frame, in device pixels."""
        ratio, ink, unit = self._ratio, self._ink, self._units[row]
        line, column = divmod(row, self._columns)
        left, right = round(column * self._cell.width() * ratio), round((column + 1) * self._cell.width() * ratio)
        top = self._device_y(line) - band_top
        margin, side = round(self._margin * ratio), round(self._side * ratio)
        x, y = left + (right - left - side) // 2, top + margin
        if row in self._selected:
            frame = max(2, round(2 * ratio)) if margin > 1 else 1
            painter.fillRect(x - frame, y - frame, side + 2 * frame, side + 2 * frame, ink.accent)
        if unit in self._images:
            image = self._at_size.get(unit) or self._scale(unit, side)
            if image.width() != image.height():
                painter.fillRect(x, y, side, side, ink.quiet)
            painter.drawImage(x + (side - image.width()) // 2, y + (side - image.height()) // 2, image)
        else:
            painter.fillRect(x, y, side, side, ink.quiet)
            if not self._caption and self._side >= 20:
                painter.setPen(ink.faint)
                painter.drawText(QRect(x, y, side, side), Qt.AlignmentFlag.AlignCenter, str(unit))
        if self._caption:
            below = QRect(x, y + side, side, round(self._caption * ratio))
            painter.setPen(ink.text if row in self._selected else ink.faint)
            value = self._values.get(unit)
            if value is None:
                painter.drawText(below, Qt.AlignmentFlag.AlignCenter, str(unit))
            else:
                painter.drawText(below, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, str(unit))
                if self._side >= 64:
                    painter.drawText(below, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, number(value))

    def _scale(self, unit: int, side: int) -> QImage:
        if len(self._at_size) * side * side * 4 > SCALED_BYTES:
            self._at_size.clear()
        whole, small = self._images[unit]
        self._at_size[unit] = _scaled(small if side <= SMALL else whole, side)
        return self._at_size[unit]

    def _redraw(self, unit: int) -> None:
        """Draw a unit's tile anew in its band, if that band is composed."""
        row = self._row.get(unit)
        if row is None:
            return
        number_ = row // self._columns // self._rows_a_band
        band = self._bands.get(number_)
        if band is not None:
            top = self._device_y(number_ * self._rows_a_band)
            painter = self._band_painter(band)
            line, column = divmod(row, self._columns)
            left, right = (
                round(column * self._cell.width() * self._ratio),
                round((column + 1) * self._cell.width() * self._ratio),
            )
            height = self._device_y(line + 1) - self._device_y(line)
            painter.fillRect(left, self._device_y(line) - top, right - left, height, self._ink.paper)
            self._draw_tile(painter, row, top)
            painter.end()
            self.viewport().update(self._cell_rect(row))

    def _drop_bands(self) -> None:
        self._bands.clear()
        self.viewport().update()
