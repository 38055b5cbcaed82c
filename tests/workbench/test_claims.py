"""What is said of every node before anything is scrubbed, and the curve hypothesis that is measured on the planted curve detectors."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import workbench
from workbench.analyses.causal_scrubbing import CausalScrubbing
from workbench.claims import Data, inspected
from workbench.hypothesis import Node
from workbench.images.image_set import load_images
from workbench.input_error import InputError
from workbench.jobs.scrubbing_requests import InspectHypothesis
from workbench.models.cells import looks
from workbench.models.layer import Unit
from workbench.models.traced_model import TracedModel
from workbench.scrubbing import faults
from workbench.task import Task
from workbench.tuned.curve_hypothesis import _pieces, curve_template


@pytest.fixture(scope="module")
def planted():
    model = workbench.load("bundled:planted/and_or_net")
    assert model.circuit is not None
    return model, load_images(model.circuit.images)


def test_every_node_is_looked_at_and_each_fault_is_at_its_own(planted) -> None:
    model, images = planted
    root = Node(
        "XOR",
        "head:2",
        children=(
            Node("lying", "saturate:0", "orientation"),
            Node("colour", "saturate:1", "ink_hue / 8"),
            Node("gone", "nowhere:0"),
            Node("doing", "saturate:2", "activation / 2"),
            Node("late", "relu:0", children=(Node("again", "head:2"),)),
        ),
    )
    cards = {card.name: card for card in inspected(model, root, Data.drawn(images, 100, 0))}
    assert list(cards) == ["XOR", "lying", "colour", "gone", "doing", "late", "again"]
    assert (cards["lying"].labels, cards["lying"].least, cards["lying"].itself, cards["lying"].reason) == (2, 4, 0.25, "")
    assert cards["colour"].field == "feature" and "bin 2 of 8 is empty" in cards["colour"].reason
    assert cards["gone"].field == "units" and "nowhere" in cards["gone"].reason
    assert (cards["doing"].labels, cards["doing"].reason) == (0, ""), "what units do is not computed for a glance"
    assert "a cycle" in cards["again"].reason
    classes = ",".join(str(place) for place in range(len(model.labels)))
    asked = InspectHypothesis("m", "i", Node("gone", f"nowhere:{classes}"), 100, loss="cross_entropy")
    (card,) = asked.run(SimpleNamespace(model=lambda *_, **__: model, images=lambda *_: images), Task())  # type: ignore[arg-type]
    assert card.field == "units" and "nowhere" in card.reason
    assert InspectHypothesis("m", "i", root).key == InspectHypothesis("m", "", root).key, "the newest counts"


def test_cells_are_followed_through_strides_and_padding() -> None:
    inception = workbench.load("bundled:inception").graph
    pooled = looks(inception, "conv2d2", "conv2d0")
    assert (pooled.step, pooled.size, pooled.at((8, 3))) == ((2, 2), (7, 7), (16, 6))
    assert len(looks(inception, "conv2d2", "conv2d1").window()) == 9
    for late, why in (("avgpool", "adaptive_avg_pool2d .* does not keep cells apart"), ("softmax2", "no rows and columns")):
        with pytest.raises(InputError, match=why):
            looks(inception, late, "conv2d0")
    with pytest.raises(InputError, match="conv2d2 does not feed conv2d0"):
        looks(inception, "conv2d0", "conv2d2")


def test_a_curve_is_tangents_along_its_arc() -> None:
    model = workbench.load("bundled:planted/curve_net")
    made = curve_template(model, Unit("curve_relu", 2))
    assert made.lines == ("gabor_relu", tuple(range(16)))
    nodes = made.hypothesis.root.children
    assert len(nodes) == 10 and {node.feature for node in nodes} == {"= floor(orientation / 15)"}
    for tangents, across in zip(nodes[::2], nodes[1::2], strict=True):
        middle = np.mean([right for _, right in tangents.offsets])
        tangent = np.rad2deg(np.arctan(-middle / 21))  # of an arch of that radius, at that place
        own = [11.25 * int(unit) for unit in tangents.units.partition(":")[2].split(",")]
        beside = [(angle - tangent + 90) % 180 - 90 for angle in own]
        assert max(map(abs, beside)) < 22.5 + 6 and abs(np.mean(beside)) < 8
        assert tangents.offsets == across.offsets and not set(tangents.units.split(",")) & set(across.units.split(","))
    found = CausalScrubbing(hypothesis=json.dumps(made.hypothesis.root.document()), images=120, examples=16, batch=16)
    result = found.run(model, load_images(made.stimuli))
    assert {row["name"]: row["recovered"] for row in result.summary["rows"]}["identity"] == pytest.approx(1, abs=1e-6)
    with pytest.raises(InputError, match=r"gabor_relu:0 is not tuned to curves|no layer before"):
        curve_template(model, Unit("gabor_relu", 0))


def test_no_piece_of_an_arc_stands_on_padding() -> None:
    """The middle of a small late map reads beyond the early one's edges."""
    parts = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), *(nn.Conv2d(4, 4, 5, stride=2, padding=2) for _ in range(3)))
    model = TracedModel.from_module(parts.eval(), torch.rand(2, 3, 16, 16))
    pieces = _pieces(model, Unit("4", 0), "0", 90.0, 6.0)
    children = tuple(Node(f"piece {number}", "0:0", "all", offsets) for number, (offsets, _) in enumerate(pieces))
    assert max(len(piece) for piece, _ in pieces) > 1
    assert len(looks(model.graph, "4", "0").window()) > 16 * 16, "it reads padding"
    assert list(faults(model, Node("root", "4:0", children=children))) == []
