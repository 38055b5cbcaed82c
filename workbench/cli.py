"""The workbench without a screen: `run`, `generate` and `answer` do what ``python main.py run``, ``generate`` and ``problem`` ask for.

A run writes its folder at the very end and ``result.json`` last, so a folder with a ``result.json`` is whole. Results and unfinished
sweeps are kept in the same store as the window's: what was computed once is read again, and an interrupted sweep goes on where it stopped.

The file behind a ``python:`` reference is run only with ``--allow-code``, though its path was typed: references are also pasted from
project files and messages, and opening one of those must not run a stranger's code.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.input_error import InputError
from workbench.settings_text import parse_settings
from workbench.terminal import TerminalTask, open_model

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.models.device import Arithmetic
    from workbench.reports.report import Budget


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
