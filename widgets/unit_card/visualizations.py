"""What excites and what inhibits a unit most: feature visualizations from several seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QToolButton

from widgets.unit_card.section import Section
from widgets.views.image_strip import ImageStrip, Picture, Row
from workbench.jobs.thumbnail_requests import KeptThumbnails, Thumbnails
from workbench.models.layer import Unit
from workbench.recompute import Recomputation, of_visualizations

if TYPE_CHECKING:
    from typing import Any

    from widgets.session import Session
    from widgets.views.view import View
    from workbench.jobs.job import JobEvent

SEEDS = 4
TWIN = "random-weight twin"
DIVERSITY = 0.5
"""How much diverse images are pushed apart, against an activation of about one (see `FeatureVisualization.diversity`)."""
SETTLE = 120  # ms that a unit must stay selected before images are rendered for it: arrow keys may be held down


class Visualizations(Section):
    """Positive and negative images of the unit, coarse ones first."""

    picked = Signal(object, str)
    """Pixels of the image that was clicked, and what it is."""

    def __init__(self, session: Session) -> None:
        super().__init__(
            session,
            "Feature visualization",
            "Images optimized until the unit is as active (positive) or as inhibited (negative) as possible, from several seeds",
        )
        self.strip = ImageStrip(smallest=48, largest=150)  # all seeds side by side in the narrowest card
        self.strip.setAccessibleName("Feature visualizations")
        self.strip.picked.connect(self._pick)
        self.diverse = QToolButton(self)
        self.diverse.setText("Diverse")
        self.diverse.setCheckable(True)
        self.diverse.setAutoRaise(True)
        self.diverse.setToolTip("Let the images of a row differ from one another as much as they can: what else excites the unit?")
        self.diverse.toggled.connect(self._renew)
        self.head.addWidget(self.diverse)
        self.add(self.strip)
        self._found: dict[tuple[str, str], np.ndarray] = {}  # row, level -> seed y x 3
        self._settled = QTimer(self, singleShot=True, interval=SETTLE)
        self._settled.timeout.connect(self._submit)
        session.twin_changed.connect(self._on_twin)

    def begin(self) -> None:
        """Show placeholders."""
        self._settled.stop()
        self._found.clear()
        self._show()

    def ask(self) -> None:
        """Ask for what was rendered before, and for all images once the unit stays selected."""
        model, unit = self.session.model, self.unit
        if model is not None and unit is not None:
            request = KeptThumbnails(model.ref, unit.layer, unit.index, SEEDS, self.diversity)
            self.session.relay.submit(request, self._take_kept)
        self._settled.start()

    def _renew(self) -> None:
        """Render others."""
        if self.unit is not None:
            self.begin()
            self.ask_once_seen()

    @property
    def diversity(self) -> float:
        """How much the images of a row are pushed apart."""
        return DIVERSITY if self.diverse.isChecked() else 0.0

    def _on_twin(self, on: bool) -> None:
        for level in ("coarse", "fine"):
            self._found.pop((TWIN, level), None)
        self._show()
        if on:
            self.ask_once_seen()

    def _submit(self) -> None:
        model, unit = self.session.model, self.unit
        if model is None or unit is None:
            return
        for level in ("coarse", "fine"):
            for negative in (False, True):
                request = Thumbnails(
                    model.ref, unit.layer, (unit.index,), level, negative, SEEDS, "inspector", self.diversity
                )
                self.session.relay.submit(request, self._take)
            if self.session.twin_ref:
                request = Thumbnails(
                    self.session.twin_ref, unit.layer, (unit.index,), level, False, SEEDS, "inspector twin", self.diversity
                )
                self.session.relay.submit(request, self._take)

    def _take_kept(self, event: JobEvent) -> None:
        request = event.request
        assert isinstance(request, KeptThumbnails)
        current = self.shows(request.model, Unit(request.layer, request.unit)) and request.diversity == self.diversity
        if event.state == "done" and event.result and current:
            self._found |= {("negative" if negative else "positive", level): found for (negative, level), found in event.result.items()}
            self._show()

    def _take(self, event: JobEvent) -> None:
        request = event.request
        assert isinstance(request, Thumbnails)
        of_twin = bool(self.session.twin_ref) and request.model == self.session.twin_ref
        if not of_twin and not self.shows(request.model, Unit(request.layer, request.units[0])):
            return
        if request.diversity != self.diversity:
            return
        if of_twin and str(self.unit) != str(Unit(request.layer, request.units[0])):
            return
        row = TWIN if of_twin else "negative" if request.negative else "positive"
        images = event.partial or event.result
        if images and request.units[0] in images:
            self._found[row, request.level] = images[request.units[0]]
            self._show()
        elif event.state == "failed" and of_twin:
            self.session.report(event.error, event.details)
        elif event.state == "failed":
            self.strip.clear(event.error)

    def _show(self) -> None:
        if self.unit is None:
            return
        rows = [self._row("positive", "excites"), self._row("negative", "inhibits")]
        if self.session.twin_ref:
            rows.append(self._row(TWIN, "excites"))
        title = f"{'Diverse feature visualizations' if self.diversity else 'Feature visualization'} of {self.unit} ({self.role})"
        apart = {"diversity": self.diversity} if self.diversity else {}
        self.strip.show_rows(rows, title=title, made_from=self.made_from(method="feature visualization", seeds=SEEDS, **apart))
        self.strip.recomputation = self._recomputation()

    def _recomputation(self) -> Recomputation | None:
        """What renders the images that are shown again; None while there are none."""
        own = [(name, level) for name, level in self._found if name != TWIN]
        if not own or self.unit is None or self.session.model is None:
            return None
        level = "fine" if any(level == "fine" for _, level in own) else "coarse"
        shown = {"positive": False, "negative": True}
        signs = {name: negative for name, negative in shown.items() if (name, level) in own}
        model, unit = self.session.model.ref, self.unit
        return of_visualizations(model, unit.layer, (unit.index,), level, SEEDS, signs, self.variables(), self.diversity)

    def _row(self, name: str, does: str) -> Row:
        fine = self._found.get((name, "fine"))
        found = fine if fine is not None else self._found.get((name, "coarse"))
        pictures = tuple(
            Picture(
                None if found is None else found[seed],
                f"seed {seed}",
                tip=f"What {does} {self.unit}{' of the random-weight twin' if name == TWIN else ''} most, from seed {seed}. "
                "Click to show it to the network.",
            )
            for seed in range(SEEDS)
        )
        if found is None:
            return Row(name, pictures, "rendering …")
        return Row(name, pictures, f"{found.shape[2]} px" + ("" if fine is not None else ", finer ones follow"))

    def _pick(self, row: int, place: int) -> None:
        shown = self.strip.rows[row]
        pixels = shown.pictures[place].pixels
        if pixels is not None:
            self.picked.emit(np.array(pixels), f"{shown.label} visualization of {self.unit}, seed {place}")

    def views(self) -> list[View]:
        """The strip, when there are images."""
        return [self.strip] if self._found else []

    def save_state(self) -> dict[str, Any]:
        """Keep whether they are diverse."""
        return {"diverse": self.diverse.isChecked()}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.diverse.setChecked(bool(state.get("diverse", False)))
