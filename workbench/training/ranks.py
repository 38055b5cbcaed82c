"""`ranks`: at which place what is right comes."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from workbench.training.recipe import RecipeError


def ranks(scores: Float[Tensor, "n class"], right: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """Return how many other classes score at least as high as the right one, 0 where it is alone at the top, in the processor's memory.

    What scores the same is not told apart: a network that gives every class one number names none of them right.

    Raises
    ------
    RecipeError
        When a score is no number: it would be above or below none.
    """
    if not bool(torch.isfinite(scores).all()):
        raise RecipeError("the network gives values that are no numbers; its weights are of no use: train anew with a lower learning rate")
    return ((scores >= scores.gather(1, right.to(scores.device)[:, None])).sum(1) - 1).cpu()
