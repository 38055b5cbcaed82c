"""What is asked of the worker (`Request`) and what it says about it (`JobEvent`): the only two things that cross between threads.

A request is a frozen dataclass with plain fields; its `run` is called in the worker thread and returns numpy arrays and plain data,
never a tensor. Two lanes: *interactive* requests are short and answer a gesture, *long* ones take their turn. A request with a `key`
replaces an older one of the same key, whichever lane it is in: what was asked for last is what the user is looking at now.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from workbench.task import Task

if TYPE_CHECKING:
    from workbench.jobs.engine import Engine

Lane = Literal["interactive", "long"]
State = Literal["queued", "running", "progress", "done", "failed", "cancelled"]

ENDED: frozenset[State] = frozenset(("done", "failed", "cancelled"))
"""States after which no further event of that job comes."""


@dataclass(frozen=True)
class Request(ABC):
    """Base of everything one can ask of the worker."""

    lane: ClassVar[Lane] = "long"
    rank: ClassVar[int] = 2
    """Order within the long lane: 0 opens something, 1 fills what is on screen, 2 was started on purpose, 3 goes on for hours."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What the jobs panel calls it."""

    @property
    def key(self) -> str:
        """The newest request of a key wins and older ones are cancelled; empty when it is never superseded."""
        return ""

    @property
    def precedence(self) -> float:
        """Smaller goes first, and runs inside the steps of a running job whose number is larger; -1 is interactive."""
        return -1 if self.lane == "interactive" else self.rank

    @abstractmethod
    def run(self, engine: Engine, task: Task) -> object:
        """Do it, in the worker thread; return numpy arrays and plain data only."""


@dataclass(frozen=True)
class JobEvent:
    """News of one job.

    Attributes
    ----------
    job
        Number given by `Runner.submit`.
    request
        What was asked.
    state
        ``queued``, ``running`` (once), ``progress`` (at most about 20 a second), then exactly one of ``done``, ``failed``, ``cancelled``.
    done, total
        Progress in whatever the work counts in; `total` 0 means unknown.
    note
        What is happening now, in a few words.
    rate
        `done` per second over the last seconds, time lent to other jobs not counted; 0 while unknown.
    seconds_left
        Expected time to the end in seconds; None while unknown.
    partial
        What can be shown already, with ``progress`` only.
    result
        What `Request.run` returned, with ``done`` only.
    error
        One line for the user, with ``failed`` only.
    details
        The traceback, to be copied into a report.
    """

    job: int
    request: Request
    state: State
    done: float = 0.0
    total: float = 0.0
    note: str = ""
    rate: float = 0.0
    seconds_left: float | None = None
    partial: object = None
    result: object = None
    error: str = ""
    details: str = ""

    @property
    def ended(self) -> bool:
        """Whether this is the job's last event."""
        return self.state in ENDED


def seal(value: object) -> None:
    """Make every numpy array inside `value` read-only: the two threads now share it.

    Looks into mappings, lists, tuples, sets and the fields of plain objects.

    Raises
    ------
    AssertionError
        When there is a tensor in it; tensors stay in the worker.
    """
    if hasattr(value, "setflags") and hasattr(value, "dtype"):
        if value.dtype.hasobject:
            raise AssertionError(
                f"an array of dtype {value.dtype} must not leave the worker; give numbers or str arrays"
            )
        value.setflags(write=False)
        return
    for ancestor in type(value).__mro__:
        if ancestor.__module__.partition(".")[0] == "torch":
            raise AssertionError(
                f"a {type(value).__name__} must not leave the worker; give .numpy() of a detached copy"
            )
    if isinstance(value, Mapping):
        for item in value.values():
            seal(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            seal(item)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            seal(getattr(value, name))
