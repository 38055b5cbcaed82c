"""Scrubbing: what units are claimed to compute from what, as a tree that is edited, tested by resampling all that should not matter."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QLineEdit, QSpinBox, QSplitter, QVBoxLayout, QWidget

from widgets.analysis_run import AnalysisRun
from widgets.badge import Badge
from widgets.buttons import push_button
from widgets.docks import Panel
from widgets.hypothesis_edit import add_hypothesis, change_hypothesis, delete_hypothesis, named
from widgets.project_edit import UndoKeys
from widgets.scrubbing.hypothesis_source import POOLED, NewButton, selected_node
from widgets.scrubbing.hypothesis_tree import HypothesisTree, occupied
from widgets.scrubbing.node_form import NodeForm
from widgets.scrubbing.result_page import ResultPage
from widgets.theme import say
from workbench.circuit_hypothesis import pooled
from workbench.input_error import InputError
from workbench.jobs.requests import FetchImages, RunAnalysis
from workbench.jobs.scrubbing_requests import FindCurveHypothesis, InspectHypothesis

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.hypothesis import Hypothesis, Node, NodeCard
    from workbench.jobs.job import JobEvent

INVITATION = (
    "Open a network and images and select a unit; then New, and say what it is computed from. Or begin from the circuit that is open, "
    "or from a curve detector, whose hypothesis is measured."
)
READY = "Run resamples everything that the hypothesis says does not matter, node after node, beside rivals and nulls."
READS = {"centre": "the middle", "largest": "the largest", "mean": "the mean", "values": "all values"}
SEED = 0
NARROW = 900
"""Pixels of width below which hypothesis and results stand above one another."""


class ScrubbingPanel(Panel):
    """Keeps hypotheses of the investigation side by side; every change can be taken back, and is checked at once at its node."""

    id: ClassVar[str] = "scrubbing"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._name = self._node = ""
        self._cards: dict[str, NodeCard] = {}
        self._wrong: dict[str, str] = {}
        self._results: dict[str, Result] = {}
        self._waiting: list[str] = []
        self._running = ""
        self._inspected: InspectHypothesis | None = None
        self._trial: InspectHypothesis | None = None
        self._curve: FindCurveHypothesis | None = None
        self._fetched: FetchImages | None = None
        self._build()
        self._say("")
        session.model_changed.connect(lambda _card: self._say(""))
        session.model_changed.connect(lambda _card: self._on_data())
        session.images_changed.connect(lambda _card: self._on_data())
        session.unit_changed.connect(lambda _unit: self._offer())
        session.selection_changed.connect(lambda _units: self._offer())
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
        self.new = NewButton(self.session, self._add, self._ask_curve, lambda why: self._say(why, wrong=True), self)
        self.delete = push_button(self, "Delete", "Take this hypothesis out of the investigation", self._delete)
        self.start = push_button(self, "Run", "Scrub this hypothesis over the open images", lambda: self._run([self._name]))
        self.start_all = push_button(self, "Run all", "Scrub every hypothesis of this network, to compare them", self._run_all)
        self.run = AnalysisRun(self, "Scrubbing", "Stop")
        self.run.in_place_of(self.start)
        self.run.said.connect(self._hear)
        self.run.done.connect(self._take)
        self.read = QComboBox(self)
        for name, text in READS.items():
            self.read.addItem(text, name)
        self.read.setAccessibleName("What of the root's map is compared")
        self.read.setToolTip("What of the root's map is compared; with cells below it, it is the middle")
        self.images = QSpinBox(self, minimum=8, maximum=100_000, value=1000)
        self.images.setAccessibleName("Images")
        self.images.setToolTip("Images of the open set that are drawn from, at most")
        self.examples = QSpinBox(self, minimum=16, maximum=100_000, value=256)
        self.examples.setAccessibleName("Examples")
        self.examples.setToolTip("Examples that are scrubbed; more make narrower intervals and take longer")
        self.images.editingFinished.connect(self._inspect)
        self.rivals = QLineEdit(self, placeholderText="NAME=FEATURE; *=FEATURE")
        self.rivals.setAccessibleName("Rivals")
        self.rivals.setToolTip(
            "Other features that the hypothesis is compared with, separated by semicolons:\n"
            "lines=orientation / 8 for the node lines, *=activation / 5 for all nodes"
        )
        self.rivals.editingFinished.connect(self._set_rivals)
        UndoKeys(self.session, self.rivals, self.chooser.lineEdit(), own_first=True)
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.about = QLabel(self, wordWrap=True)
        self.about.setMargin(4)
        self.tree = HypothesisTree(self)
        self.tree.chosen.connect(self._choose)
        self.form = NodeForm(self.session, self)
        self.form.edited.connect(self._edit)
        self.form.tried.connect(self._try)
        self.form.selection_wanted.connect(self._take_selection)
        self.child = push_button(self, "Add child", "Put what is selected below the chosen node, as one node", self._add_child)
        self.each = push_button(self, "One each", "Put every selected unit below the chosen node, as a node of its own", self._add_each)
        self.remove = push_button(self, "Remove", "Take the chosen node away, and all below it", self._remove)
        self.pool = push_button(
            self, "Pool", f"Take leaves of one layer and feature together, until no node has more than {POOLED} children", self._pool
        )
        self.page = ResultPage(self)
        self.page.node_chosen.connect(self.tree.choose)
        self.page.example_chosen.connect(lambda _place: self._show_result())
        self.page.image_chosen.connect(self._open_image)
        bar = self._line(QLabel("Hypothesis", self), self.chooser, self.new, self.delete, None, self.start, self.run.cancel, self.start_all)
        bar.setStretch(1, 1)
        upper, lower = QWidget(self), QWidget(self)
        column = QVBoxLayout(upper)
        column.addWidget(self.tree, 1)
        column.addLayout(self._line(self.child, self.each, self.remove, self.pool, None))
        fields = QVBoxLayout(lower)
        fields.addWidget(self.form)
        fields.addLayout(self._line(QLabel("Rivals", self), self.rivals))
        fields.addLayout(self._line(QLabel("Compare", self), self.read, QLabel("of the root on", self), None))
        fields.addLayout(self._line(self.examples, QLabel("examples of at most", self), self.images, QLabel("images", self), None))
        fields.addStretch(1)
        for layout in (column, fields):
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setSpacing(2)
        self.editor = QSplitter(Qt.Orientation.Vertical, self)
        for part, stretch in ((upper, 1), (lower, 0)):
            self.editor.addWidget(part)
            self.editor.setStretchFactor(self.editor.count() - 1, stretch)
        self.splitter = QSplitter(Qt.Orientation.Horizontal, self)
        for part in (self.editor, self.page):
            self.splitter.addWidget(part)
        for splitter in (self.editor, self.splitter):
            splitter.setChildrenCollapsible(False)
        self.splitter.setSizes([470, 530])
        self.editor.setSizes([1000, 1])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addLayout(bar)
        whole.addWidget(Badge(self.session, self))
        whole.addWidget(self.about)
        whole.addWidget(self.said)
        whole.addWidget(self.splitter, 1)

    def _line(self, *widgets: QWidget | None) -> QHBoxLayout:
        line = QHBoxLayout()
        line.setContentsMargins(6, 3, 6, 3)
        line.setSpacing(5)
        for widget in widgets:
            if widget is None:
                line.addStretch(1)
            else:
                line.addWidget(widget)
        return line

    # ------------------------------------------------------------------------------------------------ which hypothesis

    @property
    def hypothesis(self) -> Hypothesis | None:
        """The hypothesis that is shown, as the investigation has it."""
        return named(self.session.project, self._name)

    def _known(self) -> list[Hypothesis]:
        model = self.session.model
        return [one for one in self.session.project.hypotheses if model is not None and one.model in ("", model.ref)]

    def _on_project(self) -> None:
        self._results.clear()
        self._refresh()

    def _on_data(self) -> None:
        """Another network or other images: results of before are of something else."""
        self.run.forget()
        self._results.clear()
        self._waiting.clear()
        self._wrong.clear()
        self._cards.clear()
        images = self.session.images
        columns = {} if images is None else dict(images.columns)
        self.form.show_columns(columns)
        known = ", ".join(f"{name} ({values})" for name, values in columns.items() if values > 1)
        self.about.setText(
            "" if images is None
            else f"Features of these images: {known}." if known
            else "Nothing is known of these images but what units do: claim activation / 2 or / 5, or open stimuli."
        )  # fmt: skip
        self.about.setVisible(bool(self.about.text()))
        self._refresh()

    def _show(self, name: str) -> None:
        self._name, self._node = name, ""
        self._cards.clear()
        self._wrong.clear()
        self._refresh()

    def _refresh(self) -> None:
        """Show what the investigation has now."""
        known = self._known()
        names = [one.name for one in known]
        if self._name not in names:
            self._name = names[-1] if names else ""
            self._cards.clear()
            self._wrong.clear()
        with QSignalBlocker(self.chooser):
            self.chooser.clear()
            self.chooser.addItems(names)
            self.chooser.setCurrentIndex(names.index(self._name) if self._name else -1)
            self.chooser.setEditText(self._name)
        shown = self.hypothesis
        self._node = self._node if shown is not None and any(n.name == self._node for n in shown.root.every()) else ""
        self.tree.show_hypothesis(shown, self._node)
        self._node = self.tree.current
        self.tree.mark(self._cards, self._wrong)
        self.rivals.setText("; ".join(shown.rivals) if shown is not None else "")
        self._show_node()
        self._offer()
        self._show_result()
        self._inspect()

    def _offer(self) -> None:
        """Let only be done what can be."""
        shown, ready = self.hypothesis, self.session.model is not None and self.session.images is not None
        selected = bool(self.session.selection) or self.session.unit is not None
        for button, can in (
            (self.start, ready and shown is not None and bool(shown.root.children)),
            (self.start_all, ready and len(self._known()) > 1),
            (self.delete, shown is not None),
            (self.child, shown is not None and selected),
            (self.each, shown is not None and len(self.session.selection) > 1),
            (self.remove, shown is not None and self._node not in ("", shown.root.name)),
            (self.pool, shown is not None and any(len(node.children) > POOLED for node in shown.root.every())),
            (self.form.take, shown is not None and selected),
        ):
            button.setEnabled(can)
        for widget in (self.rivals, self.chooser):
            widget.setEnabled(shown is not None)
        self.editor.setVisible(shown is not None)

    # ------------------------------------------------------------------------------------------------ editing

    def _add(self, hypothesis: Hypothesis, text: str) -> None:
        self._name = add_hypothesis(self.session, hypothesis, text).name
        self._show(self._name)

    def _change(self, after: Hypothesis, text: str) -> bool:
        """Put another version in the place of what is shown; say so where that cannot be."""
        before = self.hypothesis
        if before is None:
            return False
        self._wrong.clear()
        self._name = after.name
        try:
            change_hypothesis(self.session, before, after, text)
        except InputError as error:
            self._name = before.name
            self._say(str(error), wrong=True)
            return False
        return True

    def _rename(self) -> None:
        shown, text = self.hypothesis, " ".join(self.chooser.currentText().split())
        if shown is None or text == shown.name or text in [one.name for one in self._known()]:
            return
        if shown.name in self._results:
            self._results[text] = self._results[shown.name]
        if not self._change(replace(shown, name=text), f"rename {shown.name}"):
            self.chooser.setEditText(shown.name)

    def _delete(self) -> None:
        if self.hypothesis is not None:
            delete_hypothesis(self.session, self.hypothesis)

    def _edit(self, name: str, after: Node) -> None:
        """Take what was written into the fields of a node."""
        shown = self.hypothesis
        if shown is None:
            return
        self._node = after.name
        try:
            changed = shown.changed(name, lambda _node: after)
        except InputError as error:
            self._node = name
            self.form.say(str(error), wrong=True)
            return
        self._change(changed, f"change the node {name}")

    def _take_selection(self) -> None:
        shown, selected = self.hypothesis, selected_node(self.session)
        if shown is not None and selected is not None and self._node:
            node = shown.node(self._node)
            self._edit(self._node, replace(node, units=selected.units))

    def _add_child(self) -> None:
        selected = selected_node(self.session)
        if selected is not None:
            self._add_nodes([selected])

    def _add_each(self) -> None:
        layer = self.session.layer
        first = selected_node(self.session)
        if first is not None:
            self._add_nodes([replace(first, name=f"{layer}:{unit}", units=f"{layer}:{unit}") for unit in self.session.selection])

    def _add_nodes(self, nodes: list[Node]) -> None:
        shown = self.hypothesis
        if shown is None or not self._node:
            return
        parent, after = self._node, shown
        try:
            for node in nodes:
                added = replace(node, name=after.free_name(node.name))
                after = after.with_child(parent, added)
        except InputError as error:
            self._say(str(error), wrong=True)
            return
        self._node = added.name if len(nodes) == 1 else parent
        self._change(after, f"add {added.name}" if len(nodes) == 1 else f"add {len(nodes)} nodes")

    def _remove(self) -> None:
        shown = self.hypothesis
        if shown is not None and self._node and (above := shown.parent(self._node)) is not None:
            gone, self._node = self._node, above.name
            self._change(shown.without(gone), f"remove {gone}")

    def _pool(self) -> None:
        if self.hypothesis is not None:
            self._change(pooled(self.hypothesis, POOLED), "pool children")

    def _set_rivals(self) -> None:
        shown = self.hypothesis
        if shown is not None:
            self._change(replace(shown, rivals=tuple(filter(None, map(str.strip, self.rivals.text().split(";"))))), "change the rivals")

    def _choose(self, name: str) -> None:
        self._node = name
        self._show_node()
        self._offer()

    def _show_node(self) -> None:
        shown = self.hypothesis
        node = shown.node(self._node) if shown is not None and self._node else None
        self.form.show_node(node, is_root=node is not None and shown is not None and node is shown.root)
        self._say_of_node()

    def _say_of_node(self) -> None:
        card = self._cards.get(self._node)
        reason = self._wrong.get(self._node) or (f"{card.field}: {card.reason}" if card is not None and card.reason else "")
        if reason:
            self.form.say(reason, wrong=True)
        elif card is not None and card.labels:
            self.form.say(occupied(card))
        else:
            self.form.say("")

    # ------------------------------------------------------------------------------------------------ the curve hypothesis

    def _ask_curve(self) -> None:
        model, unit = self.session.model, self.session.unit
        if model is not None and unit is not None:
            self._curve = FindCurveHypothesis(model.ref, unit)
            self._say(f"Showing lines and curves to {unit} and the layers before it …")
            self.session.relay.submit(self._curve, self._take_curve)

    def _take_curve(self, event: JobEvent) -> None:
        if event.request is not self._curve:
            return
        if event.state == "failed":
            self._say(event.error, wrong=True)
        elif event.state == "cancelled":
            self._say("Cancelled.")
        elif event.state == "done":
            found = event.result
            self._add(found.hypothesis, f"the curve hypothesis of {self._curve.unit}")
            self._say(found.about)
            images = self.session.images
            if images is None or images.ref != found.stimuli:
                self.session.inform("The curves that this hypothesis is made for are opened as the images; undo takes the hypothesis back.")
                self.session.open_images(found.stimuli)

    # ------------------------------------------------------------------------------------------------ checking

    def _inspection(self, root: Node) -> InspectHypothesis | None:
        model, images = self.session.model, self.session.images
        if model is None:
            return None
        return InspectHypothesis(model.ref, images.ref if images is not None else "", root, self.images.value(), SEED)

    def _inspect(self) -> None:
        """Have the worker look for what is wrong, if somebody is looking."""
        shown = self.hypothesis
        wanted = self._inspection(shown.root) if shown is not None else None
        self._trial = None
        if wanted is None or not self.isVisible():
            self._inspected = None
        elif wanted != self._inspected:
            self._inspected = wanted
            self.session.relay.submit(wanted, self._take_cards)

    def _try(self, node: Node) -> None:
        """Count the labels of a feature that is being typed."""
        shown = self.hypothesis
        if shown is None:
            return
        try:
            self._trial = self._inspection(shown.changed(self._node, lambda _old: node).root)
        except InputError as error:
            self.form.say(str(error), wrong=True)
            return
        if self._trial is not None:
            self._inspected = None  # the newest wins: what is in the investigation is looked at again when it changes
            self.session.relay.submit(self._trial, self._take_cards)

    def _take_cards(self, event: JobEvent) -> None:
        if event.state == "failed" and event.request is self._inspected:
            self._say(event.error, wrong=True)
        if event.state != "done":
            return
        if event.request is self._inspected:
            self._cards = {card.name: card for card in event.result}
            self.tree.mark(self._cards, self._wrong)
            self._say_of_node()
        elif event.request is self._trial:
            card = next((one for one in event.result if one.name == self._node), None)
            if card is not None:
                self.form.say(f"{card.field}: {card.reason}" if card.reason else occupied(card) if card.labels else "", bool(card.reason))

    # ------------------------------------------------------------------------------------------------ running

    def _run_all(self) -> None:
        self._run([one.name for one in self._known() if one.root.children])

    def _run(self, names: list[str]) -> None:
        self._waiting = [*names]
        self._next()

    def _next(self) -> None:
        model, images = self.session.model, self.session.images
        if not self._waiting or model is None or images is None:
            return
        self._running = self._waiting.pop(0)
        hypothesis = named(self.session.project, self._running)
        if hypothesis is None:
            self._next()
            return
        parameters = {
            "hypothesis": json.dumps(hypothesis.root.document(), ensure_ascii=False),
            "rivals": list(hypothesis.rivals),
            "read": "centre" if any(child.offsets for child in hypothesis.root.children) else self.read.currentData(),
            "images": self.images.value(),
            "examples": self.examples.value(),
            "seed": SEED,
        }
        self._wrong.clear()
        self.tree.mark(self._cards, self._wrong)
        self.run.ask(RunAnalysis("CausalScrubbing", parameters, model.ref, images.ref))

    def _hear(self, text: str, wrong: bool) -> None:
        """Say how far it is; what went wrong at a node is said there, too."""
        before = f"{self._running}: " if self._waiting or len(self._known()) > 1 else ""
        self._say(f"{before}{text}", wrong)
        hypothesis = named(self.session.project, self._running)
        if wrong and hypothesis is not None:
            at = [node.name for node in hypothesis.root.every() if text.startswith(f"{node.name}, ")]
            if at:
                worst = max(at, key=len)
                if self._running != self._name:
                    self._show(self._running)
                self._wrong = {worst: text.removeprefix(f"{worst}, ")}
                self.tree.mark(self._cards, self._wrong)
                self.tree.choose(worst)
                self._choose(worst)
        if wrong or not self.run.running:
            self._waiting.clear()

    def _take(self, result: Result) -> None:
        self._results[self._running] = result
        self._say("")
        if self._running == self._name or not self._waiting:
            self._show_result()
        self._next()

    def _show_result(self) -> None:
        result, shown = self._results.get(self._name), self.hypothesis
        if result is None or shown is None:
            ready = self.session.model is not None and self.session.images is not None and shown is not None
            self.page.clear(READY if ready and shown is not None and shown.root.children else "" if shown is not None else INVITATION)
            return
        stale = json.loads(result.parameters["hypothesis"]) != shown.root.document()
        note = "The hypothesis was changed since; run it again. As it was:" if stale else ""
        known = {one.name for one in self._known()}
        others = {name: other for name, other in self._results.items() if name != self._name and name in known}
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

    # ------------------------------------------------------------------------------------------------ the panel's contract

    def resizeEvent(self, event: Any) -> None:
        """Put the results below the hypothesis where there is no room beside it, and the fields beside the tree then."""
        super().resizeEvent(event)
        narrow = self.width() < NARROW
        across, down = Qt.Orientation.Horizontal, Qt.Orientation.Vertical
        if (self.splitter.orientation() == down) != narrow:
            self.splitter.setOrientation(down if narrow else across)
            self.editor.setOrientation(across if narrow else down)
            self.splitter.setSizes([45, 55])
            self.editor.setSizes([50, 50] if narrow else [1000, 1])

    def showEvent(self, event: Any) -> None:
        """Check what was not while nobody looked."""
        super().showEvent(event)
        self._inspect()

    def save_state(self) -> dict[str, Any]:
        """Keep which hypothesis is shown, and how much is drawn."""
        numbers = {"images": self.images.value(), "examples": self.examples.value(), "read": self.read.currentData()}
        return {"hypothesis": self._name, **numbers}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        for name, box in (("images", self.images), ("examples", self.examples)):
            if isinstance(state.get(name), int):
                box.setValue(state[name])
        self.read.setCurrentIndex(max(0, self.read.findData(state.get("read"))))
        if isinstance(state.get("hypothesis"), str):
            self._show(state["hypothesis"])

    def views(self) -> list[View]:
        """What came of it."""
        return self.page.views()
