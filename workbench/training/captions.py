"""Captions of emoji, and the small byte-pair vocabulary that reads them.

A caption names the object, some of its keywords and the hand that drew it: ``a turtle, openmoji style``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.images.emoji import EmojiSet
from workbench.models.caption_tokenizer import MERGES, VOCABULARY, in_style
from workbench.training.drawings import split_emoji

_WORD = re.compile(r"[a-z][a-z' -]*[a-z]")


def plain_keywords(keywords: str, name: str) -> list[str]:
    """Return the keywords that are words of a language, not emoticons, and say more than the name; in their order and each once."""
    words = (word.strip().lower().replace("_", " ") for word in keywords.split(","))
    return list(dict.fromkeys(word for word in words if _WORD.fullmatch(word) and word != name.lower()))


def caption(name: str, style: str, keywords: Sequence[str] = ()) -> str:
    """Return ``NAME, KEYWORD, …, STYLE style``, in lower case; the style ``fluent_3d`` is written ``fluent 3d``."""
    return in_style(", ".join([name.lower(), *keywords]), style)


def drawn_caption(name: str, style: str, keywords: Sequence[str], random: torch.Generator) -> str:
    """Draw a caption: half of them begin with an article, and up to three keywords are added, or stand for the name."""
    name, chosen = _drawn_words(name, keywords, random)
    return caption(name, style, chosen)


def _drawn_words(name: str, keywords: Sequence[str], random: torch.Generator) -> tuple[str, list[str]]:
    count = int(torch.randint(0, 4, (), generator=random))
    chosen = [keywords[int(i)] for i in torch.randperm(len(keywords), generator=random)[:count]]
    kind = float(torch.rand((), generator=random))
    if kind < 0.15 and chosen:
        name, chosen = chosen[0], chosen[1:]
    article = "" if kind > 0.5 or name[:2] in ("a ", "an") else "an " if name[:1].lower() in "aeiou" else "a "
    return article + name, chosen


class Captions:
    """Captions of all drawings of an emoji set, their keywords read once."""

    def __init__(self, images: EmojiSet) -> None:
        columns = images.columns
        self._rows = [
            (name, style, plain_keywords(keywords, name))
            for name, style, keywords in zip(columns["concept"], columns["style"], columns["keywords"], strict=True)
        ]

    def plain(self, index: int) -> str:
        """Return name and style of a drawing."""
        name, style, _ = self._rows[index]
        return caption(name, style)

    def full(self, index: int) -> str:
        """Return name, all keywords and style of a drawing."""
        name, style, keywords = self._rows[index]
        return caption(name, style, keywords)

    def draw(self, index: int, random: torch.Generator) -> str:
        """Draw a caption of a drawing; see `drawn_caption`."""
        return drawn_caption(*self._rows[index], random)

    def draw_with_rival(self, index: int, styles: Sequence[str], random: torch.Generator) -> tuple[str, str, str]:
        """Draw a caption of a drawing, the same words in another of the styles, and that style."""
        name, style, keywords = self._rows[index]
        name, chosen = _drawn_words(name, keywords, random)
        others = [one for one in styles if one != style]
        rival = others[int(torch.randint(len(others), (), generator=random))]
        return caption(name, style, chosen), caption(name, rival, chosen), rival

    def words_in_common(self, indices: Sequence[int]) -> Float[Tensor, "n n"]:
        """Return how much the names and keywords of drawings have in common: the cosine of their rarer words' weights (tf-idf), 0 to 1."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        said = [[name.lower(), *keywords] for name, _, keywords in (self._rows[index] for index in indices)]
        words = [{word for one in phrases for word in (one, *one.split())} for phrases in said]
        weights = TfidfVectorizer(analyzer=sorted, min_df=2).fit_transform(words)
        return torch.from_numpy((weights @ weights.T).toarray()).float()


class Dictionary:
    """Names of things and what they are: the 21,844 nouns of ImageNet-21k with their definitions (WordNet 3.0), which timm carries.

    There are too few emoji to learn words from; of a dictionary's entries captions can be made as well.
    """

    COMMON = 0.01
    """A word in more than this part of the definitions says nothing of the thing."""

    def __init__(self) -> None:
        import timm.data

        folder = Path(timm.data.__file__).parent / "_info"
        files = [folder / f"imagenet_synset_to_{what}.txt" for what in ("lemma", "definition")]
        lemmas, definitions = ([line.partition("\t")[2].lower() for line in file.read_text("utf-8").splitlines()] for file in files)
        self.digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:32]
        words = [list(dict.fromkeys(_WORD.findall(definition))) for definition in definitions]
        words = [[word for phrase in found for word in phrase.split()] for found in words]
        often = Counter(word for found in words for word in set(found))
        self._entries = []
        for lemma, definition, found in zip(lemmas, definitions, words, strict=True):
            name, *others = lemma.split(", ")
            telling = [word for word in dict.fromkeys(found) if often[word] < self.COMMON * len(words) and word not in lemma]
            self._entries.append((name, definition, others + telling))

    def draw(self, styles: Sequence[str], random: torch.Generator) -> str:
        """Draw a caption: of an entry's name, its other names and the telling words of its definition, or name and definition in full."""
        name, definition, keywords = self._entries[int(torch.randint(len(self._entries), (), generator=random))]
        if torch.rand((), generator=random) < 1 / 3:
            return f"{name}: {definition}"
        return drawn_caption(name, styles[int(torch.randint(len(styles), (), generator=random))], keywords, random)


def write_vocabulary(path: Path = VOCABULARY) -> None:
    """Learn the merges from the names and keywords of the concepts that are trained on, and write them."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    images = EmojiSet()
    captions = Captions(images)
    texts = [captions.full(index) for index in split_emoji(images)[0].tolist()]
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=100_000, min_frequency=2, end_of_word_suffix="</w>", show_progress=False),
    )
    merges = json.loads(learner.to_str())["model"]["merges"][:MERGES]
    lines = ["#version: captions of the bundled emoji", *(" ".join(pair) for pair in merges)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
