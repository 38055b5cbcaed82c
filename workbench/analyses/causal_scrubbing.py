"""Causal scrubbing of a hypothesis over a set of images, beside its rivals and nulls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from workbench.analyses.analysis import Analysis, Result, register
from workbench.bootstrap import ratio_of_means
from workbench.circuit import layer_of
from workbench.claims import Data, claims, classes_seen
from workbench.figure_colours import ACCENT, INK, LIGHT
from workbench.finite import plain
from workbench.hypothesis import FEWEST, LOSSES, NULLS, Hypothesis, HypothesisError, Node
from workbench.input_error import InputError
from workbench.models.expanded import centre
from workbench.scrubbing import (
    Claim,
    Loss,
    Scrubbed,
    Scrubber,
    faults,
    occupancy,
    of_random_units,
    of_whole_units,
    without_hypothesis,
)
from workbench.scrubbing.reading import Place
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

BOOTSTRAP = 1
HIDES = 0.1
"""Of what is recovered: a loss that keeps so much more than the distance of single outputs hides that these move."""
LETTERS = 48
"""Of the name of a row in a figure."""
RANDOM = 5
"""Trees of random units that are tried."""
SCORED = ("recovered", "recovered_low", "recovered_high", "detectable", "recovered_distance", "median_distance")
Read = Literal["values", "centre", "largest", "mean"]


@register
class CausalScrubbing(Analysis):
    """Test a hypothesis about what units compute from what: all that it says does not matter is resampled from other images.

    A hypothesis is JSON, as the window exports it or a tree alone: ``{"units": "head:0", "children": [{"name": "lines", "units":
    "conv2d1:3,4", "feature": "orientation / 8", "offsets": [[0, -1], [0, 1]], "children": [...]}, ...]}``. A child's feature is what its
    units are claimed to compute (see `workbench.feature_labels`): it may be computed on any image that agrees on it with the image its
    parent is computed on. With offsets (rows down, columns to the right) only those cells of its maps are meant. See `workbench.scrubbing`
    for the method (Chan et al. 2022).

    ``recovered`` = 1 - (L_scrubbed - L_clean) / (L_random - L_clean), ratios of means over examples, where L is the loss of the task or the
    squared distance of the root's values from the clean ones, read as `read` says, and in L_random the root is that of another image.
    Beside it stand: the ladder (node after node is resampled: which claim costs what), `rivals` (other features for all nodes of a name),
    and nulls: the identity, where nothing is resampled (must be 1), the tree's units with all they do, whatever they are claimed to compute
    (what features can recover at most), the hypothesis without its features, and the same tree about random units of the same layers. The
    median distance of single examples says what a mean can hide; ``hides`` says so of a loss that is kept while outputs move. ``kind`` of a
    row is hypothesis, ladder, rival, or one of `workbench.hypothesis.NULLS`. A rival that cannot be tested on these images has a row that
    says why (``refused``). A label that few images share resamples them by themselves: ``nodes`` says for each how often.

    Intervals are of 95 %, by bootstrap over the examples' concepts.

    Arrays; i is an example:

    ``image`` ``clean`` ``scrubbed`` ``random``
        int64 and float32 ``i``: index in the set, and the root's value in each run (its mean where it has several).
    ``distance`` ``distance_random``
        float64 ``i``.
    ``sampled/NAME``
        int64 ``i``: the image that node was computed on.
    """

    title: ClassVar[str] = "Causal scrubbing"
    version: ClassVar[int] = 4
    needs_images: ClassVar[bool] = True

    hypothesis: str = Field(description="The tree, as JSON.")
    rivals: tuple[str, ...] = Field(
        default=(),
        description="Rival features, each NAME=FEATURE for the node of that name, or *=FEATURE for all nodes, beside those of the JSON.",
    )
    read: Read = Field(
        default="centre", description="What of the root's map is compared: all values, the middle position, the largest or the mean."
    )
    loss: Literal["distance", "cross_entropy"] = Field(
        default="distance", description=f"What must be kept. {'. '.join(f'{name}: {words}' for name, (_, words) in LOSSES.items())}."
    )
    agreement: Literal["parent", "root"] = Field(default="parent", description="Whose image a child agrees with; root is weaker.")
    images: int = Field(default=512, ge=8, description="Images that are drawn from.")
    examples: int = Field(default=512, ge=16, le=100_000, description="Examples scrubbed, drawn from the images with replacement.")
    batch: int = Field(default=64, ge=2, le=1024, description="Examples computed at once.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of images, draws, random units and bootstrap.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Read the images, then scrub the hypothesis, its rivals and its nulls."""
        assert images is not None
        hypothesis = Hypothesis.from_json(self.hypothesis)
        document = hypothesis.root
        for fault in faults(model, document):  # before minutes of reading
            raise fault
        if self.read != "centre" and any(child.offsets for child in document.children):
            raise HypothesisError(document.name, "offsets", f"its children stand around its middle, so read the centre, not {self.read}")
        classes: dict[int, int] = {}
        if self.loss == "cross_entropy":
            drawn = Data.drawn(images, self.images, self.seed).seen
            classes = dict(zip(drawn.tolist(), classes_seen(model, document, images, drawn).tolist(), strict=True))
        data = Data.drawn(images, self.images, self.seed, model, lambda: task.step(0, 0, note="reading the images"))
        seen, inputs = data.seen, data.inputs
        assert inputs is not None
        known: dict[Place, Tensor] = {}
        bound = partial(
            claims, model, data=data, batch=self.batch, step=lambda: task.step(0, 0, note="reading what the units do"), known=known
        )
        root = bound(document)
        concept = images.concepts
        groups = np.unique([concept[index] for index in seen.tolist()], return_inverse=True)[1]
        rivals, refused = _bound_rivals(document, [*dict.fromkeys((*hypothesis.rivals, *self.rivals))], bound)
        names = [node.name for node in root.every() if node is not root]
        plan: list[tuple[str, str, Claim, list[str] | None]] = [("hypothesis", "the hypothesis", root, None)]
        plan += [("ladder", name, root, names[: place + 1]) for place, name in enumerate(names[:-1])]
        plan += [("rival", text, claim, None) for text, claim in rivals]
        plan += [("identity", NULLS["identity"], root, []), ("whole", NULLS["whole"], of_whole_units(root), None)]
        plan += [("nothing", NULLS["nothing"], without_hypothesis(root), None)]
        others = [(draw, of_random_units(model, root, self.seed + draw)) for draw in range(RANDOM)]
        plan += [("random", f"{NULLS['random']} {draw + 1}", claim, None) for draw, claim in others if _units(claim) != _units(root)]
        loss = _cross_entropy(np.array([classes[index] for index in seen.tolist()])) if classes else None  # some may not be readable
        middle = centre(model.layer(layer_of(root.units)))
        rows: list[dict[str, Any]] = []
        whole: Scrubbed | None = None
        scrubber = Scrubber(model, inputs, self.seed, self.batch)
        for place, (kind, name, claim, active) in enumerate(plan):
            scrubber.begin(self.seed)
            found = scrubber.run(
                claim, self.examples, loss, self.agreement, active,
                lambda done, at=place, what=name: task.step(  # type: ignore[misc]
                    at + done / self.examples, len(plan), note=f"scrubbing: {what}"
                ),
                once=kind == "random",
            )  # fmt: skip
            shown = _read(found, self.read, middle, loss is not None)
            rows.append({"kind": kind, "name": name} | self._scores(shown, groups))
            if kind == "hypothesis":
                whole = shown
        task.step(len(plan), len(plan))
        rows += [{"kind": "rival", "name": text, "refused": why} | dict.fromkeys(SCORED) for text, why in refused]
        assert whole is not None
        arrays: dict[str, npt.NDArray[Any]] = {
            "image": seen[whole.data],
            "clean": _one(whole.clean),
            "scrubbed": _one(whole.scrubbed),
            "random": _one(whole.random),
            "distance": whole.distance,
            "distance_random": whole.distance_random,
        }
        arrays |= {f"sampled/{name}": seen[drawn] for name, drawn in whole.sampled.items()}
        below = zip(list(root.every())[1:], list(document.every())[1:], strict=True)
        nodes = [_node(claim, node.feature) for claim, node in below]
        return arrays, rows[0] | {
            "root": root.units,
            "read": self.read,
            "agreement": self.agreement,
            "loss": self.loss,
            "hides": _hidden(rows[0]),
            "images": len(seen),
            "examples": self.examples,
            "groups": "concept" if "concept" in images.columns else "image",
            "rows": rows,
            "nodes": nodes,
            "sparse": [node["name"] for node in nodes if node["least"] < FEWEST],
        }

    def _scores(self, found: Scrubbed, groups: npt.NDArray[np.integer]) -> dict[str, Any]:
        of = groups[found.data]
        lost = ratio_of_means(
            found.loss_scrubbed - found.loss_clean, of, [self.seed, BOOTSTRAP], found.loss_random - found.loss_clean
        )
        middle = float(np.median(found.distance_random))
        return {
            "recovered": plain(1 - lost.value),
            "recovered_low": plain(1 - lost.high),
            "recovered_high": plain(1 - lost.low),
            "detectable": plain(lost.detectable),
            "recovered_distance": plain(found.recovered_distance),
            "median_distance": plain(float(np.median(found.distance)) / middle) if middle > 0 else None,
        }

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw what each hypothesis recovers, and single examples."""
        return {"recovered": _figure(result)}


def _cross_entropy(classes: npt.NDArray[np.int64]) -> Loss:
    """Return the loss of the task, given the class of each datum."""
    of = torch.from_numpy(classes)

    def loss(value: Tensor, data: npt.NDArray[np.int64]) -> Tensor:
        return torch.nn.functional.cross_entropy(value.reshape(len(value), -1), of[data].to(value.device), reduction="none")

    return loss


def _units(root: Claim) -> list[tuple[str, frozenset[str]]]:
    """Return which units each node means, in whatever order they are written; of layers that have no others a null is none."""
    parts = (node.units.rpartition(":") for node in root.every())
    return [(layer, frozenset(units.split(","))) for layer, _, units in parts]


def _bound_rivals(
    root: Node, rivals: Sequence[str], bind: Callable[[Node], Claim]
) -> tuple[list[tuple[str, Claim]], list[tuple[str, str]]]:
    """Return the rivals that can be tested here, and those that cannot with the reason; one must not keep the others from it."""
    bound, refused = [], []
    for text in rivals:
        try:
            bound.append((text, bind(_rival(root, text))))
        except InputError as error:  # one that names no node, too: it may have been renamed
            refused.append((text, str(error)))
    return bound, refused


def _rival(root: Node, text: str) -> Node:
    """Return the hypothesis with another feature for all nodes of a name, or for all."""
    wanted, sign, feature = (part.strip() for part in text.partition("="))
    if not sign or not feature:
        raise InputError(f"the rival {text!r} is not NAME=FEATURE")
    if wanted != "*" and wanted not in {node.name for node in root.every()} - {root.name}:
        raise InputError(f"the rival {text!r} names no node of the hypothesis")

    def replaced(node: Node) -> Node:
        children = tuple(replaced(child) for child in node.children)
        return replace(node, feature=feature if wanted in ("*", node.name) else node.feature, children=children)

    return replaced(root)


def _node(node: Claim, feature: str) -> dict[str, Any]:
    shared = occupancy(node.feature)
    return {
        "name": node.name,
        "units": node.units,
        "feature": feature,
        "labels": shared.labels,
        "least": shared.least,
        "itself": plain(shared.itself),
    }


def _read(found: Scrubbed, how: str, middle: tuple[int, ...], of_task: bool) -> Scrubbed:
    """Return what is compared of the root's values; `middle` is the position in the middle of its layer; a loss of the task stays."""

    def part(value: Tensor) -> Tensor:
        flat = value.reshape(*value.shape[:2], -1)
        if how == "values" or flat.shape[2] == 1:
            return flat
        if how == "centre":
            for place in middle:
                value = value.select(2, place)
            return value[..., None]
        return flat.amax(2, keepdim=True) if how == "largest" else flat.mean(2, keepdim=True)

    clean, scrubbed, random = (part(value) for value in (found.clean, found.scrubbed, found.random))
    apart = [(each - clean).cpu().double().flatten(1).square().sum(1).numpy() for each in (scrubbed, random)]
    shown = replace(found, clean=clean, scrubbed=scrubbed, random=random, distance=apart[0], distance_random=apart[1])
    return shown if of_task else replace(shown, loss_clean=np.zeros_like(apart[0]), loss_scrubbed=apart[0], loss_random=apart[1])


