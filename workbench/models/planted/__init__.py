"""Networks whose circuits are known, because they were put there: an analysis that is right finds them, and nothing else.

Each opens as ``bundled:planted/NAME`` and says in `TracedModel.circuit` what is true of it; ``main.py list circuit`` prints that.

>>> model = workbench.load("bundled:planted/curve_net")
>>> model.circuit.units["curve_relu:2"]
{'feature': 'curve', 'orientation': 90.0, 'radius': 18.0}
"""

from workbench.models.planted import (
    attention,
    curve,
    diffusion,
    gates,
    high_low,
    hue_line,
    motifs,
    polysemantic,
    rotated_family,
    sums,
)
from workbench.models.planted.network import PLANTED

__all__ = [
    "PLANTED",
    "attention",
    "curve",
    "diffusion",
    "gates",
    "high_low",
    "hue_line",
    "motifs",
    "polysemantic",
    "rotated_family",
    "sums",
]
