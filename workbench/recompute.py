"""What recomputes the arrays of a view, as Python and as a command line: text that runs as it is.

>>> print(of_result(result).python())
import workbench

model = workbench.load("bundled:inception")
curve_45 = 7  # mixed3b:7
result = workbench.analyses.FeatureVisualization(layer="mixed3b", units=[curve_45]).run(model)

The Python needs an interpreter that has the workbench; the command is one of the folder that ``main.py`` is in. Both name networks and
images by reference, so what lies in a file is expected where it lay.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.kept_image import KeptImage
from workbench.visualization_levels import COARSE, FINE

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

ROOT = Path(__file__).parents[1]
WIDTH = 110
"""Characters after which a call is written one parameter a line."""
PLAIN = re.compile(r"[A-Za-z_][\w.:@/+-]*")
"""A string that a list on the command line may hold as it is."""


@dataclass(frozen=True)
class Pick:
    """What a view shows of a result's arrays, under a name of its own.

    Attributes
    ----------
    variable, array
        Its name, and that of the array.
    index
        Along the first axis; None for all of it.
    is_unit
        Whether the index is a unit's number, which is written by the unit's variable name.
    pixels
        Whether images in [0, 1] are turned into uint8, as they are shown.
    """

    variable: str
    array: str
    index: int | None = None
    is_unit: bool = False
    pixels: bool = False


@dataclass(frozen=True)
class Step:
    """One run of an analysis.

    Attributes
    ----------
    analysis
        Its name, as of ``list analyses``.
    parameters
        Plain data, or a `KeptImage` for the path of an image.
    result
        Variable that takes the result.
    picks
        What is taken from it.
    sees
        Whether the images are shown to it.
    """

    analysis: str
    parameters: Mapping[str, Any]
    result: str = "result"
    picks: tuple[Pick, ...] = ()
    sees: bool = True


@dataclass(frozen=True)
class Recomputation:
    """Everything that a view was computed from.

    Attributes
    ----------
    model, images
        References; no images where none were shown, or the user's own image.
    steps
        Runs of analyses, all of this network and these images.
    layer, names
        Variable names of units of a layer, by number: they stand in the Python in place of the numbers.
    """

    model: str
    images: str | KeptImage | None
    steps: tuple[Step, ...]
    layer: str = ""
    names: Mapping[int, str] = field(default_factory=dict)

    def python(self) -> str:
        """Return lines of Python; the variables of the steps' picks, or of their results, hold what the view shows."""
        names = self._names()
        code = ", allow_code=True" if self.model.startswith("python:") else ""
        lines = ["import workbench", "", f"model = workbench.load({quoted(self.model)}{code})"]
        images = reference(self.images)
        if images is not None:
            lines.append(f"images = workbench.load_images({quoted(images)})")
        lines += [f"{name} = {unit}  # {self.layer}:{unit}" for unit, name in names.items()]
        for step in self.steps:
            shown = "model, images=images" if images is not None and step.sees else "model"
            lines += _call(f"{step.result} = workbench.analyses.{step.analysis}(", self._parameters(step, names), f").run({shown})")
            lines += [self._picked(step, pick, names) for pick in step.picks]
        return "\n".join(lines) + "\n"

    def command(self) -> str:
        """Return a line for the shell for each step; it writes the result into a folder named after it."""
        return "".join(f"{' '.join(shlex.quote(word) for word in self._words(step))}\n" for step in self.steps)

    def with_steps(self, steps: Sequence[Step]) -> Recomputation:
        """Return the same with more runs behind its own."""
        return replace(self, steps=(*self.steps, *steps))

    def _names(self) -> dict[int, str]:
        """Return the names of the units that occur, none of which is that of something else in the lines."""
        occur = {pick.index for step in self.steps for pick in step.picks if pick.is_unit}
        for step in self.steps:
            if step.parameters.get("layer") == self.layer:
                occur |= {*step.parameters.get("units", ()), step.parameters.get("unit")}
        taken = {"workbench", "model", "images", "result"} | {step.result for step in self.steps}
        taken |= {pick.variable for step in self.steps for pick in step.picks}
        names = {}
        for unit, name in self.names.items():
            if unit in occur:
                while name in taken:
                    name += "_unit"
                taken.add(name)
                names[unit] = name
        return names

    def _parameters(self, step: Step, names: Mapping[int, str]) -> Iterator[str]:
        for name, value in step.parameters.items():
            if name == "units" and step.parameters.get("layer") == self.layer and names:
                yield f"{name}=[{', '.join(names.get(unit, str(unit)) for unit in value)}]"
            elif name == "unit" and step.parameters.get("layer") == self.layer and value in names:
                yield f"unit={names[value]}"
            else:
                yield f"{name}={quoted(path_of(value))}"

    @staticmethod
    def _picked(step: Step, pick: Pick, names: Mapping[int, str]) -> str:
        taken = f"{step.result}.arrays[{quoted(pick.array)}]"
        if pick.index is not None:
            taken += f"[{names.get(pick.index, pick.index) if pick.is_unit else pick.index}]"
        return f"{pick.variable} = " + (f'({taken} * 255).round().astype("uint8")' if pick.pixels else taken)

    def _words(self, step: Step) -> Iterator[str]:
        yield from (*program(), "run", step.analysis, "--model", self.model)
        if self.model.startswith("python:"):
            yield "--allow-code"
        images = reference(self.images) if step.sees else None
        if images is not None:
            yield from ("--images", images)
        for name, value in step.parameters.items():
            yield from ("--set", f"{name}={setting(path_of(value))}")
        about = step.parameters.get("layer") or "-".join(step.parameters.get("layers", ()))
        parts = (step.analysis, str(about)[:60], "" if step.result == "result" else step.result)
        yield from ("--out", "-".join(re.sub(r"[^\w.]+", "-", part).strip("-.") for part in parts if part))


