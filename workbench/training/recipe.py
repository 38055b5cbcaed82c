"""What a recipe is: parameters (a frozen pydantic model) -> `prepare(device, task)` -> a `Course` that gives losses and figures.

From that one declaration come the form in the training dock, the command-line flags, the card of the finished network and the run's own
file. A new kind of training is one file in `workbench.training.recipes`: subclass `Recipe`, decorate it with `register`, and give the
settings that are worth a name.

Everything random of step s is drawn from (seed, s) alone. That is what lets a killed run go on as though nothing had happened.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator

from workbench.input_error import InputError
from workbench.models.older_recipes import restarts
from workbench.task import Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from workbench.images.image_set import UnreadableImage

Figures = dict[str, float]


class RecipeError(InputError):
    """A training that cannot begin or go on; the message is one line that says what to do."""


class Course(ABC):
    """A network with its data at hand: what the trainer steps through.

    Attributes
    ----------
    module
        The network; the trainer owns its weights.
    labels
        Class names in the order of the output, empty where there are no classes.
    data
        References and digests of what it is trained on, for the card.
    """

    module: nn.Module
    labels: tuple[str, ...] = ()
    data: Mapping[str, str]

    @property
    def unreadable(self) -> Sequence[UnreadableImage]:
        """The images that could not be read and were left out."""
        return ()

    def fetch(self, step: int, task: Task) -> None:  # noqa: B027 - most have all at hand
        """Read what the update after so many needs and takes long to read, telling `task`.

        Called between two updates: others are let in, and whoever pauses here loses none.
        """

    @abstractmethod
    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of one batch, with gradients, and further figures of it, all scalars."""

    @abstractmethod
    def evaluate(self, module: nn.Module, task: Task) -> Figures:
        """Measure `module` (in eval mode) on what it was trained on and on what was held out."""


class Recipe(BaseModel, ABC):
    """Base of every recipe: the fields are its parameters, with bounds and help text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: ClassVar[str]
    """What menus call it."""

    seed: int = Field(0, ge=0, description="of the first weights, the order of the data and everything drawn at random")
    steps: int = Field(10_000, ge=1, description="weight updates")
    batch: int = Field(128, ge=2, description="examples an update")
    learning_rate: float = Field(2e-3, gt=0, description="at its largest, after the warm-up")
    warm_up: int = Field(300, ge=0, description="updates over which the learning rate rises to its largest")
    restart: tuple[PositiveInt, ...] = Field((), description="updates from each of which the learning rate rises and falls once more")
    weight_decay: float = Field(0.05, ge=0, description="of matrices and kernels (AdamW)")
    average: float = Field(
        0.0, ge=0, lt=1, description="decay of the running average of the weights that is kept; 0: the weights themselves"
    )
    checkpoints: int = Field(30, ge=2, description="checkpoints kept, at logarithmically spaced updates")
    dense_from: int = Field(0, ge=0, description="first of the updates after each of which the weights are kept, beside the checkpoints")
    dense_to: int = Field(0, ge=0, description="last of these updates; 0: none")

    @field_validator("restart", mode="before")
    @classmethod
    def _restarts(cls, told: Any) -> Any:
        """Read what older runs tell as well."""
        plain = isinstance(told, list | tuple) and all(isinstance(update, int) for update in told)
        return restarts(told) if isinstance(told, int) or plain else told

    @abstractmethod
    def prepare(self, device: torch.device, task: Task) -> Course:
        """Open the data and build the network with weights drawn from the seed.

        Raises
        ------
        RecipeError
            When the data or the network do not fit the recipe.
        """

    def rate(self, step: int) -> float:
        """Return the learning rate of one update: a linear rise, then half a cosine to nothing.

        Both come once more from each `restart` below `steps` (Loshchilov & Hutter 2017): so a finished run can be given more updates, and
        there is a recipe that says what was done.
        """
        begins = [0, *(update for update in self.restart if update < self.steps), self.steps]
        at = bisect_right(begins, step, hi=len(begins) - 1) - 1
        step, steps = step - begins[at], begins[at + 1] - begins[at]
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / (self.warm_up + 1)
        done = (step - self.warm_up) / max(1, steps - self.warm_up)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def checkpoint_steps(self) -> list[int]:
        """Return the numbers of updates after which the weights are kept: 0, then spaced evenly in their logarithm, up to the last.

        Where the first would fall together they are every one; a run shorter than `checkpoints` keeps them all. From `dense_from` to
        `dense_to` they are every one as well.
        """
        kept = {0, self.steps}
        divisions = self.checkpoints - 2
        while len(kept) < min(self.checkpoints, self.steps + 1):
            kept = {0, *(round(math.exp(math.log(self.steps) * i / max(1, divisions))) for i in range(divisions + 1)), self.steps}
            divisions += 1
        dense = range(self.dense_from, min(self.dense_to, self.steps) + 1) if self.dense_to else ()
        return sorted(kept.union(dense))


def update_seed(seed: int, step: int) -> int:
    """Return what everything random of one update is drawn from."""
    return seed * 1_000_003 + step


KINDS: dict[str, type[Recipe]] = {}
NAMED: dict[str, tuple[type[Recipe], Mapping[str, Any]]] = {}
R = TypeVar("R", bound=Recipe)


def register(**named: Mapping[str, Any]) -> Callable[[type[R]], type[R]]:
    """Class decorator: make a kind of recipe known by its class name, and some settings of it by names of their own."""

    def decorate(kind: type[R]) -> type[R]:
        KINDS[kind.__name__] = kind
        for name, settings in named.items():
            NAMED[name.replace("_", "-")] = kind, settings
        return kind

    return decorate


def discover() -> dict[str, tuple[type[Recipe], Mapping[str, Any]]]:
    """Import every recipe once and return all by name, kind and settings: the named ones first, then the kinds, which need settings."""
    import workbench.training.recipes as package

    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return {**dict(sorted(NAMED.items())), **{name: (kind, {}) for name, kind in sorted(KINDS.items())}}


def schema_of(name: str) -> dict[str, Any]:
    """Return the JSON schema of a recipe's parameters; its defaults are those of this recipe, so a named one needs nothing more.

    Raises
    ------
    RecipeError
        When there is none of that name; the nearest name is suggested.
    """
    kind, named = _find(name)
    schema = kind.model_json_schema()
    for parameter, value in named.items():
        schema["properties"][parameter]["default"] = value
    schema["required"] = [parameter for parameter in schema.get("required", ()) if parameter not in named]
    return schema


def recipe(name: str, settings: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe by name, some of its parameters changed.

    Raises
    ------
    RecipeError
        When there is none of that name, or a parameter is wrong; the message names the parameter.
    """
    from pydantic import ValidationError

    kind, named = _find(name)
    try:
        return kind(**{**named, **(settings or {})})
    except ValidationError as error:
        first = error.errors()[0]
        told = (name, ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, "))
        raise RecipeError(": ".join(filter(None, told))) from None


def _find(name: str) -> tuple[type[Recipe], Mapping[str, Any]]:
    known = discover()
    if name not in known:
        close = get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise RecipeError(f"no recipe is named {name!r}; {hint}")
    return known[name]
