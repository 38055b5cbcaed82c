"""Which parts of a layer are patched exactly where all would take too long: the best of an estimate on other pairs, and some at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workbench.analyses.patching.scores import differing
from workbench.input_error import InputError

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet
    from workbench.models.patching import Patch

OTHERS = 64
"""Pairs that parts are estimated on, at most."""
FEWEST = 8
"""Images without which there are no such pairs."""
REST, APART = 13, 14
"""What random numbers are drawn for, each from a stream of its own (`pairs` and `joint` have others)."""


@dataclass(frozen=True, eq=False)
class Choice:
    """Parts of one layer that are patched.

    Attributes
    ----------
    parts
        In the layer's order.
    stands_for
        float64 ``part``: how many parts of the layer each stands for, 1 where it was chosen for its estimate; together they are all.
    """

    parts: list[Patch]
    stands_for: npt.NDArray[np.float64]

    @classmethod
    def whole(cls, parts: list[Patch]) -> Choice:
        """Choose all."""
        return cls(parts, np.ones(len(parts)))


def set_apart(
    images: ImageSet, among: tuple[npt.NDArray[np.int64], Sequence[object]], seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Set concepts apart that parts are chosen by: at most a quarter of all, and no more than `OTHERS` pairs need.

    Parameters
    ----------
    among
        Of `drawn_from`.

    Returns
    -------
    tuple
        Images of the concepts that are left for patching, and of those set apart, by index.

    Raises
    ------
    InputError
        When those set apart cannot be put together in pairs.
    """
    usable, kinds = among
    concept = images.concepts
    number: dict[str, int] = {}
    for index in usable.tolist():
        number[concept[index]] = number.get(concept[index], 0) + 1
    order = np.random.default_rng([seed, APART]).permutation(list(number)).tolist()
    taken: set[str] = set()
    while len(taken) < len(order) // 4 and sum(number[name] for name in taken) < 2 * OTHERS:
        taken.add(order[len(taken)])
    there = np.array([concept[index] in taken for index in usable.tolist()], bool)
    left, apart = usable[~there], usable[there]
    if len(apart) < FEWEST or len({kinds[index] for index in apart.tolist()}) < 2:
        raise InputError(
            f"a quarter of the {len(order)} concepts of {images.name} has {len(apart)} images, too few that show different things to "
            "choose parts by; open a larger set, or patch all parts (most = 0)"
        )
    return left, apart


def choose_parts(
    parts: Sequence[list[Patch]], estimates: npt.NDArray[np.float64], whole: npt.NDArray[np.float64], most: int, seed: int
) -> list[Choice]:
    """Choose so many parts of each layer: half of them those with the largest estimates, the others at random of the rest.

    Parameters
    ----------
    estimates
        float64 ``p i``: effects of all parts on other pairs.
    whole
        float64 ``i``: the whole difference of each.

    Raises
    ------
    InputError
        When none of these pairs differs in what is read, so that there is no estimate.
    """
    known = differing(whole)
    if not known.any():
        raise InputError(f"none of the {len(whole)} pairs that parts are chosen by differs in what is read; patch all parts (most = 0)")
    size = np.abs((estimates * np.sign(whole))[:, known].mean(1))
    found, start = [], 0
    for place, each in enumerate(parts):
        here = size[start : start + len(each)]
        start += len(each)
        if len(each) <= most:
            found.append(Choice.whole(each))
            continue
        order = np.argsort(-here, kind="stable")
        best, rest = order[: most // 2], order[most // 2 :]
        drawn = np.random.default_rng([seed, REST, place]).choice(rest, most - len(best), replace=False)
        stands_for = np.ones(len(each))
        stands_for[drawn] = len(rest) / len(drawn)
        places = np.sort(np.concatenate([best, drawn]))
        found.append(Choice([each[at] for at in places.tolist()], stands_for[places]))
    return found