def _hidden(row: Mapping[str, Any]) -> str:
    """Say where a loss is kept while single outputs move; nothing where it hides none."""
    loss, distance = row["recovered"], row["recovered_distance"]
    if loss is None or distance is None or loss - distance <= HIDES:
        return ""
    return f"The loss keeps {loss:.0%}, of the outputs' distance only {distance:.0%} is kept: single outputs move, and the mean hides it."


def _one(value: Tensor) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = value.flatten(1).mean(1).float().cpu().numpy()
    return found


def _shortened(names: Sequence[str]) -> list[str]:
    """Leave out the middle of names that would take the room of the figure, and number those that are alike then."""
    short = [text if len(text) <= LETTERS else f"{text[: LETTERS // 2]} … {text[3 - LETTERS // 2 :]}" for text in names]
    return [f"{text} ({short[:at].count(text) + 1})" if short.count(text) > 1 else text for at, text in enumerate(short)]


def _figure(result: Result) -> Figure:
    from matplotlib.figure import Figure

    summary, arrays = result.summary, result.arrays
    rows = [row for row in summary["rows"] if row["recovered"] is not None]
    figure = Figure(figsize=(10, max(3.2, 0.3 * len(rows) + 1)), layout="constrained")
    bars, points = figure.subplots(1, 2, width_ratios=(3, 2))
    colours = {"hypothesis": ACCENT, "ladder": INK, "rival": INK} | dict.fromkeys(NULLS, LIGHT)
    for place, row in enumerate(rows):
        if row["recovered_low"] is not None and row["recovered_high"] is not None:
            bars.plot([row["recovered_low"], row["recovered_high"]], [place, place], color=colours[row["kind"]], linewidth=1.4)
        bars.plot(row["recovered"], place, "o", color=colours[row["kind"]], markersize=4)
    named = {"ladder": "up to {}", "rival": "rival {}", "hypothesis": "{}"} | dict.fromkeys(NULLS, "null: {}")
    said = _shortened([named[row["kind"]].format(row["name"]) for row in rows])
    bars.set_yticks(range(len(rows)), said, fontsize=7, parse_math=False)
    bars.set_ylim(len(rows) - 0.4, -0.6)
    bars.axvline(0, color=LIGHT, linewidth=0.8, linestyle=":")
    bars.axvline(1, color=LIGHT, linewidth=0.8, linestyle=":")
    lowest = [row[name] for row in rows for name in ("recovered", "recovered_low") if row[name] is not None]
    bars.set_xlim(left=max(-1.0, min([0.0, *lowest]) - 0.05))
    bars.set_xlabel("recovered; 95 % over concepts\n(0: as if everything were resampled, 1: as in the network)", fontsize=7)
    if not rows:
        bars.text(0.5, 0.5, f"Nothing can be said: {summary['root']}\nis the same on all images.", ha="center", va="center",
                  fontsize=8, transform=bars.transAxes, parse_math=False)  # fmt: skip
    points.plot(arrays["clean"], arrays["random"], ".", color=LIGHT, markersize=3, label="everything resampled")
    points.plot(arrays["clean"], arrays["scrubbed"], ".", color=ACCENT, markersize=3, label="the hypothesis")
    ends = [float(min(arrays["clean"].min(), arrays["scrubbed"].min())), float(max(arrays["clean"].max(), arrays["scrubbed"].max()))]
    points.plot(ends, ends, color=INK, linewidth=0.7, linestyle="--")
    points.set_xlabel(f"{summary['root']} in the network", fontsize=7, parse_math=False)
    points.set_ylabel("scrubbed", fontsize=7)
    points.legend(fontsize=6, frameon=False)
    for axis in (bars, points):
        axis.tick_params(axis="x", labelsize=6)
    points.tick_params(axis="y", labelsize=6)
    of = f"{LOSSES[summary['loss']][0]}, {summary['images']} images, {summary['examples']} examples"
    figure.suptitle(f"Causal scrubbing of {summary['root']}: {of}", fontsize=9, parse_math=False)
    return figure
