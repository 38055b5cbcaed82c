"""What an edit does to a network's output, image by image: to the probability of a class, or to the output as a vector."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

Array = npt.NDArray[Any]


class Outcome:
    """What was measured on each image, joined batch by batch.

    Parameters
    ----------
    classes
        For each image of the set the class whose log-probability counts; an empty array for the class the clean network predicts, None
        for networks without classes.
    """

    def __init__(self, classes: npt.NDArray[np.int64] | None) -> None:
        self.classes = classes
        self.images = 0
        self._found: dict[str, list[Array]] = defaultdict(list)
        self._change: Tensor | None = None

    def add(self, indices: npt.NDArray[np.int64], rows: Float[Tensor, "row image *output"]) -> None:
        """Take in the outputs of one batch: the clean ones first, then those without the units, then those of the null."""
        clean, edited = rows[0].double(), rows[1:].double()
        difference = edited[0].sub(clean).sum(0)
        self._change = difference if self._change is None else self._change + difference
        measured = self._vectors(clean, edited) if self.classes is None else self._classes(indices, clean, edited)
        change = measured.pop("changes")
        measured |= {"image": indices, "change": change[0]}
        if len(change) > 1:
            measured |= {"null": change[1:].T, "null_image": indices}
        self.images += len(indices)
        for name, values in measured.items():
            self._found[name].append(values)

    def _classes(self, indices: npt.NDArray[np.int64], clean: Tensor, edited: Tensor) -> dict[str, Array]:
        assert self.classes is not None
        before, after = clean.log_softmax(-1), edited.log_softmax(-1)
        top = clean.argmax(-1)
        wanted = torch.as_tensor(self.classes[indices], device=top.device) if len(self.classes) else top
        place = wanted[:, None]
        changes = after.gather(2, place.expand(len(after), -1, -1))[..., 0] - before.gather(1, place)[:, 0]
        divergence = (before.exp() * (before - after[0])).nan_to_num(0.0).sum(-1)
        return {
            "changes": changes.cpu().numpy(),
            "scale": np.ones(len(indices)),
            "class": wanted.cpu().numpy(),
            "kl": divergence.clamp_min(0).cpu().numpy(),
            "top_clean": top.cpu().numpy(),
            "top_ablated": edited[0].argmax(-1).cpu().numpy(),
        }

    @staticmethod
    def _vectors(clean: Tensor, edited: Tensor) -> dict[str, Array]:
        clean, edited = clean.flatten(1), edited.flatten(2)
        size = clean.norm(dim=-1)
        cosine = torch.nn.functional.cosine_similarity(clean, edited[0], dim=-1)
        # Of equal vectors exactly 1, that of zero with itself included.
        cosine = torch.where((clean == edited[0]).all(-1), torch.ones_like(cosine), cosine)
        return {
            "changes": (edited - clean).norm(dim=-1).cpu().numpy(),
            "scale": size.cpu().numpy(),
            "cosine": cosine.cpu().numpy(),
        }

    def so_far(self) -> dict[str, float]:
        """Return the number of images and their mean change."""
        change, scale = (sum(float(part.sum()) for part in self._found[name]) for name in ("change", "scale"))
        return {"images": self.images, "change": change / scale if scale else 0.0}

    def per_image(self) -> dict[str, Array]:
        """Return what was measured, ``image`` ascending; the ``null`` is ``image draw`` of the images ``null_image``."""
        joined = {name: np.concatenate(parts) for name, parts in self._found.items()}
        orders = {name: np.argsort(joined[name], kind="stable") for name in ("image", "null_image") if name in joined}
        return {
            name: values[orders["null_image" if name.startswith("null") else "image"]]
            for name, values in joined.items()
        }

    def output_change(self) -> npt.NDArray[np.float32]:
        """Return the mean change of every number of the output, in the output's own shape."""
        assert self._change is not None
        return (self._change / self.images).float().cpu().numpy()
