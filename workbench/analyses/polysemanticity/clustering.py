"""How many clusters are there, one included: k-means beside unimodal surrogates of the same covariance.

k-means finds two clusters in anything. What tells two from one is how much they take off the spread, beside how much two clusters take
off points that are of one kind and have the same mean and covariance (SigClust: Liu, Hayes, Nobel and Marron, J. Am. Stat. Assoc. 2008).
Gaussian points would be too easy a null: relevances are sparse, and an input that is silent half of the time has two values without being
two things. So the surrogates are Gaussian points rectified like the relevances are: a feature that has no negative values is the
rectification of a Gaussian with that feature's mean and variance, and features are correlated as they are here. Further clusters are
counted by the gap (Tibshirani, Walther and Hastie, J. R. Stat. Soc. B 2001) against the same surrogates. Clusters of a few points do not
count, so that what stands aside is not taken for a kind of its own; the surrogates are held to the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from scipy.special import ndtr
from torch import Tensor

STARTS, ROUNDS = 5, 12
"""Beginnings of k-means, and improvements of each."""
AXES, HELD = 12, 0.9
"""Principal axes that are clustered: as many as hold this part of the variance, at most."""
FLOOR = 0.05
"""Variance that points of one kind always have, over all axes, with points of length 1: about 13 degrees. Here and in the surrogates as
much noise is added before clusters are compared, so that stimuli that differ in the fifth digit only are not two kinds."""
BLURS = 4
"""Times that noise is added to the points; what is said of them is the mean."""
SMALLEST = 0.1
"""Part of the points that a cluster has at least."""
FEWEST = 20
"""Points below which nothing is said."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """What was found among some points.

    Attributes
    ----------
    labels
        Cluster of each point, the largest cluster first; all 0 where there is one.
    number
        Of clusters.
    score
        By how many standard deviations of the surrogates' more two clusters take off the points' spread; 0 where there is no spread, NaN
        for too few points.
    p
        Probability of that in the surrogates (normal, from their mean and deviation).
    taken, null
        Part of the spread that two clusters take off, here and in the mean over surrogates.
    plane
        The points on their two main axes.
    centres
        Mean of the points of each cluster, on the original axes.
    """

    labels: Int64[np.ndarray, " point"]
    number: int
    score: float
    p: float
    taken: float
    null: float
    plane: Float64[np.ndarray, "point 2"]
    centres: Float64[np.ndarray, "cluster feature"]

    @classmethod
    def unknown(cls, points: int, features: int) -> Clusters:
        """Nothing is said of these points."""
        none = math.nan
        return cls(np.zeros(points, np.int64), 1, none, none, none, none, np.zeros((points, 2)), np.zeros((1, features)))


def clusters_of(
    values: Float64[np.ndarray, "point feature"], most: int, draws: int, seed: int, alpha: float, pulse: Callable[[], None] = lambda: None
) -> Clusters:
    """Find clusters of directions, as many as there are, from 1 to `most`: each point is brought to the length 1 first.

    Parameters
    ----------
    values
        Relevances of a feature in each point; how large they are together does not count, only what they are made of.
    draws
        Surrogates.
    alpha
        Probability in the surrogates from which on it is one cluster.
    """
    count, points = len(values), at_length_one(values)
    centred = points - points.mean(0)
    plain = np.zeros(count, np.int64)
    left, sizes, axes_of = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((count, 2))
    plane[:, : min(2, len(sizes))] = (left * sizes)[:, :2]
    one = points.mean(0, keepdims=True)
    if count < FEWEST:
        return Clusters(plain, 1, math.nan, math.nan, math.nan, math.nan, plane, one)
    if not sizes.size or sizes[0] ** 2 <= 1e-10 * float(np.square(points).sum()):
        return Clusters(plain, 1, 0.0, 1.0, 0.0, 0.0, plane, one)
    axes = min(int(np.searchsorted(np.cumsum(sizes**2) / np.sum(sizes**2), HELD)) + 1, AXES)
    generator = torch.Generator().manual_seed(seed)
    real = torch.from_numpy((left * sizes)[:, :axes]).float()
    drawn = unimodal(values, draws, generator) @ torch.from_numpy(axes_of[:axes].T.copy()).float()
    floor = math.sqrt(FLOOR / axes)
    drawn = drawn + floor * torch.randn(drawn.shape, generator=generator)
    drawn = drawn - drawn.mean(1, keepdim=True)
    blurred = real + floor * torch.randn(BLURS, *real.shape, generator=generator)
    blurred = blurred - blurred.mean(1, keepdim=True)
    spread = blurred.square().sum((1, 2))
    spreads = drawn.square().sum((1, 2))
    found: dict[int, Tensor] = {1: torch.zeros(count, dtype=torch.int64)}
    gap, deviation = {1: 0.0}, {1: 0.0}
    score = p = taken = null = 0.0
    for number in range(2, most + 1):
        labels, _ = k_means(real[None], number, generator)
        _, within = k_means(blurred, number, generator)
        _, null_within = k_means(drawn, number, generator)
        pulse()
        found[number] = labels[0]
        log_real, log_null = torch.log(within / spread).mean(), torch.log(null_within / spreads)
        gap[number] = float(log_null.mean() - log_real)
        deviation[number] = float(log_null.std()) * math.sqrt(1 + 1 / draws)
        if number == 2:
            score = gap[2] / max(deviation[2], 1e-6)
            p = 0.5 * math.erfc(score / math.sqrt(2))
            taken, null = 1 - float(log_real.exp()), 1 - float(log_null.exp().mean())
            if p > alpha:
                break
    number = 1
    if p <= alpha:
        number = next((k for k in range(2, most) if gap[k] >= gap[k + 1] - deviation[k + 1]), most)
    labels_of = by_size(found[number].numpy())
    centres = np.stack([points[labels_of == cluster].mean(0) for cluster in range(labels_of.max() + 1)])
    return Clusters(labels_of, len(centres), score, p, taken, null, plane, centres)


def at_length_one(values: Float64[np.ndarray, "point feature"]) -> Float64[np.ndarray, "point feature"]:
    """Bring each point to the length 1; nothing stays nothing."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    brought: Float64[np.ndarray, "point feature"] = np.divide(values, length, out=np.zeros_like(values), where=length > 0)
    return brought


