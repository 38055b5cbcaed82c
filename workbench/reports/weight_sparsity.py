"""Problem 7.10: how sparse the weights between adjacent layers are, and which few earlier units a unit is built from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.analyses.reconstruction_tree import ReconstructionTree
from workbench.analyses.sparsity import Sparsity
from workbench.figure_colours import ACCENT, INK, LIGHT
from workbench.finite import median
from workbench.input_error import InputError
from workbench.models.adjacent import Adjacent, adjacent_layers
from workbench.report_page import Drawing, Section, Table, as_svg
from workbench.reports.report import Findings, Work, answers, cell, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.analyses.analysis import Result
    from workbench.models.traced_model import TracedModel

MODELS = tuple(f"bundled:{name}" for name in ("inception", "resnet", "convnext", "vit", "clip-rn", "clip"))
FEWEST = 16
"""Units on either side below which sparsity says little."""
PAIRS, UNITS, IMAGES, FULL_IMAGES = 3, 32, 96, 256
"""Of each network, with the budget quick; of the layer's units; looked at, quick and full."""
TREE, FULL_TREE = 2, 3
"""Layers that a network's example of a tree goes back, quick and full."""
EXAMPLES = 3
"""Units of each pair whose parts are named."""


@dataclass(frozen=True)
class Measured:
    """One layer of weights and what was found of it."""

    model: str
    pair: Adjacent
    result: Result

    @property
    def name(self) -> str:
        """What rows and axes call it."""
        return f"{self.model.removeprefix('bundled:')} {self.pair.makes}"


@answers("7.10", "How sparse weights are beside two nulls, and the smallest sets of earlier units that rebuild a unit", MODELS)
def weight_sparsity(work: Work) -> Findings:
    """Measure layers of weights spread over the depth of each network (quick), or all of them."""
    chosen = work.each(lambda ref: pairs_of(work.model(ref), PAIRS if work.quick else 0))
    work.expect(sum(map(len, chosen.values())) + len(chosen))

    def measured(ref: str) -> list[Measured]:
        found = []
        for pair in chosen.get(ref, []):
            units = _some(pair, UNITS) if work.quick else ()
            analysis = Sparsity(source=pair.reads, target=pair.makes, units=units, images=IMAGES if work.quick else FULL_IMAGES)
            found.append(Measured(ref, pair, work.run(f"{short(ref)}-{short(pair.makes)}", analysis, ref)))
        return found

    by_network = work.each(measured)
    found = [one for of_network in by_network.values() for one in of_network]

    def grown(ref: str) -> Result | None:
        unit = _for_tree(by_network.get(ref, []))
        if unit is None:
            return None
        analysis = ReconstructionTree(unit=unit, images=IMAGES if work.quick else FULL_IMAGES, depth=TREE if work.quick else FULL_TREE)
        return work.run(f"{short(ref)}-tree", analysis, ref)

    trees = {ref: tree for ref, tree in work.each(grown).items() if tree is not None}
    rows = [_row(each) for each in found]
    sections = [_answer(rows), _weights(found, rows), _parts(found, rows), *([_trees(trees)] if trees else []), _missing(work)]
    return Findings(sections, {"layers": rows, "trees": {ref: tree.summary["tree"] for ref, tree in trees.items()}})


def pairs_of(model: TracedModel, number: int) -> list[Adjacent]:
    """Return layers of weights that mix enough units, `number` of them spread over the depth (0: all).

    Raises
    ------
    InputError
        When there is none.
    """
    layers = model.graph.layers

    def mixes(pair: Adjacent) -> bool:
        named = pair.reads in layers and pair.makes in layers
        return named and pair.groups == 1 and min(pair.units, layers[pair.reads].units) >= FEWEST

    whole = [pair for pair in adjacent_layers(model.graph) if mixes(pair)]
    if not whole:
        raise InputError(f"no layer of weights mixes {FEWEST} units or more")
    if not number or len(whole) <= number:
        return whole
    return [whole[place] for place in np.linspace(0, len(whole) - 1, number).round().astype(int)]


def _some(pair: Adjacent, number: int) -> tuple[int, ...]:
    """Return so many of a pair's target units, drawn once and for all."""
    drawn = np.random.default_rng(0).permutation(pair.units)[:number]
    return tuple(int(unit) for unit in np.sort(drawn))


