"""What people call units: names with confidence, author and evidence, merged sensibly, and turned into variable names.

A unit may carry several labels, in the order its reader prefers; the first *typed* one is what it is called, else the first *proposed*.
Two labels of a unit are the same when name and author are (any case, any spaces): a second author's opinion is a label of its own.
"""

# No postponed annotations here: `workbench.project` reads the real types off the fields.

import builtins
import keyword
import math
import re
import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from workbench.input_error import InputError
from workbench.models.layer import Unit

Kind = Literal["typed", "proposed"]
"""Whether a person gave the label, or an analysis (such as an AUROC against the labels of the images) suggests it."""


def now() -> float:
    """Seconds since 1970, UTC, in whole milliseconds: exactly what a table can hold."""
    return round(time.time(), 3)


@dataclass(frozen=True)
class Label:
    """One name of a unit.

    Attributes
    ----------
    name
        Free text of one line; runs of white space become one space.
    confidence
        How sure the author is, 0 to 1; None where that is not said.
    author
        Who says so; for proposed labels the analysis.
    evidence
        Why: free text such as ``AUROC .93 for style noto over 7,850 emoji``.
    kind
        Typed by a person, or proposed.
    created
        Seconds since 1970, UTC; 0 where that is not known.

    Raises
    ------
    InputError
        When the name is empty, the confidence no number from 0 to 1, or the time none.
    """

    name: str
    confidence: float | None = None
    author: str = ""
    evidence: str = ""
    kind: Kind = "typed"
    created: float = field(default_factory=now)

    def __post_init__(self) -> None:
        name = " ".join(self.name.split())
        if not name:
            raise InputError("a label needs a name")
        object.__setattr__(self, "name", name)
        if self.confidence is not None:
            if not 0 <= self.confidence <= 1:
                raise InputError(f"confidence {self.confidence} is not a number from 0 to 1")
            object.__setattr__(self, "confidence", float(self.confidence))
        if not math.isfinite(self.created):
            raise InputError(f"created {self.created} is not a time")

    @property
    def identity(self) -> tuple[str, str]:
        """What makes it the same label as another one of the same unit."""
        return self.name.casefold(), " ".join(self.author.split()).casefold()


Labels = dict[str, dict[str, list[Label]]]
"""Model reference -> address of a unit -> its labels."""


def put(labels: Labels, model: str, unit: str, of_unit: Sequence[Label]) -> None:
    """Set the labels of a unit; nothing is kept of units and models that have none."""
    if of_unit:
        labels.setdefault(model, {})[unit] = list(of_unit)
        return
    of_model = labels.get(model, {})
    of_model.pop(unit, None)
    if not of_model:
        labels.pop(model, None)


def primary(of_unit: Sequence[Label]) -> Label | None:
    """Return the label that a unit goes by: the first typed one, else the first; None without any."""
    return next((label for label in of_unit if label.kind == "typed"), of_unit[0] if of_unit else None)


# Merging


@dataclass
class Merged:
    """How many labels were new, changed one that was there, and said nothing new."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0


def merge(labels: Labels, new: Labels) -> Merged:
    """Add labels to those that are there, in place.

    Of two that are the same the newer one counts, and the one that comes in where it is not known to be older; what it leaves empty is
    taken from the other. A typed label stays typed, and the earlier time is kept.
    """
    done = Merged()
    for model, units in new.items():
        for unit, of_unit in units.items():
            known = list(labels.get(model, {}).get(unit, ()))
            for label in of_unit:
                place = next((i for i, other in enumerate(known) if other.identity == label.identity), None)
                if place is None:
                    known.append(label)
                    done.added += 1
                elif (united := _united(known[place], label)) != known[place]:
                    known[place] = united
                    done.changed += 1
                else:
                    done.unchanged += 1
            put(labels, model, unit, known)
    return done


def _united(known: Label, new: Label) -> Label:
    first, second = (known, new) if new.created and known.created > new.created else (new, known)
    return replace(
        first,
        confidence=second.confidence if first.confidence is None else first.confidence,
        author=first.author or second.author,
        evidence=first.evidence or second.evidence,
        kind="typed" if "typed" in (first.kind, second.kind) else "proposed",
        created=min((time for time in (first.created, second.created) if time), default=0.0),
    )


# Variable names

RESERVED = frozenset((*keyword.kwlist, *keyword.softkwlist, *dir(builtins)))
"""Names that code must not use for a unit."""


def variable_name(text: str) -> str:
    """Turn a label into a name that Python takes: ``curve, 45°`` -> ``curve_45``, ``-45°`` -> ``minus_45``.

    Letters of all scripts stay. What begins with a digit gets ``unit_`` before it, what means something to Python ``_unit`` behind it.
    """
    plain = unicodedata.normalize("NFKC", text).lower()
    plain = re.sub(r"(?<![\w.])[-−–](?=\d)", " minus ", plain)
    kept = "".join(letter if f"a{letter}".isidentifier() else " " for letter in plain)
    name = unicodedata.normalize("NFKC", re.sub(r"[\s_]+", "_", kept).strip("_"))
    if not name.isidentifier():
        name = f"unit_{name}".strip("_")
    return f"{name}_unit" if name in RESERVED else name


def variable_names(of_model: Mapping[str, Sequence[Label]], layer: str) -> dict[int, str]:
    """Return the variable names of a layer's labelled units by unit number, each once.

    Where several units have the same label the one that had it first keeps the plain name, so that a later label never renames it; the
    others have their number behind it.

    Parameters
    ----------
    of_model
        Address of a unit -> its labels.
    """
    called: list[tuple[float, int, str]] = []
    for address, of_unit in of_model.items():
        if not address.startswith(f"{layer}:"):
            continue
        unit, label = Unit.parse(address), primary(of_unit)
        if unit.layer == layer and label is not None:
            called.append((label.created, unit.index, variable_name(label.name)))
    taken: dict[str, int] = {}
    for _, index, name in sorted(called):
        taken[_free(name, index, taken)] = index
    return {index: name for name, index in taken.items()}


def variable_of(of_model: Mapping[str, Sequence[Label]], unit: Unit) -> str:
    """Return the variable name of one unit: that of its label, else ``layer_index``; no other unit of the layer has it."""
    known = variable_names(of_model, unit.layer)
    return known.get(unit.index) or _free(variable_name(str(unit)), unit.index, known.values())


def _free(name: str, index: int, taken: Iterable[str]) -> str:
    while name in taken:
        name = f"{name}_{index}"
    return name
