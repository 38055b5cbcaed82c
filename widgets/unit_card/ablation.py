"""What the network loses without a unit: of which classes, on which images, and whether random units do the same."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QLabel, QPushButton

from widgets.theme import signal_colour
from widgets.unit_card.examples import short
from widgets.unit_card.section import Section
from widgets.views.axes import number
from widgets.views.effect_list import Effect, EffectList
from widgets.views.image_strip import ImageStrip, Picture, Row
from workbench.jobs.requests import RunAnalysis

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent

METHODS = {
    "mean": "its mean over the images",
    "zero": "zero",
    "resample": "what it is on another image",
}
INVITATION = "Take the unit out and see which classes fall, beside random units of the same layer."
SHOWN = 8


class AblationSection(Section):
    """Ablates the unit on demand."""

    picked = Signal(object, str)
    """A small picture of an image that changes much, and its name."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, "Ablation", "What the network's classes lose when this unit no longer tells images apart")
        self.method = QComboBox(self)
        for name, meaning in METHODS.items():
            self.method.addItem(name, name)
            self.method.setItemData(self.method.count() - 1, f"The unit becomes {meaning}", 3)  # its tooltip
        self.method.setToolTip("What the unit becomes: its mean over the images, zero, or what it is on another image")
        self.method.setAccessibleName("Method of ablation")
        self.method.currentIndexChanged.connect(lambda _index: self._show_known())
        self.start = QPushButton("Ablate", self)
        self.start.setToolTip("Show images of the open set to the network with and without the unit")
        self.start.clicked.connect(self._start_or_stop)
        self.head.addWidget(self.method)
        self.head.addWidget(self.start)
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.classes = EffectList()
        self.classes.setAccessibleName("Change of each class")
        self.images = ImageStrip(smallest=48, largest=72)
        self.images.setAccessibleName("Images that change most")
        self.images.picked.connect(self._pick)
        self.add(self.said, self.classes, self.images)
        self._results: dict[tuple[str, str, str, str], Result] = {}  # network, images, unit, method -> what was found
        self._job = 0
        self._asked: tuple[str, str, str, str] | None = None

    def begin(self) -> None:
        """Show what is known of this unit already."""
        self._show_known()

    def _subject(self) -> tuple[str, str, str, str] | None:
        model, images = self.session.model, self.session.images
        if model is None or images is None or self.unit is None:
            return None
        return model.ref, images.ref, str(self.unit), self.method.currentData()

    def _start_or_stop(self) -> None:
        subject = self._subject()
        if self._job:
            self.session.relay.cancel(self._job)
        elif subject is not None and self.unit is not None:
            self._asked = subject
            parameters = {"layer": self.unit.layer, "units": [self.unit.index], "method": subject[3]}
            self._job = self.session.relay.submit(RunAnalysis("Ablation", parameters, subject[0], subject[1]), self._take)
            self._show_known()

    def _take(self, event: JobEvent) -> None:
        asked = self._asked
        if event.state == "done" and asked is not None:
            self._results[asked] = event.result
        if event.ended:
            self._job, self._asked = 0, None
            self._show_known()
            if event.state == "failed":
                self._say(event.error, wrong=True)
        elif asked == self._subject():
            done = f"{event.done / event.total:.0%}" if event.total else event.note or "waiting for its turn"
            so_far = event.partial
            change = f", change so far {number(so_far['change'])}" if isinstance(so_far, dict) and "change" in so_far else ""
            self._say(f"Ablating: {done}{change}")

    def _show_known(self) -> None:
        subject = self._subject()
        self.start.setEnabled(subject is not None)
        self.start.setText("Cancel" if self._job else "Ablate")
        result = self._results.get(subject) if subject is not None else None
        self.note.clear()
        if result is None:
            self.classes.clear()
            self.images.clear()
            self._say("Ablating…" if self._job and subject == self._asked else INVITATION if subject else "Open images first.")
        else:
            self._show(result)

    def _show(self, result: Result) -> None:
        summary, arrays = result.summary, result.arrays
        model = self.session.model
        assert model is not None
        origin = self.made_from(
            images=result.provenance["images"],
            method=summary["method"],
            n=summary["images"],
            measure=summary["measure"],
            seed=result.provenance["seed"],
        )
        interval = f" [{number(summary['change_low'])}, {number(summary['change_high'])}]" if summary["change_low"] is not None else ""
        null = ""
        if "percentile" in summary:
            low, high = number(summary["null_low"]), number(summary["null_high"])
            null = f"; random units {low} to {high}, larger than {summary['percentile']:.0f} % of them"
        unit = " nats" if "class_change" in arrays else ""
        self.note.setText(f"n = {summary['images']:,}")
        self._say(f"{number(summary['change'])}{interval}{unit}{null}.")
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
            chance = (summary["null_low"], summary["null_high"]) if "null_low" in summary else None
            self.classes.show_effects(
                effects,
                title=f"Classes that fall most without {self.unit}",
                label=f"change of log-probability in nats, 95 % over {summary['groups']}s",
                null=chance,
                made_from=origin,
            )
        pictures = tuple(
            Picture(arrays["most_pictures"][place], number(entry["change"]), short(entry["id"]), entry["change"], entry["id"])
            for place, entry in enumerate(summary["most_changed"])
        )
        self.images.show_rows(
            [Row("change most", pictures, lines=1)], title=f"Images that change most without {self.unit}", made_from=origin
        )

    def _pick(self, row: int, place: int) -> None:
        picture = self.images.rows[row].pictures[place]
        self.picked.emit(picture.pixels.copy(), picture.tip)

    def _say(self, text: str, wrong: bool = False) -> None:
        self.said.setText(text)
        self.said.setStyleSheet(f"color: {signal_colour('error', self.palette()).name()}" if wrong else "")

    def views(self) -> list[View]:
        """Classes and images, where the unit was ablated."""
        return [*([self.classes] if self.classes.effects else []), *([self.images] if self.images.rows else [])]

    def save_state(self) -> dict[str, Any]:
        """Keep the method."""
        return {"method": self.method.currentData()}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.method.setCurrentIndex(max(0, self.method.findData(state.get("method"))))
