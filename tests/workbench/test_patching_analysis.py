"""What can be patched and read besides units and logits, one pair that was drawn, and a sweep that is cut short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.workbench.colour_net import Colours
from workbench.analyses.analysis import Result
from workbench.analyses.patching import ActivationPatching
from workbench.analyses.patching.parts import cells_inside
from workbench.direction_set import DirectionSet
from workbench.images.array_set import ArraySet
from workbench.input_error import InputError
from workbench.models.further_input import FurtherInput
from workbench.models.layer import Layer
from workbench.models.patching import Patcher, cells, patches_of, scores
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Task

SIDE = 12
NAMES = ("red", "green", "blue")
RELU = "parts.relu"


@pytest.fixture(scope="module")
def model() -> TracedModel:
    example, size = torch.randn(2, 3, SIDE, SIDE), Preprocessing((SIDE, SIDE))
    return TracedModel.from_module(Colours().eval(), example, preprocessing=size, labels=NAMES)


def blind(model: TracedModel) -> TracedModel:
    """Return the network without what sees."""
    module = Colours().eval()
    with torch.no_grad():
        module.parts.see.weight.zero_()
    return TracedModel.from_module(module, torch.randn(2, 3, SIDE, SIDE), preprocessing=model.preprocessing, labels=NAMES)


@pytest.fixture(scope="module")
def shown() -> ArraySet:
    """Grey with a square of a colour at its upper left."""
    random = np.random.default_rng(0)
    shows = random.integers(0, 3, 90)
    pixels = np.full((90, SIDE, SIDE, 3), 30, np.uint8)
    pixels[np.arange(90), :6, :6, shows] += 160
    made = ArraySet(pixels)
    made.columns = {"colour": [NAMES[one] for one in shows], "concept": [f"{NAMES[one]} {at % 5}" for at, one in enumerate(shows)]}
    return made


@pytest.fixture
def drawn(tmp_path: Path) -> dict[str, str]:
    """Two files: a red square at the upper left, and a blue one."""
    found = {}
    for name, colour in (("clean_file", 0), ("corrupt_file", 2)):
        pixels = np.full((SIDE, SIDE, 3), 30, np.uint8)
        pixels[:6, :6, colour] = 220
        found[name] = str(tmp_path / f"{name}.png")
        Image.fromarray(pixels).save(found[name])
    return found


def carried(result: Result) -> dict[str, float]:
    return dict(zip(result.summary["names"], result.arrays["denoise_score"].tolist(), strict=True))


def pictures(images: ArraySet, result: Result, name: str, size: tuple[int, int]) -> np.ndarray:
    """Return the clean images of the pairs, or their partners."""
    return np.stack([images.image(at, size) for at in result.arrays[name].tolist()])


def test_what_differs_is_inside_the_region_and_not_outside(model: TracedModel, shown: ArraySet) -> None:
    asked = ActivationPatching(layers=(RELU,), part="region", region=(0, 0, 0.5, 0.5), pairs=16)
    assert carried(asked.run(model, shown)) == {f"{RELU} inside": pytest.approx(1, abs=1e-5), f"{RELU} outside": pytest.approx(0, abs=1e-5)}
    elsewhere = ActivationPatching(layers=(RELU,), part="region", region=(0.5, 0.5, 0.9, 1), pairs=16).run(model, shown)
    assert list(carried(elsewhere).values()) == pytest.approx([0, 1], abs=1e-5)
    quarter = ActivationPatching(layers=(RELU,), part="unit", region=(0, 0, 0.25, 0.5), pairs=16).run(model, shown)
    assert sum(carried(quarter).values()) == pytest.approx(0.5, abs=1e-5), "units in one half of the square"
    cells = carried(ActivationPatching(layers=(RELU,), part="cell", region=(0, 0, 0.25, 0.25), pairs=16).run(model, shown))
    assert len(cells) == 9 and list(cells.values()) == pytest.approx([1 / 36] * 9, abs=1e-5)
    with pytest.raises(InputError, match="no positions in the image"):
        ActivationPatching(layers=("parts.flat",), part="region", region=(0, 0, 1, 0.5), pairs=16).run(model, shown)
    with pytest.raises(InputError, match="give the region"):
        ActivationPatching(layers=(RELU,), part="region", pairs=16).run(model, shown)


def test_tokens_have_places_in_the_image_those_of_a_text_have_none() -> None:
    patches, text = Layer("blocks.0", "add", (17, 8), -1), Layer("transformer", "add", (32, 8), -1)
    assert cells_inside(patches, (SIDE, SIDE), (0, 0, 0.5, 0.25)).tolist() == [1, 5], "behind the class token, four in a row"
    assert cells_inside(Layer("map", "conv2d", (8, 4, 6), 0), (SIDE, SIDE), (0.4, 0.9, 0.6, 1)).tolist() == [11, 17]
    assert cells(patches, (SIDE, SIDE))[:3] == ["token 0", "row 0, column 0", "row 0, column 1"]
    assert cells(replace(text, seen=False), (SIDE, SIDE))[31] == "token 31" and cells(text, (SIDE, SIDE))[31] != "token 31"


def test_tokens_of_an_image_that_is_not_square_have_its_rows_and_columns() -> None:
    named = cells(Layer("blocks.0", "add", (9, 8), -1), (12, 24))
    assert named[:2] == ["token 0", "row 0, column 0"] and named[4:6] == ["row 0, column 3", "row 1, column 0"]


def test_a_family_is_patched_as_one(model: TracedModel, shown: ArraySet) -> None:
    families = {"colours": f"{RELU}:0,1,2", "idle": f"{RELU}:5,9"}
    result = ActivationPatching(part="family", families=families, pairs=16).run(model, shown)
    assert carried(result) == {"colours": pytest.approx(1, abs=1e-5), "idle": pytest.approx(0, abs=1e-6)}
    assert result.summary["layers"] == [RELU] and result.arrays["denoise_attribution"] == pytest.approx([1, 0], abs=1e-4)
    with pytest.raises(InputError, match="at least one family"):
        ActivationPatching(part="family", pairs=16).run(model, shown)
    with pytest.raises(InputError, match="units 0 to 11, not 12"):
        ActivationPatching(part="family", families={"beyond": f"{RELU}:12"}, pairs=16).run(model, shown)


def directions(kept: int) -> DirectionSet:
    """Two directions in the plane of red and blue that are no axes, green, and one that nothing hears; twice as long when read."""
    axes = np.zeros((4, 12), np.float32)
    axes[0, [0, 2]], axes[1, [0, 2]] = (1, -1), (1, 1)
    axes[2, 1] = axes[3, 7] = 1
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return DirectionSet("planted", RELU, 2 * axes, np.zeros(4, np.float32), axes / 2, np.ones(4, np.float32), kept, tuple("abcd"))


@pytest.mark.parametrize("kept", [0, 2])
def test_directions_and_latents_by_name_and_as_units(
    model: TracedModel, drawn: dict[str, str], shown: ArraySet, kept: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    made = directions(kept)
    made.save()
    by_name = ActivationPatching(part="direction", directions="planted", **drawn).run(model, shown)
    opened = model.with_directions(made)
    as_units = ActivationPatching(part="unit", layers=(made.reading,), **drawn).run(opened, shown)
    assert by_name.summary["labels"] == list("abcd") and by_name.summary["layers"] == [f"{RELU}~planted"]
    assert by_name.arrays["denoise"] == pytest.approx(as_units.arrays["denoise"], abs=0)
    found = list(carried(by_name).values())
    if not kept:  # red against blue: all of the difference lies along the first, nothing along their sum
        assert found == pytest.approx([1, 0, 0, 0], abs=1e-5)
    else:  # the first is there on the red image only; without a sign red - blue needs what the rectifier cut off, too
        assert found[0] == pytest.approx(0.5, abs=1e-5) and found[1:] == pytest.approx([0, 0, 0], abs=1e-5)
    patcher = Patcher(opened, made.reading)
    base, other = (patcher.values(torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)).split(2)) for seed in (0, 1))
    nothing = scores(patcher.run(base, other, patches_of(opened, made.reading, "unit"))[..., 0])[:2]
    assert (nothing[0] == 0).all() and (nothing[1] == 1).all()
    with pytest.raises(InputError, match="there are no directions 'plantd'"):
        ActivationPatching(part="direction", directions="plantd", **drawn).run(model, shown)


def test_two_classes_are_chosen_freely(model: TracedModel, shown: ArraySet) -> None:
    chosen = ActivationPatching(layers=(RELU,), part="unit", pairs=48, of_class="red", against="blue").run(model, shown)
    found = carried(chosen)
    assert found[f"{RELU}:0"] + found[f"{RELU}:2"] == pytest.approx(1, abs=1e-5) and found[f"{RELU}:1"] == pytest.approx(0, abs=1e-6)
    assert chosen.summary["metric"] == "logit of red minus that of blue"
    one = ActivationPatching(layers=(RELU,), part="unit", pairs=48, metric="logit", of_class="green").run(model, shown)
    assert carried(one)[f"{RELU}:1"] == pytest.approx(1, abs=1e-5) and one.summary["left_out"] > 0, "pairs without green say nothing"
    with pytest.raises(InputError, match="did you mean green"):
        ActivationPatching(layers=(RELU,), metric="logit", of_class="grene", pairs=16).run(model, shown)


def test_the_loss_is_the_cross_entropy_of_the_right_class(model: TracedModel, shown: ArraySet) -> None:
    result = ActivationPatching(layers=(RELU,), part="layer", pairs=16, metric="loss").run(model, shown)
    clean, corrupt = (
        model.activations(model.preprocess(pictures(shown, result, name, (SIDE, SIDE))), ["parts.say"])["parts.say"]
        for name in ("clean", "partner")
    )
    right = torch.tensor([NAMES.index(shown.columns["colour"][at]) for at in result.arrays["clean"]])
    losses = [nn.functional.cross_entropy(said, right, reduction="none") for said in (clean, corrupt)]
    assert result.arrays["whole"] == pytest.approx((losses[1] - losses[0]).numpy(), abs=1e-4)
    assert carried(result) == {RELU: pytest.approx(1, abs=1e-5)}


def test_one_drawn_pair_has_no_intervals_and_stands_beside_unrelated_images(
    model: TracedModel, shown: ArraySet, drawn: dict[str, str]
) -> None:
    asked = ActivationPatching(layers=(RELU,), part="unit", top=2, **drawn)
    result = asked.run(model, shown)
    found, arrays = carried(result), result.arrays
    assert found[f"{RELU}:0"] == pytest.approx(0.5, abs=1e-5) == found[f"{RELU}:2"] and np.isnan(arrays["denoise_low"]).all()
    assert result.summary["drawn"] and result.summary["pairs"] == 1 and arrays["unaligned"].shape == (12, 4)
    (joint,) = result.summary["joint"]
    assert joint["together"] == pytest.approx(1, abs=1e-5) and joint["together_low"] is None and not joint["held_out"]
    assert set(ActivationPatching.draw(result)) == {"effects", "scatter"}
    assert (arrays["clean_image"][:6, :6] == [220, 30, 30]).all()
    Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(drawn["corrupt_file"])
    assert asked.key(model, shown) != ActivationPatching(layers=(RELU,), part="unit", top=2).key(model, shown)
    with pytest.raises(InputError, match="both files"):
        ActivationPatching(layers=(RELU,), clean_file=drawn["clean_file"]).run(model, shown)
    with pytest.raises(InputError, match="are the same"):
        ActivationPatching(layers=(RELU,), clean_file=drawn["clean_file"], corrupt_file=drawn["clean_file"]).run(model, shown)


def test_a_path_through_a_receiver(model: TracedModel, shown: ArraySet) -> None:
    result = ActivationPatching(layers=("parts.see",), part="unit", through=f"{RELU}:0", of_class="red", against="blue", pairs=48)
    found = carried(result.run(model, shown))
    whole = carried(ActivationPatching(layers=("parts.see",), part="unit", of_class="red", against="blue", pairs=48).run(model, shown))
    assert found["parts.see:0"] == pytest.approx(whole["parts.see:0"], abs=1e-6) and whole["parts.see:2"] > 0.2
    assert [value for name, value in found.items() if name != "parts.see:0"] == pytest.approx([0] * 11, abs=1e-6)
    with pytest.raises(InputError, match="patched through"):
        ActivationPatching(layers=("parts.see",), hold=(RELU,), pairs=16).run(model, shown)


class Watching(Task):
    """Keeps what is shown, and cancels after so many exact patches."""

    def __init__(self, after: float) -> None:
        self.after, self.shown = after, list[Result]()

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        if isinstance(partial, Mapping):
            self.shown.append(partial["result"])
        if done >= self.after:
            raise Cancelled


def test_attribution_comes_first_and_what_was_done_before_cancelling_stays(
    model: TracedModel, shown: ArraySet, drawn: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.analyses.patching import sweep

    monkeypatch.setattr(sweep, "EVERY", 0.0)
    asked = ActivationPatching(layers=("parts.see", RELU), part="cell", region=(0, 0, 0.99, 0.6), **drawn)
    whole = asked.run(model, shown)
    task = Watching(after=100)
    with pytest.raises(Cancelled):
        asked.run(model, shown, task)
    first, last = task.shown[0], task.shown[-1]
    assert np.isnan(first.arrays["denoise_score"]).all() and np.isfinite(first.arrays["denoise_attribution"]).all()
    assert first.summary["exact"] == 0 and first.summary["incomplete"]
    done = np.isfinite(last.arrays["denoise_score"])
    assert done.sum() == last.summary["exact"] and 0 < done.sum() < len(done)
    assert np.isnan(last.arrays["unaligned"]).all(), "the null comes last"
    for name in ("denoise_score", "noise_score"):
        assert last.arrays[name][done] == pytest.approx(whole.arrays[name][done], abs=1e-6)
    assert last.arrays["denoise_attribution"] == pytest.approx(whole.arrays["denoise_attribution"], abs=1e-6)
    assert set(ActivationPatching.draw(last)) == {"effects", "scatter"} and last.summary["patches"] and last.provenance["weights"]
    see = np.flatnonzero(last.arrays["layer"] == 0)
    size = np.abs(whole.arrays["denoise_attribution"])
    in_relu = np.flatnonzero(last.arrays["layer"] == 1)
    assert not done[in_relu].any() or done[see].all(), "one layer after the other"
    assert size[in_relu][done[in_relu]].min(initial=1) >= size[in_relu][~done[in_relu]].max(initial=0), "the promising ones first"


def test_a_sweep_over_pairs_that_is_cut_short_has_fewer_pairs(model: TracedModel, shown: ArraySet, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.analyses.patching import sweep

    monkeypatch.setattr(sweep, "EVERY", 0.0)
    task = Watching(after=30)  # 12 units on each batch of 4 pairs
    with pytest.raises(Cancelled):
        ActivationPatching(layers=(RELU,), part="unit", pairs=40).run(model, shown, task)
    last = task.shown[-1].arrays
    tried = np.isfinite(last["denoise"])
    assert tried[:, :8].all() and not tried[:, 12:].any()
    ratio = last["denoise"][0][tried[0]].sum() / last["whole"][tried[0]].sum()
    assert last["denoise_score"][0] == pytest.approx(ratio) and np.isfinite(last["denoise_score"]).all()


class TwoTowers(nn.Module):
    """The colours of an image and the colour that a text names, in one space; as a CLIP, it hands out both and a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.see, self.read = nn.Conv2d(3, 3, 1, bias=False), nn.Embedding(3, 3)
        self.scale = nn.Parameter(torch.ones(()))
        with torch.no_grad():
            self.see.weight.copy_(torch.eye(3)[..., None, None])
            self.read.weight.copy_(torch.eye(3))

    def forward(self, image: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        seen, said = self.see(image).mean((2, 3)), self.read(text).mean(1)
        return seen / seen.norm(dim=1, keepdim=True), said / said.norm(dim=1, keepdim=True), self.scale.exp()


def test_a_text_is_what_is_read_of_two_towers(shown: ArraySet, drawn: dict[str, str]) -> None:
    texts = FurtherInput("text", "red", "text that is read", lambda text: torch.tensor([[NAMES.index(text)] * 2]))
    example, plain = (torch.rand(2, 3, SIDE, SIDE), torch.tensor([[0, 0], [1, 1]])), Preprocessing((SIDE, SIDE), (0.0,) * 3, (1.0,) * 3)
    model = TracedModel.from_module(TwoTowers().eval(), example, preprocessing=plain, further={"text": texts})
    asked = ActivationPatching(layers=("see",), part="unit", metric="similarity", against_text="green", **drawn)
    result = asked.run(model, shown)
    assert result.summary["metric"] == "cosine between the image and the text 'red' minus that with 'green'"
    red, grey = 30 + 190 / 4, 30
    assert result.arrays["whole"] == pytest.approx([(red - grey) / np.linalg.norm([red, grey, grey])], abs=1e-5)
    alone = [(red - grey) / np.linalg.norm([red, grey, red]), 0, (0 - 0) / grey]
    assert result.arrays["denoise"][:, 0] == pytest.approx(alone, abs=1e-5)
    named = asked.model_copy(update={"text": "blue", "against_text": ""}).run(model, shown)
    assert named.arrays["whole"] == pytest.approx([(red - grey) / np.linalg.norm([red, grey, grey])], abs=1e-5), "turned: corrupt has more"
    with pytest.raises(InputError, match="has no classes"):
        ActivationPatching(layers=("see",), pairs=8).run(model, shown)


def test_a_network_without_texts_says_so(model: TracedModel, shown: ArraySet) -> None:
    with pytest.raises(InputError, match="does not compare images with texts"):
        ActivationPatching(layers=(RELU,), metric="similarity", pairs=16).run(model, shown)


def test_interrupted_on_a_terminal_what_was_found_is_written(
    model: TracedModel, shown: ArraySet, drawn: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io
    import json

    from workbench import cli, terminal
    from workbench.analyses.patching import sweep
    from workbench.jobs.engine import Engine

    class Interrupting(terminal.TerminalTask):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            super().step(done, total, partial, note)
            if done >= 12:
                raise KeyboardInterrupt

    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sweep, "EVERY", 0.0)
    monkeypatch.setattr(Engine, "images", lambda *_given: shown)
    monkeypatch.setattr(Engine, "model", lambda *_given, **_more: model)
    said = io.StringIO()
    settings = [f"layers={RELU},parts.see", "part=unit", *(f"{name}={path}" for name, path in drawn.items())]
    settings.append(f'families={{"colours": "{RELU}:0,1"}}')
    with pytest.raises(KeyboardInterrupt):
        cli.run("ActivationPatching", settings, "test", "shown", str(tmp_path / "out"), False, ("auto", "fp32"), Interrupting(said))
    told = json.loads((tmp_path / "out" / "result.json").read_text())
    assert told["summary"]["incomplete"] and told["summary"]["exact"] == 12 and told["parameters"]["families"] == {"colours": f"{RELU}:0,1"}
    assert np.isfinite(np.load(tmp_path / "out" / "arrays.npz")["denoise_score"]).sum() == 12 and "marked as incomplete" in said.getvalue()


def test_the_best_stand_beside_as_many_others_none_of_them_among_the_best(model: TracedModel, shown: ArraySet) -> None:
    families = {"red": f"{RELU}:0", "green": f"{RELU}:1", "blue": f"{RELU}:2", "idle": f"{RELU}:5", "silent": f"{RELU}:6"}
    result = ActivationPatching(part="family", families=families, pairs=48, of_class="red", against="blue", top=10).run(model, shown)
    (joint,) = result.summary["joint"]
    assert sorted(joint["parts"]) == ["blue", "red"] and joint["of"] == 5, "half of them at most: as many others are left"
    assert joint["together"] == pytest.approx(1, abs=1e-5) and joint["random_largest"] == pytest.approx(0, abs=1e-6)
    assert joint["random_draws"] == 3, "every two of the other three"


def test_what_is_no_number_is_counted_and_the_other_pairs_are_kept(
    model: TracedModel, shown: ArraySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.analyses.patching.metric import Reading

    read, spoilt = Reading.__call__, [1]  # classes below it: red

    def overflown(self: Reading, value: torch.Tensor) -> torch.Tensor:
        found = read(self, value)
        return torch.where(self.clean < spoilt[0], torch.nan, found)

    monkeypatch.setattr(Reading, "__call__", overflown)
    result = ActivationPatching(layers=(RELU,), part="unit", pairs=40).run(model, shown)
    red = sum(shown.columns["colour"][at] == "red" for at in result.arrays["clean"])
    assert not red and result.summary["no_number"] == 40 - result.summary["pairs"] - result.summary["left_out"] > 0
    assert carried(result)[f"{RELU}:1"] + carried(result)[f"{RELU}:2"] > 0.5
    spoilt[0] = 3  # all of them
    with pytest.raises(InputError, match="is no number in 40 of 40 pairs"):
        ActivationPatching(layers=(RELU,), part="unit", pairs=40).run(model, shown)


def test_pairs_that_do_not_differ_are_refused_before_any_is_patched(
    model: TracedModel, shown: ArraySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    monkeypatch.setattr(Patcher, "run", lambda *given: ran.append(given))
    with pytest.raises(InputError, match="only 0 of 16 pairs differ"):
        ActivationPatching(layers=("parts.see",), part="unit", metric="unit", unit=f"{RELU}:3", corruption="hue", pairs=16).run(
            blind(model), shown
        )
    assert not ran


def test_layers_that_are_not_on_the_way_are_left_out_and_named(model: TracedModel, shown: ArraySet) -> None:
    asked: dict[str, Any] = {"part": "unit", "metric": "unit", "unit": "parts.flat:1", "pairs": 16}
    result = ActivationPatching(layers=(RELU, "parts.say"), **asked).run(model, shown)
    assert result.summary["layers"] == [RELU] and list(result.summary["without"]) == ["parts"], "as what it is called"
    assert len(result.summary["names"]) == 12 and "does not feed parts.flat" in result.summary["without"]["parts"]
    with pytest.raises(InputError, match=r"parts does not feed parts\.flat"):
        ActivationPatching(layers=("parts.say",), **asked).run(model, shown)
    through = ActivationPatching(layers=("parts.see", RELU, "parts.flat"), part="layer", through=RELU, pairs=16).run(model, shown)
    assert through.summary["layers"] == ["parts.see"] and list(through.summary["without"]) == [RELU, "parts.flat"]


def test_what_is_offered_as_a_corruption_is_all_there_are() -> None:
    from typing import get_args

    from workbench.images.corruptions import CORRUPTIONS

    assert set(get_args(ActivationPatching.model_fields["corruption"].annotation)) == set(CORRUPTIONS)


def test_cells_of_a_region_know_the_grid_they_are_of(model: TracedModel, shown: ArraySet) -> None:
    result = ActivationPatching(layers=(RELU, "parts.flat"), part="unit", pairs=16).run(model, shown)
    assert result.summary["grids"] == [(SIDE, SIDE), (0, 0)]


def test_strangers_are_of_a_third_class_and_take_the_corrupt_images_half_away(model: TracedModel, shown: ArraySet) -> None:
    whole = ActivationPatching(layers=(RELU,), part="layer", pairs=40).run(model, shown)
    assert whole.arrays["unaligned"][0] == pytest.approx(whole.arrays["whole"] / 2, abs=1e-4), "neither class is on a third image"
    units = ActivationPatching(layers=(RELU,), part="unit", pairs=40, top=6).run(model, shown)
    (joint,) = units.summary["joint"]
    assert joint["together"] == pytest.approx(1, abs=1e-5) and joint["unaligned"] == pytest.approx(0.5, abs=1e-5)
    read = ActivationPatching(layers=(RELU,), part="layer", metric="unit", unit="parts.flat:0", pairs=60).run(model, shown)
    assert read.arrays["unaligned"].mean() / read.arrays["whole"].mean() > 0.3, "as of the pair's own classes: turned with the pair"


def test_the_mean_beside_a_drawn_pair_is_that_of_the_set(model: TracedModel, shown: ArraySet, drawn: dict[str, str]) -> None:
    result = ActivationPatching(layers=(RELU,), part="unit", put="mean", **drawn).run(model, shown)
    noise = dict(zip(result.summary["names"], result.arrays["noise_score"].tolist(), strict=True))
    assert noise[f"{RELU}:0"] == pytest.approx(0.5, abs=1e-5), "green images have no more red than a blue one"
    assert noise[f"{RELU}:2"] == pytest.approx(0, abs=1e-5), "nor more blue than the red one"
    assert "noise (puts the mean)" in [text.get_text() for text in ActivationPatching.draw(result)["effects"].axes[0].get_legend().texts]


def test_means_are_as_precise_as_the_network(shown: ArraySet) -> None:
    module = Colours().double().eval()
    example = torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64)
    precise = TracedModel.from_module(module, example, preprocessing=Preprocessing((SIDE, SIDE)), labels=NAMES)
    result = ActivationPatching(layers=(RELU,), part="unit", put="mean", pairs=16).run(precise, shown)
    seen = precise.activations(precise.inputs(precise.preprocess(pictures(shown, result, "clean", (SIDE, SIDE)))), [RELU])[RELU]
    lost = 4 * (seen[:, 0].mean((1, 2)) - seen[:, 0].mean()).numpy()
    red = np.array([shown.columns["colour"][at] == "red" for at in result.arrays["clean"]])
    assert len(red) == 16 and red.any() and result.arrays["noise"][0][red] == pytest.approx(-lost[red], abs=1e-12)


def test_unrelated_images_are_neither_of_the_pair_nor_of_its_classes(model: TracedModel, shown: ArraySet, drawn: dict[str, str]) -> None:
    result = ActivationPatching(layers=(RELU,), part="layer", **drawn).run(model, shown)
    assert result.summary["unrelated"] == {"images": 4, "other_classes": True}
    assert result.arrays["unaligned"] == pytest.approx(np.full((1, 4), result.arrays["whole"][0] / 2), abs=1e-4), "all are green"
    own = [np.asarray(Image.open(drawn[name])) for name in ("clean_file", "corrupt_file")]
    few = ArraySet(np.stack([*own, shown.image(0, (SIDE, SIDE)), own[0]]))
    beside = ActivationPatching(layers=(RELU,), part="layer", **drawn).run(model, few)
    assert beside.summary["unrelated"] == {"images": 1, "other_classes": False} and beside.arrays["unaligned"].shape == (1, 1)
    with pytest.raises(InputError, match="but the pair's own"):
        ActivationPatching(layers=(RELU,), **drawn).run(model, ArraySet(np.stack(own)))


def test_no_concept_of_one_half_is_a_partner_in_the_other(model: TracedModel, shown: ArraySet) -> None:
    result = ActivationPatching(layers=(RELU,), part="unit", pairs=60).run(model, shown)
    half = result.arrays["half"]
    one, other = (
        {shown.concepts[at] for name in ("clean", "partner") for at in result.arrays[name][side].tolist()} for side in (half, ~half)
    )
    assert result.summary["apart"] and one and other and not one & other
    two = ArraySet(np.stack([shown.image(at, (SIDE, SIDE)) for at in range(60)]))
    two.columns = {"colour": shown.columns["colour"][:60], "concept": shown.columns["colour"][:60]}
    assert not ActivationPatching(layers=(RELU,), part="unit", pairs=40).run(model, two).summary["apart"], "one of three stands alone"


def test_a_chosen_class_is_not_compared_with_itself(model: TracedModel, shown: ArraySet) -> None:
    asked = ActivationPatching(layers=(RELU,), part="layer", pairs=40, of_class="red")
    assert asked.run(model, shown).summary["left_out"] == 0, "a red corrupt image is compared in its likeliest other class"
    against = ActivationPatching(layers=(RELU,), part="layer", pairs=40, against="red").run(model, shown)
    assert against.summary["left_out"] == 0
    with pytest.raises(InputError, match="red is compared with itself"):
        ActivationPatching(layers=(RELU,), part="layer", pairs=40, of_class="red", against="red").run(model, shown)


def test_layers_beside_directions_are_refused(
    model: TracedModel, shown: ArraySet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    directions(0).save()
    with pytest.raises(InputError, match="leave the layers empty"):
        ActivationPatching(layers=(RELU,), part="direction", directions="planted", pairs=16).run(model, shown)


def test_all_is_done_at_the_end(model: TracedModel, shown: ArraySet) -> None:
    told = []

    class Counting(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            told.append((done, total))

    ActivationPatching(layers=(RELU, "parts.see"), part="unit", pairs=40, put="mean").run(model, shown, Counting())
    assert told[-1][1] > 0 and told[-1][0] == pytest.approx(told[-1][1], rel=0.1), "what is patched together is part of it"
    assert all(before <= after for (before, _), (after, _) in pairwise(told))
