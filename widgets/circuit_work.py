"""The weights of a circuit, computed on demand: the strongest inputs of a node, and all edges between the units that are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from widgets.circuit_edit import change_circuit, grown, named
from workbench.circuit import Circuit, Edge, layer_of
from workbench.circuit_weights import (
    edges_between,
    pairs_to_connect,
    parameters,
    rows_of,
    source_for,
    strongest_inputs,
    weight_between,
    with_weights,
)
from workbench.jobs.circuit_requests import Connected
from workbench.jobs.requests import RunAnalysis

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent

    Read = Callable[[Mapping[str, Any]], list[Edge]]


@dataclass
class _Run:
    """One of them: what reads the edges from its arrays, and its job while it is under way, else None."""

    request: RunAnalysis
    read: Read
    job: int | None


@dataclass
class _Undertaking:
    """Several runs whose edges come into a circuit as one edit.

    Attributes
    ----------
    adds
        Whether units may come in with the edges.
    run
        How the weights were computed.
    looking
        The job that finds out what can be asked for at all, while it runs.
    """

    circuit: str
    text: str
    adds: bool
    runs: list[_Run] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)
    looking: int | None = None


class CircuitWork(QObject):
    """Computes expanded weights for the circuit that is open and adds the edges to it; one undertaking at a time, the newest."""

    changed = Signal()
    """There is news: `said`, `wrong`, `running`."""

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._now: _Undertaking | None = None
        self._before: _Undertaking | None = None  # the last, once it has ended: what failed of it may be tried again in Jobs
        self.said, self.wrong = "", False

    @property
    def running(self) -> bool:
        """Whether weights are being computed."""
        return self._now is not None

    def add_inputs(self, circuit: Circuit, nodes: Sequence[str], source: str, count: int) -> None:
        """Add the strongest inputs of nodes, from the units of a layer; empty for the nearest that is sensible."""
        layers = list(self._session.layers.values())
        by_layer: dict[str, list[str]] = {}
        for node in nodes:
            by_layer.setdefault(layer_of(node), []).append(node)
        runs: list[tuple[dict[str, Any], Read]] = []
        for target, of_layer in by_layer.items():
            earlier = source or source_for(layers, target)
            if not earlier:
                self._say(f"No layer comes before {target}.", wrong=True)
                return

            def read(arrays: Mapping[str, Any], earlier: str = earlier, of_layer: Sequence[str] = of_layer) -> list[Edge]:
                return [edge for node in of_layer for edge in strongest_inputs(arrays, earlier, node, count)]

            runs.append((parameters(earlier, of_layer), read))
        what = nodes[0] if len(nodes) == 1 else f"{len(nodes)} nodes"
        self._begin(_Undertaking(circuit.name, f"add inputs of {what}", True), circuit, runs)

    def connect_units(self, circuit: Circuit) -> None:
        """Compute the edges between all units of the circuit, from each layer to the next; branches side by side are not asked for."""
        rows = rows_of(circuit, list(self._session.layers))
        pairs = pairs_to_connect(list(rows))
        if not pairs:
            self._say("There are no two layers to connect: add units of an earlier one.", wrong=True)
            return
        runs: list[tuple[dict[str, Any], Read]] = [
            (parameters(source, rows[target]), lambda arrays, s=rows[source], t=rows[target]: edges_between(arrays, s, t))
            for source, target in pairs
        ]
        self.cancel()
        self._now = new = _Undertaking(circuit.name, "connect units", False)
        asked = Connected(circuit.model, tuple((source, tuple(rows[target])) for source, target in pairs))

        def begin(event: JobEvent) -> None:
            if self._now is not new or not event.ended:
                return
            new.looking = self._now = None
            if event.state == "done" and event.result:
                self._begin(new, circuit, [runs[place] for place in event.result])
            elif event.state == "done":
                self._say("None of its layers feeds another: add units of a layer before or behind them.", wrong=True)
            else:
                self._say(event.error, wrong=event.state == "failed")

        new.looking = self._session.relay.submit(asked, begin)
        self._say("Computing weights: looking which layers feed which …")

    def weigh_edges(self, circuit: Circuit) -> None:
        """Compute the weights of the edges that there are, and add none."""
        ends: dict[tuple[str, str], list[Edge]] = {}
        for edge in circuit.edges:
            ends.setdefault((layer_of(edge.source), layer_of(edge.target)), []).append(edge)
        runs: list[tuple[dict[str, Any], Read]] = []
        for (source, _), edges in ends.items():

            def read(arrays: Mapping[str, Any], edges: Sequence[Edge] = edges) -> list[Edge]:
                return [replace(edge, weight=weight_between(arrays, *edge.ends)) for edge in edges]

            runs.append((parameters(source, [edge.target for edge in edges]), read))
        if runs:
            self._begin(_Undertaking(circuit.name, "compute the weights of edges", False), circuit, runs)

    def _begin(self, new: _Undertaking, circuit: Circuit, runs: Sequence[tuple[dict[str, Any], Read]]) -> None:
        self.cancel()
        session = self._session
        images = circuit.images or (session.images.ref if session.images is not None else "")
        if not images:
            self._say("Open images first: weights are taken on them.", wrong=True)
            return
        self._now = new
        for given, read in runs:
            request = RunAnalysis("ExpandedWeights", given, circuit.model, images)
            new.runs.append(_Run(request, read, session.relay.submit(request, self._take)))
        self._say("Computing weights: waiting for its turn …")

    def cancel(self) -> None:
        """Stop computing; what was found of it so far is let go."""
        given_up, self._now, self._before = self._now, None, None
        for run in given_up.runs if given_up is not None else ():
            if run.job is not None:
                self._session.relay.cancel(run.job)
        if given_up is not None and given_up.looking is not None:
            self._session.relay.cancel(given_up.looking)
        self._say("")

    def _take(self, event: JobEvent) -> None:
        now = self._now or self._before
        run = next((run for run in now.runs if run.request is event.request), None) if now is not None else None
        if now is None or run is None:  # of what was given up
            return
        if self._now is None:  # tried again
            now.edges, now.failed = [], []
            self._now, self._before = now, None
        run.job = event.job
        if event.state == "progress" and event.total:
            self._say(f"Computing weights: {event.note or 'taking gradients'}, {event.done / event.total:.0%}")
        if not event.ended:
            return
        run.job = None
        if event.state == "done":
            now.edges += run.read(event.result.arrays)
            summary = event.result.summary
            now.run = {"images": summary["images"], "path": summary["path"], "gate": summary["gate"]}
        else:
            now.failed.append(event.error or "Computing weights was cancelled")
        if all(each.job is None for each in now.runs):
            self._now, self._before = None, now
            self._finish(now)

    def _finish(self, ended: _Undertaking) -> None:
        session, circuit = self._session, self._session.circuit
        self._say("; ".join(ended.failed), wrong=bool(ended.failed) and not ended.edges)
        if circuit is None or circuit.name != ended.circuit:
            there = named(session.project, ended.circuit) is not None
            why = "is not open any more; open it and ask again" if there else "is not there any more"
            self._say(f"The weights that came are let go: the circuit {ended.circuit} {why}.")
            return
        present = set(circuit.units)
        needed = {end for edge in ended.edges for end in ((edge.target,) if ended.adds else edge.ends)}
        edges = [edge for edge in ended.edges if edge.target in present and (ended.adds or edge.source in present)]
        if edges:
            change_circuit(session, grown(session, circuit, with_weights(circuit, edges, ended.run)), ended.text)
        elif not ended.failed and needed <= present:
            self._say("No weights: nothing leads from one to the other, or the units are dead on these images.")

    def _say(self, text: str, wrong: bool = False) -> None:
        self.said, self.wrong = text, wrong
        self.changed.emit()
