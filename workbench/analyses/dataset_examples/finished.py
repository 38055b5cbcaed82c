"""What a sweep found, for people: per unit its examples, samples, histograms and moments; and how to read one unit of a sweep on disk."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from workbench.analyses.dataset_examples.reduction import seeded_fractions
from workbench.analyses.dataset_examples.running import Plan, UnitState, histogram_of, read_unit, remove_state
from workbench.input_error import InputError

if TYPE_CHECKING:
    import zarr

FINISHED = "examples.zarr"
PACKED = ("top_values", "bottom_values", "sample_values", "range_edges")
PACKED_BITS, PACKED_UNITS = 10, 4096
"""Of what is shipped: precision of the activations above, and units in a piece."""
SHEET = "sheet"
"""Group of the small images for figures."""
UNITS_A_CHUNK = 256
STATISTICS = ("mean", "max", "min", "std", "sparsity", "active_images", "treves_rolls")
"""The results that are one number a unit, and by which units are compared."""

Arrays = dict[str, npt.NDArray[Any]]


def describe(state: UnitState, plan: Plan) -> Arrays:
    """Turn the running results of some units into the arrays of `DatasetExamples`, without the layer's name before theirs."""
    arrays = state.arrays
    found = {**extremes(state, "top"), **extremes(state, "bottom"), **_samples(state, plan)}
    for name, prefix in (("histogram", "histogram"), ("max_histogram", "maxima")):
        histogram = histogram_of(prefix, arrays).on_finest_grid()
        found[name], found[f"{name}_edges"] = histogram.counts, histogram.grid.edges(histogram.bins)
    counts = found["histogram"].sum(1)
    above = np.where(found["histogram_edges"][:, :-1] >= 0, found["histogram"], 0).sum(1)
    valid = state.seen - arrays["nonfinite"]
    values = state.seen * int(np.prod(state.shape))
    with np.errstate(invalid="ignore", divide="ignore"):
        found["mean"] = (arrays["mean"] if state.seen else arrays["mean"] * np.nan).astype(np.float32)
        found["std"] = np.sqrt(arrays["square"] / np.float64(values)).astype(np.float32)
        found["sparsity"] = (above / counts).astype(np.float32)
        found["active_images"] = (arrays["active"] / valid).astype(np.float32)
        squares = arrays["response_square"] * valid
        found["treves_rolls"] = (arrays["response"] ** 2 / squares).astype(np.float32)
    found["nonfinite_images"] = arrays["nonfinite"].copy()
    found["max"], found["min"] = found["top_values"][:, 0], found["bottom_values"][:, 0]
    return found


def extremes(state: UnitState, end: Literal["top", "bottom"]) -> Arrays:
    """Return the largest or smallest activations, their images and their positions; NaN and -1 where there were fewer images."""
    sign = 1 if end == "top" else -1
    index = state.arrays[f"{end}_image"]
    values = np.where(index >= 0, sign * state.arrays[f"{end}_value"], np.nan).astype(np.float32)
    position = _positions(state.arrays[f"{end}_place"], state.shape)
    return {f"{end}_values": values, f"{end}_index": index.copy(), f"{end}_position": position}


