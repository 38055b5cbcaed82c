"""A circuit as a picture: units as cards in rows by layer, the earliest at the bottom, and edges red and blue, wide where they matter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, QSizeF, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QPainter, QPainterPath, QPen, QTransform
from PySide6.QtWidgets import QMenu, QWidget

from widgets.views.axes import number
from widgets.views.graph_drawing import (
    LINE,
    STACK,
    Card,
    card_size,
    edge_colour,
    edge_path,
    edge_width,
    paint_card,
    paint_edge,
    paint_legend,
    paint_number,
    wrapped,
)
from widgets.views.graph_layout import Ends, Layout, arrange
from widgets.views.view import PAPER, ViewWidget, blend, elided, figure_font
from workbench.circuit import Circuit, Edge, layer_of

GUTTER = 100.0
MARGIN = 14.0
HEADING = 26.0
LARGEST = 1.5
"""Enlargement up to which a small circuit fills its room."""
MEASURES = {
    "weight": ("weight", "of the strongest between the same two layers"),
    "attribution": ("attribution", "of the strongest"),
    "effect": ("effect when patched alone", "of the strongest"),
}


class GraphView(ViewWidget):
    """Draws a circuit and holds what of it is selected; `widgets.views.graph_hand` adds what mouse and keys do."""

    selected = Signal()
    """Other nodes, or another edge, are selected."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.message = ""
        self.circuit = Circuit()
        self.selection: tuple[str, ...] = ()
        self.selected_edge: Ends | None = None
        self.marked = ""
        self.measure, self.least, self.numbers = "weight", 0.0, False
        self.zoom, self.centre = 1.0, QPointF(0.5, 0.5)
        self._rows: dict[str, list[str]] = {}
        self._roles: Mapping[str, str] = {}
        self._cards: Mapping[str, Card] = {}
        self._captions: tuple[str, ...] = ()
        self._edge_notes: Mapping[Ends, str] = {}
        self._layout = Layout()
        self._shares: dict[Ends, float] = {}
        self._drawn: list[Edge] = []
        self._paths: dict[Ends, QPainterPath] = {}
        self._dragged: tuple[str, float] | None = None  # card, and how far it is from its place
        self._size = card_size(False)
        self.setAccessibleName("Circuit graph")
        self.setMinimumSize(160, 140)

    # ------------------------------------------------------------------------------------------------ what is shown

    def show_circuit(
        self,
        circuit: Circuit,
        rows: Mapping[str, Sequence[str]],
        *,
        roles: Mapping[str, str] | None = None,
        captions: Sequence[str] = (),
        edge_notes: Mapping[Ends, str] | None = None,
        title: str = "",
        made_from: Mapping[str, object] | None = None,
    ) -> None:
        """Show a circuit.

        Parameters
        ----------
        rows
            Its units by layer, the earliest layer first.
        roles
            What is said of a layer below its name, such as ``post-activation``.
        captions
            Lines below the legend.
        edge_notes
            More for an edge's tooltip, by its ends.
        """
        self.circuit, self._rows = circuit, {layer: list(units) for layer, units in rows.items()}
        self._roles, self._captions, self._edge_notes = roles or {}, tuple(captions), edge_notes or {}
        self.title, self.made_from = title, made_from or {}
        self._arrange()
        self.setAccessibleDescription(f"{len(circuit.units)} units in {len(self._rows)} layers, {len(circuit.edges)} edges")
        kept = tuple(unit for unit in self.selection if unit in circuit.units)
        if kept != self.selection or self.selected_edge not in {edge.ends for edge in circuit.edges}:
            self.select(kept)
        self.updateGeometry()
        self.update()

    def show_cards(self, cards: Mapping[str, Card]) -> None:
        """Show pictures and names of the units."""
        self._cards = cards
        size = card_size(any(card.name for card in cards.values()))
        if size != self._size:
            self._size = size
            self._arrange()
        self.update()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self.message = message
        self.show_circuit(Circuit(), {})

    def show_edges(self, measure: str, least: float, numbers: bool) -> None:
        """Choose what edges show: `measure` as of `MEASURES`, the smallest share drawn, and whether their numbers are written."""
        self.measure, self.least, self.numbers = measure, least, numbers
        self._arrange()
        self.update()

    def mark(self, unit: str) -> None:
        """Point at the unit that is looked at elsewhere."""
        self.marked = unit
        self.update()

    def select(self, units: Sequence[str], edge: Ends | None = None) -> None:
        """Select nodes, or an edge."""
        self.selection, self.selected_edge = tuple(units), edge
        self.update()
        self.selected.emit()

    def value(self, edge: Edge) -> float:
        """Return what of an edge is shown; NaN where it is not known."""
        return float(getattr(edge, self.measure))

    @property
    def shares(self) -> Mapping[Ends, float]:
        """Each edge's value over the largest it is compared with, by magnitude; NaN where it is not known."""
        return self._shares

    @property
    def drawn(self) -> Sequence[Edge]:
        """The edges that are drawn, the weakest first: those that are strong enough, and from each unit at least one."""
        return self._drawn

    def _compared(self) -> dict[Ends, float]:
        """Compare edges.

        Units of different layers are active on different scales, so weights are compared between the same two layers; attributions and
        effects are parts of one metric, so they are compared with all.
        """
        most: dict[object, float] = {}
        keys = {edge.ends: tuple(map(layer_of, edge.ends)) if self.measure == "weight" else () for edge in self.circuit.edges}
        for edge in self.circuit.edges:
            if math.isfinite(value := abs(self.value(edge))):
                most[keys[edge.ends]] = max(value, most.get(keys[edge.ends], 0.0))
        return {
            edge.ends: abs(self.value(edge)) / most[keys[edge.ends]] if most.get(keys[edge.ends]) else math.nan
            for edge in self.circuit.edges
        }

    # ------------------------------------------------------------------------------------------------ geometry

    def _arrange(self) -> None:
        """Place cards, then lead the edges that are drawn from one to another, side by side where several leave a card."""
        self._shares = shares = self._compared()
        strongest: dict[str, Edge] = {}  # of each source: nothing may look as if it were read by nobody
        for edge in self.circuit.edges:
            if math.isfinite(share := shares[edge.ends]) and (edge.source not in strongest or share > shares[strongest[edge.source].ends]):
                strongest[edge.source] = edge
        shown = [edge for edge in self.circuit.edges if not shares[edge.ends] < self.least or strongest.get(edge.source) is edge]
        self._drawn = sorted(shown, key=lambda edge: -1.0 if math.isnan(shares[edge.ends]) else shares[edge.ends])
        drawn = [edge.ends for edge in self._drawn]
        self._layout = arrange(list(self._rows.values()), drawn, self._size)
        self._paths = self._lead(drawn)

    def _lead(self, drawn: Sequence[Ends]) -> dict[Ends, QPainterPath]:
        row_of = {unit: place for place, units in enumerate(self._rows.values()) for unit in units}
        ports: dict[tuple[str, bool], list[tuple[float, Ends]]] = {}
        sides = {}
        for ends in drawn:
            upward = row_of[ends[1]] >= row_of[ends[0]]
            bends = self._layout.bends.get(ends, ())
            towards = bends[0][0] if bends else self._middle(ends[1])
            coming = bends[-1][0] if bends else self._middle(ends[0])
            level = row_of[ends[0]] == row_of[ends[1]]
            sides[ends] = ((ends[0], upward), (ends[1], level or not upward))
            ports.setdefault(sides[ends][0], []).append((towards, ends))
            ports.setdefault(sides[ends][1], []).append((coming, ends))
        at: dict[tuple[Ends, bool], QPointF] = {}
        for (unit, top), leading in ports.items():
            step = min(13.0, 0.8 * self._size[0] / len(leading))
            for place, (_, ends) in enumerate(sorted(leading)):
                x = self._middle(unit) + (place - (len(leading) - 1) / 2) * step
                family = top and unit in self._cards and self._cards[unit].is_family
                y = self._layout.places[unit][1] + (0 if top else self._size[1]) - (2 * STACK if family else 0)
                at[ends, unit == ends[0]] = QPointF(x, y)
        paths = {}
        for ends in drawn:
            points = [at[ends, True], *(QPointF(*bend) for bend in self._layout.bends.get(ends, ())), at[ends, False]]
            paths[ends] = edge_path(points, sides[ends][0][1])
        return paths

    def _middle(self, unit: str) -> float:
        return self._layout.places[unit][0] + self._size[0] / 2

    def _place(self, unit: str) -> QRectF:
        """Return where a card is, on the page of the layout."""
        x, y = self._layout.places[unit]
        if self._dragged is not None and self._dragged[0] == unit:
            x += self._dragged[1]
        return QRectF(x, y, *self._size)

    def _notes(self, width: float) -> list[str]:
        """Return the lines below the legend: what edges show, and what must be known."""
        quantity, against = MEASURES[self.measure]
        drawn, every = len(self._paths), len(self.circuit.edges)
        least = f"{self.least:.0%}".replace("%", " %")
        few = f"; {drawn} of {every} edges drawn, those of at least {least} and the strongest of each unit" if drawn < every else ""
        said = [f"Width and colour: {quantity}, in per cent {against}{few}."] if every else []
        return [line for note in (*said, *self._captions) for line in wrapped(note, width - 20, figure_font(10))]

    def _below(self, width: float) -> float:
        """Return how much room the legend takes in a figure of that width."""
        return 24 + LINE * len(self._notes(width))

    def figure_size(self) -> QSizeF:
        """As large as the graph is, with its legend."""
        width = max(520.0, self._layout.width + GUTTER + 2 * MARGIN + 2 * STACK)
        return QSizeF(width, self._layout.height + 2 * MARGIN + 2 * STACK + HEADING + self._below(width))

    def sizeHint(self) -> QSize:
        """Ask for a usual panel's size, whatever is shown."""
        return QSize(360, 260)

    def _area(self, rect: QRectF) -> QRectF:
        """Return where the graph is drawn: right of the names of layers, above the legend."""
        top = HEADING if self.ink is PAPER else 0.0
        return rect.adjusted(GUTTER + 4, top + 4, -4, -self._below(rect.width()) - 4)

    def _transform(self, rect: QRectF) -> QTransform:
        """From the page of the layout to the widget."""
        area, layout = self._area(rect), self._layout
        room = area.adjusted(MARGIN, MARGIN + 2 * STACK, -MARGIN - 2 * STACK, -MARGIN)
        fitting = min(room.width() / max(1.0, layout.width), room.height() / max(1.0, layout.height), LARGEST)
        on_paper = self.ink is PAPER
        scale = fitting if on_paper else fitting * self.zoom
        centre = QPointF(0.5, 0.5) if on_paper else self.centre
        middle = room.center()
        made = QTransform.fromTranslate(middle.x(), middle.y())
        made.scale(scale, scale)
        return made.translate(-centre.x() * layout.width, -centre.y() * layout.height)

    # ------------------------------------------------------------------------------------------------ drawing

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw edges, cards, names of layers, legend."""
        ink = self.ink
        if not self.circuit.units:
            painter.setFont(figure_font(12))
            painter.setPen(ink.faint)
            area = rect.adjusted(24, 8, -24, -8)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area, transform = self._area(rect), self._transform(rect)
        painter.save()
        if ink is not PAPER:
            painter.setClipRect(area)
        painter.setTransform(transform, True)
        self._paint_edges(painter)
        for unit in self.circuit.units:
            self._paint_unit(painter, unit)
        painter.restore()
        self._paint_layers(painter, QRectF(rect.left() + 8, area.top(), GUTTER - 12, area.height()), transform)
        unknown = any(not math.isfinite(self.value(edge)) for edge in self.drawn)
        below = self._below(rect.width())
        legend = QRectF(rect.left() + 10, rect.bottom() - below, rect.width() - 20, below)
        painter.setPen(QPen(blend(ink.line, ink.paper, 0.5), 1))
        painter.drawLine(legend.topLeft() - QPointF(0, 3), legend.topRight() - QPointF(0, 3))
        paint_legend(painter, legend, ink, transform.m11(), unknown, self._notes(rect.width()))
        if ink is PAPER:
            bold = figure_font(13, bold=True)
            painter.setFont(bold)
            painter.setPen(ink.text)
            painter.drawText(QPointF(rect.left() + 10, rect.top() + 19), elided(self.title, rect.width() - 20, bold))
        painter.restore()

    def _paint_edges(self, painter: QPainter) -> None:
        ink, shares = self.ink, self.shares
        chosen = () if ink is PAPER else self.selection
        for edge in sorted(self.drawn, key=lambda edge: not set(edge.ends).isdisjoint(chosen)):
            value, path = self.value(edge), self._paths[edge.ends]
            near = not chosen or not set(edge.ends).isdisjoint(chosen)
            picked = edge.ends == self.selected_edge and ink is not PAPER
            colour = edge_colour(value, ink)
            colour = ink.marker if picked else colour if near else blend(colour, ink.paper, 0.25)
            paint_edge(painter, path, value, edge_width(shares[edge.ends]), colour)
        taken: list[QRectF] = []
        for edge in reversed(self.drawn) if self.numbers else ():
            if math.isfinite(value := self.value(edge)):
                paint_number(painter, self._paths[edge.ends], number(value), edge_colour(value, ink), ink, taken)

    def _paint_unit(self, painter: QPainter, unit: str) -> None:
        ink = self.ink
        card = self._cards.get(unit) or Card(unit, unit.rpartition(":")[2])
        frame = QPen(ink.line, 1)
        if ink is not PAPER:
            if unit in self.selection:
                frame = QPen(ink.accent, 3)
            elif unit == self.marked:
                frame = QPen(ink.marker, 2)
        paint_card(painter, self._place(unit), card, ink, frame)

    def _paint_layers(self, painter: QPainter, column: QRectF, transform: QTransform) -> None:
        """Write the names of the layers at the left, at the height of their rows."""
        ink, bold, small = self.ink, figure_font(12, bold=True), figure_font(10)
        painter.save()
        painter.setClipRect(column.adjusted(-8, 0, 8, 0))
        for layer, units in self._rows.items():
            y = transform.map(QPointF(0, self._layout.places[units[0]][1] + self._size[1] / 2)).y()
            painter.setFont(bold)
            painter.setPen(ink.text)
            name = elided(layer, column.width(), bold, Qt.TextElideMode.ElideMiddle)
            painter.drawText(QPointF(column.left(), y), name)
            painter.setFont(small)
            painter.setPen(ink.faint)
            height = QFontMetricsF(small).height()
            for line, text in enumerate(self._roles.get(layer, "").split("\n"), 1):
                painter.drawText(QPointF(column.left(), y + line * height), elided(text, column.width(), small))
        painter.restore()

    # ------------------------------------------------------------------------------------------------ what it says

    def tip(self, unit: str) -> str:
        """Return the tooltip of a node."""
        card = self._cards.get(unit)
        reads = sum(edge.target == unit for edge in self.circuit.edges)
        read = sum(edge.source == unit for edge in self.circuit.edges)
        name = f"\n{card.name}" if card is not None and card.name else ""
        return f"{unit}{name}\n{reads} edges come in, {read} go out"

    def edge_tip(self, ends: Ends) -> str:
        """Return the tooltip of an edge: all numbers that are known of it."""
        edge = next(edge for edge in self.circuit.edges if edge.ends == ends)
        share = self.shares[ends]
        lines = [f"{edge.source} → {edge.target}"]
        for name, (called, _) in MEASURES.items():
            value = getattr(edge, name)
            part = f" ({share:.0%} {MEASURES[name][1]})" if name == self.measure and math.isfinite(share) else ""
            lines.append(f"{called}: {number(value) if math.isfinite(value) else 'not computed'}{part}")
        return "\n".join([*lines, *([self._edge_notes[ends]] if ends in self._edge_notes else [])])

    def data(self) -> dict[str, np.ndarray]:
        """``units`` and ``source`` and ``target`` of edges as addresses; ``weight``, ``attribution``, ``effect`` float64 [edge]."""
        edges = self.circuit.edges
        numbers = {name: np.array([getattr(edge, name) for edge in edges], np.float64) for name in MEASURES}
        ends = {"source": np.array([edge.source for edge in edges], str), "target": np.array([edge.target for edge in edges], str)}
        return {"units": np.array(self.circuit.units, str), **ends, **numbers} if self.circuit.units else {}

    def provenance(self) -> dict[str, object]:
        """Give the circuit itself, and how it is drawn."""
        shown = {"measure": self.measure, "weakest share drawn": self.least, "edges drawn": len(self.drawn)}
        return super().provenance() | {"circuit": self.circuit.document(), **shown, "captions": list(self._captions)}

    def fill_menu(self, menu: QMenu) -> None:
        """Offer the whole graph, and export where there is something."""
        if self.circuit.units:
            menu.addAction("Fit the whole graph").triggered.connect(lambda: self.look_at_all())
            super().fill_menu(menu)

    def look_at_all(self) -> None:
        """Take zoom and shift back."""
        self.zoom, self.centre = 1.0, QPointF(0.5, 0.5)
        self.update()
