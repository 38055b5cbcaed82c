"""Up to six units side by side on the same scales: of one network, of several, of one network at several moments of its training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from widgets.badge import Badge
from widgets.docks import Panel
from widgets.elided_label import ElidedLabel
from widgets.scrolled import scrolled
from widgets.sight import in_sight
from widgets.theme import say, set_icon
from widgets.unit_card.examples import short
from widgets.views.axes import number
from widgets.views.histogram import Histogram
from widgets.views.image_strip import ImageStrip, Picture, Row
from workbench.address import Address
from workbench.jobs.example_requests import UnitExamples
from workbench.jobs.on_image_requests import UnitOnImage
from workbench.jobs.requests import Sweep
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.labels import variable_of
from workbench.models.layer import Unit
from workbench.owner import known_of
from workbench.recompute import of_sweep, of_visualizations

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.jobs.job import JobEvent, Request
    from workbench.recompute import Recomputation

MOST = 6
"""Units side by side."""
SEEDS, EXAMPLES = 2, 6
INVITATION = (
    "Pin a unit to compare it: Ctrl+K pins the one in the inspector.\n\nThe same unit of another network, of a checkpoint "
    "(bundled:inception?step=110) or of a random-weight twin is added by its address in the field above."
)


class Column(QObject):
    """What is known of one pinned unit, as widgets that stand under one another (`parts`).

    Attributes
    ----------
    model, unit
        Reference of its network, and the unit.
    """

    known = Signal()
    """The histogram has changed: scales have to be shared anew."""
    closed = Signal()
    followed = Signal()
    """Its heading was clicked: show it in the inspector."""

    def __init__(self, session: Session, model: str, unit: Unit, place: str, within: QWidget) -> None:
        super().__init__(within)
        self.session, self.model, self.unit = session, model, unit
        self._place = place  # tells its requests from those of other columns
        self._found: Mapping[str, Any] = {}
        self._pictures: dict[str, np.ndarray] = {}
        self._value: float | None = None
        self._jobs: list[int] = []
        self.unasked = {"images", "examples", "response"}
        self.name = QToolButton(within)
        self.name.setText(str(unit))
        self.name.setAutoRaise(True)
        self.name.setToolTip(f"{model}\n{unit}\nClick to open it in the inspector")
        font = self.name.font()
        font.setBold(True)
        self.name.setFont(font)
        self.name.clicked.connect(self.followed)
        self.of = ElidedLabel(parent=within, mode=Qt.TextElideMode.ElideMiddle)
        self.of.setText(model)
        close = QToolButton(within)
        set_icon(close, "close")
        close.setAutoRaise(True)
        close.setToolTip(f"Unpin {unit}")
        close.setAccessibleName(f"Unpin {unit} of {model}")
        close.clicked.connect(self.closed)
        head = QHBoxLayout()
        head.setSpacing(2)
        head.addWidget(self.name)
        head.addStretch(1)
        head.addWidget(close)
        self.header = QWidget(within)
        top = QVBoxLayout(self.header)
        top.setContentsMargins(4, 2, 2, 0)
        top.setSpacing(0)
        top.addLayout(head)
        top.addWidget(self.of)
        self.images = ImageStrip(within, smallest=72, largest=130)
        self.images.setAccessibleName(f"Feature visualizations of {unit} of {model}")
        self.histogram = Histogram(within)
        self.histogram.setFixedHeight(190)
        self.examples = ImageStrip(within, smallest=48, largest=72)
        self.examples.setAccessibleName(f"Dataset examples of {unit} of {model}")
        self.said = QLabel(within, wordWrap=True)
        self.said.hide()
        self.sweep = QPushButton("Sweep", within)
        self.sweep.setToolTip("Show the images to this layer of this network; progress is in the panel Jobs")
        self.sweep.clicked.connect(self._start_sweep)
        self.sweep.hide()
        self.message = QWidget(within)
        below = QVBoxLayout(self.message)
        below.setContentsMargins(6, 0, 6, 0)
        below.addWidget(self.said)
        below.addWidget(self.sweep, 0, Qt.AlignmentFlag.AlignLeft)
        self._show_images()
        self.histogram.clear("The histogram comes with the dataset examples.")

    @property
    def parts(self) -> tuple[QWidget, ...]:
        """What stands under one another."""
        return self.header, self.images, self.histogram, self.message, self.examples

    def ask(self) -> None:
        """Ask for what was not asked yet."""
        wanted, self.unasked = self.unasked, set()
        if "images" in wanted:
            for level in ("coarse", "fine"):
                self._submit(
                    Thumbnails(
                        self.model, self.unit.layer, (self.unit.index,), level, seeds=SEEDS, purpose=f"compare {self._place}"
                    ),
                    self._take_images,
                )
        if "examples" in wanted:
            self.ask_examples()
        if "response" in wanted:
            self.ask_response()

    def cancel(self) -> None:
        """Stop what is still being computed for this column."""
        for job in self._jobs:
            self.session.relay.cancel(job)

    def _submit(self, request: Request, take: Callable[[JobEvent], None]) -> None:
        self._jobs.append(self.session.relay.submit(request, take))

    def ask_examples(self) -> None:
        """Ask what the open images do to it."""
        if self.session.images is not None:
            request = UnitExamples(self.model, self.session.images.ref, str(self.unit), f"compare {self._place}")
            self._submit(request, self._take_examples)

    def ask_response(self) -> None:
        """Ask what the user's own image does to it."""
        self._mark(None)
        if self.session.image is not None:
            request = UnitOnImage(
                self.model, self.unit.layer, self.unit.index, self.session.image, purpose=f"compare {self._place}"
            )
            self._submit(request, self._take_response)

    def _take_images(self, event: JobEvent) -> None:
        request = event.request
        assert isinstance(request, Thumbnails)
        if event.state == "failed":
            self._say(event.error, wrong=True)
            return
        found = event.partial or event.result
        if found and self.unit.index in found:
            self._pictures[request.level] = found[self.unit.index]
            self._show_images()

    def _show_images(self) -> None:
        found = self._pictures.get("fine", self._pictures.get("coarse"))
        pictures = tuple(Picture(None if found is None else found[seed], f"seed {seed}") for seed in range(SEEDS))
        title = f"Feature visualization of {self.unit} of {self.model}"
        self.images.show_rows([Row("", pictures)], title=title, made_from=self._made_from(seeds=SEEDS))
        level = "fine" if "fine" in self._pictures else "coarse"
        index = self.unit.index
        again = of_visualizations(self.model, self.unit.layer, (index,), level, SEEDS, {"pictures": False}, self._variables())
        self.images.recomputation = again if found is not None else None

    def _take_examples(self, event: JobEvent) -> None:
        images = self.session.images
        if images is None or event.request.images != images.ref:
            return
        if event.state == "failed":
            self._say(event.error, wrong=True)
        elif event.state == "done":
            self._found = event.result or {}
            self._show_examples()

    def _show_examples(self) -> None:
        images = self.session.images
        counts = self._found.get("max_histogram")
        if images is None or counts is None or not np.any(counts):
            self.examples.clear()
            self.histogram.clear("No sweep of this layer yet.")
            self._say(f"{self.unit.layer} of this network has not seen {images.name}." if images is not None else "No images are open.")
            self.sweep.setVisible(images is not None)
            self.known.emit()
            return
        self._say("")
        self.sweep.hide()
        seen = int(np.sum(counts))
        origin = self._made_from(images=images.ref, images_hash=images.content_hash, n=seen)
        filled = np.flatnonzero(counts)
        part = slice(int(filled[0]), int(filled[-1]) + 1)
        self.histogram.show_counts(
            self._found["max_histogram_edges"][part.start : part.stop + 1],
            counts[part],
            title=f"{self.unit} of {self.model}",
            label="largest activation of an image",
            counted="images",
            note=f"n = {seen:,}",
            made_from=origin,
        )
        self._mark(self._value)
        values = self._found["top_values"]
        pictures = tuple(
            Picture(
                self._found["top_images"][i],
                number(float(values[i])),
                short(self._found["top_names"][i]),
                float(values[i]),
                f"{self._found['top_names'][i]}\nactivation {number(float(values[i]))}",
            )
            for i in range(min(EXAMPLES, len(values)))
            if np.isfinite(values[i])
        )
        self.examples.show_rows(
            [Row("strongest", pictures, images.name)], title=f"Dataset examples of {self.unit} of {self.model}", made_from=origin
        )
        self.histogram.recomputation = self._sweep_lines(("max_histogram", "max_histogram_edges"))
        self.examples.recomputation = self._sweep_lines(("top_values", "top_index"))
        self.known.emit()

    def _sweep_lines(self, arrays: Sequence[str]) -> Recomputation | None:
        images, sweep, unit = self.session.images, self._found.get("sweep"), self.unit
        if images is None or sweep is None:
            return None
        return of_sweep(self.model, images.ref, sweep, unit.index, arrays, unit.layer, self._variables())

    def _variables(self) -> dict[int, str]:
        """Return the variable name of the unit, by its number."""
        return {self.unit.index: variable_of(known_of(self.session.project.labels, self.model, self.unit.layer), self.unit)}

    def _take_response(self, event: JobEvent) -> None:
        if event.state == "done" and event.request.image is self.session.image:
            self._mark(event.result["value"])

    def _mark(self, value: float | None) -> None:
        self._value = value
        self.histogram.set_marker(value, f"your image {number(value)}" if value is not None else "")

    def _start_sweep(self) -> None:
        if self.session.images is not None:
            self.sweep.setEnabled(False)
            self.session.relay.submit(Sweep(self.model, self.session.images.ref, (self.unit.layer,)), self._follow_sweep)

    def _follow_sweep(self, event: JobEvent) -> None:
        if event.state == "failed":
            self._say(event.error, wrong=True)
        elif not event.ended:
            self._say(f"Sweep: {int(event.done):,} of {int(event.total):,} images" if event.total else "Sweep: waiting for its turn")
        if event.ended:
            self.sweep.setEnabled(True)

    def _made_from(self, **more: object) -> dict[str, object]:
        opened = self.session.model
        badge = self.session.badge if opened is not None and opened.ref == self.model and "images" in more else ""
        weights = opened.weight_hash if opened is not None and opened.ref == self.model else None
        known = {"weights": weights} if weights else {}
        address = str(Address(self.model, layer=self.unit.layer, units=(self.unit.index,)))
        return {"model": self.model, **known, "unit": str(self.unit), "address": address, **({"badge": badge} if badge else {}), **more}

    def _say(self, text: str, wrong: bool = False) -> None:
        say(self.said, text, wrong)
        self.said.setVisible(bool(text))

    @property
    def extent(self) -> tuple[float, float, float] | None:
        """Smallest and largest activation and largest count of the histogram; None where there is none."""
        data = self.histogram.data()
        if not data["counts"].size:
            return None
        edges = [*data["edges"], *([self._value] if self._value is not None else [])]
        return float(min(edges)), float(max(edges)), float(data["counts"].max())

    def views(self) -> list[View]:
        """What is shown now."""
        shown: list[View] = [self.images] if self._pictures else []
        return [*shown, *([self.histogram, self.examples] if self.examples.rows else [])]


