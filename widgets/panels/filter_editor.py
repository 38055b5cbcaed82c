"""A unit's kernel written by hand: painted or made from a template, tried at once, kept as an edit, and what it recovers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from widgets.analysis_run import AnalysisRun
from widgets.badge import Badge
from widgets.buttons import push_button
from widgets.docks import Panel
from widgets.file_dialogs import ask_where_to_write
from widgets.kernel_stack_edit import push_kernel, remove_kernels, switch_kernel
from widgets.live_recovery import LiveRecovery
from widgets.scrolled import scrolled
from widgets.sight import in_sight
from widgets.template_form import TemplateForm
from widgets.theme import say
from widgets.views.kernel_view import KernelView
from widgets.views.recovery_bars import RecoveryBars
from widgets.views.response_plot import ResponsePlot
from workbench.jobs.kernel_requests import IMAGES, ExportNetwork, KernelCard, KernelOf, TryKernel
from workbench.jobs.requests import RunAnalysis
from workbench.kernel_edits import KernelEdit
from workbench.kernel_stack import from_project, stack_of
from workbench.models.layer import Unit
from workbench.recompute import of_result

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent

INVITATION = "Open a network and images and select a unit: its kernel is shown here, to be painted on or written from a template."
LIMITS = -1.0, 1.0


class FilterEditorPanel(Panel):
    """Follows the selected unit; every stroke and every field is an edit that can be taken back, and is tried on stimuli and images."""

    id: ClassVar[str] = "filter_editor"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._card: KernelCard | None = None
        self._asked: KernelOf | None = None
        self._tried: TryKernel | None = None
        self._places: list[int] = []  # of the rows of the list among the project's edits
        self._stack_of = ""  # whose kernels are listed
        self._build()
        session.model_changed.connect(lambda _card: self._on_network())
        session.images_changed.connect(lambda _card: self._on_network())
        session.unit_changed.connect(lambda _unit: self._renew())
        session.project_changed.connect(self._on_project)
        session.touched.connect(self._on_project)
        self._on_network()

    def _build(self) -> None:
        self.kernels = KernelView(self)
        self.kernels.painted.connect(lambda kernel: self._put(kernel, "", {}, "paint a kernel"))
        self.brush = QDoubleSpinBox(self, minimum=LIMITS[0], maximum=LIMITS[1], singleStep=0.1, value=1.0)
        self.brush.setAccessibleName("Brush")
        self.brush.setToolTip("Weight that painting gives: 1 is the full red of the scale, -1 its full blue, 0 nothing")
        self.brush.valueChanged.connect(lambda value: setattr(self.kernels, "brush", value))
        self.reset = push_button(self, "Own kernel", "Begin from the unit's own kernel again", self._begin_again)
        self.empty = push_button(self, "Empty", "Begin from a kernel of zeros", self._empty)
        self.responses = ResponsePlot(self)
        self.form = TemplateForm(self)
        self.form.written.connect(lambda name, values, kernel: self._put(kernel, name, values, f"write a {name.replace('_', ' ')}"))
        self.form.previewed.connect(self._preview)
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.stack = QListWidget(self)
        self.stack.setAccessibleName("Kernels written by hand")
        self.stack.setToolTip("Kernels of this network written by hand; those that are ticked are applied")
        self.stack.itemChanged.connect(self._switch)
        self.stack.itemActivated.connect(self._go_to)
        self.remove = push_button(self, "Remove", "Take the chosen kernels off the stack", self._remove)
        self.stack.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        self.recover = push_button(self, "Recover", "Measure how much of the performance the ticked kernels bring back", self._recover)
        self.run = AnalysisRun(self, "Measuring", "Stop measuring")
        self.run.said.connect(self._say)
        self.run.done.connect(self._take_recovered)
        self.export = push_button(self, "Export network…", "Write the network with the ticked kernels as safetensors", self._ask_file)
        self.bars = RecoveryBars(self)
        self.recovery = LiveRecovery(self.session, self)
        tools = QHBoxLayout()
        tools.setContentsMargins(6, 2, 6, 2)
        for widget in (QLabel("brush", self), self.brush, self.reset, self.empty):
            tools.addWidget(widget)
        tools.addStretch(1)
        left = QWidget(self)
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.kernels, 3)
        column.addLayout(tools)
        column.addWidget(self.responses, 2)
        column.addWidget(self.recovery)
        column.addWidget(self.bars)
        fields = scrolled(self.form, self)
        right = QWidget(self)
        side = QVBoxLayout(right)
        side.setContentsMargins(0, 0, 0, 0)
        side.addWidget(fields, 3)
        side.addWidget(QLabel("Written by hand, of this network:", self))
        side.addWidget(self.stack, 2)
        for pair in ((self.recover, self.run.cancel), (self.remove, self.export)):
            line = QHBoxLayout()
            for button in pair:
                line.addWidget(button)
            side.addLayout(line)
        self.splitter = QSplitter(Qt.Orientation.Horizontal, self)
        self.splitter.addWidget(left)
        self.splitter.addWidget(right)
        self.splitter.setSizes([560, 260])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addWidget(Badge(self.session, self))
        whole.addWidget(self.said)
        whole.addWidget(self.splitter, 1)

    # ------------------------------------------------------------------------------------------------ the unit

    @property
    def _model(self) -> str:
        unit = self.session.unit  # a kernel is of the network alone, unless it is one of the directions'
        return self.session.owner(unit.layer) if unit is not None else self.session.project_ref

    def _on_network(self) -> None:
        """Forget what was measured on another network or other images."""
        self._asked = None
        self._forget_recovered()
        self._fill_stack()
        self._renew()

    def _renew(self) -> None:
        """Ask for the kernel of the selected unit, if somebody is looking."""
        unit = self.session.unit
        if self._model != self._stack_of:
            self._fill_stack()
        if not self._model or unit is None:
            self._forget(INVITATION)
            return
        wanted = KernelOf(self._model, unit)
        if wanted == self._asked or not in_sight(self):
            return
        self._forget("")
        self._asked = wanted
        self._say(f"Reading the kernel of {unit} …")
        self.session.relay.submit(wanted, self._take_kernel)

    def _forget(self, message: str) -> None:
        self._card, self._asked, self._tried = None, None, None
        self.kernels.clear(message)
        self.responses.clear("")
        self.form.show_ground(None)
        for button in (self.reset, self.empty):
            button.setEnabled(False)
        self._say("")

    def _take_kernel(self, event: JobEvent) -> None:
        if event.request is not self._asked:
            return
        if event.state == "failed":
            self.kernels.clear(event.error)
            self._say("")
        elif event.state == "progress" and event.total:
            self._say(f"{event.note or 'Measuring'}: {event.done / event.total:.0%}")
        elif event.state == "done":
            assert isinstance(event.result, KernelCard)
            self._card = event.result
            self.form.show_ground(self._card.ground)
            for button in (self.reset, self.empty):
                button.setEnabled(True)
            self._show_kernel()

    def _mine(self) -> KernelEdit | None:
        """Return the edit of the selected unit, whether it is applied or not."""
        card, project = self._card, self.session.project
        if card is None:
            return None
        own = [e for e in project.edits if e.model == self._model and Unit(e.layer, e.unit) in (card.unit, card.place)]
        return from_project(project, own[-1]) if own else None

    def _show_kernel(self) -> None:
        """Show the kernel before and after, and try it."""
        card, edit = self._card, self._mine()
        if card is None:
            return
        hand = card.kernel if edit is None else edit.kernel
        self._draw(card, hand)
        self._show_template(edit)
        self._try(hand)

    def _draw(self, card: KernelCard, hand: np.ndarray) -> None:
        """Show the own kernel and one by hand."""
        colours = ("red", "green", "blue") if card.ground.channels == 3 else ("grey",)
        names = colours if card.ground.over == "pixels" else tuple(self._name(c) for c in range(card.ground.channels))
        self.kernels.show_kernels(card.kernel, hand, names, title=f"{card.unit} reads {card.reads}", made_from=self._origin())

    def _show_template(self, edit: KernelEdit | None) -> None:
        self.form.show_template(edit.template if edit is not None else "", dict(edit.parameters) if edit is not None else {})

    def _name(self, channel: int) -> str:
        assert self._card is not None
        angle = self._card.ground.angles[channel] if len(self._card.ground.angles) else np.nan
        return str(channel) if np.isnan(angle) else f"{channel} {angle:.0f}°"

    # ------------------------------------------------------------------------------------------------ writing

    def _put(self, kernel: np.ndarray, name: str, values: dict[str, float], text: str) -> None:
        """Make a kernel the unit's edit."""
        card = self._card
        if card is None:
            return
        if name:
            kernel = _as_long(kernel, card.kernel)
        # A kernel that stands on the stack already keeps the name it has there, whichever layer shows it now.
        mine = self._mine()
        place = card.place if mine is None else Unit(mine.layer, mine.unit)
        edit = KernelEdit(place.layer, place.index, kernel, card.bias if card.shifts else 0.0, name, values)
        push_kernel(self.session, self._model, edit, text)

    def _preview(self, kernel: np.ndarray | None) -> None:
        """Show a kernel while a handle is held, or what is written where it came to nothing; an edit is made when it is let go."""
        card = self._card
        if card is not None and kernel is not None:
            self._draw(card, _as_long(kernel, card.kernel))
        elif card is not None:
            edit = self._mine()
            self._draw(card, card.kernel if edit is None else edit.kernel)

    def _begin_again(self) -> None:
        if self._card is not None:
            self._put(self._card.kernel, "", {}, "begin from the own kernel")

    def _empty(self) -> None:
        if self._card is not None:
            self._put(np.zeros_like(self._card.kernel), "", {}, "empty a kernel")

    def _try(self, kernel: np.ndarray) -> None:
        """Ask what the kernel does in the unit's place."""
        card, images = self._card, self.session.images
        if card is None or images is None:
            self.responses.clear("Open images to see what the kernel does on them.")
            return
        edit = KernelEdit(card.unit.layer, card.unit.index, kernel)
        self._tried = TryKernel(self._model, images.ref, card.unit, edit.document())
        self._say("Trying it on images …")
        self.session.relay.submit(self._tried, self._take_trial)

    def _take_trial(self, event: JobEvent) -> None:
        if event.request is not self._tried or self._card is None:
            return
        if event.state == "failed":
            self._say(event.error, wrong=True)
        elif event.state == "progress" and event.total:
            self._say(f"{event.note}: {event.done / event.total:.0%}")
        elif event.state == "done":
            trial = event.result
            alike = "unknown" if np.isnan(trial.correlation) else f"{trial.correlation:.3f}"
            fitted = f"scale {trial.scale:.3g}, offset {trial.offset:.3g} fitted on one half of {trial.images:,} images"
            note = f"correlation with the own unit {alike}, R² {trial.r2:.2f} on the other half"
            title, made = f"{self._card.unit} and by hand (largest output)", self._origin(n=trial.images)
            self.responses.show_responses(trial.curves, trial.own, trial.hand, title=title, note=note, made_from=made)
            self._say(f"Correlation with the own unit {alike} · {fitted}.")

    # ------------------------------------------------------------------------------------------------ the stack

    def _on_project(self) -> None:
        """Show what the project says now: an edit was made, taken back or switched."""
        shown, edit = self.kernels.hand, self._mine()
        self._fill_stack()
        if self.run.request is not None and self.run.request.parameters["edits"] != self._documents():
            self._forget_recovered()
        if self._card is not None and shown.size:
            wanted = self._card.kernel if edit is None else edit.kernel
            if wanted.shape != shown.shape or not np.array_equal(wanted, shown):
                self._show_kernel()
            elif not np.array_equal(self._tried_kernel(), wanted):  # painted, so it is what the fields say no more
                self._show_template(edit)
                self._try(wanted)

    def _tried_kernel(self) -> np.ndarray:
        return KernelEdit.from_document(self._tried.edit).kernel if self._tried is not None else np.zeros(0, np.float32)

    def _fill_stack(self) -> None:
        edits, self._stack_of = self.session.project.edits, self._model
        self._places = [place for place, edit in enumerate(edits) if edit.model == self._model and self._model]
        self.stack.blockSignals(True)
        self.stack.clear()
        for place in self._places:
            edit = edits[place]
            item = QListWidgetItem(f"{edit.layer}:{edit.unit}  {edit.label or edit.template.replace('_', ' ') or 'painted'}", self.stack)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if edit.enabled else Qt.CheckState.Unchecked)
        self.stack.blockSignals(False)
        on = any(edits[place].enabled for place in self._places)
        self.recover.setEnabled(on and self.session.images is not None)
        self._recover_live()
        self.export.setEnabled(on)
        self.remove.setEnabled(bool(self._places))

    def _switch(self, item: QListWidgetItem) -> None:
        switch_kernel(self.session, self._places[self.stack.row(item)], item.checkState() == Qt.CheckState.Checked)

    def _go_to(self, item: QListWidgetItem) -> None:
        edit = self.session.project.edits[self._places[self.stack.row(item)]]
        try:
            self.session.select_unit(Unit(edit.layer, edit.unit))
        except ValueError as error:
            self.session.report(str(error))

    def _remove(self) -> None:
        chosen = [self._places[self.stack.row(item)] for item in self.stack.selectedItems()]
        if chosen:
            remove_kernels(self.session, chosen)
        elif self._places:
            self.session.inform("Choose kernels in the list first.")

    # ------------------------------------------------------------------------------------------------ what it recovers

    def _documents(self) -> tuple[dict[str, Any], ...]:
        return tuple(edit.document() for edit in stack_of(self.session.project, self._model))

    def _recover(self) -> None:
        images = self.session.images
        if images is None or not self._documents():
            return
        self._forget_recovered()
        asked = {"edits": self._documents(), "images": IMAGES}  # as many as the line below is of
        self.run.ask(RunAnalysis("HandCoding", asked, self._model, images.ref))

    def _recover_live(self) -> None:
        """Let the line below follow what is applied, while somebody is looking."""
        images = self.session.images
        if in_sight(self):
            self.recovery.follow(self._model, images.ref if images is not None else "", self._documents())

    def _forget_recovered(self) -> None:
        """Show no recovery, and stop what measures one."""
        if self.run.running:
            self._say("")
        self.run.forget()
        self.bars.clear()

    def _take_recovered(self, result: Result) -> None:
        number = len(result.summary["units"])
        title = f"{number} kernel{'s' if number > 1 else ''} by hand"
        made = self._origin(n=result.summary["images"])
        self.bars.show_recovered(result.summary, result.arrays["shuffled_recovered"], title=title, made_from=made)
        self.bars.recomputation = of_result(result)
        self._say(tested(result.summary))

    # ------------------------------------------------------------------------------------------------ files, and the panel's contract

    def _ask_file(self) -> None:
        ask_where_to_write(self, "Export the network", "by-hand.safetensors", "Weights (*.safetensors)", self.write_network)

    def write_network(self, path: str) -> None:
        """Write the network with the ticked kernels, and say so."""
        images = self.session.images
        fitted_on = images.ref if images is not None else ""
        self.session.relay.submit(ExportNetwork(self._model, self._documents(), path, fitted_on), self._take_written)

    def _take_written(self, event: JobEvent) -> None:
        if event.state == "failed":
            self.session.report(event.error, event.details)
        elif event.state == "done":
            made = event.result
            how = f"scale and offset fitted on {made.fitted_on} images, as Recover scores them" if made.fitted_on else "kernels as written"
            self.session.inform(f"Written: {made.path} ({how}); {made.card} says what was edited.")

    def _origin(self, **more: object) -> dict[str, object]:
        model, images = self.session.model, self.session.images
        address = str(replace(self.session.addresses.selected(), view=self.id))
        weights = model.weight_hash if model is not None else ""
        return {"model": self._model, "weights": weights, "images": images.ref if images is not None else "", "address": address, **more}

    def _say(self, text: str, wrong: bool = False) -> None:
        say(self.said, text, wrong)
        self.said.setVisible(bool(text))

    def showEvent(self, event: Any) -> None:
        """Look at a unit that was selected meanwhile."""
        super().showEvent(event)
        self._renew()
        self._recover_live()

    def save_state(self) -> dict[str, Any]:
        """Keep the brush."""
        return {"brush": self.brush.value()}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        value = state.get("brush")
        self.brush.setValue(value if isinstance(value, float) and LIMITS[0] <= value <= LIMITS[1] else 1.0)

    def views(self) -> list[View]:
        """The kernels, the responses, and what is recovered."""
        shown: list[View] = [self.kernels, self.responses] if self._card is not None and self.responses.data() else []
        return shown + ([self.bars] if self.bars.data() else [])


def _as_long(kernel: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return a kernel from a template as long as the own one, to be seen on one scale; how strong it is to be is fitted."""
    length = float(np.linalg.norm(kernel))
    return kernel * (float(np.linalg.norm(own)) / length or 1.0) if length else kernel


def tested(summary: Mapping[str, Any]) -> str:
    """Say what McNemar's tests of which images are right give; empty where nothing was recovered or lost."""
    if not summary.get("mcnemar"):
        return ""
    with_hand, of_full = (summary["mcnemar"][name]["p"] for name in ("hand_ablated", "full_hand"))
    return f"McNemar's test: by hand against ablated p = {with_hand:.2g}, against the network's own kernels p = {of_full:.2g}."