def _row(each: Measured) -> dict[str, Any]:
    """Return the figures of one layer of weights as plain data."""
    arrays, summary = each.result.arrays, each.result.summary
    size = arrays["size"]
    built = size > 0
    kept = [float(arrays["kept"][t, size[t] - 1]) for t in np.flatnonzero(built)]
    return {
        "model": each.model,
        "source": summary["source"],
        "target": summary["target"],
        "sources": summary["sources"],
        "units": summary["units"],
        "images": summary["images"],
        "gini": median(arrays["gini"]),
        "gini_shuffled": median(arrays["gini_shuffled"].mean(1)),
        "gini_gaussian": median(arrays["gini_gaussian"].mean(1)),
        "gini_above_nulls": summary["gini_above_nulls"],
        "gini_above_nulls_by_chance": summary["gini_above_nulls_by_chance"],
        "participation": median(arrays["participation"]),
        "participation_shuffled": median(arrays["participation_shuffled"].mean(1)),
        "whole": median(arrays["whole"]),
        "built": int(built.sum()),
        "size": median(size[built].astype(float)),
        "kept": median(np.array(kept)),
    }


def _answer(rows: Sequence[dict[str, Any]]) -> Section:
    said = []
    for model in dict.fromkeys(row["model"] for row in rows):
        of = [row for row in rows if row["model"] == model]
        above, units = sum(row["gini_above_nulls"] for row in of), sum(row["units"] for row in of)
        chance = sum(row["gini_above_nulls_by_chance"] for row in of)
        sizes = [row["size"] for row in of if row["size"] is not None]
        built = sum(row["built"] for row in of)
        parts = (
            f"For {built} of {units} units at most 24 of their inputs, kept as they are, explain 90 % of what all do on the images they "
            f"are chosen on (the median layer needs {np.median(sizes):.0f}); the table says what they keep on others."
            if sizes
            else "No unit is rebuilt by 24 of its inputs."
        )
        said.append(
            f"{model}: weights are more concentrated than their nulls in {above} of {units} units (by chance {chance:.0f}); the Gini "
            f"coefficient is {_range(of, 'gini')} by layer, {_range(of, 'gini_gaussian')} in kernels of normal entries and "
            f"{_range(of, 'gini_shuffled')} with their own entries shuffled (kernels of one entry cannot be). {parts}"
        )
    return Section("Answer", said)


def _range(rows: Sequence[dict[str, Any]], name: str) -> str:
    values = [row[name] for row in rows if row[name] is not None]
    if not values:
        return "unknown"
    low, high = min(values), max(values)
    return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"


def _weights(found: Sequence[Measured], rows: Sequence[dict[str, Any]]) -> Section:
    columns = ("network", "from", "to", "sources", "units", "Gini", "shuffled", "Gaussian", "above both", "participation", "shuffled")
    names = ("sources", "units", "gini", "gini_shuffled", "gini_gaussian", "gini_above_nulls", "participation", "participation_shuffled")
    cells = [(row["model"], row["source"], row["target"], *(cell(row[name]) for name in names)) for row in rows]
    caption = (
        "Medians over target units. Gini: 0 all sources alike, 1 one alone. Participation: how many sources carry the energy. Nulls: the "
        "same kernel entries in random places across sources, before norms are taken; and normal entries in kernels of the same size."
    )
    note = (
        "Violins: units of a layer; grey: from smallest to largest draw of each null (median over units). "
        "Curves: median over units, earlier layers darker; "
        "dashed: all sources alike. Units and images as in the tables."
    )
    drawing = Drawing("Gini by layer, and energy in the strongest sources", as_svg(_figure(found), "sparsity"), note)
    return Section("How sparse weights are", [Table(columns, cells, caption), drawing])


def _parts(found: Sequence[Measured], rows: Sequence[dict[str, Any]]) -> Section:
    columns = ("network", "to", "images", "all sources R2", "built", "of", "sources needed", "R2 they keep")
    names = ("images", "whole", "built", "units", "size", "kept")
    cells = [(row["model"], row["target"], *(cell(row[name]) for name in names)) for row in rows]
    caption = (
        "Sets and their sizes are chosen on one half of the images, drawings of one concept in the same half; built: there a set of at "
        "most 24 keeps 90 % of what all sources explain, every other source at its mean. Both R2 are of the other half. Medians over units."
    )
    examples = []
    for each in found:
        known = [entry for entry in each.result.summary["built_from"] if entry["size"] > 0][:EXAMPLES]
        for entry in known:
            parts = ", ".join(str(source) for source in entry["sources"])
            examples.append((each.model, f"{each.pair.makes}:{entry['unit']}", each.pair.reads, parts, cell(entry["kept"])))
    shown = Table(("network", "unit", "built from units of", "in the order they were found", "R2 kept"), examples, "Examples")
    return Section("What is built from what", [Table(columns, cells, caption), *([shown] if examples else [])])


