"""What can be asked of a family whose units have angles: joint tuning curves, and the weights from another family by relative angle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from widgets.buttons import push_button
from widgets.elided_combo_box import ElidedComboBox
from widgets.theme import say
from widgets.views.line_plot import Curves, LinePlot
from widgets.views.matrix_view import MatrixView
from workbench.jobs.requests import RunAnalysis
from workbench.recompute import of_result

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent


@dataclass(frozen=True)
class Turned:
    """A family with an angle for each unit, and what is turned: the image or its hues."""

    name: str
    layer: str
    units: tuple[int, ...]
    angles: tuple[float, ...]
    turned: str = "image"


class Question(QWidget):
    """A bar with a button, what is said, and a view; asks one analysis of the family that is looked at.

    Parameters
    ----------
    invitation
        What stands in the view until something was computed.
    """

    def __init__(self, session: Session, text: str, tip: str, invitation: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._invitation = session, invitation
        self.family: Turned | None = None
        self._request: RunAnalysis | None = None
        self._job = 0
        self.result: Result | None = None
        self.ask = push_button(self, text, tip, self._start)
        self.said = QLabel(self, wordWrap=True)
        self.bar = QHBoxLayout()
        self.bar.setContentsMargins(6, 4, 6, 0)
        self.bar.addWidget(self.ask)
        self.bar.addStretch(1)
        self.said.setContentsMargins(6, 0, 6, 0)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addLayout(self.bar)
        whole.addWidget(self.said)
        self.view = self._view()
        whole.addWidget(self.view, 1)

    def look_at(self, family: Turned | None) -> None:
        """Forget what was computed, and be ready to ask of another family; None where it has no angles."""
        self._session.relay.cancel(self._job)
        self.family, self.result, self._request = family, None, None
        say(self.said, "", False)
        self.view.clear(self._invitation if family is not None else "Choose a family with angles: of turned images or hues.")
        self._settle()

    def _settle(self) -> None:
        self.ask.setEnabled(self._parameters() is not None and self._session.images is not None)

    def _start(self) -> None:
        model, images, asked = self._session.model, self._session.images, self._parameters()
        if model is None or images is None or asked is None:
            return
        self._request = RunAnalysis(self.analysis, asked, model.ref, images.ref)
        say(self.said, "Waiting for its turn …", False)
        self._job = self._session.relay.submit(self._request, self._take)

    def _take(self, event: JobEvent) -> None:
        if event.request is not self._request:  # of another family
            return
        if event.state == "failed":
            say(self.said, event.error, True)
        elif event.state == "progress" and event.total:
            say(self.said, f"{event.note}: {event.done / event.total:.0%}", False)
        elif event.state == "done":
            self.result = event.result
            say(self.said, self._show(event.result), False)
            self.view.recomputation = of_result(event.result)

    def made_from(self, result: Result) -> dict[str, Any]:
        """Say what a view's numbers were made from."""
        given, badge = result.provenance, {"badge": self._session.badge} if self._session.badge else {}
        assert self.family is not None
        made = {part: given.get(part) for part in ("model", "weights", "images")}
        return {**made, "layer": self.family.layer, "units": list(self.family.units), "n": result.summary["images"], **badge}

    def views(self) -> list[View]:
        """The view, once it shows something."""
        return [self.view] if self.result is not None else []

    analysis: str

    def _view(self) -> Any:
        raise NotImplementedError

    def _parameters(self) -> dict[str, Any] | None:
        raise NotImplementedError

    def _show(self, result: Result) -> str:
        """Show a result, and say its figure beside the null."""
        raise NotImplementedError


class TuningQuestion(Question):
    """Joint tuning curves."""

    analysis = "JointTuning"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        tip = "Turn the images that each unit likes best, step by step, and read all units of the family"
        super().__init__(session, "Turn images", tip, "Here stand the joint tuning curves: Turn images computes them.", parent)

    def _view(self) -> LinePlot:
        return LinePlot(self)

    def _parameters(self) -> dict[str, Any] | None:
        if self.family is None:
            return None
        family = self.family
        return {"layer": family.layer, "units": list(family.units), "angles": list(family.angles), "turned": family.turned}

    def _show(self, result: Result) -> str:
        arrays, summary = result.arrays, result.summary
        aligned = arrays["aligned"]
        said = beside("Together", summary["together"], summary["together_bar"], summary.get("arrangements"))
        role = summary["role"] or "sum"
        self.view.show_plots(
            [f"{step:g}°".replace("-", "−") if step % 45 == 0 else "" for step in arrays["steps"].tolist()],
            [Curves(f"activation ({role}) / largest", aligned.mean(0), aligned)],
            title=f"Joint tuning of {self.family.name if self.family is not None else ''}, {summary['layer']}",
            label="turned from where the angles say; orange: mean, thin: each unit on the other units' images",
            note=f"{said}; n = {summary['images_turned']} images turned, chosen of {summary['images']}",
            made_from=self.made_from(result),
        )
        return said


