"""The pieces of evidence, one function each. Each returns a `Piece` and the arrays that its figure is drawn from.

Other analyses are asked for by name, as a user would: nothing here knows how they work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.analyses.analysis import Analysis, find
from workbench.analyses.evidence import synthetic
from workbench.analyses.evidence.population import Population, measured_unit
from workbench.bootstrap import POWER, first_half, ratio_of_means
from workbench.evidence_card import Piece
from workbench.images.stimulus import FAMILIES
from workbench.input_error import InputError
from workbench.models.layer import Unit
from workbench.task import Part, Task

if TYPE_CHECKING:
    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

Arrays = dict[str, npt.NDArray[Any]]
EXACT = 1e-5
"""Most that a sum of contributions may miss the pre-activation by, relative to the contributions' sizes."""
SEEDS = 3
"""Images made for the unit, and units of the twin that images are made for."""
TWIN_IMAGES = 64
RENDERINGS = 16
"""Of the best stimulus, for its interval."""
RANDOM_INPUTS = 200


def _asked(name: str, **parameters: Any) -> Analysis:
    """Return the analysis of that name with these parameters."""
    return find(name)(**parameters)


def causality(model: TracedModel, images: ImageSet, population: Population, steps: int, seed: int, task: Task) -> tuple[Piece, Arrays]:
    """Make images for the unit, and for random units of a random-weight twin; score both in standard deviations of their own activation."""
    own = population.unit
    settings = {"layer": own.layer, "objective": "neuron", "steps": steps, "learning_rate": 0.1, "seed": seed, "held_out": 8}
    made = _asked("FeatureVisualization", units=(own.index,), seeds=SEEDS, **settings).run(model, None, Part(task, 0, 0.45, 1))
    scores = np.array([population.in_deviations(float(score)) for score in made.arrays["robust_scores"][0]])
    largest = population.in_deviations(float(population.values.max()))
    twin = model.twin(seed)
    others = np.random.default_rng([seed, 4]).permutation(population.layer.units)[:SEEDS]
    known = Population.read(twin, Unit(own.layer, int(others[0])), images, TWIN_IMAGES, seed, Part(task, 0.45, 0.1, 1))
    random = _asked("FeatureVisualization", units=tuple(others.tolist()), **settings).run(twin, None, Part(task, 0.55, 0.45, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        null = (random.arrays["robust_scores"][:, 0] - known.mean[others]) / known.std[others]
    null = null[np.isfinite(null)]
    value, low, high = float(scores.mean()), float(scores.min()), float(scores.max())
    beyond = value > largest
    against = f"; units of a random-weight twin reach {null.min():.1f} to {null.max():.1f} SD" if len(null) else ""
    verdict = "An image can be made that drives it beyond every image it was shown" if beyond else "The strongest image drives it more"
    if len(null):
        learned = "more than units of a random network are driven" if low > null.max() else "no more than units of a random network are"
        verdict += f", and {learned}" if beyond == (low > null.max()) else f", but {learned}"
    verdict += "."
    piece = Piece(
        "causality",
        f"{value:.1f} SD above the unit's mean, through transforms they were not made for (worst to best of {SEEDS} images made: "
        f"{low:.1f} to {high:.1f})",
        value,
        None,  # the range of three images is no interval of 95 %
        None,
        "SD",
        f"strongest of {population.values.size:,} positions {largest:.1f} SD{against}",
        len(population.indices),
        None,
        verdict,
    )
    return piece, {"visualizations": made.arrays["images"][0], "visualization_scores": scores, "visualization_null": null}


def generality(model: TracedModel, population: Population, twins: int, seed: int, task: Task) -> tuple[Piece, Arrays]:
    """Find the stimulus the unit prefers and see how far it stands out, against the best unit of each twin."""
    unit, layer = population.unit.index, population.layer
    random = np.random.default_rng([seed, 5])
    tables = synthetic.stimuli()
    first, second = (
        synthetic.drawn(model, [(name, synthetic.nudged(table, random)) for name, table in tables]) for _ in range(2)
    )
    chosen, scored = (synthetic.respond(model, layer, half) for half in (first, second))
    task.step(1, twins + 2, note="stimuli")
    best = synthetic.preference(chosen, scored)[1]
    place, part = int(best[unit]), 0
    while place >= len(tables[part][1]):
        place, part = place - len(tables[part][1]), part + 1
    kind, row = tables[part][0], tables[part][1][place : place + 1]
    renderings = synthetic.drawn(model, [(kind, synthetic.nudged(np.repeat(row, RENDERINGS), random))])
    again = synthetic.respond(model, layer, renderings)[:, unit]
    spread = float(scored[:, unit].std())
    arrays: Arrays = {"stimulus_responses": np.stack([chosen[:, unit], scored[:, unit]], 1)}
    arrays["stimulus_family"] = np.repeat([name for name, _ in tables], [len(table) for _, table in tables])
    if not spread > 1e-12:
        return Piece("generality", missing="missing: stimuli it responds to", todo="It does the same on all; draw others."), arrays
    value, low, high = synthetic.interval((again - scored[:, unit].mean()) / spread, seed)
    null = []
    for number in range(twins):
        twin = model.twin(seed + number)
        halves = (synthetic.respond(twin, layer, half) for half in (first, second))
        found = synthetic.preference(*halves)[0]
        null.append(float(np.nanmax(found)) if np.isfinite(found).any() else 0.0)
        task.step(number + 2, twins + 2, note=f"stimuli shown to random-weight twin {number + 1} of {twins}")
    larger = sum(one >= value for one in null)
    p = (1 + larger) / (1 + len(null))
    deviations = population.in_deviations(float(again.mean()))
    told = _told(kind, row)
    verdict = f"It prefers {told} to the other stimuli" + (
        f", more than the best unit of any of {twins} random networks does." if not larger
        else f"; the best unit of {larger} of {twins} random networks has as strong a preference."
    )  # fmt: skip
    piece = Piece(
        "generality",
        f"{told}: {value:.1f} SD above its mean over stimuli [{low:.1f}, {high:.1f}]; {deviations:.1f} SD above its mean on the images",
        value,
        low,
        high,
        "SD over stimuli",
        f"best unit of each of {twins} random-weight twins: {np.median(null):.1f} (median), {max(null):.1f} (largest); p = {p:.2g}",
        len(chosen) + len(scored),
        POWER * float(again.std() / spread) / RENDERINGS**0.5,
        verdict,
        counted="stimuli",
    )
    return piece, arrays | {"stimulus_null": np.array(null), "stimulus_best": np.array(best[unit])}


def _told(kind: str, row: npt.NDArray[Any]) -> str:
    """Name a stimulus by what it was varied in."""
    family, fields = FAMILIES[kind], row.dtype.names or ()
    told = [f"hue {float(row['ink_hue'][0]):.3g}°"] if kind == "colours" else [f"{float(row['orientation'][0]):.3g}°"]
    told += [f"{name} {float(row[name][0]):.3g}" for name in ("radius", "frequency") if name in fields]
    light = kind != "colours" and float(row["ink_lightness"][0]) > float(row["ground_lightness"][0])
    return f"{family.title.lower()} {', '.join(told)}" + (", light on dark" if light else "")


def family(
    model: TracedModel, layer: str, units: Sequence[int], angles: Sequence[float], seed: int
) -> tuple[Piece, Arrays]:
    """See whether the units of a family do the same at different orientations."""
    if len(units) < 2:
        return Piece("family", missing="missing: family", todo="Name the units of its family (the panel Inspector makes families)."), {}
    measured = [measured_unit(model, Unit(layer, unit)) for unit in units]
    if len({of.name for _, of in measured}) > 1:
        raise InputError("the units of the family are in different branches of the network; name those of one branch")
    own, of = [unit.index for unit, _ in measured], measured[0][1]
    tuned = max(synthetic.tunings(model, of, seed), key=lambda one: float(np.nanmean(_depth(one)[own])))
    found = synthetic.likeness(tuned, own, seed)
    above = float(np.quantile(found.null, 0.95)) if len(found.null) else float("nan")
    null = (
        f"{len(found.null):,} random sets of as many units of {of.name}: {np.median(found.null):.2f} (median), {above:.2f} (95 %)"
        if len(found.null)
        else "the layer has not as many other units"
    )
    text = f"aligned tuning curves to {tuned.kind} correlate with {found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
    if len(angles) == len(units):
        follows, shuffled = synthetic.agreement(found.angles, angles, tuned.period, seed)
        text += f"; preferred orientations follow the family's angles with {follows:.2f}"
        null += f"; {shuffled:.2f} (95 %) with shuffled angles"
    distinct = len(np.unique(np.round(found.angles)))
    verdict = (
        "There are no random units to compare with: that they are more alike than others is not shown." if not len(found.null)
        else "Their tuning is no more alike than that of random units of the layer." if not found.value > above
        else f"The units do the same at {distinct} different orientations." if distinct > 1
        else "The units do the same, but all prefer the same orientation."
    )  # fmt: skip
    number = 2 * len(tuned.first)
    spread = (found.high - found.low) / (2 * 1.96)
    detectable = POWER * spread if np.isfinite(spread) else None
    piece = Piece("family", text, found.value, found.low, found.high, "correlation", null, number, detectable, verdict, counted="stimuli")
    return piece, {
        "family_curves": tuned.second[:, own],
        "family_aligned": synthetic.aligned(tuned)[:, own],
        "family_null": found.null,
        "family_preferred": found.angles,
        "family_units": np.array(units),
    }


def _depth(tuning: synthetic.Tuning) -> npt.NDArray[np.float64]:
    """Return how much of each unit's response depends on the orientation, in the first rendering."""
    spread = tuning.first.std(0)
    size: npt.NDArray[np.float64] = spread / np.maximum(np.abs(tuning.first).max(0), 1e-12)
    return size


def inputs(
    model: TracedModel, images: ImageSet, population: Population, places: int, strongest: int, seed: int, task: Task
) -> tuple[Piece, Arrays]:
    """Write the pre-activation as a sum at positions of every range of it; see how well its few strongest inputs predict it."""
    own = population.unit
    drawn = population.drawn(population.bins(8), places, seed)
    concepts = images.concepts
    groups = [concepts[int(population.indices[row])] for row, _, _ in drawn]
    half = first_half(groups, [seed, 8])
    if half.all() or not half.any():
        raise InputError("all positions are of one concept, but inputs are chosen on some and scored on others; give more images")
    rows: list[npt.NDArray[np.float64]] = []
    pre, bias, error, relative = list[float](), list[float](), list[float](), list[float]()
    names: list[str] = []
    for done, (row, column, _) in enumerate(drawn):
        place = {"image": int(population.indices[row]), "position": population.position(column)}
        asked = _asked("Contributions", layer=own.layer, unit=own.index, maps=0, **place)
        found = asked.run(model, images, Task())
        starts = np.cumsum([0, *(source["units"] for source in found.summary["sources"])])
        flat = np.zeros(int(starts[-1]))
        flat[starts[found.arrays["source"]] + found.arrays["unit"]] = found.arrays["contribution"]
        rows.append(flat)
        names = [str(source["layer"]) for source in found.summary["sources"]]
        for values, name in ((pre, "pre_activation"), (bias, "bias"), (error, "error"), (relative, "relative_error")):
            values.append(float(found.summary[name]))
        task.step(done + 1, len(drawn), note="contributions")
    shares, actual, offset = np.stack(rows), np.array(pre), np.array(bias)
    top = np.argsort(-shares[half].std(0), kind="stable")[:strongest]
    predicted, squares = _predicted(shares, offset, half, top), (actual - actual[~half].mean()) ** 2
    missed = (actual - predicted) ** 2
    tested = [group for group, chosen in zip(groups, half, strict=True) if not chosen]
    found_interval = ratio_of_means(missed[~half], tested, [seed, 6], squares[~half])
    random = np.random.default_rng([seed, 7])
    null = np.array(
        [
            1 - float(((actual - _predicted(shares, offset, half, random.permutation(shares.shape[1])[: len(top)])) ** 2)[~half].sum())
            / max(float(squares[~half].sum()), 1e-30)
            for _ in range(RANDOM_INPUTS)
        ]
    )  # fmt: skip
    worst = max(relative)
    value, low, high = 1 - found_interval.value, 1 - found_interval.high, 1 - found_interval.low
    exact = worst <= EXACT
    verdict = (
        f"The weighted inputs and the bias add up to the pre-activation (within {EXACT:g})" if exact
        else f"The sum misses the pre-activation by more than {EXACT:g}"
    ) + f"; {len(top)} of {shares.shape[1]} inputs " + (
        "predict it better than random ones." if value > np.quantile(null, 0.95) else "predict it no better than random ones."
    )  # fmt: skip
    piece = Piece(
        "inputs",
        f"sum(w·h) + b misses the pre-activation by at most {max(error):.1e} ({worst:.1e} of the sizes added up); the strongest "
        f"{len(top)} of {shares.shape[1]} inputs: R² {value:.2f} [{low:.2f}, {high:.2f}] on concepts they were not chosen on",
        value,
        low,
        high,
        "R²",
        f"{RANDOM_INPUTS} draws of {len(top)} random inputs: R² {np.median(null):.2f} (median), {np.quantile(null, 0.95):.2f} (95 %)",
        len({int(population.indices[row]) for row, _, _ in drawn}),
        found_interval.detectable if np.isfinite(found_interval.detectable) else None,
        verdict,
    )
    return piece, {
        "input_shares": shares.astype(np.float32),
        "input_top": top,
        "input_actual": actual,
        "input_predicted": predicted,
        "input_tested": ~half,
        "input_error": np.array(error),
        "input_relative_error": np.array(relative),
        "input_layers": np.array(names, np.str_),
        "input_null": null,
    }


def _predicted(
    shares: npt.NDArray[np.float64], bias: npt.NDArray[np.float64], half: npt.NDArray[np.bool_], kept: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.float64]:
    """Return the pre-activation when all inputs but those kept are what they are on average over the positions these were chosen on."""
    mean = shares[half].mean(0)
    rest = float(mean.sum() - mean[kept].sum())
    predicted: npt.NDArray[np.float64] = bias + shares[:, kept].sum(1) + rest
    return predicted


def use(
    model: TracedModel, images: ImageSet, unit: Unit, limit: int, null_images: int, seed: int, task: Task
) -> tuple[Piece, Arrays]:
    """Take the unit out, and random others."""
    ablation = _asked("Ablation", layer=unit.layer, units=(unit.index,), limit=limit, null_images=null_images, seed=seed)
    found = ablation.run(model, images, task)
    said = found.summary
    nats = "nats" if "log-probability" in said["measure"] else "of the output"
    change = said["change"]
    if "null_missing" in said:
        null, verdict = said["null_missing"], "There is no random unit to compare with: that it is used is not shown."
    else:
        null = (
            f"{said['null_draws']} random units of {unit.layer} on {said['null_images']} images: 95 % within "
            f"[{said['null_low']:.2g}, {said['null_high']:.2g}], the unit there {said['change_on_null_images']:.2g}; p = {said['p']:.2g}"
        )
        verdict = (
            "Taking it out changes the output more than taking out random units of its layer does." if said["p"] < 0.05
            else "The output changes no more than without a random unit of its layer: that it is used is not shown."
        )  # fmt: skip
    low, high = said["change_low"], said["change_high"]
    interval = f" [{low:.2g}, {high:.2g}]" if low is not None else ""
    divergence = f"; KL {said['kl']:.2g} nats" if "kl" in said else ""
    piece = Piece(
        "use",
        f"{said['measure']}: {change:+.2g} {nats}{interval} without it{divergence}",
        change,
        low,
        high,
        nats,
        null,
        said["images"],
        said["detectable"],
        verdict,
    )
    return piece, {"use_null": found.arrays["null_change"], "use_change": np.array(change)}
