"""The 18 open problems in image model interpretability: what each asks, what is known, and what of the workbench answers it.

>>> from workbench import problems
>>> problems.find("7.7").title
'Equivariance in late layers'

The text is data, in ``resources/problems.toml``; what a user sets for a problem is in their project (`workbench.project.ProblemState`).
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from workbench.input_error import InputError

PATH = Path(__file__).resolve().parent.parent / "resources" / "problems.toml"

Difficulty = Literal["B", "C", "D"]

DIFFICULTIES: dict[Difficulty, str] = {"B": "medium", "C": "hard", "D": "very hard"}
"""What the letters of the original table mean."""


@dataclass(frozen=True)
class Link:
    """Something published: title with authors or place and year, and its address."""

    title: str
    url: str


@dataclass(frozen=True)
class Problem:
    """One open problem.

    Attributes
    ----------
    number
        Such as ``7.10``; unique.
    printed_number
        What the original table prints, which gives 7.10 as ``7.1``.
    category, sub_category
        Where the original list has it; `sub_category` may be empty.
    difficulty
        B medium, C hard, D very hard.
    title, text
        A short name; two to five sentences on what is asked, why, and what an answer looks like.
    existing_work
        What was published, nearest first.
    opens
        Ids of the panels it is worked on in, the most useful first; also such that are still to be built.
    analyses
        Class names of the analyses that answer it; also such that are still to be written.
    """

    number: str
    printed_number: str
    category: str
    sub_category: str
    difficulty: Difficulty
    title: str
    text: str
    existing_work: tuple[Link, ...]
    opens: tuple[str, ...]
    analyses: tuple[str, ...]

    @property
    def order(self) -> tuple[int, int]:
        """Sort key: 7.9 comes before 7.10."""
        chapter, _, number = self.number.partition(".")
        return int(chapter), int(number)


@cache
def load() -> tuple[Problem, ...]:
    """Return all problems, ordered by number."""
    document = _document()
    problems = (
        Problem(
            number=entry["number"],
            printed_number=entry.get("printed_number", entry["number"]),
            category=document["category"],
            sub_category=entry["sub_category"],
            difficulty=entry["difficulty"],
            title=entry["title"],
            text=entry["text"].strip(),
            existing_work=tuple(Link(title, url) for title, url in entry["existing_work"]),
            opens=tuple(entry["opens"]),
            analyses=tuple(entry["analyses"]),
        )
        for entry in document["problem"]
    )
    return tuple(sorted(problems, key=lambda problem: problem.order))


def sources() -> tuple[Link, ...]:
    """Return where the problems were first put together."""
    return tuple(Link(entry["title"], entry["url"]) for entry in _document()["source"])


def find(number: str) -> Problem:
    """Return the problem of that number.

    Raises
    ------
    ValueError
        When there is none; the message says which there are.
    """
    for problem in load():
        if problem.number == number.strip():
            return problem
    first, last = load()[0].number, load()[-1].number
    raise InputError(f"there is no open problem {number!r}; they are numbered {first} to {last}")


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads(PATH.read_text(encoding="utf-8"))
