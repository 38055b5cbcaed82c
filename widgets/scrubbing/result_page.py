"""What came of scrubbing a hypothesis: a sentence, what each claim costs beside rivals and nulls, single examples and their images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QLabel, QSplitter, QVBoxLayout, QWidget

from widgets.scrolled import scrolled
from widgets.theme import say
from widgets.views.effect_list import Effect, EffectList
from widgets.views.image_strip import ImageStrip, Picture, Row
from widgets.views.scatter_plot import ScatterPlot
from workbench.hypothesis import LOSSES, NULLS
from workbench.recompute import of_result

if TYPE_CHECKING:
    from widgets.views.view import View
    from workbench.analyses.analysis import Result

EXAMPLES = 6
"""Examples whose images are shown side by side."""
RANDOM_NAME = "as many other units of the layers"


class ResultPage(QWidget):
    """Shows the result of one hypothesis, beside those of others of the same images."""

    node_chosen = Signal(str)
    """Name of the node whose line was clicked."""
    example_chosen = Signal(int)
    """Place of the example whose point was clicked."""
    image_chosen = Signal(int)
    """Index in the image set of the thumbnail that was clicked."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._result: Result | None = None
        self._pictures: dict[int, np.ndarray] = {}
        self._picked = -1
        self._lines: list[str] = []
        self.sentence = QLabel(self, wordWrap=True)
        self.sentence.setMargin(6)
        self.sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.bars = EffectList(self, linked=True)
        self.bars.setAccessibleName("What each claim costs")
        self.bars.picked.connect(self._follow)
        self.points = ScatterPlot(self)
        self.points.setAccessibleName("Single examples")
        self.points.setMinimumSize(200, 220)
        self.points.picked.connect(self._pick)
        self.strip = ImageStrip(self, smallest=58, largest=84)
        self.strip.setAccessibleName("What each node was computed on")
        self.strip.picked.connect(self._open)
        side = scrolled(self.strip, self)
        self.halves = QSplitter(Qt.Orientation.Horizontal, self)
        self.halves.addWidget(self.points)
        self.halves.addWidget(side)
        self.halves.setChildrenCollapsible(False)
        self.halves.setSizes([300, 300])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addWidget(self.sentence)
        scroll = scrolled(self.bars, self)
        self.both = QSplitter(Qt.Orientation.Vertical, self)
        self.both.addWidget(scroll)
        self.both.addWidget(self.halves)
        self.both.setChildrenCollapsible(False)
        self.both.setSizes([260, 320])
        whole.addWidget(self.both, 1)
        self.setMinimumWidth(300)
        self.clear("")

    @property
    def result(self) -> Result | None:
        """What is shown."""
        return self._result

    def clear(self, message: str) -> None:
        """Show nothing but a message."""
        self._result, self._picked = None, -1
        self._pictures.clear()
        say(self.sentence, message)
        self.sentence.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.both.setVisible(False)
        self.bars.clear()
        self.strip.clear()

    def show_result(
        self, result: Result, others: Mapping[str, Result], made_from: Mapping[str, object], note: str = ""
    ) -> None:
        """Show a result.

        Parameters
        ----------
        others
            Results of other hypotheses by their names.
        note
            What is to be said before all else.
        """
        fresh = self._result is not result
        self._result = result
        if fresh:
            self._picked = -1
            self._pictures.clear()
        self.both.setVisible(True)
        self.sentence.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        say(self.sentence, " ".join(filter(None, (note, told(result.summary)))))
        self._show_bars(others, made_from)
        self._show_points(made_from)
        self._show_strip(made_from)

    def _show_bars(self, others: Mapping[str, Result], made_from: Mapping[str, object]) -> None:
        assert self._result is not None
        rows = self._result.summary["rows"]
        random = [row["recovered"] for row in rows if row["kind"] == "random" and row["recovered"] is not None]
        shown = [row for row in rows if row["kind"] != "random"]
        effects = [_effect(row, called(row["kind"], row["name"])) for row in shown]
        self._lines = [row["name"] if row["kind"] == "ladder" else "" for row in shown]
        for name, other in others.items():
            first = other.summary["rows"][0]
            loss = other.summary["loss"]
            by = "" if loss == self._result.summary["loss"] else f", by {LOSSES[loss][0]}"
            effects.append(_effect(first, f"other hypothesis: {name}{by}"))
            self._lines.append("")
        lowest = [effect.value for effect in effects if math.isfinite(effect.value)] + random
        self.bars.show_effects(
            effects,
            title=f"What is left of {self._result.summary['root']} when all else is resampled",
            label=f"recovered by {LOSSES[self._result.summary['loss']][0]}; 95 % over concepts",
            null=(min(random), max(random)) if random else None,
            null_name=RANDOM_NAME,
            span=(min(0.0, max(-1.0, min(lowest, default=0.0))), 1.0),
            made_from=made_from,
        )
        self.bars.recomputation = of_result(self._result)

    def _show_points(self, made_from: Mapping[str, object]) -> None:
        assert self._result is not None
        arrays = self._result.arrays
        clean = arrays["clean"]
        points = np.concatenate([np.stack([clean, arrays[name]], 1) for name in ("random", "scrubbed")])
        groups = np.repeat([1, 0], len(clean))
        self.points.show_points(
            points,
            groups,
            ("the hypothesis", "all resampled"),
            title="Single examples; click one",
            label="network →, scrubbed ↑; dashed: unchanged",
            diagonal=True,
            made_from=made_from,
        )
        self.points.recomputation = of_result(self._result)
        if self._picked >= 0:
            self.points.mark(len(clean) + self._picked)

    # ------------------------------------------------------------------------------------------------ images of examples

    def examples(self) -> list[int]:
        """Places of the examples that are shown: the one picked first, the others from the least to the most changed."""
        if self._result is None:
            return []
        order = np.argsort(self._result.arrays["distance"], kind="stable")
        share = np.sqrt(np.linspace(0, 1, EXAMPLES))  # more of those that changed: many examples are silent in both
        spread = order[np.unique((share * (len(order) - 1)).round().astype(int))].tolist()
        return [self._picked, *[place for place in spread if place != self._picked][: EXAMPLES - 1]] if self._picked >= 0 else spread

    def wanted(self) -> tuple[int, ...]:
        """Indices of the images that are to be shown and are not there yet."""
        if self._result is None:
            return ()
        arrays, places = self._result.arrays, self.examples()
        shown = [arrays["image"], *(arrays[f"sampled/{node['name']}"] for node in self._result.summary["nodes"])]
        return tuple(sorted({int(part[place]) for part in shown for place in places} - self._pictures.keys()))

    def take_pictures(self, indices: Sequence[int], pixels: np.ndarray, made_from: Mapping[str, object]) -> None:
        """Show images that were read."""
        self._pictures |= dict(zip(indices, pixels, strict=True))
        if self._result is not None:
            self._show_strip(made_from)

    def _show_strip(self, made_from: Mapping[str, object]) -> None:
        assert self._result is not None
        arrays, places = self._result.arrays, self.examples()
        first = tuple(
            self._picture(
                int(arrays["image"][place]),
                f"{float(arrays['clean'][place]):.3g}→{float(arrays['scrubbed'][place]):.3g}",
            )
            for place in places
        )
        note = "the one clicked first" if self._picked >= 0 else "least to most changed"
        rows = [Row("Example", first, note)]
        for node in self._result.summary["nodes"]:
            drawn = arrays[f"sampled/{node['name']}"]
            rows.append(Row(node["name"], tuple(self._picture(int(drawn[place])) for place in places)))
        self.strip.show_rows(rows, title="What each node was computed on", made_from=made_from)
        self.strip.recomputation = of_result(self._result)

    def _picture(self, index: int, caption: str = "") -> Picture:
        return Picture(self._pictures.get(index), caption, tip=f"image {index} of the set")

    def _pick(self, point: int) -> None:
        """Show what an example was computed on."""
        assert self._result is not None
        self._picked = point % len(self._result.arrays["clean"])
        self.example_chosen.emit(self._picked)

    def _follow(self, line: int) -> None:
        if 0 <= line < len(self._lines) and self._lines[line]:
            self.node_chosen.emit(self._lines[line])

    def _open(self, row: int, place: int) -> None:
        """Say which image was clicked."""
        assert self._result is not None
        names = ["image", *(f"sampled/{node['name']}" for node in self._result.summary["nodes"])]
        self.image_chosen.emit(int(self._result.arrays[names[row]][self.examples()[place]]))

    def picture(self, index: int) -> np.ndarray | None:
        """Return an image that is shown, by its index in the set."""
        return self._pictures.get(index)

    def views(self) -> list[View]:
        """The bars, the single examples, and their images."""
        return [] if self._result is None else [self.bars, self.points, self.strip]


