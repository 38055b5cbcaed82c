"""The workbench without a screen: `run`, `generate` and `answer` do what ``python main.py run``, ``generate`` and ``problem`` ask for.

A run writes its folder at the very end and ``result.json`` last, so a folder with a ``result.json`` is whole. Results and unfinished
sweeps are kept in the same store as the window's: what was computed once is read again, and an interrupted sweep goes on where it stopped.

The file behind a ``python:`` reference is run only with ``--allow-code``, though its path was typed: references are also pasted from
project files and messages, and opening one of those must not run a stranger's code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.input_error import InputError
from workbench.settings_text import parse_settings
from workbench.terminal import TerminalTask, open_model
from workbench.whole_folder import check_writable, filling, names_in

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.models.device import Arithmetic
    from workbench.reports.report import Budget

RESULT = "result.json"
PICTURES = ("images", "trajectories")
"""Folders that `generate` writes beside a result."""
Further = Callable[["Result", Path], None]
"""Writes what else belongs to a result into the folder it is given."""


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
        When anything given is wrong, or `out` holds such folders that are not an earlier drawing's; nothing was computed or written then.
    """
    from workbench.models.caption_tokenizer import in_style

    folder = check_folder(Path(out))
    theirs = [name for name in PICTURES if (folder / name).exists()]
    if theirs and _analysis_of(folder) != "Generation":
        raise InputError(f"--out {folder} holds a folder {theirs[0]} that is not of an earlier 'generate'; give a new folder")
    listed = [style.strip() for told in styles for style in told.split(",") if style.strip()]
    texts = [in_style(prompt, style) for prompt in prompts for style in listed or [""]]
    _run("Generation", {"prompts": texts, **settings}, model, None, out, False, ("auto", "fp32"), task, _save_drawn)
    sys.stdout.write(f"{out}\n")


def _save_drawn(result: Result, folder: Path) -> None:
    """Write the images of a `Generation`, and the strips, into `PICTURES`."""
    import numpy as np
    from PIL import Image

    trajectory = result.arrays["trajectory"]
    for row, images in enumerate(result.arrays["images"]):
        for image, seed in enumerate(result.summary["seeds"]):
            strip = np.concatenate(list(trajectory[:, row, image]), axis=1)
            drawn = np.rint(255 * images[image]).astype(np.uint8)
            for kind, pixels in zip(PICTURES, (drawn, strip), strict=True):
                path = folder / kind / f"{row:02}-seed{seed}.png"
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(pixels).save(path)


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
    further: Further | None = None,
) -> None:
    """Run an analysis and write its result into a folder."""
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
            write(task.so_far, folder, further)
            task.say(f"what was found until now is in {out}, marked as incomplete")
        raise
    write(result, folder, further)
    if skipped := skipped_images(result.summary):
        task.say(skipped)


def check_folder(folder: Path) -> Path:
    """Return `folder`, resolved, when a result can be written there.

    Raises
    ------
    InputError
        When it is a file, cannot be written, or holds something that is not a result of ours.
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file; give a folder")
    if (there := names_in(folder)) and RESULT not in there:
        raise InputError(f"--out {folder} is not empty and holds no earlier result; give a new folder")
    check_writable(folder)
    return folder


def _analysis_of(folder: Path) -> str:
    """Return which analysis the result in a folder is of; nothing where that cannot be read."""
    try:
        return str(json.loads((folder / RESULT).read_text(encoding="utf-8"))["analysis"])
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def write(result: Result, folder: Path, further: Further | None = None) -> None:
    """Write a result into a folder, whole or not at all; an earlier result is replaced."""
    with filling(folder, last=RESULT, old=["figures"]) as new:
        result.save(new)
        if further is not None:
            further(result, new)
