"""The training panel: choose a recipe, set its parameters, train, watch the curves; pause, and go on, also with a run of last week."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QDateTime, QLocale, QSignalBlocker, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QProgressBar,
    QSplitter,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from widgets.commands import Command
from widgets.docks import Panel
from widgets.elided_label import ElidedLabel
from widgets.file_dialogs import ask_for_folder
from widgets.recipe_setup import RecipeSetup
from widgets.scrolled import scrolled
from widgets.session import Session
from widgets.theme import say, set_icon
from widgets.views.axes import number
from widgets.views.curve_plot import CurvePlot
from workbench.amounts import rough_duration
from workbench.recompute import TrainingRun
from workbench.training.commands import runs_folder

if TYPE_CHECKING:
    from widgets.views.view import View
    from workbench.jobs.job import JobEvent
    from workbench.jobs.runs import RunCard
    from workbench.jobs.training_requests import Train
    from workbench.training.trainer import Progress

NAME, RECIPE, STEP, CHANGED = range(4)
HEADINGS = {
    "Run": "Folder of the run",
    "Recipe": "Kind of training",
    "Updates": "Weight updates done, of how many; it can be gone on with from there",
    "Changed": "When its state was last written",
}
NARROW = 620
"""Width in pixels below which the curves stand under the form instead of beside it."""
NOTHING = (
    "Choose a recipe and press Start: the curves appear here while the network is trained. "
    "A run in the list below can be looked at, and gone on with."
)


AUTOENCODER = "SparseAutoencoder"
OPENS = "Open the network of the chosen run as it is after its last update"
OPENS_LATENTS = "An autoencoder is looked into with the network that it reads: Open latents in the panel Mixtures"


def _told(figures: Mapping[str, float]) -> str:
    """Say figures in words."""
    told = {name.replace("_", " "): f"{value:,}" if isinstance(value, int) else number(value) for name, value in figures.items()}
    return ", ".join(f"{name} {value}" for name, value in told.items())


class TrainingPanel(Panel):
    """A recipe's form, the runs of a folder, and the curves of the one that is chosen or trained."""

    id = "training"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._runs: dict[Path, RunCard] = {}
        self._job = 0
        self._request: Train | None = None  # what is trained now, or was last
        self._progress: Progress | None = None
        self._paused = False  # whether it was cancelled to go on later
        self._chosen: Path | None = None  # the run that is shown

        self.setup = RecipeSetup(session)
        self.setup.changed.connect(self._refresh)
        self.name = QLineEdit()
        self.name.setAccessibleName("Name of the new run")
        self.name.setToolTip("Folder of the new run, in the folder of runs; empty: the name that is shown in grey")
        self.name.textChanged.connect(self._refresh)

        self.start = self._button("Start", "run", "Start a new run with these parameters", self.start_run)
        self.pause = self._button("Pause", "pause", "", self.pause_or_resume)
        self.stop = self._button(
            "Stop", "stop", "End the run here; it stays in the list and can be gone on with later", self.stop_run
        )
        self.logarithmic = QToolButton(text="Log steps", checkable=True, autoRaise=True)
        self.logarithmic.setToolTip("Logarithmic step axis: shows what happens early")
        self.state = ElidedLabel()
        self.bar = QProgressBar(textVisible=False, maximumHeight=8)
        self.said = QLabel(wordWrap=True, textInteractionFlags=Qt.TextInteractionFlag.TextSelectableByMouse)
        self.plot = CurvePlot()
        self.plot.setAccessibleName("Training curves")
        self.logarithmic.toggled.connect(lambda on: setattr(self.plot, "logarithmic", on))
        self.folder = QLineEdit(str(runs_folder()))
        self.folder.setAccessibleName("Folder of runs")
        self.folder.setToolTip("Where runs are kept, each in a folder of its own; Enter lists them")
        self.folder.editingFinished.connect(self.list_runs)
        browse = self._button(
            "",
            "open",
            "Choose the folder of runs",
            lambda: ask_for_folder(self, "Folder of runs", self._use_runs, Path(self.folder.text()).expanduser()),
        )
        browse.setAccessibleName("Choose the folder of runs")
        self.list = QTreeWidget(columnCount=len(HEADINGS), rootIsDecorated=False, uniformRowHeights=True)
        self.list.setAccessibleName("Runs")
        self.list.setAllColumnsShowFocus(True)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setHeaderLabels(list(HEADINGS))
        for column, tip in enumerate(HEADINGS.values()):
            self.list.headerItem().setToolTip(column, tip)
        header = self.list.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in ((RECIPE, 90), (STEP, 110), (CHANGED, 126)):
            header.resizeSection(column, width)
        self.list.setMinimumHeight(76)
        self.list.itemSelectionChanged.connect(self._choose)
        self.list.itemActivated.connect(lambda _item: self.open_network())
        self.open_run = self._button("Open network", "model_loader", OPENS, self.open_network)

        self._lay_out(browse)
        self.setFocusProxy(self.setup)
        self.plot.clear(NOTHING)
        self._say("")
        self._refresh()
        self.list_runs()
        self.setup.list_recipes()

    def _button(self, text: str, picture: str, tip: str, run: Any) -> QToolButton:
        button = QToolButton(text=text, autoRaise=True, toolTip=tip)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        set_icon(button, picture)
        button.clicked.connect(lambda: run())
        return button

    def _lay_out(self, browse: QToolButton) -> None:
        named = QHBoxLayout()
        named.addWidget(QLabel("Run"))
        named.addWidget(self.name, 1)
        named.addWidget(self.start)
        chosen = QWidget()
        column = QVBoxLayout(chosen)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(4)
        column.addWidget(self.setup, 1)
        column.addLayout(named)

        tools = QHBoxLayout()
        tools.setSpacing(2)
        for button in (self.pause, self.stop):
            tools.addWidget(button)
        tools.addStretch(1)
        tools.addWidget(self.logarithmic)
        curves = QWidget()
        column = QVBoxLayout(curves)
        column.setContentsMargins(4, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(tools)
        column.addWidget(self.state)
        column.addWidget(self.bar)
        column.addWidget(self.said)
        column.addWidget(self.plot, 3)
        place = QHBoxLayout()
        place.addWidget(QLabel("<b>Runs</b> in"))
        place.addWidget(self.folder, 1)
        place.addWidget(browse)
        place.addWidget(self.open_run)
        column.addLayout(place)
        column.addWidget(self.list, 1)

        self.splitter = QSplitter(childrenCollapsible=False)
        self.splitter.addWidget(chosen)
        self.splitter.addWidget(curves)
        self.splitter.setSizes([400, 600])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(scrolled(self.splitter, tab_stop=False))
        self.setMinimumSize(200, 120)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the curves beside the form, or below it where there is no room."""
        super().resizeEvent(event)
        wanted = Qt.Orientation.Vertical if event.size().width() < NARROW else Qt.Orientation.Horizontal
        if self.splitter.orientation() != wanted:
            self.splitter.setOrientation(wanted)

    # Runs

    def _use_runs(self, path: str) -> None:
        self.folder.setText(path)
        self.list_runs()

    def list_runs(self) -> None:
        """List what the folder of runs holds."""
        from workbench.jobs.training_requests import ListRuns

        self.session.relay.submit(ListRuns(Path(self.folder.text()).expanduser()), self._on_runs)

    def _on_runs(self, event: JobEvent) -> None:
        if event.state == "failed":
            self._say(event.error, error=True)
        if event.state != "done":
            return
        self._runs = {card.folder: card for card in event.result}
        with QSignalBlocker(self.list):
            self.list.clear()
            for card in event.result:
                when = QLocale().toString(QDateTime.fromSecsSinceEpoch(int(card.changed)), "yyyy-MM-dd HH:mm")
                item = QTreeWidgetItem([card.folder.name, card.recipe, self._updates(card), when])
                item.setData(NAME, Qt.ItemDataRole.UserRole, card.folder)
                item.setToolTip(NAME, f"{card.folder}\n{json.dumps(dict(card.settings), indent=1)[2:-2]}")
                item.setTextAlignment(STEP, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.list.addTopLevelItem(item)
                item.setSelected(card.folder == self._chosen)
        if not self._job and self._chosen in self._runs:
            self._say_where(self._runs[self._chosen])
        self._refresh()

    def _updates(self, card: RunCard) -> str:
        """Say how far a run is: on disk, or here when its state is not written yet."""
        here = self._progress.step if self._progress is not None and self._is_request(card.folder) else 0
        return f"{max(card.step, here):,} of {card.steps:,}"

    def _is_request(self, folder: Path | None) -> bool:
        return self._request is not None and self._request.folder == folder

    def _is_begun(self, folder: Path) -> bool:
        """Whether anything of a run was kept."""
        return self._progress is not None or folder in self._runs or (folder / "recipe.json").exists()

    def _say_where(self, card: RunCard) -> None:
        self.state.show_text(f"{card.folder.name}: {self._updates(card)} updates")

    def _choose(self) -> None:
        """Show the run that was chosen in the list."""
        items = self.list.selectedItems()
        self._chosen = items[0].data(NAME, Qt.ItemDataRole.UserRole) if items else None
        if self._chosen in self._runs and not self._job:
            self._say("")
            self._say_where(self._runs[self._chosen])
        self._draw()
        self._refresh()

    def _draw(self) -> None:
        """Draw the curves of the chosen run, as they are on disk unless it is trained here."""
        card = self._runs.get(self._chosen)
        live = self._progress is not None and self._is_request(self._chosen)
        if not live and (card is None or not card.curves):
            self.plot.clear("The first point comes after 10 updates." if self._chosen is not None else NOTHING)
            return
        self.plot.show_curves(
            self._progress.curves if live else card.curves,
            title=f"Training {self._chosen.name}",
            label="weight updates",
            note="each point the mean of 10 updates, on training data",
            made_from={
                "run": str(self._chosen),
                "recipe": self._request.recipe if live else card.recipe,
                "settings": dict(self._request.settings if live else card.settings),
            },
        )
        source = self._request if live else card
        self.plot.recomputation = TrainingRun(self._chosen, source.recipe, dict(source.settings))

    # Training

    def new_folder(self) -> Path:
        """Name the folder of the next run: what was typed, else the recipe with the first number that is free."""
        root = Path(self.folder.text()).expanduser()
        if name := self.name.text().strip():
            return root / name
        place = 1
        while (folder := root / f"{self.setup.name or 'run'}-{place}") in self._runs or self._is_request(
            folder
        ):
            place += 1
        return folder

    def start_run(self) -> None:
        """Train with the form's values, in a new folder."""
        if not self.start.isEnabled():
            return
        from workbench.jobs.training_requests import Train

        self._submit(Train(self.setup.name, self.setup.form.values(), self.new_folder(), **self.setup.where()))
        self.name.clear()

    def _resumable(self) -> Train | None:
        """Return what goes on with the chosen run: what was paused here, or what its folder says."""
        from workbench.jobs.training_requests import Train

        card = self._runs.get(self._chosen)
        if self._paused and self._is_request(self._chosen):
            return replace(self._request, **self.setup.where())
        if card is not None and card.step < card.steps:
            return Train(card.recipe, card.settings, card.folder, **self.setup.where())
        return None

    def pause_or_resume(self) -> None:
        """Stop for now, or go on with the chosen run from its last update."""
        if self._job:
            self._paused = True
            self._say("Pausing after this update…")
            self.session.relay.cancel(self._job)
        elif (request := self._resumable()) is not None:
            self._submit(request)

    def stop_run(self) -> None:
        """End the run here; it is not chosen any more."""
        if self._job:
            self._paused = False
            self._say("Stopping after this update…")
            self.session.relay.cancel(self._job)

    def _submit(self, request: Train) -> None:
        self._request, self._progress, self._chosen = request, None, request.folder
        self._paused = True  # is what a cancel means, unless it is said to stop
        with QSignalBlocker(self.list):
            for row in range(self.list.topLevelItemCount()):
                item = self.list.topLevelItem(row)
                item.setSelected(item.data(NAME, Qt.ItemDataRole.UserRole) == request.folder)
        self._job = self.session.relay.submit(request, self._on_training)
        self._say("")
        self._draw()
        self._refresh()

    def _on_training(self, event: JobEvent) -> None:
        if event.job < self._job or event.request is not self._request:
            return
        if event.ended:
            self._end(event)
            return
        if event.job != self._job:  # the jobs panel started it again
            self._job, self._progress, self._paused, self._chosen = event.job, None, True, event.request.folder
        self.bar.setRange(0, 1000 if event.total else 0)
        if event.total:
            self.bar.setValue(round(1000 * event.done / event.total))
        is_first = self._progress is None
        if event.partial is not None:
            self._progress = event.partial
            if self._is_request(self._chosen):
                self._draw()
            if is_first:
                self.list_runs()  # it has a folder by now
        if self._progress is None:
            said = [event.note or "waiting for its turn"]
        elif event.total and event.done >= event.total:
            said = [event.note or "measuring"]
        else:
            said = [f"update {int(event.done):,} of {int(event.total):,}"]
            said.append(f"{self._progress.images_per_second:,.0f} examples/s")
            said += [f"{rough_duration(event.seconds_left)} left"] if event.seconds_left is not None else []
        self.state.show_text(f"{event.request.folder.name}: {' · '.join(said)}", event.note)
        self._refresh()

    def _end(self, event: JobEvent) -> None:
        self._job = 0
        name = self._request.folder.name
        if event.state == "failed":
            self._paused = False
            self.setup.show_complaint(event.error.removeprefix(f"{self._request.recipe}: "))
            self._say(event.error, error=True)
            self.state.show_text(f"{name}: failed")
        elif event.state == "done":
            self._paused = False
            trained = event.result
            said = [f"Finished after {trained.run.steps:,} updates. On training batches: {_told(trained.run.figures)}."]
            said += [f"Measured: {_told(trained.measured)}."] * bool(trained.measured)
            said += [f"{trained.skipped[:1].upper()}{trained.skipped[1:]}."] * bool(trained.skipped)
            self._say("\n".join(said))
        elif not self._is_begun(self._request.folder):
            self._paused = False
            self._chosen = None if self._is_request(self._chosen) else self._chosen
            self._say(f"{name}: cancelled before it began; nothing was kept.")
            self.state.show_text("")
            self._draw()
        elif self._progress is not None and event.total and event.done >= event.total:
            self._paused = False
            self._say(f"Finished after {int(event.total):,} updates; cancelled before it was measured.")
            self.state.show_text(f"{name}: finished")
        elif self._paused:
            self._chosen = self._request.folder  # whatever was looked at meanwhile: it is what Resume is about
            self._draw()
            self._say("Paused. Resume goes on from here, also after the window was closed.")
            self.state.show_text(f"{name}: paused")
        else:
            self._chosen = None if self._is_request(self._chosen) else self._chosen
            self._say(f"Stopped. Choose {name} in the list to go on with it.")
            self.state.show_text(f"{name}: stopped")
        self.list_runs()
        self._refresh()

    def open_network(self) -> None:
        """Look into the network of the chosen run."""
        if self._opens:
            self.session.open_model(f"run:{self._chosen}")

    @property
    def _opens(self) -> bool:
        """Whether the chosen run is of a network that is looked into by itself."""
        return self._chosen in self._runs and self._runs[self._chosen].recipe != AUTOENCODER

    # What can be done now

    def _refresh(self) -> None:
        running = self._job != 0
        self.name.setPlaceholderText(self.new_folder().name if not self.name.text() else "")
        wrong = self.setup.wrong
        taken = self.new_folder() in self._runs
        self.start.setEnabled(self.setup.form is not None and wrong is None and not running and not taken)
        self.start.setToolTip(
            wrong
            if wrong is not None
            else "A run is under way; pause or stop it first"
            if running
            else f"There is a run {self.new_folder().name}; choose it in the list and resume it, or give another name"
            if taken
            else "Start a new run with these parameters"
        )
        can_resume = self._resumable() is not None
        self.pause.setText("Pause" if running else "Resume")
        set_icon(self.pause, "pause" if running else "run")
        self.pause.setToolTip(
            "Stop for now; what was learned is kept"
            if running
            else f"Go on with {self._chosen.name} from its last update"
            if can_resume
            else "Choose a run that is not finished in the list"
        )
        self.pause.setEnabled(running or can_resume)
        self.stop.setEnabled(running)
        self.open_run.setEnabled(self._opens)
        self.open_run.setToolTip(OPENS if self._opens or self._chosen not in self._runs else OPENS_LATENTS)
        self.bar.setVisible(running)

    def _say(self, text: str, error: bool = False) -> None:
        say(self.said, text, error)
        self.said.setVisible(bool(text))

    def views(self) -> list[View]:
        """Return the curves, when there are any."""
        return [self.plot] if self.plot.data() else []

    def commands(self) -> tuple[Command, ...]:
        """Offer to start, pause and stop from anywhere."""
        return (
            Command(
                "training.start",
                "Start training",
                self.start_run,
                "Train a network with the recipe and the parameters of the panel Training, in a new run.",
                "Analysis",
                section="training",
                enabled=self.start.isEnabled,
            ),
            Command(
                "training.pause",
                "Pause or resume training",
                self.pause_or_resume,
                "Pause the run that is under way, or go on with the one chosen in the panel Training from its last update.",
                "Analysis",
                section="training",
                enabled=self.pause.isEnabled,
            ),
            Command(
                "training.stop",
                "Stop training",
                self.stop_run,
                "End the run that is under way; its checkpoints stay, and it can be gone on with later.",
                "Analysis",
                section="training",
                enabled=self.stop.isEnabled,
            ),
        )

    def save_state(self) -> dict[str, Any]:
        """Remember what is chosen and how the panel is divided."""
        return {
            **self.setup.save_state(),
            "folder": self.folder.text(),
            "logarithmic": self.logarithmic.isChecked(),
            "sizes": self.splitter.sizes(),
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Choose it again."""
        self.setup.restore_state(state)
        self.logarithmic.setChecked(state.get("logarithmic") is True)
        if state.get("folder") not in (None, self.folder.text()):
            self._use_runs(str(state["folder"]))
        sizes = state.get("sizes")
        if isinstance(sizes, list) and len(sizes) == self.splitter.count():
            self.splitter.setSizes(sizes)
