"""Networks on another device. There is none here, so the device without memory stands for it: an operation refuses to mix the two."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import workbench
from workbench.analyses import DatasetExamples, FeatureVisualization
from workbench.images.array_set import ArraySet
from workbench.input_error import InputError
from workbench.jobs.engine import Engine
from workbench.jobs.store import Store
from workbench.models.device import computing, devices, pick_device
from workbench.models.traced_model import TracedModel

NETWORKS = {
    "resnet18": {},
    "convnext_atto": {},
    "swin_tiny_patch4_window7_224": {"img_size": 56, "depths": (2, 2, 2, 1)},
    "vit_tiny_patch16_224": {"img_size": 64, "depth": 2},
    "levit_128s": {"img_size": 64},
    "maxvit_pico_rw_256": {"img_size": 64, "depths": (1, 1, 1, 1)},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_whole_network_moves_to_another_device(name: str) -> None:
    side = NETWORKS[name].get("img_size", 64)
    model = TracedModel.from_module(timm.create_model(name, **NETWORKS[name]), torch.randn(2, 3, side, side))
    middle = list(model.layers)[len(model.layers) // 2]
    model.activations(torch.randn(2, 3, side, side), [middle])  # a cut of the old device
    assert model.to("meta") is model
    assert model.device.type == "meta"
    found = model.activations(torch.empty(3, 3, side, side, device="meta"), [middle, model.graph.output])
    assert all(value.device.type == "meta" and len(value) % 3 == 0 for value in found.values())
    assert model.preprocess(np.zeros((1, side, side, 3), np.uint8)).device.type == "meta"


def test_what_is_read_beside_the_image_moves_along() -> None:
    model = workbench.load("bundled:planted/gated_unet").to("meta")
    (drawn,) = model.forward_to([model.graph.output])(torch.empty(2, 3, *model.preprocessing.size, device="meta"))
    assert drawn.device.type == "meta"


def test_there_and_back_changes_nothing() -> None:
    model = workbench.load("bundled:planted/curve_net")
    images = torch.rand(2, model.preprocessing.channels, *model.preprocessing.size)
    before = model(images)
    hash_before = model.weight_hash
    assert torch.equal(model.to("cpu")(images), before)
    assert model.weight_hash == hash_before


def test_the_processor_is_among_the_devices_and_what_is_not_there_is_refused() -> None:
    assert devices()[-1].name == "cpu" and devices()[-1].arithmetic[0] == "fp32"
    assert pick_device("auto").type == torch.device(devices()[0].name).type
    with pytest.raises(InputError, match=r"device 'cuda:77': there is none on this machine; it has .*cpu"):
        pick_device("cuda:77")


def test_tf32_is_off_unless_it_is_chosen_and_everything_is_as_before_afterwards() -> None:
    before = torch.backends.cudnn.allow_tf32
    for arithmetic in ("fp32", "tf32", "bf16"):
        with computing(torch.device("cpu"), arithmetic):
            assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == (arithmetic == "tf32")
            product = torch.ones(2, 2) @ torch.ones(2, 2)
            assert product.dtype == (torch.bfloat16 if arithmetic == "bf16" else torch.float32)
    assert torch.backends.cudnn.allow_tf32 == before


def test_bf16_is_for_what_only_reads_activations_and_is_written_down() -> None:
    model = workbench.load("bundled:planted/curve_net")
    random = np.random.default_rng(0)
    images = ArraySet(random.integers(0, 256, (16, *model.preprocessing.size, 3), np.uint8))
    layer = model.graph.output
    sweep = DatasetExamples(layers=[layer])
    drawing = FeatureVisualization(layer=layer, units=[0], steps=2)
    exact, keys = sweep.run(model, images), (sweep.key(model, images), drawing.key(model))
    model.arithmetic = "bf16"
    rough = sweep.run(model, images)
    assert exact.provenance["arithmetic"] == "fp32" and rough.provenance["arithmetic"] == "bf16"
    name = next(name for name in exact.arrays if name.endswith("top_values"))
    assert not np.array_equal(exact.arrays[name], rough.arrays[name])
    np.testing.assert_allclose(exact.arrays[name], rough.arrays[name], rtol=0.05, atol=0.05 * np.abs(exact.arrays[name]).max())
    assert sweep.key(model, images) != keys[0] and drawing.key(model) == keys[1]


def test_the_engine_loads_networks_where_it_is_told(tmp_path: Path) -> None:
    engine = Engine(Store(tmp_path))
    first = engine.model("bundled:planted/curve_net")
    engine.compute_on("meta", "bf16")
    moved = engine.model("bundled:planted/curve_net")
    assert (moved.device.type, moved.arithmetic) == ("meta", "bf16")
    assert (first.device, first.arithmetic) == (torch.device("cpu"), "fp32")  # a job that is under way goes on with it
    with pytest.raises(InputError, match="none on this machine"):
        engine.compute_on("cuda:77", "fp32")
    assert engine.model("bundled:planted/curve_net") is moved


def test_a_job_lent_inside_a_bf16_sweep_computes_exactly(tmp_path: Path) -> None:
    engine = Engine(Store(tmp_path))
    with computing(torch.device("cpu"), "bf16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        with engine.isolated():
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_network_that_is_read_again_has_another_twin(tmp_path: Path) -> None:
    engine = Engine(Store(tmp_path))
    ref = "bundled:planted/curve_net"
    twin, network = engine.model(f"{ref}?twin=1"), engine.model(ref)
    engine.forget(ref)
    assert engine.model(ref) is not network and engine.model(f"{ref}?twin=1") is not twin
