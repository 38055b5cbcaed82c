"""Which labels, keywords and styles of the images a unit separates, at all levels of its activation; any of them can become its label."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from widgets.label_edit import set_labels
from widgets.unit_card.question import LayerQuestion
from widgets.views.axes import number
from widgets.views.effect_list import Effect, EffectList
from workbench.labels import Label
from workbench.owner import known_of

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result


class SelectivitySection(LayerQuestion):
    """The ten labels that the unit separates best, chosen on one half of the concepts and measured on the other."""

    analysis: ClassVar[str] = "LabelSelectivity"
    verb: ClassVar[str] = "Measure"
    invitation: ClassVar[str] = "Which labels of the images does each unit of this layer tell from the rest, beside random-weight twins?"

    def __init__(self, session: Session) -> None:
        super().__init__(
            session,
            "Separates",
            "Labels, keywords and styles whose images drive the unit more (or less) than the others do: AUROC, at all levels of activation",
            "Measure all units of this layer at once, beside three random-weight twins",
        )
        self.head.addWidget(self.start)
        self.labels = EffectList(linked=True)
        self.labels.setAccessibleName("Labels that the unit separates")
        self.labels.picked.connect(self._propose)
        self.add(self.said, self.labels)
        self._proposals: list[Label] = []

    def clear_result(self) -> None:
        """Show no labels."""
        self._proposals = []
        self.labels.clear()

    def show_result(self, result: Result) -> None:
        """Show the unit's labels."""
        assert self.unit is not None
        arrays, summary, unit = result.arrays, result.summary, self.unit.index
        listed = [place for place, label in enumerate(arrays["listed"][unit]) if label >= 0 and np.isfinite(arrays["auroc"][unit, label])]
        labels = arrays["listed"][unit][listed]
        self._proposals = [self._proposal(result, place) for place in listed]
        twins = None
        if summary["twins"] and listed:
            twins = float(arrays["twin_lowest"][:, labels].min()), float(arrays["twin_highest"][:, labels].max())
        self.labels.show_effects(
            [self._effect(result, place) for place in listed],
            title=f"Labels that {self.unit} separates",
            label="AUROC on held-out concepts, 95 %",
            zero=0.5,
            null=twins,
            null_name="random-weight twins",
            span=(0.0, 1.0),
            made_from=self.made_from(
                images=result.provenance["images"], n=summary["images"], concepts=summary["concepts"], seed=result.provenance["seed"]
            ),
        )
        self.note.setText(f"n = {summary['images']:,}")
        detectable = summary["detectable_auroc"]
        self.say(
            f"{summary['labels']} labels over {summary['concepts']:,} concepts"
            + (f", found from an AUROC of about {number(detectable)} on" if detectable is not None else "")
            + ". * random-weight twins reach as much. Click one to propose it as a label."
        )

    def _effect(self, result: Result, place: int) -> Effect:
        assert self.unit is not None
        arrays, unit = result.arrays, self.unit.index
        label = int(arrays["listed"][unit, place])
        whole = float(arrays["auroc"][unit, label])
        value, low, high = (float(arrays[f"listed_{what}"][unit, place]) for what in ("auroc", "low", "high"))
        name, tip, star = str(arrays["label_names"][label]), "", ""
        if result.summary["twins"]:
            lowest, highest = float(arrays["twin_lowest"][:, label].min()), float(arrays["twin_highest"][:, label].max())
            tip = f"\nrandom-weight twins reach {lowest:.2f} to {highest:.2f}"
            star = " *" if lowest <= whole <= highest else ""
        return Effect(
            name,
            value,
            low,
            high,
            text=f"{value:.2f}{star}",
            tip=f"{name}, {_rests_on(result, label)}\nAUROC {value:.3f} [{low:.3f}, {high:.3f}] on concepts it was not chosen on; "
            f"{whole:.3f} on all, q = {float(arrays['q'][unit, label]):.2g}{tip}\nClick to propose it as the unit's label",
        )

    def _proposal(self, result: Result, place: int) -> Label:
        assert self.unit is not None
        arrays, unit = result.arrays, self.unit.index
        label = int(arrays["listed"][unit, place])
        value, low, high = (float(arrays[f"listed_{what}"][unit, place]) for what in ("auroc", "low", "high"))
        name = str(arrays["label_names"][label]).partition(":")[2]
        rests_on = f"{_rests_on(result, label)} of {result.provenance['images']}"
        evidence = f"AUROC {value:.2f} [{low:.2f}, {high:.2f}] on held-out concepts; {rests_on}"
        confidence = min(1.0, abs(2 * value - 1)) if np.isfinite(value) else None
        return Label(name if value >= 0.5 else f"not {name}", confidence, self.analysis, evidence, "proposed")

    def _propose(self, place: int) -> None:
        """Add a label with its evidence, marked as proposed."""
        model, unit = self.session.model, self.unit
        if model is None or unit is None or place >= len(self._proposals):
            return
        proposal = self._proposals[place]
        known = known_of(self.session.project.labels, model.ref, unit.layer).get(str(unit), [])
        others = [label for label in known if label.identity != proposal.identity]
        set_labels(self.session, model.ref, unit, [*others, proposal], f"propose {proposal.name}")

    def views(self) -> list[View]:
        """The labels, where the layer was measured."""
        return [self.labels] if self.labels.effects else []


def _rests_on(result: Result, label: int) -> str:
    """Say how many images and concepts have a label."""
    arrays = result.arrays
    return f"{int(arrays['label_images'][label]):,} images of {int(arrays['label_concepts'][label])} concepts"
