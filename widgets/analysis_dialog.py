"""Starting an analysis: choose one, set its parameters, run it, look at what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QProgressBar,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from widgets.form import Form, Preload
from widgets.result_window import ResultWindow
from widgets.session import Session
from widgets.theme import say
from workbench.circuit_weights import source_for

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent
    from workbench.jobs.requests import AnalysisCard


class AnalysisDialog(QDialog):
    """Lists the analyses the engine knows; each has a form made from its parameters.

    It can be closed while the analysis runs: the jobs panel goes on showing it and keeps its result.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Run analysis")
        self.resize(900, 640)
        self._session = session
        self._cards: dict[str, AnalysisCard] = {}
        self._edited: dict[str, dict[str, Any]] = {}
        self._job = 0
        self._result: Result | None = None
        self.form: Form | None = None

        self.list = QListWidget()
        self.list.setAccessibleName("Analyses")
        self.list.setMaximumWidth(280)
        self.list.currentItemChanged.connect(self._show_analysis)
        self.about = QLabel("Listing the analyses…", wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self.about.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.runs_on = QLabel(wordWrap=True)
        self._place = QVBoxLayout()
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(8, 0, 0, 0)
        column.addWidget(self.about)
        column.addLayout(self._place, 1)
        column.addWidget(self.runs_on)
        splitter = QSplitter()
        splitter.addWidget(self.list)
        splitter.addWidget(right)
        splitter.setStretchFactor(1, 1)

        self.bar = QProgressBar(textVisible=False, maximumHeight=12)
        self.bar.hide()
        self.said = QLabel(wordWrap=True, textInteractionFlags=Qt.TextInteractionFlag.TextSelectableByMouse)
        buttons = QDialogButtonBox()
        self.run = buttons.addButton("Run", QDialogButtonBox.ButtonRole.ActionRole)
        self.run.setDefault(True)
        self.run.setToolTip("Start the analysis with these parameters (Enter)")
        self.run.clicked.connect(self.start)
        self.stop = buttons.addButton("Cancel run", QDialogButtonBox.ButtonRole.ActionRole)
        self.stop.setToolTip("Stop the analysis at its next step")
        self.stop.clicked.connect(lambda: session.relay.cancel(self._job))
        self.show_result = buttons.addButton("Show result…", QDialogButtonBox.ButtonRole.ActionRole)
        self.show_result.setToolTip("Look at what was found, and save it")
        self.show_result.clicked.connect(self.open_result)
        close = buttons.addButton(QDialogButtonBox.StandardButton.Close)
        for button in (self.stop, self.show_result, close):
            button.setAutoDefault(False)  # Enter runs, and nothing else
        buttons.rejected.connect(self.reject)
        line = QHBoxLayout()
        line.addWidget(self.said, 1)
        line.addWidget(buttons)
        layout = QVBoxLayout(self)
        layout.addWidget(splitter, 1)
        layout.addWidget(self.bar)
        layout.addLayout(line)

        for signal in (session.model_changed, session.images_changed):
            signal.connect(self._refresh)
        self._refresh()
        self._preload = Preload(self)
        self._preload.ready.connect(self._describe)
        self._preload.start()

    def _describe(self) -> None:
        from workbench.jobs.requests import DescribeAnalyses

        self._session.relay.submit(DescribeAnalyses(), self._on_described)

    def _on_described(self, event: JobEvent) -> None:
        if event.state == "failed":
            self.about.setText(f"The analyses could not be listed: {event.error}")
        elif event.state == "done":
            self._cards = {card.name: card for card in event.result}
            for card in event.result:
                self.list.addItem(card.title)
                row = self.list.item(self.list.count() - 1)
                row.setData(Qt.ItemDataRole.UserRole, card.name)
                row.setToolTip(card.help.partition("\n\n")[0])
            self.list.setCurrentRow(0)
            self.list.setFocus()

    def current(self) -> AnalysisCard | None:
        """Return the chosen analysis."""
        item = self.list.currentItem()
        return self._cards[item.data(Qt.ItemDataRole.UserRole)] if item is not None else None

    def _show_analysis(self) -> None:
        card = self.current()
        if self.form is not None:
            self._place.removeWidget(self.form)
            self.form.deleteLater()
            self.form = None
        if card is None:
            return
        self.about.setText(" ".join(card.help.partition("\n\n")[0].split()))
        self.form = Form(card.schema, suggestions(self._session, card.schema), first_values(self._session, card.schema))
        self.form.changed.connect(self._refresh)
        self._place.addWidget(self.form)
        self.form.reach_after(self.list)
        self._refresh()

    def _refresh(self) -> None:
        session, card = self._session, self.current()
        model = session.model.name if session.model is not None else "no network is open"
        images = session.images.name if session.images is not None else "none are open"
        self.runs_on.setText(
            f"Network: {model}" + (f"  ·  images: {images}" if card is not None and card.needs_images else "")
        )
        missing = ""
        if session.model is None:
            missing = "Open a network first."
        elif card is not None and card.needs_images and session.images is None:
            missing = "This analysis needs images; open a set first."
        elif self.form is not None and self.form.errors:
            name, error = next(iter(self.form.errors.items()))
            missing = f"{name}: {error}"
        running = self._job != 0
        self.run.setEnabled(self.form is not None and not missing and not running)
        self.stop.setVisible(running)
        self.show_result.setVisible(self._result is not None)
        if not running and self._result is None:
            say(self.said, missing, wrong=bool(missing))

    def start(self) -> None:
        """Run the chosen analysis with the values of the form."""
        card, session = self.current(), self._session
        if card is None or self.form is None or session.model is None:
            return
        from workbench.jobs.requests import RunAnalysis

        images = session.images.ref if card.needs_images and session.images is not None else None
        self._result = None
        request = RunAnalysis(card.name, self.form.values(), session.model.ref, images)
        self._job = session.relay.submit(request, self._on_run)
        self._refresh()

    def _on_run(self, event: JobEvent) -> None:
        self.bar.setVisible(not event.ended)
        self.bar.setRange(0, 1000 if event.total else 0)
        if event.total:
            self.bar.setValue(round(1000 * event.done / event.total))
        if not event.ended:
            say(self.said, event.note or {"queued": "waiting for its turn"}.get(event.state, "running"))
            return
        self._job = 0
        self._result = event.result if event.state == "done" else None
        self._refresh()
        if event.state == "failed":
            if self.form is not None:
                self.form.show_complaint(event.error)
            say(self.said, event.error, wrong=True)
        else:
            say(self.said, "Done. The result is also in the jobs panel." if event.state == "done" else "Cancelled.")

    def open_result(self) -> None:
        """Show what was found."""
        if self._result is not None:
            ResultWindow(self._session, self._result, self._result.analysis, self.parentWidget()).show()


def suggestions(session: Session, schema: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the fields whose values are names of layers; a target without a source is a unit."""
    fields = ("layer", "source", "target") if "source" in schema.get("properties", {}) else ("layer",)
    return {field: list(session.layers) for field in fields}


def first_values(session: Session, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the parameters of an analysis begin with: what is selected in the window."""
    layer = session.layers.get(session.layer)
    units = [session.unit.index] if session.unit is not None else list(range(min(8, layer.units if layer is not None else 0)))
    earlier = source_for(list(session.layers.values()), session.layer) or session.layer
    selected = {"layer": session.layer, "layers": [session.layer], "units": units, "source": earlier, "target": session.layer}
    known = schema.get("properties", {})
    if "source" not in known:
        selected["target"] = str(session.unit) if session.unit is not None else ""
    if session.unit is not None:  # a number beside a layer, or an address
        selected["unit"] = str(session.unit) if known.get("unit", {}).get("type") == "string" else session.unit.index
    return {name: value for name, value in selected.items() if name in known}