class WeightsQuestion(Question):
    """Weights from another family, unrolled."""

    analysis = "RelativeWeights"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        self.other = ElidedComboBox(16)
        tip = "Expand the weights from the other family and lay them out by how far the units are turned from one another"
        invitation = "Here stand the weights from an earlier family by relative angle: choose one, then Unroll weights."
        super().__init__(session, "Unroll weights", tip, invitation, parent)
        self.other.setParent(self)
        self.other.setAccessibleName("Earlier family")
        self.other.setToolTip("Earlier family whose weights to this one are laid out")
        self.other.currentIndexChanged.connect(lambda _index: self.look_at(self.family))
        self.bar.insertWidget(0, self.other)
        self._others: list[Turned] = []

    def offer(self, others: Sequence[Turned]) -> None:
        """Offer these families: those of earlier layers than the one looked at, of which the same is turned."""
        order = list(self._session.layers)
        here = order.index(self.family.layer) if self.family is not None and self.family.layer in order else 0
        same = self.family.turned if self.family is not None else "image"
        self._others = [one for one in others if one.layer in order[:here] and one.turned == same]
        self.other.blockSignals(True)
        self.other.clear()
        self.other.addItems([f"{one.layer}: {one.name}" for one in self._others])
        self.other.blockSignals(False)
        self.other.setEnabled(bool(self._others))
        if self.family is not None and not self._others:
            self.view.clear("No family with angles is known in an earlier layer: find one there, or keep it in the project.")
        self._settle()

    def _view(self) -> MatrixView:
        return MatrixView(self)

    def _parameters(self) -> dict[str, Any] | None:
        place = self.other.currentIndex()
        if self.family is None or not 0 <= place < len(self._others):
            return None
        source, target = self._others[place], self.family
        return {
            "source": source.layer,
            "source_units": list(source.units),
            "source_angles": list(source.angles),
            "target": target.layer,
            "target_units": list(target.units),
            "target_angles": list(target.angles),
        }

    def _show(self, result: Result) -> str:
        arrays, summary = result.arrays, result.summary
        unrolled, differences, units = arrays["unrolled"], arrays["differences"], arrays["target_units"]
        said = beside("R2 of the difference alone", summary["r2"], summary["r2_bar"], summary.get("arrangements"))

        def tell(row: int, column: int) -> str:
            angle = arrays["target_angles"][row]
            return f"unit {units[row]} ({angle:g}°), source turned by {differences[column]:g}° from it: {unrolled[row, column]:.3g}"

        source, name = self._others[self.other.currentIndex()], self.family.name if self.family is not None else ""
        names = ", ".join(f"{unit}" for unit in units.tolist())
        apart = ", ".join(f"{angle:g}°" for angle in differences.tolist())
        self.view.show_matrix(
            unrolled,
            np.arange(len(units)),
            np.arange(len(differences)),
            label="sum of the kernel",
            title=f"Weights from {source.name}, {source.layer}, to {name}, {summary['target']}, by relative angle",
            caption=f"rows {names}; columns {apart}; {said}; n = {summary['images']}",
            tell=tell,
            made_from={**self.made_from(result), "source": source.layer, "source_units": list(source.units)},
        )
        return f"Rows: units {names}. Columns: source minus target, {apart}. {said}."


def beside(what: str, value: float, bar: float | None, count: int | None) -> str:
    """Say a figure beside its null, or in how few ways the angles can be given to the units."""
    if bar is not None:
        return f"{what} {value:.2f}; of random angles 95 % are below {bar:.2f}"
    ways = f": {count} ways to give their angles" if count else ""
    return f"{what} {value:.2f}; too few units for a null{ways}"
