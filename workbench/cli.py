"""The workbench without a screen: `list_entries` and `run` are what ``python main.py list`` and ``python main.py run`` call.

Exit codes: 0 when all went well, 2 when what was asked for makes no sense or the system refuses it (one line on stderr says why and
what to do), 1 when something went wrong that nobody foresaw, 130 when interrupted with Ctrl+C. A run writes its folder at the very end
and ``result.json`` last, so a folder with a ``result.json`` is whole. Results and unfinished sweeps are kept in the same store as the
window's: what was computed once is read again, and an interrupted sweep goes on where it stopped.

The file behind a ``python:`` reference is run only with ``--allow-code``, though its path was typed: references are also pasted from
project files and messages, and opening one of those must not run a stranger's code.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from workbench.input_error import InputError
from workbench.jobs.progress import Progress
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.jobs.engine import Engine
    from workbench.models.device import Arithmetic
    from workbench.models.traced_model import TracedModel
    from workbench.reports.report import Budget

INTERNAL_ERROR = 1
BAD_INPUT = 2
INTERRUPTED = 130
QUIET = 10.0
"""Seconds until a log file hears of progress."""
KINDS = ("models", "layers", "circuit", "images", "analyses", "recipes", "problems")


@runtime_checkable
class Stream(Protocol):
    """Where progress is written."""

    def write(self, text: str, /) -> int:
        """Write some text."""

    def flush(self) -> None:
        """Show what was written."""

    def isatty(self) -> bool:
        """Say whether somebody is looking."""


class TerminalTask(Task):
    """Draws a progress bar with rate and time left on a terminal; elsewhere (a log file) writes a plain line now and then.

    Plain lines begin after `QUIET` seconds: what is short, or refused, leaves no more in a log than its outcome.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._interval = 0.1 if self._terminal else 5.0
        self._next = 0.0 if self._terminal else time.monotonic() + QUIET
        self._progress = Progress()
        self._width = 0
        self.so_far: Result | None = None

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        """Redraw the bar, not too often; keep what was found so far where that is a result of its own."""
        if isinstance(partial, Mapping) and "result" in partial:
            self.so_far = partial["result"]
        now = time.monotonic()
        self._progress.add(now, done, total, note)
        if now < self._next:
            return
        self._next = now + self._interval
        line = describe(self._progress, bar=self._terminal)
        if self._terminal:
            line = line[: shutil.get_terminal_size().columns - 1]
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def say(self, line: str) -> None:
        """Write a line of its own."""
        self.clear()
        self._stream.write(f"{line}\n")

    def clear(self) -> None:
        """Wipe the bar away, so that the next line stands alone."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0


def describe(progress: Progress, *, bar: bool) -> str:
    """Say in one line how far the work is, such as ``42 %, 128 of 305, 12.5/s, 14 s left, rendering``."""
    parts = []
    if progress.total:
        share = min(1.0, max(0.0, progress.done / progress.total))
        drawing = f"[{'#' * round(24 * share):-<24}] " if bar else ""
        parts.append(f"{drawing}{share:4.0%}")
    if progress.rate:
        count = f"{progress.done:.0f} of {progress.total:.0f}" if progress.total else f"{progress.done:.0f}"
        parts += [count, f"{progress.rate:.3g}/s"]
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    if progress.note:
        parts.append(progress.note)
    return ", ".join(parts) or "working"


def duration(seconds: float) -> str:
    """Write a time as ``42 s``, ``3 min 05 s`` or ``2 h 07 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def guarded(command: Callable[[TerminalTask], None], *, traceback: bool = False) -> int:
    """Do a command with a progress bar and return the exit code; what goes wrong becomes one line on stderr.

    Bad input is what the workbench refuses (`InputError`) and what the operating system does (`OSError`: no such file, disk full). All
    else is a mistake of the program's.

    Parameters
    ----------
    traceback
        Let errors raise, to see where they were noticed.
    """
    task = TerminalTask(sys.stderr)
    try:
        try:
            command(task)
            sys.stdout.flush()
        finally:
            task.clear()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; what Python flushes at exit must have somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if traceback:
            raise
        from workbench.jobs.runner import one_line

        if isinstance(error, InputError | OSError):
            sys.stderr.write(f"error: {one_line(error)}\n")
            return BAD_INPUT
        sys.stderr.write(f"internal error: {one_line(error)}; --traceback shows where\n")
        return INTERNAL_ERROR
    return 0


# What there is