def _call(opening: str, parameters: Iterator[str], closing: str) -> list[str]:
    """Write a call in one line, or one parameter a line where that is long."""
    given = list(parameters)
    line = f"{opening}{', '.join(given)}{closing}"
    return [line] if len(line) <= WIDTH else [opening, *(f"    {parameter}," for parameter in given), closing]


def reference(images: str | KeptImage | None) -> str | None:
    """Return the reference of images; the user's own image becomes a file."""
    return images.ref if isinstance(images, KeptImage) else images


def path_of(value: Any) -> Any:
    """Return a parameter as plain data: the path where it is the user's own image."""
    return str(value.path) if isinstance(value, KeptImage) else value


def quoted(value: Any) -> str:
    """Write plain data as Python, strings in double quotes where that can be."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quoted(key)}: {quoted(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(quoted, value))}]"
    return repr(value)


def setting(value: Any) -> str:
    """Write plain data as ``--set NAME=`` takes it (see `workbench.settings_text.read_settings`)."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and value:
        if all(type(item) in (int, float) for item in value):
            return ",".join(map(repr, value))
        if all(isinstance(item, str) and PLAIN.fullmatch(item) for item in value):
            return ",".join(value)
    return json.dumps(value, ensure_ascii=False)


def program() -> tuple[str, str]:
    """Name interpreter and program as one types them in the workbench's folder."""
    python = Path(sys.executable)
    return str(python.relative_to(ROOT)) if python.is_relative_to(ROOT) else str(python), "main.py"


@dataclass(frozen=True)
class TrainingRun:
    """What the curves of a training run are drawn from: its folder, and the recipe that was followed."""

    folder: Path
    recipe: str
    settings: Mapping[str, Any]

    def python(self) -> str:
        """Return lines of Python after which ``curves`` has every figure by name, steps and values, as the run's log has them."""
        return (
            "from pathlib import Path\n\nfrom workbench.jobs.runs import read_run\n\n"
            f"curves = read_run(Path({quoted(str(self.folder))})).curves\n"
        )

    def command(self) -> str:
        """Return the line that trains anew beside the run, from the same seed."""
        words = [*program(), "train", self.recipe]
        for name, value in self.settings.items():
            words += ["--set", f"{name}={setting(value)}"]
        return f"{' '.join(shlex.quote(word) for word in (*words, '--out', f'{self.folder}-again'))}\n"


# Of what the window shows


def of_result(result: Result, layer: str = "", names: Mapping[int, str] | None = None) -> Recomputation:
    """Return what recomputes the result of an analysis."""
    given = result.provenance
    return Recomputation(given["model"], given.get("images"), (Step(result.analysis, result.parameters),), layer, names or {})


