"""Causal scrubbing: a hypothesis about what parts of a network compute, tested by resampling all that it says does not matter.

A hypothesis is a tree. Each node names units of a layer and the *feature* they are claimed to compute; its children are what it is claimed
to compute it from. To scrub a node on a datum x: every child gets a datum drawn uniformly among those that agree with x on the child's
feature, and is scrubbed on that one in turn; all other inputs of the node come from one datum drawn at random. What comes out at the root,
whose datum is that of the example, is compared with what the network says. A unit that two nodes read stands in the tree twice, and is
drawn twice (treeified). Children agree with *their parent's* datum, not with the root's: else a wrong claim about a node in between goes
unseen (`Agreement`).

Chan et al., "Causal Scrubbing: a method for rigorously testing interpretability hypotheses" (2022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from workbench.circuit import layer_of, units_of
from workbench.input_error import InputError

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel

Agreement = Literal["parent", "root"]
Labels = npt.NDArray[np.int64]
Loss = Callable[[Float[Tensor, "datum *value"], Int64[np.ndarray, " datum"]], Float[Tensor, " datum"]]
"""Takes the root's values and the data they stand for."""
FEWEST = 4
"""Data of one label below which a feature mostly resamples a datum by itself."""


@dataclass(frozen=True, eq=False)
class Claim:
    """A node of a hypothesis.

    Attributes
    ----------
    name
        What it is called; unique in the hypothesis.
    units
        Address of the units, such as ``relu:0`` or ``mixed3a:4,7``.
    feature
        Label of every datum of the set, int64 ``datum``: two data agree where their labels are equal. The root's is not used.
    children
        What it is computed from; none: the units are taken as they are on the datum.
    """

    name: str
    units: str
    feature: Labels
    children: tuple[Claim, ...] = ()

    def every(self) -> Iterator[Claim]:
        """Return this node and all below it."""
        yield self
        for child in self.children:
            yield from child.every()


@dataclass(frozen=True)
class Occupancy:
    """How many data share a label of a node's feature.

    Attributes
    ----------
    labels
        How many labels there are.
    least, mean
        Data of the rarest label; and those that a datum agrees with on average, itself included.
    itself
        Part of the draws that give the datum back: they change nothing, and make the hypothesis look better than it is.
    """

    labels: int
    least: int
    mean: float
    itself: float


@dataclass(frozen=True, eq=False)
class Scrubbed:
    """What came out.

    Attributes
    ----------
    clean, scrubbed, random
        The root's values on each example: of the network, of the hypothesis, and with everything resampled; ``example *value``.
    loss_clean, loss_scrubbed, loss_random
        float64 ``example``.
    distance, distance_random
        float64 ``example``: squared distance from the clean value. A mean loss can be kept while single values move: then it is large.
    data
        int64 ``example``: the datum of each.
    sampled
        For every node the data drawn for each example, int64 ``example``.
    """

    clean: Tensor
    scrubbed: Tensor
    random: Tensor
    loss_clean: npt.NDArray[np.float64]
    loss_scrubbed: npt.NDArray[np.float64]
    loss_random: npt.NDArray[np.float64]
    distance: npt.NDArray[np.float64]
    distance_random: npt.NDArray[np.float64]
    data: Labels
    sampled: dict[str, Labels]

    @property
    def recovered(self) -> float:
        """1 - (L_scrubbed - L_clean) / (L_random - L_clean), a ratio of means; NaN where resampling everything costs nothing."""
        return _recovered(self.loss_scrubbed, self.loss_clean, self.loss_random)

    @property
    def recovered_distance(self) -> float:
        """The same of the squared distance of single values: what a mean cannot hide."""
        return _recovered(self.distance, np.zeros_like(self.distance), self.distance_random)


def _recovered(scrubbed: npt.NDArray[np.float64], clean: npt.NDArray[np.float64], random: npt.NDArray[np.float64]) -> float:
    whole = float(random.mean() - clean.mean())
    return 1 - float(scrubbed.mean() - clean.mean()) / whole if whole else float("nan")


