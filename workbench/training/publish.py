"""Make a finished run a bundled network: its weights in half precision, and a card with figures measured on exactly these."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import workbench
from workbench.input_error import InputError
from workbench.models import card
from workbench.models.card import Card, halved, in_single
from workbench.task import Task
from workbench.training.commands import runs_folder
from workbench.training.recipe import Course, Recipe, recipe
from workbench.training.trainer import agree, read_document, read_tensors, replace_file, train, write_tensors

LICENCE = "Apache-2.0; of the drawings it was trained on see resources/images/emoji/LICENSES.md"


def read_recipe(folder: Path) -> Recipe:
    """Return the recipe of a run.

    Raises
    ------
    InputError
        When the folder holds no run of a known recipe.
    """
    document = read_document(folder)
    return recipe(document["kind"], document["parameters"])


def publish(folder: Path, name: str, task: Task, target: Path = card.FOLDER) -> Card:
    """Write ``NAME.safetensors`` and ``NAME.json`` into `target` from the last checkpoint of a finished run.

    Raises
    ------
    InputError
        When the run is not finished.
    """
    followed = read_recipe(folder)
    last = folder / "checkpoints" / f"{followed.steps:08}.safetensors"
    if not last.exists():
        raise InputError(f"the run in {folder} is not finished: {last.name} is missing; go on with main.py train")
    course = followed.prepare(torch.device("cpu"), task)
    agree(folder, followed, course)
    kept = halved(read_tensors(last)[0])
    figures = evaluate(course, kept, task)
    weights = target / f"{name}.safetensors"
    write_tensors(weights, kept, {"name": name})
    written = Card(
        name=name,
        title=followed.title,
        recipe=type(followed).__name__,
        parameters=followed.model_dump(mode="json"),
        parameter_count=sum(weight.numel() for weight in course.module.parameters()),
        labels=course.labels,
        figures=figures,
        data=course.data,
        licence=LICENCE,
        versions={"workbench": workbench.__version__, "torch": str(torch.__version__), "numpy": np.__version__},
        sha256=card.digest(weights),
    )
    replace_file(target / f"{name}.json", (written.model_dump_json(indent=1) + "\n").encode())
    return written


def evaluate(course: Course, weights: Mapping[str, Tensor], task: Task) -> dict[str, float]:
    """Measure a course's network with some weights, kept in half precision or not."""
    course.module.load_state_dict(in_single(weights))
    module: nn.Module = course.module.eval().requires_grad_(False)
    return course.evaluate(module, task)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        run = runs_folder() / name
        train(recipe(name), run, Task())
        sys.stdout.write(f"{name}: {dict(publish(run, name, Task()).figures)}\n")
