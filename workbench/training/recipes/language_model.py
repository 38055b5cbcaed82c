"""`CaptionModel`: a small causal language model of the captions, in the towers' own tokens; it says how fluent a text is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from workbench.images.emoji import EmojiSet
from workbench.models.caption_tokenizer import VOCABULARY_SIZE, caption_tokenizer
from workbench.models.small_text_networks import build_language_model
from workbench.task import Part, Task
from workbench.training.captions import Captions, Dictionary
from workbench.training.drawings import by_concept, emoji_data, generator, one_of_each, split_emoji
from workbench.training.recipe import Course, Figures, Recipe, register

MEASURED = 4
"""Captions a held-out drawing is measured with."""


@register(caption_lm={})
class CaptionModel(Recipe):
    """Train a causal language model to continue captions (Radford et al. 2019, at a thousandth of the size).

    Part of the captions are of things in a dictionary: 1,300 concepts are too few to learn words from.
    """

    title: ClassVar[str] = "Language model of captions"

    steps: int = Field(6_000, ge=1, description="weight updates")
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
        self.images = images = EmojiSet()
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

        ``train_perplexity`` is that on captions drawn anew, one of each concept trained on.

        The trigram model mixes relative frequencies of orders 3, 2, 1 and a uniform share, with the weights that suit the held-out
        captions best: an advantage it would not have in use. It has read both kinds of text, in the parts they are trained on; what one
        has to say that read the captions of emoji only is ``caption_trigram_perplexity``.
        """
        random = torch.Generator().manual_seed(self.recipe.seed)
        texts = [text for _ in range(MEASURED) for text in self._texts(self.unseen, random)]
        own, count = self._perplexity(module, texts, Part(task, 0, 4, 5))
        learned = [text for _ in range(20) for text in self._texts(self.seen, random)]
        defined = round(len(learned) * self.recipe.dictionary / max(1 - self.recipe.dictionary, 0.1))
        more = [self.dictionary.draw(self.styles, random) for _ in range(defined)]
        measured, told = self._tokens(texts), self._tokens(learned)
        of_captions = trigram_perplexity(told, measured)
        trigram = trigram_perplexity([*told, *self._tokens(more)], measured) if more else of_captions
        known = one_of_each(by_concept(self.images, torch.tensor(self.seen))).tolist()
        seen, _ = self._perplexity(module, self._texts(known, random), Part(task, 4, 1, 5))
        return {
            "train_perplexity": round(seen, 3),
            "test_perplexity": round(own, 3),
            "trigram_perplexity": round(trigram, 3),
            "caption_trigram_perplexity": round(of_captions, 3),
            "below_trigram": round(1 - own / trigram, 4),
            "test_tokens": count,
        }

    @torch.inference_mode()
    def _perplexity(self, module: nn.Module, texts: Sequence[str], task: Task) -> tuple[float, int]:
        """Return perplexity a token, and the number of tokens."""
        total, count = 0.0, 0
        for at in range(0, len(texts), 256):
            part = texts[at : at + 256]
            tokens = int((self.tokenize(part)[:, 1:] != 0).sum())
            total += float(self._surprise(module, part)) * tokens
            count += tokens
            task.step(at, len(texts), note="measuring perplexity")
        return math.exp(total / count), count

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return [[token for token in row if token] for row in self.tokenize(list(texts)).tolist()]


def trigram_perplexity(learned: Sequence[Sequence[int]], measured: Sequence[Sequence[int]]) -> float:
    """Return the perplexity a token of an interpolated trigram model (Jelinek & Mercer 1980) with the best weights for `measured`."""
    read, asked = _Rows(learned), _Rows(measured)
    shares = [np.full(len(asked.places), 1 / VOCABULARY_SIZE)]
    for order in range(3):
        of, all_of = read.grams(order, order + 1), read.grams(order, order)
        found, seen = _counts(of, asked.grams(order, order + 1)), _counts(all_of, asked.grams(order, order))
        shares.append(found / np.maximum(seen, 1))
    table = torch.from_numpy(np.stack(shares, 1))
    weights = torch.full((4,), 0.25, dtype=torch.float64)
    for _ in range(100):  # expectation maximization
        mixed = table * weights
        weights = (mixed / mixed.sum(1, keepdim=True)).mean(0)
    return math.exp(-float((table @ weights).log().mean()))


class _Rows:
    """Texts as one row of tokens, and the places that are guessed: all but each text's first."""

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        self.tokens = np.array([token for row in rows for token in row], dtype=np.int64)
        self.at = np.array([at for row in rows for at in range(len(row))], dtype=np.int64)
        self.places = np.flatnonzero(self.at)

    def grams(self, before: int, length: int) -> Int64[np.ndarray, " places"]:
        """Return, as one number each, the `length` tokens from `before` ahead of every place on; -1 where the text has not begun there."""
        number = np.zeros(len(self.places), dtype=np.int64)
        for step in range(length):
            number = number * VOCABULARY_SIZE + self.tokens[self.places - before + step]
        return np.where(self.at[self.places] >= before, number, -1)


def _counts(values: Int64[np.ndarray, " n"], wanted: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
    """Return how often each of `wanted` is among `values`; -1 is never."""
    known, often = np.unique(values, return_counts=True)
    if not len(known):
        return np.zeros_like(wanted)
    place = np.searchsorted(known, wanted).clip(max=len(known) - 1)
    return np.where((known[place] == wanted) & (wanted >= 0), often[place], 0)