RATIOS = np.linspace(-4, 12, 1601)
"""Means of a Gaussian in its deviations, for which the moments of what is left when it is rectified are tabulated."""


def unimodal(
    values: Float64[np.ndarray, "point feature"], draws: int, generator: torch.Generator
) -> Float[Tensor, "draw point feature"]:
    """Draw points of one kind with the values' mean, deviation and correlations, rectified where they are; of length 1."""
    count = len(values)
    mean, deviation = values.mean(0), values.std(0)
    sign = np.where(values.min(0) >= 0, 1.0, np.where(values.max(0) <= 0, -1.0, 0.0))
    centre, width = np.where(sign == 0, mean, 0.0), np.where(sign == 0, deviation, 0.0)
    density, below = np.exp(-np.square(RATIOS) / 2) / math.sqrt(2 * math.pi), ndtr(RATIOS)
    first, second = density + RATIOS * below, (1 + np.square(RATIOS)) * below + RATIOS * density
    there = (sign != 0) & (deviation > 0)
    # second / first^2 falls with the ratio, and np.interp wants it to rise.
    spread = (np.square(deviation[there]) + np.square(mean[there])) / np.square(mean[there])
    ratio = np.interp(-spread, -second / np.square(first), RATIOS)
    width[there] = np.abs(mean[there]) / np.interp(ratio, RATIOS, first)
    centre[there] = ratio * width[there]
    standard = np.divide(values - mean, deviation, out=np.zeros_like(values), where=deviation > 0)
    noise = torch.randn(draws, count, count, generator=generator) / math.sqrt(count)
    latent = noise @ torch.from_numpy(standard).float() * torch.from_numpy(width).float() + torch.from_numpy(centre).float()
    signs = torch.from_numpy(sign).float()
    rectified = torch.where(signs == 0, latent, latent.clamp_min(0) * signs)
    constant = torch.from_numpy(deviation == 0)
    rectified = torch.where(constant, torch.from_numpy(mean).float(), rectified)
    return torch.nn.functional.normalize(rectified, dim=2)