NAMES = {"hypothesis": "the hypothesis", "ladder": "claims up to {}"} | dict.fromkeys(NULLS, "null: {}")


def called(kind: str, name: str) -> str:
    """Say what a row of a result is."""
    if kind != "rival":
        return NAMES[kind].format(name)
    node, _, feature = (part.strip() for part in name.partition("="))
    return f"rival{'' if node == '*' else f' {node}'}: {feature.removeprefix('=').strip()}"


def _effect(row: Mapping[str, Any], name: str) -> Effect:
    value, low, high = (math.nan if row[key] is None else float(row[key]) for key in ("recovered", "recovered_low", "recovered_high"))
    tip = f"{name}\n{row.get('refused') or percent(row)}"
    if row["median_distance"] is not None:
        tip += f"\nthe median example moves by {row['median_distance']:.2f} of what it does with all resampled"
    return Effect(name, value, low, high, percent(row) if math.isfinite(value) else "cannot be tested", tip)


def percent(row: Mapping[str, Any]) -> str:
    """Write what is recovered, with its interval."""
    if row["recovered"] is None:
        return "unknown"
    text = f"{100 * row['recovered']:.0f} %"
    if row["recovered_low"] is not None and row["recovered_high"] is not None:
        text += f" [{100 * row['recovered_low']:.0f}, {100 * row['recovered_high']:.0f}]"
    return text.replace("-", "−")


