"""The last step of every source: look at the numbers, then capture the network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from workbench import imagenet
from workbench.models.loading import LoadError
from workbench.models.nodes import CaptureError
from workbench.models.preprocessing import Preprocessing
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Task

_TRAININGS: defaultdict[str, WeakSet[TracedModel]] = defaultdict(WeakSet)
"""Of each training the checkpoints that somebody holds."""


def trace(
    module: nn.Module,
    preprocessing: Preprocessing | None,
    *,
    task: Task,
    example: Tensor | tuple[Any, ...] | None = None,
    training: str = "",
    **card: Any,
) -> TracedModel:
    """Refuse broken numbers, then capture `module`; `card` goes to `TracedModel.from_module`.

    Parameters
    ----------
    example
        What it is captured on: by default noise of the size `preprocessing` gives.
    training
        What all checkpoints of a training have in common. Where another one is open, its graph is read with these weights: capturing takes
        some twenty times as long, and a slider through the training would not feel live.

    Raises
    ------
    LoadError
        When a weight is NaN or infinite, or the network does not run on the example.
    workbench.models.nodes.CaptureError
        When it cannot be captured as one graph.
    """
    task.step(0, 4, note="looking at the weights")
    refuse_broken_numbers(module)
    if example is None:
        assert preprocessing is not None
        noise = torch.Generator().manual_seed(0)
        example = torch.randn(2, preprocessing.channels, *preprocessing.size, generator=noise)
    inputs = example if isinstance(example, tuple) else (example,)
    known = next((other for other in _TRAININGS[training] if _alike(other, module, preprocessing, card)), None)
    if known is not None:
        module.eval().requires_grad_(False).to(known.device)
        traced = known.at_other_weights(module, ref=card["ref"], name=card["name"], origin=card["origin"])
    else:
        traced = _captured(module, inputs, preprocessing, task, card)
    if training:
        _TRAININGS[training].add(traced)
    return traced


def _alike(known: TracedModel, module: nn.Module, preprocessing: Preprocessing | None, card: Mapping[str, Any]) -> bool:
    """Whether a module is an open network with other weights: the same modules with the same settings, which read and name the same."""
    before = known.graph.capture.module
    shapes = [{name: value.shape for name, value in each.state_dict().items()} for each in (before, module)]
    return (
        type(before) is type(module)
        and str(before) == str(module)
        and shapes[0] == shapes[1]
        and preprocessing in (known.preprocessing, None)
        and tuple(card.get("labels", ())) == known.labels
        and not known.held
    )


def _captured(
    module: nn.Module, inputs: tuple[Any, ...], preprocessing: Preprocessing | None, task: Task, card: Mapping[str, Any]
) -> TracedModel:
    example = inputs if len(inputs) > 1 else inputs[0]
    try:
        return TracedModel.from_module(module, example, preprocessing=preprocessing, task=task, **card)
    except (CaptureError, Cancelled):
        raise
    except Exception as error:
        shapes = ", ".join("x".join(map(str, value.shape)) for value in inputs if isinstance(value, Tensor))
        raise LoadError(f"{type(module).__name__} does not run on an input of {shapes}: {brief(error)}") from error


def refuse_broken_numbers(module: nn.Module) -> None:
    """Raise LoadError naming the tensors that hold NaN or infinite values (minus infinity may stand in a buffer: masks do that)."""
    parameters = dict(module.named_parameters())
    broken = []
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            continue
        finite = torch.isfinite(tensor)
        if finite.all():
            continue
        bad = ~finite if name in parameters else ~finite & (tensor != -torch.inf)
        if count := int(bad.sum()):
            broken.append(f"{name} ({count:,} of {tensor.numel():,})")
    if broken:
        more = f" and {len(broken) - 3} more tensors" if len(broken) > 3 else ""
        raise LoadError(f"the weights hold NaN or infinite values in {', '.join(broken[:3])}{more}; nothing was run")


def class_names(classes: int) -> tuple[str, ...]:
    """Return short readable names where the number of classes tells which ImageNet it is (1,000: ImageNet-1k), else nothing."""
    from timm.data.imagenet_info import infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": classes})
    return _imagenet_names(subset) if subset else ()


@cache
def _imagenet_names(subset: str) -> tuple[str, ...]:
    from timm.data.imagenet_info import ImageNetInfo

    return tuple(imagenet.name(synset) for synset in ImageNetInfo(subset).label_descriptions(as_dict=True))


def random_weights(seed: int) -> str:
    """Say in the model's warnings that its weights are random."""
    return f"random weights (seed {seed}): this network has learned nothing"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw random numbers from `seed` and leave the generator outside as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def brief(error: BaseException) -> str:
    """Return what an exception says in one line of at most 200 characters, with its type where that tells more."""
    lines = str(error).strip().splitlines()
    text = lines[0].strip() if lines else ""
    if not isinstance(error, RuntimeError | OSError) or not text:
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= 200 else f"{text[:199]}…"


def per_channel(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Fit a mean or deviation per colour to another number of channels: the average of the colours for each."""
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels
