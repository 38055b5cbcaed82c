"""The small byte-pair vocabulary in which the bundled networks read text; `workbench.training.captions` learns it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workbench.models.shelf import FOLDER

if TYPE_CHECKING:
    from workbench.models.further_input import Tokenize

MERGES = 1_024
"""Pairs joined by the vocabulary; with 512 bytes (inside and at the end of a word) and 2 marks it has 1,538 entries."""
VOCABULARY_SIZE = 512 + MERGES + 2
CONTEXT = 32
"""Tokens a caption may have; what is longer is cut."""
VOCABULARY = FOLDER / "captions.txt.gz"
"""The merges in the form in which CLIP's own vocabulary is kept: a line of heading, then a pair a line."""

_PLAIN = re.compile(r"[A-Za-z0-9 ,.:'-]*")
"""Texts in which there is nothing to mend, nearly all captions: looking for it takes open_clip as long as all else."""


def caption_tokenizer() -> Any:
    """Return open_clip's tokenizer with the small vocabulary; called with texts it gives int64 ``[texts, CONTEXT]``, padded with 0."""
    from open_clip import SimpleTokenizer

    tokenizer = SimpleTokenizer(bpe_path=str(VOCABULARY), context_length=CONTEXT)
    thorough = tokenizer.clean_fn

    def clean(text: str) -> str:
        return " ".join(text.lower().split()) if _PLAIN.fullmatch(text) else thorough(text)

    tokenizer.clean_fn = clean
    return tokenizer


def tokens_of(tokenize: Tokenize, text: str) -> int | None:
    """Return how many tokens a text has before any is cut, the marks at both ends included; None for a tokenizer that does not say."""
    encode = getattr(tokenize, "encode", None)  # open_clip's, in whatever vocabulary, gives what stands between the marks
    return None if encode is None else len(encode(text)) + 2


def in_style(text: str, style: str) -> str:
    """Return a text with a drawing style, as the captions name it: ``TEXT, STYLE style``; ``fluent_3d`` is written ``fluent 3d``."""
    return ", ".join(part for part in (text, f"{style.replace('_', ' ')} style" if style else "") if part)
