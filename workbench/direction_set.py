"""`DirectionSet`: directions in a layer's activations, as plain data: principal axes, a probe, the latents of a sparse autoencoder.

A direction is read by a row of the encoder and written back by a row of the decoder. `workbench.models.directions` puts a set into the
graph of a network, where each direction is a unit like any other: ``bundled:inception?directions=NAME`` opens the network with it. A set is
one safetensors file in the user's data folder; its name there is its name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from workbench.data_folder import data_folder
from workbench.input_error import InputError
from workbench.whole_file import replacing

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
"""What a set may be called: it stands in references and in the names of layers."""


@dataclass(frozen=True, eq=False)
class DirectionSet:
    """Directions of one layer.

    At each position, with x the activations of the layer's units there, direction i is ``encoder[i] . x + bias[i]``; where `kept` is not 0,
    only the `kept` largest of them that are above 0 are, and the others are 0 (TopK: Gao et al., "Scaling and evaluating sparse
    autoencoders", 2024).

    Attributes
    ----------
    name
        Of the set.
    layer
        The site: name of the layer that is read.
    encoder, bias, decoder
        What reads each direction, and what it adds to the site where it is 1.
    spread
        Standard deviation of each direction over images and positions, NaN where it was not measured.
    kept
        Directions that are not 0 at a position, at most; 0 for all, and no rectification.
    labels
        What the directions are called, empty for numbers.
    provenance
        What it was made from: ``how``, ``model``, ``weights``, ``images`` and figures, plain data.

    Raises
    ------
    InputError
        When the name cannot stand in a reference, or the arrays do not fit one another.
    """

    name: str
    layer: str
    encoder: Float32[np.ndarray, "direction unit"]
    bias: Float32[np.ndarray, " direction"]
    decoder: Float32[np.ndarray, "direction unit"]
    spread: Float32[np.ndarray, " direction"]
    kept: int = 0
    labels: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts fit."""
        check_name(self.name)
        count = len(self.encoder)
        fits = self.encoder.ndim == 2 and self.decoder.shape == self.encoder.shape and self.bias.shape == self.spread.shape == (count,)
        if not fits or not count or not 0 <= self.kept <= count or len(self.labels) not in (0, count):
            raise InputError(f"the directions {self.name} are damaged: their arrays do not fit one another; make them again")

    def __len__(self) -> int:
        return len(self.encoder)

    @property
    def units(self) -> int:
        """Units of the site."""
        return int(self.encoder.shape[1])

    @property
    def reading(self) -> str:
        """Name of the layer whose units the directions are, in a network that has them."""
        return f"{self.layer}~{self.name}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what decides their values, in hexadecimal digits."""
        found = hashlib.sha256(f"{self.layer} {self.kept} {self.encoder.shape}\n".encode())
        for array in (self.encoder, self.bias, self.decoder):
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def called(self, direction: int) -> str:
        """Return what a direction is called, or its number."""
        return self.labels[direction] if self.labels else str(direction)

    def mixture(self, unit: int) -> Float32[np.ndarray, " direction"]:
        """Return what each direction adds to one unit of the site: decoder weight times the direction's standard deviation.

        Its square is that direction's share of the unit's variance, as far as directions do not vary together. Negative: it takes away.
        """
        if not 0 <= unit < self.units:
            raise InputError(f"{self.layer} has units 0 to {self.units - 1}, not {unit}")
        share: Float32[np.ndarray, " direction"] = self.decoder[:, unit] * np.nan_to_num(self.spread)
        return share

    def save(self, folder: Path | None = None) -> Path:
        """Write it into the data folder (or another), whole or not at all; return the file."""
        from safetensors.numpy import save_file

        path = (folder or directions_folder()) / f"{self.name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        about = {
            "layer": self.layer,
            "kept": self.kept,
            "labels": list(self.labels),
            "provenance": dict(self.provenance),
            "directions": len(self),
            "units": self.units,
            "digest": self.digest,
        }
        parts = {"encoder": self.encoder, "bias": self.bias, "decoder": self.decoder, "spread": self.spread}
        with replacing(path) as beside:
            save_file({name: np.ascontiguousarray(array) for name, array in parts.items()}, beside, {"about": json.dumps(about)})
        return path

    @classmethod
    def load(cls, path: Path) -> DirectionSet:
        """Read a file that `save` wrote.

        Raises
        ------
        InputError
            When there is none, or it is damaged.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "np") as file:
                about = json.loads((file.metadata() or {})["about"])
                parts = {name: file.get_tensor(name).astype(np.float32) for name in ("encoder", "bias", "decoder", "spread")}
            told = {"kept": about["kept"], "labels": tuple(about["labels"]), "provenance": about["provenance"]}
            return cls(path.stem, about["layer"], **parts, **told)
        except FileNotFoundError:
            raise InputError(f"there are no directions at {path}; make them anew") from None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} does not hold directions ({error}); make them anew") from None


@dataclass(frozen=True)
class DirectionCard:
    """What a list shows of a set: all but its arrays."""

    name: str
    layer: str
    directions: int
    units: int
    kept: int
    provenance: Mapping[str, Any]
    digest: str = ""


def directions_folder() -> Path:
    """Return where the user's sets are kept."""
    return data_folder("directions")


def check_name(name: str) -> str:
    """Return the name of a set; InputError when it cannot stand in a reference."""
    if not NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for directions; use letters, digits, - _ and dots")
    return name


def find_directions(name: str) -> DirectionSet:
    """Return the user's set of that name.

    Raises
    ------
    InputError
        When there is none; those there are are named.
    """
    path = directions_folder() / f"{check_name(name)}.safetensors"
    if not path.exists():
        known = ", ".join(card.name for card in list_directions()) or "none yet"
        raise InputError(f"there are no directions {name!r} in {path.parent}; there are {known}")
    return DirectionSet.load(path)


def list_directions() -> list[DirectionCard]:
    """Return the user's sets, the one written last first; files that hold none are left out."""
    from safetensors import SafetensorError, safe_open

    found = []
    for path in sorted(directions_folder().glob("*.safetensors"), key=lambda path: -path.stat().st_mtime):
        try:
            with safe_open(path, "np") as file:
                about = json.loads((file.metadata() or {})["about"])
            sizes = (about["directions"], about["units"], about["kept"])
            found.append(DirectionCard(path.stem, about["layer"], *sizes, about["provenance"], about["digest"]))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            continue  # find_directions says what is wrong with it once it is asked for
    return found
