"""Circuit motifs between two layers."""

from __future__ import annotations

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.models.known_circuit import KnownCircuit
from workbench.models.planted.kernels import offsets, smooth_kernels
from workbench.models.planted.network import PlantedNetwork, edges, register_planted

FAMILIES, COLOURS, EACH, SIDE = 8, 16, 8, 9
NOISE = 0.02


class Branches(nn.Module):
    """A branch for shape and a branch for colour, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = nn.Conv2d(3, 4 * FAMILIES, SIDE, bias=False)
        self.colour = nn.Conv2d(3, COLOURS, SIDE, bias=False)

    def forward(self, x: Float[Tensor, "batch 3 y x"]) -> Float[Tensor, "batch unit y2 x2"]:
        """Return the units of both, shape first."""
        return torch.cat([self.shape(x), self.colour(x)], 1)


@register_planted("motif_net", "8 of each motif: invariance, union, opposite pair; and two branches")
def motif_net() -> PlantedNetwork:
    """Make a layer of two branches (turned grey patterns; patches of colour), and one of motifs and of 16 random units above it.

    *Invariance*: a unit that adds up a pattern's four turns. *Union*: two features that have nothing in common. *Opposite*: two units with
    one set of weights and both signs. All weights have noise of standard deviation 0.02 on top.
    """
    features = Branches()
    inputs = 4 * FAMILIES + COLOURS
    right, up = offsets(SIDE)
    rows: list[Tensor] = []
    facts: dict[str, list[object]] = {"invariance": [], "union": [], "opposite": []}

    def plant(row: Tensor) -> str:
        rows.append(row)
        return f"relu2:{len(rows) - 1}"

    for family in range(FAMILIES):
        turns = range(4 * family, 4 * family + 4)
        row = torch.zeros(inputs)
        row[list(turns)] = 1.0
        facts["invariance"].append({"unit": plant(row), "inputs": [f"relu1:{turn}" for turn in turns]})
    for i in range(EACH):
        row = torch.zeros(inputs)
        cases = [4 * i, 4 * FAMILIES + 2 * i]
        row[cases] = 1.0
        facts["union"].append({"unit": plant(row), "inputs": [f"relu1:{case}" for case in cases]})
    for _ in range(EACH):
        row = torch.randn(inputs) * (torch.rand(inputs) < 0.2)
        facts["opposite"].append([plant(row), plant(-row)])
    for _ in range(2 * EACH):
        plant(torch.randn(inputs) * 0.3)
    motifs = nn.Conv2d(inputs, len(rows), 1, bias=False)
    grey = smooth_kernels(FAMILIES, SIDE).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    features.shape.weight.copy_(torch.stack([torch.rot90(base, turn, (1, 2)) for base in grey for turn in range(4)]))
    hues = torch.randn(COLOURS, 3)
    hues -= hues.mean(1, keepdim=True)
    features.colour.weight.copy_(hues[:, :, None, None] * torch.exp(-(right**2 + up**2) / 8))
    for kernels in (features.shape.weight, features.colour.weight):
        kernels /= kernels.flatten(1).norm(dim=1)[:, None, None, None]
    motifs.weight[:, :, 0, 0] = torch.stack(rows) + NOISE * torch.randn(len(rows), inputs)
    net = nn.Sequential(
        OrderedDict(
            features=features,
            relu1=nn.ReLU(),
            motifs=motifs,
            relu2=nn.ReLU(),
            pool=nn.AdaptiveMaxPool2d(1),
            flatten=nn.Flatten(),
        )
    )
    circuit = KnownCircuit(
        "Which units of motifs are invariant, unions or opposites, and what is each branch for?",
        "emoji",
        {f"relu1:{i}": {"branch": "shape", "family": i // 4, "turn": i % 4 * 90} for i in range(4 * FAMILIES)}
        | {f"relu1:{i}": {"branch": "colour"} for i in range(4 * FAMILIES, inputs)},
        edges("relu1", "relu2", torch.stack(rows[: FAMILIES + EACH])),
        facts,
    )
    return PlantedNetwork(net, 33, tuple(f"motif {i}" for i in range(len(rows))), circuit)
