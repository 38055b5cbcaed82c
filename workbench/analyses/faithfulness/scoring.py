"""What is left of a layer's pre-activations when each unit keeps only some of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from workbench.analyses.faithfulness.orders import greedy, left_out, numbers_of, ranked, shuffled
from workbench.analyses.faithfulness.targets import Asked
from workbench.models.expanded import centre
from workbench.models.shares import Places, Shares, shares_at_centre, shares_of

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel

Method = Literal["mean", "resample"]
Ranking = Literal["contribution", "weight_mean"]
GREEDY_AMONG = 512
"""Inputs, the strongest, that compete in the greedy order."""
PLACES, RANDOM, UNITS = range(3)
"""What random numbers are drawn for, each from a stream of its own."""
KEPT_BYTES = 256 << 20
"""Of activations that are not computed again for the next pass."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Some images, as the network reads them.

    Attributes
    ----------
    indices
        Which of the set.
    inputs
        All that the network reads.
    """

    indices: npt.NDArray[np.int64]
    inputs: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Curves:
    """What was measured of one layer.

    Attributes
    ----------
    units
        The target units that were scored, those with a greedy order first.
    numbers
        How many inputs were kept, from 0 to all.
    order
        Inputs of every unit of the layer, the strongest first, ``unit input``.
    squares
        Sum over an image's places of the squared error, ``order image unit number``: ranked, then each random draw.
    of_greedy
        The same of the greedy order, ``image unit number``.
    variance
        Of the pre-activation of each scored unit, over images and places.
    """

    asked: Asked
    units: npt.NDArray[np.int64]
    numbers: list[int]
    order: npt.NDArray[np.int64]
    squares: Float64[np.ndarray, "order image unit number"]
    of_greedy: Float64[np.ndarray, "image greedy number"]
    variance: Float64[np.ndarray, "unit"]


@dataclass(frozen=True, eq=False)
class Values:
    """One batch seen by one layer: its inputs less what takes their place, and its own value.

    Attributes
    ----------
    moved
        Of each source, ``image unit *position``.
    places
        Positions of the layer that are looked at, in its flattened map.
    own
        The pre-activation there, ``sample unit``.
    """

    moved: list[Tensor]
    places: Places
    own: Float[Tensor, "sample unit"]


class Layerwise:
    """One layer, its inputs' shares, and the passes over images that are needed.

    Parameters
    ----------
    train
        Images that means, rankings and greedy orders are taken from.
    positions
        Places looked at in each image.
    tell
        Called with the number of batches done since the last time, which may be 0.
    """

    def __init__(
        self,
        model: TracedModel,
        asked: Asked,
        train: Sequence[Shown],
        method: Method,
        positions: int,
        seed: int,
        tell: Callable[[int], None],
    ) -> None:
        self.model, self.asked, self.method, self.seed, self.tell = model, asked, method, seed, tell
        self._places = positions
        self._kept: dict[int, dict[str, Tensor]] = {}
        self._room = KEPT_BYTES
        names = [source.name for source in asked.sources]
        if asked.exact:
            self.shares: list[Shares] = list(shares_of(model, names, asked.layer, train[0].inputs[0]))
        else:
            inputs = [part.inputs for part in train]
            self.shares = [shares_at_centre(model, source, asked.layer, inputs, lambda: tell(0)) for source in asked.sources]
        self.starts = np.cumsum([0, *(source.units for source in asked.sources)])
        self.train = train
        self.means, self.own_mean = self._means()

    @property
    def inputs(self) -> int:
        """Number of inputs, all sources together."""
        return int(self.starts[-1])

    def clean(self, part: Shown) -> dict[str, Tensor]:
        """Return the activations of the sources and of the layer on a batch."""
        known = self._kept.get(id(part))
        if known is not None:
            return known
        names = [*(source.name for source in self.asked.sources), self.asked.layer.name]
        found = self.model.activations(part.inputs, list(dict.fromkeys(names)))
        size = sum(value.numel() * value.element_size() for value in found.values())
        if size <= self._room:
            self._room -= size
            self._kept[id(part)] = found
        return found

    def _means(self) -> tuple[list[Tensor], Tensor]:
        """Return the mean of every input and of the layer's units over images and places, ``unit *feature``."""
        layers = [*self.asked.sources, self.asked.layer]
        total: list[Tensor | float] = [0.0] * len(layers)
        number = 0
        for part in self.train:
            clean = self.clean(part)
            for place, layer in enumerate(layers):
                arranged = layer.arrange(clean[layer.name])
                total[place] = total[place] + layer.over_places(arranged.double()).sum(0)
            number += len(part.indices)
            self.tell(1)
        means = [(torch.as_tensor(one) / number).float() for one in total]
        return means[:-1], means[-1]

    def moved(self, clean: dict[str, Tensor]) -> list[Tensor]:
        """Return each source's values less what takes their place: their mean, or those on the image before."""
        found = []
        for source, mean in zip(self.asked.sources, self.means, strict=True):
            arranged = source.arrange(clean[source.name])
            other = arranged.roll(1, 0) if self.method == "resample" else source.at_places(mean)
            # An input that is not finite, and yet leaves the layer finite, is read by none of its units.
            found.append((arranged - other).nan_to_num(0.0, 0.0, 0.0))
        return found

    def read(self, parts: Sequence[Shown]) -> Iterator[tuple[Shown, Values]]:
        """Yield batches of images as this layer sees them."""
        layer = self.asked.layer
        for part in parts:
            clean = self.clean(part)
            arranged = layer.arrange(clean[layer.name])
            flat = arranged.reshape(*arranged.shape[:2], -1)
            if self.asked.exact:
                seen = places = self._chosen(part.indices, flat.shape[2])
            else:
                place = int(np.ravel_multi_index(centre(layer), layer.positions)) if layer.positions else 0
                seen, places = torch.full((len(flat), 1), place), torch.zeros(len(flat), 1, dtype=torch.int64)
            own = flat.gather(2, seen.to(flat.device)[:, None].expand(-1, flat.shape[1], -1)).permute(0, 2, 1).flatten(0, 1)
            yield part, Values(self.moved(clean), places, own)
            self.tell(1)

    def _chosen(self, indices: npt.NDArray[np.int64], positions: int) -> Places:
        if positions <= self._places:
            return torch.arange(positions).expand(len(indices), -1)
        of_image = (np.random.default_rng([self.seed, PLACES, index]) for index in indices.tolist())
        drawn = np.stack([random.choice(positions, self._places, replace=False) for random in of_image])
        return torch.from_numpy(drawn.astype(np.int64))

    def parts(self, values: Values, units: Sequence[int]) -> Iterator[tuple[slice, Float[Tensor, "input sample unit"]]]:
        """Yield what the inputs add to some units, a few inputs at a time."""
        for start, shares, moved in zip(self.starts[:-1].tolist(), self.shares, values.moved, strict=True):
            for place, added in shares.at(moved, values.places, units):
                self.tell(0)
                yield slice(start + place.start, start + place.stop), added

    # --- orders ----------------------------------------------------------------------------------------------------------------

    def order(self, ranking: Ranking) -> npt.NDArray[np.int64]:
        """Rank the inputs of every unit on the training images."""
        units = range(self.asked.layer.units)
        if ranking == "weight_mean":
            sizes = [mean.abs().flatten(1).mean(1) if mean.dim() > 1 else mean.abs() for mean in self.means]
            weights = [one.strength() * size for one, size in zip(self.shares, sizes, strict=True)]
            return ranked(torch.cat(weights, 1).double().cpu().numpy())
        sums = torch.zeros(2, self.inputs, len(units), dtype=torch.float64, device=self.model.device)
        number = 0
        for _, values in self.read(self.train):
            for place, added in self.parts(values, units):
                sums[0, place] += added.sum(1, dtype=torch.float64)
                sums[1, place] += added.square().sum(1, dtype=torch.float64)
            number += len(values.own)
        variance = (sums[1] - sums[0].square() / number).T / number
        return ranked(variance.cpu().numpy())

    def greedy_order(self, units: Sequence[int], order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Order the inputs of some units by forward selection on the training images."""
        shares, wanted = [], []
        for _, values in self.read(self.train):
            added = torch.cat([added for _, added in self.parts(values, units)])
            shares.append(added.double().cpu().numpy())
            whole = added.sum(0) if self.asked.exact else values.own[:, list(units)] - self.own_mean[list(units)]
            wanted.append(whole.double().cpu().numpy())
        columns, whole_of = np.concatenate(shares, 1), np.concatenate(wanted)
        found = [greedy(columns[:, :, row].T, whole_of[:, row], order[unit], GREEDY_AMONG) for row, unit in enumerate(units)]
        return np.array(found, np.int64).reshape(len(units), self.inputs)

    # --- scores ----------------------------------------------------------------------------------------------------------------

    def score(
        self, test: Sequence[Shown], ranking: Ranking, units: npt.NDArray[np.int64], greedy_units: int, levels: int, draws: int
    ) -> Curves:
        """Order the inputs on the training images, and measure on others what the first few explain."""
        numbers = numbers_of(self.inputs, levels)
        order = self.order(ranking)
        random = [shuffled(len(units), self.inputs, [self.seed, RANDOM, draw]) for draw in range(draws)]
        chosen = units.tolist()
        masks = [left_out(one, numbers) for one in (order[units], *random)]
        some = chosen[:greedy_units]
        masks_greedy = [left_out(self.greedy_order(some, order), numbers)] if some else []
        squares, of_greedy, own = [], [], []
        for part, values in self.read(test):
            images = len(part.indices)
            squares.append(self._errors(values, chosen, masks, images))
            if some:
                of_greedy.append(self._errors(values, some, masks_greedy, images)[0])
            own.append(values.own[:, chosen].double().cpu().numpy())
        return Curves(
            self.asked,
            units,
            numbers,
            order,
            np.concatenate(squares, 1),
            np.concatenate(of_greedy) if some else np.zeros((sum(len(part.indices) for part in test), 0, len(numbers))),
            np.concatenate(own).var(0),
        )

    def _errors(
        self, values: Values, units: Sequence[int], masks: Sequence[Bool[np.ndarray, "unit input number"]], images: int
    ) -> Float64[np.ndarray, "order image unit number"]:
        """Return the squared error when what each mask names is left out: that of the true pre-activation, sum over places."""
        count = masks[0].shape[2]
        gone = torch.from_numpy(np.concatenate(masks, 2)).to(self.model.device)
        error = torch.zeros(len(units), len(values.own), gone.shape[2], device=self.model.device)
        for place, added in self.parts(values, units):
            error += added.permute(2, 1, 0) @ gone[:, place].float()
        if not self.asked.exact:
            # What the linear account does not tell stays an error however many inputs are kept.
            error += ((values.own - self.own_mean)[:, list(units)].T - error[:, :, 0])[..., None]
        each = error.double().square().unflatten(1, (images, -1)).sum(2)
        split = each.unflatten(2, (len(masks), count)).permute(2, 1, 0, 3)
        result: npt.NDArray[np.float64] = split.cpu().numpy()
        return result
