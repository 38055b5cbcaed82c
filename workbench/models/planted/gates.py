"""Logic on three properties of a line: it lies (else it stands), it is red (else blue), it is thick (else thin).

The networks here begin alike: three detectors, pooled over the image and saturated to exactly 0 or 1 in the layer ``saturate``.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import product

import torch
from torch import nn

from workbench.models.known_circuit import KnownCircuit
from workbench.models.planted.kernels import calibrate, line_image, smooth_kernels
from workbench.models.planted.network import PlantedNetwork, edges, register_planted

PROPERTIES = ("lying", "red", "thick")
RED, BLUE = (0.58, 0.29, 0.26), (0.27, 0.38, 0.61)
SIDE, REACH, THICK, THIN = 33, 15, 4.0, 2.0
"""Of the images, the detectors and the lines, in pixels."""
IMAGES = (
    "stimuli:lines?orientation=0,90&ink_hue=29,264&ink_lightness=0.5&ink_chroma=0.1"
    f"&width={THICK / SIDE:.3g},{THIN / SIDE:.3g}"
)
DECOYS = 50
GATES = ("lying and red", "lying plus red", "lying, not red", "red, not lying")


@register_planted("and_or_net", "AND, OR and XOR of two properties of a line")
def and_or_net() -> PlantedNetwork:
    """Make AND, OR and XOR of whether a line lies and whether it is red. OR saturates: of two reasons either is enough."""
    return _and_or(decoys=0)


@register_planted("and_or_net_decoys", "and_or_net among 200 edges that hardly matter")
def and_or_net_decoys() -> PlantedNetwork:
    """Make AND, OR and XOR whose gates also read 50 units that respond to the images, by weights of about 0.005."""
    return _and_or(DECOYS)


def _and_or(decoys: int) -> PlantedNetwork:
    gates, head = nn.Linear(3 + decoys, 4), nn.Linear(4, 3, bias=False)
    gates.weight.normal_(0, 0.005)
    gates.weight[:, :3] = torch.tensor([[1.0, 1, 0], [1, 1, 0], [1, -1, 0], [-1, 1, 0]])
    gates.bias.copy_(torch.tensor([-1.0, 0, 0, 0]))
    head.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [-1, 1, 0, 0], [0, 0, 1, 1]]))
    third = 1 / 3
    circuit = KnownCircuit(
        "Which properties does each output need, and which suffice?",
        IMAGES,
        _properties() | {f"relu:{i}": {"feature": gate} for i, gate in enumerate(GATES)},
        edges("saturate", "relu", gates.weight, least=0.5) + edges("relu", "head", head.weight),
        {
            "decoy_edges": 4 * decoys,
            "recovered_by_scrubbing_with_one_property": {"AND": third, "OR": third, "XOR": 0.0},
        },
    )
    return _network(decoys, ("AND", "OR", "XOR"), circuit, gates=gates, relu=nn.ReLU(), head=head)


@register_planted("diamond_net", "one property feeds two gates, both feed the output")
def diamond_net() -> PlantedNetwork:
    """Make ``(lying and red) + (lying and thick)``, on which a wrong hypothesis tells two ways of scrubbing apart.

    It claims that the first gate computes ``lying`` alone, its inputs being labelled right. When inputs agree with the datum sampled for
    their gate, red becomes random: a squared error of 1/4 against 1 with everything resampled. When they agree with the root's datum, the
    gate gets its true inputs and the error goes unseen.
    """
    gates, head = nn.Linear(3, 2), nn.Linear(2, 1, bias=False)
    gates.weight.copy_(torch.tensor([[1.0, 1, 0], [1, 0, 1]]))
    gates.bias.fill_(-1.0)
    head.weight.fill_(1.0)
    circuit = KnownCircuit(
        "Does each gate compute what is claimed of it?",
        IMAGES,
        _properties() | {"relu:0": {"feature": "lying and red"}, "relu:1": {"feature": "lying and thick"}},
        edges("saturate", "relu", gates.weight) + edges("relu", "head", head.weight),
        {
            "wrong_hypothesis": {"relu:0": "lying"},
            "recovered_agreeing_with_parent": 0.75,
            "recovered_agreeing_with_root": 1.0,
        },
    )
    return _network(0, ("sum",), circuit, gates=gates, relu=nn.ReLU(), head=head)


@register_planted("cancellation_net", "a property that changes every output and no average")
def cancellation_net() -> PlantedNetwork:
    """Make a classifier of red against blue whose score lying moves up or down.

    Scrubbing ``lying`` leaves the mean loss where it was, for as many images gain by it as lose; the outputs of half of them change.
    """
    head = nn.Linear(3, 2)
    # score = 2 (2 red - 1) + (2 lying - 1), half of it to red and half of it taken from blue
    head.weight.copy_(torch.tensor([[-1.0, -2, 0], [1, 2, 0]]))
    head.bias.copy_(torch.tensor([1.5, -1.5]))
    circuit = KnownCircuit(
        "Is red all that the classifier of red against blue computes?",
        IMAGES,
        _properties(),
        edges("saturate", "head", head.weight),
        {"wrong_hypothesis": {"head": "red"}, "recovered_loss": 1.0, "squared_distance_of_random": 0.2},
    )
    return _network(0, ("blue", "red"), circuit, head=head)


def _properties() -> dict[str, dict[str, object]]:
    return {f"saturate:{i}": {"feature": name} for i, name in enumerate(PROPERTIES)}


def _network(decoys: int, labels: tuple[str, ...], circuit: KnownCircuit, **rest: nn.Module) -> PlantedNetwork:
    detect = nn.Conv2d(3, 3 + decoys, REACH, bias=False)
    detect.weight.zero_()
    middle = REACH // 2
    small, large = slice(middle - 1, middle + 2), slice(middle - 2, middle + 3)
    # Ink is darker than its ground: dark along the row and not along the column.
    detect.weight[0, :, middle, :] -= 1.0
    detect.weight[0, :, :, middle] += 1.0
    detect.weight[1, 0, small, small], detect.weight[1, 2, small, small] = 1.0, -1.0
    detect.weight[2, :, large, large] = -1.0
    present = torch.tensor(list(product((True, False), repeat=3)))
    images = torch.stack(
        [
            line_image(0 if lying else 90, THICK if thick else THIN, RED if red else BLUE, 1.0, SIDE)
            for lying, red, thick in present.tolist()
        ]
    )
    detect.weight[3:] = smooth_kernels(decoys, REACH) / 4
    calibrate(detect, images, present, -0.5, 1.5)
    net = nn.Sequential(
        OrderedDict(
            detect=detect,
            pool=nn.AdaptiveMaxPool2d(1),
            flatten=nn.Flatten(),
            saturate=nn.Hardtanh(0.0, 1.0),
            **rest,
        )
    )
    return PlantedNetwork(net, SIDE, labels, circuit)
