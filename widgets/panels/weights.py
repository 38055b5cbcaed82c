"""How units are built from earlier ones: the matrix of expanded weights between two layers, and one unit's inputs as kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QMenu,
    QSplitter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from widgets.badge import Badge
from widgets.buttons import push_button
from widgets.choice_box import choice_box
from widgets.circuit_edit import add_edges
from widgets.docks import Panel
from widgets.elided_combo_box import ElidedComboBox
from widgets.elided_label import ElidedLabel
from widgets.scrolled import scrolled
from widgets.sight import in_sight
from widgets.theme import say
from widgets.views.axes import number
from widgets.views.image_strip import ImageStrip
from widgets.views.matrix_view import MatrixView
from widgets.weight_card import by_factor, card_rows
from workbench.circuit import Edge
from workbench.circuit_weights import source_for
from workbench.jobs.requests import RunAnalysis
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.labels import variable_names
from workbench.models.layer import Unit
from workbench.models.neighbours import sensible_source, sensible_target, sources_of, targets_of
from workbench.owner import known_of
from workbench.recompute import of_pictures, of_result

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent

DIRECTIONS = {
    "inputs": ("built from", "How the units of the layer are built from those of an earlier one"),
    "outputs": ("read by", "Which units of a later layer read those of the layer"),
}
PATHS = {
    "all": "Every way from the source to the layer",
    "direct": "Only ways that meet no further non-linearity: from layer to layer, or along the residual stream",
    "indirect": "All ways but the direct ones",
}
MEASURES = {
    "signed": ("sum × std", "Sum of the kernel times the standard deviation of the source: what excites (red) and what inhibits (blue)"),
    "contribution": ("norm × std", "Norm of the kernel times the standard deviation of the source: how much of the unit comes from there"),
    "sum": ("sum", "Sum of the kernel's entries"),
    "norm": ("norm", "Norm of the kernel"),
}
ORDERS = {
    "number": ("by number", "Units in the order of their numbers"),
    "similar": ("by likeness", "Units with like weights together"),
    "factor": ("by group", "Units together that weigh most in the same group of sources (one-sided NMF)"),
    "unit": ("for the unit", "The strongest for the selected unit first"),
}
AT_ONCE = 400_000
"""Pairs of units that are computed without being asked for."""
SHOWN = 16
"""Inputs of a unit that are shown as kernels."""
TRUSTED = 0.5
INVITATION = "Open a network and images, and choose a layer: here stands how its units are built from those of an earlier layer."


class WeightsPanel(Panel):
    """The matrix follows the selected layer, the kernels the selected unit; a click on an input follows it upstream."""

    id: ClassVar[str] = "weights"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._result: Result | None = None
        self._request: RunAnalysis | None = None  # what was asked for
        self._agreed: RunAnalysis | None = None  # what may take long
        self._job = 0
        self._pictures: dict[int, np.ndarray] = {}  # of units of the source
        self._levels: dict[int, str] = {}
        self._unit = -1  # number of the selected unit, where it is of the layer
        self._picked = -1  # unit of the other layer whose cell was clicked last
        self._shown: list[int] = []  # units of the other layer that are shown
        self._leads: list[list[int]] = []  # of each row of pictures, units of the other layer behind them
        self._been: list[Unit] = []
        self._at = -1
        self._build()
        session.model_changed.connect(lambda _card: self._on_layer(""))
        session.images_changed.connect(lambda _card: self._renew())
        session.layer_changed.connect(self._on_layer)
        session.unit_changed.connect(self._on_unit)
        self._on_layer(session.layer)

    def _build(self) -> None:
        self.back, self.forth = QToolButton(self), QToolButton(self)
        for button, arrow, tip, step in (
            (self.back, Qt.ArrowType.LeftArrow, "Back to the unit looked at before", -1),
            (self.forth, Qt.ArrowType.RightArrow, "Forward again", 1),
        ):
            button.setArrowType(arrow)
            button.setAutoRaise(True)
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            button.clicked.connect(lambda _checked, step=step: self._travel(step))
        self.layer = ElidedLabel(mode=Qt.TextElideMode.ElideMiddle)
        self.direction = choice_box(QComboBox(self), DIRECTIONS, "Inputs or outputs of the layer", lambda: self._on_layer(""))
        self.other = ElidedComboBox(12, self)
        self.other.setToolTip("The layer that is read, or that reads")
        self.other.setAccessibleName("Other layer")
        self.other.activated.connect(lambda _index: self._renew())
        self.compute = push_button(self, "Compute", "Compute the weights between these two layers", self._agree)
        self.compute.hide()
        self.cancel = push_button(self, "Cancel", "Stop computing the weights", lambda: self.session.relay.cancel(self._job))
        self.cancel.hide()
        self.path = choice_box(QComboBox(self), {name: (name, tip) for name, tip in PATHS.items()}, "Ways that count", self._renew)
        self.measure = choice_box(QComboBox(self), MEASURES, "What the matrix shows", self._show)
        self.order = choice_box(QComboBox(self), ORDERS, "Order of rows and columns", self._show)
        self.linear = QCheckBox("linear gates", self)
        self.linear.setToolTip("Leave non-linearities out, as in Visualizing Weights, in place of their mean slope on the images")
        self.linear.toggled.connect(lambda _on: self._renew())
        layers, matrix = QHBoxLayout(), QHBoxLayout()
        for bar, widgets in (
            (layers, (self.back, self.forth, self.layer, self.direction, self.other, self.compute, self.cancel)),
            (matrix, (self.path, self.measure, self.order, self.linear)),
        ):
            bar.setContentsMargins(6, 2, 6, 0)
            for widget in widgets:
                bar.addWidget(widget, 1 if widget in (self.layer, self.other) else 0)
        matrix.addStretch(1)
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.matrix = MatrixView(self)
        self.matrix.picked.connect(self._pick)
        self.strip = ImageStrip(smallest=52, largest=84)
        self.strip.setAccessibleName("Strongest inputs or outputs of the unit")
        self.strip.picked.connect(self._follow)
        self.strip.offers = self._offer
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.strip)
        column.addStretch(1)
        self.splitter = QSplitter(Qt.Orientation.Vertical, self)
        self.splitter.addWidget(self.matrix)
        self.splitter.addWidget(scrolled(content, self))
        self.splitter.setSizes([300, 220])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addLayout(layers)
        whole.addLayout(matrix)
        whole.addWidget(Badge(self.session, self))
        whole.addWidget(self.said)
        whole.addWidget(self.splitter, 1)

    # ------------------------------------------------------------------------------------------------ what is asked for

    @property
    def inputs(self) -> bool:
        """Whether the layer is what is built, and not what is read."""
        return self.direction.currentData() == "inputs"

    def _on_layer(self, _name: str) -> None:
        """Offer the layers before the selected one, or behind it, and choose the nearest sensible one."""
        layers, layer = list(self.session.layers.values()), self.session.layers.get(self.session.layer)
        found = [] if layer is None else sources_of(layers, layer) if self.inputs else targets_of(layers, layer)
        self.other.clear()
        self.other.addItems([other.name for other in found])
        if layer is not None and found:
            before = source_for(layers, layer.name) or sensible_source(found, layer).name
            self.other.setCurrentIndex(self.other.findText(before if self.inputs else sensible_target(found, layer).name))
        self.layer.setText(self.session.layer)
        self._unit = -1
        self._renew()
        self._on_unit(self.session.unit)

    def _wanted(self) -> RunAnalysis | None:
        """Return what computes the weights between the chosen layers; None while there is nothing to choose."""
        model, images, other = self.session.model, self.session.images, self.other.currentText()
        if model is None or images is None or not other:
            return None
        source, target = (other, self.session.layer) if self.inputs else (self.session.layer, other)
        gate = "linear" if self.linear.isChecked() else "mean"
        parameters = {"source": source, "target": target, "path": self.path.currentData(), "gate": gate}
        return RunAnalysis("ExpandedWeights", parameters, model.ref, images.ref)

    def _renew(self) -> None:
        """Compute for the chosen layers, if somebody is looking."""
        session, wanted = self.session, self._wanted()
        if wanted is None:
            nothing = f"No layer comes {'before' if self.inputs else 'behind'} {session.layer}."
            self._forget(INVITATION if session.model is None or session.images is None else nothing)
            return
        if wanted == self._request:
            return
        self._forget("")
        size = session.layers[wanted.parameters["source"]].units * session.layers[wanted.parameters["target"]].units
        large = size > AT_ONCE and wanted != self._agreed
        self.compute.setVisible(large)
        if large:
            self._say(f"{size:,} pairs of units take a while and much memory.")
        if large or not in_sight(self):
            return
        self._request = wanted
        self.cancel.show()
        self._say("Waiting for its turn …")
        self._job = session.relay.submit(wanted, self._take)

    def _agree(self) -> None:
        """Compute although it is much, or once more after it was cancelled or has failed."""
        self._request, self._agreed = None, self._wanted()
        self._renew()

    def _take(self, event: JobEvent) -> None:
        if event.request is not self._request:  # of what was asked for before
            return
        if event.ended:
            self.cancel.hide()
        if event.state == "failed":
            self._say(event.error, wrong=True)
            self.compute.show()
        elif event.state == "cancelled":
            self._say("Cancelled.")
            self.compute.show()
        elif event.state == "done":
            self._result = event.result
            self._show()
            self._show_unit()
        elif event.state == "progress" and event.total:
            self._say(f"{event.note or 'Taking gradients'}: {event.done / event.total:.0%}")

    def _forget(self, message: str) -> None:
        self.session.relay.cancel(self._job)
        self._result, self._request = None, None
        self._picked = -1
        self.compute.hide()
        self._pictures.clear()
        self._levels.clear()
        self.cancel.hide()
        self.matrix.clear(message)
        self.strip.clear()
        self._say("")

    # ------------------------------------------------------------------------------------------------ the matrix

    def _values(self) -> np.ndarray:
        assert self._result is not None
        arrays, kind = self._result.arrays, self.measure.currentData()
        if kind == "signed":
            return arrays["sum"] * np.where(arrays["std"] > 0, arrays["std"], np.nan)[None]
        return arrays[kind]

    def _show(self) -> None:
        result = self._result
        if result is None:
            return
        values, summary = self._values(), result.summary
        rows, columns = np.arange(values.shape[0]), np.arange(values.shape[1])
        if self.order.currentData() == "similar":
            rows, columns = result.arrays["similar_targets"], result.arrays["similar_sources"]
        elif self.order.currentData() == "factor":
            rows, columns = by_factor(result)
        elif self.order.currentData() == "unit" and self._unit >= 0:
            of_unit = values[self._unit] if self.inputs else values[:, self._unit]
            strongest = np.argsort(-np.nan_to_num(np.abs(of_unit), nan=-1.0), kind="stable")
            rows, columns = (rows, strongest) if self.inputs else (strongest, columns)
        name = self.measure.currentText()
        self.matrix.show_matrix(
            values,
            rows,
            columns,
            label=name,
            title=f"Weights from {summary['source']} to {summary['target']}",
            caption=f"rows: units of {summary['target']} · columns: units of {summary['source']}",
            tell=self._told,
            made_from=self._origin(measure=name),
        )
        self.matrix.recomputation = of_result(result, summary["target"], self._names(summary["target"]))
        self._mark()
        below, dead = summary["r2_below"], summary["dead_sources"]
        parts = [f"n = {summary['images']} images"]
        if summary["r2_median"] is not None:
            parts.append(f"median R² of the linear account {summary['r2_median']:.2f}")
        unknown = summary["r2_unknown"]
        if summary["path"] == "indirect":
            parts.append("R² is that of all ways")
        if unknown["units"]:
            parts.append(f"{unknown['units']} of {len(values)} units are not reached or do not vary")
        if below["units"]:
            parts.append(f"{below['units']} of {len(values)} units below {TRUSTED}: their kernels explain little")
        if dead["units"]:
            parts.append(f"{dead['units']} of {values.shape[1]} units of {summary['source']} dead on these images (grey)")
        self._say(" · ".join(parts) + ".")

    def _told(self, row: int, column: int) -> str:
        """Return the tooltip of a pair."""
        assert self._result is not None
        summary, arrays = self._result.summary, self._result.arrays
        fit = float(arrays["r2"][row])
        value = number(float(self.matrix.values[row, column]))
        account = number(fit) if np.isfinite(fit) else "unknown: it does not vary"
        pair = f"{summary['source']}:{column} → {summary['target']}:{row}"
        return f"{pair}\n{self.measure.currentText()} {value}\nR² of the unit {account}"

    def _names(self, layer: str) -> dict[int, str]:
        model = self.session.model
        return variable_names(known_of(self.session.project.labels, model.ref, layer), layer) if model is not None else {}

    def _origin(self, **more: object) -> dict[str, object]:
        """Return the provenance of a figure."""
        assert self._result is not None
        session, summary, given = self.session, self._result.summary, self._result.provenance
        badge = {"badge": session.badge} if session.badge else {}
        made = {name: given[name] for name in ("model", "weights", "images")}
        told = {name: summary[name] for name in ("source", "target", "path", "gate")}
        address = replace(session.addresses.selected(), view=self.id)
        return {**made, "n": summary["images"], **told, "address": str(address), **badge, **more}

    def _mark(self) -> None:
        unit = self._unit if self._unit >= 0 else None
        self.matrix.mark(*((unit, None) if self.inputs else (None, unit)))

    def _pick(self, row: int, column: int) -> None:
        """Look at the layer's unit of a cell, and at the kernel of the cell before the strongest."""
        unit, other = (row, column) if self.inputs else (column, row)
        self.session.select_unit(Unit(self.session.layer, unit))
        self._picked = other
        self._show_unit()
        self.matrix.mark(row, column)

    # ------------------------------------------------------------------------------------------------ one unit's inputs

    def _on_unit(self, unit: Unit | None) -> None:
        if unit is not None and (not self._been or self._been[self._at] != unit):
            self._been = [*self._been[: self._at + 1], unit]
            self._at = len(self._been) - 1
        self.back.setEnabled(self._at > 0)
        self.forth.setEnabled(self._at + 1 < len(self._been))
        self._unit = unit.index if unit is not None and unit.layer == self.session.layer else -1
        self._picked = -1
        self._mark()
        if self._result is not None and self.order.currentData() == "unit":
            self._show()
        self._show_unit()

    def _travel(self, step: int) -> None:
        """Go to the unit looked at before, or forward again."""
        if 0 <= self._at + step < len(self._been):
            self._at += step
            unit = self._been[self._at]
            try:
                self.session.select_unit(unit)
            except ValueError as error:  # of another network
                self.session.report(str(error))

    @property
    def _others(self) -> str:
        """Name of the other layer of what is shown."""
        assert self._result is not None
        return str(self._result.summary["source" if self.inputs else "target"])

    def _show_unit(self) -> None:
        result = self._result
        if result is None:
            return
        if self._unit < 0:
            what = "inputs" if self.inputs else "outputs"
            self.strip.clear(f"Click the matrix, or a unit in the panel Neurons: its strongest {what} stand here as kernels.")
            return
        contribution = result.arrays["contribution"]
        of_unit = np.nan_to_num(contribution[self._unit] if self.inputs else contribution[:, self._unit], nan=-1.0)
        self._shown = [int(other) for other in np.argsort(-of_unit, kind="stable")[:SHOWN] if of_unit[other] > 0]
        if 0 <= self._picked < len(of_unit) and of_unit[self._picked] >= 0:
            self._shown = [self._picked, *(other for other in self._shown if other != self._picked)][:SHOWN]
        if not self._shown:
            self.strip.clear("No weights: nothing leads from one to the other, or the unit is dead on these images.")
            return
        self._ask_pictures()
        self._draw_unit()

    def _draw_unit(self) -> None:
        """Draw the unit's strongest inputs or outputs: their pictures, and the kernels between them and the unit."""
        assert self._result is not None
        unit, summary, fits = Unit(self.session.layer, self._unit), self._result.summary, self._result.arrays["r2"]
        account = self._account() if self.inputs else ""
        source = self.session.layers.get(summary["source"])
        picked = f"{self._picked} and the s" if self._shown[0] == self._picked else "S"
        rows, self._leads = card_rows(self._result, unit, self._others, self.inputs, self._shown, self._pictures, account, source)
        self.strip.show_rows(
            rows,
            title=f"{picked}trongest {'inputs' if self.inputs else 'outputs'} of {unit} in {self._others} ({summary['path']} ways)",
            made_from=self._origin(unit=str(unit), r2=[float(fits[other]) for other in ([self._unit] if self.inputs else self._shown)]),
        )
        again = of_result(self._result, summary["target"], self._names(summary["target"]))
        pictures = of_pictures(again.model, self._others, {other: self._levels.get(other, "") for other in self._shown}, {})
        self.strip.recomputation = again if pictures is None else again.with_steps(pictures.steps)

    def _account(self) -> str:
        """Say how much of the unit the linear account explains."""
        assert self._result is not None
        fit = float(self._result.arrays["r2"][self._unit])
        if not np.isfinite(fit):
            return "not reached from there, or does not vary on these images"
        return f"R² {fit:.2f}" + ("" if fit >= TRUSTED else ": the linear account explains little of it")

    def _ask_pictures(self) -> None:
        """Ask for the visualizations of the others: their names."""
        model, missing = self.session.model, tuple(s for s in self._shown if self._levels.get(s) != "fine")
        if model is not None and missing and self._result is not None and self._unit >= 0 and in_sight(self):
            for level in ("coarse", "fine"):
                self.session.relay.submit(
                    Thumbnails(model.ref, self._others, missing, level, purpose="weights"), self._take_pictures
                )

    def _take_pictures(self, event: JobEvent) -> None:
        request, found = event.request, event.partial or event.result
        assert isinstance(request, Thumbnails)
        result, model = self._result, self.session.model
        if result is None or model is None or (request.model, request.layer) != (model.ref, self._others) or not found:
            return
        for unit, images in found.items():
            if self._levels.get(unit) != "fine":
                self._levels[unit], self._pictures[unit] = request.level, images[0]
        if self._unit >= 0 and self._shown:
            self._draw_unit()

    def _behind(self, row: int, place: int) -> int | None:
        """Return the unit of the other layer that a picture leads to: itself, or the strongest of a group."""
        known = self._result is not None and row < len(self._leads) and place < len(self._leads[row])
        return self._leads[row][place] if known else None

    def _follow(self, row: int, place: int) -> None:
        """Go upstream or downstream: look at the unit that was clicked."""
        other = self._behind(row, place)
        if other is not None:
            self.session.select_unit(Unit(self._others, other))

    def _offer(self, menu: QMenu, row: int, place: int) -> None:
        """Offer to put a unit and the edge between it and the selected one into the circuit."""
        other = self._behind(row, place)
        if other is not None:
            action = menu.addAction("Add to circuit", lambda: self.add_to_circuit(other))
            action.setToolTip(f"Put {Unit(self._others, other)} and its edge into the circuit that is open, or into a new one")

    def add_to_circuit(self, other: int) -> None:
        """Put an input or output that is shown into the circuit, with its edge."""
        assert self._result is not None
        here, arrays, summary = Unit(self.session.layer, self._unit), self._result.arrays, self._result.summary
        there = Unit(self._others, other)
        source, target = (there, here) if self.inputs else (here, there)
        weight = float(arrays["sum"][target.index, source.index])
        run = {"images": summary["images"], "path": summary["path"], "gate": summary["gate"]}
        add_edges(self.session, [Edge(str(source), str(target), weight)], f"add {there}", run)
        self.session.panels_wanted.emit(("circuit_graph",))

    def _say(self, text: str, wrong: bool = False) -> None:
        say(self.said, text, wrong)
        self.said.setVisible(bool(text))

    # ------------------------------------------------------------------------------------------------ the panel's contract

    def showEvent(self, event: Any) -> None:
        """Compute what was not while nobody looked."""
        super().showEvent(event)
        self._renew()
        self._ask_pictures()

    @property
    def _boxes(self) -> tuple[tuple[str, QComboBox], ...]:
        return ("direction", self.direction), ("path", self.path), ("measure", self.measure), ("order", self.order)

    def save_state(self) -> dict[str, Any]:
        """Keep what is shown and how."""
        boxes = {name: box.currentData() for name, box in self._boxes}
        return {**boxes, "linear": self.linear.isChecked(), "sizes": self.splitter.sizes()}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        for name, box in self._boxes:
            box.setCurrentIndex(max(0, box.findData(state.get(name))))
        self.linear.setChecked(bool(state.get("linear", False)))
        sizes = state.get("sizes")
        if isinstance(sizes, list) and len(sizes) == self.splitter.count():
            self.splitter.setSizes(sizes)

    def views(self) -> list[View]:
        """The matrix, and the inputs of the unit."""
        if self._result is None:
            return []
        return [self.matrix, *([self.strip] if self.strip.rows else [])]
