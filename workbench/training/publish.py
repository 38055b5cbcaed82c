"""Make a finished run a bundled network: its weights in half precision, and a card with figures measured on exactly these."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import workbench
from workbench.input_error import InputError
from workbench.models import card
from workbench.models.card import Card
from workbench.task import Task
from workbench.training.recipe import KINDS, Course, Recipe, discover
from workbench.training.trainer import read_checkpoint, write_tensors

LICENCE = "Apache-2.0; of the drawings it was trained on see resources/images/emoji/LICENSES.md"


def read_recipe(folder: Path) -> Recipe:
    """Return the recipe of a run.

    Raises
    ------
    InputError
        When the folder holds no run.
    """
    path = folder / "recipe.json"
    if not path.exists():
        raise InputError(f"{folder} holds no run: there is no recipe.json; train one with main.py train NAME --out {folder}")
    discover()
    document = json.loads(path.read_text(encoding="utf-8"))
    return KINDS[document["kind"]](**document["parameters"])


def publish(folder: Path, name: str, task: Task, target: Path = card.FOLDER) -> Card:
    """Write ``NAME.safetensors`` and ``NAME.json`` into `target` from the last checkpoint of a finished run.

    Raises
    ------
    InputError
        When the run is not finished.
    """
    recipe = read_recipe(folder)
    last = folder / "checkpoints" / f"{recipe.steps:08}.safetensors"
    if not last.exists():
        raise InputError(f"the run in {folder} is not finished: {last.name} is missing; go on with main.py train")
    course = recipe.prepare(torch.device("cpu"), task)
    kept = halved(read_checkpoint(last))
    weights = target / f"{name}.safetensors"
    write_tensors(weights, kept, {"name": name})
    figures = evaluate(course, kept, task)
    written = Card(
        name=name,
        title=recipe.title,
        recipe=type(recipe).__name__,
        parameters=recipe.model_dump(mode="json"),
        parameter_count=sum(weight.numel() for weight in course.module.parameters()),
        labels=course.labels,
        figures=figures,
        data=course.data,
        licence=LICENCE,
        versions={"workbench": workbench.__version__, "torch": str(torch.__version__), "numpy": np.__version__},
        sha256=card.digest(weights),
    )
    (target / f"{name}.json").write_text(written.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return written


def evaluate(course: Course, weights: Mapping[str, Tensor], task: Task) -> dict[str, float]:
    """Measure a course's network with some weights, kept in half precision or not."""
    course.module.load_state_dict({name: value.float() if value.dtype == torch.float16 else value for name, value in weights.items()})
    module: nn.Module = course.module.eval().requires_grad_(False)
    return course.evaluate(module, task)


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return kernels and matrices as fp16; vectors, such as BatchNorm's variances, stay as they are."""
    return {
        name: value.half() if value.is_floating_point() and value.ndim > 1 else value for name, value in weights.items()
    }


if __name__ == "__main__":
    for run in sys.argv[1:]:
        done = publish(Path(run), Path(run).name, Task())
        sys.stdout.write(f"{done.name}: {dict(done.figures)}\n")
