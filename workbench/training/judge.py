"""`Judge`: a bundled classifier that says whether a drawn image shows what it should."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from workbench.models.card import Card, cards, in_single
from workbench.models.small_networks import SMALL_NETWORKS
from workbench.training.trainer import read_tensors

JUDGES = {"style": "judge-style", "object": "inception"}
"""Networks by what they name. Styles are in outlines and shades, which a classifier of things is taught to overlook; things are told by the
one that names their subgroup best, which never saw a drawn image."""


class Judge:
    """A bundled classifier that says what a drawing shows.

    Parameters
    ----------
    card
        Of the classifier.
    """

    def __init__(self, card: Card, device: torch.device) -> None:
        card.check()
        self.labels, self.size = card.labels, int(card.parameters["size"])
        self.module = SMALL_NETWORKS[card.parameters["network"]](len(card.labels))
        self.module.load_state_dict(in_single(read_tensors(card.weights)[0]))
        self.module.to(device).eval()

    @classmethod
    def of(cls, what: str, device: torch.device) -> Judge | None:
        """Return the judge of ``style`` or ``object``, or None where it was not trained yet."""
        card = cards().get(JUDGES[what])
        return cls(card, device) if card is not None else None

    def likeliest(self, images: Float[Tensor, "n 3 y x"], count: int) -> list[list[str]]:
        """Return for each image, in [-1, 1] and of any size, its likeliest labels, the likeliest first."""
        fitting = interpolate(images, (self.size, self.size), mode="bicubic") if images.shape[-1] != self.size else images
        found = torch.cat([self.module(part).topk(count, dim=1).indices for part in fitting.split(256)])
        return [[self.labels[place] for place in row] for row in found.tolist()]
