"""One question, one file. `workbench.analyses.FeatureVisualization(...)` and all others are found here by name."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    from workbench.analyses.analysis import discover

    if name.startswith("_"):
        raise AttributeError(name)
    try:
        return discover()[name]
    except KeyError:
        raise AttributeError(f"workbench.analyses has no analysis named {name!r}") from None


def __dir__() -> list[str]:
    from workbench.analyses.analysis import discover

    return sorted(discover())
