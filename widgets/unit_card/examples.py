"""Which images a unit responds to: the strongest, samples of every range of activation, the weakest; and the sweep that finds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QElapsedTimer, Signal

from widgets.sight import in_sight
from widgets.unit_card.section import Section
from widgets.unit_card.sweep_bar import SweepBar
from widgets.views.axes import number
from widgets.views.image_strip import ImageStrip, Picture, Row
from workbench.amounts import rough_duration, size
from workbench.jobs.example_requests import UnitExamples
from workbench.jobs.machine import EstimateSweep, SweepCost
from workbench.jobs.requests import FetchImages, Sweep, skipped_images

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.jobs.job import JobEvent

SHOWN = (*(f"{end}_{what}" for end in ("top", "sample", "bottom") for what in ("values", "index", "position")), "range_edges")
"""Arrays of a sweep that the rows are drawn from."""
SECONDS_BETWEEN_LOOKS = 3.0  # at what a sweep that is still running has found


class Examples(Section):
    """Dataset examples in rows, and above them the offer to sweep or the progress of a sweep."""

    found = Signal(object)
    """What is known of the unit from the images (mapping as of `UnitExamples`, empty for nothing), whenever that changes."""
    picked = Signal(object, str)
    """The whole image (uint8) that a clicked example was cut from, and its name."""

    def __init__(self, session: Session) -> None:
        super().__init__(
            session,
            "Dataset examples",
            "Images of the open set by how strongly the unit responds to them: the strongest, and samples of every range.\n"
            "Click one to see where in the image the unit is active",
        )
        self.sweep = SweepBar()
        self.strip = ImageStrip(smallest=52, largest=84)
        self.strip.setAccessibleName("Dataset examples")
        self.add(self.sweep, self.strip)
        self._found: Mapping[str, Any] = {}
        self._arriving: tuple[int, Mapping[str, Any]] = 0, {}  # job, and its partial results so far
        self._sweeping: JobEvent | None = None
        self._rates: dict[str, float] = {}  # model -> images a second of its last sweep
        self._costs: dict[tuple[str, str, str], SweepCost] = {}  # of a sweep of a layer, by network, images, layer
        self._estimating: tuple[str, str, str] | None = None
        self._fetching: tuple[FetchImages | None, str] = (None, "")  # the clicked example's image, and its name
        self._looked = QElapsedTimer()
        self.sweep.start.connect(self._start_sweep)
        self.sweep.stop.connect(self._stop_sweep)
        self.strip.picked.connect(self._fetch)
        session.relay.event.connect(self._follow_sweep)
        session.computing_changed.connect(self._forget_speeds)

    def begin(self) -> None:
        """Show nothing until it is known whether there is anything."""
        self._set({})
        self.strip.clear()
        self.sweep.hide()

    def ask(self) -> None:
        """Ask what a sweep has found of the unit."""
        model, images, unit = self.session.model, self.session.images, self.unit
        if model is None or unit is None:
            return
        if images is None:
            self.begin()
            self.note.clear()
            self.strip.clear(
                "No images are open. Choose a set in the panel Model, or drop a folder of images onto the window."
            )
            return
        self._looked.start()
        self.session.relay.submit(UnitExamples(model.ref, images.ref, str(unit)), self._take)

    def _take(self, event: JobEvent) -> None:
        request, images = event.request, self.session.images
        assert isinstance(request, UnitExamples)
        if images is None or request.images != images.ref or not self.shows(request.model, request.unit):
            return
        if event.state == "failed":
            self.sweep.warn(event.error, "Try again")
        elif event.state == "done":
            found = event.result or {}
            if event.job != self._arriving[0] or found.keys() != self._arriving[1].keys():  # else partial results have brought all of it
                self._set(found)
                self._show()
        elif event.partial is not None:
            is_first = event.job != self._arriving[0]
            arrived = event.partial if is_first else {**self._arriving[1], **event.partial}
            self._arriving = event.job, arrived
            if is_first:
                self.found.emit(arrived)  # the numbers; the pictures stay those of the last answer until theirs are there
            if "top_images" in arrived:
                self._found = arrived
                self._show()

    def _set(self, found: Mapping[str, Any]) -> None:
        self._found = found
        self.found.emit(found)

    @property
    def seen(self) -> int:
        """Images the examples were chosen from; 0 while unknown."""
        return int(np.sum(self._found.get("max_histogram", 0)))

    @property
    def arithmetic(self) -> str:
        """Numbers that the sweep was computed with, which may be others than those chosen now; empty while that is not known."""
        return str(self._found.get("sweep", {}).get("arithmetic", ""))

    # ------------------------------------------------------------------------------------------------ the rows

    def _show(self) -> None:
        self._show_sweep()
        images = self.session.images
        self.strip.recomputation = None
        if not self._found or images is None:
            self.strip.clear()
            return
        rows = [self._row("strongest", "top", (), lines=2)]
        edges = self._found.get("range_edges")
        ranges = len(self._found["sample_images"]) if "sample_images" in self._found else 0
        for index in reversed(range(ranges)):
            between = f"{number(float(edges[index]))} to {number(float(edges[index + 1]))}" if edges is not None else ""
            label = f"{quantile_range(index, ranges)} of images"
            rows.append(self._row(label, "sample", (index,), note=between, strongest_first=True))
        rows.append(self._row("weakest" if self.layer.role == "post" else "most negative", "bottom", ()))
        self.strip.show_rows(
            [row for row in rows if row.pictures],
            title=f"Dataset examples of {self.unit} ({self.role}), {images.name}, n = {self.seen:,}",
            made_from=self.made_from_images(
                method="largest activation of each image; samples of equal ranges of its rank"
            ),
        )
        self.strip.recomputation = self.sweep_recomputation(self._found, SHOWN)

    def made_from_images(self, **more: object) -> dict[str, object]:
        """Return the provenance of a figure made from the open images."""
        images = self.session.images
        assert images is not None
        return self.made_from(
            images=images.ref, images_hash=images.content_hash, n=self.seen, arithmetic=self.arithmetic, **more
        )

    def _row(
        self,
        label: str,
        end: str,
        part: tuple[int, ...],
        *,
        lines: int = 1,
        note: str = "",
        strongest_first: bool = False,
    ) -> Row:
        """Make one row from the arrays whose names begin with `end`; `part` indexes their leading axes."""
        found = self._found
        if f"{end}_images" not in found:
            return Row(label, ())
        values = found[f"{end}_values"][part]
        order = range(len(values))[::-1] if strongest_first else range(len(values))
        known = [place for place in order if place < len(found[f"{end}_images"][part]) and not math.isnan(values[place])]
        return Row(label, tuple(self._picture(end, (*part, place)) for place in known), note, lines)

    def _picture(self, end: str, place: tuple[int, ...]) -> Picture:
        found, shape = self._found, self._found[f"{end}_values"].shape
        value = float(found[f"{end}_values"][place])
        name = found[f"{end}_names"][int(np.ravel_multi_index(place, shape))]
        top, left, bottom, right = (int(edge) for edge in found[f"{end}_boxes"][place])
        height, width = found["size"]
        lines = [name, f"activation {number(value)}"]
        mark = None
        if f"{end}_position" in found and self.layer.positions:
            at = [int(axis) for axis in found[f"{end}_position"][place]][: len(self.layer.positions)]
            lines.append(f"at position ({', '.join(map(str, at))}) of {' × '.join(map(str, self.layer.positions))}")
            if (bottom - top, right - left) == (height, width) and len(at) == 2:
                rows, columns = self.layer.positions
                mark = (at[0] + 0.5) / rows, (at[1] + 0.5) / columns
        if (bottom - top, right - left) != (height, width):
            lines.append(f"cut to the receptive field: {right - left} × {bottom - top} of {width} × {height} px")
        return Picture(found[f"{end}_images"][place], number(value), short(name), value, "\n".join(lines), mark)

    def _fetch(self, row: int, place: int) -> None:
        """Read the whole image that an example was cut from."""
        name, images = self.strip.rows[row].pictures[place].tip.partition("\n")[0], self.session.images
        for end in ("top", "sample", "bottom"):
            names = self._found.get(f"{end}_names", ())
            if images is not None and name in names:
                index = int(np.ravel(self._found[f"{end}_index"])[names.index(name)])
                request = FetchImages(images.ref, (index,), self._found["size"], purpose="inspector example")
                self._fetching = request, name
                self.session.relay.submit(request, self._take_image)
                return

    def _take_image(self, event: JobEvent) -> None:
        request, name = self._fetching
        if event.request is not request or self.session.reading:  # both are read in turn: what is still being read is newer
            return
        if event.state == "done":
            self.picked.emit(event.result[0], name)
        elif event.state == "failed":
            self.session.report(event.error, event.details)

    # ------------------------------------------------------------------------------------------------ the sweep

    def _is_of_this_layer(self, request: object) -> bool:
        model, images = self.session.model, self.session.images
        return (
            isinstance(request, Sweep)
            and model is not None
            and images is not None
            and self.unit is not None
            and (request.model, request.images) == (model.ref, images.ref)
            and self.unit.layer in request.layers
        )

    def _start_sweep(self) -> None:
        model, images, unit = self.session.model, self.session.images, self.unit
        if model is not None and images is not None and unit is not None:
            self.session.relay.submit(Sweep(model.ref, images.ref, (unit.layer,)))

    def _stop_sweep(self) -> None:
        if self._sweeping is not None:
            self.session.relay.cancel(self._sweeping.job)

    def _follow_sweep(self, event: JobEvent) -> None:
        """Follow a sweep whoever started it, and show what it has found so far."""
        if not isinstance(event.request, Sweep):
            return
        if event.rate:
            self._rates[event.request.model] = event.rate
        self._sweeping = None if event.ended else event
        skipped = skipped_images(event.result.summary) if event.state == "done" else ""
        if skipped:
            self.session.inform(f"{event.request.title}: {skipped}")
        if not self._is_of_this_layer(event.request):
            return
        if event.state == "failed":
            self.sweep.warn(event.error, "Try again")
        elif event.ended:
            self.ask_once_seen()
        else:
            self._show_sweep()
            waited = self._looked.isValid() and self._looked.elapsed() > 1000 * SECONDS_BETWEEN_LOOKS
            if event.state == "progress" and waited and in_sight(self):
                self.ask()

    def _forget_speeds(self) -> None:
        self._rates.clear()
        self._costs.clear()

    def _estimate(self) -> None:
        """Measure once what a sweep of this layer takes."""
        model, images, unit = self.session.model, self.session.images, self.unit
        if model is not None and images is not None and unit is not None and in_sight(self):
            subject = model.ref, images.ref, unit.layer
            if subject not in self._costs and subject != self._estimating:
                self._estimating = subject
                self.session.relay.submit(EstimateSweep(model.ref, images.ref, (unit.layer,)), self._take_estimate)

    def _take_estimate(self, event: JobEvent) -> None:
        request = event.request
        assert isinstance(request, EstimateSweep)
        if event.state == "done":
            self._costs[request.model, request.images, request.layers[0]] = event.result
            if not self._found:
                self._show_sweep()
        if event.ended and self._estimating == (request.model, request.images, request.layers[0]):
            self._estimating = None  # one that failed or gave way is measured at the next look

    def _show_sweep(self) -> None:
        """Offer a sweep, follow it, or get out of the way."""
        images, model = self.session.images, self.session.model
        if images is None or model is None or self.unit is None:
            return
        rough = f" · {self.arithmetic}, not exact" if self.seen and self.arithmetic not in ("", "fp32") else ""
        self.note.setText(f"{images.name}, n = {self.seen:,}{rough}" if self.seen else images.name)
        rate, cost = self._rates.get(model.ref), self._costs.get((model.ref, images.ref, self.unit.layer))
        missing = images.length - self.seen
        seconds = missing / rate if rate else cost.seconds * missing / images.length if cost is not None else None
        time = f", about {rough_duration(seconds)}" if seconds is not None else ""
        room = f", {size(cost.bytes)} on disk" if cost is not None else ""
        if self._sweeping is not None and self._is_of_this_layer(self._sweeping.request):
            self.sweep.follow(self._sweeping)
        elif not self._found:
            self.sweep.offer(
                f"What does this layer respond to? Show it all images of {images.name} once; the answer is kept for every unit.",
                f"Sweep {images.name} ({images.length:,} images{time}{room})",
            )
            self._estimate()
        elif not self._found.get("finished", True):
            self.sweep.offer(
                f"From {self.seen:,} of {images.length:,} images: the sweep was stopped.", f"Go on with the sweep{time}"
            )
        else:
            self.sweep.hide()

    # ------------------------------------------------------------------------------------------------ the card's contract

    def views(self) -> list[View]:
        """The strip, when there are examples."""
        return [self.strip] if self.strip.rows else []

    def save_state(self) -> dict[str, Any]:
        """Keep how fast sweeps were, for the estimate."""
        return {"rates": self._rates}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self._rates |= {str(model): float(rate) for model, rate in dict(state.get("rates", {})).items() if rate > 0}


def quantile_range(index: int, ranges: int) -> str:
    """Name one of `ranges` equal ranges of rank: ``80–100 %``."""
    return f"{100 * index / ranges:.0f}–{100 * (index + 1) / ranges:.0f} %"


def short(name: str) -> str:
    """The last part of an image's name, without folder and ending."""
    last = str(name).replace("\\", "/").rpartition("/")[2]
    stem, dot, ending = last.rpartition(".")
    return stem if dot and len(ending) <= 4 else last
