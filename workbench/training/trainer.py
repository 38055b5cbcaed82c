"""`train`: the loop. It keeps all it needs to go on in the run's folder, and takes it up again from there.

A run's folder holds

* ``recipe.json``: kind, parameters and what the network's classes are;
* ``log.jsonl``: one line every few updates: step, loss, learning rate, further figures;
* ``state.safetensors``: weights, their running average and the optimizer's moments after the last interval;
* ``checkpoints/00001234.safetensors``: weights after so many updates, at logarithmically spaced steps;
* ``.lock``: empty, held while a program trains there.

Files are written beside their place and moved there, so a kill at any moment leaves the last whole one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from workbench.models.device import computes_bf16, pick_device, processor_threads
from workbench.models.older_recipes import as_trained
from workbench.models.tensors import write_tensors
from workbench.task import Part, Task
from workbench.training.log import curves_of
from workbench.training.recipe import Course, Recipe, RecipeError, update_seed
from workbench.training.run_lock import alone
from workbench.whole_file import write_whole

Precision = Literal["auto", "fp32", "bf16"]
INTERVAL = 250
"""Updates between two states one can go on from."""
LOGGED = 10
"""Updates a line of the log stands for."""


@dataclass(frozen=True)
class Progress:
    """What is shown while a network is trained: one array entry a line of the log, numpy-free plain lists.

    Attributes
    ----------
    step
        Updates done.
    curves
        By name, ``(steps, values)``: the loss and the recipe's further figures, each the mean of `LOGGED` updates.
    images_per_second
        Of this session.
    """

    step: int
    curves: dict[str, tuple[list[int], list[float]]]
    images_per_second: float


def train(
    recipe: Recipe,
    folder: Path,
    task: Task,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    until: int | None = None,
) -> Course:
    """Train from nothing, or go on with what is in `folder`; return the course with the trained weights.

    Parameters
    ----------
    device
        ``cpu``, ``cuda``, ``mps``, or ``auto``: the fastest there is.
    precision
        ``bf16``: matrix products and convolutions in bfloat16, weights and sums in fp32. ``fp32``: everything in single precision.
        ``auto``: what a run was begun with, else bf16 where the device multiplies it natively.
    threads
        Processor threads; None for as many as PyTorch takes.
    until
        Updates after which it stops for now, as though it had been cancelled there; None: the recipe's last.

    Raises
    ------
    RecipeError
        When the folder holds another recipe's run, another program trains in it, or the loss is no longer a number.
    workbench.task.Cancelled
        When `task` was cancelled; the state was written just before, so that the run goes on from there.
    """
    chosen = pick_device(device)
    with processor_threads(threads):
        task.step(0, recipe.steps, note="opening the data")
        course = recipe.prepare(chosen, task)
        with alone(folder):
            precision = pick_precision(precision, chosen, folder)
            agree(folder, recipe, course, precision)
            run = _Run(recipe, course, folder)
            if chosen.type != "mps":
                course.module.to(memory_format=torch.channels_last)  # on a processor up to twice as fast, in fp32 too
            run.resume()
            run.go(task, chosen, precision, recipe.steps if until is None else min(until, recipe.steps))
    course.module.load_state_dict(run.final())
    return course


def pick_precision(name: Precision, device: torch.device, folder: Path) -> Precision:
    """Return the precision of that name, for ``auto`` that of the run in `folder`, else bf16 where it is the faster one.

    Processors without instructions for it take two to three times as long in bf16 as in fp32.
    """
    if name != "auto":
        return name
    if (folder / "recipe.json").exists():
        begun = read_document(folder).get("precision")
        if begun in ("fp32", "bf16"):
            return "bf16" if begun == "bf16" else "fp32"
    return "bf16" if computes_bf16(device) else "fp32"


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """Write attention out on a processor: there the gradient of the fused one is slower, in bf16 by half."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


