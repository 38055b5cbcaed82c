"""How well values separate images that have a label from those that have not: the area under the ROC curve, for all units and labels.

The AUROC is the probability that an image with the label has a larger value than one without (ties count half). It is read from the
ranks of the images (Mann and Whitney 1947): all images are ranked once a unit, and all labels follow with one matrix product. Drawings
of one concept are not independent, so intervals are Obuchowski's for clustered data (1997), and significance comes from shuffling
labels over concepts.

Shapes: ``image`` are images, ordered so that those of a concept stand together; ``member`` says which image has which label.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped
from scipy.sparse import csr_array
from scipy.special import gammainc, gammaincc, ndtr, ndtri, stdtrit
from scipy.stats import rankdata

LEVEL = 0.95
"""Of all intervals."""
SWEEPS = 8
"""How often every concept may change sides on the average."""


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which image belongs to which concept, and has which label.

    Attributes
    ----------
    concept
        Number of each image's concept, ascending from 0 without gaps.
    member
        Whether an image has a label.
    """

    concept: Int64[np.ndarray, "image"]
    member: Bool[np.ndarray, "image label"]

    @property
    def concepts(self) -> int:
        """Number of concepts."""
        return int(self.concept[-1]) + 1 if len(self.concept) else 0

    @cached_property
    def in_concept(self) -> csr_array:
        """Matrix ``concept image`` that adds up the images of each concept."""
        images = len(self.concept)
        return csr_array((np.ones(images, np.float32), (self.concept, np.arange(images))), (self.concepts, images))

    @cached_property
    def size(self) -> Float[np.ndarray, "concept"]:
        """Images of each concept."""
        return np.bincount(self.concept, minlength=self.concepts).astype(np.float64)

    @cached_property
    def counted(self) -> Float[np.ndarray, "concept label"]:
        """Images of each concept that have the label."""
        return np.asarray(self.in_concept @ self.member.astype(np.float64))

    @cached_property
    def images(self) -> Float[np.ndarray, "label"]:
        """Images that have the label."""
        return np.asarray(self.member.sum(0, dtype=np.float64))

    @cached_property
    def positives(self) -> Int64[np.ndarray, "label"]:
        """Concepts with an image that has the label."""
        return np.asarray((self.counted > 0).sum(0))

    @cached_property
    def negatives(self) -> Int64[np.ndarray, "label"]:
        """Concepts with an image that lacks it."""
        return np.asarray((self.counted < self.size[:, None]).sum(0))

    @cached_property
    def mixed(self) -> Bool[np.ndarray, "label"]:
        """Labels that some but not all images of a concept have, such as a drawing style."""
        return np.asarray(((self.counted > 0) & (self.counted < self.size[:, None])).any(0))


def ranks(values: Float[np.ndarray, "image unit"]) -> Float[np.ndarray, "image unit"]:
    """Rank all images by each unit, from 1; equal values share the mean of their ranks."""
    ranked: Float[np.ndarray, "image unit"] = rankdata(values, axis=0)
    return ranked


def auroc(ranked: Float[np.ndarray, "image unit"], group: Grouping) -> Float[np.ndarray, "unit label"]:
    """Return the AUROC of all units and labels from the images' ranks; NaN where all images or none have the label."""
    with_label, images = group.images, len(ranked)
    total = ranked.T @ group.member.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Float[np.ndarray, "unit label"] = (total - with_label * (with_label + 1) / 2) / (
            with_label * (images - with_label)
        )
    return found


def clustered_variance(
    ranked: Float[np.ndarray, "image unit"], found: Float[np.ndarray, "unit label"], group: Grouping
) -> Float[np.ndarray, "unit label"]:
    """Return the variance of each AUROC when the images of a concept are not independent.

    Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53 (1997), equations 4 to 6: with the part of images
    without the label below each image with it (V10) and the part of images with it above each one without (V01), summed over each
    concept. NaN where fewer than two concepts have the label, or lack it.
    """
    pieces = _Pieces(group)
    with np.errstate(invalid="ignore", divide="ignore"):
        variances = [pieces.variance(column, values) for column, values in zip(ranked.T, found, strict=True)]
    return np.array(variances).reshape(found.shape)


