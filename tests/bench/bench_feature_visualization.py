"""What rendering costs: beside the network it goes through, and beside Lucent.

`python -m tests.bench.bench_feature_visualization` prints JSON:

* `step_over_bare_*`: one optimisation step of 8 units, torchvision's GoogLeNet, ``inception4c``, 224 px, over forward and backward of the
  module cut off there by hand, in the same number type, both channels_last; the median of alternating pairs.
* `images_over_lucent_*`: images per second, same network, size and number of steps, over Lucent's, one image at a time as its
  documentation does it. `..._frozen` is the same with the gradients of its weights switched off, which Lucent leaves to the user.
* `faster_*`: per network, Lucent's time for 16 images of 256 steps at 224 px over ours until the median unit (`..._all`: the last)
  reached the activation of Lucent's image, with the defaults of `FeatureVisualization`. Both are scored in float32 on the plain network
  at 224 px, as the mean over 8 robustness transforms that neither has seen; time spent scoring is not counted.

Lucent needs an hour for its 3 x 16 images. Its activations are therefore kept in ``lucent_activations.json``, written by ``--lucent``, and
its time is 256 times the step measured now. Three networks: EfficientNet-Lite0 with real weights; GoogLeNet with torchvision's random
weights, whose activations are about 1e-9, too small for Lucent's Adam (epsilon 1e-8) to move the image: its figure is reported and has no
bar; GoogLeNet with He's random weights, where that does not happen.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.analyses.feature_visualization import FeatureVisualization, noise_seed
from workbench.analyses.feature_visualization.objectives import channel
from workbench.analyses.feature_visualization.parameterization import Fourier, ImageStatistics
from workbench.analyses.feature_visualization.render import REDIRECTED_STEPS, Ascent, Scene, Subjects
from workbench.analyses.feature_visualization.transforms import Robustness
from workbench.models.device import computes_bf16
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel

ACTIVATIONS = Path(__file__).with_name("lucent_activations.json")
LUCENT = ["torch-lucent==0.1.8", "kornia==0.4.1", "decorator", "future", "tqdm"]
SIZE = (224, 224)
STEPS = 256
UNITS = 16
RACING = {name: FeatureVisualization.model_fields[name].default for name in ("learning_rate", "decay")}
"""Ours while racing to Lucent's activation: the defaults, as Lucent's are its own."""
BARS = {
    "step_over_bare_fp32": ("<=", 1.15),
    "step_over_bare_bf16": ("<=", 1.30),
    "images_over_lucent_fp32": (">=", 2.0),
    "faster_googlenet_he": (">=", 5.0),
    "faster_efficientnet_lite0": (">=", 5.0),
}
TRUNCATED = (
    "conv1 maxpool1 conv2 conv3 maxpool2 inception3a inception3b maxpool3 inception4a inception4b inception4c".split()
)


def googlenet() -> nn.Module:
    """torchvision's GoogLeNet with its own random weights."""
    import torchvision

    torch.manual_seed(0)
    return torchvision.models.googlenet(weights=None, init_weights=True, aux_logits=False).eval()


def googlenet_he() -> nn.Module:
    """The same with weights that keep the size of activations (He et al. 2015)."""
    module = googlenet()
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
    return module


def lite0() -> nn.Module:
    """EfficientNet-Lite0 as trained on ImageNet."""
    import timm

    from workbench.models.sources.bundled import lite0_file, lite0_name

    module = timm.create_model("tf_efficientnet_lite0").eval()
    state = torch.load(lite0_file(), weights_only=True)
    module.load_state_dict({lite0_name(name): tensor for name, tensor in state.items()})
    return module


IMAGENET = Preprocessing(SIZE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NETWORKS: dict[str, tuple[Callable[[], nn.Module], str, Preprocessing]] = {
    "googlenet": (googlenet, "inception4c", IMAGENET),
    "googlenet_he": (googlenet_he, "inception4c", IMAGENET),
    "efficientnet_lite0": (lite0, "blocks.4.1.conv_pwl", Preprocessing(SIZE)),
}


def traced(name: str) -> TracedModel:
    build, _, preprocessing = NETWORKS[name]
    module = build().to(memory_format=torch.channels_last)
    return TracedModel.from_module(module, torch.rand(2, 3, *SIZE), preprocessing=preprocessing)


def lucents_renderer() -> types.ModuleType:
    """Import Lucent, installing it into a folder of its own where it is not there: its pins would change other packages."""
    if importlib.util.find_spec("lucent") is None:
        folder = Path(os.environ.get("WORKBENCH_LUCENT", Path(tempfile.gettempdir()) / "workbench-bench-lucent"))
        if not (folder / "lucent").is_dir():
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *LUCENT]
            subprocess.run(command, check=True)
        sys.path.append(str(folder))
    # It imports IPython to show images, which nobody does here.
    sys.modules.setdefault("IPython", types.ModuleType("IPython"))
    sys.modules.setdefault("IPython.display", types.ModuleType("IPython.display"))
    return importlib.import_module("lucent.optvis.render")


