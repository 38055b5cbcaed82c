"""``torchvision:NAME``: torchvision's image classifiers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Any, ClassVar

from torch import nn

from workbench.models.loading import LoadError, Reference, Source, SourceEntry, register_source, suggestion
from workbench.models.preprocessing import Preprocessing
from workbench.models.sources.architecture import Architecture, State
from workbench.models.sources.checkpoint import read_state
from workbench.models.sources.download import fetch_url
from workbench.models.sources.fitting import fit
from workbench.models.sources.tracing import brief, class_names, per_channel, random_weights, seeded, trace
from workbench.models.traced_model import TracedModel
from workbench.task import Task

_AUXILIARY = re.compile(r"(aux1|aux2|AuxLogits)\.")
"""Classifiers of GoogLeNet and Inception-v3 that only training uses; built without, read without."""


@register_source("torchvision")
class Torchvision(Source):
    """The torchvision library."""

    options: ClassVar[dict[str, str]] = {
        "pretrained": "true for trained weights (the default), false for random ones",
        "weights": "which trained weights, such as IMAGENET1K_V1; the newest by default",
        "seed": "seed of the random weights, 0 by default",
        "img_size": "height and width of the input in pixels",
    }

    def entries(self) -> Iterable[SourceEntry]:
        """List every classifier, and below each its trained weights where there are several."""
        from torchvision.models import get_model_weights

        for name in _classifiers():
            group = f"torchvision/{re.sub(r'[0-9_].*', '', name)}"
            trained = [weights for weights in get_model_weights(name) if weights.meta["categories"]]
            for i, weights in enumerate([get_model_weights(name).DEFAULT, *(trained if len(trained) > 1 else ())]):
                size, classes = weights.transforms().crop_size[0], len(weights.meta["categories"])
                tail = f"?weights={weights.name}" if i else ""
                yield SourceEntry(
                    f"torchvision:{name}{tail}", group, name + tail, f"{classes:,} classes, {size} x {size} px"
                )

    def load(self, reference: Reference, *, allow_code: bool, task: Task) -> TracedModel:
        """Build the network and give it its trained or random weights."""
        import torchvision

        trained = reference.flag("pretrained", True)
        architecture = TorchvisionArchitecture(reference.name, reference.get("weights"), trained=trained)
        seed, size = reference.whole("seed", 0) or 0, reference.whole("img_size", None, least=1)
        weights = architecture.weights
        if trained:
            path = fetch_url(weights.url, task=task)
            task.step(0, 0, note=f"reading {path.name}")
            state, _ = read_state(path)
            module = fit(path, state, architecture, size=size).module
            origin, said, licence = f"{weights} (torchvision {torchvision.__version__})", [], "BSD-3-Clause"
        elif reference.get("weights") is not None:
            raise LoadError(f"{reference} asks for trained weights and for none; leave one of the two options out")
        else:
            task.step(0, 0, note="drawing random weights")
            with seeded(seed):
                module = architecture.build(size=size)
            origin = f"random weights, seed {seed} (torchvision {torchvision.__version__})"
            said, licence = [random_weights(seed)], ""
        return trace(
            module,
            architecture.preprocessing(size, 3),
            labels=class_names(len(weights.meta["categories"] or ())),
            ref=str(reference),
            name=reference.name,
            architecture=reference.name,
            licence=licence,
            origin=origin,
            warnings=said,
            task=task,
        )


class TorchvisionArchitecture(Architecture):
    """One of torchvision's classifiers.

    Parameters
    ----------
    trained
        Whether it is built for trained weights: those of GoogLeNet and Inception-v3 change the range of the input inside.

    Attributes
    ----------
    weights
        The trained weights asked for, or torchvision's newest.

    Raises
    ------
    LoadError
        When torchvision has no such classifier, or no such weights for it.
    """

    def __init__(self, name: str, weights: str | None = None, *, trained: bool = True) -> None:
        from torchvision.models import get_model_weights

        self.ref, self.name, self.trained = f"torchvision:{name}", name, trained
        known = _classifiers()
        if name not in known:
            raise LoadError(f"torchvision has no image classifier named {name!r}{suggestion(name, known)}")
        choices = get_model_weights(name)
        if weights is not None and weights not in choices.__members__:
            raise LoadError(
                f"{name} has no weights {weights!r}; it has {', '.join(dict.fromkeys(choices.__members__))}"
            )
        self.weights: Any = choices[weights or "DEFAULT"]

    def build(self, *, classes: int | None = None, channels: int = 3, size: int | None = None) -> nn.Module:
        """Build it with random weights."""
        from torchvision.models import get_model_builder

        if channels != 3:
            raise LoadError(f"torchvision's {self.name} reads 3 channels, not {channels}")
        options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
        if self.name in ("googlenet", "inception_v3"):
            options |= {"aux_logits": False, "transform_input": self.trained, "init_weights": True}
        if self.name.startswith("vit_") and size is not None:
            options["image_size"] = size
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = get_model_builder(self.name)(weights=None, **options)
        except Exception as error:
            asked = f" with img_size={size}" if size is not None else ""
            raise LoadError(f"torchvision could not make {self.name}{asked}: {brief(error)}") from error
        assert isinstance(module, nn.Module)
        return module

    def head(self, module: nn.Module) -> tuple[str, ...]:
        """Take the last weight, which in every torchvision classifier counts the classes."""
        return ([name for name in module.state_dict() if name.endswith(".weight")][-1],)

    def stem(self, module: nn.Module) -> str:
        """Take the first convolution's weight."""
        return next(name for name, tensor in module.state_dict().items() if tensor.dim() == 4)

    def translate(self, state: State, module: nn.Module) -> State:
        """Leave out what only training uses; DenseNet's files still carry the names of its first release."""
        kept = {name: tensor for name, tensor in state.items() if not _AUXILIARY.match(name)}
        if not self.name.startswith("densenet"):
            return kept
        return {
            re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name): tensor for name, tensor in kept.items()
        }

    def preprocessing(self, size: int | None, channels: int) -> Preprocessing:
        """Take crop, resize, mean and deviation from the transforms torchvision keeps with its weights."""
        transforms = self.weights.transforms()
        crop, resize = int(transforms.crop_size[0]), int(transforms.resize_size[0])
        return Preprocessing(
            size=(size or crop, size or crop),
            mean=per_channel(transforms.mean, channels),
            std=per_channel(transforms.std, channels),
            channels=channels,
            interpolation="bicubic" if transforms.interpolation.value == "bicubic" else "bilinear",
            crop=min(1.0, crop / resize),
        )


def _classifiers() -> list[str]:
    import torchvision

    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return names
