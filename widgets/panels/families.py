"""Families of a layer or of the whole network under a transformation of the image: found on demand, looked at, kept."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QSplitter,
    QTabWidget,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
)

from widgets.analysis_run import AnalysisRun
from widgets.badge import Badge
from widgets.buttons import push_button
from widgets.choice_box import choice_box
from widgets.docks import Panel
from widgets.elided_combo_box import ElidedComboBox
from widgets.family_angles import TuningQuestion, Turned, WeightsQuestion
from widgets.family_dialog import edit_family
from widgets.file_dialogs import ask_where_to_write
from widgets.sight import in_sight
from widgets.theme import say
from widgets.views.family_wheel import FamilyWheel
from widgets.views.line_plot import Curves, LinePlot
from widgets.written import write_and_say
from workbench.jobs.requests import RunAnalysis
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.models.layer import Unit
from workbench.owner import listed_of
from workbench.recompute import of_result
from workbench.unit_families import Family, find_family

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent

TRANSFORMATIONS = {
    "flip": "mirrored left to right",
    "rotate:90": "turned by 90°",
    "rotate:45": "turned by 45°",
    "hue:120": "hues turned by 120°",
    "hue:180": "hues turned by 180°",
    "scale:0.7": "scaled to 70 %",
    "style:noto>twemoji": "style noto for twemoji",
}
SCOPES = {"layer": "the layer", "all": "all layers"}
UNITS_WIDE = (90, 280)
"""Pixels that the column of units has at least and at most when families were found; it can be dragged."""
COLUMNS = ("Layer", "Units", "Gain", "At least", "Bar", "Weights")
TIPS = (
    "Layer of the family",
    "Units, each the next one's partner; a ring (↻) closes as the transformation allows",
    "Part of the distance between two partners that the transformation takes away, on concepts they were not chosen on",
    "Lower end of the smallest 95 % interval, over concepts",
    "What the largest pair of a network that learned nothing exceeds in one of 20 runs",
    "Cosine of kernels, moved back; ✓ where beyond kernels with random phases",
)
WRITTEN = "transformation layer units angles closed agreement plain gain low weights weights_bar".split()
INVITATION = (
    "Open a network and images, choose a transformation, then Find: units that do on a turned or mirrored image what others do on the "
    "image itself are put together, beside networks that learned nothing."
)
READY = "Find matches all units of a layer under the transformation, then those of 20 random-weight twins: about a minute a layer."


class FamiliesPanel(Panel):
    """Finds when told to; a row shows its wheel, a click on a picture looks at the unit."""

    id: ClassVar[str] = "families"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._result: Result | None = None
        self._chosen: dict[str, Any] | None = None
        self._fitted = False  # whether the column of units is as wide as units that were found
        self._pictures: dict[tuple[str, int], np.ndarray] = {}
        self._levels: dict[tuple[str, int], str] = {}
        self._build()
        session.model_changed.connect(lambda _card: self._forget())
        session.images_changed.connect(lambda _card: self._forget())
        session.layer_changed.connect(self._on_layer)
        session.unit_changed.connect(self._on_unit)
        self._forget()

    def _build(self) -> None:
        self.find = push_button(self, "Find", "Match the units, and those of twins that learned nothing", self._start)
        self.run = AnalysisRun(self, "Matching units", "Stop")
        self.run.said.connect(self._say)
        self.run.done.connect(self._take)
        self.run.in_place_of(self.find)
        changes = {name: (name, words) for name, words in TRANSFORMATIONS.items()}
        self.what = choice_box(QComboBox(self, editable=True), changes, "Transformation")
        self.what.setToolTip("What is done to images: flip, rotate:DEGREES, hue:DEGREES, scale:FACTOR, or COLUMN:ONE>OTHER of the images")
        self.scope = choice_box(ElidedComboBox(12, self), {key: (words, "") for key, words in SCOPES.items()}, "Layers that are asked")
        self._on_layer(self.session.layer)
        self.keep = push_button(self, "Keep as family", "Put the chosen family into the investigation; undo takes it out", self._keep)
        self.use = push_button(
            self, "Use in circuit", "Keep it, select it for patching and scrubbing, and add it to the circuit as one node", self._use
        )
        self.table = push_button(self, "Save CSV…", "Write all families that were found into a table", self._ask_file)
        bar = QHBoxLayout()
        bar.setContentsMargins(6, 4, 6, 2)
        for widget in (self.what, QLabel("in", self), self.scope, self.find, self.run.cancel):
            bar.addWidget(widget)
        bar.addStretch(1)
        bar.addWidget(self.keep)
        bar.addWidget(self.use)
        bar.addWidget(self.table)
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.list = QTreeWidget(columnCount=len(COLUMNS), rootIsDecorated=False, uniformRowHeights=True)
        self.list.setHeaderLabels(list(COLUMNS))
        self.list.setAccessibleName("Families that were found")
        self.list.setSortingEnabled(True)
        self.list.header().setStretchLastSection(False)
        for column in range(len(COLUMNS)):
            fits = QHeaderView.ResizeMode.Interactive if column == 1 else QHeaderView.ResizeMode.ResizeToContents
            self.list.header().setSectionResizeMode(column, fits)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        for column, tip in enumerate(TIPS):
            self.list.model().setHeaderData(column, Qt.Orientation.Horizontal, tip, Qt.ItemDataRole.ToolTipRole)
        self.list.currentItemChanged.connect(self._on_row)
        self.list.itemActivated.connect(lambda _item, _column: self._look_at(self._chosen["units"][0]) if self._chosen else None)
        self.wheel = FamilyWheel(lambda unit: self._pictures.get((self._chosen["layer"], unit)) if self._chosen else None)
        self.wheel.picked.connect(self._look_at)
        self.layers = LinePlot(self)
        self.tuning, self.weights = TuningQuestion(self.session, self), WeightsQuestion(self.session, self)
        self.tabs = QTabWidget(self)
        for widget, title, tip in (
            (self.wheel, "Wheel", "The family's units at their angles"),
            (self.tuning, "Tuning", "Responses of all its units while images are turned"),
            (self.weights, "Weights", "Weights from an earlier family, by relative angle"),
            (self.layers, "Layers", "How many units have a partner, and how invariant they are, layer by layer"),
        ):
            self.tabs.addTab(widget, title)
            self.tabs.setTabToolTip(self.tabs.count() - 1, tip)
        split = QSplitter(Qt.Orientation.Horizontal, self)
        split.addWidget(self.list)
        split.addWidget(self.tabs)
        split.setStretchFactor(0, 4)
        split.setStretchFactor(1, 5)
        split.setSizes([400, 460])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addLayout(bar)
        whole.addWidget(Badge(self.session, self))
        whole.addWidget(self.said)
        whole.addWidget(split, 1)

    # ------------------------------------------------------------------------------------------------ finding

    def _start(self) -> None:
        model, images = self.session.model, self.session.images
        name, layer = self.what.currentText().strip(), self.session.layer
        if model is None or images is None:
            return
        asked: dict[str, Any] = {"transformations": [name]}
        if self.scope.currentData() == "layer":
            if not layer:
                self._say("Choose a layer first, or all layers.", wrong=True)
                return
            asked["layers"] = [layer]
        self._forget()
        self.run.ask(RunAnalysis("Equivariance", asked, model.ref, images.ref))

    def _take(self, result: Result) -> None:
        self._result = result
        self._show(result)

    def _forget(self) -> None:
        self.run.forget()
        self._result, self._chosen = None, None
        self._pictures.clear()
        self._levels.clear()
        ready = self.session.model is not None and self.session.images is not None
        self.find.setEnabled(ready)
        self.list.clear()
        self.wheel.clear(READY if ready else INVITATION)
        self.layers.clear(READY if ready else INVITATION)
        self.tuning.look_at(None)
        self.weights.look_at(None)
        self._offer(False)
        self.table.setEnabled(False)
        self._say("")

    def _on_layer(self, layer: str) -> None:
        self.scope.setItemText(0, layer or SCOPES["layer"])

    def _on_unit(self, unit: Unit | None) -> None:
        here = self._chosen is not None and unit is not None and unit.layer == self._chosen["layer"]
        self.wheel.point_at(unit.index if here else None)

    # ------------------------------------------------------------------------------------------------ what was found

    def _show(self, result: Result) -> None:
        families = result.summary["families"]
        bars = {(row["transformation"], row["layer"]): row["bar"] for row in result.summary["figures"]}
        self.list.setSortingEnabled(False)
        for place, family in enumerate(families):
            ring = " ↻" if family["closed"] else ""
            cosine, least = family["weights"], family["weights_bar"]
            agrees = cosine is not None and least is not None and cosine >= least
            said = "" if cosine is None else f"{cosine:.2f}" + (" ✓" if agrees else "")
            bar = bars[family["transformation"], family["layer"]]
            units, figures = ", ".join(map(str, family["units"])), (family["gain"], family["low"], bar)
            row = QTreeWidgetItem([family["layer"], units + ring, *(f"{value:.2f}" for value in figures), said])
            row.setData(0, Qt.ItemDataRole.UserRole, place)
            row.setToolTip(1, units + ring)
            for column in (2, 3, 4, 5):
                row.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.list.addTopLevelItem(row)
        self.list.setSortingEnabled(True)
        if not self._fitted:  # then the user may have dragged it
            self.list.setColumnWidth(1, min(max(self.list.sizeHintForColumn(1), UNITS_WIDE[0]), UNITS_WIDE[1]))
        self._fitted = self._fitted or bool(families)
        self.list.sortItems(2, Qt.SortOrder.DescendingOrder)
        self._show_layers(result)
        self._say(about(result))
        self.table.setEnabled(bool(families))
        if families:
            self.list.setCurrentItem(self.list.topLevelItem(0))
        else:
            self.wheel.clear("No two units are partners beyond what networks that learned nothing have.")
            self.tabs.setCurrentWidget(self.layers)

    def _show_layers(self, result: Result) -> None:
        rows = result.summary["figures"]

        def ends(name: str, end: int) -> np.ndarray:
            return np.array([np.nan if row[name] is None or row[name][end] is None else row[name][end] for row in rows], float)

        def values(name: str) -> np.ndarray:
            return np.array([np.nan if row[name] is None else row[name] for row in rows], float)

        null = values("matched_null")
        plots = [
            Curves("units with a partner, part of the layer", values("matched"), low=np.zeros(len(rows)), high=null),
            Curves("excess of partners' correlation, mean", values("excess"), low=ends("excess_null", 0), high=ends("excess_null", 1)),
            Curves("invariance, median", values("invariance"), low=ends("invariance_null", 0), high=ends("invariance_null", 1)),
        ]
        self.layers.show_plots(
            [row["layer"] for row in rows],
            plots,
            title=f"{result.summary['titles'][0]}: {result.provenance['model']}",
            label=f"layers; grey: {result.summary['twins']} random-weight twins, first 0 to their mean, then smallest to largest",
            note=f"n = {result.summary['images']} images",
            made_from=self._made_from(result),
        )
        self.layers.recomputation = of_result(result)

    def _made_from(self, result: Result) -> dict[str, Any]:
        given, badge = result.provenance, {"badge": self.session.badge} if self.session.badge else {}
        address = str(replace(self.session.addresses.selected(), view=self.id))
        made = {part: given[part] for part in ("model", "weights", "images")}
        return {**made, "n": result.summary["images"], "address": address, **badge}

    def _on_row(self, item: QTreeWidgetItem | None, _before: QTreeWidgetItem | None) -> None:
        if item is None or self._result is None:
            self._chosen = None
            self._offer(False)
            return
        result = self._result
        family = self._chosen = result.summary["families"][item.data(0, Qt.ItemDataRole.UserRole)]
        (figure,) = (row for row in result.summary["figures"] if row["layer"] == family["layer"])
        caption = (
            f"gain {family['gain']:.2f}, at least {family['low']:.2f}; bar of {result.summary['twins']} twins {figure['bar']:.2f}; "
            f"corr(a(Tx), b(x)) {family['agreement']:.2f}, corr(a(x), b(x)) {family['plain']:.2f}; n = {result.summary['images']} images"
        )
        title = f"{result.summary['titles'][0]}: {family['layer']}"
        self.wheel.show_family(
            family["units"], family["angles"], title=title, caption=caption, tell=lambda unit: f"{family['layer']}:{unit}",
            made_from=self._made_from(result) | {"layer": family["layer"]},
        )  # fmt: skip
        self.wheel.recomputation = of_result(result)
        self._on_unit(self.session.unit)
        turned = as_turned(family)
        self.tuning.look_at(turned)
        self.weights.look_at(turned)
        self.weights.offer(self._known())
        self._offer(True)
        self._ask_pictures()

    def _known(self) -> list[Turned]:
        """Return the families with angles: those of the investigation, and those found here."""
        model = self.session.model.ref if self.session.model is not None else ""
        kept = listed_of(self.session.project.families, model)
        known = [
            Turned(family.name, family.layer, tuple(family.units), tuple(family.angles), kind(family.name))
            for family in kept
            if len(family.units) > 1 and None not in family.angles
        ]
        found = [as_turned(family) for family in (self._result.summary["families"] if self._result is not None else ())]
        return [*known, *(one for one in found if one is not None)]

    def _look_at(self, unit: int) -> None:
        """Select a unit of the chosen family."""
        if self._chosen is None:
            return
        try:
            self.session.select_unit(Unit(self._chosen["layer"], unit))
        except ValueError as error:  # a layer that is not listed
            self.session.report(str(error))

    def _offer(self, chosen: bool) -> None:
        """Let a family be kept and used where one is chosen."""
        for button in (self.keep, self.use):
            button.setEnabled(chosen)

    def _keep(self) -> Family | None:
        """Put the chosen family into the investigation, under a name that is free; return it as it is kept."""
        model, family = self.session.model, self._chosen
        if model is None or family is None:
            return None
        words, number = TRANSFORMATIONS.get(family["transformation"], family["transformation"]), 1
        while find_family(self.session.project.families, model.ref, family["layer"], f"{words}, {number}") is not None:
            number += 1
        made = Family(f"{words}, {number}", family["layer"], list(family["units"]), list(family["angles"]))
        edit_family(self.session, model.ref, None, made)
        self.session.inform(f"The family {made.name} of {made.layer} is in the investigation: {len(made.units)} units.")
        return made

    def _use(self) -> None:
        """Keep the chosen family, unless it is kept already, select its units, and add it to the circuit as one node."""
        model, chosen = self.session.model, self._chosen
        if model is None or chosen is None:
            return
        kept = listed_of(self.session.project.families, model.ref)
        family = next((one for one in kept if (one.layer, one.units) == (chosen["layer"], chosen["units"])), None) or self._keep()
        assert family is not None
        try:
            self.session.select_family(family.layer, family.name)
        except ValueError as error:  # a layer that is not listed
            self.session.report(str(error))
            return
        self.session.panels_wanted.emit(("circuit_graph",))
        self.session.family_wanted.emit(family)

    # ------------------------------------------------------------------------------------------------ pictures

    def _ask_pictures(self) -> None:
        model = self.session.model
        if model is None or self._chosen is None or not in_sight(self):
            return
        layer, units = self._chosen["layer"], self._chosen["units"]
        for level in ("coarse", "fine"):
            missing = tuple(
                unit
                for unit in units
                if self._levels.get((layer, unit)) != "fine" and (level == "fine" or (layer, unit) not in self._levels)
            )
            if missing:
                self.session.relay.submit(Thumbnails(model.ref, layer, missing, level, purpose="families"), self._take_pictures)

    def _take_pictures(self, event: JobEvent) -> None:
        request, found = event.request, event.partial or event.result
        assert isinstance(request, Thumbnails)
        model = self.session.model
        if self._result is None or model is None or request.model != model.ref or not found:
            return
        for unit, images in found.items():
            key = request.layer, unit
            if self._levels.get(key) != "fine":
                self._levels[key], self._pictures[key] = request.level, images[0]
        self.wheel.update()

    # ------------------------------------------------------------------------------------------------ files, and the panel's contract

    def _ask_file(self) -> None:
        ask_where_to_write(self, "Save the families as a table", "families.csv", "Table (*.csv)", self.write_table)

    def write_table(self, path: str) -> None:
        """Write all families as CSV, and say so."""
        if self._result is None:
            return
        families = self._result.summary["families"]
        write_and_say(self.session, path, as_table(families), f"{len(families)} families")

    def _say(self, text: str, wrong: bool = False) -> None:
        say(self.said, text, wrong)
        self.said.setVisible(bool(text))

    def showEvent(self, event: Any) -> None:
        """Ask for pictures that nobody looked at before."""
        super().showEvent(event)
        self._ask_pictures()

    def save_state(self) -> dict[str, Any]:
        """Keep what is asked."""
        return {"what": self.what.currentText(), "scope": self.scope.currentData()}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.what.setCurrentText(str(state.get("what") or next(iter(TRANSFORMATIONS))))
        self.scope.setCurrentIndex(max(0, self.scope.findData(state.get("scope"))))

    def views(self) -> list[View]:
        """The wheel, what was asked of the family, and the layers."""
        if self._result is None:
            return []
        shown: list[View] = [self.wheel] if self._chosen is not None else []
        return [*shown, *self.tuning.views(), *self.weights.views(), self.layers]


def as_table(families: Iterable[dict[str, Any]]) -> str:
    """Return families as CSV, one a line, units and angles separated by spaces, ``-`` for one that is not known."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(WRITTEN)
    for family in families:
        angles = " ".join("-" if angle is None else f"{angle:g}" for angle in family["angles"])
        line = family | {"units": " ".join(map(str, family["units"])), "angles": angles}
        writer.writerow(["" if line[name] is None else line[name] for name in WRITTEN])
    return text.getvalue()