def occupancy(feature: Labels) -> Occupancy:
    """Count how many data share each label."""
    _, place, count = np.unique(feature, return_inverse=True, return_counts=True)
    return Occupancy(len(count), int(count.min()), float(count[place].mean()), float((1 / count[place]).mean()))


def check(model: TracedModel, root: Claim, data: int) -> None:
    """Refuse a hypothesis that cannot be tested, at the node that is wrong.

    Raises
    ------
    InputError
        When a layer or unit does not exist, a child does not feed its parent, two children claim one unit, two nodes have one name, or a
        feature has not one label a datum.
    """
    names: set[str] = set()
    for node in root.every():
        if node.name in names:
            raise InputError(f"{node.name}: two nodes have this name")
        names.add(node.name)
        try:
            layer = model.layer(layer_of(node.units))
            units = units_of(node.units)
        except ValueError as error:
            raise InputError(f"{node.name}: {error}") from None
        if wrong := [unit.index for unit in units if unit.index >= layer.units]:
            raise InputError(f"{node.name}: {layer.name} has units 0 to {layer.units - 1}, not {wrong[0]}")
        if node is not root and len(node.feature) != data:
            raise InputError(f"{node.name}: its feature has {len(node.feature)} labels, the data are {data}")
        claimed: dict[tuple[str, int], str] = {}
        for child in node.children:
            try:
                below = model.layer(layer_of(child.units)).name
            except ValueError as error:
                raise InputError(f"{child.name}: {error}") from None
            if model.graph.node(layer.name) not in model.graph.downstream([below]):
                raise InputError(f"{child.name}: {below} does not feed {layer.name} of {node.name}")
            for unit in units_of(child.units):
                other = claimed.setdefault((below, unit.index), child.name)
                if other != child.name:
                    raise InputError(f"{child.name}: {below}:{unit.index} is claimed by {other} already")


