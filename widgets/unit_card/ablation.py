"""What the network loses without a unit: of which classes, on which images, and whether random units do the same."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox

from widgets.choice_box import choice_box
from widgets.unit_card.examples import short
from widgets.unit_card.question import Question, Subject
from widgets.views.axes import number
from widgets.views.effect_list import Effect, EffectList
from widgets.views.image_strip import ImageStrip, Picture, Row

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result

METHODS = {
    "mean": "its mean over the images",
    "zero": "zero",
    "resample": "what it is on another image",
}
SHOWN = 8


class AblationSection(Question):
    """Ablates the unit on demand."""

    analysis: ClassVar[str] = "Ablation"
    verb: ClassVar[str] = "Ablate"
    invitation: ClassVar[str] = "Take the unit out and see which classes fall, beside random units of the same layer."
    picked = Signal(object, str)
    """A small picture of an image that changes much, and its name."""

    def __init__(self, session: Session) -> None:
        super().__init__(
            session,
            "Ablation",
            "What the network's classes lose when this unit, or all that are selected together, no longer tell images apart",
            "Show images of the open set to the network with and without it",
        )
        methods = {name: (name, f"The activation becomes {meaning}") for name, meaning in METHODS.items()}
        self.method = choice_box(QComboBox(self), methods, "Method of ablation", self.show_known)
        self.method.setToolTip("What the unit becomes: its mean over the images, zero, or what it is on another image")
        self.whom = QComboBox(self)
        self.whom.addItems(["this unit", ""])
        self.whom.setToolTip("Take out this unit alone, or all that are selected together")
        self.whom.setAccessibleName("What is ablated")
        self.whom.currentIndexChanged.connect(lambda _index: self.show_known())
        self.head.addWidget(self.whom)
        self.head.addWidget(self.method)
        self.head.addWidget(self.start)
        self.classes = EffectList()
        self.classes.setAccessibleName("Change of each class")
        self.images = ImageStrip(smallest=48, largest=72)
        self.images.setAccessibleName("Images that change most")
        self.images.picked.connect(self._pick)
        self.add(self.said, self.classes, self.images)

    def begin(self) -> None:
        """Offer to take out the units that are selected together, where there are several."""
        selected = self.session.selection
        self.whom.setItemText(1, f"{self.session.family or 'all'} ({len(selected)} units)")
        self.whom.setVisible(len(selected) > 1)
        super().begin()

    @property
    def taken_out(self) -> tuple[int, ...]:
        """The units that are ablated together."""
        assert self.unit is not None
        selected = self.session.selection
        together = self.whom.currentIndex() == 1 and len(selected) > 1 and self.unit.layer == self.session.layer
        return tuple(sorted(selected)) if together else (self.unit.index,)

    @property
    def who(self) -> str:
        """What is ablated, in words."""
        assert self.unit is not None
        units = self.taken_out
        if len(units) == 1:
            return str(self.unit)
        many = f"{len(units)} units of {self.unit.layer}"
        return f"{self.session.family}, {many}" if self.session.family else many

    def about(self) -> Subject:
        """The units, one method."""
        assert self.unit is not None
        return self.unit.layer, self.taken_out, self.method.currentData()

    def parameters(self) -> dict[str, Any]:
        """Take out these units."""
        assert self.unit is not None
        return {"layer": self.unit.layer, "units": list(self.taken_out), "method": self.method.currentData()}

    def clear_result(self) -> None:
        """Show no classes and no images."""
        self.said.setToolTip("")
        self.classes.clear()
        self.images.clear()

    def show_result(self, result: Result) -> None:
        """Show the change with its null, the classes, and the images."""
        self.clear_result()
        summary, arrays = result.summary, result.arrays
        origin = self.made_from(
            images=result.provenance["images"],
            method=summary["method"],
            n=summary["images"],
            measure=summary["measure"],
            seed=result.provenance["seed"],
            ablated=list(self.taken_out),
        )
        interval = f" [{number(summary['change_low'])}, {number(summary['change_high'])}]" if summary["change_low"] is not None else ""
        null = ""
        if "percentile" in summary:
            low, high = number(summary["null_low"]), number(summary["null_high"])
            null = f"; random units {low} to {high}, larger than {summary['percentile']:.0f} % of them"
        if "class_percentile" in summary:
            null += f"; the largest fall of a class exceeds that of {summary['class_percentile']:.0f} % of them"
        unit = " nats" if "class_change" in arrays else ""
        self.note.setText(f"n = {summary['images']:,}")
        self.say(f"{number(summary['change'])}{interval}{unit}{null}.")
        self.said.setToolTip(f"Mean change of the {summary['measure']}, with the 95 % interval over {summary['groups']}s")
        if "class_change" in arrays:
            effects = [
                Effect(
                    entry["class"],
                    entry["change"],
                    math.nan if entry["low"] is None else entry["low"],
                    math.nan if entry["high"] is None else entry["high"],
                    tip=f"{entry['class']}: {entry['images']} images of {entry['concepts']} {summary['groups']}s",
                )
                for entry in summary["classes"][:SHOWN]
            ]
            chance = None
            if "null_class_change" in arrays:
                falls = np.nanmin(arrays["null_class_change"], 1)  # of each draw the class that falls most: these are chosen like that
                chance = (float(np.quantile(falls, 0.025)), float(np.quantile(falls, 0.975)))
            self.classes.show_effects(
                effects,
                title=f"Classes that fall most without {self.who}",
                label=f"change of log-probability in nats, 95 % over {summary['groups']}s",
                null=chance,
                null_name="largest falls with random units",
                made_from=origin,
            )
        pictures = tuple(
            Picture(arrays["most_pictures"][place], number(entry["change"]), short(entry["id"]), entry["change"], entry["id"])
            for place, entry in enumerate(summary["most_changed"])
        )
        self.images.show_rows(
            [Row("change most", pictures, lines=1)], title=f"Images that change most without {self.who}", made_from=origin
        )

    def _pick(self, row: int, place: int) -> None:
        picture = self.images.rows[row].pictures[place]
        self.picked.emit(picture.pixels.copy(), picture.tip)

    def views(self) -> list[View]:
        """Classes and images, where the unit was ablated."""
        return [*([self.classes] if self.classes.effects else []), *([self.images] if self.images.rows else [])]

    def save_state(self) -> dict[str, Any]:
        """Keep the method."""
        return {"method": self.method.currentData()}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.method.setCurrentIndex(max(0, self.method.findData(state.get("method"))))