class ComparePanel(Panel):
    """Pinned units in columns."""

    id: ClassVar[str] = "compare"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.columns: list[Column] = []
        self._made = 0
        self.pin_selected = QPushButton("Pin selected unit", self)
        self.pin_selected.setToolTip("Pin the unit that the inspector shows (Ctrl+K)")
        self.pin_selected.clicked.connect(self.pin_current)
        self.reference = QLineEdit(self)
        self.reference.setPlaceholderText("Another network for the last unit, such as bundled:inception?step=110")
        self.reference.setToolTip("The unit pinned last, in another network or checkpoint: type its reference and press Enter")
        self.reference.setAccessibleName("Reference of another network")
        self.reference.returnPressed.connect(self._pin_elsewhere)
        self.same_scales = QCheckBox("Same scales", self)
        self.same_scales.setToolTip("Let all histograms have the same axes")
        self.same_scales.setChecked(True)
        self.same_scales.toggled.connect(self._share_scales)
        bar = QHBoxLayout()
        bar.setContentsMargins(6, 4, 6, 2)
        bar.addWidget(self.pin_selected)
        bar.addWidget(self.reference, 1)
        bar.addWidget(self.same_scales)
        self.invitation = QLabel(INVITATION, self, wordWrap=True, alignment=Qt.AlignmentFlag.AlignCenter)
        self.invitation.setMargin(24)
        content = QWidget()
        self._grid = QGridLayout(content)
        self._grid.setContentsMargins(4, 0, 4, 4)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(2)
        self.scroll = scrolled(content, self)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addLayout(bar)
        whole.addWidget(Badge(session, self))
        whole.addWidget(self.invitation, 1)
        whole.addWidget(self.scroll, 1)
        session.relay.event.connect(self._follow_sweeps)
        session.unit_changed.connect(self._refresh)
        session.images_changed.connect(lambda _card: self._renew("examples"))
        session.image_changed.connect(lambda _image: self._renew("response"))
        session.project_changed.connect(self._let_go)
        self._refresh()

    # ------------------------------------------------------------------------------------------------ pins

    def pin_current(self) -> None:
        """Pin the selected unit of the open network."""
        if self.session.model is not None and self.session.unit is not None:
            self.pin(self.session.owner(self.session.unit.layer), self.session.unit)

    def pin(self, model: str, unit: Unit) -> None:
        """Put a unit in a column of its own; one that has a column already keeps it, of more than `MOST` the oldest gives way."""
        if any((column.model, column.unit) == (model, unit) for column in self.columns):
            self.session.inform(f"{unit} of {model} is pinned already.")
            return
        while len(self.columns) >= MOST:
            self.unpin(self.columns[0])
        column = Column(self.session, model, unit, str(self._made), self.scroll.widget())
        self._made += 1
        column.closed.connect(lambda: self.unpin(column))
        column.followed.connect(lambda: self._follow(column))
        column.known.connect(self._share_scales)
        self.columns.append(column)
        self._lay_out()
        self._ask()

    def unpin(self, column: Column) -> None:
        """Take a column away."""
        if column not in self.columns:
            return  # its cross was clicked twice
        self.columns.remove(column)
        column.cancel()
        for part in column.parts:
            self._grid.removeWidget(part)
            part.deleteLater()
        column.deleteLater()
        self._lay_out()
        self._share_scales()

    def _pin_elsewhere(self) -> None:
        """Pin the last unit in another network."""
        ref = self.reference.text().strip()
        unit = self.columns[-1].unit if self.columns else self.session.unit
        if not ref or unit is None:
            return
        self.reference.clear()
        self.pin(ref, unit)

    def _follow_sweeps(self, event: JobEvent) -> None:
        """Look again when a sweep has ended that somebody else started."""
        if isinstance(event.request, Sweep) and event.state == "done":
            for column in self.columns:
                if column.model == event.request.model and column.unit.layer in event.request.layers:
                    column.ask_examples()

    def _follow(self, column: Column) -> None:
        session = self.session
        if session.is_open(column.model):
            session.select_unit(column.unit)
        else:
            session.open_model(column.model, layer=column.unit.layer, unit=column.unit)

    def _lay_out(self) -> None:
        self.session.pinned = tuple((column.model, column.unit) for column in self.columns)
        for place, column in enumerate(self.columns):
            for row, part in enumerate(column.parts):
                self._grid.addWidget(part, row, place, Qt.AlignmentFlag.AlignTop)
        for place in range(MOST):
            self._grid.setColumnMinimumWidth(place, 190 if place < len(self.columns) else 0)
            self._grid.setColumnStretch(place, place < len(self.columns))
        self._grid.setRowStretch(len(self.columns[0].parts) if self.columns else 0, 1)
        self._refresh()

    def _refresh(self) -> None:
        self.pin_selected.setEnabled(self.session.unit is not None)
        self.reference.setEnabled(bool(self.columns) or self.session.unit is not None)
        self.invitation.setVisible(not self.columns)
        self.scroll.setVisible(bool(self.columns))
        self.same_scales.setEnabled(len(self.columns) > 1)

    def _share_scales(self) -> None:
        extents = [extent for column in self.columns if (extent := column.extent) is not None]
        if self.same_scales.isChecked() and len(extents) > 1:
            lows, highs, counts = zip(*extents, strict=True)
            shared = (min(lows), max(highs), max(counts))
        else:
            shared = None
        for column in self.columns:
            column.histogram.share_axes(shared)

    def _renew(self, what: str) -> None:
        for column in self.columns:
            column.unasked.add(what)
        self._ask()

    def _ask(self) -> None:
        if in_sight(self):
            for column in self.columns:
                column.ask()

    def _let_go(self) -> None:
        """Another investigation is open: its pins follow, if it has some."""
        for column in list(self.columns):
            self.unpin(column)

    def showEvent(self, event: Any) -> None:
        """Ask for what was not asked while the panel was hidden."""
        super().showEvent(event)
        self._ask()

    # ------------------------------------------------------------------------------------------------ the panel's contract

    def save_state(self) -> dict[str, Any]:
        """Keep the pins."""
        return {
            "pins": [{"model": column.model, "unit": str(column.unit)} for column in self.columns],
            "same_scales": self.same_scales.isChecked(),
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take them back."""
        self.same_scales.setChecked(bool(state.get("same_scales", True)))
        for column in list(self.columns):
            self.unpin(column)
        for pin in list(state.get("pins", []))[:MOST]:
            with suppress(KeyError, TypeError, ValueError):  # what cannot be read is left out
                self.pin(str(pin["model"]), Unit.parse(str(pin["unit"])))

    def views(self) -> list[View]:
        """Visualizations, histogram and examples of every column."""
        return [view for column in self.columns for view in column.views()]
