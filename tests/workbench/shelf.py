"""A folder of bundled networks of a test's own, in place of the one in the box."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from workbench.models import card
from workbench.task import Task
from workbench.training import publish, trainer
from workbench.training.recipe import Recipe


class Shelf:
    """The folder, and a way to put networks there; their figures are not measured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, recipe: Recipe) -> Path:
        """Train and publish a network; return the run's folder."""
        run = self.folder / "runs" / name
        trainer.train(recipe, run, Task(), device="cpu", precision="fp32")
        publish.publish(run, name, Task(), self.folder)
        card.cards.cache_clear()
        return run


@contextmanager
def shelf_in(folder: Path, figures: Mapping[str, float]) -> Iterator[Shelf]:
    """Let the bundled networks be those of `folder`, with `figures` on their cards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(card, "FOLDER", folder)
        patch.setattr(publish, "evaluate", lambda *_: dict(figures))
        card.cards.cache_clear()
        try:
            yield Shelf(folder)
        finally:
            card.cards.cache_clear()