class _Run:
    """A course under way: weights, average, optimizer, and the files they are kept in."""

    def __init__(self, recipe: Recipe, course: Course, folder: Path) -> None:
        self.recipe, self.course, self.folder = recipe, course, folder
        self.step = 0
        self.log: list[dict[str, float]] = []
        self.since: list[dict[str, float]] = []  # of the updates that the next line of the log stands for
        module = course.module
        matrices = [weight for weight in module.parameters() if weight.requires_grad and weight.ndim > 1]
        vectors = [weight for weight in module.parameters() if weight.requires_grad and weight.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=recipe.learning_rate,
            betas=(0.9, 0.98),
        )
        self.average = {k: v.clone() for k, v in module.state_dict().items()} if recipe.average else {}

    def go(self, task: Task, device: torch.device, precision: Precision, last: int) -> None:
        """Update the weights until so many updates are done."""
        module, recipe = self.course.module, self.recipe
        kept = set(recipe.checkpoint_steps())
        if self.step == 0 and 0 in kept:
            self.keep()
        began, first = time.monotonic(), self.step
        while self.step < last:
            with self._kept():
                self.course.fetch(self.step, Part(task, self.step, 0, last))
            for group in self.optimizer.param_groups:
                group["lr"] = recipe.rate(self.step)
            torch.manual_seed(update_seed(recipe.seed, self.step))
            module.train()
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"), _attention(device):
                loss, figures = self.course.loss(self.step)
            if not torch.isfinite(loss):
                raise RecipeError(
                    f"the loss is no longer a number after {self.step} updates; try a learning rate below {recipe.learning_rate:g} "
                    "in a new folder"
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            self.optimizer.step()
            self.step += 1
            self._follow()
            self.since.append({"loss": loss.item()} | {name: float(value) for name, value in figures.items()})
            if self.step % LOGGED == 0 or self.step == recipe.steps:
                self.log.append({"step": self.step, "rate": recipe.rate(self.step)} | _means(self.since))
                self.since = []
            if self.step in kept:
                self.keep()
            if self.step % INTERVAL == 0 or self.step == last:
                self.save()
            speed = (self.step - first) * recipe.batch / max(1e-9, time.monotonic() - began)
            partial = self.progress(speed) if self.step % LOGGED == 0 else None
            with self._kept():
                task.step(self.step, last, partial, self._note(speed))

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Write the state where this is broken off: between two updates everything belongs together.

        What breaks off inside one goes on from the last state.
        """
        try:
            yield
        except BaseException:
            self.save()
            raise

    def progress(self, speed: float) -> Progress:
        """Return the curves so far."""
        return Progress(self.step, curves_of(self.log), speed)

    def _note(self, speed: float) -> str:
        if not self.log:
            return "training"
        figures = ", ".join(f"{name} {values[-1]:.3g}" for name, (_, values) in curves_of(self.log[-1:]).items())
        return f"{figures}, {speed:.0f} examples/s"

    def _follow(self) -> None:
        """Let the average of the weights follow, faster in the beginning."""
        if not self.average:
            return
        decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        for name, value in self.course.module.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def final(self) -> Mapping[str, Tensor]:
        """Return the weights that count: the average where there is one."""
        return self.average or self.course.module.state_dict()

    def keep(self) -> None:
        """Write a checkpoint."""
        folder = self.folder / "checkpoints"
        folder.mkdir(exist_ok=True)
        write_tensors(folder / f"{self.step:08}.safetensors", self.final(), {"step": str(self.step)})

    def save(self) -> None:
        """Write the state one can go on from, then the log up to it."""
        tensors = {f"module.{name}": value for name, value in self.course.module.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        for name, weight in self.course.module.named_parameters():
            for moment, value in self.optimizer.state.get(weight, {}).items():
                tensors[f"{moment}.{name}"] = value
        told = {"step": str(self.step), "log": json.dumps(self.log), "since": json.dumps(self.since)}
        write_tensors(self.folder / "state.safetensors", tensors, told)
        lines = "".join(json.dumps(line) + "\n" for line in self.log)
        write_whole(self.folder / "log.jsonl", lines)

    def resume(self) -> None:
        """Take up the last state, if there is one."""
        path = self.folder / "state.safetensors"
        if not path.exists():
            return
        saved, told = read_tensors(path)
        self.step, self.log, self.since = int(told["step"]), json.loads(told["log"]), json.loads(told["since"])
        self.course.module.load_state_dict(_part(saved, "module."))
        for name, value in _part(saved, "average.").items():
            self.average[name].copy_(value)
        for name, weight in self.course.module.named_parameters():
            if f"exp_avg.{name}" in saved:
                self.optimizer.state[weight] = {
                    "step": saved[f"step.{name}"],
                    "exp_avg": torch.empty_like(weight).copy_(saved[f"exp_avg.{name}"]),
                    "exp_avg_sq": torch.empty_like(weight).copy_(saved[f"exp_avg_sq.{name}"]),
                }


def _means(lines: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of every figure over the lines that have it."""
    names = dict.fromkeys(name for line in lines for name in line)
    return {name: sum(found) / len(found) for name in names if (found := [line[name] for line in lines if name in line])}


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def agree(folder: Path, recipe: Recipe, course: Course, precision: Precision | None = None) -> None:
    """Write the recipe into a new folder; in a used one make sure that recipe, data, classes and precision are the same.

    Raises
    ------
    RecipeError
        When they are not; what differs is named.
    """
    document: dict[str, Any] = {
        "kind": type(recipe).__name__,
        "parameters": recipe.model_dump(mode="json"),
        "labels": list(course.labels),
        "data": dict(course.data),
        "precision": precision,
    }
    path = folder / "recipe.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        return
    before = read_document(folder)
    fields = {name: field for name, field in type(recipe).model_fields.items() if not field.is_required()}
    defaults = recipe.model_copy(update={name: field.get_default(call_default_factory=True) for name, field in fields.items()})
    later = defaults.model_dump(mode="json", include=set(fields))
    before["parameters"] = later | before["parameters"]  # what there was not when the run was begun
    if precision is None:
        document["precision"] = before.get("precision")
    if before == document:
        return
    old = before.get("parameters", {}) | {"precision": before.get("precision")}
    new = document["parameters"] | {"precision": document["precision"]}
    changed = [f"{name} {old.get(name)} there, {value} here" for name, value in new.items() if old.get(name) != value]
    raise RecipeError(
        f"{folder} holds another run ({'; '.join(changed) or 'its images, what is held out, or its classes differ'}); "
        "give a new folder"
    )


def read_document(folder: Path) -> dict[str, Any]:
    """Return what a run's folder says of its recipe, its parameters as today's recipe tells them.

    Raises
    ------
    RecipeError
        When it holds no run, or its file is damaged.
    """
    path = folder / "recipe.json"
    if not path.exists():
        raise RecipeError(f"{folder} holds no run: there is no recipe.json; train one with main.py train NAME --out {folder}")
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        document["parameters"] = as_trained(document["kind"], document["parameters"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RecipeError(f"{path} is damaged: it does not say what recipe was followed; train anew in another folder") from None
    return document


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a file's tensors by name, and what is written beside them.

    Raises
    ------
    RecipeError
        When the file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise RecipeError(f"{path} is damaged ({error}); remove it, and the run begins anew") from None
