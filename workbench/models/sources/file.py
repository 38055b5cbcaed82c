"""``file:PATH``: weights in a file, with their architecture named or recognised from the tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from workbench.models.loading import LoadError, Reference, Source, SourceEntry, register_source
from workbench.models.preprocessing import Preprocessing
from workbench.models.sources.architecture import State, find_architecture
from workbench.models.sources.checkpoint import read_state
from workbench.models.sources.fitting import fit
from workbench.models.sources.recognition import choose, recognise
from workbench.models.sources.tracing import trace
from workbench.models.traced_model import TracedModel
from workbench.task import Task


@register_source("file")
class File(Source):
    """A weight file: safetensors, or what torch.save wrote."""

    options: ClassVar[dict[str, str]] = {
        "architecture": "timm:NAME or torchvision:NAME; recognised from the tensors when left out",
        "img_size": "height and width of the input in pixels",
        "mean": "what the network expects subtracted, per channel in [0, 1]: 0.485,0.456,0.406",
        "std": "what it expects the rest to be divided by: 0.229,0.224,0.225",
    }

    def entries(self) -> Iterable[SourceEntry]:
        """List nothing: files are named by the user."""
        return ()

    def load(self, reference: Reference, *, allow_code: bool, task: Task) -> TracedModel:
        """Read the file, find the architecture, and put the tensors into it."""
        path = Path(reference.name).expanduser()
        task.step(0, 0, note=f"reading {path.name}")
        state, said = read_state(path)
        named = reference.get("architecture")
        if named is None:
            named, remark = _recognised(path, state)
            said += remark
        architecture = find_architecture(named)
        size = reference.whole("img_size", None, least=1)
        task.step(0, 0, note=f"building {named}")
        try:
            fitted = fit(path, state, architecture, size=size)
        except LoadError as error:
            known = ", ".join(ref for ref in recognise(state)[:3] if ref != named)
            hint = (
                f"its tensors are those of {known}"
                if known
                else "name another architecture with ?architecture=timm:NAME"
            )
            raise LoadError(f"{error}. {hint[0].upper()}{hint[1:]}") from error
        labels, (origin, told) = architecture.labels(fitted.classes), architecture.origin(path)
        if labels:
            said += (f"taken for ImageNet's classes, since there are {len(labels):,}",)
        preprocessing = _preprocessing(reference, architecture.preprocessing(size, fitted.channels))
        if reference.get("mean") is None:
            said += (
                f"mean and deviation of the input are those usual for {named}; give ?mean=…&std=… if it was trained with others",
            )
        return trace(
            fitted.module,
            preprocessing,
            labels=labels,
            ref=str(reference),
            name=path.stem,
            architecture=architecture.ref,
            licence="unknown",
            origin=origin,
            warnings=(*said, *told, *fitted.said),
            task=task,
        )


def _recognised(path: Path, state: State) -> tuple[str, tuple[str, ...]]:
    found = recognise(state)
    if not found:
        shown = ", ".join(f"{name} {'x'.join(map(str, tensor.shape))}" for name, tensor in list(state.items())[:3])
        raise LoadError(
            f"the {len(state)} tensors of {path} ({shown} …) are those of no architecture known here; name it with "
            f"file:{path}?architecture=timm:NAME (or torchvision:NAME), or open your own code with python:FILE.py:FACTORY"
        )
    chosen = choose(found, path)
    others = [ref for ref in found if ref != chosen]
    if not others:
        return chosen, (f"recognised as {chosen} by its tensors",)
    more = f" and {len(others) - 4} more" if len(others) > 4 else ""
    return chosen, (
        f"recognised as {chosen} by its tensors, which are also those of {', '.join(others[:4])}{more}; these may compute something "
        "else with them (padding, activation function): if in doubt give ?architecture=…",
    )


def _preprocessing(reference: Reference, usual: Preprocessing) -> Preprocessing:
    mean, std = reference.numbers("mean") or usual.mean, reference.numbers("std") or usual.std
    for option, values in (("mean", mean), ("std", std)):
        if len(values) != usual.channels or (option == "std" and min(values) <= 0):
            wanted = "a number" if usual.channels == 1 else f"{usual.channels} numbers"
            raise LoadError(
                f"{option}={reference.get(option)} in {reference}: {wanted} above zero wanted, one per channel"
            )
    return replace(usual, mean=mean, std=std)
