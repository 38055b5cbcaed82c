"""Language models as image networks are: one graph from the input, here tokens, to the output."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor, nn


class NextToken(nn.Module):
    """A causal or masked language model of transformers, without caches and output classes: tokens in, logits out.

    Parameters
    ----------
    padding
        Token that is not read, for models that look at what comes after; None where every token is read.
    """

    def __init__(self, model: nn.Module, padding: int | None = None) -> None:
        super().__init__()
        self.model, self.padding = model, padding

    def forward(self, text: Int64[Tensor, "n tokens"]) -> Float[Tensor, "n tokens vocabulary"]:
        """Return the logits at every place: of the next token, or of the one that is masked there."""
        options: dict[str, Any] = {"use_cache": False} if hasattr(self.model.config, "use_cache") else {}
        if self.padding is not None:
            options["attention_mask"] = (text != self.padding).long()
        logits: Tensor = self.model(input_ids=text, **options).logits
        return logits
