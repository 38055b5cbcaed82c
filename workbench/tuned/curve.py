"""Measures of a tuning curve: what a unit does as a stimulus turns.

All take responses at orientations in even steps over one period from `start`, ``orientation unit``, and measure every unit at once. They
are what a curve detector is told by (Cammarata et al., "Curve Circuits", Distill 2021; methods of this program, 7.4 and 7.14): one smooth
bump (`fit`), no second one (`second_peak`), and more for the curve than for the best straight line (`curve_vs_line`). Vector strength is
not among them: it does not tell planted curve detectors from random weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Responses = npt.NDArray[np.floating]
Values = npt.NDArray[np.float64]

HALF_WIDTHS = np.geomspace(8, 120, 28)
"""Degrees on a circle of 360 that bumps are tried with: a narrower one would explain any single response among a few dozen."""
STEPS = 144
"""Preferred angles tried in a period; between them the best is interpolated."""


@dataclass(frozen=True)
class Fit:
    """Von Mises bumps ``b + a exp(k (cos(2 pi (angle - preferred) / period) - 1))`` with a > 0, one a unit.

    Attributes
    ----------
    preferred, half_width
        float64 ``unit``, degrees: where the bump stands, and how far from there it has half its height.
    r2
        float64 ``unit``: part of the variance over orientations that it explains; NaN for a unit that does not vary.
    period
        Degrees after which the stimulus looks the same.
    """

    preferred: Values
    half_width: Values
    r2: Values
    period: float

    def curve(self, angles: npt.ArrayLike) -> Values:
        """Return the bumps at some angles (degrees), between 0 and 1: ``angle unit``."""
        turn = 2 * np.pi / self.period
        concentration = math.log(2) / (1 - np.cos(self.half_width * turn))
        away = (np.asarray(angles, np.float64)[:, None] - self.preferred) * turn
        bump: Values = np.exp(concentration * (np.cos(away) - 1)).astype(np.float64)
        return bump

    def explains(self, responses: Responses, start: float = 0.0) -> Values:
        """Return which part of the variance of other responses the bumps explain, height and offset free: ``unit``.

        0 where responses fall as the bump rises; NaN for a unit that does not vary.
        """
        return _share(self.curve(angles(len(responses), self.period, start)), responses)


def angles(count: int, period: float, start: float = 0.0) -> Values:
    """Return `count` orientations in even steps over a period (degrees)."""
    found: Values = start + np.arange(count, dtype=np.float64) * (period / count)
    return found


def fit(responses: Responses, period: float = 360.0, start: float = 0.0) -> Fit:
    """Fit the bump that explains most, by trying `STEPS` angles with each of `HALF_WIDTHS`.

    Parameters
    ----------
    responses
        ``orientation unit``.
    period
        360 for curves, 180 for lines.
    start
        First orientation in degrees.
    """
    responses = np.asarray(responses, np.float64)
    turn = 2 * np.pi / period
    tried = np.arange(STEPS) * (period / STEPS)
    widths = HALF_WIDTHS * (period / 360)
    away = (angles(len(responses), period, start)[None] - tried[:, None]) * turn
    bumps = np.exp((math.log(2) / (1 - np.cos(widths * turn)))[:, None, None] * (np.cos(away) - 1)[None])
    bumps -= bumps.mean(2, keepdims=True)
    bumps /= np.linalg.norm(bumps, axis=2, keepdims=True)
    centred = responses - responses.mean(0)
    norm = _norm(centred, responses)
    alike = bumps.reshape(-1, len(responses)) @ (centred / np.where(norm > 0, norm, np.nan))
    alike = np.nan_to_num(alike, nan=-1.0).reshape(len(widths), STEPS, -1)
    best = alike.reshape(-1, alike.shape[2]).argmax(0)
    width, place, unit = best // STEPS, best % STEPS, np.arange(alike.shape[2])
    before, here, after = (alike[width, (place + step) % STEPS, unit] for step in (-1, 0, 1))
    bend = before - 2 * here + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=bend < -1e-12).clip(-0.5, 0.5)
    found = np.where(norm > 0, here.clip(min=0) ** 2, np.nan)
    return Fit((tried[place] + shift * period / STEPS) % period, widths[width], found, period)


def second_peak(responses: Responses) -> Values:
    """Return the largest response that is a peak apart from the first one, over the first: ``unit``.

    Both count from zero, so activations behind a ReLU as they are, or from the smallest response where that is negative. 0 for a single
    peak, near 1 for two alike; NaN for a unit that does not vary. On both ways from the first to the second the curve must have been lower.
    """
    responses = np.asarray(responses, np.float64)
    height = responses - responses.min(0).clip(max=0)
    count, units = height.shape
    aligned = height[(height.argmax(0) + np.arange(count)[:, None]) % count, np.arange(units)]
    first = aligned[0]
    peak = (aligned >= np.roll(aligned, 1, 0)) & (aligned >= np.roll(aligned, -1, 0))
    # A plateau next to the first peak belongs to it: walk down on both sides before counting.
    valley = np.minimum.accumulate(aligned, 0), np.minimum.accumulate(np.roll(aligned, -1, 0)[::-1], 0)[::-1]
    apart = peak & (aligned > valley[0]) & (aligned > np.roll(valley[1], 1, 0))
    second = np.where(apart, aligned, 0.0)[1:].max(0, initial=0.0)
    found: Values = np.divide(
        second, first, out=np.full(units, np.nan), where=_norm(responses - responses.mean(0), responses) > 0
    )
    return found


def curve_vs_line(curves: Responses, lines: Responses) -> Values:
    """Return how much more each unit responds to its best curve than to its best line: ``(curve - line) / curve``, ``unit``.

    1 for a unit that is silent on lines, 0 for one that does not tell them apart, negative without bound for a line detector; NaN where no
    curve is above zero. Give activations, or responses above that to the plain ground.

    Parameters
    ----------
    curves, lines
        ``stimulus unit``.
    """
    curve, line = (np.asarray(given, np.float64).max(0) for given in (curves, lines))
    found: Values = np.divide(curve - line.clip(min=0), curve, out=np.full(curve.shape, np.nan), where=curve > 0)
    return found


def _share(bump: Values, responses: Responses) -> Values:
    """Return the squared correlation of each unit's bump with its responses; 0 where it is negative."""
    own, given = bump - bump.mean(0), responses - responses.mean(0)
    norm = np.linalg.norm(own, axis=0) * _norm(given, responses)
    alike = np.divide((own * given).sum(0), norm, out=np.full(norm.shape, np.nan), where=norm > 0)
    share: Values = np.square(alike.clip(min=0))
    return share


def _norm(centred: Responses, responses: Responses) -> Values:
    """Return the norm over orientations, 0 where it is no more than rounding."""
    norm: Values = np.linalg.norm(centred, axis=0)
    known: Values = norm * (norm > 1e-6 * np.abs(responses).max(0, initial=0.0))
    return known