def _for_tree(found: Sequence[Measured]) -> str | None:
    """Return the unit that few sources keep most of (on the images they were chosen on), of the latest layer of weights that has one."""
    for each in reversed(found):
        arrays = each.result.arrays
        built = np.flatnonzero(arrays["size"] > 0)
        if len(built):
            best = built[np.argmin(arrays["size"][built])]
            units = each.result.parameters["units"] or range(len(arrays["size"]))
            return f"{each.pair.makes}:{list(units)[int(best)]}"
    return None


def _trees(trees: Mapping[str, Result]) -> Section:
    columns = ("network", "unit", "layers back", "units kept", "the tree alone keeps", "", "best random tree", "p")
    cells = []
    for ref, tree in trees.items():
        said = tree.summary
        ends = [said.get(name) for name in ("kept_low", "kept_high")]
        between = "" if None in ends else f"[{cell(ends[0])}, {cell(ends[1])}]"
        kept = sum(layer["kept"] for layer in said["layers"])
        figures = cell(said.get("kept")), between, cell(said.get("null_highest")), cell(said.get("p"))
        cells.append((ref, said["unit"], said["depth"], kept, *figures))
    caption = (
        "One unit a network, of the latest layer with a unit that few sources rebuild: the parts of its parts, chosen on one half of the "
        "images; then every other unit of these layers is held at its mean and the network run: the part of the unit's variance left, on "
        "the other half, beside trees of as many random units. It was chosen for being rebuilt from few, so it says how few can do, not "
        "how many a unit needs."
    )
    drawings = []
    for ref, tree in trees.items():
        figure = ReconstructionTree.draw(tree)["tree"]
        drawings.append(Drawing(f"{ref}: {tree.summary['unit']}", as_svg(figure, f"tree-{short(ref)}")))
    return Section("One unit as a tree", [Table(columns, cells, caption), *drawings])


def _missing(work: Work) -> Section:
    said = [
        "A unit counts as sparser than its nulls when its Gini coefficient lies above the largest of 20 draws of each (of the Gaussian one "
        "alone where kernels have one entry). Units whose kernels have one size share the Gaussian draws, so their chances go together: of "
        "n units n / 21 lie above by chance, but up to three times as many is no surprise.",
        "The linear account holds at the centre position only, non-linearities in between at their mean slope; where all sources explain "
        "less than half of a unit (R2 < .5) nothing is said of what it is built from.",
    ]
    if work.quick:
        said.append(
            f"Quick: at most {PAIRS} layers of a network, {UNITS} units of each, {IMAGES} images; --budget full takes all layers and "
            f"units, and {FULL_IMAGES} images."
        )
    return Section("What this could not see", [*said, *work.left()])


def _figure(found: Sequence[Measured]) -> Figure:
    from matplotlib import colormaps as cm
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 0.34 * len(found)), layout="constrained")
    ginis, energies = figure.subplots(1, 2, width_ratios=(3, 2))
    for row, each in enumerate(found):
        arrays = each.result.arrays
        values = arrays["gini"][np.isfinite(arrays["gini"])]
        if len(values) > 1:
            drawn = ginis.violinplot(values, [row], orientation="horizontal", widths=0.8, showextrema=False, showmedians=True)
            for body in drawn["bodies"]:
                body.set(facecolor=ACCENT, alpha=0.5)
            drawn["cmedians"].set_color(INK)
        for name in ("gini_shuffled", "gini_gaussian"):
            ends = [median(end) for end in arrays[name].T]
            if ends[0] is not None and ends[1] is not None:
                middle, half = (ends[0] + ends[1]) / 2, max(0.004, (ends[1] - ends[0]) / 2)
                ginis.plot([middle - half, middle + half], [row, row], color=LIGHT, linewidth=7, solid_capstyle="butt", zorder=0)
        numbers = arrays["numbers"] / each.result.summary["sources"]
        energies.plot(numbers, np.nanmedian(arrays["energy"], 0), color=cm["viridis"](row / max(1, len(found))), linewidth=1)
    ginis.set_yticks(range(len(found)), [each.name for each in found], fontsize=7, parse_math=False)
    ginis.set_ylim(len(found) - 0.4, -0.6)
    ginis.set_xlabel("Gini coefficient of kernel norms", fontsize=8)
    alike = np.geomspace(0.001, 1)
    energies.plot(alike, alike, color=LIGHT, linewidth=1, linestyle="--")
    energies.set_xscale("log")
    energies.set_xlabel("part of the sources, strongest first", fontsize=8)
    energies.set_ylabel("part of the energy", fontsize=8)
    for axes in (ginis, energies):
        axes.tick_params(labelsize=7)
    return figure
