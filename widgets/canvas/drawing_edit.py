"""Changes of the two drawings, each of which can be taken back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping

import numpy as np

from widgets.project_edit import ProjectEdit
from widgets.session import Session
from workbench.images.drawing import Drawing
from workbench.project import PICTURE, Project

SIDES = ("clean", "corrupt")


def drawing_of(project: Project, side: str) -> Drawing:
    """Return what stands on a canvas; a blank drawing where nothing was drawn."""
    return project.drawings.get(side) or Drawing()


def name_of(picture: np.ndarray) -> str:
    """Return what a picture is called among the project's arrays: by what is in it."""
    content = str(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()
    return PICTURE + hashlib.sha256(content).hexdigest()[:32]


def push_drawings(
    session: Session,
    changed: Mapping[str, Drawing],
    text: str,
    pictures: Mapping[str, np.ndarray] | None = None,
    typing: Hashable = None,
) -> None:
    """Make drawings those of the canvases.

    Parameters
    ----------
    changed
        By side: ``clean``, ``corrupt``.
    pictures
        That are new in them, by name.
    typing
        As of `ProjectEdit`: edits of one number that follow one another are taken back together.
    """
    before = {side: session.project.drawings.get(side) for side in changed}
    arrays = dict(pictures or {})

    def putting(drawings: Mapping[str, Drawing | None]) -> Callable[[Project], None]:
        def change(project: Project) -> None:
            project.arrays.update(arrays)  # what no drawing names any more is left out when the project is read again
            for side, drawing in drawings.items():
                if drawing is None:
                    project.drawings.pop(side, None)
                else:
                    project.drawings[side] = drawing

        return change

    session.undo_stack.push(ProjectEdit(session, text, putting(dict(changed)), putting(before), typing))
