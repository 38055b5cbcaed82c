"""Motifs of the whole network: searched on demand, listed by kind beside their null, opened as circuits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout

from widgets.analysis_run import AnalysisRun
from widgets.badge import Badge
from widgets.buttons import push_button
from widgets.choice_box import choice_box
from widgets.docks import Panel
from widgets.file_dialogs import ask_where_to_write
from widgets.panels import PANELS
from widgets.scrolled import scrolled
from widgets.sight import in_sight
from widgets.theme import say
from widgets.views.colour_scale import ColourScale
from widgets.views.finding_list import FindingList, Found, Group
from widgets.written import write_and_say
from workbench.circuit import layer_of, units_of
from workbench.jobs.requests import RunAnalysis
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.motifs import KINDS, NULLS, as_circuit, as_table
from workbench.recompute import of_result

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent

INVITATION = (
    "Open a network and images, then Search: all layers of weights are searched for patterns that return. Each kind is counted beside "
    "how often weights without it have it by chance."
)
READY = (
    "Search goes through all layers of weights: units that add up turned versions of one another, unions over cases, opposite pairs, "
    "bands, branches with a task of their own, kernels that return. It takes a minute or so."
)
EVERYWHERE = "all layers"
SETTLE = 120
"""Milliseconds after scrolling until pictures of what is in sight are asked for."""


class MotifsPanel(Panel):
    """Searches when told to; a click on a picture looks at the unit, a double click opens the finding as a circuit."""

    id: ClassVar[str] = "motifs"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._result: Result | None = None
        self._shown: list[dict[str, Any]] = []  # the findings in the list, in its order
        self._pictures: dict[str, np.ndarray] = {}
        self._levels: dict[str, str] = {}
        self._build()
        self._soon = QTimer(self, singleShot=True, interval=SETTLE)
        self._soon.timeout.connect(self._ask_pictures)
        session.model_changed.connect(lambda _card: self._forget())
        session.images_changed.connect(lambda _card: self._forget())
        self._forget()

    def _build(self) -> None:
        self.search = push_button(self, "Search", "Search the whole network for motifs", self._start)
        self.run = AnalysisRun(self, "Searching", "Stop searching")
        self.run.said.connect(self._say)
        self.run.done.connect(self._take)
        self.run.in_place_of(self.search)
        tip = "Open the chosen motif as a circuit: its units, what they read, and the weights"
        self.open = push_button(self, "Open as circuit", tip, self._open)
        self.table = push_button(self, "Save CSV…", "Write all findings that are shown into a table", self._ask_file)
        kinds = {"": ("all kinds", "")} | {kind: (title, meaning(kind)) for kind, (title, _) in KINDS.items()}
        self.kind = choice_box(QComboBox(self), kinds, "Kind of motif", self._show)
        self.layer = QComboBox(self)
        self.layer.setAccessibleName("Layer of the motif")
        self.layer.setToolTip("Only motifs of units in this layer")
        self.layer.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.layer.setMinimumContentsLength(12)
        self.layer.currentIndexChanged.connect(lambda _index: self._show())
        bar = QHBoxLayout()
        bar.setContentsMargins(6, 4, 6, 2)
        for widget in (self.search, self.run.cancel, self.kind, self.layer):
            bar.addWidget(widget)
        bar.addStretch(1)
        bar.addWidget(self.open)
        bar.addWidget(self.table)
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.meaning = QLabel(self, wordWrap=True)
        self.meaning.setMargin(4)
        self.list = FindingList(self._pictures.get)
        self.list.setAccessibleName("Motifs that were found")
        self.list.picked.connect(self._look_at)
        self.list.chosen.connect(self._choose)
        self.list.opened.connect(lambda _place: self._open())
        self.scroll = scrolled(self.list, self)
        self.scroll.verticalScrollBar().valueChanged.connect(lambda _value: self._soon.start())
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addLayout(bar)
        whole.addWidget(Badge(self.session, self))
        whole.addWidget(self.said)
        whole.addWidget(self.meaning)
        whole.addWidget(self.scroll, 1)

    # ------------------------------------------------------------------------------------------------ searching

    def _start(self) -> None:
        model, images = self.session.model, self.session.images
        if model is None or images is None:
            return
        self._forget()
        self.run.ask(RunAnalysis("Motifs", {}, model.ref, images.ref))

    def _take(self, result: Result) -> None:
        self._result = result
        self.search.setText("Search again")
        self._fill_layers()
        self._show()

    def _forget(self) -> None:
        self.run.forget()
        self._result, self._shown = None, []
        self._pictures.clear()
        self._levels.clear()
        ready = self.session.model is not None and self.session.images is not None
        self.search.setText("Search")
        self.search.setEnabled(ready)
        self._fill_layers()
        self._say("")
        self.meaning.hide()
        self.list.clear(READY if ready else INVITATION)
        self._choose(-1)
        self.table.setEnabled(False)

    def _fill_layers(self) -> None:
        """Offer the layers that have motifs."""
        found = self._result.summary["findings"] if self._result is not None else []
        self.layer.blockSignals(True)
        self.layer.clear()
        self.layer.addItems([EVERYWHERE, *dict.fromkeys(layer_of(unit) for finding in found for unit in finding["units"])])
        self.layer.blockSignals(False)

    # ------------------------------------------------------------------------------------------------ the list

    def _show(self) -> None:
        result = self._result
        if result is None:
            return
        kind, layer = self.kind.currentData(), self.layer.currentText()
        wanted = [name for name in result.summary["kinds"] if kind in ("", name)]
        groups, self._shown = [], []
        for name in wanted:
            found = [finding for finding in result.summary["findings"] if finding["kind"] == name]
            if layer != EVERYWHERE:
                found = [finding for finding in found if layer in {layer_of(unit) for unit in finding["units"]}]
            self._shown += found
            shown = tuple(as_found(finding, result) for finding in found)
            groups.append(Group(KINDS[name][0], counts(result, name), shown, nothing(result, name, layer)))
        given, badge = result.provenance, {"badge": self.session.badge} if self.session.badge else {}
        address = str(replace(self.session.addresses.selected(), view=self.id))
        made = {part: given[part] for part in ("model", "weights", "images")}
        self.list.show_groups(
            groups, title=f"Motifs of {given['model']}", made_from={**made, "n": result.summary["images"], "address": address, **badge}
        )
        self.list.recomputation = of_result(result)
        self.meaning.setText(meaning(kind) if kind else "")
        self.meaning.setVisible(bool(kind))
        self._say(about(result))
        self.table.setEnabled(bool(self._shown))
        self._choose(-1)
        self._soon.start()

    def _choose(self, place: int) -> None:
        self.open.setEnabled(0 <= place < len(self._shown))
        if 0 <= place < len(self._shown):
            top, height = self.list.place_of(place)
            self.scroll.ensureVisible(0, round(top + height / 2), 0, round(height / 2) + 2)

    def _look_at(self, address: str) -> None:
        """Select a unit of a finding."""
        try:
            self.session.select_unit(units_of(address)[0])
        except ValueError as error:  # a layer that is not listed
            self.session.report(str(error))

    def _open(self) -> None:
        """Open the chosen finding as a circuit."""
        if self._result is None or not 0 <= self.list.current < len(self._shown):
            return
        given = self._result.provenance
        self.session.open_circuit(as_circuit(self._shown[self.list.current], given["model"], given["images"]))
        if "circuit_graph" in PANELS:
            self.session.panels_wanted.emit(("circuit_graph",))

    # ------------------------------------------------------------------------------------------------ pictures

    def _ask_pictures(self) -> None:
        """Ask for the visualizations of what is in sight, layer by layer, then of what else a figure would show."""
        model = self.session.model
        if model is None or self._result is None or not in_sight(self):
            return
        top = self.scroll.verticalScrollBar().value()
        wanted: dict[str, list[int]] = {}
        seen = self.list.visible_addresses(top, top + self.scroll.viewport().height())
        for address in dict.fromkeys((*seen, *self.list.exported_addresses())):
            layer = layer_of(address)
            if self._levels.get(address) != "fine" and layer in self.session.layers and layer != next(iter(self.session.layers)):
                wanted.setdefault(layer, []).append(units_of(address)[0].index)
        for level in ("coarse", "fine"):
            for layer, units in wanted.items():
                missing = tuple(unit for unit in units if level == "fine" or f"{layer}:{unit}" not in self._levels)
                if missing:
                    request = Thumbnails(model.ref, layer, missing, level, purpose=f"motifs {layer}")
                    self.session.relay.submit(request, self._take_pictures)

    def _take_pictures(self, event: JobEvent) -> None:
        request, found = event.request, event.partial or event.result
        assert isinstance(request, Thumbnails)
        model = self.session.model
        if self._result is None or model is None or request.model != model.ref or not found:
            return
        for unit, images in found.items():
            address = f"{request.layer}:{unit}"
            if self._levels.get(address) != "fine":
                self._levels[address], self._pictures[address] = request.level, images[0]
        self.list.update()

    # ------------------------------------------------------------------------------------------------ files, and the panel's contract

    def _ask_file(self) -> None:
        ask_where_to_write(self, "Save the motifs as a table", "motifs.csv", "Table (*.csv)", self.write_table)

    def write_table(self, path: str) -> None:
        """Write the findings that are shown as CSV, and say so."""
        write_and_say(self.session, path, as_table(self._shown), f"{len(self._shown)} motifs")

    def _say(self, text: str, wrong: bool = False) -> None:
        say(self.said, text, wrong)
        self.said.setVisible(bool(text))

    def showEvent(self, event: Any) -> None:
        """Ask for pictures that nobody looked at before."""
        super().showEvent(event)
        self._soon.start()

    def hideEvent(self, event: Any) -> None:
        """Ask for no more."""
        super().hideEvent(event)
        self._soon.stop()

    def save_state(self) -> dict[str, Any]:
        """Keep which kind is shown."""
        return {"kind": self.kind.currentData()}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.kind.setCurrentIndex(max(0, self.kind.findData(state.get("kind"))))

    def views(self) -> list[View]:
        """The list."""
        return [self.list] if self._result is not None else []


def as_found(finding: dict[str, Any], result: Result) -> Found:
    """Return what the list shows of a finding."""
    marked, pattern = "artefact" if finding["artefact"] else "", None
    if "template" in finding:
        padded = result.arrays["templates"][finding["template"]]
        kernel = padded[np.ix_(np.isfinite(padded).any(1), np.isfinite(padded).any(0))]
        most = float(np.abs(kernel).max()) or 1.0
        pattern = ColourScale(-most, most).colours(kernel).repeat(8, 0).repeat(8, 1)
    return Found(tuple(finding["units"]), tuple(finding["inputs"]), finding["note"], finding["score"], finding["q"], marked, pattern)


def meaning(kind: str) -> str:
    """Say what a kind is, and what its count stands beside."""
    return f"{KINDS[kind][1]} Null: {NULLS[kind]}."


def counts(result: Result, kind: str) -> str:
    """Say how many were found of a kind, beside how many its null has."""
    told = result.summary["kinds"][kind]
    parts = [f"{told['found']:,} found in {told['tests']:,} tests"]
    if told["null_mean"] is not None:
        parts.append(f"{told['null_mean']:.2g} in {NULLS[kind]} (at most {told['null_most']}, {result.summary['draws']} draws)")
    if told["listed"] < told["found"]:
        parts.append(f"the first {told['listed']} are listed")
    return " · ".join(parts)


def nothing(result: Result, kind: str, layer: str) -> str:
    """Say why there is none of a kind."""
    told = result.summary["kinds"][kind]
    if told["found"] and layer != EVERYWHERE:
        return f"None in {layer}."
    if kind == "pooling" and not told["tests"]:
        return "No layer has units whose weights are turned or mirrored versions of one another, so there is nothing to add up."
    if kind == "branch" and not told["tests"]:
        return "No layers of this network stand side by side as branches."
    if kind in ("bands", "template") and not told["tests"]:
        return "No layer has enough square kernels of 3 x 3 or more to ask."
    if not told["tests"]:
        return "No layer of weights has enough units, on either side, that can be judged."
    detectable = f"; one alone would have been found from a score of {told['detectable']:.2f} on" if told["detectable"] is not None else ""
    return f"None is likelier than chance and of a score of {told['least']:.2g} or more{detectable}."


def about(result: Result) -> str:
    """Say what was searched, and what could not be judged."""
    summary = result.summary
    layers = len(summary["layers"])
    parts = [f"{summary['units']:,} units of {layers} layers of weights, n = {summary['images']} images, q ≤ {summary['alpha']:g}"]
    for name, words in (("dead", "dead on these images"), ("not_numbers", "no numbers"), ("without_weights", "without weights")):
        told = summary[name]
        if told["units"]:
            more = " …" if told["units"] > 3 else ""
            parts.append(f"{told['units']} {words}: {', '.join(told['first'][:3])}{more}")
    if summary["grouped"]:
        parts.append(f"{len(summary['grouped'])} layers of grouped convolutions asked for templates alone")
    return " · ".join(parts) + "."
