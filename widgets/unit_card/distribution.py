"""How often a unit is how active on the open images, and where your own image falls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QSignalBlocker
from PySide6.QtWidgets import QComboBox, QPushButton

from widgets.choice_box import choice_box
from widgets.unit_card.examples import quantile_range
from widgets.unit_card.section import Section
from widgets.unit_card.visualizations import TWIN as NULL
from widgets.views.axes import number
from widgets.views.histogram import Band, Histogram
from workbench.jobs.example_requests import PreActivation, UnitExamples
from workbench.jobs.requests import Sweep
from workbench.models.layer import Unit

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.jobs.job import JobEvent

COUNTED = {
    "max_histogram": ("images", "The largest activation in each image"),
    "histogram": ("positions", "The activation at some seeded positions of each image"),
    "pre max_histogram": ("pre: images", "The largest in each image of what the non-linearity reads"),
    "pre histogram": ("pre: positions", "What the non-linearity reads at some seeded positions of each image"),
}


class Distribution(Section):
    """The activation histogram, over images (largest activation of each) or over positions."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, "Activation histogram", "How often the unit is how active on the open image set")
        self.histogram = Histogram()
        self.histogram.setFixedHeight(220)
        self.counted = choice_box(QComboBox(self), COUNTED, "What the histogram counts", self._turn)
        self.counted.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.counted.setMinimumContentsLength(6)
        self.counted.setToolTip(
            "What is counted: the largest activation in each image, or the activation at some seeded positions of each;\n"
            "pre: of the value that the non-linearity reads"
        )
        self.head.addWidget(self.counted)
        self.add(self.histogram)
        self._pre: tuple[Unit | None, Mapping[str, Any]] | None = None  # the unit before the non-linearity, and what is known of it
        self._pre_problem = ""
        self.sweep_pre = QPushButton(self)
        self.sweep_pre.setToolTip("Show the images to the layer before the non-linearity; the answer is kept for every unit")
        self.sweep_pre.clicked.connect(self._sweep_pre)
        self.add(self.sweep_pre)
        self.sweep_pre.hide()
        self._found: Mapping[str, Any] = {}
        self._value: float | None = None
        self._of_twin: Mapping[str, Any] | None = None  # None while nothing is known of it
        self.sweep_twin = QPushButton("Sweep the twin", self)
        self.sweep_twin.setToolTip("Show the images to the random-weight twin, so that its histogram can stand beside this one")
        self.sweep_twin.clicked.connect(self._sweep_twin)
        self.add(self.sweep_twin)
        self.sweep_twin.hide()
        session.twin_changed.connect(lambda _on: self._on_twin())
        session.relay.event.connect(self._follow_sweeps)

    def begin(self) -> None:
        """Show nothing yet."""
        self._value = None
        self._of_twin = None
        self.sweep_twin.hide()
        self._forget_pre()
        self.sweep_pre.hide()
        for index in (2, 3):
            self.counted.model().item(index).setEnabled(self._has_pre)
        if not self._has_pre and self.counted.currentIndex() > 1:
            with QSignalBlocker(self.counted):
                self.counted.setCurrentIndex(self.counted.currentIndex() - 2)
        self.show_found({})

    def ask(self) -> None:
        """Ask for the twin's histogram, where it is to be shown; the unit's own comes with the examples."""
        self._ask_twin()
        self._ask_pre()

    # ------------------------------------------------------------------------------------------------ before the non-linearity

    @property
    def of_pre(self) -> bool:
        """Whether the value before the non-linearity is what is counted."""
        return self.counted.currentData().startswith("pre ") and self._has_pre

    @property
    def _has_pre(self) -> bool:
        return self.unit is not None and (self.layer.role == "post" or self.layer.kind == "cat")

    def _turn(self) -> None:
        """Count the other one."""
        self._show()
        self._ask_pre()

    def _ask_pre(self) -> None:
        """Ask what a sweep has found of the unit before the non-linearity, if that is wanted and not known."""
        model, images, unit = self.session.model, self.session.images, self.unit
        if self.of_pre and self._pre is None and model is not None and images is not None and unit is not None:
            self.session.relay.submit(PreActivation(model.ref, images.ref, str(unit)), self._take_pre)

    def _take_pre(self, event: JobEvent) -> None:
        request, images = event.request, self.session.images
        assert isinstance(request, PreActivation)
        if images is None or request.images != images.ref or not self.shows(request.model, request.unit):
            return
        if event.state == "failed":
            self._pre, self._pre_problem = (None, {}), event.error
        elif event.state == "done" and event.result is None:
            self._pre, self._pre_problem = (None, {}), "No non-linearity stands before this unit."
        elif event.state == "done":
            self._pre = Unit.parse(event.result["unit"]), event.result["found"] or {}
        self._show()

    def _forget_pre(self) -> None:
        self._pre, self._pre_problem = None, ""

    def _sweep_pre(self) -> None:
        model, images = self.session.model, self.session.images
        if self._pre is not None and self._pre[0] is not None and model is not None and images is not None:
            self.sweep_pre.setEnabled(False)
            self.session.relay.submit(Sweep(model.ref, images.ref, (self._pre[0].layer,)), self._follow_pre)

    def _follow_pre(self, event: JobEvent) -> None:
        if event.state == "failed":
            self.session.report(event.error, event.details)
        if event.ended:
            self.sweep_pre.setEnabled(True)

    def _follow_sweeps(self, event: JobEvent) -> None:
        """Look again when a sweep of the layer before the non-linearity has ended, whoever started it."""
        unit = self._pre[0] if self._pre is not None else None
        if isinstance(event.request, Sweep) and event.ended and unit is not None and unit.layer in event.request.layers:
            self._forget_pre()
            self.ask_once_seen(self._ask_pre)

    # ------------------------------------------------------------------------------------------------ the random-weight twin

    def _on_twin(self) -> None:
        self._of_twin = None
        self.sweep_twin.hide()
        self._show()
        self.ask_once_seen(self._ask_twin)

    def _ask_twin(self) -> None:
        """Ask what the unit of the random-weight twin does on the open images, if that is to be shown."""
        twin, images, unit = self.session.twin_ref, self.session.images, self.unit
        if twin and images is not None and unit is not None:
            self.session.relay.submit(UnitExamples(twin, images.ref, str(unit), "inspector twin"), self._take_twin)

    def _take_twin(self, event: JobEvent) -> None:
        request, images = event.request, self.session.images
        assert isinstance(request, UnitExamples)
        current = self.session.twin_ref, images.ref if images is not None else "", str(self.unit)
        if (request.model, request.images, request.unit) != current:
            return
        if event.state == "failed":
            self.session.report(event.error, event.details)
        elif event.state == "done":
            self._of_twin = event.result
            self.sweep_twin.setVisible(event.result is None or not event.result.get("finished", True))
            self._show()

    def _sweep_twin(self) -> None:
        images, unit = self.session.images, self.unit
        if images is not None and unit is not None:
            self.sweep_twin.setEnabled(False)
            self.session.relay.submit(Sweep(self.session.twin_ref, images.ref, (unit.layer,)), self._follow_twin)

    def _follow_twin(self, event: JobEvent) -> None:
        if event.state == "failed":
            self.session.report(event.error, event.details)
        if event.ended:
            self.sweep_twin.setEnabled(True)
            self.ask_once_seen(self._ask_twin)

    def show_found(self, found: Mapping[str, Any]) -> None:
        """Show what is known of the unit from the images, as of `UnitExamples`."""
        self._found = found
        self._show()

    def mark(self, value: float | None) -> None:
        """Mark the activation of the user's own image; None for no image."""
        self._value = value
        value = value if not self.of_pre else None
        self.histogram.set_marker(value, f"your image {number(value)}" if value is not None else "")

    def _show(self) -> None:
        if self.unit is None:
            return
        kind, images = self.counted.currentData().removeprefix("pre "), self.session.images
        unit, found, missing = self.unit, self._found, "The histogram comes with the dataset examples."
        if self.of_pre:
            unit, found = self._pre or (None, {})
            looking = self._pre_problem or "Looking for what the non-linearity reads …"
            missing = f"{unit.layer} was not swept yet." if unit is not None else looking
        self.sweep_pre.setVisible(self.of_pre and unit is not None and not found)
        self.sweep_pre.setText(f"Sweep {unit.layer if unit is not None else ''}")
        counts = found.get(kind)
        self.counted.setVisible(counts is not None or self.of_pre)
        self.histogram.recomputation = None
        if counts is None or images is None or not np.any(counts):
            self.histogram.clear(missing)
            self.histogram.setFixedHeight(48)
            return
        self.histogram.setFixedHeight(220)
        role = "pre-activation" if self.of_pre else self.role
        filled = np.flatnonzero(counts)
        part = slice(int(filled[0]), int(filled[-1]) + 1)
        of_images = kind == "max_histogram"
        seen = int(np.sum(found["max_histogram"]))
        active = float(found["active_images" if of_images else "sparsity"])
        note = f"n = {seen:,} images" + ("" if of_images else f", {int(counts.sum()):,} positions")
        twin = self._of_twin if not self.of_pre else None
        self.histogram.show_counts(
            found[f"{kind}_edges"][part.start : part.stop + 1],
            counts[part],
            title=f"Histogram of {unit}",
            label=f"largest {role} of an image" if of_images else role,
            counted="images" if of_images else "positions",
            note=note + (f" · {100 * active:.0f} % above 0" if math.isfinite(active) else ""),
            bands=self._bands(found) if of_images else (),
            made_from=self.made_from(
                images=images.ref,
                images_hash=images.content_hash,
                n=seen,
                arithmetic=str(found.get("sweep", {}).get("arithmetic", "")),
                quantity=kind,
                null_level=NULL if twin else "none: the random-weight twin is not shown",
                **({"pre_activation": str(unit), "role": role} if self.of_pre else {}),
            ),
        )
        if twin:
            shown = found[f"{kind}_edges"][part.start : part.stop + 1]
            null = rebinned(twin[kind], twin[f"{kind}_edges"], shown)
            self.histogram.set_null(NULL, null * (counts.sum() / max(1.0, null.sum())))
        self.histogram.recomputation = self.sweep_recomputation(found, (kind, f"{kind}_edges", "range_edges"), unit)
        self.mark(self._value)

    @staticmethod
    def _bands(found: Mapping[str, Any]) -> list[Band]:
        """The ranges that the sampled examples come from."""
        edges = found.get("range_edges")
        if edges is None or not np.isfinite(edges).all():
            return []
        ranges = len(edges) - 1
        return [Band(quantile_range(i, ranges), float(edges[i]), float(edges[i + 1])) for i in range(ranges)]

    def views(self) -> list[View]:
        """The histogram, when there is one."""
        return [self.histogram] if self.histogram.data()["counts"].size else []

    def save_state(self) -> dict[str, Any]:
        """Keep what is counted, and the axis."""
        return {"counted": self.counted.currentData(), "logarithmic": self.histogram.logarithmic}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.counted.setCurrentIndex(max(0, self.counted.findData(state.get("counted"))))
        self.histogram.logarithmic = bool(state.get("logarithmic", True))


def rebinned(counts: np.ndarray, edges: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Count again in other bins, each old bin spread evenly; what lies beyond the new ones is counted in the outermost."""
    below = np.concatenate([[0.0], np.cumsum(counts, dtype=float)])
    at = np.interp(wanted, edges, below)
    at[0], at[-1] = 0.0, below[-1]
    return np.diff(at)
