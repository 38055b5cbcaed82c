"""The units most like a unit: in what drives them, and in what reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from widgets.unit_card.question import LayerQuestion
from widgets.views.effect_list import Effect, EffectList
from workbench.models.layer import Unit

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result


class NeighboursSection(LayerQuestion):
    """Nearest units by the correlation of activations and by the weights that read them; a click leads to one."""

    analysis: ClassVar[str] = "NearestUnits"
    verb: ClassVar[str] = "Find"
    invitation: ClassVar[str] = "Compare what drives this unit, and what reads it, with the other units of the layer."

    def __init__(self, session: Session) -> None:
        super().__init__(
            session,
            "Nearest units",
            "Units of this layer with correlated activations, and units that later layers read alike",
            "Compare all units of this layer, beside three random-weight twins",
        )
        self.head.addWidget(self.start)
        self.lists = {"activation": EffectList(linked=True), "weights": EffectList(linked=True)}
        self._units: dict[str, list[Unit]] = {}
        for name, view in self.lists.items():
            view.setAccessibleName(f"Nearest units by {name}")
            view.picked.connect(lambda place, name=name: self.session.select_unit(self._units[name][place]))
        self.add(self.said, *self.lists.values())

    def clear_result(self) -> None:
        """Show no units."""
        self._units = {}
        for view in self.lists.values():
            view.clear()

    def show_result(self, result: Result) -> None:
        """Show both lists."""
        assert self.unit is not None
        arrays, layer, unit = result.arrays, result.parameters["layer"], self.unit.index
        self.clear_result()
        origin = self.made_from(
            images=result.provenance["images"], n=result.summary["images"], seed=result.provenance["seed"]
        )
        correlation = [arrays[f"{layer}/{name}"][unit] for name in ("held_out", "low", "high")]
        self._show("activation", arrays[f"{layer}/index"][unit], correlation, arrays[f"{layer}/twins"], origin)
        if "weights/index" in arrays:
            self._show("weights", arrays["weights/index"][unit], [arrays["weights/cosine"][unit]], arrays["weights/twins"], origin)
        self.note.setText(f"n = {result.summary['images']:,}")
        self.say("By what drives them, then by what reads them. Click a unit to open it.")

    def _show(
        self, name: str, index: np.ndarray, values: list[np.ndarray], twins: np.ndarray, origin: dict[str, object]
    ) -> None:
        assert self.unit is not None
        label = {
            "activation": "correlation over held-out concepts, 95 %",
            "weights": "cosine of the weights that read them",
        }[name]
        known = [place for place in range(len(index)) if index[place] >= 0 and np.isfinite(values[0][place])]
        self._units[name] = [Unit(self.unit.layer, int(index[place])) for place in known]
        effects = [
            Effect(str(unit), *(float(value[place]) for value in values), text=f"{float(values[0][place]):.2f}")
            for unit, place in zip(self._units[name], known, strict=True)
        ]
        finite = twins[np.isfinite(twins)]
        null = (float(np.quantile(finite, 0.025)), float(np.quantile(finite, 0.975))) if finite.size else None
        self.lists[name].show_effects(
            effects,
            title=f"Units nearest to {self.unit} by {name}",
            label=label,
            null=null,
            null_name="nearest in random-weight twins",
            made_from=origin,
        )

    def views(self) -> list[View]:
        """The lists that have units."""
        return [view for view in self.lists.values() if view.effects]