def kind(name: str) -> str:
    """Return what is turned in a family, by the name of the transformation or by the name that it was kept under."""
    return "hue" if name.startswith("hue") else "image"


def as_turned(family: dict[str, Any]) -> Turned | None:
    """Return a family with what is turned; None where its units have no angles."""
    if None in family["angles"]:
        return None
    name = ", ".join(map(str, family["units"]))
    return Turned(name, family["layer"], tuple(family["units"]), tuple(family["angles"]), kind(family["transformation"]))


def about(result: Result) -> str:
    """Say what was found, beside the null."""
    rows, summary = result.summary["figures"], result.summary
    judged, counting, alone, lost = (sum(row[name] for row in rows) for name in ("judged", "counting", "symmetric", "misfits"))
    null = sum((row["matched_null"] or 0.0) * row["judged"] for row in rows) / max(1, judged)
    smallest = [row["detectable"] for row in rows if row["detectable"] is not None]
    seen = ""
    if smallest:
        low, high = f"{min(smallest):.2f}", f"{max(smallest):.2f}"
        seen = f"a gain from {low} on{'' if low == high else f', in some layers {high},'} would have been seen"
    parts = [
        f"{summary['titles'][0]}: {counting} of {judged} units have a partner ({counting / max(1, judged):.1%}; twins {null:.1%}), "
        f"in {len(summary['families'])} families",
        f"{alone} are their own partners beyond the twins",
        *([seen] if smallest else []),
        f"n = {summary['images']} images, {summary['twins']} twins",
        *([f"{lost} units are in rings that cannot be"] if lost else []),
    ]
    return " · ".join(parts) + "."