def lucents_image(module: nn.Module, name: str, unit: int, steps: int) -> Tensor:
    """Render with Lucent's defaults -> ``1 channel y x`` in [0, 1]."""
    render = lucents_renderer()
    from lucent.optvis import param, transform

    transforms = list(transform.standard_transforms)
    if NETWORKS[name][2] != IMAGENET:
        transforms.append(lambda image: (image - 0.5) / 0.5)
    torch.manual_seed(unit)
    np.random.seed(unit)
    (image,) = render.render_vis(
        module,
        f"{NETWORKS[name][1].replace('.', '_')}:{unit}",
        lambda: param.image(SIZE[0]),
        transforms=transforms,
        preprocess=NETWORKS[name][2] == IMAGENET,
        thresholds=(steps,),
        show_image=False,
        progress=False,
    )
    for part in module.modules():
        part._forward_hooks.clear()  # it never closes its hooks
    return torch.from_numpy(np.ascontiguousarray(image)).permute(0, 3, 1, 2)


def plain_score(model: TracedModel, layer: str, units: Tensor, images: Tensor) -> Tensor:
    """Mean over 8 transforms that nobody has optimised for, float32, on the plain network."""
    maps = Robustness().draw(8, torch.Generator().manual_seed(987_654_321))
    return Scene(model, channel(layer), Subjects(units), SIZE).score(images, maps)


def fourier(units: list[int], decay: float = 1.0) -> Fourier:
    return Fourier([noise_seed(0, unit, 0) for unit in units], SIZE, ImageStatistics.usual(3), decay=decay)


def live_units(model: TracedModel, layer: str) -> list[int]:
    """Return the first 16 units that noise excites at all: half of a random network's are zero whatever the image."""
    start = fourier([0]).image().detach()
    (activation,) = model.forward_to([layer])(model.normalise(start))
    return (activation.amax((0, 2, 3)) > 0).nonzero().flatten()[:UNITS].tolist()


def step_over_bare(model: TracedModel, module: nn.Module, bf16: bool, pairs: int) -> float:
    """Return the median ratio of an optimisation step to forward and backward of the truncated module."""
    units = torch.arange(8)
    truncated = nn.Sequential(*[getattr(module, part) for part in TRUNCATED])
    network_input = torch.rand(8, 3, *SIZE).contiguous(memory_format=torch.channels_last).requires_grad_()

    def bare() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            activation = truncated(network_input)
        torch.autograd.grad(activation[units, units].float().mean((1, 2)).sum(), network_input)

    bare()
    scene = Scene(model, channel("inception4c"), Subjects(units), SIZE, optimising=True, bf16=bf16)
    ratios: list[float] = []
    started = time.perf_counter()

    def step(done: int) -> None:
        nonlocal started
        ours = time.perf_counter() - started
        # Early steps may do more than others: units that are off are woken.
        if done > REDIRECTED_STEPS:
            before = time.perf_counter()
            bare()
            ratios.append(ours / (time.perf_counter() - before))
        started = time.perf_counter()

    Ascent(REDIRECTED_STEPS + pairs, 0.05, Robustness(), 1).run(scene, fourier(units.tolist()), step)
    return statistics.median(ratios)


def lucents_step(name: str, module: nn.Module, steps: int = 6) -> float:
    """Seconds of one step of one image, the median of three short runs."""
    seconds = []
    for unit in range(3):
        started = time.perf_counter()
        lucents_image(module, name, unit, steps)
        seconds.append((time.perf_counter() - started) / steps)
    return statistics.median(seconds)


def our_step(name: str, model: TracedModel, bf16: bool, steps: int = 4) -> float:
    """Seconds of one step of one image, in batches of 8."""
    units = live_units(model, NETWORKS[name][1])[:8]
    scene = Scene(model, channel(NETWORKS[name][1]), Subjects(torch.tensor(units)), SIZE, optimising=True, bf16=bf16)
    ascent, images = Ascent(steps, 0.05, Robustness(), 1), fourier(units)
    ascent.run(scene, images)
    started = time.perf_counter()
    ascent.run(scene, images)
    return (time.perf_counter() - started) / steps / len(units)


