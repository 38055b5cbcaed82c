"""Scrubbing: what units are claimed to compute from what, as a tree that is edited, tested by resampling all that should not matter."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtWidgets import QComboBox, QLabel, QSplitter, QVBoxLayout

from widgets.analysis_run import AnalysisRun
from widgets.badge import Badge
from widgets.buttons import push_button
from widgets.docks import Panel
from widgets.hypothesis_edit import (
    add_hypothesis,
    ask_and_export,
    ask_and_import,
    delete_hypothesis,
    key_of,
    named,
    present,
)
from widgets.line_of import line_of
from widgets.project_edit import UndoKeys
from widgets.scrubbing.editor import HypothesisEditor
from widgets.scrubbing.hypothesis_commands import hypothesis_commands
from widgets.scrubbing.hypothesis_source import FileButton, NewButton
from widgets.scrubbing.result_page import ResultPage
from widgets.theme import say
from workbench.jobs.requests import FetchImages, RunAnalysis
from workbench.jobs.scrubbing_requests import FindCurveHypothesis

if TYPE_CHECKING:
    from widgets.commands import Command
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.hypothesis import Hypothesis
    from workbench.jobs.job import JobEvent

INVITATION = (
    "Open a network and images and select a unit; then New, and say what it is computed from. Or begin from the circuit that is open, "
    "or from a curve detector, whose hypothesis is measured."
)
READY = "Run resamples everything that the hypothesis says does not matter, node after node, beside rivals and nulls."
GROWING = "Select what it is computed from – units of an earlier layer, in any panel – then Add child, and say what feature they carry."
NARROW = 900
"""Pixels of width below which hypothesis and results stand above one another."""


class ScrubbingPanel(Panel):
    """Keeps hypotheses of the investigation side by side, and what came of each on the open images."""

    id: ClassVar[str] = "scrubbing"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._name = ""
        self._wanted = ""  # to be shown once the network that it is of is there
        self._results: dict[str, Result] = {}  # by what was asked (`key_of`): names change
        self._last: dict[str, str] = {}  # what was shown last of the hypothesis of a name: it may have been changed since
        self._waiting: list[Hypothesis] = []
        self._running: Hypothesis | None = None
        self._failed = False  # whether what is said is an error
        self._curve: FindCurveHypothesis | None = None
        self._curve_job = 0
        self._fetched: FetchImages | None = None
        self._build()
        self._say("")
        session.model_changed.connect(lambda _card: self._say(""))
        session.model_changed.connect(lambda _card: self._drop_curve())
        session.model_changed.connect(lambda _card: self._on_data())
        session.images_changed.connect(lambda _card: self._on_data())
        session.touched.connect(self._refresh)
        session.project_changed.connect(self._on_project)
        self._on_data()

    # ------------------------------------------------------------------------------------------------ what it is made of

    def _build(self) -> None:
        self.chooser = QComboBox(self, editable=True)
        self.chooser.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.chooser.setMinimumContentsLength(16)
        self.chooser.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.chooser.setAccessibleName("Hypothesis that is shown")
        self.chooser.setToolTip("Hypotheses of this network; type another name to rename the one that is shown")
        self.chooser.activated.connect(lambda place: self._show(self.chooser.itemText(place)))
        self.chooser.lineEdit().editingFinished.connect(self._rename)
        UndoKeys(self.session, self.chooser.lineEdit(), own_first=True)
        self.new = NewButton(self.session, self._add, self._ask_curve, lambda why: self._say(why, wrong=True), self)
        self.file = FileButton(self._ask_import, self._ask_export, self)
        self.delete = push_button(self, "Delete", "Take this hypothesis out of the investigation", self._delete)
        self.start = push_button(self, "Run", "Scrub this hypothesis over the open images", self._run_shown)
        self.start_all = push_button(self, "Run all", "Scrub every hypothesis of this network, to compare them", self._run_all)
        self.run = AnalysisRun(self, "Scrubbing", "Stop")
        self.run.in_place_of(self.start)
        self.run.said.connect(self._hear)
        self.run.done.connect(self._take)
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.about = QLabel(self, wordWrap=True)
        self.about.setMargin(4)
        self.editor = HypothesisEditor(self.session, self)
        self.editor.said.connect(self._say)
        self.editor.renamed.connect(self._follow_name)
        self.editor.settings.changed.connect(self._show_result)
        self.page = ResultPage(self)
        self.page.node_chosen.connect(self.editor.choose)
        self.page.example_chosen.connect(lambda _place: self._show_result())
        self.page.image_chosen.connect(self._open_image)
        bar = line_of(
            QLabel("Hypothesis", self), self.chooser, self.new, self.file, self.delete, None, self.start, self.run.cancel, self.start_all
        )
        bar.setStretch(1, 1)
        self.splitter = QSplitter(Qt.Orientation.Horizontal, self)
        for place, part in enumerate((self.editor, self.page)):
            self.splitter.addWidget(part)
            self.splitter.setStretchFactor(place, 1)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setSizes([470, 530])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addLayout(bar)
        whole.addWidget(Badge(self.session, self))
        whole.addWidget(self.about)
        whole.addWidget(self.said)
        whole.addWidget(self.splitter, 1)

    # ------------------------------------------------------------------------------------------------ which hypothesis

    @property
    def hypothesis(self) -> Hypothesis | None:
        """The hypothesis that is shown, as the investigation has it."""
        return named(self.session.project, self._name)

    def _known(self) -> list[Hypothesis]:
        if self.session.model is None:
            return []
        return [one for one in self.session.project.hypotheses if not one.model or self.session.is_open(one.model)]

    def _on_project(self) -> None:
        """Another investigation: nothing that was asked for the other one is to come into it."""
        self._drop_curve()
        self.run.forget()
        self._waiting.clear()
        self._results.clear()
        self._last.clear()
        self._say("")
        self._refresh()

    def _drop_curve(self) -> None:
        """Take no curve hypothesis that still comes: it would go into another investigation, or be of another network."""
        if self._curve is not None:
            self._curve = None
            self.session.relay.cancel(self._curve_job)

    def _on_data(self) -> None:
        """Another network or other images: results of before are of something else."""
        self.run.forget()
        self._results.clear()
        self._last.clear()
        self._waiting.clear()
        images = self.session.images
        columns = {} if images is None else dict(images.columns)
        self.editor.show_columns(columns)
        known = ", ".join(f"{name} ({values})" for name, values in columns.items() if values > 1)
        nothing = "Nothing is known of these images but what units do: claim activation / 2 or / 5, or open stimuli."
        self.about.setText("" if images is None else f"Features of these images: {known}." if known else nothing)
        self.about.setVisible(bool(self.about.text()))
        if self._failed:
            self._say("")
        self._refresh()

    def _show(self, name: str) -> None:
        if name != self._name:
            self._say("")
        self._name, self._wanted = name, ""
        self._refresh()

    def _follow_name(self, name: str) -> None:
        """Keep to the hypothesis that is about to have another name, and its result to it."""
        if name != self._name and self._name in self._last:
            self._last[name] = self._last.pop(self._name)
        self._name = name

    def _refresh(self) -> None:
        """Show what the investigation has now."""
        names = [one.name for one in self._known()]
        if self._wanted in names:
            self._name, self._wanted = self._wanted, ""
        if self._name not in names:
            self._name = names[-1] if names else ""
        if self.run.running and self._running is not None and present(self.session.project, self._running) is None:  # it was deleted
            self.run.forget()
            self._say("")
            self._next()
        with QSignalBlocker(self.chooser):
            self.chooser.clear()
            self.chooser.addItems(names)
            self.chooser.setCurrentIndex(names.index(self._name) if self._name else -1)
            self.chooser.setEditText(self._name)
        shown = self.hypothesis
        self.editor.show_hypothesis(shown)
        ready = self.session.model is not None and self.session.images is not None
        self.start.setEnabled(ready and shown is not None and bool(shown.root.children))
        self.start_all.setEnabled(ready and len(names) > 1)
        for part in (self.delete, self.chooser, self.file.out):
            part.setEnabled(shown is not None)
        self._show_result()

    def _add(self, hypothesis: Hypothesis, text: str) -> None:
        self._show(add_hypothesis(self.session, hypothesis, text).name)

    def _rename(self) -> None:
        shown, text = self.hypothesis, " ".join(self.chooser.currentText().split())
        if shown is None or text == shown.name or text in [one.name for one in self._known()]:
            return
        if not self.editor.change(replace(shown, name=text), f"rename {shown.name}"):
            self.chooser.setEditText(shown.name)

    def _delete(self) -> None:
        if self.hypothesis is not None:
            delete_hypothesis(self.session, self.hypothesis)

    def _ask_import(self) -> None:
        ask_and_import(self.session, self, lambda taken: self._show(taken.name))

    def _ask_export(self) -> None:
        if self.hypothesis is not None:
            ask_and_export(self.session, self, self.hypothesis)

    # ------------------------------------------------------------------------------------------------ the curve hypothesis

    def _ask_curve(self) -> None:
        model, unit = self.session.model, self.session.unit
        if model is not None and unit is not None:
            self._drop_curve()
            self._curve = FindCurveHypothesis(model.ref, unit)
            self._say(f"Showing lines and curves to {unit} and the layers before it …")
            self._curve_job = self.session.relay.submit(self._curve, self._take_curve)

    def _take_curve(self, event: JobEvent) -> None:
        if event.request is not self._curve:
            return
        if event.state == "failed":
            self._say(event.error, wrong=True)
        elif event.state == "cancelled":
            self._say("Cancelled.")
        elif event.state == "done":
            found = event.result
            self._add(found.hypothesis, f"the curve hypothesis of {event.request.unit}")
            self._say(found.about)
            images = self.session.images
            if images is None or images.ref != found.stimuli:
                self.session.inform("The curves that this hypothesis is made for are opened as the images; undo takes the hypothesis back.")
                self.session.open_images(found.stimuli)

    # ------------------------------------------------------------------------------------------------ running

    def _run_shown(self) -> None:
        if self.hypothesis is not None:
            self._run([self.hypothesis])

    def _run_all(self) -> None:
        self._run([one for one in self._known() if one.root.children])

    def _run(self, hypotheses: list[Hypothesis]) -> None:
        self._waiting = [*hypotheses]
        self._next()

    def _next(self) -> None:
        """Ask for the next hypothesis that waits, as it is now."""
        model, images = self.session.model, self.session.images
        known = [now for one in self._waiting if (now := present(self.session.project, one)) is not None]
        if not known or model is None or images is None:
            return
        self._running, self._waiting = known[0], known[1:]
        self.editor.refuse({})
        self.run.ask(RunAnalysis("CausalScrubbing", self._parameters(known[0]), model.ref, images.ref))

    def _parameters(self, hypothesis: Hypothesis) -> dict[str, Any]:
        """Return what is asked of the analysis with what is set now."""
        root = hypothesis.root
        given = {"hypothesis": json.dumps(root.document(), ensure_ascii=False), "rivals": list(hypothesis.rivals)}
        return given | self.editor.settings.parameters(cells=any(child.offsets for child in root.children))

    def _hear(self, text: str, wrong: bool) -> None:
        """Say how far it is; what went wrong at a node is said there, too."""
        hypothesis = present(self.session.project, self._running) if self._running is not None else None
        name = hypothesis.name if hypothesis is not None else ""
        if wrong and hypothesis is not None:
            at = [node.name for node in hypothesis.root.every() if text.startswith(f"{node.name}, ")]
            if at:
                worst = max(at, key=len)
                self._show(name)
                self.editor.refuse({worst: text.removeprefix(f"{worst}, ")})
        self._say(f"{name}: {text}" if len(self._known()) > 1 else text, wrong)
        if wrong or not self.run.running:
            self._waiting.clear()

    def _take(self, result: Result) -> None:
        assert self._running is not None
        self._results[key_of(self._running)] = result
        if (now := present(self.session.project, self._running)) is not None:
            self._last[now.name] = key_of(self._running)
        self._say("")
        self._show_result()
        self._next()

    def _result_of(self, hypothesis: Hypothesis) -> Result | None:
        """Return what came of a hypothesis as it is, or else of what was asked last under its name."""
        if (key := key_of(hypothesis)) in self._results:
            self._last[hypothesis.name] = key
        return self._results.get(self._last.get(hypothesis.name, ""))

    def _note(self, result: Result, shown: Hypothesis) -> str:
        """Say in what a result is not what a run would be now; nothing where it is the same."""
        now = self._parameters(shown)
        if [json.loads(result.parameters["hypothesis"]), list(result.parameters["rivals"])] != [shown.root.document(), now["rivals"]]:
            return "The hypothesis was changed since; run it again. As it was:"
        if any(result.parameters.get(name) != now[name] for name in ("read", "loss", "images", "examples", "seed")):
            return "Other examples, another loss or another part of the map are set now; run it again. As it was:"
        return ""

    def _show_result(self) -> None:
        shown = self.hypothesis
        result = self._result_of(shown) if shown is not None else None
        if result is None or shown is None:
            self.page.clear(INVITATION if shown is None else READY if shown.root.children else GROWING)
            return
        note = self._note(result, shown)
        known = [one for one in self._known() if one.name != self._name]
        others = {one.name: other for one in known if (other := self._result_of(one)) is not None}
        self.page.show_result(result, others, self._origin(result), note)
        wanted = self.page.wanted()
        model, images = self.session.model, self.session.images
        if wanted and model is not None and images is not None:
            self._fetched = FetchImages(images.ref, wanted, model.size, "scrubbed examples")
            self.session.relay.submit(self._fetched, self._take_pictures)

    def _take_pictures(self, event: JobEvent) -> None:
        if event.state == "done" and event.request is self._fetched and self.page.result is not None:
            self.page.take_pictures(event.request.indices, event.result, self._origin(self.page.result))

    def _origin(self, result: Result) -> dict[str, object]:
        given = result.provenance
        made = {name: given[name] for name in ("model", "weights", "images") if name in given}
        badge = {"badge": self.session.badge} if self.session.badge else {}
        address = str(replace(self.session.addresses.selected(), view=self.id))
        return {**made, "n": result.summary["images"], "hypothesis": self._name, "address": address, **badge}

    def _open_image(self, index: int) -> None:
        """Show a thumbnail's image to the network, as one that was dropped onto the window."""
        picture, images = self.page.picture(index), self.session.images
        if picture is not None and images is not None:
            self.session.open_image(picture, f"image {index} of {images.name}")

    def _say(self, text: str, wrong: bool = False) -> None:
        say(self.said, text, wrong)
        self.said.setVisible(bool(text))
        self._failed = wrong

    # ------------------------------------------------------------------------------------------------ the panel's contract

    def resizeEvent(self, event: Any) -> None:
        """Put the results below the hypothesis where there is no room beside it, and the fields beside the tree then."""
        super().resizeEvent(event)
        narrow = self.width() < NARROW
        if (self.splitter.orientation() == Qt.Orientation.Vertical) != narrow:
            self.splitter.setOrientation(Qt.Orientation.Vertical if narrow else Qt.Orientation.Horizontal)
            whole = self.height() if narrow else self.width()
            self.splitter.setSizes([whole * 45 // 100, whole * 55 // 100])
            self.editor.lay_out(narrow=narrow)

    def showEvent(self, event: Any) -> None:
        """Check what was not while nobody looked."""
        super().showEvent(event)
        self.editor.inspect()

    def save_state(self) -> dict[str, Any]:
        """Keep which hypothesis is shown, what is compared, and how much is drawn."""
        return {"hypothesis": self._wanted or self._name, **self.editor.settings.save_state()}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.editor.settings.restore_state(state)
        if isinstance(state.get("hypothesis"), str):
            self._wanted = state["hypothesis"]
            self._refresh()

    def views(self) -> list[View]:
        """What came of it."""
        return self.page.views()

    def commands(self) -> tuple[Command, ...]:
        """Offer from anywhere to bring a hypothesis in and to write the one that is shown."""
        return hypothesis_commands(self._ask_import, self._ask_export, self.file.out.isEnabled)