class _Pieces:
    """What the variances of all units have in common; single precision suffices, since all counts are whole numbers below 2^24.

    Both V10 and V01, summed over the images of a concept, are a constant less a multiple of what is counted of each unit: twice the
    images with the label below each image of the concept, ties half.
    """

    def __init__(self, group: Grouping) -> None:
        self.group = group
        self.member = group.member.astype(np.float32)
        self.mixed = np.flatnonzero(group.mixed)
        self.size = group.size.astype(np.float32)[:, None]
        self.has = (group.counted > 0).astype(np.float32)
        self.m, self.n = group.images, len(group.concept) - group.images
        with np.errstate(divide="ignore", invalid="ignore"):
            over_n, over_m = (1 / self.n).astype(np.float32), (1 / self.m).astype(np.float32)
            self.slope = np.where(self.has > 0, -over_n / 2, -over_m / 2)
            self.constant = self.size * np.where(self.has > 0, -over_n / 2, np.float32(1))
            self.per_rank = np.where(self.has > 0, over_n, np.float32(0))

    def variance(
        self, ranked: Float[np.ndarray, "image"], found: Float[np.ndarray, "label"]
    ) -> Float[np.ndarray, "label"]:
        """Return the variances of one unit."""
        group, images = self.group, len(ranked)
        order = np.argsort(ranked, kind="stable")
        # Images with the label among the first so many in order; row by row, since numpy's cumulative sum down columns is slow.
        before = np.zeros((images + 1, len(found)), np.float32)
        for place, image in enumerate(order):
            np.add(before[place], self.member[image], out=before[place + 1])
        in_order = ranked[order]
        every = np.concatenate([np.arange(images)] * 2)
        ends = np.concatenate([np.searchsorted(in_order, ranked, "left"), np.searchsorted(in_order, ranked, "right")])
        bounds = csr_array((np.ones(2 * images, np.float32), (every, ends)), (images, images + 1))
        theta = found.astype(np.float32)
        rank_sums = (group.in_concept @ ranked).astype(np.float32)[:, None]
        excess = (group.in_concept @ bounds) @ before
        excess *= self.slope
        excess += self.constant
        excess += rank_sums * self.per_rank
        excess -= self.size * theta
        excess *= excess
        above = np.einsum("cl,cl->l", excess, self.has, dtype=np.float64)
        below = excess.sum(0, dtype=np.float64) - above
        both = np.zeros(len(found))
        if self.mixed.size:
            above[self.mixed], below[self.mixed], both[self.mixed] = self._of_mixed(
                ranked, found, bounds @ before[:, self.mixed]
            )
        m, n = self.m, self.n
        with_label, lacking, concepts = group.positives, group.negatives, group.concepts
        s10 = with_label / ((with_label - 1) * m) * above
        s01 = lacking / ((lacking - 1) * n) * below
        s11 = concepts / (concepts - 1) * both
        result = s10 / m + s01 / n + 2 * s11 / (m * n)
        return np.where((with_label > 1) & (lacking > 1), result, np.nan)

    def _of_mixed(
        self,
        ranked: Float[np.ndarray, "image"],
        found: Float[np.ndarray, "label"],
        counted: Float[np.ndarray, "image some"],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the sums of squares and products for the labels that some images of a concept have and others have not."""
        group, mixed = self.group, self.mixed
        own, theta = self.member[:, mixed].astype(np.float64), found[mixed]
        v10 = own * ((ranked[:, None] - (counted + 1) / 2) / self.n[mixed] - theta)
        v01 = (1 - own) * (1 - counted / (2 * self.m[mixed]) - theta)
        d10, d01 = group.in_concept @ v10, group.in_concept @ v01
        return (d10**2).sum(0), (d01**2).sum(0), (d10 * d01).sum(0)


def interval(
    found: Float[np.ndarray, "unit label"], variance: Float[np.ndarray, "unit label"], group: Grouping
) -> tuple[Float[np.ndarray, "unit label"], Float[np.ndarray, "unit label"]]:
    """Return lower and upper limit of each AUROC: a score interval that allows for clusters.

    All values that lie within t standard errors of what was found, where the variance is Hanley and McNeil's (1982) for independent images,
    at that value rather than at the one found (Newcombe 2006, method 5, so that 1 has an interval too), times the design effect: the
    clustered variance over the independent one, at least 1. t has as many degrees of freedom as there are concepts with the label, or
    without, less one. NaN where the variance is.
    """
    m, n = group.images, len(group.concept) - group.images
    quantile = stdtrit(np.maximum(np.minimum(group.positives, group.negatives) - 1, 1), (1 + LEVEL) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        independent = independent_variance(found, m, n)
        effect = np.where(independent > 0, np.maximum(variance / independent, 1), 1)
    effect = np.where(np.isnan(variance), np.nan, effect * quantile**2)

    def limit(outside: float) -> Float[np.ndarray, "unit label"]:
        within, beyond = found.copy(), np.full_like(found, outside)
        for _ in range(30):
            middle = (within + beyond) / 2
            inside = (found - middle) ** 2 <= effect * independent_variance(middle, m, n)
            within, beyond = np.where(inside, middle, within), np.where(inside, beyond, middle)
        return np.where(np.isnan(effect), np.nan, within)

    return limit(0.0), limit(1.0)


def independent_variance(
    value: Float[np.ndarray, "unit label"], m: Shaped[np.ndarray, "label"], n: Shaped[np.ndarray, "label"]
) -> Float[np.ndarray, "unit label"]:
    """Return Hanley and McNeil's variance of an AUROC from m images with the label and n without, all independent."""
    with np.errstate(invalid="ignore", divide="ignore"):
        others = (m + n) / 2 - 1
        spread = (1 - value) / (2 - value) + value / (1 + value)
        result: Float[np.ndarray, "unit label"] = value * (1 - value) * (1 + others * spread) / (m * n)
    return result


@dataclass(frozen=True, eq=False)
class Chance:
    """What shuffling labels over concepts would give.

    Attributes
    ----------
    p
        Two-sided: how often a shuffled label separates at least as well; 1 where nothing can be separated.
    deviation
        Standard deviation of the AUROC of shuffled labels.
    """

    p: Float[np.ndarray, "unit label"]
    deviation: Float[np.ndarray, "unit label"]


def chance(ranked: Float[np.ndarray, "image unit"], group: Grouping) -> Chance:
    """Compare the rank sums with those of shuffled labels, without shuffling.

    A label that holds for whole concepts is shuffled over the concepts; one that holds for some images of a concept (a drawing style)
    within each. Mean, variance and skewness of the rank sum under all such shuffles are known (moments of a sum drawn without
    replacement); its distribution is taken as Pearson's type III with these, as Mielke and Berry do (2007): a normal distribution has too
    light a tail where few images drive a unit.
    """
    images = len(ranked)
    centred = ranked - (images + 1) / 2
    sums = group.in_concept @ centred
    second, third = (sums**2).mean(0), (sums**3).mean(0)
    statistic = (group.counted > 0).T.astype(np.float64) @ sums
    number, concepts = group.positives.astype(np.float64), float(group.concepts)
    variance = np.outer(_second(number, concepts), second)
    skewed = np.outer(_third(number, concepts), third)
    mixed = group.mixed
    if mixed.any():
        size, counted = group.size[:, None], group.counted[:, mixed]
        mean = sums / size
        about = centred - mean[group.concept]
        squares, cubes = group.in_concept @ about**2 / size, group.in_concept @ about**3 / size
        statistic[mixed] = group.member[:, mixed].T.astype(np.float64) @ about
        variance[mixed] = _second(counted, size).T @ squares
        skewed[mixed] = _third(counted, size).T @ cubes
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.sqrt(variance)
        p = _pearson(statistic / deviation, skewed / deviation**3)
        scale = group.images * (images - group.images)
        return Chance(np.where(deviation > 0, p, 1.0).T, (deviation / scale[:, None]).T)


def _second(drawn: np.ndarray, of: np.ndarray | float) -> np.ndarray:
    """Variance of a sum of values drawn without replacement, in variances of the values."""
    factor: np.ndarray = drawn * (of - drawn) / np.maximum(of - 1, 1)
    return factor


def _third(drawn: np.ndarray, of: np.ndarray | float) -> np.ndarray:
    """Third central moment of that sum, in third central moments of the values."""
    factor: np.ndarray = drawn * (of - drawn) * (of - 2 * drawn) / np.maximum((of - 1) * (of - 2), 1)
    return factor


def _pearson(z: np.ndarray, skewness: np.ndarray) -> np.ndarray:
    """Two-sided probability of a standardised value of that skewness."""
    skewness = np.where(np.isfinite(skewness), skewness, 0)
    z, skewness = np.where(skewness < 0, -z, z), np.abs(skewness)
    shape = 4 / np.maximum(skewness, 1e-3) ** 2
    place = np.maximum(shape + z * np.sqrt(shape), 0)
    upper = np.where(skewness < 1e-3, ndtr(-z), gammaincc(shape, place))
    lower = np.where(skewness < 1e-3, ndtr(z), gammainc(shape, place))
    p: np.ndarray = np.minimum(1, 2 * np.minimum(upper, lower))
    return p


def detectable(chance_of: Chance, p: float, power: float = 0.8) -> Float[np.ndarray, "label"]:
    """Return the AUROC above one half that a label must reach in the median unit to be found with `power` at the level `p`."""
    deviation = np.where(chance_of.deviation > 0, chance_of.deviation, np.nan)
    known = ~np.isnan(deviation).all(0)
    middle = np.full(deviation.shape[1], np.nan)
    middle[known] = np.nanmedian(deviation[:, known], axis=0)
    found: Float[np.ndarray, "label"] = np.minimum(0.5 + (ndtri(1 - p / 2) + ndtri(power)) * middle, 1)
    return found


def halves(group: Grouping, seed: int) -> Bool[np.ndarray, "concept"]:
    """Split the concepts at random so that about half of those with each label are on either side.

    From a random split, concepts go to the other side as long as that evens out their labels, the rare ones above all.
    """
    rng = np.random.default_rng(seed)
    has = (group.counted > 0).astype(np.float64)
    weight = 1 / np.maximum(group.positives, 1) ** 2
    side = rng.choice([-1.0, 1.0], group.concepts)
    lead = side @ has
    for concept in rng.permutation(np.tile(np.arange(group.concepts), SWEEPS)).tolist():
        change = -2 * side[concept] * has[concept]
        if (change * (2 * lead + change)) @ weight < 0:
            side[concept] *= -1
            lead += change
    return side > 0
