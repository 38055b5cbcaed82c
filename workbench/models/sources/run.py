"""``run:FOLDER?step=N``: a network trained here, as it is now or was after any of the updates whose checkpoint was kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from workbench.models.card import Card
from workbench.models.loading import LoadError, Reference, Source, SourceEntry, register_source
from workbench.models.sources.checkpoint import read_state
from workbench.models.sources.choosing import FURTHER, choose_inputs
from workbench.models.sources.published import trace_card
from workbench.models.traced_model import TracedModel
from workbench.task import Task


@register_source("run")
class Run(Source):
    """The folder of a training run; see `workbench.training`."""

    options: ClassVar[dict[str, str]] = FURTHER | {"step": "the network after so many updates; after the last ones kept when left out"}

    def entries(self) -> Iterable[SourceEntry]:
        """List nothing: the panel Training lists runs."""
        return ()

    def load(self, reference: Reference, *, allow_code: bool, task: Task) -> TracedModel:
        """Build the recipe's network and fill it from a checkpoint, or with the newest weights."""
        folder = Path(reference.name).expanduser()
        card = read_card(folder)
        kept = checkpoints(folder)
        task.step(0, 0, note=f"reading the weights in {folder.name}")
        asked = reference.whole("step", None)
        if asked in kept:
            step, state = asked, dict(read_state(kept[asked])[0])
        else:
            step, state = newest_weights(folder)
            if asked not in (None, step):
                nearest = min([*kept, step], key=lambda known: abs(known - asked))
                raise LoadError(f"there is no checkpoint after {asked} updates in {folder}; the nearest is step={nearest}")
        total = card.parameters.get("steps", step)
        seed = card.parameters.get("seed", 0)
        model = trace_card(
            card,
            state,
            ref=str(reference),
            name=f"{folder.name}, {step:,} updates" if step < total else folder.name,
            origin=f"the recipe {card.recipe} with seed {seed} on {card.data.get('images', '?')}, after {step:,} of {total:,} updates, "
            f"in {folder.absolute()}",
            task=task,
            training=f"run {folder.absolute()}",
        )
        choose_inputs(model, reference)
        return model


def checkpoints(folder: Path) -> dict[int, Path]:
    """Return the checkpoints of a run by the number of updates."""
    return {int(path.stem): path for path in sorted((folder / "checkpoints").glob("*.safetensors")) if path.stem.isdecimal()}


def newest_weights(folder: Path) -> tuple[int, dict[str, Tensor]]:
    """Return the newest weights of a run that count, and after how many updates they are.

    Those of its last checkpoint, unless the state that a pause or a kill left is beyond it: then that one's running average, or its
    weights themselves where no average is kept.

    Raises
    ------
    LoadError
        When there are none yet, or the file is damaged.
    """
    kept = checkpoints(folder)
    last = max(kept, default=-1)
    if (state := _weights_beyond(last, folder / "state.safetensors")) is not None:
        return state
    if not kept:
        raise LoadError(f"{folder} has no checkpoint yet; the first is written when the training begins")
    return last, dict(read_state(kept[last])[0])


def _weights_beyond(last: int, path: Path) -> tuple[int, dict[str, Tensor]] | None:
    """Return the updates and weights of a state, as `newest_weights` does; None where there is none of more than `last` updates."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            step, names = int(file.metadata()["step"]), list(file.keys())
            prefix = "average." if any(name.startswith("average.") for name in names) else "module."
            if step <= last:
                return None
            return step, {name.removeprefix(prefix): file.get_tensor(name) for name in names if name.startswith(prefix)}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise LoadError(f"{path} is damaged ({error}); remove it, and the last checkpoint counts") from None


def read_log(folder: Path) -> tuple[dict[str, float], ...]:
    """Return the entries of a run's log; a last line that is cut off, as after a kill, is left out."""
    found = []
    path = folder / "log.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with suppress(ValueError):
            found.append(json.loads(line))
    return tuple(found)


def read_precision(folder: Path) -> str:
    """Return what a run was trained in, ``fp32`` or ``bf16``; empty where that was not kept, or the folder holds no run."""
    with suppress(OSError, ValueError, AttributeError):
        precision = json.loads((folder / "recipe.json").read_text(encoding="utf-8")).get("precision")
        return precision if precision in ("fp32", "bf16") else ""
    return ""


def read_card(folder: Path) -> Card:
    """Return what a run's folder says of its network.

    Raises
    ------
    LoadError
        When it holds no run, or its file is damaged.
    """
    path = folder / "recipe.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Card(
            name=folder.name,
            title=folder.name,
            recipe=document["kind"],
            parameters=document["parameters"],
            parameter_count=0,
            labels=document["labels"],
            figures={},
            data=document["data"],
            licence="your own",
            versions={},
            sha256="",
        )
    except FileNotFoundError:
        raise LoadError(f"{folder} holds no run: there is no recipe.json; give the folder that 'main.py train NAME --out' wrote") from None
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise LoadError(f"{path} is damaged ({type(error).__name__}: {error})") from None
