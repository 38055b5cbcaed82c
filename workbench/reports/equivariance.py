"""Problem 7.7: equivariance in late layers, and the units that are versions of one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.analyses.equivariance import Equivariance
from workbench.images.image_set import load_images
from workbench.images.transformation import Hue, Rotation, Scale
from workbench.report_page import Drawing, Section, Table, as_svg
from workbench.reports.report import Findings, Work, answers, short

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

MODELS = ("bundled:inception",)
ASKED = ("flip", Rotation(90).name, Hue(120).name, Scale(0.7).name)
IMAGES = {True: 128, False: 1024}
"""Images, or pairs of them: quick, full."""
TWINS = {True: 20, False: 50}
LATE = 1 / 3
"""Part of the layers, the last ones, that are called late."""
LEAST_EXCESS = 0.01
"""Mean excess of a layer's partners that is worth naming: that of twins may lie below 0, where no partner holds on other concepts."""
SHOWN = 5
"""Families of each transformation that are named."""


@answers("7.7", "Which units are versions of one another, in every layer, beside networks that learned nothing", MODELS)
def equivariance(work: Work) -> Findings:
    """Match the units of every layer under each transformation."""
    work.expect(len(work.models))
    style = style_pair(work.images)
    asked = Equivariance(transformations=(*ASKED, *style), images=IMAGES[work.quick], twins=TWINS[work.quick])
    found = work.each(lambda ref: work.run(f"{short(ref)}-equivariance", asked, ref))
    figures = {
        ref: {"layers": list(result.summary["figures"]), "families": list(result.summary["families"])} for ref, result in found.items()
    }
    pages = (part for ref, result in found.items() for part in (_layers(ref, result), _families(ref, result)))
    return Findings([_answer(found), *pages, _missing(found, work, style)], figures)


def style_pair(images: str) -> tuple[str, ...]:
    """Return the transformation from one style of the images to another, where these have styles."""
    styles = list(dict.fromkeys(load_images(images).columns.get("style", ())))
    return (f"style:{styles[0]}>{styles[1]}",) if len(styles) > 1 else ()


def late(result: Result) -> list[str]:
    """Return the last third of the layers."""
    layers: Sequence[str] = result.summary["layers"]
    return list(layers[-max(1, round(LATE * len(layers))) :])


