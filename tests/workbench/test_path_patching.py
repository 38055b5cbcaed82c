"""Path patching: the direct path and the one through a receiver are told apart, and disjoint paths add up where all is linear."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.input_error import InputError
from workbench.models.patching import Patch, patches_of, scores
from workbench.models.path_patching import PathPatcher, place_of
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel

SIDE = 6


class Detour(nn.Module):
    """What the sender says reaches the output by itself (1), through the first middle unit (2 x 3), and through the second (5 x 7)."""

    def __init__(self) -> None:
        super().__init__()
        self.sender, self.middle = nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False)
        self.late, self.out = nn.Conv2d(2, 2, 1, bias=False), nn.Linear(4, 1, bias=False)
        with torch.no_grad():
            self.sender.weight.copy_(torch.eye(2, 3)[..., None, None])
            self.middle.weight.copy_(torch.tensor([[2.0, 0.0], [5.0, 11.0]])[..., None, None])
            self.late.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 7.0]])[..., None, None])
            self.out.weight.copy_(torch.tensor([[1.0, 0.0, 1.0, 1.0]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sent = self.sender(x)
        return self.out(torch.cat([sent, self.late(self.middle(sent))], 1).mean((2, 3)))


def traced(module: nn.Module) -> TracedModel:
    example = torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64)
    return TracedModel.from_module(module.double().eval(), example, preprocessing=Preprocessing((SIDE, SIDE)))


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return traced(Detour())


def images(pairs: int, seed: int) -> tuple[torch.Tensor]:
    return (torch.randn(pairs, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64),)


def effect(patcher: PathPatcher, patches: list[Patch]) -> torch.Tensor:
    """Return m - m_base of each patch, ``row pair``."""
    said = patcher.run(patcher.values(images(3, 0)), patcher.values(images(3, 1)), patches)[..., 0]
    return said[2:] - said[0]


def test_each_path_has_the_product_of_its_weights(model: TracedModel) -> None:
    moved = (images(3, 1)[0] - images(3, 0)[0]).mean((2, 3))
    units = patches_of(model, "sender", "unit")
    for receiver, weights in (("middle:0", (6, 0)), ("middle:1", (35, 77)), ("middle", (41, 77)), ("late:0", (6, 0)), ("late", (41, 77))):
        found = effect(PathPatcher(model, "sender", place_of(model, receiver)), units)
        assert torch.allclose(found, torch.tensor(weights)[:, None] * moved.T[:2], atol=1e-12), receiver


def test_disjoint_paths_of_a_linear_net_add_up_to_all(model: TracedModel) -> None:
    join = next(name for name, layer in model.layers.items() if layer.kind == "cat")
    whole = patches_of(model, "sender", "layer")
    total = effect(PathPatcher(model, "sender", place_of(model, join)), whole)
    parts = [PathPatcher(model, "sender", place_of(model, f"middle:{unit}")) for unit in (0, 1)]
    parts.append(PathPatcher(model, "sender", place_of(model, join), hold=["late"]))
    assert torch.allclose(sum(effect(part, whole) for part in parts), total, atol=1e-12)
    direct = effect(parts[-1], whole)
    assert torch.allclose(direct[0], (images(3, 1)[0] - images(3, 0)[0]).mean((2, 3))[:, 0], atol=1e-12), "past what is held: weight 1"


def test_nothing_is_0_exactly_and_the_second_row_is_all(model: TracedModel) -> None:
    patcher = PathPatcher(model, "sender", place_of(model, "middle:1"))
    base, other = patcher.values(images(3, 0)), patcher.values(images(3, 1))
    none = Patch("none", "sender", patches_of(model, "sender", "unit")[0].units[:0])
    found = scores(patcher.run(base, other, [none, *patches_of(model, "sender", "unit")])[..., 0])
    assert (found[0] == 0).all() and (found[1] == 1).all() and (found[2] == 0).all()


class Bent(nn.Module):
    """Two ways that are not linear, one through a layer whose units are many."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second, self.third = (nn.Conv2d(*size, 3, padding=1) for size in ((3, 8), (8, 8), (8, 8)))
        self.out = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = torch.relu(self.first(x))
        second = first + torch.tanh(self.second(first))
        return self.out((second + torch.tanh(self.third(second))).mean((2, 3)))


