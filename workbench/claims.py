"""A hypothesis bound to a network and images: its claims with a label for every image, or what is wrong at which node."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.feature_labels import labels_of
from workbench.hypothesis import HypothesisError, Node, NodeCard
from workbench.input_error import InputError
from workbench.scrubbing import Claim, faults, occupancy, places
from workbench.scrubbing.reading import read

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

FEWEST_IMAGES = 8
_ACTIVATION = re.compile(r"activation\s*/")


@dataclass(frozen=True, eq=False)
class Data:
    """Images that a hypothesis is tested on.

    Attributes
    ----------
    seen
        int64 ``datum``: the index of each in its set.
    columns
        What is known of them, one text a datum each.
    inputs
        What the network reads, ``datum channel y x``; None while only the columns are asked for.
    """

    seen: npt.NDArray[np.int64]
    columns: Mapping[str, Sequence[str]]
    inputs: Tensor | None = None

    @classmethod
    def drawn(cls, images: ImageSet, number: int, seed: int, model: TracedModel | None = None) -> Data:
        """Draw images of a set; with a network they are read for it.

        Raises
        ------
        InputError
            When there are fewer than 8 that can be read.
        """
        seen = np.sort(np.random.default_rng(seed).permutation(len(images))[:number])
        inputs = None
        if model is not None:
            read = list(images.batches(model.preprocessing.size, 64, seen))
            seen = np.concatenate([part.indices for part in read]) if read else np.empty(0, np.int64)
            if len(seen) >= FEWEST_IMAGES:
                inputs = torch.cat([model.preprocess(part.images) for part in read])
        if len(seen) < FEWEST_IMAGES:
            raise InputError(f"{len(seen)} images of {images.name} could be read; at least {FEWEST_IMAGES} are needed")
        columns = {name: [values[index] for index in seen.tolist()] for name, values in images.columns.items()}
        return cls(seen, columns, inputs)


def claims(model: TracedModel, root: Node, data: Data, batch: int = 64) -> Claim:
    """Return the claims of a hypothesis on these images, which must have been read.

    Raises
    ------
    HypothesisError
        At the first node, from the root down, that cannot be tested.
    """
    for fault in faults(model, root):
        raise fault
    cells = places(model, root)
    asked = {(node.units, cells[node.name]) for node in root.every() if node is not root and _ACTIVATION.match(node.feature.strip())}
    done = {} if data.inputs is None else read(model, data.inputs, asked, batch, _strongest)

    def claim(node: Node) -> Claim:
        def activation() -> npt.NDArray[np.floating]:
            return done[node.units, cells[node.name]].cpu().double().numpy()

        if node is root:
            feature = np.zeros(len(data.seen), np.int64)
        else:
            try:
                feature = labels_of(node.feature, data.columns, len(data.seen), activation)
            except InputError as error:
                raise HypothesisError(node.name, "feature", str(error)) from None
        return Claim(node.name, node.units, feature, tuple(claim(child) for child in node.children), node.offsets)

    return claim(root)


def inspected(model: TracedModel, root: Node, data: Data | None) -> Iterator[NodeCard]:
    """Give a card of each node, from the root down; without images only the units are looked at."""
    wrong = {fault.node: fault for fault in faults(model, root)}
    cells = {} if wrong else places(model, root)
    for node in root.every():
        at = len(cells.get(node.name) or ())
        if node.name in wrong:
            yield NodeCard(node.name, wrong[node.name].field, wrong[node.name].reason)
        elif node is root or data is None:
            yield NodeCard(node.name, cells=at)
        else:
            try:
                shared = occupancy(labels_of(node.feature, data.columns, len(data.seen), _not_computed))
            except _NotComputed:
                yield NodeCard(node.name, cells=at)
            except InputError as error:
                yield NodeCard(node.name, "feature", str(error), cells=at)
            else:
                yield NodeCard(node.name, "", "", shared.labels, shared.least, shared.itself, at)


def _strongest(value: Tensor) -> Tensor:
    """Return the mean of units where it is largest, ``datum``, of ``datum unit *position``."""
    return value.mean(1).reshape(len(value), -1).amax(1)


class _NotComputed(Exception):
    """What units do was asked for."""


def _not_computed() -> npt.NDArray[np.floating]:
    raise _NotComputed
