"""The hypothesis of Curve Circuits, made for one unit: a curve is computed from lines that stand as tangents along its arc.

The unit's preferred direction and radius, and the preferred directions of the units before it, are measured with stimuli. The cells that
its kernel reads on the arc are put together by the direction of the tangent there; below the curve stands, for each such piece, a node of
the line detectors that fit the tangent (which excite) and one of those that run across it (which inhibit), at these cells and no others.
Below the lines stand the Gabor filters of the same direction, where the network has a layer of them still. All turn together, so every node
is claimed to carry one thing, the direction of the curve.

Cammarata et al., "Curve Circuits" (Distill 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workbench.hypothesis import Hypothesis, Node
from workbench.input_error import InputError
from workbench.kernel_ground import Ground
from workbench.kernel_templates import TEMPLATES
from workbench.models.affine import before_activation
from workbench.models.cells import Cell, is_map, looks
from workbench.models.expanded import centre
from workbench.models.layer import Unit
from workbench.models.nearest_source import nearest_source
from workbench.models.receptive_field import receptive_field
from workbench.tuned.probes import Probe, probe_of, scaled
from workbench.tuned.scores import Scores, measured

if TYPE_CHECKING:
    from workbench.hypothesis import Offsets
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

STRAIGHT, CURVED = 0.6, 0.4
"""R2 of the tuning to lines, and to curves, from which a unit is called a detector."""
BESIDE = 22.5
"""Degrees between a detector's line and the tangent up to which it fits; and between it and what runs across."""
ON_ARC = 0.5
"""Of the strength in the middle of the arc: a cell with less is not on it."""
PIECES = 5
"""Pieces of the arc, at most; more make no claim that is finer than detectors are."""
PIECE = 10.0
"""Degrees that tangents of one piece differ by, at least."""
TURN = "= floor(orientation / 15)"
WITH_RADIUS = f"{TURN} + 100 * round(radius * 1000)"
RIVALS = (
    ("orientation and radius", WITH_RADIUS),
    ("orientation, radius and place", f"{WITH_RADIUS} + 1000000 * (round(x * 500) + 1000 * round(y * 500))"),
    ("what the units do, in 5 bins", "activation / 5"),
)
"""Richer claims that the curve's direction is compared with, each for all nodes."""


@dataclass(frozen=True)
class CurveTemplate:
    """A hypothesis about a curve detector, and what to test it on.

    Attributes
    ----------
    hypothesis
        The tree.
    lines
        The layer whose units are its lines, and those that are line detectors.
    stimuli
        Reference of curves around the one that the unit prefers: all directions, three radii, nine places.
    about
        What was measured, in a sentence.
    """

    hypothesis: Hypothesis
    lines: tuple[str, tuple[int, ...]]
    stimuli: str
    about: str


@dataclass(frozen=True, eq=False)
class _Detectors:
    """Units of a layer that respond to straight lines, and their directions in degrees."""

    layer: str
    units: npt.NDArray[np.int64]
    angles: npt.NDArray[np.float64]

    def near(self, angle: float) -> npt.NDArray[np.int64]:
        """Return those whose line is at most `BESIDE` from a direction."""
        return self.units[np.abs((self.angles - angle + 90) % 180 - 90) <= BESIDE]

    def address(self, units: npt.NDArray[np.int64]) -> str:
        """Write units of the layer as one address."""
        return f"{self.layer}:{','.join(map(str, units.tolist()))}"


def curve_template(model: TracedModel, unit: Unit, step: Callable[[], None] = lambda: None) -> CurveTemplate:
    """Measure a unit and those before it, and write the hypothesis.

    Raises
    ------
    InputError
        When the network reads no images, the unit is not tuned to curves or has no place in an image, or no units before it detect lines.
    """
    if not model.sees:
        raise InputError(f"{model.name} reads no images")
    layer = model.layer(unit.layer)
    unit = Unit(layer.name, unit.index)
    if not is_map(layer):
        raise InputError(f"{layer.name} has no rows and columns; choose a unit of a feature map")
    layer.check((unit.index,))
    looks(model.graph, layer.name, "input")  # what cannot be followed is said before anything is measured
    probe, scores, field = _measured(model, layer, "curves", step)
    r2 = float(np.nan_to_num(scores.r2[unit.index]))
    if r2 < CURVED:
        raise InputError(f"{unit} is not tuned to curves (R² {r2:.2f}, at least {CURVED:g} is needed); choose a curve detector")
    lines = _nearest_lines(model, unit, step)
    gabors: _Detectors | None = None
    if nearest_source(model.graph, before_activation(model.graph, Unit(lines.layer, int(lines.units[0]))).layer) is not None:
        gabors = _nearest_lines(model, Unit(lines.layer, int(lines.units[0])), step)
    best, bulge = probe.conditions[scores.condition[unit.index]], float(scores.preferred[unit.index])
    side = min(model.preprocessing.size)
    cell = looks(model.graph, lines.layer, "input").step[0] / side
    children: list[Node] = []
    for number, (offsets, tangent) in enumerate(_pieces(model, unit, lines.layer, bulge, float(best["radius"]) / cell)):
        for name, angle in (("tangents", tangent), ("across", tangent + 90)):
            units = lines.near(angle)
            if not len(units):
                continue
            look = looks(model.graph, unit.layer, lines.layer).at(_middle(layer))
            cells = [(look[0] + down, look[1] + right) for down, right in offsets]
            below = _gabors(model, lines, gabors, angle, f"under {name} {number + 1}", cells)
            children.append(Node(f"{name} {number + 1}, {angle % 180:.0f}°", lines.address(units), TURN, offsets, below))
    if not any(child.name.startswith("tangents") for child in children):
        raise InputError(f"no line detector of {lines.layer} fits a tangent of {unit}, which bulges to {bulge:.0f}°")
    stimuli = _stimuli(best, field)
    about = (
        f"{unit} bulges to {bulge:.0f}° (R² {r2:.2f}); {len(lines.units)} units of {lines.layer} detect lines"
        + (f", {len(gabors.units)} of {gabors.layer} below them." if gabors is not None else "; no layer of Gabor filters is below it.")
    )
    root = Node(str(unit), str(unit), "all", (), tuple(children))
    hypothesis = Hypothesis(root, f"Curve {unit}", model.ref, stimuli, tuple(f"*={feature}" for _, feature in RIVALS))
    return CurveTemplate(hypothesis, (lines.layer, tuple(lines.units.tolist())), stimuli, about)


