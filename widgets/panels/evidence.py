"""What is known of the selected unit as a detector: the evidence card, blind labelling, and the card as a page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from widgets.badge import Badge
from widgets.buttons import push_button
from widgets.clippings import copy_text
from widgets.commands import Command
from widgets.docks import Panel
from widgets.elided_label import ElidedLabel
from widgets.evidence_card.checklist import Checklist, Flowing, Way
from widgets.evidence_card.labelling import LabellingView
from widgets.file_dialogs import ask_where_to_write
from widgets.line_of import line_of
from widgets.scrolled import scrolled
from widgets.theme import say
from widgets.views.bin_plot import BinPlot
from workbench.blind_labels import Labelling, kept_of, labelling_key, place_of
from workbench.evidence_card import pieces_of, purity_piece, with_labels
from workbench.jobs.evidence_requests import PrepareLabelling, WriteEvidencePage
from workbench.jobs.requests import RunAnalysis
from workbench.purity import drawn_edges
from workbench.recompute import of_result
from workbench.unit_families import families_with, find_family

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent

INVITATION = "Open a network and images, and select a unit: here stands what is known of it as a detector, and what is missing."
READY = "Seven pieces of evidence, each beside its null. Compute them: about a minute. Purity needs you: label blind."
WAYS = {
    "purity": Way("Label blind…", "Say what pictures of every range of its activation show, without being told how active it was"),
    "family": Way("Inspector", "Open the inspector: units of one family can be selected and named there"),
    "hand-coding": Way("Problem 7.4", "Read what a hand-coded detector is, in the panel Problems"),
}
LEADS = {"family": "inspector", "hand-coding": "problems"}


class EvidencePanel(Panel):
    """Follows the selected unit; what was computed of a unit stays until the window is closed, labels stay for good."""

    id: ClassVar[str] = "evidence"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._results: dict[tuple[str, str, str], Result] = {}
        self._kept: list[Path] = []  # files with labels of the unit
        self._labellings: dict[Path, Labelling] = {}
        self._asked: dict[tuple[str, str, str], RunAnalysis] = {}  # what was asked last of each unit; it may be tried again
        self._jobs: dict[tuple[str, str, str], int] = {}  # of what is being computed
        self._drawing: PrepareLabelling | None = None
        self._drawing_job, self._draws = 0, False
        self._build()
        session.model_changed.connect(lambda _card: self._on_subject())
        session.images_changed.connect(lambda _card: self._on_subject())
        session.unit_changed.connect(lambda _unit: self._on_subject())
        session.project_changed.connect(self._on_subject)
        self._on_subject()

    def _build(self) -> None:
        self.name = ElidedLabel(parent=self, mode=Qt.TextElideMode.ElideMiddle)
        font = self.name.font()
        font.setBold(True)
        self.name.setFont(font)
        self.compute = push_button(self, "Compute", "Compute every piece of evidence that a computer can", self.compute_or_cancel)
        self.count = QSpinBox(self, minimum=20, maximum=5000, singleStep=50, value=400)
        self.count.setAccessibleName("Pictures to label")
        self.count.setToolTip("Pictures that are drawn to be labelled, as many from every range of the activation")
        self.count.valueChanged.connect(lambda _count: self._show())
        self.label = push_button(self, WAYS["purity"].text, WAYS["purity"].tip, self.label_or_pause)
        self.copy = push_button(self, "Copy as Python", "Copy lines that compute this card again, labels included", self.copy_python)
        self.export = push_button(self, "Export page…", "Write the card with its figures as one page of HTML", self.ask_and_export)
        pictures = QLabel("Pictures", self)
        head = line_of(self.name, around=(10, 6))
        bar = line_of(self.compute, pictures, self.count, self.label, None, self.copy, self.export, around=(10, 2))
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.said.setContentsMargins(6, 0, 6, 0)
        self.checklist = Checklist(WAYS, self)
        self.checklist.wanted.connect(self._lead)
        self.stack, self.density, self.expected = (BinPlot(self) for _ in range(3))
        for plot in (self.stack, self.density, self.expected):
            plot.setFixedHeight(230)
        self.plots = QWidget(self)
        side = QHBoxLayout(self.plots)
        side.setContentsMargins(6, 0, 6, 6)
        for plot in (self.stack, self.density, self.expected):
            side.addWidget(plot)
        content = Flowing()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.checklist)
        column.addWidget(self.plots)
        column.addStretch(1)
        card = scrolled(content, self, sideways=False)
        self.labelling = LabellingView(self.session, self)
        self.labelling.paused.connect(self._show_card)
        self.labelling.finished.connect(self._show_card)
        self.labelling.labelled.connect(self._show)
        self.pages = QStackedWidget(self)
        self.pages.addWidget(card)
        self.pages.addWidget(self.labelling)
        self.pages.currentChanged.connect(lambda page: self.session.keep_blind(page == 1))
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addLayout(head)
        whole.addLayout(bar)
        whole.addWidget(Badge(self.session, self))
        whole.addWidget(self.said)
        whole.addWidget(self.pages, 1)

    # ------------------------------------------------------------------------------------------------ what it is about

    @property
    def _subject(self) -> tuple[str, str, str] | None:
        """What the card is about: weights, images and unit."""
        session = self.session
        if session.model is None or session.images is None or session.unit is None:
            return None
        return session.model.weight_hash, session.images.content_hash, str(session.unit)

    def _path(self) -> Path | None:
        """Return where labels of as many pictures of the unit as are chosen are kept."""
        subject = self._subject
        return place_of(labelling_key(*subject, self.count.value(), 0)) if subject is not None else None

    def known_labels(self) -> Labelling | None:
        """Return the labels of as many pictures as are chosen: those of this session, else those that are kept of an earlier one."""
        path = self._path()
        return self._labels_at(path) if path is not None else None

    def _labels_at(self, path: Path) -> Labelling | None:
        if path not in self._labellings and path.exists():
            try:
                self._labellings[path] = Labelling.load(path)
            except ValueError as error:
                self.session.report(str(error))
                return None
        return self._labellings.get(path)

    def complete_labels(self) -> tuple[Path, Labelling] | None:
        """Return the most labels of the unit that are complete, and where they are kept, however many pictures are chosen now.

        To look at shares half-way would tell the labeller what is expected of the rest.
        """
        subject = self._subject
        if subject is None:
            return None
        for path in self._kept:
            self._labels_at(path)
        complete = [
            (path, labels)
            for path, labels in self._labellings.items()
            if (labels.weights, labels.images_hash, labels.unit) == subject and labels.finished and labels.done
        ]
        return max(complete, key=lambda one: one[1].done, default=None)

    def result(self) -> Result | None:
        """Return the card of the unit, with its labels once they are complete, or None while it is not computed."""
        subject = self._subject
        found = self._results.get(subject) if subject is not None else None
        complete = self.complete_labels()
        return with_labels(found, complete[1], str(complete[0])) if found is not None and complete is not None else found

    def _on_subject(self) -> None:
        """Another unit, network or image set: leave the labelling, show what is known."""
        self.session.relay.cancel(self._drawing_job)
        self._drawing, self._draws = None, False
        self._kept = kept_of(*self._subject) if self._subject is not None else []
        self._show_card()

    # ------------------------------------------------------------------------------------------------ computing

    def parameters(self) -> dict[str, Any]:
        """Return what the analysis is asked: the unit, and its family where it has one."""
        session, unit = self.session, self.session.unit
        assert unit is not None and session.model is not None
        asked: dict[str, Any] = {"layer": unit.layer, "unit": unit.index}
        named = find_family(session.project.families, session.model.ref, unit.layer, session.family) if session.family else None
        of_unit = families_with(session.project.families, session.model.ref, unit.layer, unit.index)
        family = named if named is not None and unit.index in named.units else next(iter(of_unit), None)
        if family is not None:
            asked["family"] = list(family.units)
            if None not in family.angles:
                asked["angles"] = list(family.angles)
        return asked

    def compute_or_cancel(self) -> None:
        """Compute the card of the unit, or stop computing it; that of another unit goes on."""
        model, images, subject = self.session.model, self.session.images, self._subject
        if subject in self._jobs:
            self.session.relay.cancel(self._jobs[subject])
        elif subject is not None and model is not None and images is not None:
            self._asked[subject] = RunAnalysis("Evidence", self.parameters(), model.ref, images.ref)
            self._jobs[subject] = self.session.relay.submit(self._asked[subject], self._take)
            self._show()

    def _take(self, event: JobEvent) -> None:
        about = next((subject for subject, asked in self._asked.items() if asked is event.request), None)
        if about is None:
            return
        if event.ended:
            self._jobs.pop(about, None)
        else:
            self._jobs[about] = event.job
        if event.state == "done":
            self._results[about] = event.result
        if about != self._subject:
            if event.state == "failed":
                self.session.report(f"The evidence card of {about[2]} cannot be computed: {event.error}", event.details)
            return
        self._show()
        if event.state == "failed":
            say(self.said, event.error, wrong=True)
        elif event.state == "cancelled":
            say(self.said, "Cancelled.")
        elif not event.ended and event.total:
            say(self.said, f"{about[2]}: {event.done / event.total:.0%} {event.note}")

    # ------------------------------------------------------------------------------------------------ labelling

    def label_or_pause(self) -> None:
        """Begin to label blind, go on with it, or pause."""
        model, images, unit = self.session.model, self.session.images, self.session.unit
        if self.pages.currentIndex() == 1:
            self._show_card()
        elif model is not None and images is not None and unit is not None:
            self._drawing = PrepareLabelling(model.ref, images.ref, str(unit), self.count.value())
            self._drawing_job = self.session.relay.submit(self._drawing, self._take_pictures)
            self._draws = True
            self._show()

    def _take_pictures(self, event: JobEvent) -> None:
        if event.request is not self._drawing:
            return
        self._drawing_job, self._draws = event.job, not event.ended  # one that failed may be tried again in Jobs
        if event.state == "done":
            drawn, pictures = event.result
            path = place_of(drawn.key)  # of what was drawn, whatever is chosen by now
            labelling = self._labellings.setdefault(path, drawn)
            self.labelling.open(labelling, pictures, path)
            if not labelling.finished:
                self.pages.setCurrentIndex(1)
                self.labelling.setFocus()
        self._show()
        if event.state == "failed":
            say(self.said, event.error, wrong=True)
        elif not event.ended:
            say(self.said, f"Drawing the pictures: {event.done / event.total:.0%}" if event.total else "Waiting for its turn …")

    def take_back(self) -> None:
        """Take the last blind label back."""
        self.labelling.take_back()

    def _show_card(self) -> None:
        self.pages.setCurrentIndex(0)
        self._show()

    def _lead(self, name: str) -> None:
        """Go where a missing piece comes from."""
        if name == "purity":
            self.label_or_pause()
        else:
            self.session.panels_wanted.emit((LEADS[name],))

    # ------------------------------------------------------------------------------------------------ showing

    def _show(self) -> None:
        subject, result, labels, complete = self._subject, self.result(), self.known_labels(), self.complete_labels()
        labelling = self.pages.currentIndex() == 1
        self.name.setText(subject[2] if subject is not None else "")
        self.compute.setText("Cancel" if subject in self._jobs else "Compute again" if result is not None else "Compute")
        self.compute.setEnabled(subject is not None)
        going_on = labels is not None and not labels.finished and labels.done
        self.label.setText("Pause labelling" if labelling else f"Go on labelling ({labels.done} of {len(labels.pictures)})" if going_on
                           else "Label blind…")  # fmt: skip
        may_label = subject is not None and not self._draws and (labels is None or not labels.finished)
        self.label.setEnabled(labelling or may_label)
        self.count.setEnabled(not labelling and not self._draws)
        self.export.setEnabled(result is not None)
        self.copy.setEnabled(result is not None)
        purity = [purity_piece(complete[1])] if complete is not None else []
        pieces = pieces_of(result.summary) if result is not None else purity
        self.checklist.show_pieces([] if labelling else pieces)
        if "purity" in self.checklist.buttons:
            self.checklist.buttons["purity"].setVisible(result is not None and complete is None)
        if labelling:
            say(self.said, "")
        elif subject is None:
            say(self.said, INVITATION)
        elif result is None:
            say(self.said, "Waiting for its turn …" if subject in self._jobs else READY)
        else:
            there = sum(not piece.missing for piece in pieces)
            told = f"{there} of {len(pieces)} pieces; n = {result.summary['images']:,} images, {result.summary['positions']:,} positions."
            say(self.said, f"{told} Activations are of {result.summary['measured']}. There is no score over all pieces.")
        self.said.setVisible(bool(self.said.text()))
        self._draw(result, complete[1] if complete is not None and not labelling else None)

    def _draw(self, result: Result | None, labels: Labelling | None) -> None:
        """Draw the plots that there are numbers for."""
        self.stack.setVisible(labels is not None)
        for plot in (self.density, self.expected):
            plot.setVisible(result is not None)
        self.plots.setVisible(not self.stack.isHidden() or result is not None)
        if result is not None:
            arrays, summary = result.arrays, result.summary
            edges = (drawn_edges(arrays["edges"]) - summary["mean"]) / summary["std"]
            common = {
                "label": f"activation of {summary['measured']}, SD above the mean",
                "note": f"n = {summary['images']:,} images, lowest bin open",
                "made_from": self._origin(result),
            }
            self.density.show_bins(edges, arrays["density"], title="Density", value_label="share of positions", logarithmic=True, **common)
            self.expected.show_bins(edges, arrays["expected"], title="Expected value", value_label="activation × density", **common)
        if labels is not None:
            bins = labels.bins
            edges = (drawn_edges(np.array(bins.edges)) - bins.mean) / (bins.std or 1.0)
            note = f"{labels.done} of {len(labels.pictures)} labels"
            origin = {"model": labels.model, "images": labels.images, "unit": labels.unit, "measured": labels.measured, "n": labels.done}
            shown = {"value_label": "p(label | activation)", "names": labels.classes, "note": note}
            told = f"activation of {labels.measured}, SD above the mean"
            self.stack.show_bins(edges, labels.shares(), title="Blind labels", label=told, made_from=origin, **shown)
        again = of_result(result, result.parameters["layer"]) if result is not None else None
        for plot in (self.stack, self.density, self.expected):
            plot.recomputation = again

    def _origin(self, result: Result) -> dict[str, object]:
        given = result.provenance
        badge = {"badge": self.session.badge} if self.session.badge else {}
        address = str(replace(self.session.addresses.selected(), view=self.id))
        made = {name: given.get(name) for name in ("model", "weights", "images")}
        return {**made, "unit": result.summary["unit"], "address": address, **badge}

    # ------------------------------------------------------------------------------------------------ taking it elsewhere

    def copy_python(self) -> None:
        """Copy lines of Python that compute the card again."""
        if (result := self.result()) is not None:
            copy_text(of_result(result, result.parameters["layer"]).python())
            self.session.inform("Copied lines of Python that compute this card again.")

    def ask_and_export(self) -> None:
        """Ask for a file and write the page into it."""
        if (result := self.result()) is None:
            return
        name = f"evidence-{result.summary['unit'].replace(':', '-').replace('/', '-')}.html"
        ask_where_to_write(self, "Export the card as a page", name, "Pages (*.html)", self.write)

    def write(self, path: str) -> None:
        """Write the page; the worker draws its figures."""
        if (result := self.result()) is not None:
            self.session.relay.submit(WriteEvidencePage(result, path), self._written)

    def _written(self, event: JobEvent) -> None:
        if event.state == "done":
            self.session.inform(f"The card is in {event.result}.")
        elif event.state == "failed":
            self.session.report(f"The page cannot be written: {event.error}", event.details)

    # ------------------------------------------------------------------------------------------------ the panel's contract

    def save_state(self) -> dict[str, Any]:
        """Keep how many pictures are drawn."""
        return {"count": self.count.value()}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        count = state.get("count", 400)
        if isinstance(count, int) and not isinstance(count, bool):
            self.count.setValue(count)

    def views(self) -> list[View]:
        """The plots that are shown."""
        return [plot for plot in (self.stack, self.density, self.expected) if not plot.isHidden() and len(plot.data()["edges"])]

    def commands(self) -> tuple[Command, ...]:
        """Offer from anywhere what the buttons do."""
        return (
            Command(
                "evidence.compute",
                "Compute the evidence card, or stop",
                self.compute_or_cancel,
                "Compute every piece of evidence on what the selected unit detects, beside its null, or stop computing.",
                "Analysis",
                section="evidence",
                enabled=self.compute.isEnabled,
            ),
            Command(
                "evidence.label",
                "Label blind, or pause",
                self.label_or_pause,
                "Say what pictures of every range of the unit's activation show, without being told how active it was; keys 1 to 4.",
                "Analysis",
                section="evidence",
                enabled=self.label.isEnabled,
            ),
            Command(
                "evidence.take_back",
                "Take the last blind label back",
                self.take_back,
                "Forget the last blind label and show its picture again; Backspace does the same on the labelling screen.",
                "Analysis",
                section="evidence",
                enabled=lambda: self.pages.currentIndex() == 1 and self.labelling.back.isEnabled(),
            ),
            Command(
                "evidence.export",
                "Export the evidence card as a page…",
                self.ask_and_export,
                "Write the evidence card of the selected unit, with its figures, as one page of HTML that needs nothing beside it.",
                "Analysis",
                section="evidence",
                enabled=self.export.isEnabled,
            ),
        )
