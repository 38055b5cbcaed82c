"""Causal scrubbing: a hypothesis about what parts of a network compute, tested by resampling all that it says does not matter.

A hypothesis is a tree. Each node names units of a layer and the *feature* they are claimed to compute; its children are what it is claimed
to compute it from. To scrub a node on a datum x: every child gets a datum drawn uniformly among those that agree with x on the child's
feature, and is scrubbed on that one in turn; all other inputs of the node come from one datum drawn at random. What comes out at the root,
whose datum is that of the example, is compared with what the network says. A unit that two nodes read stands in the tree twice, and is
drawn twice (treeified). Children agree with *their parent's* datum, not with the root's: else a wrong claim about a node in between goes
unseen (`Agreement`).

A node may mean its units at some cells only, counted from where its parent looks (`Claim.offsets`). All of a node's cells are of one
datum; what its units do elsewhere is an input like any other, and comes from the random datum.

Chan et al., "Causal Scrubbing: a method for rigorously testing interpretability hypotheses" (2022).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from workbench.circuit import layer_of, units_of
from workbench.scrubbing.check import Cells, check
from workbench.scrubbing.claim import Claim, Labels
from workbench.scrubbing.reading import Place, read, taken

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel

Agreement = Literal["parent", "root"]
Loss = Callable[[Float[Tensor, "datum *value"], Int64[np.ndarray, " datum"]], Float[Tensor, " datum"]]
"""Takes the root's values and the data they stand for."""
AT_ONCE = 2**26
"""Values of clean activations that are kept (256 MB): what the tree reads again and again is computed once."""


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
        self._kept: dict[Place, Tensor] = {}
        self.begin(seed)

    def begin(self, seed: int) -> None:
        """Draw as a new scrubber of this seed would: hypotheses are compared on the same examples."""
        self._random = np.random.default_rng(seed)

    def run(
        self,
        root: Claim,
        examples: int,
        loss: Loss | None = None,
        agreement: Agreement = "parent",
        scrubbed: Sequence[str] | None = None,
        tell: Callable[[int], None] = lambda done: None,
        once: bool = False,
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
            Called with the number of examples done, often; also while what is needed for all of them is read.
        once
            Whether its units are asked for this time only: they are read where they are drawn then, not on all data.

        Raises
        ------
        InputError
            As `check`.
        """
        places = check(self.model, root, len(self.inputs))
        if not once or examples >= len(self.inputs):
            self._keep(root, places, lambda: tell(0))
        data = self._random.integers(len(self.inputs), size=examples)
        others = self._random.integers(len(self.inputs), size=examples)
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        sampled: dict[str, list[Labels]] = {}
        for start in range(0, examples, self.batch):
            here = data[start : start + self.batch]
            value = self._value(root, here, here, agreement, scrubbed, sampled, places)
            cells = places[root.name]
            parts.append((self._clean(root, here, cells), value, self._clean(root, others[start : start + self.batch], cells)))
            tell(start + len(here))
        clean, value, random = (torch.cat(column) for column in zip(*parts, strict=True))
        apart = [(each - clean).double().reshape(examples, -1).square().sum(1).cpu().numpy() for each in (value, random)]
        if loss is None:
            losses = [np.zeros(examples), *apart]
        else:
            losses = [loss(each, data).cpu().double().numpy() for each in (clean, value, random)]
        drawn = {name: np.concatenate(rows) for name, rows in sampled.items()}
        return Scrubbed(clean, value, random, losses[0], losses[1], losses[2], apart[0], apart[1], data, drawn)

    def _value(
        self,
        node: Claim,
        data: Labels,
        of_root: Labels,
        agreement: Agreement,
        scrubbed: Sequence[str] | None,
        sampled: dict[str, list[Labels]],
        places: Mapping[str, Cells | None],
    ) -> Tensor:
        """Return a node's scrubbed value on the data drawn for it: ``example unit *position``, or ``example unit cell`` at some cells."""
        if not node.children:
            return self._clean(node, data, places[node.name])
        written: dict[str, list[tuple[Claim, Tensor]]] = {}
        for child in node.children:
            drawn = data
            if scrubbed is None or child.name in scrubbed:
                drawn = self._agreeing(child.feature, data if agreement == "parent" else of_root)
            sampled.setdefault(child.name, []).append(drawn)
            value = self._value(child, drawn, of_root, agreement, scrubbed, sampled, places)
            into = self.model.layer(layer_of(child.units)).name
            written.setdefault(into, []).append((child, value))
        rest = data
        if scrubbed is None or any(child.name in scrubbed for child in node.children):
            rest = self._random.integers(len(self.inputs), size=len(data))
        edits = {below: self._writing(below, parts, places) for below, parts in written.items()}
        layer = self.model.layer(layer_of(node.units))
        with torch.no_grad():
            out = self.model.edited(self.model.inputs(self.inputs[torch.from_numpy(rest)]), edits, target=layer.name)
        return taken(layer.arrange(out), (node.units, places[node.name]))

    def _writing(
        self, layer: str, parts: Sequence[tuple[Claim, Tensor]], places: Mapping[str, Cells | None]
    ) -> Callable[[Tensor], Tensor]:
        known = self.model.layer(layer)

        def write(activation: Tensor) -> Tensor:
            changed = activation.clone()
            view = known.arrange(changed)
            for node, value in parts:
                units, cells = [unit.index for unit in units_of(node.units)], places[node.name]
                if cells is None:
                    view[:, units] = value.to(view.dtype)
                else:
                    rows, columns = zip(*cells, strict=True)
                    view[:, torch.tensor(units)[:, None], torch.tensor(rows), torch.tensor(columns)] = value.to(view.dtype)
            return changed

        return write

    def _keep(self, root: Claim, places: Mapping[str, Cells | None], step: Callable[[], None]) -> None:
        """Read the leaves and the root on all data at once, as far as there is room: most of it is asked for again and again."""
        wanted: list[Place] = []
        room = AT_ONCE - sum(kept.numel() for kept in self._kept.values())
        for node in root.every():
            place = (node.units, places[node.name])
            if (node is root or not node.children) and place not in self._kept and place not in wanted:
                positions = self.model.layer(layer_of(node.units)).positions
                room -= len(self.inputs) * len(units_of(node.units)) * (len(place[1]) if place[1] is not None else math.prod(positions))
                if room < 0:
                    break
                wanted.append(place)
        self._kept |= read(self.model, self.inputs, wanted, self.batch, step=step)

    def _clean(self, node: Claim, data: Labels, cells: Cells | None) -> Tensor:
        """Return what a node's units do by themselves."""
        place, these = (node.units, cells), torch.from_numpy(data)
        if place in self._kept:
            return self._kept[place][these]
        return read(self.model, self.inputs[these], [place], self.batch)[place]

    def _agreeing(self, feature: Labels, data: Labels) -> Labels:
        """Draw for each datum one of the same label, itself included."""
        order = np.argsort(feature, kind="stable")
        ordered = feature[order]
        first, last = (np.searchsorted(ordered, feature[data], side) for side in ("left", "right"))
        found: Labels = order[first + (self._random.random(len(data)) * (last - first)).astype(np.int64)]
        return found
