"""What one sees first of a bundled network without waiting: a small feature visualization of each unit, and its dataset examples.

``resources/first_look/NAME.zip`` holds, for one network,

* ``thumbnails/KEY.webp``: a sheet of small images of all units of a layer, `COLUMNS` in a row, KEY being the content key of the
  `FeatureVisualization` that made them, so that another version of the method, or other weights, find nothing here;
* ``sweep/SUBJECT/KEY/…``: a finished sweep of the emoji as `DatasetExamples` keeps it in a folder; it is unpacked into the store.

``python -m workbench.jobs.first_look NAMES`` makes the files anew (``make resources``).
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from workbench.task import Task

if TYPE_CHECKING:
    from workbench.analyses.feature_visualization import FeatureVisualization
    from workbench.jobs.engine import Engine
    from workbench.jobs.store import Store
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

FOLDER = Path(__file__).parents[2] / "resources" / "first_look"
SIDE = 32
"""Pixels of a small image; the grid replaces them by finer ones."""
COLUMNS = 16
QUALITY = 60
IMAGES = "emoji"
SWEEP = {"k": 12, "ranges": 4, "samples": 4, "bins": 32, "sampled": 256}
"""Less than a sweep of one's own keeps, so that the files stay small."""
THUMBNAILS, SWEEPS = "thumbnails", "sweep"


@cache
def _members() -> dict[str, Path]:
    """Return in which archive each member is."""
    return {name: path for path in sorted(FOLDER.glob("*.zip")) for name in zipfile.ZipFile(path).namelist()}


def thumbnails(model: TracedModel, layer: str) -> np.ndarray | None:
    """Return the small images of all units of a layer, uint8 ``unit y x 3``, or None where there are none."""
    name = f"{THUMBNAILS}/{_key(model, layer)}.webp"
    archive = _members().get(name)
    if archive is None:
        return None
    from PIL import Image

    with zipfile.ZipFile(archive) as opened, Image.open(io.BytesIO(opened.read(name))) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    rows = len(pixels) // SIDE
    tiles = pixels.reshape(rows, SIDE, COLUMNS, SIDE, 3).swapaxes(1, 2).reshape(rows * COLUMNS, SIDE, SIDE, 3)
    return tiles[: model.layer(layer).units]


def unpack_sweep(store: Store, subject: str) -> bool:
    """Put the sweep of a network and images (see `workbench.jobs.engine.subject`) into the store; return whether there is one."""
    members = [name for name in _members() if name.startswith(f"{SWEEPS}/{subject}/")]
    if not members:
        return False
    target = store.folder(subject) / PurePosixPath(members[0]).parts[2]
    if target.exists():
        return False
    with tempfile.TemporaryDirectory(dir=target.parent.parent) as beside:
        with zipfile.ZipFile(_members()[members[0]]) as opened:
            opened.extractall(beside, members)
        unpacked = Path(beside) / SWEEPS / subject / target.name
        os.utime(unpacked, (0, 0))  # of several sweeps the newest is read: one of the user's own goes before this one
        shutil.move(unpacked, target)
    return True


def shown_layers(model: TracedModel) -> list[Layer]:
    """Return the layers whose units are looked at first: what follows a non-linearity, what blocks add up or put together, the output.

    Left out is what an image does not reach: the text tower of a CLIP, a diffusion network's timestep.
    """
    reached = model.graph.downstream([model.graph.name(model.graph.inputs[0])])
    return [
        layer
        for name, layer in model.layers.items()
        if model.graph.node(name) in reached and layer.units > 1 and layer.role != "pre"
        if layer.role == "post" or layer.kind in ("add", "cat") or name == model.graph.output
    ]


def make(engine: Engine, name: str, task: Task) -> Path:
    """Render and sweep a bundled network, and write its archive."""
    from PIL import Image

    from workbench.analyses.dataset_examples import DatasetExamples
    from workbench.jobs.engine import subject

    model = engine.model(f"bundled:{name}", task=task)
    layers = shown_layers(model)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.zip"
    with zipfile.ZipFile(path.with_suffix(".part"), "w", zipfile.ZIP_STORED) as archive:
        for place, layer in enumerate(layers):
            task.step(place, len(layers) + 1, note=f"rendering {layer.units} units of {layer.name}")
            found: list[np.ndarray] = []
            for first in range(0, layer.units, COLUMNS):
                units = range(first, min(first + COLUMNS, layer.units))
                found += small(rendered(model, layer.name, units))
            found += [np.full_like(found[0], 128)] * (-len(found) % COLUMNS)
            tiles = np.stack(found).reshape(-1, COLUMNS, SIDE, SIDE, 3).swapaxes(1, 2)
            content = io.BytesIO()
            Image.fromarray(tiles.reshape(-1, COLUMNS * SIDE, 3)).save(content, "WEBP", quality=QUALITY, method=6)
            archive.writestr(f"{THUMBNAILS}/{_key(model, layer.name)}.webp", content.getvalue())
        task.step(len(layers), len(layers) + 1, note=f"showing it {IMAGES}")
        images = engine.images(IMAGES, task)
        sweep = DatasetExamples(layers=tuple(layer.name for layer in layers), **SWEEP)  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as folder:
            sweep.kept_in(folder).run(model, images)
            inside = PurePosixPath(SWEEPS) / subject(model, images) / sweep.key(model, images)
            for file in sorted(file for file in Path(folder).rglob("*") if file.is_file()):
                archive.write(file, str(inside / file.relative_to(folder).as_posix()))
    path.with_suffix(".part").replace(path)
    _members.cache_clear()
    return path


def rendered(model: TracedModel, layer: str, units: Sequence[int]) -> np.ndarray:
    """Render units of a layer as the grid does at first, uint8 ``unit y x 3``."""
    from workbench.jobs.requests import to_pixels

    return to_pixels(_analysis(layer, tuple(units)).run(model).arrays["images"])[:, 0]


def small(images: np.ndarray) -> list[np.ndarray]:
    """Reduce images to `SIDE` pixels."""
    from PIL import Image

    return [np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for image in images]


def _analysis(layer: str, units: tuple[int, ...] = ()) -> FeatureVisualization:
    from workbench.analyses.feature_visualization import COARSE, FeatureVisualization

    return FeatureVisualization(layer=layer, units=units, **COARSE)


def _key(model: TracedModel, layer: str) -> str:
    return _analysis(model.layer(layer).name).key(model)


def main(names: Sequence[str]) -> None:
    """Make the archives of some bundled networks anew."""
    from workbench.jobs.engine import Engine
    from workbench.models.sources.published import published

    engine = Engine()
    for name in names or list(published()):
        path = make(engine, name, Task())
        sys.stdout.write(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB\n")


if __name__ == "__main__":
    main(sys.argv[1:])
