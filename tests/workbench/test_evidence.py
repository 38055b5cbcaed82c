"""The evidence card of networks whose truth is known: a curve detector that is one, its family, and a unit that nothing reads."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from workbench.analyses.evidence import Evidence, draw_labelling, parts, synthetic
from workbench.analyses.evidence.population import Population
from workbench.evidence_card import HAND_CODING, PURITY, QUESTIONS, page, pieces_of, with_labels
from workbench.images.array_set import ArraySet
from workbench.images.stimulus import FAMILIES
from workbench.input_error import InputError
from workbench.jobs.engine import Engine
from workbench.jobs.evidence_requests import PrepareLabelling
from workbench.jobs.store import Store
from workbench.models.layer import Unit
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Task

SIDE, ANGLES = 24, 8
FAST = {"limit": 40, "steps": 8, "places": 16, "ablated": 24, "null_images": 8, "strongest": 6}
LINES = tuple(range(ANGLES))
UNREAD = ANGLES


class Bars(nn.Module):
    """Units 0 to 7 are line detectors at eight angles, which the classes are read from; the others are random, 8 is read by nobody."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.spread = nn.Conv2d(3, 12, 1)
        self.act0 = nn.ReLU()
        self.conv = nn.Conv2d(12, 24, 7, padding=3)
        self.act = nn.ReLU()
        self.head = nn.Linear(24, ANGLES)
        with torch.no_grad():
            self.spread.weight[:2], self.spread.bias[:2] = 0, 0
            self.spread.weight[0], self.spread.weight[1] = -1 / 3, 1 / 3
            self.spread.bias[0] = 1.0
            offsets = torch.arange(7) - 3.0
            for unit in LINES:
                angle = torch.tensor(unit * np.pi / ANGLES)
                across = offsets[None] * angle.sin() + offsets[:, None] * angle.cos()
                kernel = torch.exp(-across.square() / 1.5) * torch.exp(-(offsets[None] ** 2 + offsets[:, None] ** 2) / 12)
                self.conv.weight[unit] = 0
                self.conv.weight[unit, 0] = kernel - kernel.mean()
            self.conv.bias[: ANGLES] = 0
            self.head.weight.zero_()
            self.head.weight[LINES, LINES] = 4.0
            self.head.weight[:, UNREAD + 1 :].normal_(0, 0.05)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.conv(self.act0(self.spread(x)))).amax((2, 3)))


def pictures() -> ArraySet:
    """Lines and curves of all orientations, of many concepts."""
    random = np.random.default_rng(0)
    drawn = [FAMILIES[name].random(24, seed, ["orientation", "width", "x", "y"]) for seed, name in enumerate(("lines", "curves"))]
    shown = torch.cat([FAMILIES[name].render(table, (SIDE, SIDE)) for name, table in zip(("lines", "curves"), drawn, strict=True)])
    pixels = (shown * 225).byte().permute(0, 2, 3, 1).numpy() + random.integers(0, 30, (48, SIDE, SIDE, 3), dtype=np.uint8)
    found = ArraySet(pixels)
    found.columns = {"concept": [f"concept {place // 2}" for place in range(len(pixels))]}
    return found


@pytest.fixture(scope="module")
def bars() -> TracedModel:
    preprocessing = Preprocessing((SIDE, SIDE), (0.0,) * 3, (1.0,) * 3)
    names = [f"{180 / ANGLES * unit:g}°" for unit in LINES]
    made = TracedModel.from_module(
        Bars().eval(), torch.rand(2, 3, SIDE, SIDE), names, preprocessing=preprocessing, name="bars", ref="test:bars"
    )
    draw = functools.cache(made.twin)
    made.twin = lambda seed: draw(seed % 3)  # three random networks in place of twenty, to be quick
    return made


@pytest.fixture(scope="module")
def found(bars):
    angles = tuple(180 / ANGLES * unit for unit in LINES)
    return Evidence(layer="act", unit=2, family=LINES, angles=angles, **FAST).run(bars, pictures())


def test_every_piece_has_a_figure_or_says_what_is_missing(found):
    pieces = {piece.name: piece for piece in pieces_of(found.summary)}
    assert list(pieces) == list(QUESTIONS)
    assert pieces["purity"].missing == PURITY and pieces["hand-coding"].missing == HAND_CODING
    for name in ("causality", "generality", "family", "inputs", "use"):
        piece = pieces[name]
        assert not piece.missing and np.isfinite(piece.value), piece
        if name == "causality":  # worst and best of three images are no interval
            assert piece.low is None and piece.high is None and "worst to best of 3 images" in piece.figure
        else:
            assert piece.low <= piece.value <= piece.high, piece
        assert piece.null and piece.images > 0 and piece.verdict and piece.figure
    assert found.summary["measured"] == "conv:2" and found.summary["images"] == 40
    assert not any("score" in name for name in found.summary)
    json.dumps(found.summary, allow_nan=False)