def race(name: str, model: TracedModel, bf16: bool) -> dict[str, Any]:
    """Render the 16 units until each has Lucent's activation -> seconds and steps when the median and the last got there."""
    kept = json.loads(ACTIVATIONS.read_text(encoding="utf-8"))[name]
    if kept["weights"] != model.weight_hash:
        raise RuntimeError(f"{ACTIVATIONS.name} is of other weights of {name}; write it again with --lucent")
    layer, units = NETWORKS[name][1], torch.tensor(kept["units"])
    targets = torch.tensor(kept["activations"])
    scene = Scene(model, channel(layer), Subjects(units), SIZE, optimising=True, bf16=bf16)
    images = fourier(kept["units"], RACING["decay"])
    spent, started = 0.0, time.perf_counter()
    reached: dict[int, tuple[int, float]] = {}

    class Over(Exception):
        pass

    def step(done: int) -> None:
        nonlocal spent, started
        spent += time.perf_counter() - started
        if done % 4 == 0:
            scores = plain_score(model, layer, units, images.image().detach())
            for unit in (scores >= targets).nonzero().flatten().tolist():
                reached.setdefault(unit, (done, spent))
            if len(reached) == len(units):
                raise Over
        started = time.perf_counter()

    with contextlib.suppress(Over):
        Ascent(STEPS, RACING["learning_rate"], Robustness(), 1).run(scene, images, step)
    order = sorted(reached.values())
    if len(order) <= len(units) // 2:
        raise RuntimeError(
            f"{name}: only {len(order)} of {len(units)} units reached Lucent's activation in {STEPS} steps"
        )
    steps, seconds = order[len(units) // 2]
    return {
        "layer": layer,
        "units": len(units),
        "reached": len(order),
        "steps_median": steps,
        "seconds_median": seconds,
        "seconds_all": order[-1][1] if len(order) == len(units) else None,
    }


def measure() -> dict[str, Any]:
    """Return all figures."""
    half = computes_bf16(torch.device("cpu"))
    report: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "races_in": "bf16" if half else "fp32",
        "races_with": RACING,
        "lucents_activations": f"kept in tests/bench/{ACTIVATIONS.name}; delete it and run "
        "python -m tests.bench.bench_feature_visualization --lucent to renew them (an hour)",
    }
    module, model = googlenet().requires_grad_(False).to(memory_format=torch.channels_last), traced("googlenet")
    report["step_over_bare_fp32"] = step_over_bare(model, module, False, 12)
    report["step_over_bare_bf16"] = step_over_bare(model, module, True, 16)
    for name, (build, _, _) in NETWORKS.items():
        model, usual = traced(name), build().requires_grad_(True)
        theirs = [lucents_step(name, usual)]
        if name == "googlenet":
            frozen = copy.deepcopy(usual).requires_grad_(False)
            ratios: dict[str, list[float]] = {}
            for _ in range(3):
                theirs.append(lucents_step(name, usual))
                theirs_frozen = lucents_step(name, frozen)
                for kind, bf16 in (("fp32", False), ("bf16", True)):
                    ours = our_step(name, model, bf16)
                    ratios.setdefault(kind, []).append(theirs[-1] / ours)
                    ratios.setdefault(f"{kind}_frozen", []).append(theirs_frozen / ours)
            report |= {f"images_over_lucent_{kind}": statistics.median(each) for kind, each in ratios.items()}
        raced = race(name, model, half)
        theirs.append(lucents_step(name, usual))
        seconds = raced["units"] * STEPS * statistics.median(theirs)
        report[f"faster_{name}"] = seconds / raced["seconds_median"]
        report[f"faster_{name}_all"] = seconds / raced["seconds_all"] if raced["seconds_all"] else None
        report[f"race_{name}"] = raced | {"lucents_seconds": seconds}
    return report


def write_activations(names: list[str]) -> None:
    """Run Lucent for the units of these networks, and keep the activations it reaches; what is already there stays."""
    for name in names:
        # The image does not depend on the weights' gradients, only Lucent's time does.
        model, module = traced(name), NETWORKS[name][0]().requires_grad_(False).to(memory_format=torch.channels_last)
        layer = NETWORKS[name][1]
        for unit in live_units(model, layer):
            if unit in _kept(name, model)[1]["units"]:
                continue
            image = lucents_image(module, name, unit, STEPS)
            everything, kept = _kept(name, model)  # read again: two networks can be rendered at the same time
            kept["units"].append(unit)
            kept["activations"].append(float(plain_score(model, layer, torch.tensor([unit]), image)))
            ACTIVATIONS.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
            sys.stderr.write(f"{name} {unit}\n")


def _kept(name: str, model: TracedModel) -> tuple[dict[str, Any], dict[str, Any]]:
    everything = json.loads(ACTIVATIONS.read_text(encoding="utf-8")) if ACTIVATIONS.exists() else {}
    blank = {"weights": model.weight_hash, "layer": NETWORKS[name][1], "units": [], "activations": []}
    return everything, everything.setdefault(name, blank)


if __name__ == "__main__":
    if "--lucent" in sys.argv:
        write_activations(sys.argv[sys.argv.index("--lucent") + 1 :] or list(NETWORKS))
    else:
        sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
