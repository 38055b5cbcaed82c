"""`main.py train` and `main.py evaluate`."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from workbench.data_folder import data_folder
from workbench.input_error import InputError
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.training.trainer import Precision


def runs_folder() -> Path:
    """Return where runs are kept when no folder is given."""
    return data_folder("runs")


class Patient(Task):
    """Passes everything on, and raises KeyboardInterrupt at the next step after Ctrl+C."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.interrupted = False

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        """Tell the other task, and stop here when that was asked for."""
        self._task.step(done, total, partial, note)
        if self.interrupted:
            raise KeyboardInterrupt


@contextmanager
def interrupts_between_updates(task: Task) -> Iterator[Patient]:
    """Let Ctrl+C end the work at the next step, where its state is whole; pressed again it ends it at once."""
    patient = Patient(task)

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        patient.interrupted = True

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield patient
    finally:
        signal.signal(signal.SIGINT, before)


def train(
    name: str, settings: Mapping[str, Any], out: str | None, device: str, precision: Precision, threads: int | None, task: Task
) -> None:
    """Train from a recipe, or go on with the run in `out`; write the folder and the last figures to stdout.

    Raises
    ------
    InputError
        When there is no such recipe, a parameter is wrong, or the folder holds another run.
    """
    from workbench.images.image_set import say_skipped
    from workbench.training import trainer
    from workbench.training.recipe import recipe

    chosen = recipe(name, settings)
    folder = Path(out) if out else runs_folder() / name
    with interrupts_between_updates(task) as patient:
        course = trainer.train(
            chosen, folder, patient, device=device, precision=precision, threads=threads
        )
    figures = course.evaluate(course.module.eval(), task)
    if course.unreadable:
        sys.stderr.write(f"{say_skipped(len(course.unreadable), course.unreadable)}\n")
    sys.stdout.write(f"{folder}\n{json.dumps(figures)}\n")


def evaluate(name: str, as_json: bool, task: Task) -> None:
    """Measure a bundled network beside what its card says, or the newest weights of a run's folder.

    Raises
    ------
    InputError
        When there is neither a bundled network nor a run of that name, or a weight file is damaged.
    """
    import torch

    from workbench.models.card import cards
    from workbench.models.loading import suggestion
    from workbench.models.sources.run import newest_weights
    from workbench.training import publish
    from workbench.training.recipe import recipe
    from workbench.training.trainer import agree, read_tensors

    known = cards()
    card, kept = known.get(name.removeprefix("bundled:")), {}
    if card is not None:
        card.check()
        course = recipe(card.recipe, card.parameters).prepare(torch.device("cpu"), task)
        if dict(course.data) != dict(card.data):
            raise InputError(f"the images, or what of them is held out, are not those {card.name} was measured on")
        weights, _ = read_tensors(card.weights)
    elif Path(name).is_dir():
        chosen = publish.read_recipe(Path(name))
        step, weights = newest_weights(Path(name))
        kept = {"updates": step, "of": chosen.steps}
        course = chosen.prepare(torch.device("cpu"), task)
        agree(Path(name), chosen, course)
    else:
        near = suggestion(name, list(known)) or f"; there are {', '.join(known)}"
        raise InputError(f"there is no bundled network and no folder {name!r}{near}")
    figures = publish.evaluate(course, weights, task)
    if as_json:
        told = {**kept, "measured": figures, "card": dict(card.figures) if card else None}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    if kept:
        sys.stdout.write(f"after {kept['updates']:,} of {kept['of']:,} updates\n")
    for figure, value in figures.items():
        said = f"   card {card.figures[figure]:g}" if card is not None and figure in card.figures else ""
        sys.stdout.write(f"{figure:<24} {value:>8g}{said}\n")
