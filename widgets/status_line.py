"""The line at the bottom: what is selected, and how far the work in hand is."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QLabel, QProgressBar, QStatusBar, QToolButton, QWidget

from widgets.session import Session
from widgets.theme import set_icon


class StatusLine(QStatusBar):
    """Model, layer, unit and images at the left; the running job with its progress at the right."""

    jobs_wanted = Signal()
    """The running job was clicked."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._selected = QLabel()
        self._selected.setAccessibleName("Selected")
        self._computing = QLabel()
        self._computing.setAccessibleName("Device and numbers")
        self._job = QToolButton(autoRaise=True, toolTip="Show the jobs panel")
        self._job.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._job.clicked.connect(self.jobs_wanted)
        set_icon(self._job, "jobs")
        self._bar = QProgressBar(textVisible=False)
        self._bar.setFixedWidth(130)
        self._bar.setMaximumHeight(10)
        self.addWidget(self._selected)
        self.addPermanentWidget(self._computing)
        self.addPermanentWidget(self._bar)
        self.addPermanentWidget(self._job)
        session.model_changed.connect(self._show_selected)
        session.layer_changed.connect(self._show_selected)
        session.unit_changed.connect(self._show_selected)
        session.images_changed.connect(self._show_selected)
        session.computing_changed.connect(self._show_computing)
        session.jobs.changed.connect(self._show_job)
        self._show_selected()
        self._show_job()

    def _show_selected(self) -> None:
        session = self._session
        parts = [session.model.name if session.model is not None else "No network open"]
        if layer := session.layers.get(session.layer):
            role = {"pre": ", pre-activation", "post": ", post-activation", "": ""}[layer.role]
            parts.append(f"{layer.name} ({layer.units} units{role})")
        if session.unit is not None:
            parts.append(f"unit {session.unit.index}")
        parts.append(f"images: {session.images.name}" if session.images is not None else "no images open")
        self._selected.setText("  ·  ".join(parts))

    def _show_computing(self) -> None:
        """Say where it is computed unless it is the usual place, and warn of numbers that are not exact."""
        session = self._session
        device = session.device if session.device != "auto" else ""
        rough = f"{session.arithmetic}: sweeps are not exact" if session.arithmetic == "bf16" else ""
        rough = rough or (f"{session.arithmetic}: figures are not exact" if session.arithmetic != "fp32" else "")
        self._computing.setText("  ·  ".join(part for part in (device, rough) if part))

    def _show_job(self) -> None:
        running, waiting = self._session.jobs.running(), len(self._session.jobs.waiting())
        self._bar.setVisible(bool(running))
        if not running:
            self._job.setText(f"{waiting} waiting" if waiting else "Idle")
            return
        event = running[-1].event
        more = len(running) + waiting - 1
        text = event.request.title + (f", {more} more" if more else "")
        text = QFontMetrics(self._job.font()).elidedText(text, Qt.TextElideMode.ElideMiddle, 380)
        self._job.setText(text.replace("&", "&&"))  # one alone would be the mark of a shortcut
        self._job.setToolTip(f"{event.request.title}\n{event.note}\nClick to show the jobs panel".replace("\n\n", "\n"))
        self._bar.setRange(0, 1000 if event.total else 0)
        if event.total:
            self._bar.setValue(round(1000 * event.done / event.total))
