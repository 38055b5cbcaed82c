"""Make a finished run a bundled network: its weights in half precision, and a card with figures measured on exactly these."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import workbench
from workbench.input_error import InputError
from workbench.models.card import Card, EarlySteps, halved, in_single
from workbench.models.inception import EARLY
from workbench.models.shelf import FOLDER, digest
from workbench.models.sources.run import checkpoints, newest_weights, read_log
from workbench.models.tensors import write_tensors
from workbench.task import Cancelled, Task
from workbench.training.commands import runs_folder
from workbench.training.recipe import Course, Recipe, recipe
from workbench.training.trainer import agree, read_document, read_tensors, train
from workbench.whole_file import write_whole

EARLY_SEEDS = (1, 2)
"""Beside the published one: three trainings of the first layers, to tell what happens in each from what happened once."""
EARLY_UPDATES = 1_400
"""Up to where these go; the learning rate is that of the whole training."""
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


def publish(folder: Path, name: str, task: Task, target: Path = FOLDER) -> Card:
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
    target.mkdir(parents=True, exist_ok=True)
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
        sha256=digest(weights),
    )
    write_whole(target / f"{name}.json", written.model_dump_json(indent=1) + "\n")
    return written


def publish_early(folder: Path, card_name: str, target: Path = FOLDER) -> Card:
    """Write ``NAME.seedS.early.safetensors`` from all checkpoints of a run, finished or not, and add it, with the log, to the card.

    Raises
    ------
    InputError
        When there is no such card, or the run has no checkpoint.
    """
    path = target / f"{card_name}.json"
    if not path.exists():
        raise InputError(f"there is no card {path}; publish the network first")
    written = Card.model_validate_json(path.read_bytes())
    seed = read_recipe(folder).seed
    files = sorted((folder / "checkpoints").glob("*.safetensors"))
    if not files:
        raise InputError(f"the run in {folder} has no checkpoints")
    kept = {
        f"{int(file.stem)}/{name}": value
        for file in files
        for name, value in halved(read_tensors(file)[0]).items()
        if name.partition(".")[0] in EARLY
    }
    weights = target / f"{card_name}.seed{seed}.early.safetensors"
    write_tensors(weights, kept, {"name": card_name, "seed": str(seed)})
    logged = [{name: float(f"{value:.4g}") for name, value in line.items() if name != "rate"} for line in read_log(folder)]
    steps = EarlySteps(steps=tuple(int(file.stem) for file in files), sha256=digest(weights), logged=tuple(logged))
    written = written.model_copy(update={"early": {**written.early, str(seed): steps}})
    write_whole(path, written.model_dump_json(indent=1) + "\n")
    return written


class Until(Task):
    """Stops a training after so many updates."""

    def __init__(self, last: int) -> None:
        self.last = last

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        """Raise `Cancelled` there."""
        if done >= self.last:
            raise Cancelled


def evaluate(course: Course, weights: Mapping[str, Tensor], task: Task) -> dict[str, float]:
    """Measure a course's network with some weights, kept in half precision or not."""
    course.module.load_state_dict(in_single(weights))
    module: nn.Module = course.module.eval().requires_grad_(False)
    return course.evaluate(module, task)


def clear_for(run: Path, steps: int) -> None:
    """Move the run in a folder aside where all its updates are done, so that it is trained anew; say so, and say where one is gone on with.

    Raises
    ------
    InputError
        When its files are damaged.
    """
    if not (run / "recipe.json").exists():
        return
    done = newest_weights(run)[0] if checkpoints(run) else 0
    if done < steps:
        sys.stdout.write(f"{run.name}: going on with the run in {run}, after {done:,} of {steps:,} updates\n")
        return
    aside = next(place for number in count(1) if not (place := run.with_name(f"{run.name}.before-{number}")).exists())
    run.rename(aside)
    sys.stdout.write(f"{run.name}: the run there was finished and is now in {aside}; beginning anew\n")


def make(name: str, target: Path = FOLDER) -> None:
    """Train and publish a network; of `inception` further seeds as well, up to where its first layers have formed.

    Its figures are printed beside those of the card that it takes the place of. A run that was broken off is gone on with, one that was
    finished is not taken for a new one.
    """
    run, card, followed = runs_folder() / name, target / f"{name}.json", recipe(name)
    clear_for(run, followed.steps)
    train(followed, run, Task())
    before = Card.model_validate_json(card.read_bytes()).figures if card.exists() else {}
    figures = publish(run, name, Task(), target).figures
    told = (f"{figure} {value:g}" + (f" (before: {before[figure]:g})" if figure in before else "") for figure, value in figures.items())
    sys.stdout.write(f"{name}: {', '.join(told)}\n")
    if name != "inception":
        return
    publish_early(run, name, target)
    for seed in EARLY_SEEDS:
        further = runs_folder() / f"{name}-seed{seed}"
        clear_for(further, EARLY_UPDATES)
        with suppress(Cancelled):
            train(recipe(name, {"seed": seed}), further, Until(EARLY_UPDATES))
        publish_early(further, name, target)


def make_all(names: Sequence[str]) -> None:
    """Train and publish networks one after the other; asked for the same again after it was stopped, it goes on where it was.

    Which are done stands in a file beside the runs until all are.
    """
    noted = runs_folder() / "making.json"
    done: list[str] = []
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(noted.read_text(encoding="utf-8"))
        done = list(found["done"]) if found["of"] == list(names) else []
    for name in names:
        if name in done:
            sys.stdout.write(f"{name}: made before this was stopped; without {noted} all would be trained anew\n")
            continue
        make(name)
        done.append(name)
        noted.parent.mkdir(parents=True, exist_ok=True)
        write_whole(noted, json.dumps({"of": list(names), "done": done}).encode())
    noted.unlink(missing_ok=True)


if __name__ == "__main__":
    make_all(sys.argv[1:])
