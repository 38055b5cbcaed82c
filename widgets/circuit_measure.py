"""How much a circuit explains, measured again after each edit: faithfulness, completeness, minimality."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from widgets.views.axes import number
from workbench.circuit import Circuit
from workbench.jobs.requests import RunAnalysis

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent

ANALYSIS = "CircuitMeasures"
PAUSE = 500
"""Milliseconds after the last edit."""
WHOLE = ("faithfulness", "completeness")
FIGURES = (*WHOLE, "minimality")


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
        self._request: RunAnalysis | None = None
        self._job = 0
        self.said, self.wrong = "", False
        self._pause = QTimer(self, singleShot=True, interval=PAUSE)
        self._pause.timeout.connect(self._ask)

    def give(self, circuit: Circuit | None) -> None:
        """Measure this one from now on; None for nothing."""
        asked = content(circuit)
        if asked == content(self._circuit) and (self._request is not None or self._pause.isActive()):
            return
        self.stop()
        self._circuit = circuit
        if circuit is None or not circuit.edges or FIGURES[0] in circuit.figures:
            return
        self._say("will be measured")
        self._pause.start()

    def stop(self) -> None:
        """Give up what is being measured."""
        self._pause.stop()
        if self._request is not None:
            self._request = None
            self._session.relay.cancel(self._job)
        self._circuit = None
        self._say("")

    def _ask(self) -> None:
        circuit, session = self._circuit, self._session
        if circuit is None:
            return
        images = circuit.images or (session.images.ref if session.images is not None else "")
        if not images:
            self._say("Open images: a circuit is measured on them.")
            return
        self._request = RunAnalysis(ANALYSIS, {"circuit": content(circuit)}, circuit.model, images)
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
            summary = event.result.summary
            self.measured.emit({name: summary[name] for name in FIGURES if name in summary} | counted(summary))
        elif event.state == "progress" and event.total:
            self._say(f"measuring: {event.done / event.total:.0%}")

    def _say(self, text: str, wrong: bool = False) -> None:
        if (text, wrong) != (self.said, self.wrong):
            self.said, self.wrong = text, wrong
            self.changed.emit()


def content(circuit: Circuit | None) -> str:
    """Return what is measured of a circuit, as JSON: units and edges, whatever it is called and in whatever order it is drawn."""
    if circuit is None:
        return ""
    edges = tuple(sorted(circuit.edges, key=lambda edge: edge.ends))
    return replace(circuit, name="", units=tuple(sorted(circuit.units)), edges=edges, figures={}).to_json()


def counted(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the number of images where the summary says it."""
    return {"images": summary["images"]} if isinstance(summary.get("images"), int) else {}


def interval(figure: Any) -> str:
    """Write a figure with its interval: ``0.87 [0.80, 0.93]``; a dash for what is not known."""
    if not isinstance(figure, Mapping):
        return number(figure) if isinstance(figure, int | float) else "–"
    value = figure.get("value", figure.get("mean"))
    low, high = figure.get("low"), figure.get("high")
    written = number(float(value)) if isinstance(value, int | float) else "–"
    both = isinstance(low, int | float) and isinstance(high, int | float)
    return f"{written} [{number(float(low))}, {number(float(high))}]" if both else written


def of_edges(figures: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Return the minimality of every edge by its ends; empty where there is none."""
    return dict(_edges(figures.get("minimality")))


def _edges(minimality: Any) -> Iterator[tuple[tuple[str, str], Any]]:
    if isinstance(minimality, Mapping) and not {"low", "high"} & set(minimality):
        minimality = minimality.get("edges", ())
    if isinstance(minimality, list | tuple):
        for each in minimality:
            if isinstance(each, Mapping) and {"source", "target"} <= set(each):
                yield (str(each["source"]), str(each["target"])), each


def told(figures: Mapping[str, Any]) -> str:
    """Say in one line what was measured; empty where nothing was."""
    if FIGURES[0] not in figures:
        return ""
    parts = [f"{name} {interval(figures[name])}" for name in WHOLE if name in figures]
    edges = of_edges(figures)
    values = {ends: each.get("value", math.nan) for ends, each in edges.items()}
    known = {ends: value for ends, value in values.items() if isinstance(value, int | float) and math.isfinite(value)}
    if known:
        least = min(known, key=known.__getitem__)
        parts.append(f"least minimality {interval(edges[least])}, of {least[0]} → {least[1]}")
    if "images" in figures:
        parts.append(f"n = {figures['images']} images")
    return " · ".join(parts)
