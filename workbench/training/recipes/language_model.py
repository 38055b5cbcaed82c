"""`CaptionModel`: a small causal language model of the captions, in the towers' own tokens; it says how fluent a text is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from workbench.images.emoji import EmojiSet
from workbench.models.caption_tokenizer import VOCABULARY_SIZE, caption_tokenizer
from workbench.models.small_text_networks import build_language_model
from workbench.task import Task
from workbench.training.captions import Captions, Dictionary
from workbench.training.drawings import emoji_data, generator, split_emoji
from workbench.training.recipe import Course, Figures, Recipe, register

MEASURED = 4
"""Captions a held-out drawing is measured with."""


@register(caption_lm={})
class CaptionModel(Recipe):
    """Train a causal language model to continue captions (Radford et al. 2019, at a thousandth of the size).

    Part of the captions are of things in a dictionary: 1,300 concepts are too few to learn words from.
    """

    title: ClassVar[str] = "Language model of captions"

    steps: int = Field(3_000, ge=1, description="weight updates")
    batch: int = Field(128, ge=2, description="captions an update")
    learning_rate: float = Field(2e-3, gt=0, description="at its largest, after the warm-up")
    weight_decay: float = Field(0.1, ge=0, description="of matrices and kernels (AdamW)")
    average: float = Field(0.99, ge=0, lt=1, description="decay of the running average of the weights that is kept")
    dictionary: float = Field(0.5, ge=0, le=1, description="part of the captions that are of ImageNet-21k's nouns, not of emoji")
    checkpoints: int = Field(2, ge=2, description="checkpoints kept, at logarithmically spaced updates")

    def prepare(self, device: torch.device, task: Task) -> _Captions:
        """Gather names and keywords and build the network."""
        return _Captions(self, device)


class _Captions(Course):
    def __init__(self, recipe: CaptionModel, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        images = EmojiSet()
        self.captions = Captions(images)
        train, test = split_emoji(images)
        self.seen, self.unseen = train.tolist(), test.tolist()
        self.styles = list(dict.fromkeys(images.columns["style"]))
        self.dictionary = Dictionary()
        self.data = emoji_data(images) | {"dictionary": self.dictionary.digest}
        torch.manual_seed(recipe.seed)
        self.module = build_language_model().to(device)
        self.tokenize = caption_tokenizer()

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross-entropy of the next token, in nats."""
        random = generator(self.recipe.seed, step)
        emoji = self.recipe.batch - round(self.recipe.dictionary * self.recipe.batch)
        chosen = torch.randint(len(self.seen), (emoji,), generator=random).tolist()
        texts = self._texts([self.seen[i] for i in chosen], random)
        texts += [self.dictionary.draw(self.styles, random) for _ in range(self.recipe.batch - emoji)]
        return self._surprise(self.module, texts), {}

    def _texts(self, indices: Sequence[int], random: torch.Generator) -> list[str]:
        return [self.captions.draw(index, random) for index in indices]

    def _surprise(self, module: nn.Module, texts: Sequence[str]) -> Tensor:
        tokens: Tensor = self.tokenize(list(texts))
        tokens = tokens[:, : int((tokens != 0).sum(1).max())].to(self.device)
        logits = module(input_ids=tokens).logits.float()
        wanted = tokens[:, 1:].masked_fill(tokens[:, 1:] == 0, -100)  # 0 pads
        return cross_entropy(logits[:, :-1].flatten(0, 1), wanted.flatten(), ignore_index=-100)

    def evaluate(self, module: nn.Module, task: Task) -> Figures:
        """Measure perplexity a token on captions of held-out concepts, beside that of a trigram model of the texts trained on.

        The trigram model mixes relative frequencies of orders 3, 2, 1 and a uniform share, with the weights that suit the held-out
        captions best: an advantage it would not have in use. It has read both kinds of text, in the parts they are trained on; what one
        has to say that read the captions of emoji only is ``caption_trigram_perplexity``.
        """
        random = torch.Generator().manual_seed(self.recipe.seed)
        texts = [text for _ in range(MEASURED) for text in self._texts(self.unseen, random)]
        total, count = 0.0, 0
        with torch.inference_mode():
            for at in range(0, len(texts), 256):
                part = texts[at : at + 256]
                tokens = int((self.tokenize(part)[:, 1:] != 0).sum())
                total += float(self._surprise(module, part)) * tokens
                count += tokens
                task.step(at, len(texts), note="measuring perplexity")
        own = math.exp(total / count)
        learned = [text for _ in range(20) for text in self._texts(self.seen, random)]
        defined = round(len(learned) * self.recipe.dictionary / max(1 - self.recipe.dictionary, 0.1))
        more = [self.dictionary.draw(self.styles, random) for _ in range(defined)]
        measured = self._tokens(texts)
        of_captions = trigram_perplexity(self._tokens(learned), measured)
        trigram = trigram_perplexity(self._tokens([*learned, *more]), measured) if more else of_captions
        return {
            "test_perplexity": round(own, 3),
            "trigram_perplexity": round(trigram, 3),
            "caption_trigram_perplexity": round(of_captions, 3),
            "below_trigram": round(1 - own / trigram, 4),
            "test_tokens": count,
        }

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return [[token for token in row if token] for row in self.tokenize(list(texts)).tolist()]


def trigram_perplexity(learned: Sequence[Sequence[int]], measured: Sequence[Sequence[int]]) -> float:
    """Return the perplexity a token of an interpolated trigram model (Jelinek & Mercer 1980) with the best weights for `measured`."""
    counts: list[Counter[tuple[int, ...]]] = [Counter(), Counter(), Counter()]
    contexts: list[Counter[tuple[int, ...]]] = [Counter(), Counter(), Counter()]
    for row in learned:
        for at in range(1, len(row)):
            for order in range(3):
                context = tuple(row[max(0, at - order) : at])
                if len(context) == order:
                    counts[order][(*context, row[at])] += 1
                    contexts[order][context] += 1
    parts = []
    for row in measured:
        for at in range(1, len(row)):
            shares = []
            for order in range(3):
                context = tuple(row[max(0, at - order) : at])
                seen = contexts[order][context] if len(context) == order else 0
                shares.append(counts[order][(*context, row[at])] / seen if seen else 0.0)
            parts.append([1 / VOCABULARY_SIZE, *shares])
    table = torch.tensor(parts, dtype=torch.float64)
    weights = torch.full((4,), 0.25, dtype=torch.float64)
    for _ in range(100):  # expectation maximization
        mixed = table * weights
        weights = (mixed / mixed.sum(1, keepdim=True)).mean(0)
    return math.exp(-float((table @ weights).log().mean()))