def _measured(model: TracedModel, layer: Layer, feature: str, step: Callable[[], None]) -> tuple[Probe, Scores, float]:
    """Return the stimuli of a kind that fit a layer, its scores on them, and the size of its receptive field, of the side."""
    field, middle = scaled(model, receptive_field(model, layer))
    probe = probe_of(feature, field, middle, min(model.preprocessing.size), 24 if feature == "curves" else 12)
    return probe, measured(model, layer, probe, None, field, 0, step)[1], field


def _nearest_lines(model: TracedModel, unit: Unit, step: Callable[[], None]) -> _Detectors:
    """Return the line detectors of the nearest layer before a unit that has any."""
    at: str | None = before_activation(model.graph, unit).layer
    while (at := nearest_source(model.graph, at)) is not None and is_map(model.layer(at)):  # type: ignore[arg-type]
        _, scores, _ = _measured(model, model.layer(at), "lines", step)
        found = np.flatnonzero(np.nan_to_num(scores.r2) >= STRAIGHT)
        if len(found):
            return _Detectors(at, found, scores.preferred[found])
        at = before_activation(model.graph, Unit(at, 0)).layer
    raise InputError(f"no layer before {unit} has units tuned to lines (R² of at least {STRAIGHT:g})")


def _pieces(model: TracedModel, unit: Unit, source: str, bulge: float, radius: float) -> list[tuple[Offsets, float]]:
    """Return the cells of the arc that a unit reads, by pieces of alike tangents, and the direction of each piece's tangent.

    Parameters
    ----------
    radius
        Of the curve, in cells of the source.
    """
    window = np.array(looks(model.graph, unit.layer, source).window())
    rows, columns = (len(np.unique(window[:, axis])) for axis in (0, 1))
    down, right = (window[:, axis].reshape(rows, columns).astype(np.float64) for axis in (0, 1))
    curve = TEMPLATES["curve"]
    drawn = curve.checked(Ground((rows, columns), 1, angles=np.zeros(1)), {"orientation": bulge % 360, "radius": min(max(radius, 1), 1000)})
    strength, tangent = curve.lines(drawn, right, -down)
    there = strength >= ON_ARC * strength.max()
    turned = (tangent - bulge - 90 + 90) % 180 - 90  # from the tangent in the middle
    low, high = float(turned[there].min()), float(turned[there].max())
    count = max(1, min(PIECES, round((high - low) / PIECE)))
    place = np.minimum(((turned - low) / max(high - low, 1e-9) * count).astype(int), count - 1)
    found = []
    for piece in range(count):
        inside = there & (place == piece)
        if inside.any():
            offsets = tuple((int(y), int(x)) for y, x in zip(down[inside], right[inside], strict=True))
            if offsets := _on_map(model, unit.layer, source, [_middle(model.layer(unit.layer))], offsets):
                found.append((offsets, float(bulge + 90 + turned[inside].mean()) % 180))
    return found


def _middle(layer: Layer) -> Cell:
    """Return the cell in the middle of a map, where the root of a hypothesis stands."""
    row, column = centre(layer)
    return row, column


def _on_map(model: TracedModel, above: str, below: str, cells: Sequence[Cell], offsets: Offsets) -> Offsets:
    """Return the offsets that meet a cell of a map from where each of these cells looks; the others would mean its padding."""
    look = looks(model.graph, above, below)
    places = [look.at(cell) for cell in cells]
    rows, columns = model.layer(below).positions
    return tuple(o for o in offsets if all(0 <= y + o[0] < rows and 0 <= x + o[1] < columns for y, x in places))


def _gabors(
    model: TracedModel, lines: _Detectors, gabors: _Detectors | None, angle: float, name: str, cells: Sequence[Cell]
) -> tuple[Node, ...]:
    """Return the node of Gabor filters that lines of a direction at these cells are made of, at all the cells that they read."""
    if gabors is None or not len(units := gabors.near(angle)):
        return ()
    window = _on_map(model, lines.layer, gabors.layer, cells, looks(model.graph, lines.layer, gabors.layer).window())
    if not window:
        return ()
    return (Node(f"Gabors {name}, {angle % 180:.0f}°", gabors.address(units), TURN, window),)


def _stimuli(best: np.void, field: float) -> str:
    """Return the reference of curves around the one that a unit prefers."""
    off = 0.04 * field
    options = {
        "orientations": "24",
        "radius": ",".join(f"{float(best['radius']) * share:.4g}" for share in (0.7, 1, 1.4)),
        "x": ",".join(f"{float(best['x']) + step:.4g}" for step in (-off, 0, off)),
        "y": ",".join(f"{float(best['y']) + step:.4g}" for step in (-off, 0, off)),
        "width": f"{float(best['width']):.4g}",
        "length": f"{float(best['length']):.4g}",
        "ink_lightness": f"{float(best['ink_lightness']):g}",
        "ground_lightness": f"{float(best['ground_lightness']):g}",
    }
    return "stimuli:curves?" + "&".join(f"{name}={value}" for name, value in options.items())
