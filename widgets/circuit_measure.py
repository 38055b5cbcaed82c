"""How much a circuit explains, measured again after each edit: faithfulness, completeness, minimality."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from widgets.views.axes import number
from workbench.circuit import CHOSEN_ON, Circuit, Edge
from workbench.jobs.requests import RunAnalysis
from workbench.models.layer import Unit, units_of

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent

ANALYSIS = "CircuitMeasures"
PAUSE = 500
"""Milliseconds after the last edit."""
SCORES = ("faithfulness", "explained", "completeness", "minimality")
NULL_DRAWS = 20
"""Random circuits of the same form that each is measured beside."""
DROPS = "drops"
"""Name of the figure that says by how much the score drops without each edge."""


class CircuitMeasure(QObject):
    """Measures the circuit it was given last, a while after that; an older one that is still being measured is given up."""

    changed = Signal()
    """There is news: `said`, `running`."""
    measured = Signal(object)
    """The figures of the circuit that was given last."""

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._circuit: Circuit | None = None
        self._ordered = Circuit()
        self._request: RunAnalysis | None = None
        self._job = 0
        self.said, self.wrong = "", False
        self._waits_for: tuple[str, ...] = ()  # units one of which is to be selected: the circuit has several ends
        session.unit_changed.connect(self._on_unit)
        self._pause = QTimer(self, singleShot=True, interval=PAUSE)
        self._pause.timeout.connect(self._ask)

    def give(self, circuit: Circuit | None) -> None:
        """Measure this one from now on; None for nothing."""
        same = circuit is not None and self._circuit is not None and question(circuit) == question(self._circuit)
        if same and (self._request is not None or self._pause.isActive()):
            return
        self.stop()
        self._circuit = circuit
        if circuit is None or not circuit.edges or SCORES[0] in circuit.figures:
            return
        self._say("will be measured")
        self._pause.start()

    def stop(self) -> None:
        """Give up what is being measured."""
        self._pause.stop()
        if self._request is not None:
            self._request = None
            self._session.relay.cancel(self._job)
        self._circuit, self._waits_for = None, ()
        self._say("")

    def _on_unit(self, unit: Unit | None) -> None:
        if selected_of(self._waits_for, unit):
            self._pause.start()

    def _ask(self) -> None:
        circuit, session = self._circuit, self._session
        if circuit is None:
            return
        images = circuit.images or (session.images.ref if session.images is not None else "")
        if not images:
            self._say("Open images: a circuit is measured on them.")
            return
        ends, target = circuit.ends, ""
        if len(ends) > 1:
            target = selected_of(ends, session.unit)
            self._waits_for = () if target else ends
            if self._waits_for:
                self._say(f"select the unit that they are of; {' or '.join(ends)}.")
                return
        self._ordered = ordered(circuit)
        self._request = RunAnalysis(ANALYSIS, parameters_of(circuit, target), circuit.model, images)
        self._say("measuring …")
        self._job = session.relay.submit(self._request, self._take)

    def _take(self, event: JobEvent) -> None:
        if event.request is not self._request:  # of the circuit before an edit
            return
        if event.ended:
            self._request = None
        if event.state == "failed":
            self._say(event.error, wrong=True)
        elif event.state == "cancelled":
            self._say("not measured")
        elif event.state == "done":
            self._say("")
            self.measured.emit(kept(self._ordered, event.result))
        elif event.state == "progress" and event.total:
            self._say(f"measuring: {event.done / event.total:.0%}")

    def _say(self, text: str, wrong: bool = False) -> None:
        if (text, wrong) != (self.said, self.wrong):
            self.said, self.wrong = text, wrong
            self.changed.emit()


def selected_of(ends: Sequence[str], unit: Unit | None) -> str:
    """Return which of some units and families the selected unit is, or is in; empty for none."""
    return next((end for end in ends if unit in units_of(end)), "")


def parameters_of(circuit: Circuit, target: str = "") -> dict[str, Any]:
    """Return the parameters of the analysis that measures a circuit; of one with several ends `target` is the one it is measured for."""
    return {"circuit": question(circuit), "null_draws": NULL_DRAWS} | ({"target": target} if target else {})


def question(circuit: Circuit) -> str:
    """Return what the analysis is asked about a circuit."""
    return json.dumps(ordered(circuit).document(), allow_nan=False)


def ordered(circuit: Circuit) -> Circuit:
    """Return what is measured of a circuit: its units and edges, whatever it is called and in whatever order it is drawn.

    The images it was chosen on stay with it: it is not measured on these.
    """
    edges = tuple(Edge(*ends) for ends in sorted(edge.ends for edge in circuit.edges))
    return replace(circuit, name="", units=tuple(sorted(circuit.units)), edges=edges, figures=circuit.lasting)


def kept(circuit: Circuit, result: Result) -> dict[str, Any]:
    """Return what is kept of the measures: the scores with their intervals, and the drop without each edge, in the order of the edges."""
    summary = result.summary
    wanted = [name for score in SCORES for name in (score, f"{score}_low", f"{score}_high", f"null_{score}_highest")]
    figures = {name: summary[name] for name in wanted if summary.get(name) is not None}
    drops = result.arrays.get("edge_drop")
    if drops is not None and len(drops) == len(circuit.edges):
        figures[DROPS] = [[*edge.ends, float(drop)] for edge, drop in zip(circuit.edges, drops, strict=True)]
    how = ("images", "not_held_out", "null_draws", "ablation", "at", *(("target",) if len(circuit.ends) > 1 else ()))
    return figures | {name: summary[name] for name in how if name in summary}


def drops_of(figures: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """Return by how much the score drops without each edge, by its ends; empty where that was not measured."""
    found = figures.get(DROPS)
    rows = [row for row in found if isinstance(row, list | tuple) and len(row) == 3] if isinstance(found, list | tuple) else []
    return {(str(source), str(target)): drop for source, target, drop in rows if isinstance(drop, int | float)}


def told(figures: Mapping[str, Any]) -> str:
    """Say in one line what was measured, beside the null where there is one; empty where nothing was."""
    if SCORES[0] not in figures:
        return ""
    parts = []
    for name in SCORES:
        if isinstance(figures.get(name), int | float):
            beside_it = (figures.get(key) for key in (f"{name}_low", f"{name}_high", f"null_{name}_highest"))
            low, high, null = (value if isinstance(value, int | float) else None for value in beside_it)
            between = f" [{number(low)}, {number(high)}]" if low is not None and high is not None else ""
            beside = f" (random circuits at most {number(null)})" if null is not None else ""
            parts.append(f"{name} {number(figures[name])}{between}{beside}")
    if not parts:
        return ""
    drops = drops_of(figures)
    if drops:
        least = min(drops, key=drops.__getitem__)
        parts[-1] += f" (least drop without an edge: {least[0]} → {least[1]})"
    return " · ".join([*parts, *_told_how(figures)])


def _told_how(figures: Mapping[str, Any]) -> list[str]:
    """Say on how many images it was measured, how, and beside which null."""
    said = []
    if isinstance(figures.get("images"), int):
        said.append(f"n = {figures['images']} images{_held_out(figures)}")
    if isinstance(figures.get("ablation"), str) and isinstance(figures.get("at"), str):
        where = {"strongest": "where it is strongest", "centre": "at the centre", "mean": "mean over positions"}
        whose = f"pre-activation of {figures['target']}" if isinstance(figures.get("target"), str) else "the target's pre-activation"
        said.append(f"{figures['ablation']} ablation, {whose} {where.get(figures['at'], figures['at'])}")
    if not any(f"null_{name}_highest" in figures for name in SCORES):
        said.append("no random circuits beside it")
    elif isinstance(figures.get("null_draws"), int):
        said.append(f"{figures['null_draws']} random circuits")
    return said


def _held_out(figures: Mapping[str, Any]) -> str:
    """Say of the images a circuit was measured on that it was not chosen on them; nothing where it was made by hand, or nobody knows."""
    if not isinstance(figures.get(CHOSEN_ON), list | tuple):
        return ""
    if figures.get("not_held_out") != 0:  # a trace measures on its other half, and says nothing of it
        return ", of concepts it was not chosen on"
    _, content = Circuit(figures=figures).chosen_from
    return ", of another set than it was chosen on" if content else ""
