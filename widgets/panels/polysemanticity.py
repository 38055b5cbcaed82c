"""Mixtures: which units of a layer are polysemantic, what each mixes, and directions that take the mixtures apart."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSplitter, QToolButton, QVBoxLayout

from widgets.analysis_run import AnalysisRun
from widgets.badge import Badge
from widgets.buttons import push_button
from widgets.docks import Panel
from widgets.polysemanticity.direction_box import DirectionBox
from widgets.polysemanticity.names import free_name
from widgets.polysemanticity.training_box import TrainingBox
from widgets.polysemanticity.unit_page import UnitPage
from widgets.project_edit import ProjectEdit
from widgets.scrolled import scrolled
from widgets.theme import say
from widgets.views.effect_list import Effect, EffectList
from workbench.jobs.direction_requests import KeepAutoencoder, ListDirections
from workbench.jobs.requests import RunAnalysis
from workbench.models.layer import Unit
from workbench.models.loading import directions_in, with_directions_of, without_directions
from workbench.recompute import of_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.direction_requests import DirectionCard
    from workbench.jobs.job import JobEvent
    from workbench.project import Project

INVITATION = "Open a network and images, choose a layer, then Find mixtures: which of its units respond to several unrelated things."
READY = (
    "Find mixtures looks at the 100 strongest images of every unit of {layer}, and clusters them by what the unit is built from there. "
    "It takes about a second a unit."
)


class PolysemanticityPanel(Panel):
    """Searches a layer when told to; a click on a line looks at the unit, one on a latent at the latent."""

    id: ClassVar[str] = "polysemanticity"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._result: Result | None = None
        self._order: list[int] = []
        self._cards: tuple[DirectionCard, ...] = ()
        self._keeping: KeepAutoencoder | None = None
        self._keeping_for = session.project
        self._build()
        session.model_changed.connect(lambda _card: self._forget())
        session.images_changed.connect(lambda _card: self._forget())
        session.layer_changed.connect(lambda _layer: self._follow_layer())
        session.unit_changed.connect(self._follow_unit)
        self._forget()

    def _build(self) -> None:
        self.search = push_button(
            self, "Find mixtures", "Cluster the strongest images of every unit of the layer", self._start
        )
        self.run = AnalysisRun(self, "Looking", "Stop")
        self.run.said.connect(self._say)
        self.run.done.connect(self._take)
        self.run.in_place_of(self.search)
        self.train = self._toggle(
            "Train autoencoder…", "Write the layer as sums of few latents each, which become units"
        )
        self.make = self._toggle(
            "Make directions…", "Principal axes, factors, a difference of two kinds of images, or a probe, as units"
        )
        bar = QHBoxLayout()
        bar.setContentsMargins(6, 4, 6, 2)
        for widget in (self.search, self.run.cancel):
            bar.addWidget(widget)
        bar.addStretch(1)
        bar.addWidget(self.train)
        bar.addWidget(self.make)
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.training = TrainingBox(self.session, self.layer, self)
        self.training.finished.connect(self._keep)
        self.directions = DirectionBox(self.session, self.layer, self)
        self.directions.made.connect(self._open)
        for button, box in ((self.train, self.training), (self.make, self.directions)):
            box.hide()
            button.toggled.connect(box.setVisible)
        self.train.toggled.connect(lambda on: self.training.list_runs() if on else None)
        self.list = EffectList(linked=True)
        self.list.setAccessibleName("Units by how surely they mix several things")
        self.list.picked.connect(self._pick)
        self.page = UnitPage(self.session, self)
        self.page.latent.connect(self._look_at_latent)
        self.scrolls = tuple(scrolled(widget, self) for widget in (self.list, self.page))
        self.halves = QSplitter(Qt.Orientation.Horizontal, self)
        for scroll, stretch in zip(self.scrolls, (2, 5), strict=True):
            self.halves.addWidget(scroll)
            self.halves.setStretchFactor(self.halves.count() - 1, stretch)
        self.halves.setChildrenCollapsible(False)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addLayout(bar)
        whole.addWidget(Badge(self.session, self))
        whole.addWidget(self.said)
        whole.addWidget(self.training)
        whole.addWidget(self.directions)
        whole.addWidget(self.halves, 1)

    def _toggle(self, text: str, tip: str) -> QToolButton:
        button = QToolButton(self, text=text, toolTip=tip, checkable=True)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        return button

    def layer(self) -> str:
        """Name the layer that is asked about: the selected one, or the site of the directions that are selected."""
        return self.session.layer.partition("~")[0]

    # Searching

    def _start(self) -> None:
        model, images = self.session.model, self.session.images
        if model is None or images is None:
            return
        self._clear()
        self.run.ask(RunAnalysis("Polysemanticity", {"layer": self.layer()}, without_directions(model.ref), images.ref))

    def _take(self, result: Result) -> None:
        self._result = result
        self._show()

    def _forget(self) -> None:
        """Let go of another network's units; the same one with other directions is no other."""
        model, images, asked = self.session.model, self.session.images, self.run.request
        same = model is not None and images is not None and asked is not None
        if not same or (without_directions(model.ref), images.ref) != (asked.model, asked.images):
            self.run.forget()
            self._clear()
        if self.session.model is not None:
            self.session.relay.submit(ListDirections(), self._take_directions)

    def _clear(self) -> None:
        self._result, self._order = None, []
        ready = self.session.model is not None and self.session.images is not None and bool(self.layer())
        self.search.setEnabled(ready)
        self._say(READY.format(layer=self.layer()) if ready else INVITATION)
        self.list.clear()
        self.page.clear()
        self.halves.setVisible(False)
        self.training.refresh()
        self.directions.refresh()

    def _follow_layer(self) -> None:
        """Let go of another layer's units."""
        if self._result is None or self._result.summary["layer"] != self.layer():
            if self.run.request is not None and self.run.request.parameters["layer"] != self.layer():
                self.run.forget()
            if self.run.request is None or self._result is not None:
                self._clear()
        self.page.offer(self._cards, self.layer())

    # The list

    def _show(self) -> None:
        result = self._result
        if result is None:
            return
        arrays, summary = result.arrays, result.summary
        score = np.where(np.isfinite(arrays["score"]), arrays["score"], -np.inf)
        rows = np.argsort(-score, kind="stable")
        rows = rows[np.isfinite(score[rows])]
        self._order = [int(arrays["unit"][row]) for row in rows]
        effects = []
        for row in rows.tolist():
            count, q = int(arrays["number"][row]), float(arrays["q"][row])
            text = f"{float(arrays['score'][row]):.1f}" + (f" · {count} facets" if count > 1 else "")
            taken, null = (float(arrays[name][row]) for name in ("taken", "null"))
            tip = f"q {q:.2g}: two clusters take off {taken:.0%} of the spread, {null:.0%} of points of one kind"
            effects.append(
                Effect(
                    f"{summary['layer']}:{int(arrays['unit'][row])}", float(arrays["score"][row]), text=text, tip=tip
                )
            )
        address = str(replace(self.session.addresses.selected(), view=self.id))
        badge = {"badge": self.session.badge} if self.session.badge else {}
        given = {part: result.provenance[part] for part in ("model", "weights", "images")}
        self.list.show_effects(
            effects,
            title=f"Units of {summary['layer']} that mix several things",
            label="score, deviations of the surrogates",
            null=(-1.64, 1.64),
            null_name="one kind, 90 %",
            made_from={**given, "n": summary["images"], "address": address, **badge},
        )
        self.list.recomputation = of_result(result)
        self._say(about(summary))
        self.halves.setVisible(True)
        if self._order:
            unit = self.session.unit
            chosen = (
                unit.index
                if unit is not None and unit.layer == summary["layer"] and unit.index in self._order
                else self._order[0]
            )
            self.page.show_unit(result, chosen)
            self.page.offer(self._cards, self.layer())

    def _pick(self, place: int) -> None:
        """Select the unit of a line."""
        if self._result is not None and 0 <= place < len(self._order):
            unit = Unit(self._result.summary["layer"], self._order[place])
            self.session.select_unit(unit)
            self._follow_unit(unit)

    def _follow_unit(self, unit: Unit | None) -> None:
        """Show the unit that is selected elsewhere."""
        result = self._result
        if (
            result is not None
            and unit is not None
            and unit.layer == result.summary["layer"]
            and unit.index in result.arrays["unit"]
        ):
            self.page.show_unit(result, unit.index)

    # Directions

    def _take_directions(self, event: JobEvent) -> None:
        if event.state == "done":
            self._cards = event.result
            self.directions.taken = frozenset(card.name for card in self._cards)
            self.directions.refresh()
            self.page.offer(self._cards, self.layer())

    def _keep(self, folder: Path) -> None:
        """Make the latents of a run units, in place of those that were made of the same run before."""
        name = free_name(folder.name, {card.name for card in self._cards if card.provenance.get("run") != folder.name})
        self._keeping, self._keeping_for = KeepAutoencoder(folder, name), self.session.project
        self._say(f"Measuring the autoencoder {name} on held-out images …")
        self.session.relay.submit(self._keeping, self._take_kept)

    def _take_kept(self, event: JobEvent) -> None:
        if event.request is not self._keeping:
            return
        if event.state == "failed":
            self._say(event.error, wrong=True)
        elif event.state == "cancelled":
            self._say("Cancelled: no directions were made of this run.")
        elif event.state == "progress":
            share = f": {event.done / event.total:.0%}" if event.total else " …"
            self._say(f"{event.note or 'Measuring the autoencoder'}{share}")
        elif event.state == "done":
            self._say("")
            self._open(event.result, self._keeping_for)

    def _open(self, card: DirectionCard, project: Project) -> None:
        """Open the network with new directions, anew where it is open with older ones of that name; another network stays as it is.

        So does the investigation when it is not the one in which they were asked for.
        """
        model, made_of = self.session.model, str(card.provenance.get("model", ""))
        if project is not self.session.project:
            self.session.inform(f"The directions {card.name} of {card.layer}, asked for in another investigation, are made.")
            self.session.relay.submit(ListDirections(), self._take_directions)
            return
        self._record(card, made_of)
        reading = f"{card.layer}~{card.name}"
        if model is not None and without_directions(model.ref) == made_of:
            self.session.inform(f"{card.directions:,} directions of {card.layer} are the layer {reading}.")
            self.session.open_model(with_directions_of(model.ref, card.name), layer=reading)
        else:
            ref = with_directions_of(made_of, card.name)
            self.session.inform(f"{card.directions:,} directions of {card.layer} of another network are kept: open {ref} to see them.")
            self.session.relay.submit(ListDirections(), self._take_directions)

    def _record(self, card: DirectionCard, model: str) -> None:
        """Note in the investigation that it has these directions, in place of earlier ones of that name."""
        from workbench.project import DirectionsUsed

        before = self.session.project.directions
        others = [known for known in before if known.name != card.name]
        after = [*others, DirectionsUsed(model, card.layer, card.name, card.digest)]

        def put(directions: list[DirectionsUsed]) -> Callable[[Project], None]:
            def change(project: Project) -> None:
                project.directions = list(directions)

            return change

        self.session.undo_stack.push(ProjectEdit(self.session, f"note the directions {card.name}", put(after), put(before)))

    def _look_at_latent(self, name: str, direction: int) -> None:
        """Select a direction as a unit; the network is opened with its set first where it is not yet."""
        model = self.session.model
        if model is None:
            return
        reading = f"{self.layer()}~{name}"
        unit = Unit(reading, direction)
        if name in directions_in(model.ref) and reading in self.session.layers:
            self.session.select(reading, unit)
        else:
            self.session.open_model(with_directions_of(model.ref, name), layer=reading, unit=unit)

    # The panel's contract

    def _say(self, text: str, wrong: bool = False) -> None:
        say(self.said, text, wrong)
        self.said.setVisible(bool(text))

    def save_state(self) -> dict[str, Any]:
        """Keep what is unfolded."""
        return {"training": self.train.isChecked(), "directions": self.make.isChecked()}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.train.setChecked(bool(state.get("training")))
        self.make.setChecked(bool(state.get("directions")))

    def views(self) -> list[View]:
        """The list, and what is shown of the unit."""
        return [self.list, *self.page.views()] if self._result is not None else []


def about(summary: Any) -> str:
    """Say what was found, beside what chance would give."""
    broken = summary.get("not_finite", ())
    more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
    lost = f" Not finite on some images, and left out: {', '.join(broken[:3])}{more}." if broken else ""
    if not summary["tested"] and broken:
        return f"Nothing can be said of the {summary['units']} units of {summary['layer']}.{lost}"
    if not summary["tested"]:
        return f"None of the {summary['units']} units of {summary['layer']} is driven by enough images to say anything; choose others."
    told = (
        f"{summary['polysemantic']} of {summary['tested']} units of {summary['layer']} have several facets (q ≤ {summary['alpha']:g}, so "
        f"about {summary['expected_false']:.1f} of them by chance; smallest score that counts {summary['smallest_score']:.1f}); "
        f"{summary['rival_polysemantic']} by what the other units do. {summary['images']:,} images, {summary['examples']} a unit."
    )
    told += lost
    if summary["told"] is not None and math.isfinite(summary["told"]):
        told += f" Facets are told apart in {summary['downstream']} with a median AUROC of {summary['told']:.2f} (.5 by chance)."
    return told
