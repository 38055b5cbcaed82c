"""What finds a circuit for a unit, tracing it or rebuilding it from few: the form that starts it, and the circuit it ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QVBoxLayout, QWidget

from widgets.analysis_dialog import first_values, suggestions
from widgets.circuit_edit import add_circuit, tidied
from widgets.docks import focus_first
from widgets.form import Form, Preload
from widgets.theme import say
from workbench.circuit import Circuit
from workbench.input_error import InputError
from workbench.jobs.requests import RunAnalysis

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent
    from workbench.jobs.requests import AnalysisCard

TRACE, TREE = "Trace", "ReconstructionTree"
"""Analyses whose result is a circuit."""
WORDS = {TRACE: ("Trace", "Tracing", "trace"), TREE: ("Rebuild", "Rebuilding", "rebuild from few")}
"""On the button that starts it, while it is at work, and as a step that can be undone."""


class TraceDialog(QDialog):
    """Asks for the parameters of an analysis that finds a circuit; `wanted` gives them."""

    wanted = Signal(str, object)
    """The analysis, and its parameters by name."""

    def __init__(self, session: Session, card: AnalysisCard, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(card.title)
        self.resize(560, 520)
        self._session, self._card = session, card
        self.form: Form | None = None
        about = QLabel(" ".join(card.help.partition("\n\n")[0].split()), wordWrap=True)
        model, images = session.model, session.images
        runs_on = QLabel(f"Network: {model.name if model else 'none is open'}  ·  images: {images.name if images else 'none are open'}")
        self.said = QLabel(wordWrap=True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.run = buttons.addButton(WORDS[card.name][0], QDialogButtonBox.ButtonRole.AcceptRole)
        self.run.setToolTip("Start it; the circuit it finds is opened when it is there")
        buttons.accepted.connect(self._accept)
        buttons.rejected.connect(self.reject)
        self._layout = QVBoxLayout(self)
        for part in (about, runs_on, self.said, buttons):
            self._layout.addWidget(part)
        self.run.setDefault(True)
        self._refresh()
        self._preload = Preload(self)
        self._preload.ready.connect(self._make_form)
        self._preload.start()

    def _make_form(self) -> None:
        session, schema = self._session, self._card.schema
        values = first_values(session, schema)
        values.pop("layers", None)  # those of the circuit are not that of its target
        self.form = Form(schema, suggestions(session, schema), values)
        self.form.changed.connect(self._refresh)
        self._layout.insertWidget(2, self.form, 1)
        self._refresh()
        focus_first(self.form)  # else Cancel has it, and Enter cancels

    def _missing(self) -> str:
        if self._session.model is None:
            return "Open a network first."
        if self._card.needs_images and self._session.images is None:
            return "This needs images; open a set first."
        if self.form is not None and self.form.errors:
            name, error = next(iter(self.form.errors.items()))
            return f"{name}: {error}"
        return ""

    def _refresh(self) -> None:
        missing = self._missing()
        say(self.said, missing, wrong=bool(missing))
        self.run.setEnabled(self.form is not None and not missing)

    def _accept(self) -> None:
        values: dict[str, Any] = self.form.values() if self.form is not None else {}
        self.wanted.emit(self._card.name, values)
        self.accept()


def worth_telling(summary: Mapping[str, Any]) -> str:
    """Say what a found circuit does not show: that it is worse than was asked for, or what it keeps by itself."""
    if not summary.get("threshold_reached", True):
        reached = summary["candidates_faithfulness"]
        return (
            f"No circuit of the {summary['candidate_edges']} candidate edges is as faithful as the {summary['threshold']:g} asked for: "
            f"all of them together reach {reached:.2f}. More candidates may."
        )
    if summary.get("kept") is not None:
        null = "" if summary["null_highest"] is None else f"; trees of random units at most {summary['null_highest']:.2f}"
        between = f"[{summary['kept_low']:.2f}, {summary['kept_high']:.2f}]"
        return f"The tree alone keeps {summary['kept']:.2f} {between} of the variance of {summary['unit']}{null}."
    return ""


class CircuitTracing(QObject):
    """Runs one of these analyses at a time and opens what it finds; an older one is given up.

    Attributes
    ----------
    running
        Whether one is under way.
    said
        How far it is.
    """

    changed = Signal()
    """There is news: `said`, `running`."""

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._request: RunAnalysis | None = None  # the newest, until it is given up: one that failed may be tried again in Jobs
        self._job = 0
        self.running = False
        self.said = ""

    def start(self, analysis: str, parameters: dict[str, Any]) -> None:
        """Find a circuit with these parameters, in the open network on the open images."""
        session = self._session
        if session.model is None:
            return
        self.cancel()
        self._request = RunAnalysis(analysis, parameters, session.model.ref, session.images.ref if session.images is not None else None)
        self._job = session.relay.submit(self._request, self._take)
        self.running = True
        self._say(f"{WORDS[analysis][1]}: waiting for its turn …")

    def cancel(self) -> None:
        """Give it up."""
        self._request = None
        if self.running:
            self.running = False
            self._session.relay.cancel(self._job)
            self._say("")

    def _take(self, event: JobEvent) -> None:
        if event.request is not self._request:  # of one that was given up
            return
        self._job, self.running = event.job, not event.ended
        if event.ended:
            self._say("")
        elif event.state in ("running", "progress"):
            share = f", {event.done / event.total:.0%}" if event.total else ""
            self._say(f"{WORDS[event.request.analysis][1]}: {event.note or 'at work'}{share}")
        if event.state == "failed":
            self._session.report(event.error, event.details)
        elif event.state == "done":
            self._open(event.request, event.result.summary)

    def _open(self, request: RunAnalysis, summary: Mapping[str, Any]) -> None:
        try:
            found = Circuit.from_document(summary["circuit"])
        except InputError as error:
            self._session.report(f"No circuit was found: {error}")
            return
        found = replace(found, model=found.model or request.model, images=found.images or request.images or "")
        add_circuit(self._session, tidied(self._session, found), WORDS[request.analysis][2])
        if remark := worth_telling(summary):
            self._session.inform(remark)

    def _say(self, text: str) -> None:
        self.said = text
        self.changed.emit()
