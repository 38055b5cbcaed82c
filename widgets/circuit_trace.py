"""The form that starts a trace: the parameters of the analysis, and what it is run on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QVBoxLayout, QWidget

from widgets.analysis_dialog import first_values
from widgets.form import Form, Preload
from widgets.theme import say

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.requests import AnalysisCard

ANALYSIS = "Trace"


class TraceDialog(QDialog):
    """Asks for the parameters of a trace; `wanted` gives them."""

    wanted = Signal(object)
    """Parameters by name."""

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
        self.run = buttons.addButton("Trace", QDialogButtonBox.ButtonRole.AcceptRole)
        self.run.setToolTip("Start it; the circuit it finds is opened when it is there")
        buttons.accepted.connect(self._accept)
        buttons.rejected.connect(self.reject)
        self._layout = QVBoxLayout(self)
        for part in (about, runs_on, self.said, buttons):
            self._layout.addWidget(part)
        self._refresh()
        self._preload = Preload(self)
        self._preload.ready.connect(self._make_form)
        self._preload.start()

    def _make_form(self) -> None:
        layers = list(self._session.layers)
        suggestions = dict.fromkeys(("layer", "source", "target"), layers)
        self.form = Form(self._card.schema, suggestions, first_values(self._session, self._card.schema))
        self.form.changed.connect(self._refresh)
        self._layout.insertWidget(2, self.form, 1)
        self._refresh()

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
        self.wanted.emit(values)
        self.accept()
