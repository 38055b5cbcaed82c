"""A hypothesis bound to a network and images: its claims with a label for every image, or what is wrong at which node."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.circuit import layer_of, units_of
from workbench.classes import classes_of, has_classes
from workbench.feature_labels import labels_of
from workbench.hypothesis import LOSSES, HypothesisError, Node, NodeCard
from workbench.input_error import InputError
from workbench.scrubbing import Claim, faults, occupancy, places
from workbench.scrubbing.reading import Place, read

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

FEWEST_IMAGES = 8
MOST_BYTES = 2**31
"""Of all images together, as the network reads them."""
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
    def drawn(
        cls, images: ImageSet, number: int, seed: int, model: TracedModel | None = None, step: Callable[[], None] = lambda: None
    ) -> Data:
        """Draw images of a set; with a network they are read for it, and `step` is called before every batch.

        Raises
        ------
        InputError
            When there are fewer than 8 that can be read, or more than `MOST_BYTES` hold.
        """
        seen = np.sort(np.random.default_rng(seed).permutation(len(images))[:number])
        inputs = None
        if model is not None:
            _refuse_many(model, len(seen))
            found, parts = [], []
            step()
            for part in images.batches(model.preprocessing.size, 64, seen):
                found.append(part.indices)
                parts.append(model.preprocess(part.images))
                step()
            seen = np.concatenate(found) if found else np.empty(0, np.int64)
            if len(seen) >= FEWEST_IMAGES:
                inputs = torch.cat(parts)
        if len(seen) < FEWEST_IMAGES:
            raise InputError(f"{len(seen)} images of {images.name} could be read; at least {FEWEST_IMAGES} are needed")
        columns = {name: [values[index] for index in seen.tolist()] for name, values in images.columns.items()}
        return cls(seen, columns, inputs)


def _refuse_many(model: TracedModel, number: int) -> None:
    """Refuse images that would not fit into memory: all of them are held as the network reads them."""
    height, width = model.preprocessing.size
    each = model.preprocessing.channels * height * width * model.dtype.itemsize
    if number * each > MOST_BYTES:
        raise InputError(
            f"{number:,} images of {height} × {width} pixels need {number * each / 2**30:.1f} GB of memory at once; "
            f"draw at most {MOST_BYTES // each:,}"
        )


def claims(
    model: TracedModel,
    root: Node,
    data: Data,
    batch: int = 64,
    step: Callable[[], None] = lambda: None,
    known: dict[Place, Tensor] | None = None,
) -> Claim:
    """Return the claims of a hypothesis on these images, which must have been read.

    Parameters
    ----------
    step
        Called before every batch of images that the network is shown.
    known
        What units do at their strongest, as far as another hypothesis asked for it; what this one asks for is added.

    Raises
    ------
    HypothesisError
        At the first node, from the root down, that cannot be tested.
    """
    for fault in faults(model, root):
        raise fault
    cells = places(model, root)
    asked = {(node.units, cells[node.name]) for node in root.every() if node is not root and _ACTIVATION.match(node.feature.strip())}
    done = {} if known is None else known
    if data.inputs is not None:
        done |= read(model, data.inputs, asked - done.keys(), batch, _strongest, step)

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


def classes_seen(model: TracedModel, root: Node, images: ImageSet, seen: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the class of each image drawn, by which the root's cross-entropy is measured: int64 ``datum``, places among the labels.

    Raises
    ------
    HypothesisError
        At the root: when it is not all classes of the network, or the image set does not say the class of every image.
    """
    other = f"choose the {LOSSES['distance'][0]}"
    output = model.graph.output
    whole = [unit.index for unit in units_of(root.units)] == list(range(len(model.labels)))
    if not has_classes(model) or not whole or model.layer(layer_of(root.units)).name != output:
        about = f"all {len(model.labels)} classes as the root, {output}:0,1,… in order" if has_classes(model) else "a network with classes"
        raise HypothesisError(root.name, "loss", f"the cross-entropy needs {about}; {other} for {root.units}")
    column, classes = classes_of(model, images)
    if not column:
        raise HypothesisError(root.name, "loss", f"{images.name} has no labels that are classes of {model.name}; {other}")
    if without := int((classes[seen] < 0).sum()):
        raise HypothesisError(
            root.name, "loss", f"the {column} of {without:,} of {len(seen):,} images of {images.name} is no class of {model.name}; {other}"
        )
    return classes[seen]


def inspected(model: TracedModel, root: Node, data: Data | None, loss: HypothesisError | None = None) -> Iterator[NodeCard]:
    """Give a card of each node, from the root down; without images only the units are looked at.

    Parameters
    ----------
    loss
        Why the loss cannot be measured; said where nothing else is wrong at its node.
    """
    wrong = {fault.node: fault for fault in faults(model, root)}
    cells = {} if wrong else places(model, root)
    if loss is not None:
        wrong.setdefault(loss.node, loss)
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
