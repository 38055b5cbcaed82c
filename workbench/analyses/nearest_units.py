"""Which units are most like a unit: in what drives them, and in what reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from scipy.sparse import csr_array
from scipy.special import ndtri

from workbench.analyses.analysis import Result, register
from workbench.analyses.unit_activations import OverImages, Places, Responses, of_images
from workbench.figure_colours import ACCENT, INK, LIGHT
from workbench.input_error import InputError
from workbench.models.outgoing import outgoing_gram
from workbench.task import Part, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

Arrays = dict[str, npt.NDArray[Any]]

RESAMPLED = 200
"""Bootstrap samples of the concepts."""
CHUNK = 32
"""Units whose intervals are worked out at once."""
CLEAREST = 20
"""Units described in the summary when none are named."""
WEIGHTS = "weights"


@register
class NearestUnits(OverImages):
    """The units nearest to each unit of a layer: by correlation of their activations, and by the weights that read them.

    Neighbours by activation are those with the largest Pearson correlation over one half of the concepts, the correlation *on the other
    half* stands beside. Neighbours by weight have the largest cosine between the weights with which later layers read them
    (`workbench.models.outgoing`). Beside both stands what the units of random-weight twins reach with theirs, found in the same way: in
    any network units that look for similar colours are correlated.

    Arrays for the layer itself and each of `others`, ``LAYER/NAME``:

    ``index``
        int32 ``[unit, nearest]``: the neighbours, nearest first; -1 where there are fewer (a unit always equally active has none).
    ``correlation`` ``held_out`` ``low`` ``high``
        float32 ``[unit, nearest]``: over all concepts; over the half they were not chosen on, with a 95 % interval (on Fisher's scale,
        its deviation from a bootstrap over concepts).
    ``twins``
        float32 ``[twin, unit]``: the held-out correlation of each twin unit's nearest one.

    For the weights (not where nothing reads the layer):

    ``weights/index`` ``weights/cosine``
        int32, float32 ``[unit, nearest]``.
    ``weights/twins``
        float32 ``[twin, unit]``: the largest cosine of each twin unit.
    """

    title: ClassVar[str] = "Nearest units"
    version: ClassVar[int] = 1

    layer: str = Field(description="Layer whose units are described.")
    units: tuple[int, ...] = Field(
        default=(), description="Units listed in the summary and drawn; empty for those with the nearest neighbours."
    )
    others: tuple[str, ...] = Field(default=(), description="Further layers in which neighbours are looked for.")
    over: Literal["images", "places"] = Field(
        default="images",
        description="Correlate one activation an image, or those at a few random places of each. Where a layer's positions have no "
        "place in the image, places are right only within the layer.",
    )
    places: int = Field(default=4, ge=1, le=64, description="Random places of each image.")
    nearest: int = Field(default=10, ge=1, le=100, description="Neighbours listed of each unit.")
    twins: int = Field(
        default=3, ge=0, le=100, description="Random-weight twins that are compared, one pass over the images each."
    )

    def compute(self, model: TracedModel, images: ImageSet | None, task: Task) -> tuple[Arrays, dict[str, Any]]:
        """Read the network and its twins, and compare units."""
        assert images is not None
        layer = model.layer(self.layer)
        layer.check(self.units)
        layers = list({model.layer(name).name: name for name in (*self.others, self.layer)}.values())[::-1]
        layers = [self.layer, *(name for name in layers if name != self.layer)]
        asked, total = self.chosen(images), 1 + self.twins
        if int(self.concepts(images, asked).max(initial=0)) < 7:
            raise InputError(f"{images.name} has too few concepts to compare units on; 8 are the least")
        read = self._read(model, layers, images, asked, Part(task, 0, 0.9, total))
        concept = np.unique(self.concepts(images, read.indices), return_inverse=True)[1].astype(np.int64)
        half = np.random.default_rng(self.seed).permutation(int(concept.max()) + 1) % 2 == 0
        arrays = self._by_activation(read, layers, concept, half, Part(task, 0.9, 0.1, total))
        gram, readers = outgoing_gram(model.graph, self.layer)
        if readers:
            arrays[f"{WEIGHTS}/index"], arrays[f"{WEIGHTS}/cosine"] = nearest(cosines(gram.numpy()), self.nearest)
        twins: dict[str, list[np.ndarray]] = {name: [] for name in [*layers, *([WEIGHTS] if readers else [])]}
        for number in range(self.twins):
            twin = model.twin(self.seed + number)
            found = self._read(twin, layers, images, read.indices, Part(task, 1 + number, 1, total))
            for name in layers:
                twins[name].append(self._nearest_of_all(found, name, concept, half))
            if readers:
                twins[WEIGHTS].append(nearest(cosines(outgoing_gram(twin.graph, self.layer)[0].numpy()), 1)[1][:, 0])
        for name, rows in twins.items():
            arrays[f"{name}/twins"] = np.array(rows, np.float32).reshape(self.twins, layer.units)
        concepts = int(concept.max()) + 1
        return arrays, of_images(images, read, len(asked)) | {
            "concepts": concepts,
            "layer": layer.name,
            "role": layer.role,
            "layers": layers,
            "over": f"{self.places} places of each image"
            if self.over == "places"
            else f"{self.response} of each image",
            "read_by": list(readers),
            "detectable_correlation": float(np.tanh((ndtri(0.975) + ndtri(0.8)) / np.sqrt(concepts / 2 - 3))),
            "beside_twins": {name: _beside(arrays, name) for name in twins},
            "units": [self._described(arrays, layers, bool(readers), unit) for unit in self._shown(arrays)],
        }

    def _read(
        self, model: TracedModel, layers: list[str], images: ImageSet, indices: Int64[np.ndarray, "image"], task: Task
    ) -> Responses:
        reduction = Places(self.places, self.seed) if self.over == "places" else self.reduction()
        return self.activations(model, layers, images, indices, task, reduction)

    def _by_activation(
        self,
        read: Responses,
        layers: list[str],
        concept: Int64[np.ndarray, "image"],
        half: Bool[np.ndarray, "concept"],
        task: Task,
    ) -> Arrays:
        arrays: Arrays = {}
        own, rows = _flat(read, self.layer), self._rows(concept)
        first, second = half[rows], ~half[rows]
        weights = _bootstrap(int(concept.max()) + 1, ~half, self.seed)
        by_concept = csr_array((np.ones(len(rows)), (rows, np.arange(len(rows)))), (len(half), len(rows)))
        for place, name in enumerate(layers):
            other = _flat(read, name)
            chosen = correlations(own[first], other[first])
            if name == self.layer:
                np.fill_diagonal(chosen, np.nan)
            index, _ = nearest(chosen, self.nearest)
            found = {
                kind: np.full(index.shape, np.nan, np.float32) for kind in ("correlation", "held_out", "low", "high")
            }
            for start in range(0, len(index), CHUNK):
                some = slice(start, start + CHUNK)
                x, y = np.repeat(own[:, some], index.shape[1], 1), other[:, index[some].ravel()]
                found["correlation"][some] = pairwise(x, y).reshape(index[some].shape)
                for kind, values in _intervals(x, y, second, by_concept, weights).items():
                    found[kind][some] = values.reshape(index[some].shape)
                task.step(place + min(1.0, (start + CHUNK) / len(index)), len(layers), note="comparing units")
            for values in found.values():
                values[index < 0] = np.nan
            arrays |= {f"{name}/index": index, **{f"{name}/{kind}": values for kind, values in found.items()}}
        return arrays

    def _rows(self, concept: Int64[np.ndarray, "image"]) -> Int64[np.ndarray, "row"]:
        """Return the concept of each row that is correlated."""
        return np.repeat(concept, self.places) if self.over == "places" else concept

    def _nearest_of_all(
        self, read: Responses, name: str, concept: Int64[np.ndarray, "image"], half: Bool[np.ndarray, "concept"]
    ) -> Float[np.ndarray, "unit"]:
        """Return the held-out correlation of each unit's nearest neighbour in a layer."""
        own, other, first = _flat(read, self.layer), _flat(read, name), half[self._rows(concept)]
        chosen = correlations(own[first], other[first])
        if name == self.layer:
            np.fill_diagonal(chosen, np.nan)
        index, _ = nearest(chosen, 1)
        found = pairwise(own[~first], other[~first][:, index[:, 0]])
        return np.asarray(np.where(index[:, 0] < 0, np.nan, found))

    def _shown(self, arrays: Arrays) -> list[int]:
        clear = np.nan_to_num(arrays[f"{self.layer}/held_out"][:, 0], nan=-2)
        return list(self.units) or np.argsort(-clear, kind="stable")[:CLEAREST].tolist()

    def _described(self, arrays: Arrays, layers: list[str], weighed: bool, unit: int) -> dict[str, Any]:
        """List the neighbours of one unit."""
        described: dict[str, Any] = {"unit": unit}
        for name in layers:
            rows = zip(
                *(
                    arrays[f"{name}/{kind}"][unit].tolist()
                    for kind in ("index", "correlation", "held_out", "low", "high")
                ),
                strict=True,
            )
            described[name] = [
                {"unit": index, "correlation": whole, "held_out": [middle, low, high]}
                for index, whole, middle, low, high in rows
                if index >= 0
            ]
        if weighed:
            rows = zip(*(arrays[f"{WEIGHTS}/{kind}"][unit].tolist() for kind in ("index", "cosine")), strict=True)
            described[WEIGHTS] = [{"unit": index, "cosine": value} for index, value in rows if index >= 0]
        return described

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw how near the nearest neighbours are, beside those of the twins."""
        from matplotlib.figure import Figure

        names = list(result.summary["beside_twins"])
        figure = Figure(figsize=(5 * len(names), 3.5), layout="constrained")
        figure.suptitle(
            f"Nearest neighbours of the units of {result.summary['layer']}: {result.summary['over']}, "
            f"{result.summary['images']:,} images",
            fontsize=9,
        )
        for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            weighed = name == WEIGHTS
            own, twins = (
                result.arrays[f"{name}/{'cosine' if weighed else 'held_out'}"][:, 0],
                result.arrays[f"{name}/twins"].ravel(),
            )
            edges = np.linspace(-0.2, 1, 49)
            axis.hist(own[np.isfinite(own)], edges, color=LIGHT, density=True, label=f"{len(own)} units")
            axis.hist(
                twins[np.isfinite(twins)],
                edges,
                color=ACCENT,
                density=True,
                histtype="step",
                label=f"{len(twins)} units of twins",
            )
            axis.set_title("by the weights that read them" if weighed else f"in {name}", fontsize=8, color=INK)
            axis.set_xlabel("cosine" if weighed else "correlation on the half not chosen on")
            axis.set_ylabel("density of units")
            axis.legend(fontsize=7, frameon=False)
        return {"nearest": figure}


def _flat(read: Responses, name: str) -> Float[np.ndarray, "row unit"]:
    """Return the activations of a layer in rows: images, or places of images; zero where one is NaN."""
    values = read.values[name]
    return np.asarray(np.nan_to_num(values.reshape(-1, values.shape[-1]), posinf=0, neginf=0))


def _standardised(values: Float[np.ndarray, "row unit"]) -> Float[np.ndarray, "row unit"]:
    """Centre each unit and give it length 1; NaN for one that is always equally active."""
    centred = values - values.mean(0, dtype=np.float64)
    length = np.sqrt((centred**2).sum(0))
    scale = np.abs(values).max(0, initial=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Float[np.ndarray, "row unit"] = centred / np.where(
            length > 1e-6 * scale * np.sqrt(len(values)), length, np.nan
        )
    return result


def correlations(
    x: Float[np.ndarray, "row unit"], y: Float[np.ndarray, "row other"]
) -> Float[np.ndarray, "unit other"]:
    """Return Pearson's correlation of all pairs of columns; NaN where one does not vary."""
    result: Float[np.ndarray, "unit other"] = _standardised(x).T @ _standardised(y)
    return result


