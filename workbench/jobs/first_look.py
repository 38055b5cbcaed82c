"""What one sees first of a bundled network, at once: its card, a small feature visualization of each unit, its dataset examples.

``resources/first_look/NAME.zip`` holds, for one network,

* ``index.json``: the `ModelCard`, the digest of the weight file it is about, and how the images were made;
* ``thumbnails/N.avif``: a sheet of small images of all units of layer N of the index, `COLUMNS` in a row;
* ``sweep/SUBJECT/KEY/…``: a finished sweep of the emoji as `DatasetExamples` keeps it in a folder, without the images for its figures; it
  is unpacked into the store.

Card and images are read without torch: a window shows the network while torch is still being imported. What they were made from is
compared when the project is tested, and the weight file each time. ``python -m workbench.jobs.first_look NAMES`` makes the files anew
(``make resources``).
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.models.layer import Layer
from workbench.models.shelf import FOLDER as MODELS
from workbench.models.shelf import digest
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.analyses.feature_visualization import FeatureVisualization
    from workbench.jobs.engine import Engine
    from workbench.jobs.requests import ModelCard
    from workbench.jobs.store import Store
    from workbench.models.traced_model import TracedModel

logger = logging.getLogger(__name__)

AT_ONCE = -2
"""Precedence of requests that are answered from here: before answers to gestures, and inside them while they wait for the network."""
FOLDER = Path(__file__).parents[2] / "resources" / "first_look"
SIDE = 32
"""Pixels of a small image; the grid replaces them by finer ones."""
COLUMNS = 16
QUALITY = 42
IMAGES = "emoji"
SWEEP = {"k": 6, "ranges": 4, "samples": 2, "bins": 16, "sampled": 256}
"""Less than a sweep of one's own keeps, so that the files stay small."""
INDEX, THUMBNAILS, SWEEPS = "index.json", "thumbnails", "sweep"


class FirstLook:
    """One network's archive.

    Parameters
    ----------
    path
        The archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with zipfile.ZipFile(path) as archive:
            self.index: dict[str, Any] = json.loads(archive.read(INDEX))
            self.members = archive.namelist()

    @property
    def ref(self) -> str:
        """The network it is about."""
        ref: str = self.index["card"]["ref"]
        return ref

    @property
    def fits(self) -> bool:
        """Whether the weight file is the one it is about."""
        weights = MODELS / f"{self.ref.partition(':')[2]}.safetensors"
        return weights.exists() and digest(weights) == self.index["weights"]

    def card(self) -> ModelCard:
        """Return the network's card."""
        from workbench.jobs.requests import ModelCard

        card = self.index["card"]
        tuples = {name: tuple(card[name]) for name in ("size", "mean", "std", "labels", "warnings")}
        layers = tuple(
            Layer(**{**layer, "shape": tuple(layer["shape"]), "aliases": tuple(layer["aliases"])}) for layer in card["layers"]
        )
        further = {option: (value, help) for option, (value, help) in card["further"].items()}
        return ModelCard(**{**card, **tuples, "layers": layers, "further": further})

    def has(self, layer: str) -> bool:
        """Whether there are images of this layer's units."""
        return any(layer in known["names"] for known in self.index["layers"])

    def thumbnails(self, layer: str) -> np.ndarray | None:
        """Return the small images of all units of a layer, uint8 ``unit y x 3``, or None where there are none."""
        from PIL import Image

        place = next((i for i, known in enumerate(self.index["layers"]) if layer in known["names"]), None)
        if place is None:
            return None
        with zipfile.ZipFile(self.path) as archive, Image.open(io.BytesIO(archive.read(f"{THUMBNAILS}/{place}.avif"))) as sheet:
            pixels = np.asarray(sheet.convert("RGB"))
        rows = len(pixels) // SIDE
        tiles = pixels.reshape(rows, SIDE, COLUMNS, SIDE, 3).swapaxes(1, 2).reshape(rows * COLUMNS, SIDE, SIDE, 3)
        return tiles[: self.index["layers"][place]["units"]]


@cache
def first_looks() -> dict[str, FirstLook]:
    """Return all that can be read and fit the weights there are, by the reference of the network."""
    found = {}
    for path in sorted(FOLDER.glob("*.zip")):
        try:
            look = FirstLook(path)
            if look.fits:
                found[look.ref] = look
        except Exception as error:  # a damaged archive may raise anything, and requests are put in order by what there is
            logger.warning("cannot read %s (%s: %s); make resources makes it anew", path, type(error).__name__, error)
    return found


