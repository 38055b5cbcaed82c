"""What the window asks about reports: which open problems have one, and to write one.

As in `requests`, nothing heavy is imported before `run`, in the worker thread.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from workbench.data_folder import data_folder
from workbench.jobs.job import Lane, Request
from workbench.jobs.requests import IMPORTING
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.jobs.engine import Engine

PAGE = "report.html"


def reports_of(problem: str) -> list[Path]:
    """Return the pages written about an open problem, the newest first."""
    folder = data_folder("reports") / problem
    return sorted(folder.glob(f"*/{PAGE}"), reverse=True) if folder.is_dir() else []


@dataclass(frozen=True)
class DescribeReports(Request):
    """Say which open problems have a report -> ``{number: what it reports}``."""

    lane: ClassVar[Lane] = "interactive"
    precedence: ClassVar[float] = IMPORTING

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return "List reports"

    @property
    def key(self) -> str:
        """Asked again, the answer is the same."""
        return "describe reports"

    def run(self, engine: Engine, task: Task) -> dict[str, str]:
        """Import and describe them."""
        engine.warm_up(task)
        from workbench.reports.report import discover

        return {number: entry.title for number, entry in discover().items()}


@dataclass(frozen=True)
class AnswerProblem(Request):
    """Write the report of an open problem into the user's data folder -> path of its page.

    Attributes
    ----------
    models, images
        References; none: those the report names.
    """

    problem: str
    models: tuple[str, ...] = ()
    images: str = ""
    budget: Literal["quick", "full"] = "quick"

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Report of problem {self.problem} ({self.budget})"

    @property
    def key(self) -> str:
        """One report of a problem at a time."""
        return f"report {self.problem}"

    def run(self, engine: Engine, task: Task) -> str:
        """Compute what is not in the store yet, and write."""
        engine.warm_up(task)
        from workbench.reports.report import write_report

        report = write_report(engine, self.problem, self.models, self.images, self.budget, task)
        folder = data_folder("reports") / self.problem / time.strftime("%Y-%m-%d %H.%M.%S")
        return str(report.save(folder) / PAGE)
