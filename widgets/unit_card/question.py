"""A part of a unit's card that is computed when the user asks for it: a button, progress, cancel, and what was found is remembered."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from PySide6.QtWidgets import QLabel, QPushButton

from widgets.theme import say
from widgets.unit_card.section import Section
from widgets.views.axes import number
from workbench.jobs.requests import RunAnalysis
from workbench.recompute import of_result

if TYPE_CHECKING:
    from collections.abc import Hashable

    from widgets.session import Session
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent

Subject = tuple["Hashable", ...]


class Question(Section):
    """Base of such sections.

    A subclass names its `analysis` and says what its parameters are, what distinguishes one answer from another (`about`), and how an
    answer is shown.
    """

    analysis: ClassVar[str]
    verb: ClassVar[str]
    """What the button says."""
    invitation: ClassVar[str]
    """What stands there before anything is asked."""

    def __init__(self, session: Session, title: str, help: str, tip: str) -> None:
        super().__init__(session, title, help)
        self.start = QPushButton(self.verb, self)
        self.start.setToolTip(tip)
        self.start.clicked.connect(self._start_or_stop)
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self._results: dict[Subject, Result] = {}
        self._job = 0
        self._asked: list[tuple[RunAnalysis, Subject]] = []

    @abstractmethod
    def about(self) -> Subject:
        """Return what the answer is about beside network and images: the unit or its layer, and what was chosen."""

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the analysis."""

    @abstractmethod
    def show_result(self, result: Result) -> None:
        """Show an answer about the unit."""

    @abstractmethod
    def clear_result(self) -> None:
        """Show no answer."""

    def begin(self) -> None:
        """Show what is known of this unit already."""
        self.show_known()

    def _subject(self) -> Subject | None:
        model, images = self.session.model, self.session.images
        if model is None or images is None or self.unit is None:
            return None
        return model.weight_hash, images.content_hash, *self.about()

    def _start_or_stop(self) -> None:
        model, images, subject = self.session.model, self.session.images, self._subject()
        if self._job:
            self.session.relay.cancel(self._job)
        elif subject is not None and model is not None and images is not None:
            request = RunAnalysis(self.analysis, self.parameters(), model.ref, images.ref)
            self._asked.append((request, subject))
            self._job = self.session.relay.submit(request, self._take)
            self.show_known()

    def _take(self, event: JobEvent) -> None:
        asked = next(subject for request, subject in self._asked if request is event.request)  # it may be one that is retried
        if event.state == "done":
            self._results[asked] = event.result
        if event.ended:
            self._job = 0 if event.job == self._job else self._job
            self.show_known()
            if event.state == "failed" and asked == self._subject():
                self.say(event.error, wrong=True)
        elif asked == self._subject():
            self._job = event.job
            self.start.setText("Cancel")
            done = f"{event.done / event.total:.0%}" if event.total else event.note or "waiting for its turn"
            so_far = event.partial
            change = f", change so far {number(so_far['change'])}" if isinstance(so_far, dict) and "change" in so_far else ""
            self.say(f"{done}{change}")

    def show_known(self) -> None:
        """Show what was found of this unit, or the invitation."""
        subject = self._subject()
        self.start.setEnabled(subject is not None)
        self.start.setText("Cancel" if self._job else self.verb)
        self.note.clear()
        result = self._results.get(subject) if subject is not None else None
        if result is None:
            self.clear_result()
            self.say("Beginning…" if self._job and self._asked[-1][1] == subject else self.invitation if subject else "Open images first.")
        else:
            self.show_result(result)
            layer = self.unit.layer if self.unit is not None else ""
            for view in self.views():
                view.recomputation = of_result(result, layer, self.variables())

    def say(self, text: str, wrong: bool = False) -> None:
        """Write the line above the answer."""
        say(self.said, text, wrong)


class LayerQuestion(Question):
    """Base of those whose analysis answers for all units of a layer at once."""

    def about(self) -> Subject:
        """Be about the layer."""
        assert self.unit is not None
        return (self.unit.layer,)

    def parameters(self) -> dict[str, Any]:
        """Name the layer."""
        assert self.unit is not None
        return {"layer": self.unit.layer}
