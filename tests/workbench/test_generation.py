"""Drawing with a diffusion network whose answer is known: it pulls any noise to one picture, which the text chooses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import workbench
from workbench.analyses.generation import BATCH, LETTERS, Generation
from workbench.input_error import InputError
from workbench.models.caption_tokenizer import CONTEXT, caption_tokenizer, in_style, tokens_of
from workbench.models.diffusion import DiffusionStep, Sampling, kept_of, unchanged
from workbench.models.further_input import timestep_input
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.task import Task

SIDE = 8
SCHEDULE = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction", "timestep_spacing": "trailing"}


class Said:
    def __init__(self, value: Tensor) -> None:
        self.sample = self.last_hidden_state = value


class Words(nn.Module):
    """Colour of a word: token 1 is red, 2 is green, 0 (nothing) is grey."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Embedding.from_pretrained(torch.tensor([[0.0, 0, 0], [0.5, -0.5, -0.5], [-0.5, 0.5, -0.5]]))

    def forward(self, input_ids: Tensor) -> Said:
        return Said(self.colours(input_ids))


class Painter(nn.Module):
    """The optimal predictor of the velocity when there is one image only: a plane of the first token's colour."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = nn.Buffer(kept_of(SCHEDULE))

    def forward(self, noisy: Tensor, timestep: Tensor, text: Tensor) -> Said:
        clean = text[:, 0, :, None, None].expand_as(noisy)
        kept = self.kept[timestep].view(-1, 1, 1, 1)
        noise = (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()
        return Said(kept.sqrt() * noise - (1 - kept).sqrt() * clean)


def tokenize(texts: list[str]) -> Tensor:
    words = {"": 0, "red": 1, "green": 2}
    return torch.tensor([[words[text], 0] for text in texts])


def make(guidance: float = 3.0) -> TracedModel:
    shape = (3, SIDE, SIDE)
    example = (torch.zeros(2, *shape), torch.tensor([400, 400]), torch.zeros(2, *shape), tokenize(["red", ""]))
    return TracedModel.from_module(
        DiffusionStep(Painter(), kept_of(SCHEDULE), Words()),
        example,
        preprocessing=Preprocessing((SIDE, SIDE)),
        further={"timestep": timestep_input("timestep", 400, 1000)},
        tokenize=tokenize,
        sampling=Sampling(SCHEDULE, shape, unchanged, guidance=guidance),
    )


@pytest.fixture(scope="module")
def painter() -> TracedModel:
    return make()


def test_each_prompt_is_drawn_in_its_colour(painter: TracedModel) -> None:
    result = Generation(prompts=("red", "green", ""), images=2, steps=5, guidance=1).run(painter)
    images = result.arrays["images"]
    assert images.shape == (3, 2, SIDE, SIDE, 3)
    for drawn, colour in zip(images, ([0.75, 0.25, 0.25], [0.25, 0.75, 0.25], [0.5, 0.5, 0.5]), strict=True):
        assert np.abs(drawn - colour).max() < 1e-3
    trajectory = result.arrays["trajectory"]
    assert trajectory.shape == (5, *images.shape) and np.abs(trajectory / 255 - images).max() < 3e-3
    assert result.arrays["timesteps"].tolist() == [999, 799, 599, 399, 199]


def test_without_guidance_given_the_networks_own_is_followed(painter: TracedModel) -> None:
    found, given, other = (
        Generation(prompts=("red",), images=1, steps=4, guidance=guidance).run(network)
        for guidance, network in ((None, make(1.5)), (1.5, painter), (None, painter))
    )
    assert found.summary["guidance"] == 1.5 and other.summary["guidance"] == 3
    np.testing.assert_array_equal(found.arrays["images"], given.arrays["images"])
    assert not np.allclose(found.arrays["images"], other.arrays["images"])


def test_guidance_leads_away_from_no_prompt(painter: TracedModel) -> None:
    colours = [
        Generation(prompts=("red",), images=1, steps=4, guidance=guidance).run(painter).arrays["images"].mean((0, 1, 2, 3))
        for guidance in (0, 0.5, 1.5)
    ]
    assert np.allclose(colours[0], 0.5, atol=1e-3)
    assert np.allclose(colours[1], [0.625, 0.375, 0.375], atol=1e-3)
    assert np.allclose(colours[2], [0.875, 0.125, 0.125], atol=1e-3)


def test_a_seed_draws_the_same_however_many_are_drawn_with_it(painter: TracedModel) -> None:
    class Watcher(Task):
        def __init__(self) -> None:
            self.partials: list[np.ndarray] = []
            self.done: list[float] = []

        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            assert isinstance(partial, np.ndarray) and done <= total
            self.partials.append(partial)
            self.done.append(done)

    watcher = Watcher()
    many = Generation(prompts=("red",), images=BATCH + 2, steps=3, seed=4).run(painter, task=watcher)
    one = Generation(prompts=("red",), images=1, steps=3, seed=4 + BATCH + 1).run(painter)
    assert np.allclose(many.arrays["trajectory"][:, 0, -1], one.arrays["trajectory"][:, 0, 0], atol=1)
    assert many.summary["seeds"][-1] == one.summary["seeds"][0] == 4 + BATCH + 1
    assert watcher.done == sorted(watcher.done) and watcher.done[-1] == 3 * (BATCH + 2)
    assert (watcher.partials[0][0, BATCH:] == 128).all() and (watcher.partials[-1] != 128).any(axis=(2, 3, 4)).all()


def test_what_does_not_fit_is_refused(painter: TracedModel) -> None:
    classifier = TracedModel.from_module(nn.Conv2d(3, 4, 3), torch.zeros(2, 3, 8, 8))
    with pytest.raises(InputError, match="Conv2d draws nothing; open a diffusion network"):
        Generation(prompts=("red",)).run(classifier)
    assert Generation(prompts=()).prompts == Generation(prompts="").prompts == ("",)


def test_a_prompt_whose_style_would_be_cut_off_is_refused_before_anything_is_drawn() -> None:
    class Untouched(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            raise AssertionError("something was drawn")

    model = workbench.load("bundled:diffusion")
    tokenizer = caption_tokenizer()
    words = next(number for number in range(1, 99) if tokens_of(tokenizer, in_style("cat " * number, "noto")) > CONTEXT)
    fits, too_long = (in_style(("cat " * number).strip(), "noto") for number in (words - 1, words))
    assert tokens_of(tokenizer, fits) <= CONTEXT < tokens_of(tokenizer, too_long)
    assert not torch.equal(tokenizer(fits), tokenizer(in_style(("cat " * (words - 1)).strip(), "openmoji"))), "its style is read"
    said = rf"'(cat )*cat, noto style' has {tokens_of(tokenizer, too_long)} tokens, .* reads {CONTEXT} at most"
    with pytest.raises(InputError, match=said):
        Generation(prompts=("a cat", too_long), images=1, steps=1).run(model, task=Untouched())
    with pytest.raises(InputError, match=rf"'[cat ]{{{LETTERS - 1}}}…' has"):
        Generation(prompts=("cat " * 1000,), images=1, steps=1).run(model, task=Untouched())
    assert Generation(prompts=(fits,), images=1, steps=1).run(model).arrays["images"].shape[:2] == (1, 1)
    assert tokens_of(tokenize, "red") is None, "one that does not say how many it would cut"


@pytest.mark.parametrize("steps", [61, 1000])
def test_any_number_of_steps_up_to_all_levels(painter: TracedModel, steps: int) -> None:
    timesteps = Generation(images=1, steps=steps).run(painter).arrays["timesteps"]
    assert len(timesteps) == steps and timesteps[0] == 999 and timesteps.min() >= 0 and (np.diff(timesteps) < 0).all()


def test_no_more_steps_than_levels(painter: TracedModel) -> None:
    few = Sampling({**SCHEDULE, "num_train_timesteps": 20}, (3, SIDE, SIDE), unchanged)
    painter.sampling, kept = few, painter.sampling
    try:
        with pytest.raises(InputError, match="steps = 40: DiffusionStep has 20 noise levels"):
            Generation().run(painter)
    finally:
        painter.sampling = kept


def test_figures_show_every_image(painter: TracedModel) -> None:
    result = Generation(prompts=("red", ""), images=3, steps=12).run(painter)
    figures = result.figures()
    assert len(figures["images"].axes) == 6 and len(figures["trajectory"].axes) == 2 * 9
