"""Detectors of fine texture beside coarse, made of oriented energy at two frequencies."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.models.known_circuit import KnownCircuit
from workbench.models.planted.kernels import gabor, offsets
from workbench.models.planted.network import PlantedNetwork, edges, register_planted

SIDES = (20, 110, 200, 290)
"""Where the fine texture is, in degrees."""
WAVES = {4.0: 2.0, 16.0: 4.5}
"""Wavelengths in pixels, and the standard deviations of the windows they are seen through."""
ORIENTATIONS, PHASES = (0, 45, 90, 135), (0, 90, 180, 270)
ENERGY_SIDE, BOUNDARY_SIDE, IMAGE_SIDE = 17, 5, 48
"""In pixels; of the second, in cells of `STRIDE` pixels."""
STRIDE = 2
SURE = 6.0
"""How many times the response of the right detector is its logit."""


@register_planted("high_low_net", "oriented energy at two frequencies, 4 detectors of fine beside coarse texture, and units that are none")
def high_low_net() -> PlantedNetwork:
    """Make detectors of which side is fine, beside units of fine texture, of coarse texture and of lines, and decide which side it is.

    References
    ----------
    Schubert et al., "High-Low Frequency Detectors", Distill 2021.
    """
    kinds = [(wave, angle, phase) for wave in WAVES for angle in ORIENTATIONS for phase in PHASES]
    energy = nn.Conv2d(3, len(kinds), ENERGY_SIDE, STRIDE, ENERGY_SIDE // 2, bias=False)
    kernels = torch.stack([gabor(angle, ENERGY_SIDE, wave, WAVES[wave], phase) for wave, angle, phase in kinds])
    energy.weight.copy_((kernels / kernels.abs().sum((1, 2), keepdim=True))[:, None] / 3)  # so that both answer alike to what they like
    fine = torch.tensor([1.0 if wave == min(WAVES) else -1.0 for wave, *_ in kinds])
    planted = [side[None] * fine[:, None, None] for side in map(_side, SIDES)]
    window = _side(0).abs()
    alone = [(sign * fine).clamp(min=0)[:, None, None] * window for sign in (1, -1)]
    lines = [torch.tensor([float(kind[1] == angle) for kind in kinds])[:, None, None] * window for angle in ORIENTATIONS]
    boundary = nn.Conv2d(len(kinds), len(planted) + len(alone) + len(lines), BOUNDARY_SIDE, padding=BOUNDARY_SIDE // 2)
    boundary.weight.copy_(torch.stack([*planted, *alone, *lines]) / 4)
    boundary.bias.zero_()  # type: ignore[union-attr]
    decision = nn.Linear(len(boundary.weight), len(SIDES), bias=False)
    decision.weight.copy_(SURE * torch.eye(len(SIDES), len(boundary.weight)))
    net = nn.Sequential(
        OrderedDict(
            energy=energy,
            energy_relu=nn.ReLU(),
            boundary=boundary,
            boundary_relu=nn.ReLU(),
            pool=nn.AdaptiveMaxPool2d(1),
            flatten=nn.Flatten(),
            decision=decision,
        )
    )
    units: dict[str, dict[str, object]] = {
        f"energy_relu:{place}": {"feature": "grating", "wavelength": wave, "orientation": float(angle), "phase": float(phase)}
        for place, (wave, angle, phase) in enumerate(kinds)
    }
    units |= {f"boundary_relu:{place}": {"feature": "high_low", "orientation": float(side)} for place, side in enumerate(SIDES)}
    circuit = KnownCircuit(
        "Which units tell on which side of a boundary the fine texture is?",
        f"stimuli:high_low?orientation={','.join(map(str, SIDES))}&stripe_directions=4&phases=8"
        + "".join(f"&{name}={IMAGE_SIDE / wave:g}" for name, wave in zip(("high", "low"), WAVES, strict=True)),
        units,
        edges("energy_relu", "boundary_relu", boundary.weight[: len(SIDES)]),
        {"family": [f"boundary_relu:{place}" for place in range(len(SIDES))]},
    )
    return PlantedNetwork(net, IMAGE_SIDE, tuple(map(str, SIDES)), circuit)


def _side(angle: float) -> Float[Tensor, "y x"]:
    """Return 1 on one side of a boundary and -1 on the other, in a disc."""
    right, up = offsets(BOUNDARY_SIDE)
    along = right * math.cos(math.radians(angle)) + up * math.sin(math.radians(angle))
    return torch.tanh(along) * (torch.hypot(right, up) <= BOUNDARY_SIDE / 2)
