"""The analysis of a hypothesis written as JSON: its rivals, ladder and nulls on planted logic, and what it refuses."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import workbench
import workbench.claims as claims_module
from workbench.analyses.causal_scrubbing import LETTERS, SCORED, CausalScrubbing, _cross_entropy
from workbench.hypothesis import Hypothesis, HypothesisError
from workbench.images.image_set import load_images
from workbench.input_error import InputError
from workbench.jobs.scrubbing_requests import InspectHypothesis
from workbench.models.expanded import centre
from workbench.models.traced_model import TracedModel
from workbench.reports.causal_scrubbing import _told
from workbench.scrubbing import reading
from workbench.task import Task

LYING = {"name": "lying", "units": "saturate:0", "feature": "orientation"}
RED = {"name": "red", "units": "saturate:1", "feature": "= ink_hue < 100"}


def hypothesis(*children: dict[str, Any], root: str = "head:2") -> str:
    return json.dumps({"units": root, "children": list(children)})


@pytest.fixture(scope="module")
def planted():
    model = workbench.load("bundled:planted/and_or_net")
    assert model.circuit is not None
    return model, load_images(model.circuit.images)


def test_a_true_hypothesis_beats_its_rivals_and_its_nulls(planted) -> None:
    asked = CausalScrubbing(hypothesis=hypothesis(LYING, RED), rivals=("red=all", "*=activation / 2"), examples=1500, batch=500)
    result = asked.run(*planted)
    rows = {row["name"]: row for row in result.summary["rows"]}
    assert result.summary["recovered"] == rows["the hypothesis"]["recovered"] >= 0.98
    assert rows["*=activation / 2"]["recovered"] >= 0.98, "what the units do is all there is to them"
    assert rows["red=all"]["recovered"] < 0.2 and rows["no hypothesis"]["recovered"] == pytest.approx(0, abs=0.15)
    assert [row["name"] for row in result.summary["rows"] if row["kind"] == "ladder"] == ["lying"]
    assert rows["identity"]["recovered"] == pytest.approx(1, abs=1e-9) == rows["the units, whole"]["recovered"]
    assert max(rows[f"random units {draw + 1}"]["recovered"] for draw in range(5)) < 0.98
    nodes = {node["name"]: node for node in result.summary["nodes"]}
    assert nodes["red"] == {"name": "red", "units": "saturate:1", "feature": "= ink_hue < 100", "labels": 2, "least": 4, "itself": 0.25}
    assert result.summary["sparse"] == [] and set(result.arrays) >= {"sampled/lying", "sampled/red", "distance"}
    assert CausalScrubbing.draw(result)["recovered"].axes


def test_sparse_bins_are_named(planted) -> None:
    fine = CausalScrubbing(hypothesis=hypothesis(LYING | {"feature": "itself"}, RED), examples=64).run(*planted)
    assert fine.summary["sparse"] == ["lying"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no JSON"),
        ("[]", "no root"),
        (hypothesis({"units": "saturate"}), "node 1, units: "),
        (hypothesis(LYING | {"feature": "colour"}), "lying, feature: no column is named 'colour'"),
        (hypothesis(LYING | {"units": "nowhere:0"}), "lying, units: .*nowhere"),
        (hypothesis(LYING | {"units": "saturate:7"}), "lying, units: saturate has units 0 to 2"),
        (hypothesis(LYING | {"feature": "ink_hue / 8"}), "lying, feature: ink_hue / 8: bin 2 of 8 is empty, no image has ink_hue from 58"),
        (hypothesis(LYING | {"feature": "activation / 3"}), "lying, feature: activation / 3: bin 1 of 3 is empty, 4 of 8 images have"),
        (hypothesis(LYING | {"children": [LYING | {"name": "again"}]}), "again, units: .* as lying: .* a cycle"),
        (hypothesis(LYING | {"offsets": [[0, 1]]}), "lying, offsets: head has no rows and columns"),
        (hypothesis({"name": "late", "units": "head:0"}, root="relu:0"), "late, units: head does not feed relu"),
    ],
)
def test_what_cannot_be_tested_is_refused_at_its_node(planted, text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        CausalScrubbing(hypothesis=text, examples=16).run(*planted)


def test_a_rival_that_cannot_be_tested_says_why_and_keeps_no_other_from_it(planted) -> None:
    result = CausalScrubbing(hypothesis=hypothesis(LYING), rivals=("*=activation / 4", "*=all"), examples=16).run(*planted)
    rows = {row["name"]: row for row in result.summary["rows"] if row["kind"] == "rival"}
    assert rows["*=all"]["recovered"] is not None and "refused" not in rows["*=all"]
    assert rows["*=activation / 4"]["recovered"] is None
    assert rows["*=activation / 4"]["refused"].startswith("lying, feature: activation / 4: bin 1 of 4 is empty")
    assert CausalScrubbing.draw(result)["recovered"].axes


class Told(Task):
    """Keeps what is said of the progress."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        self.notes.append(note)


