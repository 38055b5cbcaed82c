"""Which weights a circuit needs, and its edges from the arrays of expanded weights."""

import math
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from workbench.analyses.expanded_weights import ExpandedWeights
from workbench.circuit import Circuit, Edge
from workbench.circuit_weights import (
    edges_between,
    pairs_to_connect,
    parameters,
    rows_of,
    runs_of,
    source_for,
    strongest_inputs,
    weight_between,
    with_weights,
)
from workbench.images.array_set import ArraySet
from workbench.models.layer import Layer
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel

ARRAYS = {
    "units": np.array([4, 9], np.int32),  # targets 4 and 9 of three sources
    "sum": np.array([[1.0, -2.0, 0.0], [3.0, 0.0, 5.0]], np.float32),
    "contribution": np.array([[0.5, 2.0, np.nan], [0.1, 0.0, 0.9]], np.float32),
}
LAYERS = ["conv2d2", "mixed3a.1x1", "mixed3a", "mixed3b"]


def test_rows_are_in_the_networks_order_and_unknown_layers_stand_last():
    circuit = Circuit(units=("x:0", "mixed3b:1", "conv2d2:3", "mixed3b:0"))
    assert rows_of(circuit, LAYERS) == {"conv2d2": ["conv2d2:3"], "mixed3b": ["mixed3b:1", "mixed3b:0"], "x": ["x:0"]}


def test_the_strongest_inputs_are_those_that_contribute_most_with_the_sum_as_weight():
    assert strongest_inputs(ARRAYS, "a", "b:4", 5) == [Edge("a:1", "b:4", -2.0), Edge("a:0", "b:4", 1.0)], "a dead source is none"
    (strongest,) = strongest_inputs(ARRAYS, "a", "b:4,9", 1)
    assert strongest.ends == ("a:1", "b:4,9") and strongest.weight == -1.0, "averaged over the family's units"


def test_edges_are_those_with_a_weight():
    edges = edges_between(ARRAYS, ["a:0", "a:1", "a:2"], ["b:4", "b:9"])
    assert [(edge.ends, edge.weight) for edge in edges] == [
        (("a:0", "b:4"), 1.0), (("a:1", "b:4"), -2.0), (("a:0", "b:9"), 3.0), (("a:2", "b:9"), 5.0),
    ]  # fmt: skip
    assert weight_between(ARRAYS, "a:0,2", "b:9") == 8.0


def test_a_weight_that_comes_anew_leaves_what_a_trace_found():
    traced = Circuit().with_edges([Edge("a:0", "b:4", math.nan, 0.25, 0.5)])
    after = with_weights(traced, [Edge("a:0", "b:4", 1.0), Edge("a:1", "b:4", 2.0)], {"images": 64})
    assert after.edges[0] == Edge("a:0", "b:4", 1.0, 0.25, 0.5) and len(after.edges) == 2
    assert after.figures == {"weights": {"images": 64}}


def test_weights_of_the_edges_that_are_there_leave_what_was_measured():
    edges = [Edge("a:0", "b:4", math.nan, 0.25, 0.5), Edge("a:1", "b:4")]
    measured = replace(Circuit().with_edges(edges), figures={"faithfulness": 0.9, "chosen_on": [1, 5], "weights": {"images": 8}})
    same = with_weights(measured, [Edge("a:0", "b:4", 1.0)], {"images": 64})
    assert same.figures == {"faithfulness": 0.9, "chosen_on": [1, 5], "weights": {"images": 64}} and len(same.edges) == 2
    more = with_weights(measured, [Edge("a:0", "b:4", 1.0), Edge("a:2", "b:4", 1.0)], {"images": 64})
    assert more.figures == {"chosen_on": [1, 5], "weights": {"images": 64}}, "another circuit, but chosen on the same images"


def test_of_runs_that_differ_only_what_they_share_is_kept():
    run = {"images": 64, "path": "all", "gate": "mean"}
    first = with_weights(Circuit(), [Edge("a:0", "b:4", 1.0)], run)
    both = with_weights(first, [Edge("a:1", "b:4", 1.0)], run | {"path": "direct"})
    assert first.figures == {"weights": run} and both.figures == {"weights": {"images": 64, "gate": "mean"}}
    assert runs_of(both, ["a", "b"]) == [], "one call cannot give both"
    anew = with_weights(both, both.edges, run)
    assert anew.figures == {"weights": run} and len(runs_of(anew, ["a", "b"])) == 1
    of_a_file = Circuit().with_edges([Edge("a:0", "b:4", 1.0)])
    assert with_weights(of_a_file, [Edge("a:1", "b:4", 1.0)], run).figures == {"weights": {}}


