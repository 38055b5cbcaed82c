"""What the worker answers while two images are drawn: activations, classes, and which parts carry the difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import workbench
from workbench.input_error import InputError
from workbench.jobs.canvas_requests import PairOnNetwork, PartsOnPair, SeenImages
from workbench.jobs.engine import Engine
from workbench.jobs.store import Store
from workbench.models.layer import Unit
from workbench.models.one_call import one_call
from workbench.models.parts import blocks_with_parts, passed_by_all, spread, spread_blocks
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Task

SIDE = 12


class Branches(nn.Module):
    """Red is seen by one branch and blue by the other; only the first counts for the first class."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.red, self.blue = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)
        self.mixed, self.head = nn.Conv2d(4, 4, 1), nn.Linear(4, 3)
        with torch.no_grad():
            for conv in (self.stem, self.red, self.blue, self.mixed, self.head):
                conv.weight.zero_()
                conv.bias.zero_()
            self.stem.weight[:, :, 0, 0] = torch.eye(3)
            self.red.weight[:, 0] = 1.0
            self.blue.weight[:, 2] = 1.0
            self.mixed.weight[:, :, 0, 0] = torch.eye(4)
            self.head.weight[0, :2] = 1.0
            self.head.weight[1, 2:] = 0.25

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = torch.relu(self.stem(x))
        both = torch.cat([torch.relu(self.red(stem)), torch.relu(self.blue(stem))], 1)
        return self.head(torch.relu(self.mixed(both)).mean((2, 3)))


