"""Where networks are computed and with what numbers, and what is kept on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from widgets.theme import say
from workbench.amounts import size
from workbench.jobs.machine import CleanStore, ComputeOn, DescribeMachine

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent
    from workbench.jobs.machine import MachineCard

ARITHMETIC = {
    "fp32": ("fp32, exact", "Every figure is taken with single-precision numbers."),
    "tf32": ("tf32, 3 digits", "Products keep three digits: faster on recent NVIDIA devices, and no longer comparable to the last digits."),
    "bf16": (
        "bf16 where only activations are read, 2 to 3 digits",
        "Sweeps take half the time or less. Their results say so; whatever needs gradients goes on in fp32.",
    ),
}
PARTS = {
    "results": "Results of analyses",
    "thumbnails": "Feature visualizations",
    "sweeps": "Sweeps (dataset examples)",
}


class MachineDialog(QDialog):
    """Chooses device and numbers, and empties the store."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Device and storage")
        self._session = session
        self._card: MachineCard | None = None
        self.device = QComboBox(accessibleName="Device")
        self.device.currentIndexChanged.connect(self._offer_arithmetic)
        self.arithmetic = QComboBox(accessibleName="Numbers")
        self.arithmetic.currentIndexChanged.connect(self._explain)
        self.meaning = QLabel(wordWrap=True)
        computing = QGroupBox("Computing")
        form = QFormLayout(computing)
        form.addRow("Device", self.device)
        form.addRow("Numbers", self.arithmetic)
        form.addRow("", self.meaning)

        keeping = QGroupBox("Kept on this machine")
        column = QVBoxLayout(keeping)
        self.parts: dict[str, QCheckBox] = {}
        for part in PARTS:
            box = QCheckBox()
            box.toggled.connect(self._refresh)
            self.parts[part] = box
            column.addWidget(box)
        self.place = QLabel(wordWrap=True, textInteractionFlags=Qt.TextInteractionFlag.TextSelectableByMouse)
        self.clean = QPushButton("Delete")
        self.clean.setToolTip("Delete what is ticked; all of it is computed again when it is next looked at")
        self.clean.setAutoDefault(False)
        self.clean.clicked.connect(self._clean)
        self.open_folder = QPushButton("Open folder")
        self.open_folder.setAutoDefault(False)
        self.open_folder.clicked.connect(self._open_folder)
        line = QHBoxLayout()
        line.addWidget(self.place, 1)
        line.addWidget(self.open_folder)
        line.addWidget(self.clean)
        column.addLayout(line)

        self.said = QLabel("Looking at what there is…", wordWrap=True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.use = buttons.addButton("Use", QDialogButtonBox.ButtonRole.ActionRole)
        self.use.setToolTip("Load the open network there from now on; jobs that are under way go on as they are")
        self.use.clicked.connect(self._use)
        self.use.setDefault(True)
        buttons.button(QDialogButtonBox.StandardButton.Close).setAutoDefault(False)
        buttons.rejected.connect(self.reject)
        whole = QVBoxLayout(self)
        whole.addWidget(computing)
        whole.addWidget(keeping)
        whole.addStretch(1)
        whole.addWidget(self.said)
        whole.addWidget(buttons)
        self.resize(560, 360)
        self._refresh()
        session.relay.submit(DescribeMachine(), self._on_described)

    def _on_described(self, event: JobEvent) -> None:
        if event.state == "failed":
            self._say(event.error, wrong=True)
        elif event.state == "done":
            self._show(event.result)
            self._say("")

    def _show(self, card: MachineCard) -> None:
        self._card = card
        self.device.clear()
        self.device.addItem(f"The fastest there is ({card.devices[0].name})", "auto")
        for device in card.devices:
            memory = f", {device.memory / 1e9:.0f} GB" if device.memory else ""
            self.device.addItem(f"{device.name}: {device.title}{memory}", device.name)
        self.device.setCurrentIndex(max(0, self.device.findData(card.device)))
        self.arithmetic.setCurrentIndex(max(0, self.arithmetic.findData(card.arithmetic)))
        for part, box in self.parts.items():
            box.setText(f"{PARTS[part]}: {size(card.kept[part])}")
            box.setEnabled(card.kept[part] > 0)
            box.setChecked(False)
        self.place.setText(card.place)
        self._refresh()

    def _offer_arithmetic(self) -> None:
        """Offer what the chosen device multiplies natively."""
        if self._card is None or self.device.currentIndex() < 0:
            return
        name, before = self.device.currentData(), self.arithmetic.currentData()
        device = next((device for device in self._card.devices if device.name == name), self._card.devices[0])
        self.arithmetic.clear()
        for kind in device.arithmetic:
            self.arithmetic.addItem(ARITHMETIC[kind][0], kind)
        self.arithmetic.setCurrentIndex(max(0, self.arithmetic.findData(before)))

    def _explain(self) -> None:
        kind = self.arithmetic.currentData()
        only = " This device multiplies nothing shorter natively." if self.arithmetic.count() == 1 else ""
        self.meaning.setText(ARITHMETIC[kind][1] + only if kind else "")
        self._refresh()

    def _refresh(self) -> None:
        known = self._card is not None
        chosen = self.device.currentData(), self.arithmetic.currentData()
        self.use.setEnabled(known and None not in chosen and chosen != (self._card.device, self._card.arithmetic))
        ticked = [part for part, box in self.parts.items() if box.isChecked()]
        self.clean.setEnabled(bool(ticked))
        self.clean.setText(f"Delete {size(sum(self._card.kept[part] for part in ticked))}" if ticked and known else "Delete")
        self.open_folder.setEnabled(known)

    def _use(self) -> None:
        self._session.relay.submit(ComputeOn(self.device.currentData(), self.arithmetic.currentData()), self._on_used)

    def _on_used(self, event: JobEvent) -> None:
        if event.state == "failed":
            self._say(event.error, wrong=True)
        elif event.state == "done":
            self._show(event.result)
            self._say("Networks are computed there from now on.")

    def _clean(self) -> None:
        ticked = tuple(part for part, box in self.parts.items() if box.isChecked())
        self._say("Deleting when the jobs under way are done…")
        self._session.relay.submit(CleanStore(ticked), self._on_cleaned)

    def _on_cleaned(self, event: JobEvent) -> None:
        if event.state == "failed":
            self._say(event.error, wrong=True)
        elif event.state == "done":
            self._show(event.result)
            self._say("Deleted.")

    def _open_folder(self) -> None:
        if self._card is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(self._card.place))

    def _say(self, text: str, wrong: bool = False) -> None:
        say(self.said, text, wrong)
