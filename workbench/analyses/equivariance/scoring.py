"""How well the partners that were chosen on one half of the concepts hold on the other: figures with intervals over concepts.

Of a unit a with the partner b: *agreement* corr(a(Tx), b(x)); *plain* corr(a(x), b(x)), which two units that go together have under any
transformation; *gain* (agreement - plain) / (1 - plain), the part of the squared distance between the two units' standardised activations
that goes when a sees T x in place of x: 1 where b does exactly that, 0 where the transformation has nothing to do with it. Where plain is
below 0 it counts as 0: that two units exclude one another, and no longer do, makes none the other's version. *Own*
corr(a(Tx), a(x)), place by place, is 1 for a unit that is its own partner (a round kernel); *invariance* is the same of the largest
activation of each image, wherever it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from workbench.analyses.equivariance.matching import NONE, Origin

DRAWS = 200
NEAR = 0.98
"""Plain correlation from which on two units are the same one for most purposes, and what the transformation adds is not asked."""
ACROSS = ("one", "a", "aa", "c", "cc", "p", "pp", "ap", "cp", "ac")
"""Sums over images and places: of a(Tx), c = a(x), p = b(x), and their products."""
BY_IMAGE = ("one", "a", "aa", "c", "cc", "ac")
"""Sums over images, of the largest activation before and after."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Figures of each unit of a layer and the partner chosen for it; NaN for what was not judged.

    Attributes
    ----------
    low, high
        95 % interval of the gain, over concepts.
    """

    agreement: Float64[np.ndarray, "unit"]
    plain: Float64[np.ndarray, "unit"]
    gain: Float64[np.ndarray, "unit"]
    low: Float64[np.ndarray, "unit"]
    high: Float64[np.ndarray, "unit"]
    own: Float64[np.ndarray, "unit"]
    own_low: Float64[np.ndarray, "unit"]
    invariance: Float64[np.ndarray, "unit"]


class PairSums:
    """Running sums of each concept for the pairs that were chosen.

    Parameters
    ----------
    partner
        Of each unit; `NONE` for those that are not judged.
    concepts
        How many there are.
    """

    def __init__(self, partner: Int64[np.ndarray, "unit"], concepts: int) -> None:
        self.partner = partner
        self._to = torch.from_numpy(np.where(partner == NONE, np.arange(len(partner)), partner))
        self._across = torch.zeros(concepts, len(ACROSS), len(partner), dtype=torch.float64)
        self._by_image = torch.zeros(concepts, len(BY_IMAGE), len(partner), dtype=torch.float64)
        self._origin: Origin | None = None

    def see(self, concepts: npt.NDArray[np.int64], before: Tensor, after: Tensor) -> None:
        """Take another batch into account, each ``batch place unit``."""
        if self._origin is None:
            self._origin = Origin.of(before)
        c, a = (self._origin(samples) for samples in (before, after))
        p = c[..., self._to.to(c.device)]
        of, number = torch.from_numpy(concepts), torch.full_like(c[:, 0], c.shape[1])
        across = [number, *(value.sum(1) for value in (a, a * a, c, c * c, p, p * p, a * p, c * p, a * c))]
        self._across.index_add_(0, of, torch.stack(across, 1).double().cpu())
        a, c = a.amax(1), c.amax(1)
        self._by_image.index_add_(0, of, torch.stack([torch.ones_like(a), a, a * a, c, c * c, a * c], 1).double().cpu())

    def scores(self, seed: int) -> Scores:
        """Work the figures out; the interval's draws take whole concepts."""
        seen = self._across[:, 0].sum(1) > 0
        across, by_image = self._across[seen].numpy(), self._by_image[seen].numpy()
        number = len(across)
        weights = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / max(1, number)), DRAWS)
        every = np.concatenate([np.ones((1, number)), weights])
        sums = dict(zip(ACROSS, np.moveaxis(np.tensordot(every, across, 1), 1, 0), strict=True))
        pairs = ("a", "p", "aa", "pp", "ap"), ("c", "p", "cc", "pp", "cp"), ("a", "c", "aa", "cc", "ac")
        agreement, plain, own = (_correlation(sums, *names) for names in pairs)
        once = dict(zip(BY_IMAGE, by_image.sum(0)[:, None], strict=True))
        other = (self.partner != NONE) & (self.partner != np.arange(len(self.partner))) & (plain[0] < NEAR)
        with np.errstate(invalid="ignore", divide="ignore"):
            above = np.maximum(plain, 0)
            gain = np.where(other, (agreement - above) / (1 - above), np.nan)
        gain = np.where(np.isfinite(gain), gain, np.nan)
        (low, high), (own_low, _) = (_ends(drawn[1:]) for drawn in (gain, own))
        invariance = _correlation(once, "a", "c", "aa", "cc", "ac")[0]
        return Scores(agreement[0], plain[0], gain[0], low, high, own[0], own_low, invariance)


def _correlation(sums: dict[str, npt.NDArray[np.float64]], x: str, y: str, xx: str, yy: str, xy: str) -> npt.NDArray[np.float64]:
    """Return the correlation of two of the sums, NaN where one does not vary."""
    n = sums["one"]
    spread = [n * sums[square] - sums[name] ** 2 for name, square in ((x, xx), (y, yy))]
    with np.errstate(invalid="ignore", divide="ignore"):
        varies = [value > 1e-9 * n * np.maximum(sums[square], 1e-30) for value, square in zip(spread, (xx, yy), strict=True)]
        value = (n * sums[xy] - sums[x] * sums[y]) / np.sqrt(spread[0] * spread[1])
        return np.where(varies[0] & varies[1], value, np.nan).clip(-1, 1)


def _ends(drawn: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the 95 % interval of each unit; NaN where some draw has none."""
    broken = np.isnan(drawn).any(0)
    low, high = np.quantile(np.where(broken, 0, drawn), (0.025, 0.975), axis=0)
    return np.where(broken, np.nan, low), np.where(broken, np.nan, high)
