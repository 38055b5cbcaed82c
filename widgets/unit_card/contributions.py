"""What a unit's pre-activation at one place of the user's image is the sum of; every row leads to the unit it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel

from widgets.theme import say
from widgets.unit_card.section import Section
from widgets.views.axes import number
from widgets.views.effect_list import Effect, EffectList
from workbench.jobs.on_image_requests import ContributionsOnImage
from workbench.models.layer import Unit
from workbench.recompute import of_contributions

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent

SHOWN = 12
"""Units that have a row of their own."""
INVITATION = "Show an image to the network: here stands what this unit's activation on it is the sum of. Click a cell of the map above."


class ContributionsSection(Section):
    """The additive table at one position."""

    placed = Signal(object)
    """The position the table is about, a tuple, or None."""

    def __init__(self, session: Session) -> None:
        super().__init__(
            session, "Made of", "The units before this one, each with its share of the pre-activation at one place of your image"
        )
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.rows = EffectList(linked=True)
        self.rows.setAccessibleName("Contributions of earlier units")
        self.rows.picked.connect(self._follow)
        self.add(self.said, self.rows)
        self._image: np.ndarray | None = None
        self._units: list[Unit | None] = []  # behind the rows

    def begin(self) -> None:
        """Show nothing of the last unit."""
        self._image = None
        self._units = []
        self.rows.clear()
        self.note.clear()
        self._say(INVITATION)

    def show_image(self, image: np.ndarray | None) -> None:
        """Ask for the table where the unit is most active on the user's image (uint8 ``y x 3``); None while nothing is known of it."""
        self._image = image
        if image is None:
            self.begin()
        else:
            self.ask_at(())

    def unfolded(self) -> None:
        """Ask for what was not asked while the section was folded."""
        if self._image is not None and not self.rows.effects:
            self.ask_at(())

    def ask_at(self, position: tuple[int, ...]) -> None:
        """Ask for the table at a position."""
        model = self.session.model
        if model is not None and self.unit is not None and self._image is not None and self.open:
            self._say("Adding up …")
            request = ContributionsOnImage(model.ref, self.unit.layer, self.unit.index, self._image, position)
            self.session.relay.submit(request, self._take)

    def _take(self, event: JobEvent) -> None:
        request = event.request
        assert isinstance(request, ContributionsOnImage)
        if request.image is not self._image or not self.shows(request.model, Unit(request.layer, request.unit)):
            return
        if event.state == "failed":
            self.rows.clear()
            self._say(event.error, wrong=True)
        elif event.state == "done":
            self._show(event.result)

    def _show(self, result: Result) -> None:
        summary, arrays = result.summary, result.arrays
        contribution = arrays["contribution"]
        effects: list[Effect] = []
        self._units = []
        for row in range(min(SHOWN, len(contribution))):
            layer, index = summary["sources"][int(arrays["source"][row])]["layer"], int(arrays["unit"][row])
            unit = Unit(layer, index) if index >= 0 else None
            self._units.append(unit)
            active = f"\nits activation there: {number(float(arrays['activation'][row]))}" if unit is not None else ""
            name = str(unit) if unit is not None else f"all of {layer}"
            effects.append(Effect(name, float(contribution[row]), tip=f"{name}{active}\nClick to open it" if unit is not None else name))
        rest = contribution[SHOWN:]
        if len(rest):
            effects.append(Effect(f"{len(rest):,} further units", float(rest.sum(dtype=np.float64))))
        effects.append(Effect("bias", summary["bias"]))
        if summary["held"]:
            effects.append(
                Effect("remainder", summary["remainder"], tip=f"What holding {', '.join(summary['held'])} still leaves unexplained")
            )
        position = tuple(summary["position"])
        where = f" at ({', '.join(map(str, position))})" if position else ""
        on = f" on {self.session.image_name}" if self.session.image_name else ""
        origin = self.made_from(
            image=self.session.image_name or "given by the user",
            position=list(position),
            pre_activation=summary["pre_activation"],
            relative_error=summary["relative_error"],
            sources=[source["layer"] for source in summary["sources"]],
        )
        self.rows.show_effects(
            effects, title=f"What {self.unit}{where} is made of{on}", label="share of the pre-activation", made_from=origin
        )
        model, unit, image = self.session.model, self.unit, self.session.kept_image
        if model is not None and unit is not None and image is not None:
            self.rows.recomputation = of_contributions(model.ref, image, unit.layer, unit.index, position, self.variables())
        self.note.setText(f"{number(summary['pre_activation'])}{where}")
        self._say(
            f"Pre-activation {number(summary['pre_activation'])}{where}; the rows add up to it within {summary['relative_error']:.0e} of "
            "their sizes. Click a row to follow it."
        )
        self.placed.emit(position)

    def _follow(self, place: int) -> None:
        unit = self._units[place] if place < len(self._units) else None
        if unit is not None:
            try:
                self.session.select_unit(unit)
            except ValueError as error:
                self.session.report(str(error))

    def _say(self, text: str, wrong: bool = False) -> None:
        say(self.said, text, wrong)

    def views(self) -> list[View]:
        """The table, when there is one."""
        return [self.rows] if self.rows.effects else []
