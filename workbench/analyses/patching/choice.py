"""Which parts of a layer are patched exactly where all would take too long: the best of an estimate on other pairs, and some at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workbench.analyses.patching.pairs import Pairs, draw_pairs
from workbench.analyses.patching.scores import differing
from workbench.input_error import InputError

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet, Size
    from workbench.models.patching import Patch

OTHERS = 64
"""Pairs that parts are estimated on."""
FEWEST = 8
"""Images without which there are no such pairs."""
REST = 13
"""What random numbers are drawn for, a stream of its own (`pairs` and `joint` have others)."""


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


def other_pairs(
    images: ImageSet, size: Size, among: tuple[npt.NDArray[np.int64], Sequence[object]], pairs: Pairs, corruption: str, seed: int
) -> Pairs:
    """Return pairs of images of none of the concepts that some pairs have, for choosing what is patched on these.

    Parameters
    ----------
    among
        Of `drawn_from`.

    Raises
    ------
    InputError
        When too few such images are left, or the pair was drawn.
    """
    if pairs.drawn:
        raise InputError("parts are chosen by other pairs, and there is one only; patch all parts (most = 0)")
    usable, kinds = among
    concept = images.concepts
    taken = {concept[index] for index in (*pairs.indices.tolist(), *pairs.partners.tolist())}
    left = usable[[concept[index] not in taken for index in usable.tolist()]]
    why = f"{len(left)} images of other concepts are left to choose parts by; take fewer pairs, or patch all parts (most = 0)"
    if len(left) < FEWEST:
        raise InputError(why)
    try:
        return draw_pairs(images, size, left, kinds, OTHERS, corruption, seed)
    except InputError as error:
        raise InputError(f"{why}: {error}") from None


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
    """
    known = differing(whole)
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
