"""Nearest units: copies and opposites of a planted unit, the null of twins, and the weights that read a layer against composing them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from workbench.analyses.nearest_units import NearestUnits, correlations, cosines, nearest
from workbench.images.image_set import ImageSet
from workbench.input_error import InputError
from workbench.models.outgoing import outgoing_gram
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel


class Noise(ImageSet):
    """Fifty concepts in two drawings: noise of 8 x 8 blocks that the two share in part."""

    def __init__(self, concepts: int = 50) -> None:
        names = [f"thing {i // 2}" for i in range(2 * concepts)]
        super().__init__("test:noise", "Noise", [f"{i}" for i in range(2 * concepts)], {"concept": names})

    @property
    def content_hash(self) -> str:
        return f"noise {len(self)}"

    def _read(self, index: int, size: tuple[int, int] | None) -> np.ndarray:
        shared, own = np.random.default_rng(index // 2), np.random.default_rng([index, 1])
        image = (shared.integers(0, 128, (8, 8, 3)) + own.integers(0, 128, (8, 8, 3))).astype(np.uint8)
        height, width = size or (8, 8)
        return np.repeat(np.repeat(image, height // 8, 0), width // 8, 1)


class Family(nn.Module):
    """Units: a, noisy copy of a, minus a, b, a constant; then a layer that reads a and its copy alike, and b otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 5, 3, padding=1)
        self.second = nn.Conv2d(5, 6, 1)
        with torch.no_grad():
            self.first.bias.zero_()
            a, b = torch.randn(2, 3, 3, 3, generator=torch.Generator().manual_seed(0))
            self.first.weight.copy_(torch.stack([a, a + 0.2 * b, -a, b, 0 * a]))
            read = torch.randn(6, generator=torch.Generator().manual_seed(1))
            other = torch.randn(6, generator=torch.Generator().manual_seed(2))
            self.second.weight.copy_(
                torch.stack([read, read + 0.1 * other, other, -read, 0 * read], 1)[:, :, None, None]
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return TracedModel.from_module(
        Family(), torch.randn(2, 3, 16, 16), preprocessing=Preprocessing((16, 16)), name="Family"
    )


def test_a_copy_is_nearest_and_what_never_changes_has_no_neighbour(model: TracedModel) -> None:
    result = NearestUnits(layer="first", others=("second",), over="places", twins=2, nearest=3, units=(0,)).run(
        model, Noise()
    )
    arrays = result.arrays
    assert arrays["first/index"][0, 0] == 1 and arrays["first/index"][1, 0] == 0
    assert arrays["first/held_out"][0, 0] > 0.9
    assert 2 not in arrays["first/index"][0, :2]  # the opposite is the farthest
    assert (arrays["first/index"][4] == -1).all() and np.isnan(arrays["first/correlation"][4]).all()
    assert (arrays["first/index"][:4] != 4).all()
    low, middle, high = (arrays[f"first/{name}"][:4, 0] for name in ("low", "held_out", "high"))
    assert (low < middle).all() and (middle < high).all()
    assert arrays["weights/index"][0, 0] == 1 and arrays["weights/cosine"][0, 0] > 0.95
    assert arrays["weights/index"][4, 0] == -1
    assert arrays["first/twins"].shape == arrays["weights/twins"].shape == arrays["second/twins"].shape == (2, 5)
    summary = result.summary
    assert summary["read_by"] == ["second"]
    assert summary["units"][0]["first"][0]["unit"] == 1
    assert summary["beside_twins"]["weights"]["twins_median"] < 0.9
    json.dumps(summary, allow_nan=False)
    assert set(result.figures()) == {"nearest"}


def test_places_are_the_same_in_layers_of_other_sizes() -> None:
    """A unit and the same after a stride of two, read at the same fractions of the image."""

    class Shrunk(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide = nn.Conv2d(3, 4, 1)
            self.small = nn.AvgPool2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.small(self.wide(x))

    model = TracedModel.from_module(Shrunk(), torch.randn(2, 3, 16, 16), preprocessing=Preprocessing((16, 16)))
    result = NearestUnits(layer="wide", others=("small",), over="places", twins=0, nearest=1).run(model, Noise())
    # The images are blocks of two pixels, so that pooling changes nothing.
    assert (result.arrays["small/index"][:, 0] == np.arange(4)).all()
    assert result.arrays["small/correlation"][:, 0] == pytest.approx(1, abs=1e-4)


def test_in_independent_noise_neighbours_do_not_hold_up() -> None:
    """Chosen among a hundred on one half, the nearest of unrelated units is nobody's neighbour on the other, and intervals say so."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 400, 100))
    index, chosen = nearest(correlations(x[:200], y[:200]), 1)
    held_out = correlations(x[200:], y[200:])[np.arange(100), index[:, 0]]
    assert np.median(chosen) > 0.15 and abs(np.mean(held_out)) < 0.03


def test_intervals_hold_the_true_correlation() -> None:
    """Of images in concepts of two that share half of what they are."""
    from scipy.sparse import csr_array

    from workbench.analyses.nearest_units import _bootstrap, _intervals

    rng = np.random.default_rng(1)
    concept = np.repeat(np.arange(150), 2)
    by_concept = csr_array((np.ones(300), (concept, np.arange(300))), (150, 300))

    def sample() -> np.ndarray:
        return (rng.normal(size=(150, 400))[concept] + rng.normal(size=(300, 400))) / np.sqrt(2)

    x, noise = sample(), sample()
    y = 0.6 * x + 0.8 * noise
    half = np.arange(150) % 2 == 0
    found = _intervals(x, y, half[concept], by_concept, _bootstrap(150, half, 0))
    assert ((found["low"] <= 0.6) & (found["high"] >= 0.6)).mean() > 0.9
    assert np.mean(found["high"] - found["low"]) < 0.35


@pytest.mark.parametrize(
    ("parameters", "said"),
    [({"units": (7,)}, "units 0 to 4, not 7"), ({"others": ("thrid",)}, "no layer named 'thrid'")],
)
def test_what_does_not_fit_is_said(model: TracedModel, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        NearestUnits(layer="first", **parameters).run(model, Noise())


def test_too_few_concepts_are_said(model: TracedModel) -> None:
    with pytest.raises(InputError, match="8 are the least"):
        NearestUnits(layer="first").run(model, Noise(5))


# Which weights read a layer


class Reads(nn.Module):
    """Depthwise between, groups, side by side, a gain in the way, and a flattened map."""

    def __init__(self) -> None:
        super().__init__()
        self.source = nn.Conv2d(3, 4, 1)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.mixing = nn.Conv2d(4, 6, 3, padding=1, bias=False)
        self.normed = nn.BatchNorm2d(6)
        self.beside = nn.Conv2d(3, 2, 1)
        self.grouped = nn.Conv2d(6, 6, 1, groups=2)
        self.last = nn.Linear(4 * 64, 5)
        for norm in (self.norm, self.normed):
            nn.init.normal_(norm.weight)
            norm.running_var.uniform_(0.5, 2)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        source = torch.relu(self.source(x))
        mixed = self.normed(self.mixing(self.norm(self.depthwise(source))))
        grouped = self.grouped(torch.cat([self.beside(x), source], 1))
        return [mixed, grouped, self.last(source.flatten(1))]


def test_outgoing_weights_are_the_gradients_of_what_reads_a_unit() -> None:
    """Between a layer and those that read it everything is linear here, so each unit's vector is a Jacobian."""
    module = Reads().eval()
    model = TracedModel.from_module(module, torch.randn(2, 3, 8, 8))
    gram, readers = outgoing_gram(model.graph, "source")
    assert readers == ("mixing", "grouped", "last")

    centre = (0, slice(None), 4, 4)
    point = torch.ones(1, 4, 8, 8, requires_grad=True)  # positive: ReLU is open
    mixed = module.normed(module.mixing(module.norm(module.depthwise(point))))
    grouped = module.grouped(torch.cat([torch.zeros(1, 2, 8, 8), point], 1))
    vectors = []
    for output in (*mixed[centre], *grouped[centre], *module.last(point.flatten(1))[0]):
        (slope,) = torch.autograd.grad(output, point, retain_graph=True)
        vectors.append(slope[0].flatten(1))
    vectors = torch.cat(vectors, 1).double()
    assert gram == pytest.approx((vectors @ vectors.T).float().numpy(), rel=1e-4, abs=1e-5)


def test_a_residual_stream_is_read_by_all_later_blocks() -> None:
    class Stream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList(nn.LayerNorm(6) for _ in range(3))
            self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.flatten(2).transpose(1, 2)
            for norm, block in zip(self.norms, self.blocks, strict=True):
                x = x + torch.relu(block(norm(x)))
            return x

    model = TracedModel.from_module(Stream(), torch.randn(2, 6, 4, 4))
    assert outgoing_gram(model.graph, "norms.0")[1] == ("blocks.0",)
    first = next(name for name in model.layers if name.startswith(":add"))
    assert outgoing_gram(model.graph, first)[1] == ("blocks.1", "blocks.2")
    gram, readers = outgoing_gram(model.graph, model.graph.output)
    assert readers == () and not gram.any()
    assert np.isnan(cosines(gram.numpy())).all()