def test_a_planted_line_detector_prefers_lines_of_its_orientation(found):
    generality = pieces_of(found.summary)[1]
    assert re.search(r"(lines|gratings) 45°", generality.figure)
    assert found.summary["std"] > 0 and found.arrays["stimulus_null"].shape == (20,)


def test_a_unit_without_positions_has_a_response_too(bars):
    shown = synthetic.drawn(bars, [("lines", FAMILIES["lines"].grid(orientations=3))])
    assert np.isfinite(synthetic.respond(bars, bars.layer("head"), shown)).all()


def test_its_family_does_the_same_at_other_orientations_and_random_units_do_not(bars, found):
    piece = pieces_of(found.summary)[3]
    assert piece.value > 0.8 and piece.low > np.quantile(found.arrays["family_null"], 0.95)
    assert "follow the family's angles with 0.9" in piece.figure or "follow the family's angles with 1.0" in piece.figure
    assert np.diff(np.unwrap(2 * np.deg2rad(found.arrays["family_preferred"]))).mean() == pytest.approx(2 * np.pi / ANGLES, rel=0.2)
    layer = bars.layer("conv")
    tuned = next(one for one in synthetic.tunings(bars, layer, 0) if one.kind == "lines")
    random = synthetic.likeness(tuned, range(UNREAD + 1, UNREAD + 7), 0)
    assert random.value < np.quantile(random.null, 0.975)


def test_inputs_add_up_and_the_one_planted_input_explains_the_unit(found):
    assert found.arrays["input_relative_error"].max() < 1e-5 and found.arrays["input_error"].max() < 1e-5
    assert found.arrays["input_shares"].sum(1) == pytest.approx(found.arrays["input_actual"], abs=1e-4)  # the unit has no bias
    assert found.arrays["input_top"][0] == 0 and pieces_of(found.summary)[4].value > 0.999
    assert np.median(found.arrays["input_null"]) < 0.9


def test_inputs_are_not_chosen_and_scored_on_one_concept(bars):
    images = pictures()
    images.columns = {"concept": ["one"] * len(images)}
    population = Population.read(bars, Unit("act", 2), images, 40, 0, Task())
    with pytest.raises(InputError, match="of one concept"):
        parts.inputs(bars, images, population, 16, 6, 0, Task())


def test_what_was_compared_with_nothing_says_so(bars, monkeypatch):
    class Alone:
        def run(self, *_: object) -> SimpleNamespace:
            said = {"measure": "KL", "change": 0.5, "change_low": 0.4, "change_high": 0.6, "images": 24, "detectable": 0.1}
            return SimpleNamespace(summary=said | {"null_missing": "no other unit"}, arrays={"null_change": np.zeros(0)})

    monkeypatch.setattr(parts, "_asked", lambda _name, **_parameters: Alone())
    use, _ = parts.use(bars, pictures(), Unit("act", 2), 24, 8, 0, Task())
    assert use.null == "no other unit" and "no random unit to compare with" in use.verdict
    most = tuple(range(20))  # of 24: there are no 20 others
    assert "no random units to compare with" in parts.family(bars, "act", most, (), 0)[0].verdict


def test_a_unit_that_is_read_is_used_and_one_that_is_not_is_not(bars, found):
    assert found.arrays["use_change"] < 0
    use, _ = parts.use(bars, pictures(), Unit("act", UNREAD), 24, 8, 0, Task())
    assert use.value == 0 and "not shown" in use.verdict
    alone, nothing = parts.family(bars, "act", (), (), 0)
    assert alone.missing == "missing: family" and not nothing


def test_labels_are_drawn_and_fill_the_purity_and_nothing_else(bars, found, tmp_path):
    labelling = draw_labelling(bars, pictures(), Unit("act", 2), 60, 0, 40, 8, Task())
    again = draw_labelling(bars, pictures(), Unit("act", 2), 60, 0, 40, 8, Task())
    assert labelling == again and len(labelling.pictures) == 60 and labelling.measured == "conv:2"
    counts = np.bincount([shown.bin for shown in labelling.pictures], minlength=len(labelling.bins.counts))
    assert (counts <= np.array(labelling.bins.counts)).all() and counts.min() >= min(4, min(labelling.bins.counts))
    for shown in labelling.pictures:
        assert labelling.bins.edges[shown.bin] - 1e-6 <= shown.activation <= labelling.bins.edges[shown.bin + 1] + 1e-6
        labelling.say(0 if shown.activation > 0.3 * found.summary["max"] else 3, "ada")
    path = labelling.save(tmp_path / "labels.json")
    result = with_labels(found, labelling, str(path))
    piece = pieces_of(result.summary)[2]
    assert not piece.missing and 0 < piece.value < 0.6 and "ada" in piece.verdict and piece.counted == "labels"
    assert result.summary["lines"][2] == piece.line and "n = 60 labels" in piece.line
    assert "labels" in result.summary["figures"] and "labels" not in found.summary["figures"]
    others = [[one for one in of.summary["checklist"] if one["name"] != "purity"] for of in (found, result)]
    assert others[0] == others[1] and pieces_of(found.summary)[2].missing == PURITY, "the first result is as it was"
    assert result.arrays["label_shares"].shape == (len(counts), 4) and "label_shares" not in found.arrays
    direct = Evidence(layer="act", unit=2, labels=str(path), **FAST)
    asked = direct.key(bars, pictures())
    labelling.take_back()
    labelling.save(path)
    assert direct.key(bars, pictures()) != asked, "other labels, another result"