def told(summary: Mapping[str, Any]) -> str:
    """Say in a few sentences what was found, beside its nulls, and what makes it less than it seems."""
    rows = {row["kind"]: row for row in summary["rows"]}
    if summary["recovered"] is None:
        return f"Nothing can be said: {summary['root']} is the same on all images."
    said = [
        f"{summary['root']} keeps {percent(summary)} of what it loses with everything resampled "
        f"(by {LOSSES[summary['loss']][0]}; {summary['examples']} examples of {summary['images']} images, 95 % over {summary['groups']}s"
        + (f"; an effect from {100 * summary['detectable']:.0f} % on would have been found" if summary["detectable"] is not None else "")
        + ")."
    ]
    whole, nothing = rows.get("whole"), rows.get("nothing")
    random = [row["recovered"] for row in summary["rows"] if row["kind"] == "random" and row["recovered"] is not None]
    beside = [f"its units with all they do {percent(whole)}"] if whole is not None else []
    beside += [f"no hypothesis {percent(nothing)}"] if nothing is not None else []
    beside += [f"{RANDOM_NAME} {100 * min(random):.0f} to {100 * max(random):.0f} %".replace("-", "−")] if random else []
    said.append(f"Beside it: {'; '.join(beside)}.")
    if summary["median_distance"] is not None:
        said.append(f"The median example moves by {summary['median_distance']:.2f} of what it does with all resampled.")
    if summary.get("hides"):
        said.append(summary["hides"])
    if summary["sparse"]:
        one = len(summary["sparse"]) == 1
        said.append(f"Few images share a label of {', '.join(summary['sparse'])}: {'it resamples' if one else 'they resample'} itself.")
    return " ".join(said).replace("resample itself", "resample themselves")