def test_batched_is_as_edits_made_one_by_one() -> None:
    model = traced(Bent())
    clean, corrupt = images(2, 1), images(2, 0)
    patcher = PathPatcher(model, "first", place_of(model, "third:2,5"))
    patches = [*patches_of(model, "first", "unit"), *patches_of(model, "first", "cell")[:9]]
    together = patcher.run(patcher.values(corrupt), patcher.values(clean), patches)[2:]
    of_clean = model.activations(clean, ["first"])["first"]
    for patch, row in zip(patches, together, strict=True):

        def put(activation: torch.Tensor, patch: Patch = patch) -> torch.Tensor:
            changed = activation.clone().flatten(2)
            patch.write(changed, of_clean.flatten(2))
            return changed.reshape(activation.shape)

        heard = model.edited(corrupt, {"first": put}, target="third")

        def listen(activation: torch.Tensor, heard: torch.Tensor = heard) -> torch.Tensor:
            changed = activation.clone()
            changed[:, [2, 5]] = heard[:, [2, 5]]
            return changed

        alone = model.edited(corrupt, {"third": listen})
        assert (alone - row).abs().max() <= 1e-12 * together.abs().max(), patch.name


def test_the_estimate_is_exact_where_all_is_linear_and_near_for_small_steps(model: TracedModel) -> None:
    patcher = PathPatcher(model, "sender", place_of(model, "middle:1"))
    base, other = patcher.values(images(3, 0)), patcher.values(images(3, 1))
    guess = patcher.estimate(base, other[0], lambda value: value[:, 0])
    units = patches_of(model, "sender", "unit")
    assert torch.allclose(torch.stack([patch.of(guess) for patch in units]), effect(patcher, units), atol=1e-10)
    bent = traced(Bent())
    near = PathPatcher(bent, "first", place_of(bent, "third:2,5"))
    start, step = images(2, 0)[0], images(2, 1)[0]
    base, other = near.values((start,)), near.values((start + 1e-5 * step,))
    patches = patches_of(bent, "first", "unit")
    exact = near.run(base, other, patches)[..., 1]
    guess = near.estimate(base, other[0], lambda value: value[:, 1])
    exact = exact[2:] - exact[0]
    assert (torch.stack([patch.of(guess) for patch in patches]) - exact).abs().max() < 1e-3 * exact.abs().max()


def test_what_is_no_path_says_so(model: TracedModel) -> None:
    with pytest.raises(InputError, match="does not feed"):
        PathPatcher(model, "middle", place_of(model, "sender"))
    with pytest.raises(InputError, match="units 0 to 1, not 7"):
        place_of(model, "middle:7")
    with pytest.raises(InputError, match="cannot be held"):
        PathPatcher(model, "sender", place_of(model, "late"), hold=["late"])
    with pytest.raises(InputError, match="no layer named"):
        place_of(model, "midle")


def test_the_receiver_may_be_what_is_read(model: TracedModel) -> None:
    moved = (images(3, 1)[0] - images(3, 0)[0]).mean((2, 3))
    units, output = patches_of(model, "sender", "unit"), model.graph.output
    straight = PathPatcher(model, "sender", place_of(model, output), hold=["late"])
    assert torch.allclose(effect(straight, units), torch.tensor([[1.0], [0.0]], dtype=torch.float64) * moved.T[:2], atol=1e-12)
    base, other = straight.values(images(3, 0)), straight.values(images(3, 1))
    guess = straight.estimate(base, other[0], lambda value: value[:, 0])
    assert torch.allclose(torch.stack([patch.of(guess) for patch in units]), effect(straight, units), atol=1e-10)
    found = scores(straight.run(base, other, units)[..., 0])
    assert (found[0] == 0).all() and (found[1] == 1).all()
    one = PathPatcher(model, "sender", place_of(model, "middle:1"), target="middle")
    base, other = one.values(images(3, 0)), one.values(images(3, 1))
    said = one.run(base, other, units)
    assert torch.equal(said[2:, :, 0], said[:1, :, 0].expand(2, -1, -1, -1)), "what is not listened to stays"
    assert torch.allclose(said[1], model.activations(images(3, 1), ["middle"])["middle"], atol=1e-12)
    assert torch.allclose((said[2:, :, 1] - said[0, :, 1]).mean((2, 3)), torch.tensor([[5.0], [11.0]], dtype=torch.float64) * moved.T[:2])


def test_what_is_held_lies_on_the_way_and_leaves_one(model: TracedModel) -> None:
    join = next(name for name, layer in model.layers.items() if layer.kind == "cat")
    with pytest.raises(InputError, match="out does not lie between sender and late"):
        PathPatcher(model, "sender", place_of(model, "late"), hold=["out"])
    with pytest.raises(InputError, match="sender does not lie between middle and late"):
        PathPatcher(model, "middle", place_of(model, "late"), hold=["sender"])
    with pytest.raises(InputError, match="every path from sender to late leads through middle"):
        PathPatcher(model, "sender", place_of(model, "late"), hold=["middle"])
    with pytest.raises(InputError, match="is what is patched"):
        PathPatcher(model, "sender", place_of(model, "late"), hold=["sender"])
    PathPatcher(model, "sender", place_of(model, join), hold=["middle"])
