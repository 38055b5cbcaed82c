"""The running results of a sweep: what has been added up so far, for the units of all layers side by side, and its place on disk.

Nothing here grows with the number of images. After every batch the state (a few kilobytes a unit) is written beside the old one and
moved in its place, so whenever the process dies, all batches but the one in the works are there. What the sampled images gave is not
part of it: each has its own row in two files mapped into memory, and doing a batch again writes the same rows.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from workbench.analyses.dataset_examples.histogram import Grid, UnitHistogram, finite_range
from workbench.analyses.dataset_examples.reduction import LayerBatch
from workbench.input_error import InputError
from workbench.whole_file import replacing

if TYPE_CHECKING:
    from workbench.images.image_set import UnreadableImage

STATE = "state.safetensors"
SAMPLE_VALUES, SAMPLE_PLACES = "sample_values.f32", "sample_places.i32"
NAMED = 50
"""Unreadable images that are kept by name."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What a sweep will keep: the same plan resumes, another one starts again.

    Attributes
    ----------
    key
        Content key of the analysis, the network and the images.
    layers
        Units of each layer, by the name it was asked for.
    k, bins, ranges, samples, seed
        As the analysis has them.
    sampled
        How many images are sampled.
    total
        How many images there are.
    """

    key: str
    layers: dict[str, int]
    k: int
    bins: int
    ranges: int
    samples: int
    seed: int
    sampled: int
    total: int

    @property
    def units(self) -> int:
        """Number of units of all layers."""
        return sum(self.layers.values())

    def place(self, layer: str) -> slice:
        """Say where a layer's units lie among all.

        Raises
        ------
        ValueError
            When the layer is not part of the sweep.
        """
        if layer not in self.layers:
            raise InputError(f"layer {layer!r} is not part of this sweep; it has {', '.join(self.layers)}")
        start = 0
        for name, units in self.layers.items():
            if name == layer:
                break
            start += units
        return slice(start, start + self.layers[layer])

    def sampled_images(self) -> npt.NDArray[np.int64]:
        """Return the indices of the sampled images, ascending: a subset of all chosen by the seed."""
        chosen = np.random.default_rng(self.seed).choice(self.total, self.sampled, replace=False)
        return np.sort(chosen).astype(np.int64)


@dataclass(frozen=True, eq=False)
class UnitState:
    """The running results of some units of one layer: what `finished.describe` turns into arrays for people.

    Attributes
    ----------
    arrays
        By name, the first axis counts the units.
    sample_values, sample_places
        Maximum of each sampled image seen so far, and where; ``image unit``.
    sample_images
        Indices of these images.
    seen
        Images that went into it.
    shape
        Positions of one image; empty for a vector, and before the first batch.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    sample_values: npt.NDArray[np.float32]
    sample_places: npt.NDArray[np.int32]
    sample_images: npt.NDArray[np.int64]
    seen: int
    shape: tuple[int, ...]


