"""`as_trained`: the parameters of networks that were trained before their recipe had all of today's, as today's recipe would tell them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LATER: Mapping[str, Mapping[str, Any]] = {
    "Classifier": {"ground": "random"},
    "Contrastive": {"likeness": 0.0, "styles_from": 0, "styles_first_from": 0, "covered_from": 0},
    "Diffusion": {"still": 0},
}
"""Parameters that kinds of recipes got after networks had been trained with them, and what those were trained with."""
RECOLOURED = ("Classifier", "Contrastive")
"""Recipes whose images were recoloured as far as they were moved, until `recolour` was a parameter of its own."""


def restarts(told: int | Iterable[int]) -> tuple[int, ...]:
    """Return the updates of a `restart`, in order and each once; 0 is never, and there was one number only until there could be several."""
    return tuple(sorted({update for update in ((told,) if isinstance(told, int) else told) if update}))


def as_trained(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a training as today's recipe tells them.

    Those that its kind of recipe got later are what it was trained with, and `restart`, which every recipe has, is a list.
    """
    later = dict(LATER.get(kind, {}))
    if kind in RECOLOURED:
        later["recolour"] = settings.get("move", 1.0)
    return {**later, **settings, "restart": list(restarts(settings.get("restart", 0)))}