def pairwise(x: Float[np.ndarray, "row pair"], y: Float[np.ndarray, "row pair"]) -> Float[np.ndarray, "pair"]:
    """Return Pearson's correlation of each column of `x` with the same one of `y`."""
    result: Float[np.ndarray, "pair"] = (_standardised(x) * _standardised(y)).sum(0)
    return result


def cosines(gram: Float[np.ndarray, "unit unit"]) -> Float[np.ndarray, "unit unit"]:
    """Return the cosines that a matrix of products implies; NaN on the diagonal and for units whose weights are all 0."""
    length = np.sqrt(np.diagonal(gram))
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Float[np.ndarray, "unit unit"] = gram / length[:, None] / length
    np.fill_diagonal(result, np.nan)
    return result


def nearest(
    likeness: Float[np.ndarray, "unit other"], number: int
) -> tuple[npt.NDArray[np.int32], Float[np.ndarray, "unit nearest"]]:
    """Return the columns with the largest values of each row, and these; -1 and NaN where there are fewer than `number`."""
    known = np.nan_to_num(likeness, nan=-np.inf, neginf=-np.inf)
    index = np.argsort(-known, axis=1, kind="stable")[:, :number]
    values = np.take_along_axis(known, index, 1)
    padding = ((0, 0), (0, number - index.shape[1]))
    some = np.isfinite(values)
    columns = np.pad(np.where(some, index, -1), padding, constant_values=-1)
    values = np.pad(np.where(some, values, np.nan), padding, constant_values=np.nan)
    return columns.astype(np.int32), values.astype(np.float32)


