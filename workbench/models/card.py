"""The card of a bundled network: what it is, how it was made, what it can do, and the digest of its weights.

A card is ``resources/models/NAME.json`` with ``NAME.safetensors`` beside it. Kernels and matrices are kept in half precision; figures on
the card are those of the weights as they are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from workbench.models.loading import LoadError
from workbench.models.shelf import FOLDER, digest


class EarlySteps(BaseModel):
    """Checkpoints of a network's first layers: after which updates, the digest of their file, and the log of the training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[int, ...]
    sha256: str
    logged: tuple[Mapping[str, float], ...] = ()


class Card(BaseModel):
    """What is known of a bundled network.

    Attributes
    ----------
    recipe, parameters
        Kind of the recipe and all its parameters; ``main.py train NAME`` follows it again.
    labels
        Class names in the order of the output.
    figures
        What the recipe's own evaluation measured.
    data
        References and digests of what it was trained on.
    sha256
        Of the weight file.
    early
        By seed, the checkpoints of the first layers that are kept in a file of their own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    recipe: str
    parameters: Mapping[str, Any]
    parameter_count: int
    labels: tuple[str, ...]
    figures: Mapping[str, float]
    data: Mapping[str, str]
    licence: str
    versions: Mapping[str, str]
    sha256: str
    early: Mapping[str, EarlySteps] = Field(default_factory=dict)

    @property
    def weights(self) -> Path:
        """Where the weights are."""
        return FOLDER / f"{self.name}.safetensors"

    def early_weights(self, seed: int) -> Path:
        """Where the checkpoints of the first layers are."""
        return FOLDER / f"{self.name}.seed{seed}.early.safetensors"

    def check(self) -> None:
        """Make sure that the weight file is the one the card was written for.

        Raises
        ------
        LoadError
            When it is missing or another one.
        """
        _check(self.weights, self.sha256, self.name)

    def check_early(self, seed: int, step: int) -> None:
        """Make sure that there is a checkpoint, in the file the card was written for.

        Raises
        ------
        LoadError
            When there is none of that seed and step, or its file is missing or another one.
        """
        known = self.early.get(str(seed))
        if known is None:
            raise LoadError(f"there are no checkpoints of {self.name} with seed {seed}; there are seeds {', '.join(self.early) or 'none'}")
        if step not in known.steps:
            nearest = min(known.steps, key=lambda kept: abs(kept - step))
            raise LoadError(f"there is no checkpoint of {self.name} after {step} updates; the nearest is step={nearest}")
        _check(self.early_weights(seed), known.sha256, self.name)


def _check(path: Path, sha256: str, name: str) -> None:
    if not path.exists():
        raise LoadError(f"the weights of bundled:{name} are missing: {path}")
    found = digest(path)
    if found != sha256:
        raise LoadError(
            f"{path} is damaged or was changed: its SHA-256 is {found[:12]}… and not {sha256[:12]}…; "
            "restore it from the release, or make it again with make models"
        )


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return kernels and matrices as fp16; vectors, such as BatchNorm's variances, stay as they are."""
    return {
        name: value.half() if value.is_floating_point() and value.ndim > 1 else value for name, value in weights.items()
    }


def in_single(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as the network computes with them: what is kept as fp16 in fp32."""
    return {name: value.float() if value.dtype == torch.float16 else value for name, value in weights.items()}


@cache
def cards() -> dict[str, Card]:
    """Return the cards of all bundled networks by name.

    Raises
    ------
    LoadError
        When one cannot be read.
    """
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        try:
            found[path.stem] = Card.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise LoadError(f"{path} is not the card of a network: {error.errors()[0]['msg']}") from None
    return found