def unpack_sweep(store: Store, subject: str) -> bool:
    """Put the sweep of a network and images (see `workbench.jobs.engine.subject`) into the store; return whether it came there."""
    inside = f"{SWEEPS}/{subject}/"
    look = next((look for look in first_looks().values() if any(name.startswith(inside) for name in look.members)), None)
    if look is None:
        return False
    members = [name for name in look.members if name.startswith(inside)]
    with store.optional():
        target = store.folder(subject) / PurePosixPath(members[0]).parts[2]
        if target.exists():
            return False
        with tempfile.TemporaryDirectory(dir=target.parent.parent) as beside:
            with zipfile.ZipFile(look.path) as opened:
                opened.extractall(beside, members)
            unpacked = Path(beside) / SWEEPS / subject / target.name
            os.utime(unpacked, (0, 0))  # of several sweeps the newest is read: one of the user's own goes before this one
            shutil.move(unpacked, target)
        return True
    return False


def shown_layers(model: TracedModel) -> list[Layer]:
    """Return the layers whose units are looked at first: what follows a non-linearity, what blocks add up or put together, the output.

    Left out are the branches that a block puts together, since their units are the block's, and what an image does not reach: the text
    tower of a CLIP, a diffusion network's timestep. Of a diffusion network, through which a gradient takes long, there is only what
    follows a non-linearity.
    """
    reached = model.graph.downstream([model.graph.name(model.graph.inputs[0])])
    joined = {node for name, layer in model.layers.items() if layer.kind == "cat" for node in model.graph.node(name).all_input_nodes}
    return [
        layer
        for name, layer in model.layers.items()
        if (node := model.graph.node(name)) in reached and node not in joined and layer.units > 1 and layer.role != "pre"
        if layer.role == "post" or (model.sampling is None and (layer.kind in ("add", "cat") or name == model.graph.output))
    ]


def make(engine: Engine, name: str, task: Task) -> Path:
    """Render and sweep a bundled network, and write its archive; until it is whole an earlier one stays as it is."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.zip"
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=FOLDER) as beside:
        new = Path(beside) / path.name
        with zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as archive:
            _fill(archive, engine, name, task)
        new.replace(path)
    first_looks.cache_clear()
    return path


def _fill(archive: zipfile.ZipFile, engine: Engine, name: str, task: Task) -> None:
    from PIL import Image

    from workbench.analyses.dataset_examples import SHEET, DatasetExamples, pack
    from workbench.jobs.engine import subject
    from workbench.jobs.requests import describe

    model = engine.model(f"bundled:{name}", task=task)
    layers = shown_layers(model)
    for place, layer in enumerate(layers):
        task.step(place, len(layers) + 1, note=f"rendering {layer.units} units of {layer.name}")
        found: list[np.ndarray] = []
        for first in range(0, layer.units, COLUMNS):
            found += small(rendered(model, layer.name, range(first, min(first + COLUMNS, layer.units))))
        found += [np.full_like(found[0], 128)] * (-len(found) % COLUMNS)
        tiles = np.stack(found).reshape(-1, COLUMNS, SIDE, SIDE, 3).swapaxes(1, 2)
        content = io.BytesIO()
        Image.fromarray(tiles.reshape(-1, COLUMNS * SIDE, 3)).save(content, "AVIF", quality=QUALITY, speed=3)
        archive.writestr(f"{THUMBNAILS}/{place}.avif", content.getvalue())
    index = {
        "weights": digest(MODELS / f"{name}.safetensors"),
        "card": asdict(describe(model)),
        "layers": [
            {"names": [layer.name, *layer.aliases], "units": layer.units, "made": key_of(model, layer.name)} for layer in layers
        ],
    }
    archive.writestr(INDEX, json.dumps(index, ensure_ascii=False), zipfile.ZIP_DEFLATED)
    task.step(len(layers), len(layers) + 1, note=f"showing it {IMAGES}")
    images = engine.images(IMAGES, task)
    sweep = DatasetExamples(layers=tuple(layer.name for layer in layers), **SWEEP)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        sweep.kept_in(folder).run(model, images)
        pack(Path(folder))
        inside = PurePosixPath(SWEEPS) / subject(model, images) / sweep.key(model, images)
        kept = (file for file in Path(folder).rglob("*") if file.is_file() and SHEET not in file.parts)
        for file in sorted(kept):
            archive.write(file, str(inside / file.relative_to(folder).as_posix()))


def rendered(model: TracedModel, layer: str, units: Sequence[int]) -> np.ndarray:
    """Render units of a layer as the grid does at first, uint8 ``unit y x 3``."""
    from workbench.jobs.thumbnail_requests import to_pixels

    return to_pixels(_analysis(layer, tuple(units)).run(model).arrays["images"])[:, 0]


def small(images: np.ndarray) -> list[np.ndarray]:
    """Reduce images to `SIDE` pixels."""
    from PIL import Image

    return [np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for image in images]


def key_of(model: TracedModel, layer: str) -> str:
    """Return what the images of a layer were made from: the content key of the analysis of all its units."""
    return _analysis(model.layer(layer).name).key(model)


def _analysis(layer: str, units: tuple[int, ...] = ()) -> FeatureVisualization:
    from workbench.analyses.feature_visualization import COARSE, FeatureVisualization

    return FeatureVisualization(layer=layer, units=units, **{**COARSE, "precision": "fp32"})  # the same on every machine


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