class Chain(nn.Sequential):
    """A plain chain, without classes."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3))


class OneModel(Engine):
    """An engine that has one network, whatever is asked for."""

    def __init__(self, store: Store, model: TracedModel) -> None:
        super().__init__(store)
        self.only = model

    def model(self, ref: str, *, allow_code: bool = False, task: Task | None = None) -> TracedModel:
        return self.only


def engine_of(tmp_path: Path, module: nn.Module, labels: tuple[str, ...] = ()) -> OneModel:
    plain = Preprocessing((SIDE, SIDE), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    model = TracedModel.from_module(module.eval(), torch.zeros(2, 3, SIDE, SIDE), preprocessing=plain, labels=labels)
    return OneModel(Store(tmp_path), model)


@pytest.fixture
def engine(tmp_path: Path) -> OneModel:
    return engine_of(tmp_path, Branches(), ("red", "blue", "none"))


def plain(*colour: int) -> np.ndarray:
    image = np.empty((SIDE, SIDE, 3), np.uint8)
    image[:] = colour
    image.setflags(write=False)
    return image


RED, BLUE, BLACK = plain(255, 0, 0), plain(0, 0, 255), plain(0, 0, 0)


def test_activations_and_classes_of_both_images(engine: OneModel):
    cat = next(name for name, layer in engine.only.layers.items() if layer.kind == "cat")
    found = PairOnNetwork("any", cat, RED, BLUE).run(engine, Task())
    assert found["clean_units"].tolist() == pytest.approx([1, 1, 0, 0]) and found["corrupt_units"].tolist() == pytest.approx([0, 0, 1, 1])
    assert found["classes"][0] == "red" and found["clean_classes"][0] == pytest.approx(np.exp(2) / (np.exp(2) + 2))
    assert found["clean_classes"].sum() == pytest.approx(1, abs=1e-6)
    again = PairOnNetwork("any", cat, RED, BLACK).run(engine, Task())
    assert np.array_equal(again["clean_units"], found["clean_units"]) and not again["corrupt_units"].any()
    same = PairOnNetwork("any", cat, RED, RED.copy()).run(engine, Task())
    assert np.array_equal(same["clean_units"], same["corrupt_units"])


def test_one_call_gives_the_same_numbers_to_the_last_bit(engine: OneModel, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(6 * 64, 5))
    model = TracedModel.from_module(net.eval(), torch.zeros(2, 3, SIDE, SIDE))
    piece = model.forward_to(["2", model.graph.output])
    example, other = torch.randn(2, 1, 3, SIDE, SIDE)
    run = one_call(piece, (example,))
    assert run is not piece
    for x in (example, other):
        assert all(torch.equal(one, two) for one, two in zip(run(x), piece(x), strict=True))

    def refuse(*_given: object, **_options: object) -> None:
        raise RuntimeError("unknown operation")

    monkeypatch.setattr(torch.jit, "trace", refuse)
    assert one_call(piece, (example,)) is piece


def test_the_branch_that_sees_the_difference_carries_it(engine: OneModel):
    told: list[object] = []

    class Told(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            told.append(partial)

    found = PartsOnPair("any", RED, BLACK).run(engine, Told())
    (block,) = found["blocks"]
    assert found["scores"][block].tolist() == [1.0, 0.0]
    assert len(found["parts"]) == 1 and len(found["parts"][0]) == 2
    assert "logit red − blue" in found["metric"] and found["difference"] == pytest.approx(2) and not found["alike"]
    assert any(isinstance(one, dict) and block in one for one in told), "a block is told as soon as it is there"
    both = PartsOnPair("any", RED, BLUE).run(engine, Task())["scores"][block]
    assert both.sum() == pytest.approx(1) and both[0] == pytest.approx(2 / 2.5)
    unit = PartsOnPair("any", BLUE, BLACK, Unit(engine.only.graph.output, 1)).run(engine, Task())
    assert unit["scores"][block].tolist() == [0.0, 1.0] and "largest activation" in unit["metric"]


def test_patching_takes_what_was_computed_for_the_activations(engine: OneModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """While one draws the network runs once for each picture: what patching reads is kept from that run."""
    cat = next(name for name, layer in engine.only.layers.items() if layer.kind == "cat")
    runs = []
    once = TracedModel.activations
    monkeypatch.setattr(TracedModel, "activations", lambda *given: runs.append(given) or once(*given))
    PairOnNetwork("any", cat, RED, BLUE).run(engine, Task())
    PartsOnPair("any", RED, BLUE, None, 0.02).run(engine, Task())
    assert len(runs) == 2, "nothing was kept before: both images are run"
    PairOnNetwork("any", cat, RED, BLACK).run(engine, Task())
    PartsOnPair("any", RED, BLACK, None, 0.02).run(engine, Task())
    assert len(runs) == 2, "also within the first stroke of all"
    for corrupt in (BLACK, plain(200, 0, 10), plain(150, 0, 20)):
        PairOnNetwork("any", cat, RED, corrupt).run(engine, Task())
    found = PartsOnPair("any", RED, plain(200, 0, 10)).run(engine, Task())
    assert len(runs) == 2, "one that was drawn meanwhile does not matter"
    fresh = PartsOnPair("any", RED, plain(200, 0, 10)).run(OneModel(Store(tmp_path), engine.only), Task())
    assert found["difference"] == fresh["difference"] and found["metric"] == fresh["metric"]
    assert all(np.array_equal(found["scores"][block], scores) for block, scores in fresh["scores"].items())
    known = SeenImages.by(engine, engine.only)
    assert len(known.values) <= 4
    PartsOnPair("any", RED, BLACK, Unit("mixed", 0)).run(engine, Task())
    assert "mixed" in known.reads and all(set(each) == set(known.reads) for each in known.values.values())


def test_a_block_that_took_long_is_left_out_for_a_while(engine: OneModel, monkeypatch: pytest.MonkeyPatch):
    took = iter([0.5, *[0.001] * 100])
    now = [0.0]
    once = PartsOnPair._scores

    def slow(self: PartsOnPair, *given: Any) -> Any:
        now[0] += next(took)
        return once(self, *given)

    monkeypatch.setattr(PartsOnPair, "_scores", slow)
    monkeypatch.setattr("workbench.jobs.canvas_requests.time", SimpleNamespace(perf_counter=lambda: now[0]))
    PartsOnPair("any", RED, BLUE).run(engine, Task())
    assert PartsOnPair("any", RED, BLUE, None, 0.02).run(engine, Task())["scores"], "the first run, in which it is recorded, does not count"
    took = iter([0.05, *[0.001] * 100])
    PartsOnPair("any", RED, BLACK).run(engine, Task())
    tried = []
    for _ in range(12):
        tried.append(bool(PartsOnPair("any", RED, BLUE, None, 0.02).run(engine, Task())["scores"]))
        PartsOnPair("any", RED, BLUE).run(engine, Task())
    assert tried[:5] == [False] * 5 and tried[-1], "it is tried again"


def test_pairs_that_read_the_same_are_said_to_be_alike(engine: OneModel):
    green = PartsOnPair("any", plain(0, 200, 0), BLACK).run(engine, Task())
    assert green["alike"] and green["scores"] == {} and green["difference"] == 0


def test_what_nobody_can_wait_for_is_left_out(engine: OneModel):
    assert not PartsOnPair("any", RED, BLUE, None, 10.0).run(engine, Task())["scores"], "it is recorded first, which takes long"
    assert PartsOnPair("any", RED, BLUE).run(engine, Task())["scores"]
    assert PartsOnPair("any", RED, BLUE, None, 10.0).run(engine, Task())["scores"]
    found = PartsOnPair("any", RED, BLACK, None, 1e-9).run(engine, Task())
    assert found["scores"] == {} and not found["alike"] and len(found["blocks"]) == 1


def test_patching_can_be_cancelled(engine: OneModel):
    class Stopped(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            raise Cancelled("test")

    with pytest.raises(Cancelled):
        PartsOnPair("any", RED, BLACK).run(engine, Stopped())
    assert PartsOnPair("any", RED, BLACK).precedence > PairOnNetwork("any", "", RED, BLACK).precedence


def test_a_network_without_classes_is_read_along_the_way_between_its_outputs(tmp_path: Path):
    engine = engine_of(tmp_path, Branches())
    found = PartsOnPair("any", RED, BLUE).run(engine, Task())
    assert "along the way from corrupt to clean" in found["metric"] and found["difference"] == pytest.approx(1)
    (scores,) = found["scores"].values()
    assert scores.sum() == pytest.approx(1) and scores[0] > 0.9
    assert PairOnNetwork("any", "red", RED, BLUE).run(engine, Task())["classes"] == ()


def test_a_plain_chain_says_why_there_is_nothing_to_patch(tmp_path: Path):
    engine = engine_of(tmp_path, Chain())
    with pytest.raises(InputError, match="put together from parts"):
        PartsOnPair("any", RED, BLUE).run(engine, Task())


def test_blocks_are_spread_and_residual_branches_are_parts():
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.stem = nn.Conv2d(3, 4, 3, padding=1)
            self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(4))
            self.head = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.stem(x))
            for block in self.blocks:
                x = torch.relu(x + block(x))
            return self.head(x.mean((2, 3)))

    model = TracedModel.from_module(Residual().eval(), torch.zeros(2, 3, SIDE, SIDE))
    blocks = spread_blocks(blocks_with_parts(model), 3)
    assert len(blocks) == 3 and [[part.name for part in block.parts] for block in blocks] == [["blocks.0"], ["blocks.2"], ["blocks.3"]]
    assert set(block.layer for block in blocks) <= set(passed_by_all(model))
    assert spread(range(10), 3) == [0, 4, 9] and spread("ab", 5) == ["a", "b"]


def test_attention_and_mlp_of_a_block_stay_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    network = VisionTransformer(img_size=SIDE, patch_size=4, embed_dim=8, depth=6, num_heads=2, num_classes=3)
    engine = engine_of(tmp_path, network, ("red", "blue", "none"))
    monkeypatch.setattr("workbench.jobs.canvas_requests.BLOCKS", 6)
    found = PartsOnPair("any", RED, BLUE).run(engine, Task())
    names = [part for parts in found["parts"] for part in parts]
    kinds = {name.rpartition(".")[2] for name in names}
    assert kinds == {"attn", "mlp"} and len(found["blocks"]) <= 6 < found["total"]
    assert all(f"{name[:-3]}attn" in names for name in names if name.endswith(".mlp")) and "blocks.5.mlp" in names
    unit = next(name for name in engine.only.layers if name == "blocks.2.mlp")
    early = PartsOnPair("any", RED, BLUE, Unit(unit, 0)).run(engine, Task())
    assert early["total"] == len(early["blocks"]) == 5, "all that feed it, rather than those of a choice that do"


def small_vit(**settings: object) -> TracedModel:
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    network = VisionTransformer(img_size=SIDE, patch_size=4, embed_dim=8, depth=3, num_heads=2, num_classes=3, **settings)  # type: ignore[arg-type]
    return TracedModel.from_module(network.eval(), torch.zeros(2, 3, SIDE, SIDE))


@pytest.mark.parametrize(
    ("make", "depth"),
    [
        (lambda: workbench.load("bundled:vit"), 6),
        (small_vit, 3),
        (lambda: small_vit(global_pool="avg", class_token=False), 3),
    ],
    ids=["bundled", "small", "averaged"],
)
def test_every_attention_and_every_mlp_of_a_transformer_is_a_part(make: Callable[[], TracedModel], depth: int):
    """The last MLP too: behind it there is a normalisation, and no weights until tokens are chosen or averaged."""
    found = [part.name for block in blocks_with_parts(make()) for part in block.parts]
    assert found == [f"blocks.{block}.{part}" for block in range(depth) for part in ("attn", "mlp")]


def test_what_a_normalisation_reads_is_a_block_with_parts():
    class Before(nn.Module):
        """Normalised before its branch, as in ResNet v2; its last sum is only normalised and averaged."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.stem = nn.Conv2d(3, 4, 3, padding=1)
            self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(3))
            self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
            self.head = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            for norm, block in zip(self.norms, self.blocks, strict=False):
                x = x + block(torch.relu(norm(x)))
            return self.head(torch.relu(self.norms[2](x)).mean((2, 3)))

    class Dense(nn.Module):
        """Put together from all before, then normalised."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.stem, self.more = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.stem(x))
            x = torch.cat([x, self.more(x)], 1)
            return self.head(torch.relu(self.norm(x)).mean((2, 3)))

    parts = []
    for module in (Before(), Dense()):
        model = TracedModel.from_module(module.eval(), torch.zeros(2, 3, SIDE, SIDE))
        parts.append([[part.name for part in block.parts] for block in blocks_with_parts(model)])
    assert parts[0] == [["blocks.0"], ["blocks.1"]] and parts[1] == [[":relu", "more"]]


def mixer() -> nn.Module:
    from timm.models.mlp_mixer import MlpMixer

    return MlpMixer(img_size=SIDE, patch_size=4, num_blocks=2, embed_dim=8, num_classes=3)


def swin() -> nn.Module:
    from timm.models.swin_transformer import SwinTransformer

    return SwinTransformer(
        img_size=SIDE, patch_size=2, window_size=2, embed_dim=4, depths=(2,), num_heads=(1,), num_classes=3
    )


@pytest.mark.parametrize("make", [mixer, swin])
def test_what_is_moved_before_it_is_added_is_a_part_by_the_layer_it_comes_from(make: Callable[[], nn.Module], tmp_path: Path):
    torch.manual_seed(0)
    network = make()
    nn.init.normal_(network.get_submodule("head.fc" if make is swin else "head").weight)  # begins at zero
    engine = engine_of(tmp_path, network, ("red", "blue", "none"))
    found = PartsOnPair("any", RED, BLUE).run(engine, Task())
    names = [part for parts in found["parts"] for part in parts]
    assert all(name in engine.only.layers for name in names)
    assert all(np.isfinite(scores).all() for scores in found["scores"].values()) and len(found["scores"]) == len(found["blocks"])
    assert not set(names) & set(found["blocks"]), "the stream is no part, however it is arranged"
    tokens = "mlp_tokens" if make is mixer else "attn"
    assert any(tokens in name for name in names) and any("mlp" in name and "tokens" not in name for name in names)
