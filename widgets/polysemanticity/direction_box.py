"""Make directions of the layer that is looked at: principal axes, factors, a difference of two kinds of images, a probe."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from widgets.buttons import push_button
from widgets.choice_box import choice_box
from widgets.polysemanticity.names import free_name
from widgets.theme import say
from workbench.jobs.direction_requests import MakeDirections
from workbench.models.loading import without_directions

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent

METHODS = {
    "pca": "Principal axes",
    "nmf": "Non-negative factors",
    "difference": "Difference of two kinds",
    "probe": "Linear probe",
}


class DirectionBox(QFrame):
    """What is made, of what, under which name."""

    made = Signal(object, object)
    """The `DirectionCard` of a new set, and the `Project` in which it was asked for."""

    def __init__(self, session: Session, layer: Callable[[], str], parent: QWidget) -> None:
        super().__init__(parent)
        self.session, self._layer = session, layer
        self._request: MakeDirections | None = None
        self._job, self._project = 0, session.project
        self.taken: frozenset[str] = frozenset()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        methods = {method: (title, "") for method, title in METHODS.items()}
        self.method = choice_box(QComboBox(self), methods, "How the directions are found")
        self.number = QSpinBox(self)
        self.number.setRange(1, 512)
        self.number.setValue(16)
        self.column = QComboBox(self)
        self.column.setToolTip("Property of an image that tells the two kinds")
        self.positive, self.negative = QLineEdit(self), QLineEdit(self)
        self.positive.setPlaceholderText("such as noto")
        self.negative.setPlaceholderText("all others")
        self.name = QLineEdit(self)
        self.form = QFormLayout()
        fields = {
            "Method": self.method,
            "Directions": self.number,
            "Column": self.column,
            "Kind": self.positive,
            "Against": self.negative,
            "Name": self.name,
        }
        for text, widget in fields.items():
            widget.setAccessibleName(text)
            self.form.addRow(text, widget)
        self.make = push_button(
            self, "Make", "Find the directions, and open the network with them as units", self._make
        )
        self.cancel = push_button(self, "Cancel", "Stop", lambda: self.session.relay.cancel(self._job))
        self.cancel.hide()
        buttons = QHBoxLayout()
        buttons.addWidget(self.make)
        buttons.addWidget(self.cancel)
        buttons.addStretch(1)
        self.said = QLabel(self, wordWrap=True)
        whole = QVBoxLayout(self)
        whole.addLayout(self.form)
        whole.addLayout(buttons)
        whole.addWidget(self.said)
        self.method.currentIndexChanged.connect(lambda _index: self._changed())
        self.positive.textChanged.connect(lambda _text: self.refresh())
        self.name.textChanged.connect(lambda _text: self._changed())
        self.refresh()

    def refresh(self) -> None:
        """Show what the method needs, and enable what is possible now."""
        two = self.method.currentData() in ("difference", "probe")
        for field, shown in ((self.number, not two), (self.column, two), (self.positive, two), (self.negative, two)):
            self.form.setRowVisible(field, shown)
        images = self.session.images
        # The halves are split by concept, so one concept is never in both; a column of names has no kinds.
        kinds = images.columns.items() if images is not None else ()
        columns = [name for name, values in kinds if name != "concept" and images is not None and values < images.length]
        if [self.column.itemText(place) for place in range(self.column.count())] != columns:
            self.column.clear()
            self.column.addItems(columns)
            self.column.setCurrentText("style" if "style" in columns else columns[0] if columns else "")
        self.name.setPlaceholderText(free_name(f"{self._layer() or 'layer'}-{self.method.currentData()}", self.taken))
        ready = self.session.model is not None and images is not None and bool(self._layer())
        taken = self.name.text().strip() in self.taken
        if taken and not self._job:
            say(self.said, f"There are directions {self.name.text().strip()} already; choose another name.", True)
        elif two and images is not None and not columns:
            say(self.said, f"{images.name} has no column that tells two kinds of images.", True)
        fits = not two or bool(self.positive.text().strip() and columns)
        self.make.setEnabled(ready and not self._job and not taken and fits)

    def _changed(self) -> None:
        """Take back what was said of another name or method."""
        if not self._job:
            say(self.said, "", False)
        self.refresh()

    def _make(self) -> None:
        model, images = self.session.model, self.session.images
        if model is None or images is None:
            return
        method = self.method.currentData()
        parameters: dict[str, Any] = {"layer": self._layer(), "method": method}
        if method in ("difference", "probe"):
            kinds = {"positive": self.positive.text().strip(), "negative": self.negative.text().strip()}
            parameters |= {"column": self.column.currentText(), **kinds}
        else:
            parameters["number"] = self.number.value()
        name = self.name.text().strip() or self.name.placeholderText()
        self._request = MakeDirections(name, parameters, without_directions(model.ref), images.ref)
        self._job, self._project = self.session.relay.submit(self._request, self._follow), self.session.project
        self.cancel.show()
        say(self.said, "Waiting for its turn …", False)
        self.refresh()

    def _follow(self, event: JobEvent) -> None:
        if event.request is not self._request:
            return
        if not event.ended:
            if event.total:
                say(self.said, f"{event.note or 'Reading'}: {event.done / event.total:.0%}", False)
            return
        self._job = 0
        self.cancel.hide()
        if event.state == "failed":
            say(self.said, event.error, True)
        elif event.state == "cancelled":
            say(self.said, "Cancelled.", False)
        else:
            self.name.clear()
            say(self.said, quality(event.result.provenance), False)
            self.made.emit(event.result, self._project)
        self.refresh()


def quality(about: Any) -> str:
    """Say how good directions are, beside their null."""
    if "auroc" in about:
        null = "" if about.get("null") is None else f" ({about['null']:.2f} with {about['null_is']})"
        return f"Held-out AUROC {about['auroc']:.3f}{null}, {about['images']:,} images."
    if "pca_explained" in about:
        return (
            f"Explains {about['explained']:.0%} of the variance on {about['held_out_images']:,} held-out images "
            f"({about['pca_explained']:.0%} by as many principal axes); {about['unused']:.0%} of the latents are never used there."
        )
    if "explained" in about:
        return f"Explains {about['explained']:.0%} of the variance on held-out concepts ({about['null']:.0%} by {about['null_is']})."
    return ""
