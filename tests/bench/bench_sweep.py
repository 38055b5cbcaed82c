"""How much slower a sweep is than the bare network: ResNet-18 at 128 pixels, every unit of every convolution.

`python -m tests.bench.bench_sweep` prints JSON. The images are in memory; the bare network is given its input ready made, in
channels-last memory and the same batches, while the sweep's time is all from uint8 images to added-up results. After every batch of the
sweep the bare network computes the same one, so whatever else the machine does meets both; ratios are of medians over all batches of
2,048 images (of 1,024 with the full histogram), the first ones included, in which all images are among the strongest so far.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torchvision

from workbench.analyses.dataset_examples import DatasetExamples
from workbench.images.image_set import Batch, ImageSet
from workbench.images.scaling import cover_all
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.task import Task

BATCH = 64
BARS = {
    "images_per_s_ratio": (">=", 0.80),
    "full_histogram_images_per_s_ratio": (">=", 0.45),
    "memory_of_10_x_images_ratio": ("<=", 1.05),
}
MEMORY_IMAGES = 640
MEMORY = "from tests.bench.bench_sweep import peak_bytes; print(peak_bytes({images}))"


class Patterns(ImageSet):
    """Noise of random coarseness, contrast and colour, made as it is asked for."""

    def __init__(self, number: int, size: int) -> None:
        super().__init__("bench:patterns", "Patterns", range(number), {})  # type: ignore[arg-type]
        self.size = size

    @property
    def content_hash(self) -> str:
        return f"patterns {len(self)} {self.size}"

    def _read(self, index: int, size: tuple[int, int] | None) -> np.ndarray:
        rng = np.random.default_rng(index)
        cells = int(2 ** rng.integers(2, 6))
        pattern = rng.normal(128, rng.uniform(10, 90), (cells, cells, 3)) + rng.normal(0, 30, 3)
        repeat = self.size // cells
        image = pattern.clip(0, 255).astype(np.uint8).repeat(repeat, 0).repeat(repeat, 1)
        return image if size in (None, image.shape[:2]) else cover_all(image[None], size)[0]


class Decoded(Patterns):
    """The same, all made beforehand."""

    def __init__(self, number: int, size: int) -> None:
        super().__init__(number, size)
        self.images = np.stack([self._read(i, None) for i in range(number)])

    def batches(self, size: Any, batch: int, indices: Any = None) -> Iterator[Batch]:
        for start in range(0, len(self), batch):
            yield Batch(np.arange(start, min(start + batch, len(self))), self.images[start : start + batch])


class Pairs(Task):
    """After every batch of the sweep lets the bare network compute the same one, and times both."""

    def __init__(self, network: torch.nn.Module, model: TracedModel, images: np.ndarray) -> None:
        self.network, self.model, self.images = network, model, images
        self.bare: list[float] = []
        self.sweep: list[float] = []
        self.started = 0.0
        self.done = 0.0

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        if done == self.done:  # in the middle of a batch
            return
        self.done = done
        self.sweep.append(time.perf_counter() - self.started)
        x = self.model.preprocess(self.images[int(done) - BATCH : int(done)])
        started = time.perf_counter()
        with torch.inference_mode():
            self.network(x)
        self.started = time.perf_counter()
        self.bare.append(self.started - started)


def subject(size: int) -> tuple[torch.nn.Module, TracedModel, tuple[str, ...]]:
    """Return ResNet-18 with random weights, captured, and the names of its convolutions."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None).eval().to(memory_format=torch.channels_last)
    example = torch.randn(2, 3, size, size).contiguous(memory_format=torch.channels_last)
    model = TracedModel.from_module(network, example, preprocessing=Preprocessing((size, size)))
    names = tuple(name for name, layer in model.layers.items() if layer.kind.startswith("conv"))
    assert len(names) == 20
    return network, model, names


def ratio(batches: int, folder: str | None = None, **parameters: object) -> float:
    """Return the sweep's images per second over the bare network's."""
    network, model, names = subject(128)
    images = Decoded(batches * BATCH, 128)
    pairs = Pairs(network, model, images.images)
    analysis = DatasetExamples(layers=names, batch=BATCH, **parameters)
    pairs.step(BATCH, 0)  # warms up, and starts the clock
    pairs.done = 0.0
    (analysis.kept_in(folder) if folder else analysis).run(model, images, pairs)
    return statistics.median(pairs.bare[1:]) / statistics.median(pairs.sweep[1:])


def peak_bytes(images: int) -> int:
    """Return the largest memory this process ever had, after a sweep of so many images."""
    import resource

    _, model, names = subject(64)
    DatasetExamples(layers=names, batch=BATCH).run(model, Patterns(images, 64))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure() -> dict[str, float]:
    """Return the ratios to the bare network, and the ratio of peak memories for ten times as many images."""
    with tempfile.TemporaryDirectory() as folder:
        figures = {
            "images_per_s_ratio": ratio(32),
            "kept_images_per_s_ratio": ratio(32, folder),
            "full_histogram_images_per_s_ratio": ratio(16, histogram="full"),
        }
    few, many = (
        int(subprocess.run([sys.executable, "-c", MEMORY.format(images=n)], stdout=subprocess.PIPE, check=True).stdout)
        for n in (MEMORY_IMAGES, 10 * MEMORY_IMAGES)
    )
    return figures | {"memory_of_10_x_images_ratio": many / few}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