class Running:
    """The running results of all layers.

    Parameters
    ----------
    plan
        What is kept.
    folder
        Where the state is kept after every batch, and where it is found again; None to keep it in memory only.
    """

    def __init__(self, plan: Plan, folder: Path | None = None) -> None:
        self.plan, self.folder = plan, folder
        self.next_image = 0
        """All images before this one are done."""
        self.seen = 0
        self.unreadable: list[dict[str, str]] = []
        """The first `NAMED` images that were left out: ``id`` and ``reason``."""
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.sample_images = plan.sampled_images()
        self.sampled = np.zeros(plan.sampled, np.bool_)
        units = plan.units
        self.histogram = UnitHistogram.empty(units, plan.bins)
        self.maxima = UnitHistogram.empty(units, plan.bins)
        self.arrays: dict[str, npt.NDArray[Any]] = {
            **{f"{end}_value": np.full((units, plan.k), -np.inf, np.float32) for end in ("top", "bottom")},
            **{f"{end}_image": np.full((units, plan.k), -1, np.int32) for end in ("top", "bottom")},
            **{f"{end}_place": np.full((units, plan.k), -1, np.int32) for end in ("top", "bottom")},
            **{name: np.zeros(units) for name in ("mean", "square", "response", "response_square")},
            **{name: np.zeros(units, np.int64) for name in ("active", "nonfinite")},
            **_arrays("histogram", self.histogram),
            **_arrays("maxima", self.maxima),
        }
        resumed = folder is not None and self._resume(folder)
        shape = (plan.sampled, units)
        self.sample_values = _rows(folder, SAMPLE_VALUES, np.float32, shape, resumed)
        self.sample_places = _rows(folder, SAMPLE_PLACES, np.int32, shape, resumed)

    def add(self, images: npt.NDArray[np.int64], batch: Mapping[str, LayerBatch]) -> None:
        """Take in one batch: the images' indices, above all before, and what was kept of each layer."""
        layers = [batch[name] for name in self.plan.layers]
        high = np.concatenate([layer.high for layer in layers], 1)
        low = np.concatenate([layer.low for layer in layers], 1)
        high_at = np.concatenate([layer.high_at for layer in layers], 1)
        low_at = np.concatenate([layer.low_at for layer in layers], 1)
        finite = np.isfinite(high) & np.isfinite(low)
        if not finite.all():
            self.arrays["nonfinite"] += (~finite).sum(0)
            high, low = np.where(finite, high, np.nan), np.where(finite, low, np.nan)
        self._keep_largest("top", high, images, high_at)
        self._keep_largest("bottom", -low, images, low_at)
        self._keep_samples(high, images, high_at)
        self._add_moments(layers, len(images))
        response = np.maximum(np.nan_to_num(high), 0)
        self.arrays["active"] += (response > 0).sum(0)
        self.arrays["response"] += response.sum(0, dtype=np.float64)
        self.arrays["response_square"] += np.einsum("iu,iu->u", response, response, dtype=np.float64)
        values = torch.from_numpy(high)
        least, most, all_finite = finite_range(values)
        everything = slice(0, self.plan.units)
        self.maxima.add(self.maxima.counted([values], least, most, everything, finite=all_finite), everything)
        for name, layer in zip(self.plan.layers, layers, strict=True):
            self.histogram.add(layer.histogram, self.plan.place(name))
        self.shapes = {name: batch[name].shape for name in self.plan.layers}
        self.seen += len(images)
        self.next_image = int(images[-1]) + 1

    def name_unreadable(self, skipped: Sequence[UnreadableImage]) -> None:
        """Keep the names of images that were left out, those of an earlier run first."""
        known = {image["id"] for image in self.unreadable}
        self.unreadable += [asdict(image) for image in skipped if image.id not in known]
        del self.unreadable[NAMED:]

    def _keep_largest(
        self, end: str, new: npt.NDArray[np.float32], images: npt.NDArray[np.int64], places: npt.NDArray[np.int32]
    ) -> None:
        """Merge a batch (``image unit``) into the k largest; of equal values the earlier image stays first."""
        value, image, place = (self.arrays[f"{end}_{what}"] for what in ("value", "image", "place"))
        unit, row = np.nonzero((new > value[:, -1]).T)
        if not unit.size:
            return
        units, first, number = np.unique(unit, return_index=True, return_counts=True)
        line = np.repeat(np.arange(len(units)), number)
        column = self.plan.k + np.arange(len(unit)) - np.repeat(first, number)
        wide = (len(units), self.plan.k + int(number.max()))
        values, found, at = np.full(wide, -np.inf, np.float32), np.full(wide, -1, np.int32), np.full(wide, -1, np.int32)
        for merged, old, joining in (
            (values, value, new[row, unit]),
            (found, image, images[row]),
            (at, place, places[row, unit]),
        ):
            merged[:, : self.plan.k] = old[units]
            merged[line, column] = joining
        order = np.argsort(-values, axis=1, kind="stable")[:, : self.plan.k]
        for merged, old in ((values, value), (found, image), (at, place)):
            old[units] = np.take_along_axis(merged, order, 1)

    def _keep_samples(
        self, high: npt.NDArray[np.float32], images: npt.NDArray[np.int64], places: npt.NDArray[np.int32]
    ) -> None:
        rows = np.searchsorted(self.sample_images, images)
        mine = np.flatnonzero(self.is_sampled(images))
        self.sample_values[rows[mine]] = high[mine]
        self.sample_places[rows[mine]] = places[mine]
        self.sampled[rows[mine]] = True

    def is_sampled(self, images: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Say which images are among the sampled ones."""
        rows = np.searchsorted(self.sample_images, images).clip(max=len(self.sample_images) - 1)
        sampled: npt.NDArray[np.bool_] = self.sample_images[rows] == images
        return sampled

    def _add_moments(self, layers: list[LayerBatch], images: int) -> None:
        """Join means and sums of squared differences (Chan, Golub and LeVeque 1979); every image has as many positions as the next."""
        positions = np.concatenate([np.full(len(layer.mean), layer.positions) for layer in layers])
        old, new = self.seen * positions, images * positions
        mean, square = self.arrays["mean"], self.arrays["square"]
        difference = np.concatenate([layer.mean for layer in layers]) - mean
        square += new * np.concatenate([layer.variance for layer in layers]) + difference**2 * old * (new / (old + new))
        mean += difference * (new / (old + new))

    def units(self, layer: str) -> UnitState:
        """Return the results of a layer's units so far."""
        place = self.plan.place(layer)
        rows = np.flatnonzero(self.sampled)
        return UnitState(
            {name: array[place] for name, array in self.arrays.items()},
            self.sample_values[rows, place],
            self.sample_places[rows, place],
            self.sample_images[rows],
            self.seen,
            self.shapes.get(layer, ()),
        )

    def save(self) -> None:
        """Write the state in the place of the old one; nothing without a folder."""
        if self.folder is None:
            return
        progress = {
            "next_image": self.next_image,
            "seen": self.seen,
            "unreadable": self.unreadable,
            "shapes": self.shapes,
        }
        metadata = {"plan": json.dumps(asdict(self.plan)), "progress": json.dumps(progress)}
        # Another process that went on with the same sweep may end it and clear up meanwhile; this one goes on with what it has.
        with suppress(FileNotFoundError), replacing(self.folder / STATE) as beside:
            save_file({**self.arrays, "sampled": self.sampled}, beside, metadata)

    def _resume(self, folder: Path) -> bool:
        """Take up what an earlier run of the same plan left; what cannot be read is named in the log and done again."""
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with _opened(folder) as state:
                plan, progress = _described(state)
                if plan != self.plan:
                    raise ValueError(f"it is of another sweep, {plan.key} instead of {self.plan.key}")
                for name, size in ((SAMPLE_VALUES, 4), (SAMPLE_PLACES, 4)):
                    expected = size * self.plan.sampled * self.plan.units
                    if (folder / name).stat().st_size != expected:
                        raise ValueError(f"{name} has not its {expected} bytes")
                found = {name: state.get_tensor(name) for name in [*self.arrays, "sampled"]}
        except FileNotFoundError:
            return False
        except (SafetensorError, ValueError, KeyError, OSError) as error:
            logger.warning("the sweep in %s begins again: its state cannot be used (%s)", folder, error)
            return False
        self.sampled[:] = found.pop("sampled")
        for name, array in found.items():
            self.arrays[name][:] = array
        self.next_image, self.seen, self.shapes = progress["next_image"], progress["seen"], progress["shapes"]
        self.unreadable = progress["unreadable"]
        return True


def read_unit(folder: Path, layer: str, unit: int) -> tuple[Plan, UnitState]:
    """Read one unit's results from the state of a sweep that is not finished, without reading the others'.

    Raises
    ------
    FileNotFoundError
        When no batch is done yet.
    ValueError
        When the sweep has no such layer or unit.
    """
    with _opened(folder) as state:
        plan, progress = _described(state)
        place = plan.place(layer)
        if not 0 <= unit < place.stop - place.start:
            raise InputError(f"{layer} has units 0 to {place.stop - place.start - 1}, not {unit}")
        at = place.start + unit
        rows = np.flatnonzero(state.get_tensor("sampled"))
        names = set(state.keys()) - {"sampled"}
        arrays = {name: state.get_slice(name)[at : at + 1] for name in names}
    shape = (plan.sampled, plan.units)
    values = np.array(np.memmap(folder / SAMPLE_VALUES, np.float32, "r", shape=shape)[rows, at : at + 1])
    places = np.array(np.memmap(folder / SAMPLE_PLACES, np.int32, "r", shape=shape)[rows, at : at + 1])
    images = plan.sampled_images()[rows]
    return plan, UnitState(arrays, values, places, images, progress["seen"], progress["shapes"].get(layer, ()))


def remove_state(folder: Path) -> None:
    """Delete the running state, once the finished results are on disk, with what processes left that were killed while they wrote it."""
    killed = [path.name for path in folder.glob(f".{STATE}*")]
    for name in (STATE, SAMPLE_VALUES, SAMPLE_PLACES, *killed):
        (folder / name).unlink(missing_ok=True)


def _opened(folder: Path) -> Any:
    return safe_open(folder / STATE, framework="numpy")


def _described(state: Any) -> tuple[Plan, dict[str, Any]]:
    metadata = state.metadata() or {}
    progress = json.loads(metadata["progress"])
    progress["shapes"] = {layer: tuple(shape) for layer, shape in progress["shapes"].items()}
    return Plan(**json.loads(metadata["plan"])), progress


def _arrays(prefix: str, histogram: UnitHistogram) -> dict[str, npt.NDArray[Any]]:
    """Name a histogram's arrays for the state: the very arrays, not copies."""
    return {
        f"{prefix}_counts": histogram.counts,
        f"{prefix}_scale": histogram.grid.scale,
        f"{prefix}_offset": histogram.grid.offset,
        f"{prefix}_low": histogram.low,
        f"{prefix}_high": histogram.high,
    }


def histogram_of(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> UnitHistogram:
    """Return the histogram that was named so in the state."""
    grid = Grid(arrays[f"{prefix}_scale"], arrays[f"{prefix}_offset"])
    return UnitHistogram(arrays[f"{prefix}_counts"], grid, arrays[f"{prefix}_low"], arrays[f"{prefix}_high"])


def _rows(folder: Path | None, name: str, kind: type, shape: tuple[int, int], resumed: bool) -> npt.NDArray[Any]:
    """Return one row a sampled image: in memory, or a file mapped into it."""
    if folder is None or not shape[0]:
        return np.zeros(shape, kind)
    return np.memmap(folder / name, kind, "r+" if resumed else "w+", shape=shape)