def by_size(labels: Int64[np.ndarray, " point"]) -> Int64[np.ndarray, " point"]:
    """Number clusters anew, the largest first."""
    known, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.empty(len(known), np.int64)
    order[np.argsort(-counts, kind="stable")] = np.arange(len(known))
    renumbered: Int64[np.ndarray, " point"] = order[place]
    return renumbered


def k_means(
    points: Float[Tensor, "draw point axis"], number: int, generator: torch.Generator
) -> tuple[Tensor, Float[Tensor, " draw"]]:
    """Cluster each draw alone; return labels, ``draw point``, and what is left of its spread.

    It begins as k-means++ does (Arthur and Vassilvitskii 2007) and keeps the best of `STARTS` that has no cluster below `SMALLEST`; where
    none has, one cluster is all there is.
    """
    draws, count, _ = points.shape
    many = points.repeat_interleave(STARTS, 0)
    rows = torch.arange(len(many))
    centres = many[rows, torch.randint(count, (len(many),), generator=generator)][:, None]
    for _ in range(number - 1):
        near = torch.cdist(many, centres).amin(2).square() + 1e-12
        chosen = torch.multinomial(near, 1, generator=generator)[:, 0]
        centres = torch.cat([centres, many[rows, chosen][:, None]], 1)
    for _ in range(ROUNDS):
        owner = torch.nn.functional.one_hot(_nearer(many, centres).argmin(2), number).to(many.dtype)
        sizes = owner.sum(1)
        moved = owner.transpose(1, 2) @ many / sizes.clamp_min(1)[..., None]
        centres = torch.where(sizes[..., None] > 0, moved, centres)
    nearer = _nearer(many, centres)
    labels = nearer.argmin(2)
    within = many.square().sum((1, 2)) + nearer.amin(2).sum(1)
    smallest = torch.nn.functional.one_hot(labels, number).sum(1).amin(1)
    within = torch.where(smallest >= max(2, SMALLEST * count), within, torch.inf).view(draws, STARTS)
    best = within.argmin(1)
    spread = points.square().sum((1, 2))
    left = within.gather(1, best[:, None])[:, 0]
    kept = labels.view(draws, STARTS, count)[torch.arange(draws), best]
    none = torch.isinf(left)
    return torch.where(none[:, None], torch.zeros_like(kept), kept), torch.where(none, spread, left).clamp_min(1e-12 * spread)


def _nearer(
    points: Float[Tensor, "start point axis"], centres: Float[Tensor, "start cluster axis"]
) -> Float[Tensor, "start point cluster"]:
    """Return the squared distance of each point from each centre, less the square of the point."""
    return centres.square().sum(2)[:, None] - 2 * points @ centres.transpose(1, 2)


def adjusted_rand(first: Int64[np.ndarray, " point"], second: Int64[np.ndarray, " point"]) -> float:
    """Return how far two clusterings agree: 1 when they are one, about 0 by chance (Hubert and Arabie 1985); 1 where neither has any."""
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1)
    pairs = (table * (table - 1) / 2).sum()
    rows, columns = (side * (side - 1) / 2 for side in (table.sum(1), table.sum(0)))
    expected = rows.sum() * columns.sum() / (len(first) * (len(first) - 1) / 2)
    largest = (rows.sum() + columns.sum()) / 2
    return 1.0 if largest == expected else float((pairs - expected) / (largest - expected))
