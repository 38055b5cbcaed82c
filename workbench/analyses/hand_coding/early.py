"""Which families of early vision a network's first layer has, and each unit written as the template it is most like."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.hand_coding import figures
from workbench.finite import plain
from workbench.input_error import InputError
from workbench.kernel_edits import KernelEdit
from workbench.kernel_ground import Ground
from workbench.kernel_templates import TEMPLATES, Knob, TemplateError
from workbench.models.kernel_site import KernelSite
from workbench.models.layer import Unit
from workbench.random_phases import phased
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

FAMILIES = ("gabor", "line", "curve", "colour_contrast", "centre_surround", "line_end", "boundary")
"""Templates over pixels, in the order in which equal ones count."""
LEAST, MOST = 0.08, 0.8
"""Of the kernel's side: lengths that are tried, whatever larger ones are possible."""
LENGTHS = frozenset("wavelength sigma width size softness centre surround length radius".split())
ROUNDS, NEAR = 5, 60
"""Rounds in which the best template of a unit is varied a little, and how often in each."""


@register
class EarlyFamilies(Analysis):
    """Compare every kernel of the first layer with the templates of early vision, and with what random-weight twins reach.

    A unit's fit to a family is the squared cosine of its kernel (colours and all) with the best of many templates of that family, drawn at
    random over what their parameters may be and then varied: the part of the kernel that the template explains, 0 to 1. A family is
    present where some unit whose best family it is fits better than any kernel of either null fits any family (a maximum over units,
    families and drawings). One null is the kernels of random-weight twins; but they are white, and smooth kernels fit any template better,
    so the other is the layer's own kernels with random phases, which are as smooth and of the same colours. The higher one counts.

    Each unit is written as the template that fits it best. Templates are compared with weights here, not with responses. A template fits as
    well with its sign turned; where no other phase, side or order of hues says that, the unit's ``sign`` is -1.

    Only families that one kernel over pixels can be are asked about: complex Gabor detectors need a layer below, and so do those of
    high-low frequency, which `HandCodedHighLow` looks for.

    Arrays:

    ``fit``
        float64 ``unit family``.
    ``twin_fit`` ``phase_fit``
        float64 ``twin``: the highest of each twin, and of each drawing of phases.
    ``kernel/U`` ``own/U``
        float32 ``channel y x``, for unit U.
    """

    title: ClassVar[str] = "Families of early vision"
    version: ClassVar[int] = 2

    layer: str = Field(default="", description="Layer that reads the image; none: the first that does.")
    draws: int = Field(default=1500, ge=50, le=100_000, description="Templates of each family that are drawn at random.")
    twins: int = Field(default=20, ge=1, le=100, description="Random-weight twins, and drawings of random phases.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the templates and of the first twin.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Draw templates once, compare all kernels with them, then vary the best."""
        layer = model.layer(self.layer).name if self.layer else first_layer(model)
        site, _ = KernelSite.of(model, Unit(layer, 0))
        ground = site.ground(model)
        if ground.over != "pixels":
            raise InputError(f"{layer} reads {site.reads}, not the image; choose the first layer")
        units = model.layer(layer).units
        # In grey, one colour beside another is light beside dark: a boundary.
        families = FAMILIES if ground.channels > 1 else tuple(family for family in FAMILIES if family != "colour_contrast")
        total = len(families) + self.twins + units
        random = np.random.default_rng(self.seed)
        drawn = {}
        for done, family in enumerate(families):
            drawn[family] = draw(family, ground, self.draws, random)
            task.step(done, total, note="drawing templates")
        own = kernels_of(model, layer)
        fits, best = compare(own, drawn)
        highest = np.empty((2, self.twins))
        for place in range(self.twins):
            for null, kernels in enumerate((kernels_of(model.twin(self.seed + place, [layer]), layer), phased(own, random))):
                pairs = zip(kernels, _best(kernels, drawn), strict=True)
                highest[null, place] = max(improve(kernel, drawn, *at, ground, random)[0] for kernel, at in pairs)
            task.step(len(families) + place + 1, total, note="asking random-weight twins and random phases")
        arrays: dict[str, npt.NDArray[Any]] = {"twin_fit": highest[0], "phase_fit": highest[1]}
        rows = []
        for unit in range(units):
            family = families[int(fits[unit].argmax())]
            fit, values, kernel = improve(own[unit], drawn, family, int(best[unit][families.index(family)]), ground, random)
            fits[unit, families.index(family)] = fit
            size, sign = float((own[unit] * kernel).sum()), 1
            if size < 0:
                opposite = turned_over(family, ground, values, kernel)
                values, sign = (values, -1) if opposite is None else (opposite, 1)
            label = f"{family.replace('_', ' ')}, sign turned" if sign < 0 else ""
            edit = KernelEdit(layer, unit, kernel * size, site.kernel(model, unit)[1] if site.shift else 0.0, family, values, label)
            arrays |= {f"kernel/{unit}": edit.kernel, f"own/{unit}": own[unit]}
            row = {"unit": edit.address, "family": family, "fit": plain(fit), "correlation": plain(float(np.sqrt(fit)))}
            rows.append(row | {"present": bool(fit > highest.max()), "sign": sign, "parameters": values, "edit": edit.document()})
            task.step(len(families) + self.twins + unit + 1, total, note="varying the best templates")
        counted = {
            family: {
                "units": sum(row["family"] == family for row in rows),
                "present": sum(row["family"] == family and bool(row["present"]) for row in rows),
                "best": plain(float(fits[:, place].max())),
            }
            for place, family in enumerate(families)
        }
        return arrays | {"fit": fits}, {
            "layer": layer,
            "families": counted,
            "twin_highest": float(highest[0].max()),
            "phase_highest": float(highest[1].max()),
            "twins": self.twins,
            "network": model.name,
            "units": rows,
        }

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the kernels beside the templates they are most like."""
        return {"kernels": figures.kernels(result)}


def first_layer(model: TracedModel) -> str:
    """Return the first layer behind a non-linearity (or before, where there is none) whose kernels read the image.

    Raises
    ------
    InputError
        When there is none.
    """
    for layer in model.layers.values():
        if layer.is_map and layer.units > 3 and layer.role != "pre":
            try:
                site, _ = KernelSite.of(model, Unit(layer.name, 0))
            except InputError:  # made by something else
                continue
            if site.ground(model).over == "pixels" and site.post == layer.name:
                return layer.name
    raise InputError(f"{model.name} has no first layer of kernels that read the image's colours")


def kernels_of(model: TracedModel, layer: str) -> npt.NDArray[np.float32]:
    """Return the kernels of a layer, ``unit channel y x``, normalisation folded in."""
    sites = [KernelSite.of(model, Unit(layer, unit)) for unit in range(model.layer(layer).units)]
    return np.stack([site.kernel(model, index)[0] for site, index in sites])


Drawn = tuple[list[dict[str, float]], npt.NDArray[np.float32]]


def draw(family: str, ground: Ground, number: int, random: np.random.Generator) -> Drawn:
    """Draw templates: their parameters, and the kernels as rows of length 1."""
    values, kernels = [], []
    for _ in range(number):
        one = {knob.name: _drawn(knob, ground, random) for knob in TEMPLATES[family].parameters("pixels")}
        if random.random() < 0.4 or ground.channels == 1:
            one["colour"] = float(family == "colour_contrast")
        written = _written(family, ground, one)
        if written is not None:
            values.append(one)
            kernels.append(written)
    return values, np.stack(kernels)


def _drawn(knob: Knob, ground: Ground, random: np.random.Generator) -> float:
    low, high = max(knob.low, 0.0) if knob.unit == "degrees" else knob.low, knob.high
    if knob.name in LENGTHS:
        side = min(ground.side)
        low, high = max(low, LEAST * side), min(high, (4 if knob.name in ("radius", "length") else MOST) * side)
        return float(np.exp(random.uniform(np.log(low), np.log(max(high, low * 1.01)))))
    return float(random.uniform(low, high))


def _written(family: str, ground: Ground, values: dict[str, float]) -> npt.NDArray[np.float32] | None:
    """Return a kernel; None where its parameters do not fit one another."""
    try:
        return TEMPLATES[family].kernel(ground, values)
    except TemplateError:
        return None


def turned_over(
    family: str, ground: Ground, values: dict[str, float], kernel: npt.NDArray[np.float32]
) -> dict[str, float] | None:
    """Return parameters that write the same kernel with its sign turned: other phase, side or order of hues; None where there are none."""
    tried = [{**values, "hue": values["other_hue"], "other_hue": values["hue"]}]
    tried += [{**values, name: (values[name] + 180) % 360} for name in ("phase", "orientation") if name in values]
    for one in tried:
        written = _written(family, ground, one)
        if written is not None and float((written * kernel).sum()) < -1 + 1e-5:
            return one
    return None


def compare(own: npt.NDArray[np.float32], drawn: dict[str, Drawn]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the best fit of every unit to every family, and which template that is, each ``unit family``."""
    flat = own.reshape(len(own), -1)
    flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    squares = [np.square(flat @ kernels.reshape(len(kernels), -1).T) for _, kernels in drawn.values()]
    return np.stack([one.max(1) for one in squares], 1).astype(np.float64), np.stack([one.argmax(1) for one in squares], 1)


def _best(own: npt.NDArray[np.float32], drawn: dict[str, Drawn]) -> list[tuple[str, int]]:
    fits, best = compare(own, drawn)
    families = list(drawn)
    return [(families[int(row.argmax())], int(at[row.argmax()])) for row, at in zip(fits, best, strict=True)]


def improve(
    own: npt.NDArray[np.float32], drawn: dict[str, Drawn], family: str, at: int, ground: Ground, random: np.random.Generator
) -> tuple[float, dict[str, float], npt.NDArray[np.float32]]:
    """Vary the parameters of a template a little, again and again, and keep what fits better: fit, parameters, kernel."""
    unit = own / max(float(np.linalg.norm(own)), 1e-12)
    fit: Callable[[npt.NDArray[np.float32]], float] = lambda kernel: float((unit * kernel).sum()) ** 2  # noqa: E731
    values, kernel = drawn[family][0][at], drawn[family][1][at]
    highest, knobs = fit(kernel), {knob.name: knob for knob in TEMPLATES[family].parameters("pixels")}
    if ground.channels == 1:
        del knobs["colour"]
    for turn in range(ROUNDS):
        spread = 0.3 / (1 + turn)
        for _ in range(NEAR // ROUNDS):
            near = dict(values)
            for name, knob in knobs.items():
                step = random.normal() * spread
                moved = near[name] * np.exp(step) if name in LENGTHS else near[name] + step * (60 if knob.unit == "degrees" else 0.5)
                near[name] = float(np.clip(moved, knob.low, knob.high))
            written = _written(family, ground, near)
            if written is not None and fit(written) > highest:
                highest, values, kernel = fit(written), near, written
    return highest, values, kernel
