"""What the window asks about training: recipes, runs on disk, and to train.

As in `requests`, nothing heavy is imported before `run`, in the worker thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from workbench.jobs.collector import collector_at_rest
from workbench.jobs.job import Lane, Request
from workbench.jobs.runs import RunCard, find_runs, read_run
from workbench.task import Part, Task

if TYPE_CHECKING:
    from workbench.jobs.engine import Engine


@dataclass(frozen=True)
class RecipeCard:
    """A training recipe: its name, what menus call its kind, the kind's docstring, its parameters as a JSON schema.

    The schema's defaults are those of this recipe, so a named one needs nothing more.
    """

    name: str
    title: str
    help: str
    schema: dict[str, Any]


@dataclass(frozen=True)
class DescribeRecipes(Request):
    """Describe all training recipes -> tuple of `RecipeCard`: the named ones first, then the kinds."""

    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return "List training recipes"

    @property
    def key(self) -> str:
        """Asked again, the answer is the same."""
        return "describe recipes"

    def run(self, engine: Engine, task: Task) -> tuple[RecipeCard, ...]:
        """Import and describe them."""
        import inspect

        engine.warm_up(task)
        with collector_at_rest():
            from workbench.training.recipe import discover, schema_of

            known = discover()
        return tuple(
            RecipeCard(name, kind.title, inspect.getdoc(kind) or "", schema_of(name)) for name, (kind, _) in known.items()
        )


@dataclass(frozen=True)
class ListRuns(Request):
    """List the training runs in a folder -> tuple of `RunCard`, the one written last first.

    It has no key: two panels that ask at once are both answered.
    """

    folder: Path
    lane: ClassVar[Lane] = "interactive"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"List the runs in {self.folder}"

    def run(self, engine: Engine, task: Task) -> tuple[RunCard, ...]:
        """Read them."""
        return find_runs(self.folder)


@dataclass(frozen=True)
class Trained:
    """What became of a training.

    Attributes
    ----------
    run
        What its folder holds.
    measured
        Figures of the finished network by name, on what it was trained on and on what was held out; empty before its last update.
    skipped
        Which images could not be read, in one line; empty where there were none.
    """

    run: RunCard
    measured: Mapping[str, float]
    skipped: str


@dataclass(frozen=True)
class Train(Request):
    """Train a network, or go on with the run in `folder`, and measure it -> `Trained`. Everything else runs inside its steps.

    Partial results are `workbench.training.trainer.Progress`. When it is cancelled its state is kept in the folder, and the same
    request goes on from there; when it is cancelled before the first update was begun, nothing is. Measuring counts as no update: who
    cancels there has a finished run.

    Attributes
    ----------
    recipe, settings
        Name of a recipe, and the parameters that differ from it, plain values by name.
    device, precision, until
        As of `workbench.training.trainer.train`.
    """

    recipe: str
    settings: Mapping[str, Any]
    folder: Path
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    until: int | None = None
    rank: ClassVar[int] = 3

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Train {self.recipe} in {self.folder.name}"

    @property
    def key(self) -> str:
        """Two runs of one folder would write over one another."""
        return f"train {self.folder.absolute()}"

    def run(self, engine: Engine, task: Task) -> Trained:
        """Run or resume it; measure it where it came to its last update."""
        engine.warm_up(task)
        with collector_at_rest():
            from workbench.images.image_set import say_skipped
            from workbench.models.loading import agreed
            from workbench.training.recipe import recipe
            from workbench.training.trainer import train

            chosen = recipe(self.recipe, self.settings)
        with agreed(engine.allowed):  # a recipe may read a network
            course = train(chosen, self.folder, task, device=self.device, precision=self.precision, until=self.until)
        card, measured = read_run(self.folder), {}
        if card.step == card.steps:
            measured = course.evaluate(course.module.eval(), Part(task, card.steps, 0, card.steps))
        return Trained(card, measured, say_skipped(len(course.unreadable), course.unreadable) if course.unreadable else "")
