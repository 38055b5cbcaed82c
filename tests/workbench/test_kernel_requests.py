"""What the window asks about kernels by hand: the unit's own, what another does in its place, and the network as a file."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from workbench.input_error import InputError
from workbench.jobs.engine import Engine
from workbench.jobs.kernel_requests import ExportNetwork, KernelOf, TryKernel
from workbench.jobs.store import Store
from workbench.kernel_edits import KernelEdit
from workbench.models.kernel_site import with_kernels
from workbench.models.layer import Unit
from workbench.task import Task

MODEL = "bundled:planted/hue_line_net"
IMAGES = "stimuli:lines?ink_hue=29,235&orientations=16&ink_lightness=0.7&ink_chroma=0.1&ground_lightness=0.7&width=0.05,0.08"
UNIT = Unit("lines_relu", 2)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(Store(tmp_path_factory.mktemp("store")))


def test_the_own_kernel_is_tried_as_itself_and_another_is_told_apart(engine: Engine) -> None:
    card = KernelOf(MODEL, UNIT).run(engine, Task())
    assert card.reads == "input" and card.shifts and card.ground.over == "pixels" and card.kernel.shape == (3, 9, 9)
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


def test_the_edited_network_is_written_with_a_card_that_says_what_was_edited(engine: Engine, tmp_path: Path) -> None:
    edit = KernelEdit(UNIT.layer, UNIT.index, np.full((3, 9, 9), 0.5, np.float32), -0.25, "gabor", {"phase": 90.0}, "edge")
    written = Path(ExportNetwork(MODEL, (edit.document(),), str(tmp_path / "net.safetensors")).run(engine, Task()))
    state, model = load_file(written), engine.model(MODEL)
    clean = model.graph.capture.module.state_dict()
    assert set(state) == set(clean)
    module = copy.deepcopy(model.graph.capture.module)
    module.load_state_dict(state)
    x = torch.rand(2, 3, 33, 33)
    with torch.no_grad():
        assert torch.allclose(module(x), with_kernels(model, [edit])(x), atol=1e-6)
    card = json.loads(written.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["network"] == MODEL and card["edits"][0]["unit"] == "lines_relu:2" and card["edits"][0]["parameters"] == {"phase": 90.0}
    with pytest.raises(InputError, match="no kernel written by hand"):
        ExportNetwork(MODEL, (), str(written)).run(engine, Task())
