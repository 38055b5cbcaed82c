"""Activation patching: what carries the difference between two images, as views of the same patches beside their null."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout

from widgets.analysis_run import AnalysisRun
from widgets.badge import Badge
from widgets.buttons import push_button
from widgets.docks import Panel
from widgets.file_dialogs import ask_where_to_write
from widgets.patching.results import PatchingResults
from widgets.patching.settings import PatchingSettings
from widgets.patching.words import about
from widgets.scrolled import scrolled
from widgets.theme import say
from workbench.input_error import InputError
from workbench.jobs.requests import FetchImages, RunAnalysis
from workbench.models.layer import Unit
from workbench.patching_table import write_table
from workbench.unit_families import find_family

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent

INVITATION = (
    "Open a network and images. Then Run puts parts of what the network computed on one image into its run on another, and shows here "
    "which of them carry the difference."
)
LONGEST_PAUSE = 3000
"""Milliseconds, at most, between two partial results."""
READY = "Run estimates every part by attribution at once, then patches them one by one, in both directions, beside unrelated images."


class PatchingPanel(Panel):
    """Runs when it is told to; what is found is shown while it is found, and stays when it is cancelled."""

    id: ClassVar[str] = "patching"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._result: Result | None = None
        self._before: FetchImages | None = None
        self._pause = 0
        self._build()
        session.model_changed.connect(lambda _card: self._forget())
        session.images_changed.connect(lambda _card: self._forget())
        session.pair_changed.connect(self._on_pair)
        session.unit_changed.connect(self._on_unit)
        self._forget()

    def _build(self) -> None:
        self.settings = PatchingSettings(self.session, self)
        self.start = push_button(self, "Run", "Estimate and patch all parts (attribution first)", self._start)
        self.run = AnalysisRun(self, "Patching", "Stop; what was found stays")
        self.run.in_place_of(self.start)
        self.run.said.connect(self._on_said)
        self.run.shown.connect(self._on_shown)
        self.run.done.connect(self._take)
        self.run.cancelled.connect(self._on_cancelled)
        self._newest: Result | None = None  # the partial result that is shown next: older ones are dropped
        self._soon = QTimer(self, singleShot=True)
        self._soon.timeout.connect(self._show_newest)
        self.save = push_button(self, "Save table…", "Write all patches as CSV or Parquet", self._ask_file)
        self.progress = QLabel(self)
        self.fold = push_button(self, "Hide settings", "Make room for the results", self._fold)
        bar = QHBoxLayout()
        bar.setContentsMargins(6, 0, 6, 2)
        for widget in (self.start, self.run.cancel, self.settings.twin):
            bar.addWidget(widget)
        bar.addWidget(self.progress, 1)
        bar.addWidget(self.fold)
        bar.addWidget(self.save)
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.said.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.results = PatchingResults(self)
        self.results.picked.connect(self._on_picked)
        self.results.region_marked.connect(self.settings.take_region)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addWidget(self.settings)
        whole.addLayout(bar)
        whole.addWidget(Badge(self.session, self))
        whole.addWidget(self.said)
        whole.addWidget(scrolled(self.results, self, tab_stop=False), 1)

    def _fold(self) -> None:
        """Hide the settings, or show them again."""
        shown = self.settings.isHidden()
        self.settings.setVisible(shown)
        self.fold.setText("Hide settings" if shown else "Settings")

    # ------------------------------------------------------------------------------------------------ running

    def _start(self) -> None:
        model, images = self.session.model, self.session.images
        if model is None or images is None:
            return
        try:
            asked = self.settings.parameters()
        except (ValueError, OSError) as error:
            say(self.said, str(error), wrong=True)
            return
        self._forget()
        self.run.ask(RunAnalysis("ActivationPatching", asked, model.ref, images.ref))

    def _on_said(self, text: str, wrong: bool) -> None:
        """Say how far it is, or what went wrong."""
        say(self.progress, "" if wrong else text)
        if wrong:
            self._show_newest()
            say(self.said, text, wrong=True)

    def _on_cancelled(self) -> None:
        """Keep what was found until then."""
        self._show_newest()
        if self._result is not None:
            say(self.progress, "Cancelled: what was found stays.")

    def _on_shown(self, partial: Mapping[str, Any]) -> None:
        self._newest = partial["result"]
        if not self._soon.isActive():
            self._soon.start(self._pause)  # what comes meanwhile takes its place

    def _show_newest(self) -> None:
        """Show the partial result that came last; the longer it takes, the longer the window is left alone before the next."""
        self._soon.stop()
        result, self._newest = self._newest, None
        if result is not None:
            begun = time.monotonic()
            self._show(result)
            self._pause = min(LONGEST_PAUSE, round(2000 * (time.monotonic() - begun)))

    def _take(self, result: Result) -> None:
        self._drop_newest()
        self.progress.clear()
        self._show(result)

    def _show(self, result: Result) -> None:
        self._result = result
        self.results.show_result(result, self._made_from(result))
        if self.results.chosen < 0:
            self._on_unit(self.session.unit)
        say(self.said, about(result))
        self.save.setEnabled(True)

    def _drop_newest(self) -> None:
        self._soon.stop()
        self._newest = None

    def _forget(self) -> None:
        self.run.forget()
        self._drop_newest()
        self._pause = 0
        self._result = None
        ready = self.session.model is not None and self.session.images is not None
        self.start.setEnabled(ready)
        self.save.setEnabled(False)
        self.progress.clear()
        self.results.clear(READY if ready else INVITATION)
        self._show_images()
        self.said.clear()

    def _show_images(self) -> None:
        """Show the drawn pair, or else an image of the set, on which a box can be dragged before anything is patched."""
        self.results.show_pair(self.session.pair)
        model, images = self.session.model, self.session.images
        self._before = None
        if self.session.pair is None and model is not None and images is not None and images.length and model.size is not None:
            self._before = FetchImages(images.ref, (0,), tuple(model.size), "patching: the first image")
            self.session.relay.submit(self._before, self._on_image)

    def _on_image(self, event: JobEvent) -> None:
        if event.state == "done" and event.request is self._before and self._result is None and self.session.pair is None:
            self.results.show_before(event.result[0])

    def _on_pair(self, _pair: object) -> None:
        """Show the pair that was drawn; what was found, or is being found, of another is forgotten, but not that of the set."""
        asked = self.run.request
        of_pair = "clean_file" in asked.parameters if asked is not None else self._result is not None and self._result.summary["drawn"]
        if of_pair:
            self._forget()
        elif self._result is None and not self.run.running:
            self._show_images()

    def _made_from(self, result: Result) -> dict[str, Any]:
        given, badge = result.provenance, {"badge": self.session.badge} if self.session.badge else {}
        address = str(replace(self.session.addresses.selected(), view=self.id))
        made = {part: given[part] for part in ("model", "weights", "images")}
        told = {name: result.summary[name] for name in ("metric", "corruption", "put", "through", "incomplete")}
        return {**made, **told, "n": result.summary["pairs"], "address": address, **badge}

    # ------------------------------------------------------------------------------------------------ choosing

    def _on_picked(self, patch: int) -> None:
        """Select in the window what was chosen here, as far as the open network has it."""
        assert self._result is not None
        row = self.results.rows[patch]
        if row.layer not in self.session.layers:
            return
        if row.unit >= 0:
            self.session.select_unit(Unit(row.layer, row.unit))
        elif self._result.summary["part"] == "family" and self.session.model is not None:
            name = row.name.removesuffix(" inside").removesuffix(f" ({row.layer})")
            if find_family(self.session.project.families, self.session.model.ref, row.layer, name) is not None:
                self.session.select_family(row.layer, name)
        else:
            self.session.select_layer(row.layer)

    def _on_unit(self, unit: Unit | None) -> None:
        """Point at the unit that was selected elsewhere, where it was patched."""
        if self._result is None or unit is None:
            return
        found = next((at for at, row in enumerate(self.results.rows) if (row.layer, row.unit) == (unit.layer, unit.index)), -1)
        if found >= 0 and found != self.results.chosen:
            self.results.mark(found)

    # ------------------------------------------------------------------------------------------------ keeping

    def _ask_file(self) -> None:
        ask_where_to_write(self, "Save the patches", "patching.csv", "CSV (*.csv);;Parquet (*.parquet)", self.write_table)

    def write_table(self, path: str) -> None:
        """Write all patches, by the ending as CSV or Parquet; what goes wrong is said."""
        if self._result is None:
            return
        try:
            written = write_table(self._result, path)
        except InputError as error:
            self.session.report(str(error))
        except OSError as error:
            self.session.report(f"{path} cannot be written: {error.strerror}")
        else:
            self.session.inform(f"{len(self.results.rows)} patches written to {written}")

    def views(self) -> list[View]:
        """The matrix, the pair, the bars, and both scatters."""
        return self.results.views()

    def save_state(self) -> dict[str, Any]:
        """Keep what is asked."""
        return self.settings.save_state()

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.settings.restore_state(state)
