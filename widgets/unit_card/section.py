"""A part of a unit's card: a heading that folds what is below it, and what all parts have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from widgets.elided_label import ElidedLabel
from widgets.sight import in_sight
from workbench.labels import primary, variable_of
from workbench.models.layer import Layer, Unit
from workbench.owner import known_of
from workbench.recompute import Recomputation, of_sweep

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View


class Section(QWidget):
    """Base of the parts: shows one unit of the open network under a heading that folds.

    A subclass adds its widgets with `add`, forgets the last unit in `begin`, and asks the worker in `ask`, which the card calls only
    while somebody can see it.
    """

    outdated = Signal()
    """There is something new to be asked for, and nobody can see it."""

    def __init__(self, session: Session, title: str, help: str) -> None:
        super().__init__()
        self.session = session
        self.unit: Unit | None = None
        self.place = ""  # where it is, as an address names it: ``inspector.histogram``
        self._button = QToolButton(self)
        self._button.setText(title)
        self._button.setToolTip(help)
        self._button.setAutoRaise(True)
        self._button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._button.setArrowType(Qt.ArrowType.DownArrow)
        font = self._button.font()
        font.setBold(True)
        self._button.setFont(font)
        self._button.clicked.connect(lambda: setattr(self, "open", not self.open))
        self._open = True
        self.note = ElidedLabel(parent=self, mode=Qt.TextElideMode.ElideLeft)  # the number is at its end
        self.note.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.head = QHBoxLayout()
        self.head.setContentsMargins(0, 0, 6, 0)
        self.head.addWidget(self._button)
        self.head.addWidget(self.note, 1)
        self._body = QWidget(self)
        self._content = QVBoxLayout(self._body)
        self._content.setContentsMargins(0, 0, 0, 0)
        self._content.setSpacing(2)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 4)
        whole.setSpacing(2)
        whole.addLayout(self.head)
        whole.addWidget(self._body)

    def add(self, *content: QWidget) -> None:
        """Put widgets under one another below the heading."""
        for widget in content:
            self._content.addWidget(widget)

    @property
    def open(self) -> bool:
        """Whether the content is shown."""
        return self._open

    @open.setter
    def open(self, shown: bool) -> None:
        self._open = shown
        self._body.setVisible(shown)
        self._button.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        if shown:
            self.unfolded()

    def unfolded(self) -> None:
        """Catch up on what was not asked for while the section was folded."""

    # ------------------------------------------------------------------------------------------------ the unit

    def show_unit(self, unit: Unit) -> None:
        """Turn to another unit of the open network; nothing is asked for yet."""
        self.unit = unit
        self.begin()

    def begin(self) -> None:
        """Forget what was shown of the last unit."""
        raise NotImplementedError

    def ask(self) -> None:
        """Ask the worker for what is shown of the unit."""

    def ask_once_seen(self, ask: Callable[[], None] | None = None) -> None:
        """Ask again, now if somebody can see it, else all once somebody can; `ask` asks for what is new of it."""
        if in_sight(self):
            (ask or self.ask)()
        else:
            self.outdated.emit()

    def views(self) -> list[View]:
        """Return what can be exported now."""
        return []

    def save_state(self) -> dict[str, Any]:
        """Return how things are drawn, as plain data."""
        return {}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take back what `save_state` returned."""

    # ------------------------------------------------------------------------------------------------ said in every figure

    @property
    def layer(self) -> Layer:
        """The unit's layer."""
        assert self.unit is not None
        return self.session.layers[self.unit.layer]

    @property
    def role(self) -> str:
        """``pre-activation``, ``post-activation``, or ``activation`` where there is no non-linearity."""
        return f"{self.layer.role}-activation" if self.layer.role else "activation"

    def shows(self, model: str, unit: Unit | str) -> bool:
        """Whether this is still the unit that is shown; an answer about another one comes too late."""
        return self.session.model is not None and model == self.session.model.ref and str(unit) == str(self.unit)

    def variables(self) -> dict[int, str]:
        """Return the variable name of the unit, by its number."""
        assert self.session.model is not None and self.unit is not None
        return {self.unit.index: variable_of(known_of(self.session.project.labels, self.session.model.ref, self.unit.layer), self.unit)}

    def sweep_recomputation(
        self, found: Mapping[str, Any], arrays: Sequence[str], unit: Unit | None = None
    ) -> Recomputation | None:
        """Return what finds arrays of the unit, or of another, again that a sweep has found; None where it is not known how it was made."""
        model, images, unit = self.session.model, self.session.images, unit or self.unit
        if model is None or images is None or unit is None or "sweep" not in found:
            return None
        names = self.variables() if unit == self.unit else {}
        return of_sweep(model.ref, images.ref, found["sweep"], unit.index, arrays, unit.layer, names)

    def made_from(self, **more: object) -> dict[str, object]:
        """Return the provenance of a figure of this unit."""
        model = self.session.model
        assert model is not None and self.unit is not None
        label = primary(known_of(self.session.project.labels, model.ref, self.unit.layer).get(str(self.unit), ()))
        return {
            "model": model.ref,
            "weights": model.weight_hash,
            "unit": str(self.unit),
            "address": str(self.session.addresses.of_unit(self.unit, self.place)),
            "role": self.role,
            "label": label.name if label is not None else "",
            **({"badge": self.session.badge} if "images" in more and self.session.badge else {}),
            **more,
        }
