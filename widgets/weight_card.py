"""What one unit is built from, or what reads it, as rows of pictures: names, kernels, and groups of sources with one kernel each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from widgets.views.axes import number
from widgets.views.colour_scale import ColourScale
from widgets.views.image_strip import Picture, Row
from workbench.extent import extent
from workbench.models.layer import Layer, Unit, patch_grid

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

KERNEL = 48
"""Pixels of a kernel's side, at least."""
FAINT = 0.02
"""Part of the largest weight that has no colour to the eye; over many layers kernels are wide, and all but their middle is less."""
MEMBERS = 8
"""Sources of a group that are named."""


def card_rows(
    result: Result,
    unit: Unit,
    others_layer: str,
    inputs: bool,
    others: Sequence[int],
    pictures: Mapping[int, np.ndarray],
    account: str,
    source: Layer | None,
) -> tuple[list[Row], list[list[int]]]:
    """Return the rows of a unit, and for each row the unit of the other layer that each of its pictures leads to.

    Parameters
    ----------
    result
        Of `ExpandedWeights`.
    others
        Units of the other layer that are shown, the strongest first.
    pictures
        What they look like, as far as is known.
    account
        How much of the unit the linear account explains, in words.
    source
        The layer that the kernels are over, as far as it is known: the tokens of a text lie in a row.
    """
    arrays = result.arrays
    kernels = arrays["kernels"][unit.index] if inputs else arrays["kernels"][:, unit.index]
    kernels = cropped(kernels) if kernels.ndim == 3 else kernels  # tokens are laid out over the image, so none may be missing
    scale = _scale(kernels[list(others)])
    drawn, named = [], []
    for other in others:
        pair = (unit.index, other) if inputs else (other, unit.index)
        value, total = float(arrays["contribution"][pair]), number(float(arrays["sum"][pair]))
        of_other = "" if inputs else f"\nR² of {others_layer}:{other} {number(float(arrays['r2'][other]))}"
        tip = f"{others_layer}:{other}\nnorm × std {number(value)}, sum {total}{of_other}\nClick to follow it"
        drawn.append(Picture(kernel_pixels(kernels[other], scale, source), number(value), value=value, tip=tip))
        named.append(Picture(pictures.get(other), str(other), tip=tip))
    rows = [
        Row(f"{'inputs' if inputs else 'outputs'} of {unit}", tuple(named), account, lines=1),
        Row("kernels", tuple(drawn), "red excites, blue inhibits; below each norm × std", lines=1),
    ]
    leads = [list(others), list(others)]
    if inputs and arrays["factor_sources"].shape[1]:
        row, strongest = _groups(result, unit, others_layer, source)
        rows.append(row)
        leads.append(strongest)
    return rows, leads


def _groups(result: Result, unit: Unit, sources_layer: str, source: Layer | None) -> tuple[Row, list[int]]:
    """Return the kernels that the layer's groups of sources have for a unit, and the strongest source of each."""
    sources, kernels = result.arrays["factor_sources"], result.arrays["factor_kernels"][unit.index]
    kernels = cropped(kernels) if kernels.ndim == 3 else kernels
    scale = _scale(kernels)
    drawn, strongest = [], []
    for group in range(sources.shape[1]):
        members = np.argsort(-sources[:, group], kind="stable")[:MEMBERS]
        members = members[sources[members, group] > 0]
        value = float(np.linalg.norm(kernels[group]))
        names = ", ".join(str(member) for member in members)
        tip = f"One kernel in place of those of the units {names} … of {sources_layer}\nnorm {number(value)}\nClick to follow the strongest"
        named = ", ".join(str(member) for member in members[:2]) + " …"
        drawn.append(Picture(kernel_pixels(kernels[group], scale, source), named, value=value, tip=tip))
        strongest.append(int(members[0]))
    explained = result.summary["factors_explain"]
    note = f"one-sided NMF of the layer; gives back {explained:.0%} of its weights" if explained is not None else ""
    return Row("groups of inputs", tuple(drawn), note, lines=1), strongest


def by_factor(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """Return orders of the targets and of the sources: by the group that weighs most, in it the strongest first."""
    sources, kernels = result.arrays["factor_sources"], result.arrays["factor_kernels"]
    strength = np.linalg.norm(kernels.reshape(*kernels.shape[:2], -1), axis=2)
    return _by_group(strength), _by_group(sources)


def _by_group(strength: np.ndarray) -> np.ndarray:
    if not strength.shape[1]:
        return np.arange(len(strength))
    return np.lexsort((-strength.max(1), strength.argmax(1)))


def _scale(kernels: np.ndarray) -> ColourScale:
    most = float(np.abs(kernels).max(initial=0.0)) or 1.0
    return ColourScale(-most, most)


def cropped(kernels: np.ndarray) -> np.ndarray:
    """Cut kernels ``source *position`` to the smallest window that holds all that can be seen: at least `FAINT` of the largest weight."""
    window = extent((np.abs(kernels) > FAINT * np.abs(kernels).max(initial=0.0)).any(0))
    return kernels if window is None else kernels[(slice(None), *window)]


def kernel_pixels(kernel: np.ndarray, scale: ColourScale, source: Layer | None = None) -> np.ndarray:
    """Colour a kernel (``y x``, ``token``, or one number), each entry a square of at least a pixel; patches lie as they do in the image."""
    flat = kernel.reshape(-1, kernel.shape[-1]) if kernel.ndim > 1 else folded(np.atleast_1d(kernel), source)
    side = max(1, KERNEL // max(flat.shape))
    return scale.colours(flat).repeat(side, 0).repeat(side, 1)


def folded(tokens: np.ndarray, source: Layer | None) -> np.ndarray:
    """Lay tokens out over the image where they are a square number, without up to eight that stand before the patches; else in a row."""
    grid = patch_grid(len(tokens)) if source is None else source.grid(len(tokens))
    return tokens[None] if grid is None else tokens[grid[0] :].reshape(grid[1:])
