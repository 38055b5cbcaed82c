"""The question: which images does each unit respond to, where, how strongly, and how often."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, PrivateAttr

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.dataset_examples import figures, finished, sheet
from workbench.analyses.dataset_examples.reduction import LayerBatch, LayerReduction, Wanted, seeded_fractions
from workbench.analyses.dataset_examples.running import Plan, Running
from workbench.finite import median
from workbench.input_error import InputError
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import Batch, ImageSet
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

SECONDS_BETWEEN_PARTIALS = 2.0
SECONDS_BETWEEN_STEPS = 0.25
"""Where a batch takes longer, other work and the wish to stop are let in between two layers."""
PARTIAL = ("top_values", "top_index", "top_position")


@register
class DatasetExamples(Analysis):
    """Find the images that each unit responds to, and describe how it responds, in one pass over an image set.

    All numbers are of the activation as the layer gives it: whether that is before or after a non-linearity is the layer's
    role. An image's *maximum* is the largest activation of the unit over all positions of the image. Of equal values the image that
    comes first in the set, and the position that comes first in reading order, stands first. A position is ``(y, x)`` in the
    layer's own grid, ``(token, 0)`` in a sequence, ``(0, 0)`` in a vector; with three and more axes of positions all but the last are
    joined to y.

    Arrays, each ``LAYER/NAME`` with the units as first axis (activations and edges are float32, counts int64):

    ``top_values`` ``top_index`` ``top_position``
        ``[unit, k]``, ``[unit, k]``, ``[unit, k, 2]``: the images with the largest maximum, largest first. Where there were fewer
        than k images the rest is NaN, -1 and -1.
    ``bottom_values`` ``bottom_index`` ``bottom_position``
        The same for the images with the smallest minimum, smallest first.
    ``sample_values`` ``sample_index`` ``sample_position``
        ``[unit, range, samples]`` (positions ``... 2``): images from each quantile range of the maximum, lowest range first and
        ascending within, so that a unit is not judged by its strongest examples alone. The quantiles and the samples are those
        of a random subset of `sampled` images chosen by the seed, the same for all units; padded as above.
    ``range_edges``
        ``[unit, range + 1]``: the maxima between which these ranges lie.
    ``histogram`` ``histogram_edges``
        ``[unit, bins]``, ``[unit, bins + 1]``: how often a position has an activation in (edge, next edge]. Taken at `positions` seeded
        positions an image (one in each of as many equal stretches of the reading order, or all if there are no more), or at all.
        Widths are powers of two, zero is an edge.
    ``max_histogram`` ``max_histogram_edges``
        The same for the images' maxima; counts every image.
    ``mean`` ``std`` ``max`` ``min``
        ``[unit]``, over all positions of all images (std is that of the population).
    ``sparsity``
        Part of the positions of the histogram with an activation above zero, in [0, 1].
    ``active_images``
        Part of the images with a maximum above zero, in [0, 1].
    ``treves_rolls``
        Lifetime sparseness a = (mean r)^2 / mean r^2 over images, r the maximum, or 0 where it is negative (Rolls and Tovee 1995):
        in (0, 1], 1 when all images drive the unit alike, about the part of the images that do when few drive it; NaN when none does.
    ``nonfinite_images``
        Images in which the unit has a NaN or an infinite activation: left out of everything but mean and std, which then are NaN.

    Four arrays are of all layers together:

    ``example_index`` ``example_ids``
        ``[example]``, ascending, and their names: every image that is an example of some unit. ``example_ids[searchsorted(example_index,
        top_index)]`` names the examples of a layer (where `top_index` is not -1).
    ``sheet_units`` ``sheet_images``
        ``[layer, unit]``, uint8 ``[layer, unit, column, y, x, 3]``: small images for the figures, of at most 8 layers
        (`sheet.drawn_layers`) and 6 units of each (-1: there are fewer), from the sparsest to the densest, in the columns of
        `sheet.columns`.

    Nothing is kept that grows with the number of images. In a folder (`kept_in`) a sweep that was interrupted goes on after the last
    batch that was done. The batch size halves itself when memory does not suffice. All numbers are taken in float32 and added
    up in float64.
    """

    title: ClassVar[str] = "Dataset examples"
    version: ClassVar[int] = 2
    needs_images: ClassVar[bool] = True
    takes_bf16: ClassVar[bool] = True

    layers: tuple[str, ...] = Field(min_length=1, description="Layers whose units are described, by name.")
    k: int = Field(default=16, ge=1, le=512, description="Images with the strongest response kept of each unit.")
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="Chooses the sampled images and the positions of the histogram."
    )
    ranges: int = Field(
        default=5, ge=1, le=20, description="Quantile ranges of the response that examples are drawn from."
    )
    samples: int = Field(default=8, ge=1, le=64, description="Examples drawn from each quantile range.")
    sampled: int = Field(
        default=512, ge=1, le=65536, description="Images of the random subset that these are drawn from."
    )
    histogram: Literal["seeded", "full"] = Field(
        default="seeded", description="Count a few seeded positions of each image, or all of them (about half as fast)."
    )
    positions: int = Field(default=16, ge=1, le=4096, description="Seeded positions of each image in the histogram.")
    bins: int = Field(
        default=64, ge=8, le=1024, description="Bins of each histogram; at least half of them are in use."
    )
    batch: int = Field(
        default=64, ge=1, le=4096, description="Images computed at once; halves itself when memory is short."
    )

    _folder: Path | None = PrivateAttr(default=None)

    def kept_in(self, folder: str | Path) -> DatasetExamples:
        """Return the same analysis with a folder of its own: it resumes what it finds there, and leaves its results there as zarr."""
        kept = self.model_copy()
        kept._folder = Path(folder)
        return kept

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Stream the images through the network, truncated after the last of the layers."""
        assert images is not None
        if not len(images):
            raise InputError(f"{images.name} has no images")
        layers = self._layers(model)
        plan = self._plan(model, images, layers)
        done = finished.read(self._folder, plan) if self._folder is not None else None
        if done is None:
            running = Running(plan, self._folder)
            batch = self._sweep(model, images, layers, running, task)
            found = {name: finished.describe(running.units(name), plan) for name in layers}
            summary = self._summary(layers, found, running) | {
                "batch": batch,
                "skipped": len(images) - running.seen,
                "unreadable": running.unreadable,
            }
            shown = sheet.columns(self.k, self.ranges, self.samples)
            pictures = sheet.read(images, found, shown, model.preprocessing.size, task)
            if self._folder is not None:
                finished.write(self._folder, plan, found, pictures, summary)
            done = found, pictures, summary
        found, pictures, summary = done
        arrays = {f"{layer}/{name}": array for layer, of in found.items() for name, array in of.items()}
        return arrays | sheet.names_of(images, found) | pictures, summary

    def kept_bytes(self, model: TracedModel, images: ImageSet) -> int:
        """Return about how much the finished sweep takes on disk."""
        running = Running(self._plan(model, images, self._layers(model)))
        return sum(array.nbytes for array in running.arrays.values()) + 8 * self.ranges * self.samples * running.plan.units

    def _layers(self, model: TracedModel) -> dict[str, Layer]:
        """Find the layers, by the names they were asked for."""
        found: dict[str, Layer] = {}
        for name in self.layers:
            layer = model.layer(name)
            twin = next((other for other, known in found.items() if known.name == layer.name), None)
            if twin is not None:
                raise InputError(f"{name} and {twin} are the same layer; name it once")
            found[name] = layer
        return found

    def _plan(self, model: TracedModel, images: ImageSet, layers: Mapping[str, Layer]) -> Plan:
        return Plan(
            key=self.key(model, images),
            layers={name: layer.units for name, layer in layers.items()},
            k=self.k,
            bins=self.bins,
            ranges=self.ranges,
            samples=self.samples,
            seed=self.seed,
            sampled=min(self.sampled, len(images)),
            total=len(images),
        )

    def _sweep(
        self, model: TracedModel, images: ImageSet, layers: Mapping[str, Layer], running: Running, task: Task
    ) -> int:
        """Add up all batches that are not done yet; return the batch size that memory sufficed for."""
        reductions = {}
        for name, layer in layers.items():
            so_far = running.units(name).arrays
            ends = so_far["top_value"], so_far["bottom_value"]
            reductions[name] = LayerReduction(layer, running.plan.place(name), *ends, running.histogram)
        stepped = shown = time.monotonic()
        note = ""

        def watched(reduction: LayerReduction) -> Callable[[torch.Tensor], LayerBatch]:
            def reduce(activation: torch.Tensor) -> LayerBatch:
                nonlocal stepped
                result = reduction(activation)
                if time.monotonic() - stepped > SECONDS_BETWEEN_STEPS:
                    task.step(running.next_image, len(images), note=note)
                    stepped = time.monotonic()
                return result

            return reduce

        forward = model.forward_to(list(layers), {name: watched(of) for name, of in reductions.items()})

        def reduced(part: Batch) -> dict[str, LayerBatch]:
            nonlocal stepped
            seeded = self.histogram == "seeded"
            fractions = seeded_fractions(self.seed, part.indices, self.positions) if seeded else None
            wanted = Wanted(fractions, running.is_sampled(part.indices))
            for reduction in reductions.values():
                reduction.wanted = wanted
            stepped = time.monotonic()
            with torch.inference_mode():
                return dict(zip(layers, forward(model.preprocess(part.images)), strict=True))

        size = self.batch
        todo = np.arange(running.next_image, len(images))
        for batch in images.batches(model.preprocessing.size, self.batch, todo):
            rows = 0
            while rows < len(batch.indices):
                some = slice(rows, rows + size)
                part = replace(batch, indices=batch.indices[some], images=batch.images[some])
                try:
                    results = reduced(part)
                except (MemoryError, RuntimeError) as error:
                    if not out_of_memory(error) or len(part.indices) == 1:
                        raise
                    size = len(part.indices) // 2
                    note = f"memory is short: {size} images at once"
                    continue
                running.add(part.indices, results)
                running.name_unreadable(images.skipped)
                running.save()
                rows += len(part.indices)
                partial = None
                if time.monotonic() - shown > SECONDS_BETWEEN_PARTIALS:
                    partial, shown = self._partial(running), time.monotonic()
                task.step(running.next_image, len(images), partial, note)
        running.name_unreadable(images.skipped)
        return size

    @staticmethod
    def _partial(running: Running) -> dict[str, npt.NDArray[Any]]:
        """Copy the examples found so far."""
        return {
            f"{layer}/{name}": array
            for layer in running.plan.layers
            for name, array in finished.extremes(running.units(layer), "top").items()
        }

    def _summary(
        self, layers: Mapping[str, Layer], found: Mapping[str, finished.Arrays], running: Running
    ) -> dict[str, Any]:
        """Say what the numbers rest on, and name the units that cannot be read: dead ones, and those with NaN."""
        described = {}
        for name, layer in layers.items():
            arrays = found[name]
            nonfinite = arrays["nonfinite_images"]
            silent = arrays["max"] == arrays["min"]
            if layer.role == "post":
                silent |= arrays["max"] <= 0
            described[name] = {
                "role": layer.role,
                "units": layer.units,
                "positions": int(np.prod(running.shapes.get(name, ()))),
                "dead": np.flatnonzero(silent).tolist(),
                "nonfinite": np.flatnonzero(nonfinite).tolist(),
                "median_sparsity": median(arrays["sparsity"]),
                "median_treves_rolls": median(arrays["treves_rolls"]),
            }
        return {
            "images": running.seen,
            "sampled_images": int(running.sampled.sum()),
            "histogram_positions": self.positions if self.histogram == "seeded" else "all",
            "layers": described,
        }

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the examples and the histograms of some units of each layer, and how sparse the layers are."""
        drawn = {"histograms": figures.histograms(result), "sparsity": figures.sparsity(result)}
        return drawn | figures.examples(result)


def out_of_memory(error: BaseException) -> bool:
    """Whether the device or the machine had no memory left, whatever the error is called."""
    words = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error).lower() for word in words)
