"""Thousands of thumbnails that scroll while a network is being computed.

A delegate per thumbnail is a Python call per thumbnail, and each of those waits for the interpreter lock that the computing thread
holds. So there is one Python call a repaint: tiles are composed once into bands (see `tile_bands`), and `paintEvent` copies the bands
on screen. A new image redraws its own tile and nothing else. The model is Qt's own `QStringListModel`: layout, selection, hit testing
and type-ahead search ("37" jumps to unit 37) stay in C++.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PySide6.QtCore import (
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QRect,
    QSize,
    QStringListModel,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import (
    QContextMenuEvent,
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

from widgets.views.grid_cursor import moved
from widgets.views.tile_bands import Geometry, TileBands
from widgets.views.view import Ink, View, figure_font

SMALLEST, LARGEST = 16, 320
MANY = 64  # tiles that are faster composed anew with their bands than one by one


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


class ThumbnailGrid(QListView):
    """A grid of numbered images: units of a layer, or anything else that has a number and a picture.

    Items are known by their unit number; `show_units` says which are shown and in which order.
    """

    visible_range = Signal(object)
    """Unit numbers on screen, in reading order (tuple), once scrolling rests for 80 ms and whenever that set changed."""
    unit_selected = Signal(int)
    """The unit that a click or a key moved to."""
    units_selected = Signal(object)
    """All units that are selected (tuple, in the order shown), whenever the user changed that."""
    unit_activated = Signal(int)
    """The unit on which Enter or a double click fell."""
    tile_size_changed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tile = 96
        self._tiles = TileBands(Geometry.fitting(1, self._tile, 1.0), Ink.from_palette(self.palette()))
        self._row: dict[int, int] = {}
        self._levels: dict[int, str] = {}
        self._hovered = -1
        self._last_visible: tuple[int, ...] | None = None
        self._moving_in_code = False
        self.describe: Callable[[int], str] = str
        self.sheet: Callable[[], View] | None = None  # what its menu exports; the panel sets it
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
        return self._tiles.units

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
        if units == self.units:
            return
        kept, current = self.selected_units(), self.current_unit()
        self._tiles.units = units
        self._tiles.clear()
        self._row = {unit: row for row, unit in enumerate(units)}
        self._hovered = -1
        self._moving_in_code = True
        self._tiles.selected.clear()  # a model that is reset drops its selection without a signal
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
            if fine or self._levels.get(unit) != "fine":
                self._tiles.put(unit, pixels)
                self._levels[unit] = "fine" if fine else "coarse"
                if unit in self._row:
                    self._redraw(self._row[unit])

    def forget_images(self) -> None:
        """Drop all images: another layer or another model is shown."""
        self._levels.clear()
        self._tiles.forget_images()
        self.viewport().update()

    def set_values(self, values: Mapping[int, float]) -> None:
        """Set the number beside each unit's number in the captions; an empty mapping takes it away."""
        if values != self._tiles.values:
            self._tiles.values = values
            self._tiles.clear()
            self.viewport().update()

    def set_labels(self, labels: Mapping[int, str]) -> None:
        """Set what units are called in the captions, behind their numbers."""
        if labels != self._tiles.labels:
            self._tiles.labels = labels
            self._tiles.clear()
            self.viewport().update()

    def label(self, unit: int) -> str:
        """Return what a unit is called, empty for nothing."""
        return self._tiles.labels.get(unit, "")

    def level(self, unit: int) -> str:
        """Say which image a unit has: ``""``, ``"coarse"`` or ``"fine"``."""
        return self._levels.get(unit, "")

    def image(self, unit: int) -> QImage | None:
        """Return the image of a unit at full size, if it has one."""
        return self._tiles.image(unit)

    def value(self, unit: int) -> float | None:
        """Return the number in the unit's caption."""
        return self._tiles.values.get(unit)

    def set_message(self, message: str) -> None:
        """Set what is written in the middle while no unit is shown."""
        self.message = message
        self.viewport().update()

    # ------------------------------------------------------------------------------------------------ what is selected

    def selected_units(self) -> tuple[int, ...]:
        """Return the selected unit numbers, in the order shown."""
        return tuple(self.units[row] for row in sorted(self._tiles.selected) if row < len(self.units))

    def current_unit(self) -> int | None:
        """Return the unit that has the keyboard's focus."""
        row = self.currentIndex().row()
        return self.units[row] if 0 <= row < len(self.units) else None

    def select_unit(self, unit: int, keep_others: bool = False) -> None:
        """Select a unit, in place of others or beside them, and scroll to it, without the signal; nothing happens when it is not shown."""
        if unit not in self._row or (unit == self.current_unit() and self._row[unit] in self._tiles.selected):
            return
        flag = QItemSelectionModel.SelectionFlag
        index = self._model.index(self._row[unit])
        self._moving_in_code = True
        # Not `setCurrentIndex`: with Ctrl held down, as in the shortcut of the next unit, it would keep the old selection.
        self.selectionModel().setCurrentIndex(index, flag.Select if keep_others else flag.ClearAndSelect)
        self._moving_in_code = False
        self.scrollTo(index)

    def select_units(self, units: Sequence[int]) -> None:
        """Select these units, those of them that are shown, and scroll to the first; without the signal."""
        rows = sorted(self._row[unit] for unit in units if unit in self._row)
        chosen = QItemSelection()
        for row in rows:
            chosen.select(self._model.index(row), self._model.index(row))
        self._moving_in_code = True
        self.selectionModel().select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self._moving_in_code = False
        if rows:
            self.scrollTo(self._model.index(rows[0]))

    def visible_units(self) -> tuple[int, ...]:
        """Return the unit numbers on screen, in reading order."""
        geometry, top = self._tiles.geometry, self.verticalScrollBar().value()
        first = top // geometry.cell.height()
        last = (top + self.viewport().height() - 1) // geometry.cell.height() + 1
        return self.units[first * geometry.columns : last * geometry.columns]

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
        kept = self.currentIndex().row()
        if self.current_unit() not in self.visible_units():
            kept = self._row_at(self.viewport().height() // 2)
        self._tile = size
        self._lay_out()
        if kept >= 0:
            self.scrollTo(self._model.index(kept), QAbstractItemView.ScrollHint.PositionAtCenter)
        self.tile_size_changed.emit(size)

    def _row_at(self, y: int) -> int:
        """The first item of the line at a height of the viewport, the last item below all, -1 when there is none."""
        geometry = self._tiles.geometry
        line = (self.verticalScrollBar().value() + y) // geometry.cell.height()
        return min(len(self.units) - 1, line * geometry.columns)

    def _lay_out(self) -> None:
        """Place everything anew for this width, size of the tiles, and screen."""
        geometry = Geometry.fitting(self.viewport().width(), self._tile, self.devicePixelRatioF())
        self._tiles.geometry = geometry
        self.setGridSize(geometry.cell)
        self.verticalScrollBar().setSingleStep(max(24, geometry.cell.height() // 3))
        self.viewport().update()
        self._settle.start()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay out for the new width, keeping the first line on screen."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            first = self._row_at(0)
            self._lay_out()
            if first > 0:
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
        """Move through the units in reading order."""
        if not self.units:
            return QModelIndex()
        geometry = self._tiles.geometry
        page = max(1, self.viewport().height() // geometry.cell.height()) * geometry.columns
        row = moved(self.currentIndex().row(), action, geometry.columns, page, len(self.units) - 1)
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

        if not self.units or self.sheet is None:
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        add_export_actions(menu, self.sheet(), self)
        menu.popup(event.globalPos())

    def _hover(self, index: QModelIndex | None = None) -> None:
        row = index.row() if index is not None else -1
        for changed in {self._hovered, row} - {-1}:
            self.viewport().update(self._cell_rect(changed))
        self._hovered = row

    def _activated(self, index: QModelIndex) -> None:
        self.unit_activated.emit(self.units[index.row()])

    def _current_changed(self, current: QModelIndex, previous: QModelIndex) -> None:
        for index in (current, previous):
            if index.isValid():
                self.viewport().update(self._cell_rect(index.row()))
        if current.isValid() and not self._moving_in_code:
            self.unit_selected.emit(self.units[current.row()])

    def _selection_changed(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        def rows(selection: QItemSelection) -> set[int]:
            return {row for part in selection for row in range(part.top(), part.bottom() + 1)}

        gone, new = rows(deselected), rows(selected)
        self._tiles.selected = (self._tiles.selected - gone) | new
        if not self._moving_in_code:
            self.units_selected.emit(self.selected_units())
        if len(gone | new) > MANY:
            self._tiles.clear()
            self.viewport().update()
            return
        for row in gone | new:
            if row < len(self.units):
                self._redraw(row)

    def _report_visible(self) -> None:
        visible = self.visible_units()
        if visible != self._last_visible:
            self._last_visible = visible
            self.visible_range.emit(visible)

    # ------------------------------------------------------------------------------------------------ painting

    def changeEvent(self, event: QEvent) -> None:
        """Follow the palette and the font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange) and hasattr(self, "_settle"):
            self._tiles.ink = Ink.from_palette(self.palette())
            self._lay_out()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Copy the bands on screen, then draw what moves over them: hover and focus."""
        tiles, dirty = self._tiles, event.rect()
        if self.devicePixelRatioF() != tiles.geometry.ratio:  # the window was moved to another screen
            self._lay_out()
        painter = QPainter(self.viewport())
        if not self.units:
            painter.fillRect(dirty, tiles.ink.paper)
            painter.setFont(figure_font(12))
            painter.setPen(tiles.ink.faint)
            area = self.viewport().rect().adjusted(24, 0, -24, 0)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)
            return
        self._copy_bands(painter, dirty)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if self._hovered >= 0 and self._hovered not in tiles.selected:
            painter.setPen(tiles.ink.line)
            painter.drawRect(self._cell_rect(self._hovered).adjusted(0, 0, -1, -1))
        if self.currentIndex().isValid() and self.hasFocus():
            painter.setPen(QPen(tiles.ink.text, 1, Qt.PenStyle.DotLine))
            painter.drawRect(self._cell_rect(self.currentIndex().row()).adjusted(0, 0, -1, -1))

    def _copy_bands(self, painter: QPainter, dirty: QRect) -> None:
        geometry, top = self._tiles.geometry, self.verticalScrollBar().value()
        ratio, lines = geometry.ratio, geometry.lines_a_band
        height = lines * geometry.cell.height()
        kept = 3 * (self.viewport().height() // height + 2)  # one screen above and below stays composed
        painter.scale(1 / ratio, 1 / ratio)
        y = round(dirty.top() * ratio)
        for index in range(
            (top + dirty.top()) // height, min((top + dirty.bottom()) // height, self._tiles.count - 1) + 1
        ):
            band = self._tiles.band(index, kept)
            y = geometry.device_y(index * lines) - round(top * ratio)
            painter.drawImage(0, y, band)
            y += band.height()
        bottom = round((dirty.bottom() + 1) * ratio) + 1
        if y < bottom:
            painter.fillRect(0, y, round((dirty.right() + 1) * ratio) + 1, bottom - y, self._tiles.ink.paper)
        painter.scale(ratio, ratio)

    def _cell_rect(self, row: int) -> QRect:
        """Where an item is in the viewport."""
        return self._tiles.geometry.cell_rect(row).translated(0, -self.verticalScrollBar().value())

    def _redraw(self, row: int) -> None:
        if self._tiles.redraw(row):
            self.viewport().update(self._cell_rect(row))
