"""What a run compares and how much it draws: fields that are kept with the project and are no part of the hypothesis."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QLabel, QSpinBox, QVBoxLayout, QWidget

from widgets.choice_box import choice_box
from widgets.elided_combo_box import ElidedComboBox
from widgets.line_of import line_of
from workbench.hypothesis import LOSSES

READS = {"centre": "the middle", "largest": "the largest", "mean": "the mean", "values": "all values"}
SEED = 0
"""Of the images that are drawn; what is counted while a feature is typed is of the same."""


class RunSettings(QWidget):
    """Two lines of fields.

    Attributes
    ----------
    read
        What of the root's map is compared.
    loss
        What must be kept.
    images
        Images of the open set that are drawn from, at most.
    """

    changed = Signal()
    """Something is set otherwise."""
    inspected = Signal()
    """What is wrong at which node may be otherwise now."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        reads = {name: (text, "") for name, text in READS.items()}
        self.read = choice_box(ElidedComboBox(8, self), reads, "What of the root's map is compared", self._tell)
        self.read.setToolTip("What of the root's map is compared; with cells below it, it is the middle")
        self.loss = choice_box(ElidedComboBox(8, self), LOSSES, "What must be kept: the loss", self._tell_loss)
        self.examples = QSpinBox(self, minimum=16, maximum=100_000, value=256)
        self.examples.setAccessibleName("Examples")
        self.examples.setToolTip("Examples that are scrubbed; more make narrower intervals and take longer")
        self.images = QSpinBox(self, minimum=8, maximum=100_000, value=1000)
        self.images.setAccessibleName("Images")
        self.images.setToolTip("Images of the open set that are drawn from, at most")
        for box in (self.examples, self.images):
            box.valueChanged.connect(lambda _value: self.changed.emit())
        self.images.editingFinished.connect(self.inspected.emit)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        compared = (QLabel("Compare", self), self.read, QLabel("by", self), self.loss, None)
        drawn = (QLabel("On", self), self.examples, QLabel("examples of", self), self.images, QLabel("images", self), None)
        for widgets in (compared, drawn):
            whole.addLayout(line_of(*widgets))

    def _tell(self) -> None:
        self.changed.emit()

    def _tell_loss(self) -> None:
        self.changed.emit()
        self.inspected.emit()

    def parameters(self, *, cells: bool) -> dict[str, Any]:
        """Return what is asked of the analysis; where the root has cells below it, its middle is compared."""
        read = "centre" if cells else self.read.currentData()
        numbers = {"images": self.images.value(), "examples": self.examples.value(), "seed": SEED}
        return {"read": read, "loss": self.loss.currentData(), **numbers}

    def save_state(self) -> dict[str, Any]:
        """Return what is set."""
        choices = {name: box.currentData() for name, box in self._choices().items()}
        return {"images": self.images.value(), "examples": self.examples.value(), **choices}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back; choices that it does not know are as at first."""
        for name, number in (("images", self.images), ("examples", self.examples)):
            if isinstance(state.get(name), int):
                number.setValue(state[name])
        for name, box in self._choices().items():
            box.setCurrentIndex(max(0, box.findData(state.get(name))))

    def _choices(self) -> dict[str, QComboBox]:
        return {"read": self.read, "loss": self.loss}