def _positions(place: npt.NDArray[np.int32], shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Turn places in reading order into ``y, x`` (``token, 0`` for a sequence); -1 stays."""
    width = shape[-1] if len(shape) > 1 else 1
    return np.where(place[..., None] >= 0, np.stack([place // width, place % width], -1), -1).astype(np.int32)


def _samples(state: UnitState, plan: Plan) -> Arrays:
    """Images from each quantile range of the sampled images' maxima: one from each of as many equal stretches of its ranks."""
    images, units = state.sample_values.shape
    order = np.argsort(state.sample_values, axis=0, kind="stable")
    ranked = np.take_along_axis(state.sample_values, order, 0)
    valid = np.isfinite(ranked).sum(0)
    bounds = valid[:, None] * np.arange(plan.ranges + 1) // plan.ranges
    size = np.diff(bounds)[:, :, None]
    start = size * np.arange(plan.samples) // plan.samples
    length = size * np.arange(1, plan.samples + 1) // plan.samples - start
    picks = np.arange(plan.ranges, dtype=np.int64)
    fraction = seeded_fractions(plan.seed + 1, picks, plan.samples)
    few = size <= plan.samples
    within = np.where(few, np.arange(plan.samples), start + (fraction * length).astype(np.int64))
    known = within < size
    rank = np.where(known, bounds[:, :-1, None] + within, 0)
    column = np.arange(units)[:, None, None]
    if not images:
        empty = np.full((units, plan.ranges, plan.samples), -1, np.int32)
        edges = np.full((units, plan.ranges + 1), np.nan, np.float32)
        return {
            "sample_values": np.full(empty.shape, np.nan, np.float32),
            "sample_index": empty,
            "sample_position": _positions(empty, state.shape),
            "range_edges": edges,
        }
    row = order[rank, column]
    at_edge = ranked[np.minimum(bounds, np.maximum(valid - 1, 0)[:, None]), np.arange(units)[:, None]]
    return {
        "sample_values": np.where(known, state.sample_values[row, column], np.nan).astype(np.float32),
        "sample_index": np.where(known, state.sample_images[row], -1).astype(np.int32),
        "sample_position": _positions(np.where(known, state.sample_places[row, column], -1), state.shape),
        "range_edges": np.where(valid[:, None] > 0, at_edge, np.nan).astype(np.float32),
    }


def write(folder: Path, plan: Plan, layers: Mapping[str, Arrays], sheet: Arrays, summary: Mapping[str, Any]) -> None:
    """Keep the finished results as zarr, all layers' units side by side and the sheet apart, and delete the running state."""
    import zarr

    written = folder / f".{FINISHED}"
    if written.exists():
        shutil.rmtree(written)
    group = zarr.open_group(written, mode="w")
    for name in next(iter(layers.values())):
        array = np.concatenate([arrays[name] for arrays in layers.values()])
        group.create_array(name, data=array, chunks=(min(UNITS_A_CHUNK, len(array)), *array.shape[1:]))
    apart = group.create_group(SHEET)
    for name, array in sheet.items():
        apart.create_array(name, data=array)
    group.attrs["key"] = plan.key
    group.attrs["layers"] = json.dumps(plan.layers)
    group.attrs["summary"] = json.dumps(summary)
    if (folder / FINISHED).exists():
        shutil.rmtree(folder / FINISHED)
    os.replace(written, folder / FINISHED)
    remove_state(folder)


def pack(folder: Path) -> None:
    """Make finished results a quarter smaller, without the sheet: activations of examples are kept to a thousandth, in larger pieces."""
    import zarr
    from zarr.codecs import ZstdCodec

    packed = folder / f".{FINISHED}"
    before, group = zarr.open_group(folder / FINISHED, mode="r"), zarr.open_group(packed, mode="w")
    for name, array in _members(before).items():
        values = np.asarray(array[:])
        if name in PACKED:
            values = to_bits(values, PACKED_BITS)
        rows = min(PACKED_UNITS, len(values))
        group.create_array(name, data=values, chunks=(rows, *values.shape[1:]), compressors=ZstdCodec(level=19))
    group.create_group(SHEET)
    group.attrs.update(before.attrs.asdict())
    shutil.rmtree(folder / FINISHED)
    os.replace(packed, folder / FINISHED)


def to_bits(values: npt.NDArray[np.float32], bits: int) -> npt.NDArray[np.float32]:
    """Round numbers to so many bits of precision beside the leading one; what is no number stays."""
    rest = 23 - bits
    whole = values.astype(np.float32).view(np.int32)
    rounded = ((whole + (1 << (rest - 1))) >> rest << rest).view(np.float32)
    return np.where(np.isfinite(values), rounded, values)


def read(folder: Path, plan: Plan) -> tuple[dict[str, Arrays], Arrays, dict[str, Any]] | None:
    """Return the finished results kept in a folder, layer by layer, the sheet and the summary; None when some of it is missing."""
    import zarr

    if not (folder / FINISHED / SHEET).exists():
        return None
    group = zarr.open_group(folder / FINISHED, mode="r")
    if group.attrs["key"] != plan.key or json.loads(str(group.attrs["layers"])) != plan.layers:
        return None
    arrays = {name: np.asarray(array[:]) for name, array in _members(group).items()}
    sheet = {name: np.asarray(array[:]) for name, array in _members(zarr.open_group(folder / FINISHED / SHEET, mode="r")).items()}
    layers = {layer: {name: array[plan.place(layer)] for name, array in arrays.items()} for layer in plan.layers}
    return layers, sheet, json.loads(str(group.attrs["summary"]))


def unit_examples(source: str | Path | Mapping[str, npt.NDArray[Any]], layer: str, unit: int) -> Arrays:
    """Return what a sweep found of one unit, by the names of `DatasetExamples` without the layer's and without the unit's axis.

    Parameters
    ----------
    source
        The arrays of a result, or the folder of a sweep (`DatasetExamples.kept_in`): finished, or still running; then it is what
        the batches done so far have given. From a folder only this layer's part is read, in milliseconds, and remembered.

    Raises
    ------
    FileNotFoundError
        When no batch of that sweep is done.
    ValueError
        When the sweep has no such layer or unit.
    """
    if isinstance(source, Mapping):
        prefix = f"{layer}/"
        found = {name.removeprefix(prefix): array for name, array in source.items() if name.startswith(prefix)}
        found = {name: array for name, array in found.items() if "/" not in name}
        units = len(found.get("mean", ()))
        if not found:
            raise InputError(f"layer {layer!r} is not part of this sweep")
        if not 0 <= unit < units:
            raise InputError(f"{layer} has units 0 to {units - 1}, not {unit}")
        return {name: array[unit] for name, array in found.items()}
    folder = Path(source)
    if not is_finished(folder):
        plan, state = read_unit(folder, layer, unit)
        return {name: array[0] for name, array in describe(state, plan).items()}
    arrays = _of_layer(folder, (folder / FINISHED).stat().st_mtime_ns, layer)
    units = len(arrays["mean"])
    if not 0 <= unit < units:
        raise InputError(f"{layer} has units 0 to {units - 1}, not {unit}")
    return {name: np.array(array[unit]) for name, array in arrays.items()}


@lru_cache(maxsize=2)
def _of_layer(folder: Path, changed: int, layer: str) -> Arrays:
    """Return the arrays of all units of a layer: whoever looks at one unit looks at its neighbours next."""
    import zarr

    group = zarr.open_group(folder / FINISHED, mode="r")
    start = 0
    for name, units in json.loads(str(group.attrs["layers"])).items():
        if name == layer:
            return {what: np.asarray(array[start : start + units]) for what, array in _members(group).items()}
        start += units
    raise InputError(f"layer {layer!r} is not part of the sweep in {folder}")


def is_finished(folder: Path) -> bool:
    """Whether the sweep in a folder has seen all images."""
    return (folder / FINISHED).exists()


def swept_layers(folder: str | Path) -> tuple[str, ...]:
    """Return the layers of a finished sweep's folder, as they were called when it was asked for."""
    import zarr

    return tuple(json.loads(str(zarr.open_group(Path(folder) / FINISHED, mode="r").attrs["layers"])))


def layer_statistics(folder: str | Path, layer: str) -> dict[str, Any]:
    """Return `STATISTICS` of all units of a layer, ``[unit]`` each, and ``seen``, the number of images, from a finished sweep's folder.

    Raises
    ------
    FileNotFoundError
        When the sweep has not finished.
    ValueError
        When the sweep has no such layer.
    """
    import zarr

    folder = Path(folder)
    if not is_finished(folder):
        raise FileNotFoundError(f"no finished sweep in {folder}")
    group = zarr.open_group(folder / FINISHED, mode="r")
    arrays = _members(group)
    start = 0
    for name, units in json.loads(str(group.attrs["layers"])).items():
        if name == layer:
            seen = json.loads(str(group.attrs["summary"]))["images"]
            return {what: np.asarray(arrays[what][start : start + units]) for what in STATISTICS} | {"seen": seen}
        start += units
    raise InputError(f"layer {layer!r} is not part of the sweep in {folder}")


def percentile(examples: Mapping[str, npt.NDArray[Any]], value: float) -> float:
    """Return the part of all images, in [0, 1], whose largest activation of the unit lies below `value`.

    Read from ``max_histogram`` of `unit_examples`, as if the images of a bin were spread evenly over it; NaN without any image.
    """
    counts, edges = examples["max_histogram"], examples["max_histogram_edges"]
    if not counts.any():
        return float("nan")
    return float(np.interp(value, edges, np.concatenate([[0], np.cumsum(counts)]) / counts.sum()))


def _members(group: zarr.Group) -> dict[str, Any]:
    return dict(group.arrays())
