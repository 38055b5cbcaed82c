"""Changes of the stack of kernels written by hand, each of which can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import numpy as np

from widgets.project_edit import ProjectEdit
from widgets.session import Session
from workbench.kernel_edits import KernelEdit
from workbench.kernel_stack import for_project
from workbench.project import Edit, Project


def push_kernel(session: Session, model: str, edit: KernelEdit, text: str) -> None:
    """Put a kernel on the stack, in the place of an earlier one of the same unit."""
    entry, name, kernel = for_project(edit, model)
    after = list(session.project.edits)
    same = [place for place, one in enumerate(after) if (one.model, one.layer, one.unit) == (model, edit.layer, edit.unit)]
    if same:
        after[same[-1]] = entry
    else:
        after.append(entry)
    _push(session, text, after, {name: np.array(kernel)})


def remove_kernels(session: Session, places: list[int]) -> None:
    """Take entries off the stack, by their places in the project."""
    gone = set(places)
    _push(session, "remove a kernel", [one for place, one in enumerate(session.project.edits) if place not in gone], {})


def switch_kernel(session: Session, place: int, on: bool) -> None:
    """Apply an entry, or leave it out."""
    after = list(session.project.edits)
    after[place] = replace(after[place], enabled=on)
    _push(session, "switch a kernel " + ("on" if on else "off"), after, {})


def _push(session: Session, text: str, after: list[Edit], arrays: dict[str, np.ndarray]) -> None:
    before = deepcopy(session.project.edits)

    def putting(edits: list[Edit]) -> Callable[[Project], None]:
        def change(project: Project) -> None:
            project.edits = deepcopy(edits)
            project.arrays.update(arrays)  # what no edit names any more is left out when the project is read again

        return change

    session.undo_stack.push(ProjectEdit(session, text, putting(after), putting(before)))