def list_entries(kind: str, pattern: str, model: str | None, as_json: bool, allow_code: bool, task: Task) -> None:
    """Write what there is of one kind to stdout, one line each or as a JSON list.

    Parameters
    ----------
    kind
        One of `KINDS`.
    pattern
        Wildcard on the name or reference; a problem's number, title and category are searched too.
    model
        Reference of the network whose layers, or known circuit, are listed.

    Raises
    ------
    InputError
        When layers or a circuit are asked for without a model, the model cannot be opened, or no circuit is known of it.
    """
    if kind == "models":
        from workbench.models.loading import entries as networks

        entries: list[dict[str, Any]] = [asdict(entry) for entry in networks(pattern)]
        lines = [entry["ref"] for entry in entries]
    elif kind == "layers":
        if model is None:
            raise InputError("list layers needs a network; add --model REF, such as --model bundled:efficientnet-lite0")
        from workbench.jobs.engine import Engine

        entries = _layers(open_model(Engine(), model, allow_code, task), pattern)
        lines = _columns(
            (e["name"], e["kind"], "x".join(map(str, e["shape"])), f"{e['units']} units", e["role"]) for e in entries
        )
    elif kind == "circuit":
        if model is None:
            raise InputError("list circuit needs a network; add --model REF, such as --model bundled:planted/curve_net")
        from workbench.jobs.engine import Engine

        entries = _circuit(open_model(Engine(), model, allow_code, task), pattern)
        lines = _columns((e["what"], e["name"], json.dumps(e["value"], ensure_ascii=False)) for e in entries)
    elif kind == "images":
        from workbench.images.image_set import list_image_sets

        entries = [{"ref": ref} for ref in list_image_sets(pattern)]
        lines = [entry["ref"] for entry in entries]
    elif kind == "analyses":
        entries = _analyses(pattern)
        lines = [line for entry in entries for line in _analysis_lines(entry)]
    elif kind == "recipes":
        entries = _recipes(pattern)
        lines = [line for entry in entries for line in _analysis_lines(entry)]
    elif kind == "problems":
        entries = _problems(pattern)
        lines = _columns((e["number"], e["difficulty"], e["title"]) for e in entries)
    else:
        raise InputError(f"there is nothing to list named {kind!r}; there are {', '.join(KINDS)}")
    if as_json:
        sys.stdout.write(json.dumps(entries, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines)


def open_model(engine: Engine, ref: str, allow_code: bool, task: Task) -> TracedModel:
    """Load a network; that its code may not be run is said with the flag that allows it."""
    from workbench.models.loading import CodeNotAllowed

    try:
        return engine.model(ref, allow_code=allow_code, task=task)
    except CodeNotAllowed:
        raise InputError(f"{ref} runs a Python file; add --allow-code if you trust it") from None


def _layers(model: TracedModel, pattern: str) -> list[dict[str, Any]]:
    return [
        {
            "name": layer.name,
            "kind": layer.kind,
            "shape": list(layer.shape),
            "units": layer.units,
            "role": layer.role,
            "aliases": list(layer.aliases),
        }
        for layer in model.layers.values()
        if any(fnmatchcase(name, pattern) for name in (layer.name, *layer.aliases))
    ]


def _circuit(model: TracedModel, pattern: str) -> list[dict[str, Any]]:
    """Return what is known of a network, piece by piece; the pattern is for units, edges' ends and the names of facts."""
    known = model.circuit
    if known is None:
        raise InputError(
            f"nothing is known of the circuit of {model.ref}; list models 'bundled:planted/*' has those of which it is"
        )
    pieces = [
        *(("about", name, getattr(known, name)) for name in ("question", "images")),
        *(("unit", address, stands_for) for address, stands_for in known.units.items()),
        *(("edge", f"{start} -> {end}", weight) for start, end, weight in known.edges),
        *(("fact", name, value) for name, value in known.facts.items()),
    ]
    return [
        {"what": what, "name": name, "value": value}
        for what, name, value in pieces
        if any(fnmatchcase(part, pattern) for part in name.split(" -> "))
    ]


def _analyses(pattern: str) -> list[dict[str, Any]]:
    import inspect

    from workbench.analyses.analysis import discover

    return [
        {
            "name": name,
            "title": analysis.title,
            "help": inspect.getdoc(analysis) or "",
            "needs_images": analysis.needs_images,
            "parameters": analysis.model_json_schema(),
        }
        for name, analysis in discover().items()
        if fnmatchcase(name, pattern)
    ]


def _recipes(pattern: str) -> list[dict[str, Any]]:
    import inspect

    from workbench.training.recipe import discover, schema_of

    return [
        {
            "name": name,
            "title": kind.title,
            "help": inspect.getdoc(kind) or "",
            "settings": dict(settings),
            "parameters": schema_of(name),
        }
        for name, (kind, settings) in discover().items()
        if fnmatchcase(name, pattern)
    ]


def _analysis_lines(entry: Mapping[str, Any]) -> list[str]:
    """Describe one analysis or recipe and its parameters for a reader."""
    needed = entry["parameters"].get("required", ())
    lines = [f"{entry['name']}: {entry['help'].splitlines()[0] if entry['help'] else entry['title']}"]
    for name, field in entry["parameters"].get("properties", {}).items():
        default = "needed" if name in needed else f"default {json.dumps(field.get('default'))}"
        lines.append(f"    {name} ({default}{_range(field)}) {field.get('description', '')}".rstrip())
    return lines


def _range(field: Mapping[str, Any]) -> str:
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    rules = [f"{sign} {field[name]}" for name, sign in signs.items() if name in field]
    rules += [f"one of {', '.join(map(str, field['enum']))}"] if "enum" in field else []
    return "".join(f", {rule}" for rule in rules)


def _problems(pattern: str) -> list[dict[str, Any]]:
    from workbench.problems import load

    return [
        asdict(problem)
        for problem in load()
        if any(
            fnmatchcase(text.lower(), pattern.lower())
            for text in (problem.number, problem.title, problem.category, problem.sub_category)
        )
    ]


def _columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Align the cells of each column to the left."""
    table = [[str(cell) for cell in row] for row in rows]
    if not table:
        return []
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


# Running an analysis


def run(
    analysis: str,
    settings: Sequence[str],
    model: str,
    images: str | None,
    out: str,
    allow_code: bool,
    computing: tuple[str, Arithmetic],
    task: TerminalTask,
) -> None:
    """Run an analysis and write ``result.json``, ``arrays.npz`` and ``figures/`` into the folder `out`.

    Images that could not be read are named in one line on stderr.

    Parameters
    ----------
    settings
        Parameters as ``NAME=VALUE``; see `parse_settings`.
    out
        A new or empty folder, or one with an earlier result, which is replaced.
    computing
        Device and numbers, as of `Engine.compute_on`.

    Raises
    ------
    InputError
        When anything given is wrong; nothing was computed or written then.
    """
    _run(analysis, parse_settings(analysis, settings), model, images, out, allow_code, computing, task)
    sys.stdout.write(f"{out}\n")


def generate(
    prompts: Sequence[str], styles: Sequence[str], settings: Mapping[str, Any], model: str, out: str, task: TerminalTask
) -> None:
    """Draw images; beside the result of `Generation`, write each as a PNG, and its trajectory as a strip of the steps side by side.

    Raises
    ------
    InputError
        When anything given is wrong; nothing was computed or written then.
    """
    import numpy as np
    from PIL import Image

    from workbench.models.caption_tokenizer import in_style

    listed = [style.strip() for told in styles for style in told.split(",") if style.strip()]
    texts = [in_style(prompt, style) for prompt in prompts for style in listed or [""]]
    result = _run("Generation", {"prompts": texts, **settings}, model, None, out, False, ("auto", "fp32"), task)
    for kind in ("images", "trajectories"):  # of an earlier time
        shutil.rmtree(Path(out) / kind, ignore_errors=True)
    trajectory = result.arrays["trajectory"]
    for row, images in enumerate(result.arrays["images"]):
        for image, seed in enumerate(result.summary["seeds"]):
            strip = np.concatenate(list(trajectory[:, row, image]), axis=1)
            drawn = np.rint(255 * images[image]).astype(np.uint8)
            for kind, pixels in (("images", drawn), ("trajectories", strip)):
                path = Path(out) / kind / f"{row:02}-seed{seed}.png"
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(pixels).save(path)
    sys.stdout.write(f"{out}\n")


def answer(
    problem: str, models: Sequence[str], images: str, budget: Budget, out: str, allow_code: bool, task: TerminalTask
) -> None:
    """Answer an open problem with a report in the folder `out`; its first paragraphs are written to stdout.

    Raises
    ------
    InputError
        When anything given is wrong, or no network allows what is asked; nothing was written then.
    """
    from workbench.jobs.engine import Engine
    from workbench.reports.report import check_folder, find, write_report

    folder = check_folder(Path(out))
    find(problem)
    engine = Engine()
    for model in models:
        open_model(engine, model, allow_code, task)
    report = write_report(engine, problem, models, images, budget, task)
    report.save(folder)
    task.clear()
    for part in report.findings.sections[0].parts:
        if isinstance(part, str):
            sys.stdout.write(f"{part}\n\n")
    sys.stdout.write(f"{folder / 'report.html'}\n")


def _run(
    analysis: str,
    parameters: Mapping[str, Any],
    model: str,
    images: str | None,
    out: str,
    allow_code: bool,
    computing: tuple[str, Arithmetic],
    task: TerminalTask,
) -> Result:
    """Run an analysis, write its result into a folder and return it."""
    from workbench.jobs.engine import Engine, configured
    from workbench.jobs.requests import RunAnalysis, skipped_images

    folder = check_folder(Path(out))
    # What can be wrong is tried in the order of what it costs.
    if configured(analysis, parameters).needs_images and images is None:
        raise InputError(f"{analysis} needs images; add --images REF, such as --images emoji")
    engine = Engine()
    if computing != ("auto", "fp32"):
        engine.compute_on(*computing)
    if images is not None:
        engine.images(images, task)
    open_model(engine, model, allow_code, task)
    try:
        result = RunAnalysis(analysis, parameters, model, images).run(engine, task)
    except KeyboardInterrupt:
        if task.so_far is not None:
            write(task.so_far, folder)
            task.say(f"what was found until now is in {out}, marked as incomplete")
        raise
    write(result, folder)
    if skipped := skipped_images(result.summary):
        task.say(skipped)
    return result


def parse_settings(analysis: str, settings: Sequence[str]) -> dict[str, Any]:
    """Read parameters given as ``NAME=VALUE``.

    A value is JSON where it can be read as that, else a string; a parameter that is a list may be written with commas
    (``units=5,9``), and one that is a string is taken as it stands (``layer=1``).

    Raises
    ------
    InputError
        When there is no such analysis, a setting has no ``=``, or a name is given twice.
    """
    from workbench.analyses.analysis import find

    return read_settings(settings, find(analysis).model_json_schema())


def read_settings(settings: Sequence[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` as `parse_settings` does, for the parameters of a JSON schema."""
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise InputError(f"--set {setting} is not NAME=VALUE, such as --set units=5,9")
        if name in values:
            raise InputError(f"--set {name} is given twice; lists are written with commas, such as --set units=5,9")
        values[name] = _value(text, _alternatives(schema.get("properties", {}).get(name, {}), schema))
    return values


def recipe_settings(name: str, settings: Sequence[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` for the parameters of a training recipe."""
    from workbench.training.recipe import schema_of

    return read_settings(settings, schema_of(name))


def _alternatives(field: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the plain JSON schemas, one of which a field's value must fit."""
    if "$ref" in field:
        return _alternatives(schema["$defs"][field["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in field:
        return [plain for one in field["anyOf"] for plain in _alternatives(one, schema)]
    return [field]


def _value(text: str, alternatives: Sequence[Mapping[str, Any]]) -> Any:
    kinds = {one.get("type") for one in alternatives}
    if kinds == {"string"}:
        return text
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text
    if "array" not in kinds or isinstance(value, list):
        return value
    if "," not in text and kinds & {"string" if isinstance(value, str) else "integer", "number"}:
        return value
    items = next(one for one in alternatives if one.get("type") == "array").get("items", {})
    return [_value(part.strip(), [items]) for part in text.split(",") if part.strip()]


def check_folder(folder: Path) -> Path:
    """Return `folder` when a result can be written there.

    Raises
    ------
    InputError
        When it is a file, cannot be written, or holds something that is not a result of ours.
    """
    if folder.exists():
        if not folder.is_dir():
            raise InputError(f"--out {folder} is a file; give a folder")
        if not (folder / "result.json").exists() and any(folder.iterdir()):
            raise InputError(f"--out {folder} is not empty and holds no earlier result; give a new folder")
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"--out {folder} cannot be written: {parent} is not a folder one may write to")
    return folder


def write(result: Result, folder: Path) -> None:
    """Write a result beside its place and move it there, ``result.json`` last; an earlier result is replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        new = result.save(Path(temporary) / folder.name)
        folder.mkdir(exist_ok=True)
        (folder / "result.json").unlink(missing_ok=True)
        if (folder / "figures").exists():
            shutil.rmtree(folder / "figures")
        for path in sorted(new.iterdir(), key=lambda path: path.name == "result.json"):
            os.replace(path, folder / path.name)