def of(result: Result, name: str, layers: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the figures of some layers under one transformation."""
    return [row for row in result.summary["figures"] if row["transformation"] == name and row["layer"] in layers]


def _answer(found: Mapping[str, Result]) -> Section:
    said = []
    for ref, result in found.items():
        last = late(result)
        said.append(f"{ref}: late layers are {', '.join(last)}.")
        for name, title in zip(result.summary["transformations"], result.summary["titles"], strict=True):
            every, rows = of(result, name, result.summary["layers"]), of(result, name, last)
            best = max(every, key=lambda row: row["matched"])
            most = f" Most in {best['layer']}: {best['matched']:.0%}." if best["counting"] else ""
            others, judged = (sum(row[each] for row in rows) for each in ("others", "judged"))
            said.append(
                f"{title}: in late layers {_counted(rows)}; in all layers {_counted(every)}.{most} The correlation of partners exceeds "
                f"that of all twins, meant over a layer, in {_beyond(every)}. Of late units {others} of {judged} have another unit as best "
                f"partner, the others are their own: the median unit's correlation with itself, places moved back, is "
                f"{_span(rows, 'own')} (twins {_null_span(rows, 'own_null')}), that of its largest activation "
                f"{_span(rows, 'invariance')} (twins {_null_span(rows, 'invariance_null')}). Smallest gain of one pair that would have "
                f"been seen in late layers: {_span(rows, 'detectable')}."
            )
    return Section("Answer", said)


def _beyond(rows: Sequence[Mapping[str, Any]]) -> str:
    """Name the layers whose mean excess is above that of every twin, and is one."""
    beyond = [row["layer"] for row in rows if (row["excess"] or 0.0) > max(LEAST_EXCESS, row["excess_null"][1] or 0.0)]
    return f"{len(beyond)} of {len(rows)} layers ({', '.join(beyond)})" if beyond else "no layer"


def _counted(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say how many units have a partner, beside the twins."""
    counting, judged = (sum(row[name] for row in rows) for name in ("counting", "judged"))
    null = sum((row["matched_null"] or 0.0) * row["judged"] for row in rows) / max(1, judged)
    families, members = (sum(row[name] for row in rows) for name in ("families", "in_families"))
    share = f"{counting / max(1, judged):.1%}; twins {null:.1%}"
    return f"{counting} of {judged} units ({share}) have a partner, {members} are in {families} families"


def _span(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """Say the smallest and the largest of a figure."""
    known = [row[name] for row in rows if row[name] is not None]
    return f"{min(known):.2f} to {max(known):.2f}" if known else "not known"


def _null_span(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    known = [value for row in rows for value in row[name] or () if value is not None]
    return f"{min(known):.2f} to {max(known):.2f}" if known else "not known"


def _layers(ref: str, result: Result) -> Section:
    columns = (
        "transformation", "layer", "units", "best partner is another", "that counts", "twins", "bar", "smallest gain seen", "families",
        "units in them", "mean excess", "twins'", "with itself", "twins'", "invariance", "twins'", "weights confirmed",
    )  # fmt: skip
    rows = [
        (
            row["transformation"],
            row["layer"],
            row["judged"],
            row["others"],
            row["counting"],
            f"{row['matched_null'] or 0:.1%}",
            _number(row["bar"]),
            _number(row["detectable"]),
            row["families"],
            row["in_families"],
            _number(row["excess"]),
            _range(row["excess_null"]),
            _number(row["own"]),
            _range(row["own_null"]),
            _number(row["invariance"]),
            _range(row["invariance_null"]),
            f"{row['weights_confirmed']} of {row['weights_asked']}" if row["weights_asked"] else "-",
        )
        for row in result.summary["figures"]
    ]
    tried = "; ".join(f"{name}: {each['images']} images of {each['concepts']} concepts" for name, each in result.summary["tried"].items())
    caption = (
        f"{tried}; partners chosen on one half of the concepts, scored on the other. That counts: gain of {result.summary['least']:g} "
        f"or more, and the lower end of its interval above the bar, which the largest pair of a random-weight twin exceeds in one "
        f"layer of 20 ({result.summary['twins']} twins). Weights: of those asked, how many have kernels that say so, beyond random phases."
    )
    drawn = [Drawing(f"{ref}: {name}", as_svg(figure, f"{short(ref)}-{name}")) for name, figure in result.figures().items()]
    return Section(f"{ref}: layer by layer", [*drawn, Table(columns, rows, caption)])


def _families(ref: str, result: Result) -> Section:
    last = late(result)
    rows = []
    for name in result.summary["transformations"]:
        here = [family for family in result.summary["families"] if family["transformation"] == name]
        best = sorted(here, key=lambda family: (family["layer"] in last, family["closed"], family["gain"]), reverse=True)[:SHOWN]
        rows += [
            (
                name,
                family["layer"],
                ", ".join(_unit(unit, angle) for unit, angle in zip(family["units"], family["angles"], strict=True)),
                "yes" if family["closed"] else "no",
                _number(family["agreement"]),
                _number(family["plain"]),
                _number(family["gain"]),
                _number(family["low"]),
                _number(family["weights"]),
            )
            for family in best
        ]
    columns = ("transformation", "layer", "units", "closed", "corr(a(Tx), b(x))", "corr(a(x), b(x))", "gain", "lower end", "weights")
    caption = f"At most {SHOWN} of each transformation, those of late layers first; all are in results/{short(ref)}-equivariance."
    return Section(f"{ref}: families", [Table(columns, rows, caption) if rows else "None was found."])


def _unit(unit: int, angle: float | None) -> str:
    return str(unit) if angle is None else f"{unit} ({angle:g}°)"


def _range(values: Sequence[float | None] | None) -> str:
    return "-" if values is None else " to ".join(_number(value) for value in values)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _missing(found: Mapping[str, Result], work: Work, style: Sequence[str]) -> Section:
    said = [
        "A partner is one unit: a transformation that a layer represents by sums of units, or by more than the transformations tried here, "
        "shows as no partner.",
        "Weights are asked only where an image's transformation is one of kernels; where what a layer reads has no partners itself, they "
        "cannot agree.",
    ]
    for ref, result in found.items():
        lost = sum(row["units"] - row["judged"] for row in result.summary["figures"])
        if lost:
            said.append(f"{ref}: {lost} units (over all layers and transformations) do not vary on these images and were not judged.")
        misfits = sum(row["misfits"] for row in result.summary["figures"])
        if misfits:
            said.append(f"{ref}: {misfits} units have a partner, but in a ring that cannot be; they are in no family.")
    if not style:
        said.append(f"{work.images} has no styles, so no pairs of images were tried.")
    if work.quick:
        said.append(f"Quick: {IMAGES[True]} images and {TWINS[True]} twins; --budget full takes {IMAGES[False]} and {TWINS[False]}.")
    return Section("What this could not see", [*said, *work.left()])
