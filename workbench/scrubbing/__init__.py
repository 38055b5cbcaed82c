"""Causal scrubbing: hypotheses as trees of claims, what of a network each means (`check`), their `nulls`, and resampling (`scrubber`)."""

from workbench.scrubbing.check import check, faults, places
from workbench.scrubbing.claim import Claim, Occupancy, occupancy
from workbench.scrubbing.nulls import of_random_units, of_whole_units, without_hypothesis
from workbench.scrubbing.scrubber import Agreement, Loss, Scrubbed, Scrubber

__all__ = [
    "Agreement",
    "Claim",
    "Loss",
    "Occupancy",
    "Scrubbed",
    "Scrubber",
    "check",
    "faults",
    "occupancy",
    "of_random_units",
    "of_whole_units",
    "places",
    "without_hypothesis",
]