def of_visualizations(
    model: str,
    layer: str,
    units: Sequence[int],
    level: str,
    seeds: int,
    signs: Mapping[str, bool],
    names: Mapping[int, str],
    diversity: float = 0.0,
) -> Recomputation:
    """Return what recomputes feature visualizations as `Thumbnails` has them rendered.

    Parameters
    ----------
    level
        ``coarse`` or ``fine``.
    signs
        Variable that takes the images (``seed y x 3`` of one unit, ``unit seed y x 3`` of several) -> whether the unit is decreased.
    """
    preset = COARSE if level == "coarse" else FINE
    place = 0 if len(units) == 1 else None
    steps = []
    for variable, negative in signs.items():
        parameters = {"layer": layer, "units": list(units), "negative": negative, "seeds": seeds, **preset}
        if diversity:
            parameters["diversity"] = diversity
        pick = Pick(variable, "images", place, pixels=True)
        steps.append(Step("FeatureVisualization", parameters, f"{variable}_result", (pick,), sees=False))
    return Recomputation(model, None, tuple(steps), layer, names)


def of_pictures(model: str, layer: str, levels: Mapping[int, str], names: Mapping[int, str]) -> Recomputation | None:
    """Return what recomputes one visualization of each of several units; those of two levels are two runs. None for no units.

    Parameters
    ----------
    levels
        Unit -> ``coarse`` or ``fine``, in the order shown; units of any other level are not there yet and left out.
    """
    runs = {level: [unit for unit, of_unit in levels.items() if of_unit == level] for level in ("coarse", "fine")}
    filled = {level: units for level, units in runs.items() if units}
    parts = [
        of_visualizations(model, layer, units, level, 1, {"pictures" if len(filled) == 1 else f"{level}_pictures": False}, names)
        for level, units in filled.items()
    ]
    return Recomputation(model, None, tuple(step for part in parts for step in part.steps), layer, names) if parts else None


def of_image(model: str, image: KeptImage, layer: str, unit: int, names: Mapping[int, str]) -> Recomputation:
    """Return what recomputes a unit's activation on the user's image, and the likeliest classes, as `UnitOnImage` finds them."""
    picks = (Pick("image", "input"), Pick("activation", "maps", 0), Pick("names", "class_names"), Pick("shares", "class_probabilities"))
    step = Step("ActivationMaps", {"layer": layer, "units": [unit]}, picks=picks)
    return Recomputation(model, image, (step,), layer, names)


def of_images(model: str, image: KeptImage, layer: str, units: Sequence[int], names: Mapping[int, str]) -> Recomputation:
    """Return what recomputes what several units do on the user's image, as `MapsOnImage` finds it."""
    picks = (Pick("image", "input"), Pick("activation", "maps"), Pick("largest", "value"))
    return Recomputation(model, image, (Step("ActivationMaps", {"layer": layer, "units": list(units)}, picks=picks),), layer, names)


def of_strongest(shown: Recomputation, images: str, sweep: Mapping[str, Any]) -> Recomputation:
    """Return what also recomputes which images drive the units of the layer most, where it is known how the sweep was made."""
    if not sweep.get("parameters"):
        return shown
    called = sweep["layer"]
    picks = (Pick("strongest", f"{called}/top_index"), Pick("activations", f"{called}/top_values"))
    step = Step("DatasetExamples", {**sweep["parameters"], "layers": [called]}, "examples", picks)
    return replace(shown, images=images, steps=(*shown.steps, step))


def of_contributions(
    model: str, image: KeptImage, layer: str, unit: int, position: Sequence[int], names: Mapping[int, str]
) -> Recomputation:
    """Return what recomputes what a unit is made of on the user's image, as `ContributionsOnImage` finds it."""
    step = Step("Contributions", {"layer": layer, "unit": unit, "position": list(position), "maps": 0})
    return Recomputation(model, image, (step,), layer, names)


def of_sweep(
    model: str, images: str, sweep: Mapping[str, Any], unit: int, wanted: Sequence[str], layer: str, names: Mapping[int, str]
) -> Recomputation | None:
    """Return what recomputes a unit's part of a sweep, or None when it is not known how the sweep was made.

    Only the unit's layer is swept again: what a sweep finds of a layer does not depend on which others it looks at.

    Parameters
    ----------
    sweep
        ``parameters`` of `DatasetExamples`, and the ``layer`` as it is called there.
    wanted
        Names of arrays of `DatasetExamples`, without the layer's.
    """
    if not sweep.get("parameters"):
        return None
    called = sweep["layer"]
    picks = tuple(Pick(name, f"{called}/{name}", unit, is_unit=True) for name in wanted)
    return Recomputation(model, images, (Step("DatasetExamples", {**sweep["parameters"], "layers": [called]}, picks=picks),), layer, names)
