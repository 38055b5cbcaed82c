"""What is said of a circuit beside its picture: what its layers are, how its numbers came about, and what computes them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from widgets.circuit_edit import KEPT
from widgets.circuit_measure import ANALYSIS, parameters_of, told
from workbench.circuit import Circuit, layer_of, units_of
from workbench.circuit_weights import rows_of, run_of, runs_of
from workbench.recompute import Recomputation, Step, of_pictures

if TYPE_CHECKING:
    from widgets.circuit_pictures import CircuitPictures
    from workbench.models.layer import Layer

KINDS = {"cat": "concatenation", "add": "sum", "input": "the image"}
GATES = {"mean": "gates at their mean slope", "linear": "linear gates"}


def roles_of(circuit: Circuit, layers: Mapping[str, Layer]) -> dict[str, str]:
    """Say of each layer of a circuit what its units give, and how many there are."""
    known = {name: layers[name] for name in circuit.layers if name in layers}
    return {
        name: f"{f'{layer.role}-activation' if layer.role else KINDS.get(layer.kind, layer.kind)}\n{layer.units} units"
        for name, layer in known.items()
    }


def captions_of(circuit: Circuit) -> list[str]:
    """Return lines that say what must be known to read the figure."""
    lines, run = [], run_of(circuit)
    if KEPT in circuit.figures:
        said = [f"{run['path']} ways"] if "path" in run else []
        said += [GATES[run["gate"]]] if run.get("gate") in GATES else []
        said += [f"n = {run['images']} images of {circuit.images}"] if "images" in run else []
        what = "Weight: sum of the expanded kernel, from the source's output to the target's pre-activation"
        lines.append(f"{'; '.join([what, *([', '.join(said)] if said else [])])}.")
    if measured := told(circuit.figures):
        lines.append(f"{measured[:1].upper()}{measured[1:]}.")
    return lines


def recomputation_of(circuit: Circuit, layers: Sequence[str], pictures: CircuitPictures) -> Recomputation | None:
    """Return what computes weights, measures and pictures again; None where there is nothing of these."""
    steps = [Step("ExpandedWeights", run, f"weights_{place}") for place, run in enumerate(runs_of(circuit, layers))]
    if told(circuit.figures):
        steps.append(Step(ANALYSIS, parameters_of(circuit), "measures"))
    for place, units in enumerate(rows_of(circuit, layers).values()):
        layer, numbers = layer_of(units[0]), [unit.index for address in units for unit in units_of(address)]
        again = of_pictures(circuit.model, layer, pictures.levels(circuit.model, layer, numbers), {})
        for step in again.steps if again is not None else ():
            picks = tuple(replace(pick, variable=f"{pick.variable}_{place}") for pick in step.picks)
            steps.append(replace(step, result=f"{step.result}_{place}", picks=picks))
    return Recomputation(circuit.model, circuit.images or None, tuple(steps)) if steps else None
