"""``timm:NAME``: the networks of the timm library, by architecture or by the name of trained weights (``resnet18.a1_in1k``)."""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from workbench.models.loading import LoadError, Reference, Source, SourceEntry, register_source, suggestion
from workbench.models.preprocessing import Preprocessing
from workbench.models.sources.architecture import Architecture, State
from workbench.models.sources.checkpoint import read_state
from workbench.models.sources.download import fetch_from_hub, fetch_url
from workbench.models.sources.tracing import brief, class_names, per_channel, random_weights, seeded, trace
from workbench.models.traced_model import TracedModel
from workbench.task import Task

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""What a hub repository calls its weights, the safe format first."""


@register_source("timm")
class Timm(Source):
    """The timm library."""

    options: ClassVar[dict[str, str]] = {
        "pretrained": "true for trained weights (the default), false for random ones",
        "seed": "seed of the random weights, 0 by default",
        "img_size": "height and width of the input in pixels",
        "in_chans": "channels of the input; trained weights are adapted",
    }

    def entries(self) -> Iterable[SourceEntry]:
        """List every architecture, and below each its trained weights."""
        import timm

        trained: defaultdict[str, list[str]] = defaultdict(list)
        for tagged in timm.list_pretrained():
            architecture, dot, _ = tagged.partition(".")
            if dot:
                trained[architecture].append(tagged)
        for name in timm.list_models():
            group = f"timm/{timm.model_entrypoint(name).__module__.rpartition('.')[2]}"
            if not timm.is_model_pretrained(name):
                yield SourceEntry(f"timm:{name}?pretrained=false", group, name, "random weights only")
                continue
            yield SourceEntry(f"timm:{name}", group, name, _note(timm.get_pretrained_cfg(name)))
            for tagged in trained[name]:
                yield SourceEntry(f"timm:{tagged}", group, tagged, _note(timm.get_pretrained_cfg(tagged)))

    def load(self, reference: Reference, *, allow_code: bool, task: Task) -> TracedModel:
        """Build the network and give it its trained or random weights."""
        import timm

        architecture = TimmArchitecture(reference.name)
        config, seed = architecture.config, reference.whole("seed", 0) or 0
        size, channels = reference.whole("img_size", None, least=1), reference.whole("in_chans", 3, least=1) or 3
        said: list[str] = []
        if reference.flag("pretrained", True):
            if not config.has_weights:
                raise LoadError(
                    f"timm has no trained weights for {reference.name}; give timm:{reference.name}?pretrained=false for random ones"
                )
            path, native = _weight_file(config, task)
            task.step(0, 0, note=f"reading {path.name}")
            overlay = {"file": str(path), "custom_load": not native}
            try:
                module = architecture.create(
                    size=size, channels=channels, pretrained=True, pretrained_cfg_overlay=overlay
                )
            except LoadError:
                if native:
                    read_state(path)  # says better what is wrong with the file, if that is what is wrong
                raise
            origin = f"{config.hf_hub_id or config.url} (timm {timm.__version__})"
            if channels != config.input_size[0]:
                said.append(f"the first layer was trained on {config.input_size[0]} channels and adapted to {channels}")
        else:
            task.step(0, 0, note="drawing random weights")
            with seeded(seed):
                module = architecture.create(size=size, channels=channels)
            origin, said = f"random weights, seed {seed} (timm {timm.__version__})", [random_weights(seed)]
        return trace(
            module,
            architecture.preprocessing(size, channels),
            labels=class_names(int(getattr(module, "num_classes", 0) or 0)),
            ref=str(reference),
            name=reference.name,
            architecture=timm.models.get_arch_name(reference.name),
            licence=(config.license or "unknown") if reference.flag("pretrained", True) else "",
            origin=origin,
            warnings=said,
            task=task,
        )


class TimmArchitecture(Architecture):
    """One of timm's architectures.

    Raises
    ------
    LoadError
        When timm has no such network, or no such weights for it.
    """

    def __init__(self, name: str) -> None:
        import timm

        self.ref, self.name = f"timm:{name}", name
        base = timm.models.get_arch_name(name)
        if not timm.is_model(name):
            raise LoadError(f"timm has no network named {base!r}{suggestion(base, timm.list_models())}")
        try:
            config = timm.get_pretrained_cfg(name)
        except RuntimeError:
            known = ", ".join(timm.list_pretrained(f"{base}.*")[:6])
            raise LoadError(
                f"timm has no weights named {name!r}; it has {known or 'none of that architecture'}"
            ) from None
        if config is None:
            raise LoadError(f"timm no longer has {base!r}{suggestion(base, timm.list_pretrained())}")
        self.config: Any = config

    def create(self, *, size: int | None = None, channels: int = 3, **options: Any) -> nn.Module:
        """Let timm build it; its errors become one line."""
        import timm

        if size is not None and self.config.fixed_input_size:
            options["img_size"] = size
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = timm.create_model(self.name, in_chans=channels, **options)
        except Exception as error:
            asked = f" with img_size={size}" if size is not None else ""
            asked += f" with in_chans={channels}" if channels != 3 else ""
            raise LoadError(f"timm could not make {self.name}{asked}: {brief(error)}") from error
        assert isinstance(module, nn.Module)
        return module

    def build(self, *, classes: int | None = None, channels: int = 3, size: int | None = None) -> nn.Module:
        """Build it with random weights."""
        options = {} if classes is None else {"num_classes": classes}
        return self.create(size=size, channels=channels, **options)

    def head(self, module: nn.Module) -> tuple[str, ...]:
        """Take the classifiers timm names."""
        named = self.config.classifier or ()
        state = module.state_dict()
        heads = (named,) if isinstance(named, str) else tuple(named)
        return tuple(f"{head}.weight" for head in heads if f"{head}.weight" in state)

    def stem(self, module: nn.Module) -> str:
        """Take the first convolution timm names."""
        named = self.config.first_conv or ""
        first = named if isinstance(named, str) else named[0]
        return f"{first}.weight" if f"{first}.weight" in module.state_dict() else ""

    def translate(self, state: State, module: nn.Module) -> State:
        """Apply the family's own translation of the authors' checkpoints, where timm has one."""
        import timm

        family = sys.modules[timm.model_entrypoint(self.name).__module__]
        translation = getattr(family, "checkpoint_filter_fn", None)
        if translation is None:
            return state
        try:
            with torch.no_grad():
                translated: State = translation(dict(state), module)
        except Exception as error:
            raise LoadError(f"timm could not translate the tensors to {self.name}: {brief(error)}") from error
        return translated

    def preprocessing(self, size: int | None, channels: int) -> Preprocessing:
        """Take the training size, mean and deviation timm keeps for its weights."""
        config = self.config
        return Preprocessing(
            size=(size, size) if size is not None else (int(config.input_size[1]), int(config.input_size[2])),
            mean=per_channel(config.mean, channels),
            std=per_channel(config.std, channels),
            channels=channels,
            interpolation="bilinear" if config.interpolation == "bilinear" else "bicubic",
            crop=float(config.crop_pct),
        )


def _weight_file(config: Any, task: Task) -> tuple[Path, bool]:
    """Return the trained weights' file, and whether its tensors have timm's own names (else the family reads it itself)."""
    if config.hf_hub_id:
        names = (config.hf_hub_filename,) if config.hf_hub_filename else WEIGHT_FILES
        return fetch_from_hub(config.hf_hub_id, names, task=task), not (config.hf_hub_filename and config.custom_load)
    return fetch_url(config.url, task=task), not config.custom_load


def _note(config: Any) -> str:
    _, height, width = config.input_size
    classes = f"{config.num_classes:,} classes" if config.num_classes else "features"
    return f"{classes}, {height} x {width} px, {config.license or 'licence unknown'}"