def test_it_can_be_cancelled_from_the_first_image_on(planted, monkeypatch) -> None:
    model, images = planted
    task = Told()
    asked = CausalScrubbing(hypothesis=hypothesis(LYING, RED), rivals=("*=activation / 2", "lying=activation / 2"), examples=16)
    passes = []
    whole = reading.read
    monkeypatch.setattr(claims_module, "read", lambda *given: passes.append(len(given[2])) or whole(*given))
    asked.compute(model, images, task)
    said = task.notes
    assert said.index("reading the images") < said.index("reading what the units do") < said.index("scrubbing: the hypothesis")
    assert passes == [0, 2, 0], "what units do is read once, for whichever rival"


def test_what_does_not_fit_into_memory_is_refused(planted, monkeypatch) -> None:
    monkeypatch.setattr(claims_module, "MOST_BYTES", 8 * 3 * 8 * 8)
    with pytest.raises(InputError, match=r"8 images of .* pixels need .* draw at most "):
        CausalScrubbing(hypothesis=hypothesis(LYING, RED), examples=16).run(*planted)


def test_a_rival_that_names_no_node_says_so_and_stops_nothing(planted) -> None:
    wrong = (("blue=all", "names no node"), ("red", "not NAME=FEATURE"))
    found = CausalScrubbing(hypothesis=hypothesis(LYING, RED), rivals=tuple(rival for rival, _ in wrong), examples=16).run(*planted)
    refused = {row["name"]: row["refused"] for row in found.summary["rows"] if row["kind"] == "rival"}
    assert all(why in refused[rival] for rival, why in wrong) and found.summary["recovered"] is not None


class Dead(nn.Module):
    """A unit that is the same on all images."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x))


def test_of_a_unit_that_never_changes_nothing_is_said_and_drawn(planted) -> None:
    model = TracedModel.from_module(Dead().eval(), torch.rand(2, 3, 16, 16))
    result = CausalScrubbing(hypothesis=hypothesis({"units": "first:0"}, root="last:0"), examples=16).run(model, planted[1])
    assert {row["recovered"] for row in result.summary["rows"]} == {None}
    said = [text.get_text() for text in CausalScrubbing.draw(result)["recovered"].axes[0].texts]
    assert said == ["Nothing can be said: last:0\nis the same on all images."]


def test_claims_that_are_equal_are_scrubbed_on_the_same_examples(planted) -> None:
    """A rival that claims what the hypothesis does, and one like a null, come out as these to the digit."""
    of_all, asked = LYING | {"feature": "= ink_hue < 100"}, RED
    rivals = ("*== ink_hue < 100", "*=itself", "*=all")
    result = CausalScrubbing(hypothesis=hypothesis(of_all, asked), rivals=rivals, examples=64).run(*planted)
    rows = {row["kind"] if row["kind"] != "rival" else row["name"]: row for row in result.summary["rows"]}
    for rival, twin in zip(rivals, ("hypothesis", "whole", "nothing"), strict=True):
        assert {name: rows[rival][name] for name in SCORED} == {name: rows[twin][name] for name in SCORED}
    assert rows["hypothesis"]["recovered"] != rows["nothing"]["recovered"]


def test_long_names_and_intervals_have_room_in_the_figure(planted) -> None:
    rivals = tuple(f"*== floor(orientation / 90) + 100 * round(width * 1000) + 1000000 * round(ink_hue / {by})" for by in (100, 200))
    result = CausalScrubbing(hypothesis=hypothesis(LYING), rivals=rivals, examples=16).run(*planted)
    alike = [dict(row) for row in result.summary["rows"] if row["kind"] == "rival"]
    for row in alike:
        row["name"] = row["name"].replace("round(width", "floor(width")  # the middle alone differs
    result.summary["rows"] += alike
    for row in result.summary["rows"]:
        row |= {"recovered": 0.5, "recovered_low": 0.2, "recovered_high": 0.8}
    result.summary["rows"][0]["recovered_low"] = -0.8
    bars, points = CausalScrubbing.draw(result)["recovered"].axes
    labels = [label.get_text() for label in bars.get_yticklabels()]
    assert max(map(len, labels)) <= LETTERS + len(" (2)") and len(set(labels)) == len(labels)
    assert "rival *== floor(orientat … " in " ".join(labels)
    assert bars.get_xlim()[0] == pytest.approx(-0.85) and points.get_ylabel() == "scrubbed"


def test_rows_are_told_apart_by_kind(planted) -> None:
    result = CausalScrubbing(hypothesis=hypothesis(LYING | {"name": "random units"}, RED | {"name": "identity"}), examples=16).run(*planted)
    kinds = [row["kind"] for row in result.summary["rows"]]
    assert kinds[:5] == ["hypothesis", "ladder", "identity", "whole", "nothing"] and set(kinds[5:]) == {"random"}


def test_the_report_tells_a_figure_without_an_interval() -> None:
    row = {"recovered": 0.5, "recovered_low": None, "recovered_high": None}
    assert _told(row) == "0.50 (no interval: all examples are of one concept)"


def test_the_centre_of_a_sequence_of_patches_is_its_middle_patch() -> None:
    model = workbench.load("bundled:vit")
    shown = load_images("stimuli:curves?orientations=8&radius=0.277")
    layer = model.layer("blocks.1")
    asked = CausalScrubbing(
        hypothesis=json.dumps({"units": f"{layer.name}:5", "children": [{"units": "blocks.0:1,2"}]}), images=8, examples=16, batch=16
    )
    result = asked.run(model, shown)
    inputs = model.preprocess(np.stack([shown.image(index, model.preprocessing.size) for index in range(8)]))
    middle = centre(layer)
    assert middle != (layer.positions[0] // 2,)
    value = layer.arrange(model.activations(inputs, [layer.name])[layer.name])[(slice(None), 5, *middle)]
    assert result.arrays["clean"] == pytest.approx(value[result.arrays["image"]].numpy(), abs=1e-4)


def test_a_loss_that_hides_moved_outputs_says_so() -> None:
    model = workbench.load("bundled:planted/cancellation_net")
    assert model.circuit is not None
    images = load_images(model.circuit.images)
    images.columns["class"] = [model.labels[int(float(hue) < 100)] for hue in images.columns["ink_hue"]]
    root = f"{model.graph.output}:{','.join(map(str, range(len(model.labels))))}"
    asked = CausalScrubbing(hypothesis=hypothesis(RED, root=root), loss="cross_entropy", read="values", examples=2000, batch=1000)
    found = asked.run(model, images).summary
    assert found["recovered"] == pytest.approx(model.circuit.facts["recovered_loss"], abs=0.08)
    assert found["recovered_distance"] < found["recovered"] - 0.1 and "the mean hides it" in found["hides"]
    kept_result = asked.model_copy(update={"loss": "distance"}).run(model, images)
    kept = kept_result.summary
    assert kept["recovered"] == kept["recovered_distance"] == found["recovered_distance"] and kept["hides"] == ""
    assert "squared distance" in CausalScrubbing.draw(kept_result)["recovered"].get_suptitle()


def test_the_cross_entropy_is_taken_where_the_network_is() -> None:
    classes, data = np.array([2, 0, 1]), np.array([1, 1, 0, 2])
    value = torch.randn(4, 3, 1, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.cross_entropy(value[..., 0], torch.tensor([0, 0, 2, 1]), reduction="none")
    assert torch.equal(_cross_entropy(classes)(value, data), expected)
    loss = _cross_entropy(classes)
    with FakeTensorMode(allow_non_fake_inputs=True):  # there is no GPU here, so a tensor without memory says it is on one
        assert loss(torch.empty(4, 3, 1, device="cuda"), data).device.type == "cuda"


def test_a_loss_that_cannot_be_measured_is_refused_at_the_root_before_an_image_is_read() -> None:
    model = workbench.load("bundled:planted/cancellation_net")
    assert model.circuit is not None
    images = load_images(model.circuit.images)
    output = f"{model.graph.output}:0,1"
    asked = CausalScrubbing(hypothesis=hypothesis(RED, root=output), loss="cross_entropy", examples=16)
    for classes, root, why in (
        (None, output, "root, loss: .* has no labels that are classes of .*; choose the squared distance"),
        ([*model.labels, *model.labels, *model.labels, model.labels[0], "green"], output, "the class of 1 of 8 images of .* is no class"),
        ([model.labels[0]] * 8, f"{model.graph.output}:0", "root, loss: the cross-entropy needs all 2 classes as the root"),
        ([model.labels[0]] * 8, "saturate:0", "root, loss: the cross-entropy needs all 2 classes as the root"),
    ):
        if classes is not None:
            images.columns["class"] = classes
        task, tree = Told(), hypothesis(root=root) if root == "saturate:0" else hypothesis(RED, root=root)
        with pytest.raises(HypothesisError, match=why):
            asked.model_copy(update={"hypothesis": tree}).compute(model, images, task)
        assert task.notes == []
        engine = SimpleNamespace(model=lambda _ref, task: model, images=lambda _ref, _task: images)
        found = InspectHypothesis("m", "i", Hypothesis.from_json(tree).root, loss="cross_entropy").run(engine, task)
        assert found[0].field == "loss" and re.search(why, f"root, loss: {found[0].reason}") and not any(card.reason for card in found[1:])
        assert InspectHypothesis("m", "i", Hypothesis.from_json(tree).root).run(engine, task)[0].reason == ""


def test_rivals_that_a_whole_document_names_are_tried(planted) -> None:
    whole = Hypothesis(Hypothesis.from_json(hypothesis(LYING, RED)).root, "mine", rivals=("red=all", "*=itself"))
    found = CausalScrubbing(hypothesis=whole.to_json(), rivals=("*=itself", "*=all"), examples=16).run(*planted)
    assert [row["name"] for row in found.summary["rows"] if row["kind"] == "rival"] == ["red=all", "*=itself", "*=all"]
