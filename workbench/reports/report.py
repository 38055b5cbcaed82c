"""What a report is: a function that runs analyses on networks and returns the sections of a page that answers an open problem.

A new report is one file in this folder: write the function, decorate it with `answers`, and ``python main.py problem NUMBER`` and the
problems panel have it. Every report says in this order what the answer is, which figures it rests on, each beside its null, the
smallest effect it could have seen, and what is missing.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import workbench
from workbench import problems
from workbench.input_error import InputError
from workbench.report_page import Details, Section, report_page
from workbench.task import Part, Task
from workbench.whole_folder import check_writable, filling, names_in

if TYPE_CHECKING:
    from workbench.analyses.analysis import Analysis, Result
    from workbench.jobs.engine import Engine
    from workbench.models.traced_model import TracedModel

T = TypeVar("T")
Budget = Literal["quick", "full"]
BUDGETS: dict[Budget, str] = {"quick": "at most about ten minutes on two cores", "full": "as long as it takes"}


OURS = {"report.html", "report.json", "results"}
"""What a report's folder holds."""


@dataclass(frozen=True)
class Findings:
    """What a report's function returns.

    Attributes
    ----------
    sections
        Of the page, the answer first.
    figures
        The numbers that answer the question, plain data.
    """

    sections: Sequence[Section]
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class Report:
    """A page and all that it rests on.

    Attributes
    ----------
    problem
        Number of the open problem.
    models, images
        References.
    results
        What was computed, by the folder each is saved in.
    """

    problem: str
    models: tuple[str, ...]
    images: str
    budget: Budget
    findings: Findings
    results: Mapping[str, Result] = field(default_factory=dict)

    def page(self) -> str:
        """Return the page as HTML."""
        problem = problems.find(self.problem)
        networks = [word for ref in self.models for word in ("--model", ref)]
        words = ["problem", self.problem, *networks, "--images", self.images, "--budget", self.budget, "--out", "DIR"]
        code = ["--allow-code"] if any(ref.startswith("python:") for ref in self.models) else []
        again = shlex.join(["python", "main.py", *words, *code])
        seconds = sum(float(result.provenance.get("seconds", 0)) for result in self.results.values())
        made = "\n".join(f"{name}: {result.analysis} of {result.provenance.get('model')}" for name, result in self.results.items())
        kept = Details(f"{len(self.results)} results in results/, {seconds:.0f} s of computing", made)
        how = Section("How to compute it again", [Details("Command", again), kept])
        about = {"networks": ", ".join(self.models), "images": self.images, "budget": self.budget, "version": workbench.__version__}
        return report_page(f"{problem.number} {problem.title}", [*self.findings.sections, how], problem.text, about)

    def save(self, folder: str | Path) -> Path:
        """Write ``report.html``, ``report.json`` and every result into `folder`, whole or not at all; return the folder.

        Raises
        ------
        InputError
            When the folder holds something that is not a report of ours, or cannot be written.
        """
        folder = check_folder(Path(folder))
        with filling(folder, last="report.json", old=OURS) as new:
            for name, result in self.results.items():
                result.save(new / "results" / name)
            document = {
                "problem": self.problem,
                "models": list(self.models),
                "images": self.images,
                "budget": self.budget,
                "version": workbench.__version__,
                "figures": dict(self.findings.figures),
                "results": {name: result.analysis for name, result in self.results.items()},
            }
            (new / "report.html").write_text(self.page(), encoding="utf-8")
            (new / "report.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return folder


def check_folder(folder: Path) -> Path:
    """Return `folder`, resolved, when a report can be written there: it is not there, empty, or holds an earlier report and nothing else.

    Raises
    ------
    InputError
        Otherwise, or when this user may not write there.
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give a folder for the report")
    there = names_in(folder)
    if there - OURS or (there and not _is_report(folder / "report.json")):
        raise InputError(f"{folder} holds something that is not a report of ours; give a new folder")
    check_writable(folder)
    return folder


def _is_report(path: Path) -> bool:
    """Whether a file is what `Report.save` writes beside a page."""
    try:
        return {"problem", "budget", "figures"} <= set(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return False


def short(ref: str) -> str:
    """Return a reference (or a layer) as a name for folders and figures; two that differ keep different names."""
    return re.sub(r"[^\w.]+", "-", ref.removeprefix("bundled:")).strip("-")


def cell(value: float | int | str | None) -> str | float | int:
    """Return what a table shows of a figure that may be unknown."""
    return "-" if value is None else value


class Work:
    """Computes for a report: each result is kept in the store, told as a part of the whole, and saved beside the page.

    Attributes
    ----------
    models, images
        References.
    missing
        Networks the report is about as well, had they been in the box.
    quick
        Whether minutes matter.
    results
        What was computed so far, by name.
    refused
        What could not be said of some network, and why, one line each.
    """

    def __init__(self, engine: Engine, models: Sequence[str], images: str, budget: Budget, task: Task, missing: Sequence[str] = ()) -> None:
        self.models, self.missing, self.images, self.quick = tuple(models), tuple(missing), images, budget == "quick"
        self.results: dict[str, Result] = {}
        self.refused: list[str] = []
        self._engine, self._task, self._parts, self._done = engine, task, 1.0, 0.0

    def expect(self, parts: float) -> None:
        """Say how many results there will be, as far as is known: progress counts in them."""
        self._parts = max(parts, self._done + 1)

    def model(self, ref: str) -> TracedModel:
        """Return a network, loaded."""
        return self._engine.model(ref, task=Part(self._task, self._done, 0, self._parts))

    def each(self, about: Callable[[str], T]) -> dict[str, T]:
        """Ask something about every network; one that does not allow it is left out, and `refused` says why.

        Raises
        ------
        InputError
            When no network allows it.
        """
        found: dict[str, T] = {}
        for ref in self.models:
            try:
                found[ref] = about(ref)
            except InputError as error:
                self.refused.append(f"{ref}: {error}")
        if self.refused and not found:
            raise InputError(self.refused[-1])
        return found

    def left(self) -> list[str]:
        """Say what is not in the report: networks that are not in the box, and what could not be asked about others."""
        missing = [f"Missing: {', '.join(self.missing)}: not in this box."] if self.missing else []
        return [*missing, *(f"Left out: {line}" for line in self.refused)]

    def run(self, name: str, analysis: Analysis, model: str, images: str = "") -> Result:
        """Compute, or read what was computed before.

        Parameters
        ----------
        name
            Folder that the result is saved in.
        images
            Reference of other images than the report's.
        """
        if name in self.results:
            raise ValueError(f"there is a result {name} already")
        self._parts = max(self._parts, self._done + 1)
        part = Part(self._task, self._done, 1, self._parts)
        result = self._engine.run(analysis, model, (images or self.images) if analysis.needs_images else None, part)
        self.results[name] = result
        self._done += 1
        return result


    def train(self, recipe: str, settings: Mapping[str, Any]) -> tuple[Path, dict[str, float]]:
        """Train, or go on with a training of the same settings, which is kept in the store; return its folder and its figures.

        It counts as one part of the whole.
        """
        from workbench.training import recipe as recipes
        from workbench.training.trainer import train

        self._engine.warm_up()
        chosen = recipes.recipe(recipe, settings)
        told = json.dumps([recipe, chosen.model_dump(mode="json")], sort_keys=True)
        folder = self._engine.store.folder("trainings") / hashlib.sha256(told.encode()).hexdigest()[:32]
        part = Part(self._task, self._done, 1, self._parts)
        course = train(chosen, folder, part, precision="fp32")
        figures = course.evaluate(course.module.eval(), part)
        self._done += 1
        return folder, figures


Make = Callable[[Work], Findings]


@dataclass(frozen=True)
class Entry:
    """A report that can be asked for.

    Attributes
    ----------
    models
        References of the networks it is about unless others are given.
    """

    problem: str
    title: str
    models: tuple[str, ...]
    images: str
    make: Make


ENTRIES: dict[str, Entry] = {}


def answers(problem: str, title: str, models: Sequence[str], images: str = "emoji") -> Callable[[Make], Make]:
    """Return a decorator that makes a function known as the report of an open problem."""

    def register(make: Make) -> Make:
        ENTRIES[problem] = Entry(problem, title, tuple(models), images, make)
        return make

    return register


def discover() -> dict[str, Entry]:
    """Import every file of this folder once and return all reports by the number of their problem."""
    import workbench.reports as package

    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return dict(sorted(ENTRIES.items(), key=lambda entry: problems.find(entry[0]).order))


def find(problem: str) -> Entry:
    """Return the report of an open problem.

    Raises
    ------
    InputError
        When there is no such problem, or no report of it yet.
    """
    number, known = problems.find(problem).number, discover()
    if number not in known:
        raise InputError(f"there is no report of problem {number} yet; there are those of {', '.join(known)}")
    return known[number]


def write_report(
    engine: Engine, problem: str, models: Sequence[str] = (), images: str = "", budget: Budget = "quick", task: Task | None = None
) -> Report:
    """Answer an open problem.

    Parameters
    ----------
    models, images
        References; none: those the report names.

    Raises
    ------
    InputError
        When there is no such report, or a network or image set cannot be opened.
    """
    from workbench.models.loading import list_models

    entry = find(problem)
    there = set(list_models("bundled:*"))
    chosen = tuple(models) or tuple(ref for ref in entry.models if ref in there)
    missing = () if models else tuple(ref for ref in entry.models if ref not in there)
    work = Work(engine, chosen, images or entry.images, budget, task or Task(), missing)
    found = entry.make(work)
    return Report(entry.problem, chosen, work.images, budget, found, work.results)