def test_each_layer_is_connected_to_the_module_before_its_own():
    assert pairs_to_connect(["conv2d2", "mixed3a.1x1", "mixed3a.3x3", "mixed3b"]) == [
        ("conv2d2", "mixed3a.1x1"), ("conv2d2", "mixed3a.3x3"), ("mixed3a.1x1", "mixed3b"), ("mixed3a.3x3", "mixed3b"),
        ("mixed3a.1x1", "mixed3a.3x3"),
    ]  # fmt: skip
    assert pairs_to_connect(["conv2d2"]) == []


def test_inputs_are_taken_from_the_nearest_layer_that_is_not_pooled():
    layers = [Layer(name, kind, (8, 4, 4), 0, role) for name, kind, role in (
        ("input", "input", ""), ("conv2d2", "relu", "post"), ("mixed3a", "cat", ""), ("maxpool4", "max_pool2d", ""),
        ("mixed4a.1x1", "relu", "post"), ("mixed4a", "cat", ""),
    )]  # fmt: skip
    assert source_for(layers, "mixed4a") == "mixed3a" and source_for(layers, "mixed3a") == "conv2d2"
    assert source_for(layers, "conv2d2") == "" and source_for(layers, "nowhere") == ""


def test_the_runs_behind_the_weights_are_named_each_once():
    circuit = Circuit().with_edges(
        [Edge("conv2d2:1", "mixed3a:5", 1.0), Edge("mixed3a:5", "mixed3b:7,2", 1.0), Edge("conv2d2:1", "mixed3a:4", 2.0),
         Edge("conv2d2:1", "mixed3a:6")]
    )  # fmt: skip
    circuit = replace(circuit, figures={"weights": {"path": "direct", "gate": "mean"}})
    assert runs_of(circuit, LAYERS) == [
        parameters("conv2d2", ["mixed3a:4", "mixed3a:5"]) | {"path": "direct"},
        {"source": "mixed3a", "target": "mixed3b", "units": [2, 7], "path": "direct", "gate": "mean"},
    ]


def test_the_edges_of_a_network_are_the_sums_of_its_own_weights():
    torch.manual_seed(0)
    module = nn.Sequential(OrderedDict(first=nn.Conv2d(3, 6, 3, padding=1), act=nn.ReLU(), second=nn.Conv2d(6, 4, 3, padding=1))).eval()
    model = TracedModel.from_module(module, torch.randn(2, 3, 10, 10), preprocessing=Preprocessing((10, 10)))
    images = ArraySet(np.random.default_rng(0).integers(0, 256, (6, 10, 10, 3), np.uint8))
    circuit = Circuit(units=("second:3", "second:1", "act:5", "act:2"))
    result = ExpandedWeights(**parameters("act", rows_of(circuit, list(model.layers))["second"]), images=6).run(model, images)
    known = module.second.weight.detach().double().sum((2, 3)).numpy()
    found = edges_between(result.arrays, ["act:5", "act:2"], ["second:3", "second:1"])
    assert {edge.ends: edge.weight for edge in found} == pytest.approx(
        {(f"act:{s}", f"second:{t}"): known[t, s] for s in (5, 2) for t in (3, 1)}, rel=1e-4
    )
    inputs = strongest_inputs(result.arrays, "act", "second:3", 6)
    assert {edge.source: edge.weight for edge in inputs} == pytest.approx({f"act:{s}": known[3, s] for s in range(6)}, rel=1e-4)
    assert strongest_inputs(result.arrays, "act", "second:1,3", 6)[0].weight == pytest.approx(
        known[[1, 3], int(inputs_of_both(result.arrays))].mean(), rel=1e-4
    )


def inputs_of_both(arrays: dict[str, np.ndarray]) -> int:
    """Return the source that contributes most to both targets on average."""
    return int(np.nanmean(arrays["contribution"], 0).argmax())
