"""Labels of a saved investigation as a table, and back: what ``python main.py labels export`` and ``labels import`` do."""

from __future__ import annotations

import sys
from pathlib import Path

from workbench.input_error import InputError
from workbench.label_table import read_labels, say_merged, write_labels
from workbench.labels import merge
from workbench.project import Project
from workbench.terminal import TerminalTask, open_model
from workbench.whole_file import write_whole


def export_labels(project: str, out: str | None) -> None:
    """Write the labels of a project as CSV into the file `out`, or to stdout.

    Raises
    ------
    InputError
        When the project cannot be read, or `out` is the project itself.
    OSError
        When `out` cannot be written.
    """
    content = write_labels(Project.load(project).labels).encode("utf-8", "replace")
    if out is None:
        sys.stdout.buffer.write(content)
    else:
        path = Path(out)
        if path.exists() and path.samefile(project):
            raise InputError(f"--out {out} is the investigation itself, which the table would replace; give another file")
        if path.is_file() or not path.exists():
            write_whole(path, content)
        else:  # a device or a pipe, whose place nothing can take
            path.write_bytes(content)
        sys.stdout.write(f"{out}\n")


def import_labels(project: str, table: str, model: str | None, allow_code: bool, task: TerminalTask) -> None:
    """Merge the labels of a CSV file into a project; what is left out is named by line on stderr.

    Parameters
    ----------
    model
        A network whose layers and units are checked, and which lines without a model are about; None to check nothing.

    Raises
    ------
    InputError
        When the project, the table or the network cannot be read; nothing is changed then.
    """
    opened = Project.load(project)
    content = Path(table).read_bytes()
    known = {}
    if model is not None:
        from workbench.jobs.engine import Engine

        known[model] = list(open_model(Engine(), model, allow_code, task).layers.values())
    found = read_labels(content, known, model or "")
    done = merge(opened.labels, found.labels)
    opened.save(project)
    for complaint in found.complaints:
        task.say(str(complaint))
    sys.stdout.write(f"{say_merged(done, found)}\n")
