"""What the window asks about kernels by hand: the unit's own, what another does in its place, and the network as a file."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from workbench.analyses.hand_coding import HandCoding
from workbench.input_error import InputError
from workbench.jobs.engine import Engine
from workbench.jobs.kernel_requests import ExportNetwork, KernelOf, RecoverLive, TryKernel
from workbench.jobs.store import Store
from workbench.kernel_edits import KernelEdit
from workbench.models.kernel_site import KernelSite, with_kernels
from workbench.models.layer import Unit
from workbench.models.traced_model import TracedModel
from workbench.task import Task

MODEL = "bundled:planted/hue_line_net"
IMAGES = "stimuli:lines?ink_hue=29,235&orientations=16&ink_lightness=0.7&ink_chroma=0.1&ground_lightness=0.7&width=0.05,0.08"
UNIT = Unit("lines_relu", 2)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(Store(tmp_path_factory.mktemp("store")))


def test_the_own_kernel_is_tried_as_itself_and_another_is_told_apart(engine: Engine) -> None:
    card = KernelOf(MODEL, UNIT).run(engine, Task())
    assert card.reads == "input" and card.place == UNIT and card.shifts and card.ground.over == "pixels" and card.kernel.shape == (3, 9, 9)
    same = TryKernel(MODEL, IMAGES, UNIT, KernelEdit(UNIT.layer, UNIT.index, 2 * card.kernel).document()).run(engine, Task())
    assert same.correlation == pytest.approx(1, abs=1e-6) and same.scale == pytest.approx(0.5, rel=1e-4) and same.images == 64
    degrees, own, hand = same.curves["lines"]
    assert len(degrees) == 24 and np.allclose(own, hand, atol=1e-4)
    turned = KernelEdit(UNIT.layer, UNIT.index, np.rot90(card.kernel, axes=(1, 2)))
    other = TryKernel(MODEL, IMAGES, UNIT, turned.document()).run(engine, Task())
    assert other.correlation < 0.5 and other.r2 < 0.5


def test_what_lies_before_the_kernel_is_read_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    edit = KernelEdit(UNIT.layer, UNIT.index, np.ones((3, 9, 9), np.float32)).document()
    TryKernel(MODEL, IMAGES, UNIT, edit).run(engine, Task())
    monkeypatch.setattr("workbench.analyses.hand_coding.trial.Table.of", None)
    TryKernel(MODEL, IMAGES, Unit(UNIT.layer, 5), edit | {"unit": 5}).run(engine, Task())
    assert sum(key[0] == "table" for key in engine._kept) == 1


def test_fewer_images_are_kept_where_there_is_no_room_and_one_table_at_most(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    edit = KernelEdit(UNIT.layer, UNIT.index, np.ones((3, 9, 9), np.float32)).document()
    monkeypatch.setattr("workbench.analyses.hand_coding.trial.MOST_BYTES", 20 * 3 * 33 * 33 * 4)
    found = TryKernel(MODEL, IMAGES, UNIT, edit, limit=40).run(engine, Task())
    assert found.images == len(found.own) == 20
    [table] = [kept for key, kept in engine._kept.items() if key[0] == "table"]
    assert sum(read.numel() * read.element_size() for read in table.source) == 20 * 3 * 33 * 33 * 4


class Heard(Task):
    def __init__(self) -> None:
        self.partials: list[dict] = []

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        if isinstance(partial, dict):
            self.partials.append(partial)


@pytest.mark.parametrize(("native", "close"), [(False, 1e-6), (True, 0.02)], ids=["fp32", "bf16"])
def test_own_kernels_recover_everything_zeros_nothing_and_all_but_the_kernels_is_kept(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, native: bool, close: float
) -> None:
    monkeypatch.setattr("workbench.analyses.hand_coding.live.computes_bf16", lambda device: native)
    units = [Unit(UNIT.layer, index) for index in range(8)]
    cards = [KernelOf(MODEL, unit).run(engine, Task()) for unit in units]

    def documents(gain: float) -> tuple[dict, ...]:
        kernels = [gain * card.kernel + (card.kernel[:, ::-1] if gain == 2 else 0) for card in cards]
        edits = [KernelEdit(unit.layer, unit.index, kernel, card.bias) for unit, kernel, card in zip(units, kernels, cards, strict=True)]
        return tuple(edit.document() for edit in edits)

    def recover(gain: float, task: Task) -> dict:
        return RecoverLive(MODEL, IMAGES, documents(gain)).run(engine, task)

    whole = recover(3.0, heard := Heard())
    assert whole["recovered"] == pytest.approx(1, abs=max(close, 1e-4)), "how strong a kernel is, is fitted"
    assert whole["images"] == whole["of"] > 16 and whole["lost_low"] > 0
    assert heard.partials and heard.partials[0]["images"] <= heard.partials[-1]["images"] <= whole["images"]
    monkeypatch.setattr("workbench.analyses.hand_coding.live.LiveBench.of", None)
    assert recover(0.0, Task())["recovered"] == pytest.approx(0, abs=close)
    partly = HandCoding(edits=documents(2), images=2000, shuffles=0).run(engine.model(MODEL), engine.images(IMAGES)).summary
    assert recover(2.0, Task())["recovered"] == pytest.approx(partly["recovered"], abs=close), "as the analysis says"


def test_the_edited_network_is_written_with_a_card_that_says_what_was_edited(engine: Engine, tmp_path: Path) -> None:
    edit = KernelEdit(UNIT.layer, UNIT.index, np.full((3, 9, 9), 0.5, np.float32), -0.25, "gabor", {"phase": 90.0}, "edge")
    (tmp_path / "net.json").write_text("mine", encoding="utf-8")
    made = ExportNetwork(MODEL, (edit.document(),), str(tmp_path / "net.safetensors")).run(engine, Task())
    written = Path(made.path)
    assert made.fitted_on == 0 and (tmp_path / "net.json").read_text(encoding="utf-8") == "mine"
    state, model = load_file(written), engine.model(MODEL)
    clean = model.graph.capture.module.state_dict()
    assert set(state) == set(clean)
    module = copy.deepcopy(model.graph.capture.module)
    module.load_state_dict(state)
    x = torch.rand(2, 3, 33, 33)
    with torch.no_grad():
        assert torch.allclose(module(x), with_kernels(model, [edit])(x), atol=1e-6)
    card = json.loads(Path(made.card).read_text(encoding="utf-8"))
    assert made.card.endswith("net.safetensors.json") and "as written" in card["kernels"]
    assert card["network"] == MODEL and card["edits"][0]["unit"] == "lines_relu:2" and card["edits"][0]["parameters"] == {"phase": 90.0}
    with pytest.raises(InputError, match="no kernel written by hand"):
        ExportNetwork(MODEL, (), str(written)).run(engine, Task())


def test_with_images_what_is_written_is_what_recover_scores(engine: Engine, tmp_path: Path) -> None:
    kernels = np.random.default_rng(0).normal(size=(2, 3, 9, 9)).astype(np.float32)
    edits = tuple(KernelEdit(UNIT.layer, unit, kernel).document() for unit, kernel in enumerate(kernels))
    scored = engine.run(HandCoding(edits=edits, shuffles=0), MODEL, IMAGES, Task())
    made = ExportNetwork(MODEL, edits, str(tmp_path / "net.safetensors"), IMAGES).run(engine, Task())
    card = json.loads(Path(made.card).read_text(encoding="utf-8"))
    assert made.fitted_on == scored.summary["fitted_on"] and f"fitted on {made.fitted_on} images" in card["kernels"]
    model = engine.model(MODEL)
    module = copy.deepcopy(model.graph.capture.module)
    module.load_state_dict(load_file(made.path))
    file = TracedModel.from_module(module, torch.zeros(2, 3, 33, 33))
    for unit in (0, 1):
        site, index = KernelSite.of(file, Unit(UNIT.layer, unit))
        kernel, bias = site.kernel(file, index)
        assert np.allclose(kernel, scored.arrays[f"kernel/{unit}"], atol=1e-6)
        assert bias == pytest.approx(scored.summary["units"][unit]["offset"], abs=1e-6)
        assert not np.allclose(kernel, kernels[unit], rtol=0.01)


def test_a_file_that_cannot_be_written_is_refused_and_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    edit = KernelEdit(UNIT.layer, UNIT.index, np.ones((3, 9, 9), np.float32)).document()
    (tmp_path / "net.safetensors").mkdir()
    for path in (tmp_path / "no" / "net.safetensors", tmp_path / "net.safetensors"):
        with pytest.raises(InputError, match="cannot be written"):
            ExportNetwork(MODEL, (edit,), str(path)).run(engine, Task())
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]