class Scrubber:
    """Scrubs hypotheses about one network over one set of data.

    Parameters
    ----------
    inputs
        What the network reads of each datum, ``datum …``.
    seed
        Of all draws.
    """

    def __init__(self, model: TracedModel, inputs: Tensor, seed: int = 0, batch: int = 64) -> None:
        self.model, self.inputs, self.batch = model, inputs, batch
        self._random = np.random.default_rng(seed)

    def run(
        self,
        root: Claim,
        examples: int,
        loss: Loss | None = None,
        agreement: Agreement = "parent",
        scrubbed: Sequence[str] | None = None,
        tell: Callable[[int], None] = lambda done: None,
    ) -> Scrubbed:
        """Scrub a hypothesis.

        Parameters
        ----------
        examples
            Data drawn for the root, with replacement.
        loss
            Of the root's values; by default the squared distance from the clean value.
        agreement
            Whose datum a child must agree with; ``root`` is weaker than the method and there for comparison.
        scrubbed
            Names of the nodes that are resampled, the others having their parent's datum; None for all. One after the other they make a
            ladder that says which claim costs what.
        tell
            Called with the number of examples done.

        Raises
        ------
        InputError
            As `check`.
        """
        check(self.model, root, len(self.inputs))
        data = self._random.integers(len(self.inputs), size=examples)
        others = self._random.integers(len(self.inputs), size=examples)
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        sampled: dict[str, list[Labels]] = {}
        for start in range(0, examples, self.batch):
            here = data[start : start + self.batch]
            value = self._value(root, here, here, agreement, scrubbed, sampled)
            parts.append((self._clean(root, here), value, self._clean(root, others[start : start + self.batch])))
            tell(start + len(here))
        clean, value, random = (torch.cat(column) for column in zip(*parts, strict=True))
        apart = [(each - clean).double().reshape(examples, -1).square().sum(1).cpu().numpy() for each in (value, random)]
        if loss is None:
            losses = [np.zeros(examples), *apart]
        else:
            losses = [loss(each, data).cpu().double().numpy() for each in (clean, value, random)]
        drawn = {name: np.concatenate(rows) for name, rows in sampled.items()}
        return Scrubbed(clean, value, random, losses[0], losses[1], losses[2], apart[0], apart[1], data, drawn)

    def ladder(self, root: Claim, examples: int, loss: Loss | None = None) -> list[tuple[str, Scrubbed]]:
        """Return what each node's claim costs: the first alone, then with the next one, from the root down."""
        names = [node.name for node in root.every() if node is not root]
        return [(name, self.run(root, examples, loss, scrubbed=names[: place + 1])) for place, name in enumerate(names)]

    def _value(
        self,
        node: Claim,
        data: Labels,
        of_root: Labels,
        agreement: Agreement,
        scrubbed: Sequence[str] | None,
        sampled: dict[str, list[Labels]],
    ) -> Tensor:
        """Return a node's scrubbed value on the data drawn for it, ``example unit *position``."""
        if not node.children:
            return self._clean(node, data)
        written: dict[str, list[tuple[list[int], Tensor]]] = {}
        for child in node.children:
            drawn = data
            if scrubbed is None or child.name in scrubbed:
                drawn = self._agreeing(child.feature, data if agreement == "parent" else of_root)
            sampled.setdefault(child.name, []).append(drawn)
            value = self._value(child, drawn, of_root, agreement, scrubbed, sampled)
            into = self.model.layer(layer_of(child.units)).name
            written.setdefault(into, []).append(([unit.index for unit in units_of(child.units)], value))
        rest = data
        if scrubbed is None or any(child.name in scrubbed for child in node.children):
            rest = self._random.integers(len(self.inputs), size=len(data))
        edits = {below: self._writing(below, parts) for below, parts in written.items()}
        layer = self.model.layer(layer_of(node.units))
        with torch.no_grad():
            out = self.model.edited(self.model.inputs(self.inputs[torch.from_numpy(rest)]), edits, target=layer.name)
        return layer.arrange(out)[:, [unit.index for unit in units_of(node.units)]]

    def _writing(self, layer: str, parts: Sequence[tuple[list[int], Tensor]]) -> Callable[[Tensor], Tensor]:
        known = self.model.layer(layer)

        def write(activation: Tensor) -> Tensor:
            changed = activation.clone()
            view = known.arrange(changed)
            for units, value in parts:
                view[:, units] = value.to(view.dtype)
            return changed

        return write

    def _clean(self, node: Claim, data: Labels) -> Tensor:
        layer = self.model.layer(layer_of(node.units))
        with torch.no_grad():
            value = self.model.activations(self.model.inputs(self.inputs[torch.from_numpy(data)]), [layer.name])[layer.name]
        return layer.arrange(value)[:, [unit.index for unit in units_of(node.units)]]

    def _agreeing(self, feature: Labels, data: Labels) -> Labels:
        """Draw for each datum one of the same label, itself included."""
        order = np.argsort(feature, kind="stable")
        ordered = feature[order]
        first, last = (np.searchsorted(ordered, feature[data], side) for side in ("left", "right"))
        found: Labels = order[first + (self._random.random(len(data)) * (last - first)).astype(np.int64)]
        return found


def without_hypothesis(root: Claim) -> Claim:
    """Return the hypothesis that claims nothing of the root's inputs: each child may be any datum."""
    return replace(root, children=tuple(replace(child, feature=np.zeros_like(child.feature), children=()) for child in root.children))


def of_random_units(model: TracedModel, root: Claim, seed: int) -> Claim:
    """Return the same tree of claims about other units of the same layers, as many; a null for which units carry a feature."""
    random = np.random.default_rng(seed)

    def other(node: Claim, taken: set[tuple[str, int]]) -> Claim:
        layer = model.layer(layer_of(node.units))
        own = {unit.index for unit in units_of(node.units)}
        free = [unit for unit in range(layer.units) if unit not in own and (layer.name, unit) not in taken]
        drawn = sorted(random.choice(free, len(own), replace=False).tolist()) if len(free) >= len(own) else sorted(own)
        taken |= {(layer.name, unit) for unit in drawn}
        children: set[tuple[str, int]] = set()
        return replace(
            node, units=f"{layer.name}:{','.join(map(str, drawn))}", children=tuple(other(child, children) for child in node.children)
        )

    siblings: set[tuple[str, int]] = set()
    return replace(root, children=tuple(other(child, siblings) for child in root.children))
