"""`Judge`: a bundled classifier that says whether a drawn image shows what it should."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.models.card import Card, cards, in_single
from workbench.models.small_networks import SMALL_NETWORKS
from workbench.training.trainer import read_tensors


class Judge:
    """A bundled classifier that says what a drawing shows.

    Parameters
    ----------
    card
        Of the classifier.
    """

    def __init__(self, card: Card, device: torch.device) -> None:
        card.check()
        self.labels = card.labels
        self.module = SMALL_NETWORKS[card.parameters["network"]](len(card.labels))
        self.module.load_state_dict(in_single(read_tensors(card.weights)[0]))
        self.module.to(device).eval()

    @classmethod
    def of(cls, what: str, device: torch.device) -> Judge | None:
        """Return the judge of ``style`` or ``object``, or None where it was not trained yet."""
        card = cards().get(f"judge-{what}")
        return cls(card, device) if card is not None else None

    def likeliest(self, images: Float[Tensor, "n 3 y x"], count: int) -> list[list[str]]:
        """Return for each image its likeliest labels, the likeliest first."""
        found = torch.cat([self.module(part).topk(count, dim=1).indices for part in images.split(256)])
        return [[self.labels[place] for place in row] for row in found.tolist()]
