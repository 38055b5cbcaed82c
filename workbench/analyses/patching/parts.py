"""What is patched: the parts of a layer, families of units, directions, and a region of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from workbench.analyses.unit_activations import Box, slices
from workbench.direction_set import find_directions
from workbench.input_error import InputError
from workbench.models.layer import units_of
from workbench.models.patching import Kind, Patch, cells_at, grid_of, patches_of

if TYPE_CHECKING:
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

Part = Literal["layer", "branch", "unit", "cell", "head", "region", "family", "direction"]


def parts_of(
    model: TracedModel, layers: Sequence[str], part: Part, region: Box | None, families: Mapping[str, str]
) -> dict[str, list[Patch]]:
    """Return the patches of each layer, layers in the order in which they are computed.

    Parameters
    ----------
    layers
        Names; none for a family's own.
    region
        The patches are cut down to it; with the part ``region`` it is one itself, beside all that is outside.
    families
        Name -> address of its units, such as ``mixed4a:1,5``, for the part ``family``.

    Raises
    ------
    InputError
        When nothing is asked for, or a layer has no such parts.
    """
    if part == "family":
        found = _families(model, families)
        if layers and (others := set(found) - {model.layer(name).name for name in layers}):
            raise InputError(f"a family is of {sorted(others)[0]}, which is not among the layers; leave these empty for all")
    elif not layers:
        raise InputError("name at least one layer")
    else:
        found = {}
        for name in {model.layer(name).name for name in layers}:
            if part == "region":
                found[name] = _inside_and_outside(model, name, region)
            else:
                kind: Kind = "unit" if part == "direction" else part
                found[name] = patches_of(model, name, kind)
    if region is not None and part != "region":
        found = {name: _cut_down(model, name, patches, region) for name, patches in found.items()}
    return {name: found[name] for name in model.graph.sort(found)}


def in_graph(model: TracedModel, name: str) -> TracedModel:
    """Return the network with a set of directions as units, which it may have already.

    Raises
    ------
    InputError
        When no set is named, there is none of that name, or it does not fit the network.
    """
    if not name:
        raise InputError("give the name of the directions that are patched")
    return model if name in [known.name for known in model.directions] else model.with_directions(find_directions(name))


def reading(model: TracedModel, name: str) -> str:
    """Return the layer whose units the directions of that name are."""
    return next(known.reading for known in model.directions if known.name == name)


def cells_inside(layer: Layer, size: tuple[int, int], box: Box) -> npt.NDArray[np.int64]:
    """Return the positions of a layer that a region of the image touches, as places among the flattened ones.

    Parameters
    ----------
    size
        Height and width of the image, for a transformer's patches.

    Raises
    ------
    InputError
        When its positions have no place in the image.
    """
    grid = grid_of(layer, size)
    if grid is None:
        raise InputError(f"{layer.name} has no positions in the image; choose a layer that has, or no region")
    prefix, rows, columns = grid
    places = np.arange(prefix, prefix + rows * columns).reshape(rows, columns)
    return cells_at(layer, places[slices(box, rows, columns)].ravel())


def joined(patches: Sequence[Patch]) -> Patch:
    """Return several parts of one layer, all units (at the same positions) or all cells, as one."""
    by_units = patches[0].units is not None
    places = np.unique(np.concatenate([np.asarray(patch.units if by_units else patch.cells) for patch in patches]))
    name = ", ".join(patch.name for patch in patches)
    return Patch(name, patches[0].layer, places, patches[0].cells) if by_units else Patch(name, patches[0].layer, None, places)


def _families(model: TracedModel, families: Mapping[str, str]) -> dict[str, list[Patch]]:
    if not families:
        raise InputError('give at least one family with its units, such as {"curves": "mixed3b:1,5"}')
    found: dict[str, list[Patch]] = {}
    for name, address in families.items():
        units = units_of(address)
        layer = model.layer(units[0].layer)
        layer.check(unit.index for unit in units)
        found.setdefault(layer.name, []).append(Patch(name, layer.name, np.unique([unit.index for unit in units])))
    return found


def _inside_and_outside(model: TracedModel, name: str, region: Box | None) -> list[Patch]:
    if region is None:
        raise InputError("give the region that is patched: top, left, bottom, right in fractions of the image")
    layer = model.layer(name)
    inside = cells_inside(layer, model.preprocessing.size, region)
    outside = np.setdiff1d(np.arange(int(np.prod(layer.positions))), inside)
    return [Patch(f"{name} inside", name, None, inside), *([Patch(f"{name} outside", name, None, outside)] if len(outside) else [])]


def _cut_down(model: TracedModel, name: str, patches: Sequence[Patch], region: Box) -> list[Patch]:
    cells = cells_inside(model.layer(name), model.preprocessing.size, region)
    if patches and patches[0].cells is not None:
        return [patch for patch in patches if patch.cells is not None and np.isin(patch.cells, cells).all()]
    return [replace(patch, name=f"{patch.name} inside", cells=cells) for patch in patches]


