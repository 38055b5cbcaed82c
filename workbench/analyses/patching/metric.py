"""What is read off a patched run: one number a pair, larger where it is more like the clean run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from workbench.classes import has_classes
from workbench.input_error import InputError
from workbench.models.layer import units_of

if TYPE_CHECKING:
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

Metric = Literal["logit difference", "logit", "loss", "unit", "similarity"]
WORDS: dict[Metric, str] = {
    "logit difference": "logit of the clean image's class minus that of the corrupt one's",
    "logit": "logit of the clean image's class",
    "loss": "log-probability of the clean image's class (the cross-entropy loss with its sign turned)",
    "unit": "largest activation of the unit",
    "similarity": "cosine between the image and a text",
}


@dataclass(frozen=True)
class Reading:
    """A metric for the pairs of one batch.

    Attributes
    ----------
    target
        Layer it is read from.
    clean, corrupt
        Classes of the two images of each pair; empty for a unit.
    unit, layer
        Index in the target layer, and that layer; -1 and None for classes.
    texts
        Unit vectors ``text d``: the text that an image is compared with, and maybe one whose cosine is subtracted.
    """

    metric: Metric
    target: str
    clean: Int64[Tensor, " pair"]
    corrupt: Int64[Tensor, " pair"]
    unit: int = -1
    layer: Layer | None = None
    texts: Float[Tensor, "text d"] | None = None

    def __call__(self, value: Float[Tensor, "row pair *output"]) -> Float[Tensor, "row pair"]:
        """Read it off the target's values."""
        if self.metric == "unit":
            assert self.layer is not None
            arranged = self.layer.arrange(value.flatten(0, 1))[:, self.unit]
            return arranged.reshape(*value.shape[:2], -1).amax(2)
        if self.metric == "similarity":
            assert self.texts is not None
            cosine = torch.nn.functional.normalize(value, dim=-1) @ self.texts.to(value).T
            return cosine[..., 0] - cosine[..., 1] if cosine.shape[-1] > 1 else cosine[..., 0]
        said = value.log_softmax(-1) if self.metric == "loss" else value
        found: Tensor = said.gather(2, self.clean[None, :, None].expand(len(value), -1, 1))[..., 0]
        if self.metric == "logit difference":
            found = found - said.gather(2, self.corrupt[None, :, None].expand(len(value), -1, 1))[..., 0]
        return found


@dataclass(frozen=True)
class MetricOf:
    """A metric of a network, before its pairs are known.

    Attributes
    ----------
    metric, target, unit, layer, texts
        As `Reading` has them.
    of_class, against
        Places of two chosen classes; -1 for those of the pair's own images.
    words
        What is read, for titles.
    """

    metric: Metric
    target: str
    unit: int = -1
    layer: Layer | None = None
    texts: Float[Tensor, "text d"] | None = None
    of_class: int = -1
    against: int = -1
    words: str = ""

    @classmethod
    def of_classes(cls, model: TracedModel, metric: Metric, of_class: str, against: str) -> MetricOf:
        """Return one of the classes: two chosen ones, or those of the images of a pair where no name is given.

        Raises
        ------
        InputError
            When the network has no classes, none of that name, or both are the same.
        """
        if not has_classes(model):
            raise InputError(f"{model.name} has no classes to compare; choose the metric unit, and a unit")
        chosen = []
        for name in (of_class, against):
            if name and name not in model.labels:
                near = get_close_matches(name, model.labels, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else f"its classes begin with {', '.join(model.labels[:3])}"
                raise InputError(f"{model.name} has no class {name!r}; {hint}")
            chosen.append(model.labels.index(name) if name else -1)
        if chosen[0] == chosen[1] >= 0:
            raise InputError(f"{of_class} is compared with itself; give another class against it, or none")
        words = WORDS[metric].replace("the clean image's class", of_class) if of_class else WORDS[metric]
        words = words.replace("that of the corrupt one's", f"that of {against}") if against else words
        return cls(metric, model.graph.output, of_class=chosen[0], against=chosen[1], words=words)

    @classmethod
    def of_unit(cls, model: TracedModel, unit: str) -> MetricOf:
        """Return the largest activation of a unit.

        Raises
        ------
        InputError
            When there is no such unit.
        """
        asked = units_of(unit) if unit else ()
        if len(asked) != 1:
            raise InputError("give the one unit that is read, such as mixed4a:12")
        layer = model.layer(asked[0].layer)
        layer.check((asked[0].index,))
        if layer.rows != 1 or layer.batch_axis != 0:
            raise InputError(f"{layer.name} works in windows; read a unit of a layer behind it")
        return cls("unit", layer.name, asked[0].index, layer, words=f"{WORDS['unit']} {unit}")

    @classmethod
    def of_texts(cls, model: TracedModel, text: str, against: str) -> MetricOf:
        """Return the cosine of the image with a text, minus that with another where one is given.

        Parameters
        ----------
        text
            Empty for the one that the network was opened with.

        Raises
        ------
        InputError
            When the network does not see and read into one space.
        """
        sees, reads = towers(model)
        given = model.further["text"]
        image = torch.zeros(1, model.preprocessing.channels, *model.preprocessing.size, device=model.device, dtype=model.dtype)
        forward = model.forward_to([reads])
        vectors = []
        for words in (text or given.value, *([against] if against else [])):
            with torch.no_grad():
                (vector,) = forward(image, given.read(words).to(model.device))
            vectors.append(torch.nn.functional.normalize(vector[0], dim=0))
        minus = f" minus that with {against!r}" if against else ""
        words = f"cosine between the image and the text {text or given.value!r}{minus}"
        return cls("similarity", sees, texts=torch.stack(vectors), words=words)

    def reading(self, clean: Sequence[int], corrupt: Sequence[int], device: torch.device) -> Reading:
        """Return it for the pairs of a batch, given their classes."""
        one, other = (
            torch.tensor([fixed] * len(classes) if fixed >= 0 else list(classes), dtype=torch.int64, device=device)
            for fixed, classes in ((self.of_class, clean), (self.against, corrupt))
        )
        return Reading(self.metric, self.target, one, other, self.unit, self.layer, self.texts)


def towers(model: TracedModel) -> tuple[str, str]:
    """Return the two outputs of a network that puts an image and a text into one space: that of the image, and that of the text.

    Raises
    ------
    InputError
        When it has no such two.
    """
    graph = model.graph
    behind = graph.downstream([graph.name(graph.inputs[0])]) if model.sees else set()
    found: dict[bool, str] = {}
    for node in graph.outputs:
        if node in graph.capture.names and "val" in node.meta and node.meta["val"].dim() == 2:
            found.setdefault(node in behind, graph.name(node))
    if len(found) < 2 or "text" not in model.further:
        raise InputError(f"{model.name} does not compare images with texts; open a CLIP such as bundled:clip-rn, or choose another metric")
    return found[True], found[False]
