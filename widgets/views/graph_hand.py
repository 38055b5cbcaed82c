"""What mouse and keys do in a circuit graph: select, follow, move a node in its row, zoom, shift."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QMouseEvent, QPainterPathStroker, QWheelEvent
from PySide6.QtWidgets import QApplication, QMenu, QToolTip, QWidget

from widgets.views.graph_layout import Ends
from widgets.views.graph_view import GraphView

NEAREST, FURTHEST = 8.0, 0.5
REACH = 10.0
"""Width in which a click still meets an edge."""


class GraphHand(GraphView):
    """A circuit graph one works in.

    A click selects a node (with Ctrl or Shift more of them) or an edge, a double click opens a family; a node is dragged in its row,
    the background shifts the page, the wheel zooms. Arrows go from node to node, Enter follows one, Alt+Left and Alt+Right move it, Del
    removes.
    """

    picked = Signal(str)
    """A node that was clicked, or chosen with Enter."""
    opened = Signal(str)
    """A node that was clicked twice."""
    moved = Signal(str, int)
    """A node, and which place of its row it was moved to."""
    removal_wanted = Signal()
    """Del was pressed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.offers: Callable[[QMenu], None] | None = None
        """Adds what can be done with what is selected to the menu."""
        self._pressed: QPointF | None = None
        self._shifting: QPointF | None = None
        self._grasped = ""
        self.setMouseTracking(True)

    # ------------------------------------------------------------------------------------------------ what lies where

    def node_at(self, place: QPointF) -> str:
        """Return the node at a place of the widget, empty for none."""
        if not self.circuit.units or not self._area(QRectF(self.rect())).contains(place):
            return ""
        on_page = self._on_page(place)
        return next((unit for unit in reversed(self.circuit.units) if self._place(unit).contains(on_page)), "")

    def edge_at(self, place: QPointF) -> Ends | None:
        """Return the edge at a place of the widget, the strongest of several."""
        if not self.circuit.units or not self._area(QRectF(self.rect())).contains(place):
            return None
        on_page, stroker = self._on_page(place), QPainterPathStroker()
        stroker.setWidth(REACH)
        for edge in reversed(self.drawn):
            path = self._paths[edge.ends]
            near = path.boundingRect().adjusted(-REACH, -REACH, REACH, REACH).contains(on_page)
            if near and stroker.createStroke(path).contains(on_page):
                return edge.ends
        return None

    def place_of(self, unit: str) -> QRectF:
        """Return where a node is in the widget."""
        return self._transform(QRectF(self.rect())).mapRect(self._place(unit))

    def _on_page(self, place: QPointF) -> QPointF:
        back, _ = self._transform(QRectF(self.rect())).inverted()
        return back.map(place)

    # ------------------------------------------------------------------------------------------------ mouse

    def zoom_to(self, zoom: float, at: QPointF | None = None) -> None:
        """Zoom, keeping a place of the widget (its middle by default) where it is."""
        at = at if at is not None else QRectF(self.rect()).center()
        before = self._on_page(at)
        self.zoom = min(NEAREST, max(FURTHEST, zoom))
        self._shift(before - self._on_page(at))

    def _shift(self, step: QPointF) -> None:
        """Look at another part: `step` on the page of the layout."""
        x = self.centre.x() + step.x() / max(1.0, self._layout.width)
        y = self.centre.y() + step.y() / max(1.0, self._layout.height)
        self.centre = QPointF(min(1.0, max(0.0, x)), min(1.0, max(0.0, y)))
        self.update()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom about the mouse."""
        if self.circuit.units:
            self.zoom_to(self.zoom * 1.2 ** (event.angleDelta().y() / 120), event.position())
            event.accept()
        else:
            event.ignore()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Select what lies there, and begin to drag it, or the page."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        self._pressed, self._grasped = event.position(), self.node_at(event.position())
        more = event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
        if self._grasped:
            unit = self._grasped
            if more:
                others = tuple(each for each in self.selection if each != unit)
                self.select(others if unit in self.selection else (*others, unit))
            else:
                self.select((unit,))
                self.picked.emit(unit)
            return
        edge = self.edge_at(event.position())
        self.select((), edge)
        if edge is None:
            self._shifting = event.position()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag, or say what lies under the mouse."""
        place = event.position()
        scale = self._transform(QRectF(self.rect())).m11()
        if self._shifting is not None:
            self._shift((self._shifting - place) / scale)
            self._shifting = place
            return
        if self._grasped and self._pressed is not None and event.buttons() & Qt.MouseButton.LeftButton:
            far = (place - self._pressed).manhattanLength() >= QApplication.startDragDistance()
            if far or self._dragged is not None:
                self._dragged = (self._grasped, (place.x() - self._pressed.x()) / scale)
                self.update()
            return
        unit = self.node_at(place)
        edge = None if unit else self.edge_at(place)
        self.setCursor(Qt.CursorShape.PointingHandCursor if unit or edge else Qt.CursorShape.ArrowCursor)
        text = self.tip(unit) if unit else self.edge_tip(edge) if edge is not None else ""
        QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End the drag: the node takes the place in its row that it was dragged to."""
        dragged, unit = self._dragged, self._grasped
        self._pressed, self._shifting, self._grasped, self._dragged = None, None, "", None
        if dragged is not None and unit in self._layout.places:
            row = self._row(unit)
            x = self._layout.places[unit][0] + dragged[1]
            place = sum(self._layout.places[other][0] < x for other in row if other != unit)
            if place != row.index(unit):
                self.moved.emit(unit, place)
        self.update()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Open a family; beside the nodes, show the whole graph again."""
        unit = self.node_at(event.position())
        if unit:
            self.opened.emit(unit)
        else:
            self.look_at_all()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Open the menu of what lies there."""
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            unit = self.node_at(QPointF(event.pos()))
            if unit and unit not in self.selection:
                self.select((unit,))
            elif not unit and (edge := self.edge_at(QPointF(event.pos()))) is not None:
                self.select((), edge)
        super().contextMenuEvent(event)

    def fill_menu(self, menu: QMenu) -> None:
        """Offer what can be done with what is selected, and what every view offers."""
        if self.offers is not None and self.circuit.units:
            self.offers(menu)
            menu.addSeparator()
        super().fill_menu(menu)

    def leaveEvent(self, event: QEvent) -> None:
        """Say nothing any more."""
        QToolTip.hideText()
        super().leaveEvent(event)

    # ------------------------------------------------------------------------------------------------ keys

    def _row(self, unit: str) -> list[str]:
        return next(units for units in self._rows.values() if unit in units)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go from node to node; Alt moves one; Enter follows it; Del removes; plus, minus and zero zoom; Escape selects nothing."""
        key, steps = event.key(), {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (1, 0), Qt.Key.Key_Down: (-1, 0)}
        unit = self.selection[-1] if self.selection else ""
        if not self.circuit.units:
            super().keyPressEvent(event)
        elif key in steps:
            self._step(unit, *steps[Qt.Key(key)], moving=bool(event.modifiers() & Qt.KeyboardModifier.AltModifier))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and unit:
            self.picked.emit(unit)
        elif key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.removal_wanted.emit()
        elif key == Qt.Key.Key_Escape and (self.selection or self.selected_edge):
            self.select(())
        elif event.text() in ("+", "="):
            self.zoom_to(self.zoom * 1.25)
        elif event.text() == "-":
            self.zoom_to(self.zoom / 1.25)
        elif event.text() == "0":
            self.look_at_all()
        else:
            super().keyPressEvent(event)

    def _step(self, unit: str, up: int, right: int, moving: bool) -> None:
        rows = list(self._rows.values())
        if not unit:
            self.select((rows[-1][0],))
            return
        row = self._row(unit)
        at, level = row.index(unit), rows.index(row)
        if moving:
            if right and 0 <= at + right < len(row):
                self.moved.emit(unit, at + right)
        elif right:
            if 0 <= at + right < len(row):
                self.select((row[at + right],))
        elif 0 <= level + up < len(rows):
            self.select((min(rows[level + up], key=lambda other: abs(self._middle(other) - self._middle(unit))),))