def test_labels_of_something_else_are_refused(bars, tmp_path):
    labelling = draw_labelling(bars, pictures(), Unit("act", 3), 20, 0, 40, 8, Task())
    path = str(labelling.save(tmp_path / "l.json"))
    with pytest.raises(InputError, match=r"labels of act:3 of test:bars, not of act:2"):
        Evidence(layer="act", unit=2, labels=path, **FAST).run(bars, pictures())
    labelling.images_hash = "0"
    labelling.save(tmp_path / "l.json")
    with pytest.raises(InputError, match="labels of images of"):
        Evidence(layer="act", unit=3, labels=path, **FAST).run(bars, pictures())


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"unit": 24}, "units 0 to 23"),
        ({"family": (1, 3)}, "2 among them"),
        ({"family": (2, 3), "angles": (1.0,)}, "2 units in the family and 1 angles"),
        ({"labels": "/nowhere/l.json"}, "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused(bars, wrong, complaint):
    with pytest.raises(InputError, match=complaint):
        Evidence(**({"layer": "act", "unit": 2} | FAST | wrong)).run(bars, pictures())


def test_it_can_be_cancelled_anywhere(bars):
    class Impatient(Task):
        def __init__(self, at: int) -> None:
            self.at = at

        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            self.at -= 1
            if not self.at:
                raise Cancelled

    for at in (1, 3, 12):
        with pytest.raises(Cancelled):
            Evidence(layer="act", unit=2, **FAST).run(bars, pictures(), Impatient(at))


def test_density_and_expected_value_are_those_of_all_positions(bars, found):
    assert found.arrays["density"].sum() == pytest.approx(1)
    assert found.arrays["expected"].sum() == pytest.approx(found.summary["mean"], abs=1e-5)
    population = Population.read(bars, Unit("act", 2), pictures(), 40, 0, Task())
    bins = population.bins(8)
    inside = (population.values >= bins.edges[-2]) & (population.values <= bins.edges[-1])
    assert bins.counts[-1] == inside.sum() and found.arrays["edges"].tolist() == bins.edges


def test_the_page_is_whole_and_survives_the_store(found, tmp_path):
    store = Store(tmp_path)
    store.save("k", found)
    written = page(store.load("k"))
    assert written.startswith("<!doctype html>") and PURITY in written and HAND_CODING in written
    assert written.count("<svg") == 6
    assert "<script" not in written and "url(" not in written.replace("url(#", "")
    assert not re.findall(r'(?:src|(?:xlink:)?href)="(?!data:|#)', written)
    assert "workbench.analyses.Evidence(" in written


class Worker(Engine):
    """Has the network and the images open."""

    def __init__(self, model: TracedModel, folder: Path) -> None:
        super().__init__(Store(folder))
        self._models["test:bars"], self._images["test:pictures"] = model, pictures()


def test_the_worker_cuts_out_the_pictures_and_finds_what_was_begun(bars, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "data"))
    engine = Worker(bars, tmp_path / "store")
    asked = PrepareLabelling("test:bars", "test:pictures", "act:2", 30, limit=40)
    labelling, crops = asked.run(engine, Task())
    field = engine.receptive_field(bars, "conv")
    assert crops.dtype == np.uint8 and crops.shape == (30, *field, 3) and labelling.done == 0
    whole = pictures().image(labelling.pictures[0].image, (SIDE, SIDE))
    y, x = labelling.pictures[0].position
    top, left = (int(np.clip(round(at + 0.5 - field[0] / 2), 0, SIDE - field[0])) for at in (y, x))
    assert np.array_equal(crops[0], whole[top : top + field[0], left : left + field[1]])
    labelling.say(1, "ada")
    labelling.save()
    again, same = asked.run(engine, Task())
    assert again == labelling and again.done == 1 and np.array_equal(same, crops)
    with pytest.raises(InputError, match="units 0 to 23"):
        PrepareLabelling("test:bars", "test:pictures", "act:24", 30).run(engine, Task())