def _bootstrap(concepts: int, among: Bool[np.ndarray, "concept"], seed: int) -> Float[np.ndarray, "sample concept"]:
    """Return how often each concept is drawn in each bootstrap sample of some of the concepts."""
    rng = np.random.default_rng(seed)
    chance = among / among.sum()
    return rng.multinomial(int(among.sum()), chance, RESAMPLED).reshape(RESAMPLED, concepts).astype(np.float64)


def _intervals(
    x: Float[np.ndarray, "row pair"],
    y: Float[np.ndarray, "row pair"],
    held_out: Bool[np.ndarray, "row"],
    by_concept: csr_array,
    weights: Float[np.ndarray, "sample concept"],
) -> Arrays:
    """Return the correlation of each pair over the held-out rows, with an interval from a bootstrap over concepts."""
    x, y = (_standardised(values[held_out]) * np.sqrt(held_out.sum()) for values in (x, y))
    rows = by_concept[:, np.flatnonzero(held_out)]
    size = weights @ np.asarray(rows.sum(1)).ravel()[:, None]
    mean_x, mean_y, square_x, square_y, product = (
        weights @ (rows @ values) / size for values in (x, y, x * x, y * y, x * y)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        sampled = (product - mean_x * mean_y) / np.sqrt((square_x - mean_x**2) * (square_y - mean_y**2))
        middle = (x * y).mean(0)
        edge = 1 - 1e-7
        deviation = np.arctanh(sampled.clip(-edge, edge)).std(0)
        fisher = np.arctanh(middle.clip(-edge, edge))
        wide = ndtri(0.975) * deviation
    return {"held_out": middle, "low": np.tanh(fisher - wide), "high": np.tanh(fisher + wide)}


def _beside(arrays: Arrays, name: str) -> dict[str, float | None]:
    """Say how near the nearest ones are in the network and in its twins: the median unit's, and the twins' 95th percentile and maximum."""
    own = arrays[f"{name}/{'cosine' if name == WEIGHTS else 'held_out'}"][:, 0]
    twins = arrays[f"{name}/twins"]
    own, twins = own[np.isfinite(own)], twins[np.isfinite(twins)]
    known = len(twins) > 0
    return {
        "median": float(np.median(own)) if len(own) else None,
        "twins_median": float(np.median(twins)) if known else None,
        "twins_95": float(np.quantile(twins, 0.95)) if known else None,
        "twins_highest": float(twins.max()) if known else None,
        "units_beyond_twins": float((own > np.quantile(twins, 0.95)).mean()) if known and len(own) else None,
    }
