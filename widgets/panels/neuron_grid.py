"""The units of a layer, each as the image that it responds to most: what is on screen first, coarse before fine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PySide6.QtCore import QSignalBlocker, Qt, QTimer
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QVBoxLayout

from widgets.badge import Badge
from widgets.docks import Panel
from widgets.elided_label import ElidedLabel
from widgets.family_menu import FamilyMenu
from widgets.grid_tools import SORTS, GridTools
from widgets.image_ranking import PERCENTILE, ImageRanking
from widgets.sight import in_sight
from widgets.theme import set_colour
from widgets.thumbnail_supply import ThumbnailSupply
from widgets.unit_names import UnitNames
from widgets.views.axes import number
from widgets.views.contact_sheet import ContactSheet
from widgets.views.thumbnail_grid import ThumbnailGrid
from workbench.jobs.example_requests import LayerStatistics
from workbench.jobs.requests import Sweep
from workbench.labels import variable_names
from workbench.models.layer import Unit
from workbench.owner import known_of
from workbench.recompute import Recomputation, of_pictures

if TYPE_CHECKING:
    from widgets.commands import Command
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.jobs.job import JobEvent
    from workbench.jobs.requests import ModelCard

SHARES = ("sparsity", "active_images")  # in [0, 1], whatever the activation's unit


class NeuronGridPanel(Panel):
    """Choose a layer, see all of its units, sort and filter them; a click selects one."""

    id: ClassVar[str] = "neuron_grid"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.grid = ThumbnailGrid(self)
        self._statistics: Mapping[str, Any] = {}
        self._sampled = ""
        self.ranking = ImageRanking(session)
        self._choosing = False  # a unit was clicked: the selection is just being made
        self.names = UnitNames(session)
        self.grid.sheet = self._sheet
        self.supply = ThumbnailSupply(self.grid, session.relay)
        self._build()
        self._connect()
        self._on_model(session.model)

    # ------------------------------------------------------------------------------------------------ widgets

    def _build(self) -> None:
        self.family_menu = FamilyMenu(self.session, self._picture, self)
        self.tools = tools = GridTools(self, self.family_menu)
        self.previous, self.layers, self.next, self.filter = tools.previous, tools.layers, tools.next, tools.filter
        self.sort, self.direction, self.size = tools.sort, tools.direction, tools.size
        self.size.setValue(self.grid.tile_size)
        self._reversed = False
        self.summary = ElidedLabel(parent=self)
        self.status = QLabel(self)
        self.progress = QProgressBar(self)
        self.progress.setTextVisible(False)
        self.progress.setFixedSize(110, 8)
        self.progress.hide()

        bottom = QHBoxLayout()
        bottom.setSpacing(8)
        bottom.addWidget(self.summary, 1)
        bottom.addWidget(self.status)
        bottom.addWidget(self.progress)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(6, 6, 6, 4)
        whole.setSpacing(4)
        whole.addLayout(tools)
        whole.addWidget(self.grid, 1)
        whole.addWidget(Badge(self.session, self))
        whole.addLayout(bottom)
        self.setFocusProxy(self.grid)

    def _connect(self) -> None:
        session, grid = self.session, self.grid
        self._typed = QTimer(self, singleShot=True, interval=120)
        self._typed.timeout.connect(self._arrange)
        self.filter.textChanged.connect(lambda _text: self._typed.start())
        self.sort.currentIndexChanged.connect(lambda _index: self._arrange())
        self.direction.clicked.connect(self.reverse)
        self.layers.activated.connect(lambda index: self._choose_layer(self.layers.itemText(index)))
        self.layers.lineEdit().editingFinished.connect(self._finish_typing_layer)
        self.previous.clicked.connect(lambda: self.step_layer(-1))
        self.next.clicked.connect(lambda: self.step_layer(1))
        self.size.valueChanged.connect(lambda size: setattr(grid, "tile_size", size))
        grid.tile_size_changed.connect(self.size.setValue)
        grid.unit_selected.connect(self._select)
        grid.unit_activated.connect(self._activate)
        grid.units_selected.connect(self._select_together)
        self.supply.changed.connect(self._show_progress)
        session.model_changed.connect(self._on_model)
        session.layer_changed.connect(self._on_layer)
        session.unit_changed.connect(self._on_unit)
        session.images_changed.connect(lambda _card: self._ask_statistics())
        session.images_changed.connect(lambda _card: self._rank_anew())
        session.image_changed.connect(lambda _image: self._rank_anew())
        session.region_changed.connect(lambda _region: self._rank_region())
        session.ranking_wanted.connect(self._rank_on_image)
        self.ranking.changed.connect(self._arrange)
        session.selection_changed.connect(self._on_selection)
        session.touched.connect(self._on_touched)
        session.loading.connect(self._on_loading)
        session.relay.event.connect(self._on_any_job)

    # ------------------------------------------------------------------------------------------------ what is shown

    def _on_model(self, card: ModelCard | None) -> None:
        with QSignalBlocker(self.layers):
            self.layers.clear()
            for layer in card.layers if card is not None else ():
                self.layers.addItem(layer.name)
                about = f"{layer.kind} · {_shape(layer.shape)}" + (f" · {layer.role}-activation" if layer.role else "")
                self.layers.setItemData(self.layers.count() - 1, about, Qt.ItemDataRole.ToolTipRole)
        for widget in self.tools.all():
            widget.setEnabled(card is not None)
        self._on_layer(self.session.layer)

    def _on_layer(self, name: str) -> None:
        self._statistics = {}
        self.ranking.forget()
        with QSignalBlocker(self.layers):
            self.layers.setCurrentIndex(self.layers.findText(name))
            self.layers.setEditText(name)
        self.previous.setEnabled(self.layers.currentIndex() > 0)
        self.next.setEnabled(0 <= self.layers.currentIndex() < self.layers.count() - 1)
        layer = self.session.layers.get(name)
        model = self.session.model
        if layer is None or model is None:
            self.summary.show_text("")
            self.grid.show_units([])
            self.grid.set_message(
                "No network is open.\nChoose one in the panel Model, or drop a weights file onto the window."
            )
            self.supply.begin("", "")
            return
        self.supply.begin(model.ref, name)
        self.grid.title = f"{layer.name} of {model.name}"
        self.grid.made_from = {
            "model": model.ref,
            "weights": model.weight_hash,
            "layer": layer.name,
            "role": f"{layer.role}-activation" if layer.role else "",
            "method": "feature visualization of each unit, one seed",
        }
        self._arrange()
        self.grid.verticalScrollBar().setValue(0)
        self._on_unit(self.session.unit)
        self._ask_statistics()

    def _on_unit(self, unit: Unit | None) -> None:
        if unit is not None and unit.layer == self.session.layer and not self._choosing:
            together = len(self.session.selection) > 1 and unit.index in self.session.selection
            self.grid.select_unit(unit.index, keep_others=together)

    def _on_selection(self, units: Sequence[int]) -> None:
        """Select several units that something else than the grid selected, and show those that the filter hides."""
        if self._choosing:
            return
        if len(units) > 1 and self.filter.text() and not set(units) <= set(self.grid.units):
            self.filter.clear()
            self._arrange()
        self.grid.select_units(units)

    def _on_touched(self) -> None:
        self.grid.set_labels(self.names.captions())
        if self.filter.text():
            self._typed.start()

    def _on_loading(self, event: JobEvent) -> None:
        if self.session.model is None and not event.ended:
            self.grid.set_message(f"{event.request.title} …\n{event.note}".strip())
        elif self.session.model is None:
            self.grid.set_message(event.error or "No network is open.\nChoose one in the panel Model.")

    def _describe(self, unit: int) -> str:
        """The tooltip: address, label, statistics."""
        lines = [str(Unit(self.session.layer, unit)), self.names.described(unit)]
        for name, title in SORTS.items():
            if name in self._statistics:
                lines.append(f"{title}: {number(float(self._statistics[name][unit]))}")
        if self._statistics:
            lines.append(self._sampled)
        elif self.grid.level(unit) != "fine":
            lines.append({"": "not rendered yet", "coarse": "coarse image; a finer one follows"}[self.grid.level(unit)])
        return "\n".join(line for line in lines if line)

    def _values(self, by: str) -> np.ndarray | None:
        """Return what the units are sorted by; the ranking on an image is asked for when it is wanted first."""
        if by != PERCENTILE:
            self.ranking.forget_failure()
            found: np.ndarray | None = self._statistics.get(by)
            return found
        if in_sight(self):
            self.ranking.ask()
        return self.ranking.values

    def _rank_anew(self) -> None:
        """Offer the order on the user's image where there is one, and make it anew."""
        self.ranking.forget()
        self.sort.model().item(self.sort.findData(PERCENTILE)).setEnabled(self.ranking.possible)
        if self.sort.currentData() == PERCENTILE:
            if self.ranking.possible:
                self._arrange()
            else:
                self.sort.setCurrentIndex(0)

    def _rank_region(self) -> None:
        """Rank by another region; a pass over the images that is under way is finished first, for it serves every region."""
        if not self.ranking.finishing():
            self._rank_anew()

    def _rank_on_image(self) -> None:
        """Order by what the units do on the user's image."""
        if not self.ranking.possible:
            self.session.inform("Open images first: the units are ranked by what they do on those.")
            return
        self.session.panels_wanted.emit((self.id,))
        self.ranking.forget_failure()
        if self.sort.currentData() == PERCENTILE:
            self._arrange()
        self.sort.setCurrentIndex(self.sort.findData(PERCENTILE))

    def _arrange(self) -> None:
        """Filter and sort, and say so."""
        layer = self.session.layers.get(self.session.layer)
        if layer is None:
            return
        units: Sequence[int] = self.names.matching(self.filter.text(), layer.units)
        by = self.sort.currentData()
        values = self._values(by)
        self.direction.setArrowType(Qt.ArrowType.UpArrow if self._reversed else Qt.ArrowType.DownArrow)
        orders = ("largest first", "smallest first") if by else ("first to last", "last to first")
        self.direction.setToolTip(f"Order: {orders[self._reversed]}; click for {orders[not self._reversed]}")
        if values is not None:
            chosen = np.array(units, int)
            units = chosen[
                np.argsort(values[chosen] * (1 if self._reversed else -1), kind="stable")
            ].tolist()  # NaN last
            self.grid.set_values({unit: float(values[unit]) for unit in range(layer.units)})
        else:
            units = units[::-1] if self._reversed and not by else units
            self.grid.set_values({})
        role = f"{layer.role}-activation" if layer.role else "activation"
        name = f"percentile on {self.session.image_name or 'your image'}" if by == PERCENTILE else SORTS.get(by, "").lower()
        self.grid.value_name = "" if values is None else name + ("" if by in (*SHARES, PERCENTILE) else f" ({role})")
        self.grid.made_from = {key: value for key, value in self.grid.made_from.items() if key != "badge"}
        if values is not None and self.session.badge:
            self.grid.made_from["badge"] = self.session.badge
        sampled = f" · {self.ranking.note if by == PERCENTILE else self._sampled}" if values is not None else ""
        method = "Feature visualization of each unit" + (f" · {role}" if layer.role else "")
        self.grid.subtitle = method + sampled
        moved = tuple(units) != self.grid.units
        self.grid.set_labels(self.names.captions())
        self.grid.show_units(units, self._describe)
        if moved:
            self.grid.select_units(self.session.selection)
            self.grid.scrollToTop()  # the first of the new order, not the selected unit wherever it went
        self.grid.set_message("" if units else f"No unit of {layer.name} matches “{self.filter.text().strip()}”.")
        shown = f"{len(units):,} of {layer.units:,} units" if len(units) < layer.units else f"{layer.units:,} units"
        ranked = self.ranking.note if by == PERCENTILE else ""
        about = (ranked, shown, _shape(layer.positions) or "one value each", layer.kind, role if layer.role else "")
        self.summary.show_text(" · ".join(part for part in about if part))
        self.supply.hurry()

    # ------------------------------------------------------------------------------------------------ choosing

    def _choose_layer(self, name: str) -> None:
        if name in self.session.layers:
            self.session.select_layer(name)

    def _finish_typing_layer(self) -> None:
        """Take a layer's whole name; anything else goes back to what is shown."""
        text = self.layers.lineEdit().text()
        if text in self.session.layers:
            self.session.select_layer(text)
        else:
            self.layers.setEditText(self.session.layer)

    def step_layer(self, step: int) -> None:
        """Show the next (1) or previous (-1) layer."""
        index = self.layers.findText(self.session.layer) + step
        if 0 <= index < self.layers.count():
            self.session.select_layer(self.layers.itemText(index))

    def reverse(self) -> None:
        """Turn the order round."""
        self._reversed = not self._reversed
        self._arrange()

    def _select(self, unit: int) -> None:
        """Look at a unit that was clicked; which others are selected with it the grid says at once."""
        with self._grid_leads():
            self.session.select_unit(Unit(self.session.layer, unit))

    def _activate(self, unit: int) -> None:
        if self.session.unit != Unit(self.session.layer, unit):
            self._select(unit)

    def _select_together(self, units: tuple[int, ...]) -> None:
        with self._grid_leads():
            self.session.select_together(units)

    @contextmanager
    def _grid_leads(self) -> Iterator[None]:
        self._choosing = True
        try:
            yield
        finally:
            self._choosing = False

    def _picture(self, unit: int) -> QPixmap | None:
        image = self.grid.image(unit)
        return None if image is None else QPixmap.fromImage(image)

    def _show_progress(self) -> None:
        """Say how much of what is asked for is there."""
        supply = self.supply
        self.progress.setVisible(bool(supply.total))
        self.progress.setRange(0, supply.total or 1)
        self.progress.setValue(supply.done)
        failure = supply.failure
        self.status.setToolTip(f"{failure.error}\n{failure.details}".strip() if failure else "")
        set_colour(self.status, "error" if failure else "")
        if failure:
            elide = Qt.TextElideMode.ElideRight  # a long sentence must not make the panel wide
            self.status.setText(self.fontMetrics().elidedText(failure.error, elide, 260))
        elif supply.total:
            self.status.setText(f"rendering, {supply.done:,} of {supply.total:,}")
        else:
            self.status.setText("rendering was stopped; scroll to go on" if supply.stopped else "")

    # ------------------------------------------------------------------------------------------------ statistics

    def _on_any_job(self, event: JobEvent) -> None:
        """Take the statistics of a sweep that has ended."""
        if isinstance(event.request, Sweep) and event.state == "done":
            self._ask_statistics()

    def _ask_statistics(self) -> None:
        model, images = self.session.model, self.session.images
        if model is None or images is None or not self.session.layer:
            self._take_statistics({})
            return
        request = LayerStatistics(model.ref, images.ref, self.session.layer)
        self.session.relay.submit(request, self._on_statistics)

    def _on_statistics(self, event: JobEvent) -> None:
        request, model, images = event.request, self.session.model, self.session.images
        assert isinstance(request, LayerStatistics)
        if model is None or images is None:
            return
        if (request.model, request.images, request.layer) != (model.ref, images.ref, self.session.layer):
            return
        if event.state == "done":
            self._take_statistics(event.result or {})

    def _take_statistics(self, found: Mapping[str, Any]) -> None:
        self._statistics = found
        images = self.session.images
        self._sampled = f"{found['seen']:,} images of {images.name}" if images is not None and found else ""
        for index in range(1, self.sort.count()):
            item = self.sort.model().item(index)
            possible = self.ranking.possible if self.sort.itemData(index) == PERCENTILE else self.sort.itemData(index) in found
            item.setEnabled(possible)
        if self.session.layer:
            self._arrange()

    # ------------------------------------------------------------------------------------------------ the panel's contract

    def showEvent(self, event: object) -> None:
        """Begin to render what was not while the panel was hidden."""
        super().showEvent(event)
        self.supply.hurry()
        if self.sort.currentData() == PERCENTILE:
            self._arrange()

    def save_state(self) -> dict[str, Any]:
        """Keep tile size, order and filter."""
        return {
            "tile": self.grid.tile_size,
            "sort": self.sort.currentData(),
            "reversed": self._reversed,
            "filter": self.filter.text(),
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take them back."""
        if isinstance(state.get("tile"), int):
            self.grid.tile_size = state["tile"]
        self.sort.setCurrentIndex(max(0, self.sort.findData(state.get("sort", ""))))
        self._reversed = bool(state.get("reversed", False))
        self.filter.setText(str(state.get("filter", "")))
        self._arrange()

    def commands(self) -> tuple[Command, ...]:
        """What can be done with families."""
        return self.family_menu.commands()

    def views(self) -> list[View]:
        """A contact sheet of the selected units, or of those on screen."""
        return [self._sheet()] if self.grid.units else []

    def _sheet(self) -> ContactSheet:
        sheet = ContactSheet.of(self.grid)
        selected = self.session.addresses.selected()
        if set(sheet.units) != set(self.session.selection):
            selected = replace(selected, family="", units=sheet.units)
        sheet.made_from = {**sheet.made_from, "address": str(replace(selected, view=self.id))}
        names = variable_names(known_of(self.session.project.labels, selected.model, selected.layer), selected.layer)
        again = of_pictures(selected.model, selected.layer, {unit: self.grid.level(unit) for unit in sheet.units}, names)
        ranked = self.ranking.step() if self.sort.currentData() == PERCENTILE else None
        if ranked is not None and self.session.images is not None:
            steps = again.steps if again is not None else ()
            again = Recomputation(selected.model, self.session.images.ref, (*steps, ranked), selected.layer, names)
        sheet.recomputation = again
        return sheet


def _shape(sizes: Sequence[int]) -> str:
    return " × ".join(str(size) for size in sizes)
