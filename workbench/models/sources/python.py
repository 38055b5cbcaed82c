"""``python:FILE.py:FACTORY``: a user's own network, made by a function or class in a Python file. Runs code, so it asks first."""

from __future__ import annotations

import ast
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from workbench.models.loading import (
    CodeNotAllowed,
    LoadError,
    Reference,
    Source,
    SourceEntry,
    register_source,
    suggestion,
)
from workbench.models.preprocessing import Preprocessing
from workbench.models.sources.tracing import brief, refuse_broken_numbers, trace
from workbench.models.traced_model import TracedModel
from workbench.task import Cancelled, Task


@register_source("python")
class Python(Source):
    """A user's Python file."""

    options: ClassVar[dict[str, str]] = {
        "img_size": "height and width of the input in pixels, 224 by default; for factories that return a module alone",
        "in_chans": "channels of the input, 3 by default",
    }

    def entries(self) -> Iterable[SourceEntry]:
        """List nothing: files are named by the user."""
        return ()

    def load(self, reference: Reference, *, allow_code: bool, task: Task) -> TracedModel:
        """Run the file, call the factory without arguments, and capture what it returns.

        The factory returns a module, or ``(module, example_input)``, or a `TracedModel`, which may carry preprocessing and labels.
        """
        path, factory = _parts(reference)
        if not allow_code:
            raise CodeNotAllowed(
                f"{reference} runs the code of {path.name}; allow it if you trust the file (allow_code=True)"
            )
        task.step(0, 0, note=f"running {path.name}")
        with _own_modules(path.parent):
            try:
                made = getattr(_run(path), factory)()
            except Cancelled:
                raise
            except (Exception, SystemExit) as error:
                raise LoadError(f"{path.name}: {factory} failed{_line(error, path)}: {brief(error)}") from error
            return self._capture(made, reference, path, factory, task)

    def _capture(self, made: Any, reference: Reference, path: Path, factory: str, task: Task) -> TracedModel:
        if isinstance(made, TracedModel):
            refuse_broken_numbers(made.graph.root)
            made.ref = str(reference)
            return made
        card: dict[str, Any] = {
            "ref": str(reference),
            "name": f"{path.stem}:{factory}",
            "origin": str(path.absolute()),
            "task": task,
        }
        if isinstance(made, nn.Module):
            size, channels = (
                reference.whole("img_size", 224, least=1) or 224,
                reference.whole("in_chans", 3, least=1) or 3,
            )
            half = (0.5,) * channels
            return trace(made, Preprocessing((size, size), half, half, channels), **card)
        if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module):
            module, example = made
            values = example if isinstance(example, tuple) else (example,)
            if not any(isinstance(value, Tensor) for value in values):
                raise LoadError(f"{path.name}: {factory} gave {type(example).__name__} as example input; give a tensor")
            return trace(module, None, example=example, **card)
        raise LoadError(
            f"{path.name}: {factory} returned {type(made).__name__}; return a torch.nn.Module, or (module, example_input), "
            "or a workbench.TracedModel"
        )


def _parts(reference: Reference) -> tuple[Path, str]:
    """Return file and factory, both looked at without running anything."""
    name, _, factory = reference.name.rpartition(":")
    if not name.endswith(".py"):
        name, factory = reference.name, ""
    path = Path(name).expanduser()
    if path.suffix != ".py":
        raise LoadError(f"{reference.name!r} is not a Python file; write python:FILE.py:FACTORY")
    if not path.is_file():
        raise LoadError(f"there is no file {path}")
    try:
        body = ast.parse(path.read_bytes(), filename=str(path)).body
    except (SyntaxError, ValueError) as error:
        raise LoadError(f"{path} is not valid Python: {error}") from error
    defined = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    known = ", ".join(defined) or "nothing"
    if not factory:
        raise LoadError(
            f"{reference} does not say what makes the network; write python:{name}:FACTORY (it defines {known})"
        )
    if factory not in {*defined, *_bound(body)}:
        raise LoadError(f"{path} defines no {factory!r}{suggestion(factory, defined) or f'; it defines {known}'}")
    return path, factory


def _bound(body: list[ast.stmt]) -> set[str]:
    """Return the names that assignments and imports bind at the top of a file."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names |= {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
    return names


def _run(path: Path) -> Any:
    name = f"workbench_user_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


@contextmanager
def _own_modules(folder: Path) -> Iterator[None]:
    """Let the file import its neighbours, and forget them afterwards: they may have changed by the next time."""
    sys.path.insert(0, str(folder.absolute()))
    before = set(sys.modules)
    try:
        yield
    finally:
        sys.path.remove(str(folder.absolute()))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(folder.absolute()) and "site-packages" not in Path(file).parts:
                del sys.modules[name]


def _line(error: BaseException, path: Path) -> str:
    """Say on which line of the user's file the error arose."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f" on line {lines[-1]}" if lines else ""
