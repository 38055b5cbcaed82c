"""Tell a phase change from gradual growth: which curve a quantity follows over training, several runs together.

A saturating curve looks like a step when it is sampled at log-spaced updates, and so does a fast one sampled evenly: the question is put as
model selection. *Gradual* are: nothing happens; a power of time (linear growth is one, and the logarithm its limit); a saturating
exponential; a sigmoid that takes longer than a phase change may. *Abrupt* are: a change point between two samples, and a logistic whose
rise from 10 to 90 % takes at most `WIDEST` of the time axis. Both axes, time and its logarithm, are tried for each curve that is not the
same on both. Every run has parameters of its own (a transition need not come at the same update), the kind of curve is common to all.

Residuals of a training run are not independent: they follow an AR(1) process from sample to sample, whose coefficient is fitted with the
rest. Curves are compared by BIC (Schwarz 1978), summed over the runs; each of them is linear but for one or two parameters, which are
searched on a grid, so that every fit is the best there is and no start value matters. The place of a change point counts as two parameters:
BIC with one finds change points in noise (Zhang & Siegmund 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from workbench.input_error import InputError

Verdict = Literal["phase change", "gradual", "nothing happens", "undecided"]
Axis = Literal["time", "log time", "either"]
Array = npt.NDArray[np.float64]

WIDEST = 0.1
"""Part of the time axis that the rise of a phase change takes at most, from 10 to 90 %."""
MARGIN = 10.0
"""Difference in BIC from which one kind of curve is preferred: odds of 150 to 1, what Raftery (1995) calls very strong."""
RISE = 2 * np.log(9)
"""Width of a logistic from 10 to 90 %, in units of its scale."""
CORRELATIONS = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 0.95])
FEWEST = 12
"""Samples of a run below which nothing is said."""
WITHIN = 3.84 / 2
"""Loss of log-likelihood up to which a place or a width is in its 95 % interval (Wilks 1938)."""
FLOOR = 1e-4
"""Least standard deviation of the residuals, as part of the range of the values: below, a perfect fit would be infinitely likely."""


@dataclass(frozen=True)
class Curve:
    """A kind of curve and how well it fits.

    Attributes
    ----------
    kind
        ``constant``, ``power``, ``saturating``, ``sigmoid``, ``logistic``, ``change point``.
    axis
        What it is a function of.
    bic
        Summed over the runs; smaller is better.
    at
        Where each run's transition is (its middle), in updates; NaN for curves that have none.
    width
        Of each run's rise from 10 to 90 %, as part of the axis; 0 for a change point, NaN for curves that have none.
    at_interval, width_interval
        Lowest and highest of either that the samples of a run do not speak against: those of all curves of this kind whose likelihood is
        at most `WITHIN` below the best one's (a profile likelihood, 95 % where it is smooth; never narrower than the samples lie apart).
    fitted
        What the curve says at each sample of each run.
    """

    kind: str
    axis: Axis
    bic: float
    at: tuple[float, ...]
    width: tuple[float, ...]
    fitted: tuple[Array, ...]
    at_interval: tuple[tuple[float, float], ...] = ()
    width_interval: tuple[tuple[float, float], ...] = ()

    @property
    def abrupt(self) -> bool:
        """Whether it is a phase change."""
        return self.kind in ("logistic", "change point")

    @property
    def name(self) -> str:
        """What it is called in a table."""
        return self.kind if self.axis == "either" else f"{self.kind} in {self.axis}"


@dataclass(frozen=True)
class Selection:
    """All curves, best first, and the verdict.

    Attributes
    ----------
    verdict
        ``phase change`` or ``gradual`` where the best curve of one kind is better than the best of the other by `MARGIN`; ``undecided``
        where it is not; ``nothing happens`` where no curve is that much better than a constant.
    margin
        BIC of the best gradual curve minus that of the best abrupt one: positive speaks for a phase change.
    """

    verdict: Verdict
    margin: float
    curves: tuple[Curve, ...]

    @property
    def best(self) -> Curve:
        """The curve with the smallest BIC."""
        return self.curves[0]


def select(runs: Sequence[tuple[Sequence[float] | Array, Sequence[float] | Array]]) -> Selection:
    """Choose the curve that a quantity follows in several runs.

    Parameters
    ----------
    runs
        Of each run the updates (0 or more, increasing) and the values there. Samples that are no number are left out.

    Raises
    ------
    InputError
        When a run has fewer than `FEWEST` samples, or its updates do not increase.
    """
    if not runs:
        raise InputError("no run was given")
    samples = [_clean(steps, values) for steps, values in runs]
    curves = sorted((_over_runs(kind, axis, samples) for kind, axis in KINDS), key=lambda curve: curve.bic)
    gradual = min(curve.bic for curve in curves if not curve.abrupt)
    abrupt = min(curve.bic for curve in curves if curve.abrupt)
    margin = gradual - abrupt
    flat = next(curve for curve in curves if curve.kind == "constant")
    verdict: Verdict = "undecided"
    if margin >= MARGIN:
        verdict = "phase change"
    elif flat is curves[0] or flat.bic - curves[0].bic < MARGIN:
        verdict = "nothing happens"
    elif margin <= -MARGIN:
        verdict = "gradual"
    return Selection(verdict, float(margin), tuple(curves))


def _clean(steps: Sequence[float] | Array, values: Sequence[float] | Array) -> tuple[Array, Array]:
    t, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    if t.shape != y.shape or t.ndim != 1:
        raise InputError(f"{len(t)} updates and {len(y)} values were given; there must be as many")
    if (t < 0).any() or (np.diff(t) <= 0).any():
        raise InputError("updates must be 0 or more, and increase")
    known = np.isfinite(y)
    if known.sum() < FEWEST:
        raise InputError(f"{int(known.sum())} samples are too few to tell curves apart; at least {FEWEST} are needed")
    return t[known], y[known]


KINDS: tuple[tuple[str, Axis], ...] = (
    ("constant", "either"),
    ("power", "time"),
    ("saturating", "time"),
    ("saturating", "log time"),
    ("sigmoid", "time"),
    ("sigmoid", "log time"),
    ("logistic", "time"),
    ("logistic", "log time"),
    ("change point", "either"),
)


def _over_runs(kind: str, axis: Axis, samples: Sequence[tuple[Array, Array]]) -> Curve:
    fits = [_fit(kind, axis, t, y) for t, y in samples]
    return Curve(
        kind,
        axis,
        float(sum(fit.bic for fit in fits)),
        tuple(fit.at for fit in fits),
        tuple(fit.width for fit in fits),
        tuple(fit.fitted for fit in fits),
        tuple(fit.at_interval for fit in fits),
        tuple(fit.width_interval for fit in fits),
    )


@dataclass(frozen=True)
class _Fit:
    """The best curve of a kind for one run, as of `Curve`."""

    bic: float
    at: float
    width: float
    fitted: Array
    at_interval: tuple[float, float]
    width_interval: tuple[float, float]


def _fit(kind: str, axis: Axis, t: Array, y: Array) -> _Fit:
    """Return the best curve of a kind for one run."""
    floor = FLOOR * float(np.ptp(y)) or 1e-12
    best = (np.inf, np.nan, np.nan, y)
    n = len(y)
    grid = _grid(kind, axis, t.tobytes())
    likelihoods = np.full(len(grid.shapes), -np.inf)
    for rho, (level, white, apart) in zip(CORRELATIONS, grid.whitened, strict=True):
        wanted = np.concatenate([level[:1] * y[:1], y[1:] - rho * y[:-1]])
        norm = np.linalg.norm(level)
        left = wanted - level * (level @ wanted) / norm**2
        match = apart @ left
        choice = int(np.abs(match).argmax())
        rest = max(float(left @ left) - float(match[choice]) ** 2, n * floor**2)
        each = np.maximum(left @ left - match**2, n * floor**2)
        likelihoods = np.maximum(likelihoods, -0.5 * n * np.log(2 * np.pi * each / n) - 0.5 * n + 0.5 * np.log(1 - rho**2))
        likelihood = -0.5 * n * np.log(2 * np.pi * rest / n) - 0.5 * n + 0.5 * np.log(1 - rho**2)
        bic = -2 * likelihood + (grid.further + 3) * np.log(n)  # and the level, the deviation and rho
        if bic < best[0]:
            energy = float(apart[choice] @ white[choice])
            height = float(match[choice]) / energy if energy > 0 else 0.0
            base = (level @ (wanted - height * white[choice])) / norm**2
            best = (float(bic), float(grid.places[choice]), float(grid.widths[choice]), base + height * grid.shapes[choice])
    bic, at, width, fitted = best
    allowed = likelihoods >= likelihoods.max() - WITHIN
    places, widths = grid.places[allowed], grid.widths[allowed]
    if not np.isfinite(at):
        return _Fit(bic, at, width, fitted, (np.nan, np.nan), (np.nan, np.nan))
    around = np.searchsorted(t, [places.min(), places.max()])  # what happens between two samples may happen anywhere between them
    earliest, latest = float(t[max(0, around[0] - 1)]), float(t[min(n - 1, around[1])])
    tried = np.unique(grid.widths)  # and between two widths that were tried there are others
    below, above = (int(np.searchsorted(tried, end)) for end in (widths.min(), widths.max()))
    spread = float(tried[max(0, below - 1)]), float(tried[min(len(tried) - 1, above + 1)])
    return _Fit(bic, at, width, fitted, (earliest, latest), spread)


@dataclass(frozen=True)
class _Grid:
    """The shapes of a kind; for each correlation the level and the shapes whitened, and these beside the level, of unit length."""

    shapes: Array
    places: Array
    widths: Array
    further: int
    whitened: tuple[tuple[Array, Array, Array], ...]


@lru_cache(maxsize=64)
def _grid(kind: str, axis: Axis, samples: bytes) -> _Grid:
    t = np.frombuffer(samples)
    shapes, places, widths, further = _shapes(kind, axis, t)
    found = []
    for rho in CORRELATIONS:
        # An AR(1) series whitened: its first sample as it is (scaled), then what each adds to rho times the one before.
        first = np.sqrt(1 - rho**2)
        white = np.concatenate([first * shapes[:, :1], shapes[:, 1:] - rho * shapes[:, :-1]], 1)
        level = np.concatenate([[first], np.full(len(t) - 1, 1 - rho)])
        apart = white - np.outer(white @ level, level) / (level @ level)
        length = np.linalg.norm(apart, axis=1, keepdims=True)
        apart = np.divide(apart, length, out=np.zeros_like(apart), where=length > 1e-9 * max(1.0, float(length.max(initial=0.0))))
        found.append((level, white, apart))
    return _Grid(shapes, places, widths, further, tuple(found))


def _shapes(kind: str, axis: Axis, t: Array) -> tuple[Array, Array, Array, int]:
    """Return the shapes of a kind over its grid, where and how wide their transitions are, and how many parameters they have."""
    n = len(t)
    none = np.full(1, np.nan)
    x = t if axis == "time" else np.log1p(t)
    low, high = float(x[0]), float(x[-1])
    length = high - low
    back = (lambda value: value) if axis == "time" else np.expm1
    if kind == "constant":
        return np.zeros((1, n)), none, none, 0
    if kind == "power":
        u = (t + 1) / (t[-1] + 1)
        powers = np.concatenate([np.linspace(-3, -0.05, 40), np.linspace(0.05, 3, 40)])
        shapes = np.concatenate([u[None] ** powers[:, None], np.log(u)[None]])
        shapes /= np.abs(shapes).max(1, keepdims=True)  # a power of -3 spans many magnitudes
        return shapes, np.full(len(shapes), np.nan), np.full(len(shapes), np.nan), 2
    if kind == "saturating":
        scales = np.geomspace(length / 500, 3 * length, 120)
        return 1 - np.exp(-(x - low)[None] / scales[:, None]), np.full(120, np.nan), np.full(120, np.nan), 2
    if kind == "change point":
        shapes = (np.arange(n)[None] >= np.arange(2, n - 1)[:, None]).astype(np.float64)
        middle = np.expm1((np.log1p(t[1 : n - 2]) + np.log1p(t[2 : n - 1])) / 2)
        return shapes, middle, np.zeros(len(shapes)), 3  # where it is counts twice: the likelihood is no smooth function of it
    widths = np.geomspace(WIDEST / 20, WIDEST, 10) if kind == "logistic" else np.geomspace(1.25 * WIDEST, 1.5, 12)
    places, wide = (axis.ravel() for axis in np.meshgrid(np.linspace(low, high, 121), widths))
    away = (x[None] - places[:, None]) * (RISE / length / wide[:, None])
    return 1 / (1 + np.exp(-np.clip(away, -60, 60))), back(places), wide, 3
