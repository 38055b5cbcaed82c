"""One unit of a layer: its facets as pictures, its activations, its relevances as points, and the directions that it mixes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from widgets.buttons import push_button
from widgets.views.axes import number
from widgets.views.effect_list import Effect, EffectList
from widgets.views.histogram import Histogram
from widgets.views.image_strip import ImageStrip, Picture, Row
from widgets.views.scatter_plot import ScatterPlot
from workbench.facets import facets_of, objective_of
from workbench.jobs.direction_requests import FacetCrops, Mixture, UnitMixture
from workbench.jobs.requests import RunAnalysis
from workbench.models.layer import Unit
from workbench.models.loading import directions_in, without_directions
from workbench.recompute import of_result

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.direction_requests import DirectionCard
    from workbench.jobs.job import JobEvent

PICTURES = 24
"""Images of a facet that are shown."""
STEPS = 192
"""Of the visualization of a facet."""


class UnitPage(QWidget):
    """What is known of one unit of a result."""

    latent = Signal(str, int)
    """Name of a set, and the direction of it that was clicked."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.session = session
        self._result: Result | None = None
        self._unit = -1
        self._crops: np.ndarray | None = None
        self._drawn: dict[int, np.ndarray] = {}
        self._asked: FacetCrops | None = None
        self._visualizing: list[RunAnalysis] = []
        self._drawing: dict[int, int] = {}  # job: facet, as long as it has not ended
        self._mixture: Mixture | None = None
        self.heading = QLabel(self, wordWrap=True)
        self.heading.setTextFormat(Qt.TextFormat.RichText)
        tip = "Optimise an image for each facet: the unit, through that facet's inputs"
        self.visualize = push_button(self, "Visualize facets", tip, self._draw)
        self.rival = QCheckBox("by activations", self)
        self.rival.setToolTip("Cluster what the layer's other units do instead of what the unit is built from")
        self.rival.toggled.connect(lambda _on: self._show())
        self.strip = ImageStrip(self, smallest=52, largest=84)
        self.strip.setAccessibleName("Facets")
        self.histogram = Histogram(self)
        self.histogram.logarithmic = True
        self.histogram.setMinimumHeight(190)
        self.scatter = ScatterPlot(self)
        self.scatter.setMinimumHeight(230)
        self.scatter.picked.connect(self._point)
        self.pointed = QLabel(self, wordWrap=True)
        self.sets = QComboBox(self)
        self.sets.setAccessibleName("Directions")
        self.sets.setToolTip("Directions of this layer: which of them the unit mixes is listed below")
        self.sets.setMinimumContentsLength(18)
        self.sets.currentIndexChanged.connect(lambda _index: self._ask_mixture())
        self.mixed = QLabel(self, wordWrap=True)
        self.latents = EffectList(self, linked=True)
        self.latents.setAccessibleName("Directions the unit mixes")
        self.latents.picked.connect(self._pick)
        self._arrange()
        self.clear()

    def _arrange(self) -> None:
        top = QHBoxLayout()
        top.addWidget(self.heading, 1)
        top.addWidget(self.rival)
        top.addWidget(self.visualize)
        plots = QHBoxLayout()
        plots.addWidget(self.scatter, 1)
        plots.addWidget(self.histogram, 1)
        chosen = QHBoxLayout()
        chosen.addWidget(QLabel("<b>What this unit mixes</b>", self))
        chosen.addWidget(self.sets)
        chosen.addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(8, 6, 8, 6)
        whole.addLayout(top)
        whole.addWidget(self.strip)
        whole.addLayout(plots)
        whole.addWidget(self.pointed)
        whole.addLayout(chosen)
        whole.addWidget(self.mixed)
        whole.addWidget(self.latents)
        whole.addStretch(1)

    # What is shown

    def clear(self) -> None:
        """Show nothing."""
        self._stop_drawing()
        self._result, self._unit, self._crops, self._asked = None, -1, None, None
        self.heading.setText("")
        self.strip.clear("")
        self.histogram.clear("")
        self.scatter.clear("")
        self.pointed.hide()
        self.setVisible(False)

    def show_unit(self, result: Result, unit: int) -> None:
        """Show one of a result's units."""
        if result is not self._result or unit != self._unit:
            self._stop_drawing()
        self._result, self._unit, self._crops = result, unit, None
        self.pointed.hide()
        self.setVisible(True)
        self._show()
        row = self._row()
        index = result.arrays["example_index"][row]
        there = index >= 0
        given = result.provenance
        if there.any():
            asked = (
                tuple(int(one) for one in index[there]),
                tuple(int(one) for one in result.arrays["example_place"][row][there]),
            )
            self._asked = FacetCrops(given["model"], given["images"], result.summary["layer"], *asked)
            self.session.relay.submit(self._asked, self._take_crops)
        self._ask_mixture()

    def _row(self) -> int:
        assert self._result is not None
        return int(np.flatnonzero(self._result.arrays["unit"] == self._unit)[0])

    def _take_crops(self, event: JobEvent) -> None:
        if event.request is not self._asked:
            return
        if event.state == "done":
            self._crops = event.result
            self._show()
        elif event.state == "failed":
            self.session.report(event.error, event.details)

    def _show(self) -> None:
        result = self._result
        if result is None:
            return
        arrays, row = result.arrays, self._row()
        name = f"{result.summary['layer']}:{self._unit}"
        rival = self.rival.isChecked()
        prefix = "rival_" if rival else ""
        count = int(arrays[f"{prefix}number"][row])
        score, q = float(arrays[f"{prefix}score"][row]), float(arrays[f"{prefix}q"][row])
        kinds = "one kind" if count == 1 else f"<b>{count} facets</b>"
        if not math.isfinite(score):
            said = f"<b>{name}</b>: too few images drive it to say anything"
        else:
            said = f"<b>{name}</b>: {kinds}, score {score:.1f} (one kind: 0 ± 1), q {q:.2g}"
            if count > 1 and not rival:
                said += f", agreement with activations {float(arrays['agreement'][row]):.2f}"
                apart = [f"{one.told_by} {one.told:.2f}" for one in facets_of(result, self._unit) if math.isfinite(one.told)]
                said += f"<br>Told apart downstream, held-out AUROC (.5 by chance): {', '.join(apart)}" if apart else ""
        self.heading.setText(said)
        made = self._made()
        labels = arrays[f"{prefix}facet"][row]
        there = arrays["example_index"][row] >= 0
        self.strip.show_rows(self._rows(labels), title=f"Facets of {name}", made_from=made)
        self.strip.recomputation = self.scatter.recomputation = self.histogram.recomputation = of_result(result)
        if there.any():
            what = "activations of the other units" if rival else "relevances of the units below"
            names = [f"facet {facet + 1}" for facet in range(count)] if count > 1 else ["all images"]
            self.scatter.show_points(
                arrays[f"{prefix}plane"][row][there],
                labels[there],
                names,
                title=f"{what.capitalize()}",
                label="two main axes, length 1",
                made_from=made,
            )
        else:
            self.scatter.clear("No image drives this unit.")
        edges, counts = arrays["histogram_edges"][row], arrays["histogram"][row]
        if (np.diff(edges) > 0).all():
            self.histogram.show_counts(
                edges,
                counts,
                title="Largest activation",
                label="largest activation of a concept",
                counted="concepts",
                note=f"{result.summary['images']:,} images",
                made_from=made,
            )
            if there.any():
                self.histogram.set_marker(float(arrays["example_value"][row][there].min()), "weakest example")
        else:
            self.histogram.clear("The unit's largest activation is the same for all concepts.")
        self.visualize.setEnabled(count > 1 and not rival and not self._drawing)

    def _rows(self, labels: np.ndarray) -> list[Row]:
        result = self._result
        assert result is not None
        arrays, row = result.arrays, self._row()
        facets = facets_of(result, self._unit)
        rows = []
        for facet in range(int(labels.max()) + 1 if len(labels) else 0):
            members = np.flatnonzero(labels == facet)
            pictures = []
            if facet in self._drawn and not self.rival.isChecked():
                pictures.append(
                    Picture(
                        self._drawn[facet], "visualization", tip="Optimised for the unit through this facet's inputs"
                    )
                )
            for place in members[:PICTURES].tolist():
                value = float(arrays["example_value"][row][place])
                pixels = self._crops[place] if self._crops is not None else None
                pictures.append(Picture(pixels, number(value), value=value, tip=f"activation {number(value)}"))
            label = f"Facet {facet + 1}: {len(members)} images" if labels.max() > 0 else f"{len(members)} images"
            note = ""
            if facet < len(facets) and not self.rival.isChecked():
                one = facets[facet]
                label += f", from {together(one.inputs[:3])}" if one.inputs else ""
                note = f"AUROC {one.told:.2f}" if math.isfinite(one.told) else ""
            rows.append(Row(label, tuple(pictures), note, lines=2))
        return rows

    def _made(self) -> dict[str, Any]:
        assert self._result is not None
        given = self._result.provenance
        unit = Unit(self._result.summary["layer"], self._unit)
        address = str(
            replace(
                self.session.addresses.selected(),
                layer=unit.layer,
                units=(unit.index,),
                family="",
                view="polysemanticity",
            )
        )
        badge = {"badge": self.session.badge} if self.session.badge else {}
        return {
            **{part: given[part] for part in ("model", "weights", "images")},
            "unit": str(unit),
            "address": address,
            **badge,
        }

    def _point(self, place: int) -> None:
        """Show which image a point is."""
        if self._result is None or self._crops is None:
            return
        arrays, row = self._result.arrays, self._row()
        example = int(np.flatnonzero(arrays["example_index"][row] >= 0)[place])
        prefix = "rival_" if self.rival.isChecked() else ""
        image, facet = int(arrays["example_index"][row][example]), int(arrays[f"{prefix}facet"][row][example])
        value = number(float(arrays["example_value"][row][example]))
        self.pointed.setText(f"Image {image:,} of the set, facet {facet + 1}, activation {value}")
        self.pointed.show()

    # Visualizations of facets

    def _draw(self) -> None:
        result = self._result
        if result is None:
            return
        self._stop_drawing()
        unit = Unit(result.summary["layer"], self._unit)
        for place, facet in enumerate(facets_of(result, self._unit)):
            given = {
                "layer": unit.layer,
                "units": [unit.index],
                "objective": objective_of(unit, facet.inputs, facet.shares, facet.signs),
                "steps": STEPS,
            }
            request = RunAnalysis("FeatureVisualization", given, result.provenance["model"])
            self._visualizing.append(request)
            self._drawing[self.session.relay.submit(request, self._take_drawn)] = place
        self.visualize.setEnabled(False)

    def _stop_drawing(self) -> None:
        """Let go of pictures of facets, also of those that are still being drawn: they belong to one unit."""
        for job in self._drawing:
            self.session.relay.cancel(job)
        self._visualizing = []
        self._drawing.clear()
        self._drawn.clear()

    def _take_drawn(self, event: JobEvent) -> None:
        place = next((place for place, request in enumerate(self._visualizing) if request is event.request), -1)
        if place < 0:
            return
        if event.state == "done":
            images = event.result.arrays["images"][0, 0]
            self._drawn[place] = np.rint(images * 255).clip(0, 255).astype(np.uint8)
        elif event.state == "failed":
            self.session.report(event.error, event.details)
        if event.ended:
            self._drawing.pop(event.job, None)
            self._show()

    # Directions

    def offer(self, cards: tuple[DirectionCard, ...], layer: str) -> None:
        """Offer the sets made of this layer of this network; those that it is open with first."""
        model = self.session.model
        known = directions_in(model.ref) if model is not None else ()
        alone = without_directions(model.ref) if model is not None else ""
        made = [card for card in cards if card.layer == layer and card.provenance.get("model") == alone]
        fitting = sorted(made, key=lambda card: card.name not in known)
        chosen = self.sets.currentText()
        self.sets.blockSignals(True)
        self.sets.clear()
        for card in fitting:
            self.sets.addItem(card.name)
            self.sets.setItemData(
                self.sets.count() - 1,
                f"{card.directions:,} directions: {card.provenance.get('how', '')}",
                Qt.ItemDataRole.ToolTipRole,
            )
        self.sets.setCurrentIndex(max(0, self.sets.findText(chosen)) if fitting else -1)
        self.sets.blockSignals(False)
        self.sets.setVisible(bool(fitting))
        self._ask_mixture()

    def _ask_mixture(self) -> None:
        self.latents.clear()
        if not self.sets.count():
            self.mixed.setText(
                "No directions of this layer yet: train an autoencoder or make directions, and see which of them the unit mixes."
            )
            return
        if self._result is not None:
            self.mixed.setText("")
            self.session.relay.submit(UnitMixture(self.sets.currentText(), self._unit), self._take_mixture)

    def _take_mixture(self, event: JobEvent) -> None:
        request = event.request
        if (
            not isinstance(request, UnitMixture)
            or request.unit != self._unit
            or request.name != self.sets.currentText()
        ):
            return
        if event.state == "failed":
            self.mixed.setText(event.error)
        elif event.state == "done":
            self._mixture = event.result
            found = self._mixture
            effects = [
                Effect(f"{found.name} {name}", float(share))
                for name, share in zip(found.called, found.share, strict=True)
            ]
            self.latents.show_effects(
                effects,
                title=f"Directions that {self._unit} mixes",
                label="decoder weight × deviation, in the unit's activation",
                made_from=self._made(),
            )
            self.mixed.setText("Click one to look at it as a unit." if effects else "It mixes none of them.")

    def _pick(self, place: int) -> None:
        if self._mixture is not None and 0 <= place < len(self._mixture.direction):
            self.latent.emit(self._mixture.name, int(self._mixture.direction[place]))

    def views(self) -> list[View]:
        """Return what can be exported."""
        return [self.strip, self.scatter, self.histogram, self.latents] if self._result is not None else []


def together(addresses: tuple[str, ...]) -> str:
    """Write addresses shortly: those of one layer name it once."""
    layers: dict[str, list[str]] = {}
    for address in addresses:
        layer, _, unit = address.rpartition(":")
        layers.setdefault(layer, []).append(unit)
    return ", ".join(f"{layer}:{','.join(units)}" for layer, units in layers.items())
