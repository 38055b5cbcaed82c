"""Changes of hypotheses that can be taken back, and hypotheses as files.

The investigation keeps them by their names, each of which is there once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path

from PySide6.QtWidgets import QWidget

from widgets.file_dialogs import ask_for_file, ask_where_to_write
from widgets.project_edit import ProjectEdit
from widgets.session import Session
from widgets.written import write_and_say
from workbench.hypothesis import Hypothesis
from workbench.input_error import InputError
from workbench.project import Project

FILES = "Hypotheses (*.json);;All files (*)"


def named(project: Project, name: str) -> Hypothesis | None:
    """Return the investigation's hypothesis of that name, or None."""
    return next((one for one in project.hypotheses if one.name == name), None)


def key_of(hypothesis: Hypothesis) -> str:
    """Return what is claimed and what it is compared with, whatever it is called."""
    return json.dumps([hypothesis.root.document(), hypothesis.rivals])


def present(project: Project, hypothesis: Hypothesis) -> Hypothesis | None:
    """Return what has become of a hypothesis: that of the same tree under whichever name, else that of the name; None where it is gone."""
    by_name = named(project, hypothesis.name)
    same = [one for one in project.hypotheses if key_of(one) == key_of(hypothesis)]
    return by_name if by_name in same or not same else same[0]


def add_hypothesis(session: Session, hypothesis: Hypothesis, text: str) -> Hypothesis:
    """Put a hypothesis into the investigation, under a name that is free; return it as it is there."""
    wanted = " ".join(hypothesis.name.split()) or "Hypothesis"
    stem, name, number = re.sub(r" \d+$", "", wanted), wanted, 2
    while named(session.project, name) is not None:
        name, number = f"{stem} {number}", number + 1
    new = replace(hypothesis, name=name)

    def do(project: Project) -> None:
        project.hypotheses = [*project.hypotheses, new]

    def undo(project: Project) -> None:
        project.hypotheses = [one for one in project.hypotheses if one.name != new.name]

    session.undo_stack.push(ProjectEdit(session, text, do, undo))
    return new


def change_hypothesis(session: Session, before: Hypothesis, after: Hypothesis, text: str, typing: Hashable = None) -> None:
    """Put another version in the place of a hypothesis; its name may be another one.

    Raises
    ------
    InputError
        When another hypothesis has that name, or the new one is empty.
    """
    if not after.name.strip():
        raise InputError("a hypothesis needs a name")
    if after.name != before.name and named(session.project, after.name) is not None:
        raise InputError(f"there is a hypothesis {after.name!r} already")
    if after == before:
        return

    def putting(old: Hypothesis, new: Hypothesis) -> Callable[[Project], None]:
        def change(project: Project) -> None:
            project.hypotheses = [new if one.name == old.name else one for one in project.hypotheses]

        return change

    session.undo_stack.push(ProjectEdit(session, text, putting(before, after), putting(after, before), typing))


def delete_hypothesis(session: Session, gone: Hypothesis) -> None:
    """Take a hypothesis out of the investigation."""
    place = [one.name for one in session.project.hypotheses].index(gone.name)

    def do(project: Project) -> None:
        project.hypotheses = [one for one in project.hypotheses if one.name != gone.name]

    def undo(project: Project) -> None:
        project.hypotheses = [*project.hypotheses[:place], gone, *project.hypotheses[place:]]

    session.undo_stack.push(ProjectEdit(session, f"delete the hypothesis {gone.name}", do, undo))


# ---------------------------------------------------------------------------------------------------- files


def ask_and_import(session: Session, parent: QWidget, taken: Callable[[Hypothesis], object]) -> None:
    """Ask for a file and take the hypothesis in it into the investigation; `taken` is given it as it is there."""

    def read(name: str) -> None:
        if (found := import_hypothesis(session, Path(name))) is not None:
            taken(found)

    ask_for_file(parent, "Import hypothesis", FILES, read)


def ask_and_export(session: Session, parent: QWidget, hypothesis: Hypothesis) -> None:
    """Ask for a file and write a hypothesis into it."""
    name = re.sub(r"[^\w.-]+", "-", hypothesis.name).strip("-.") or "hypothesis"
    ask_where_to_write(parent, "Export hypothesis", f"{name}.json", FILES, lambda path: export_hypothesis(session, Path(path), hypothesis))


def import_hypothesis(session: Session, path: Path) -> Hypothesis | None:
    """Take a hypothesis from a file into the investigation, as one edit; None where it cannot be read, and which node is wrong is said."""
    try:
        found = Hypothesis.from_json(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        session.report(f"{path.name} could not be imported: it is no text in UTF-8")
        return None
    except OSError as error:
        session.report(f"{path.name} could not be imported: {error.strerror}")
        return None
    except InputError as error:
        session.report(f"{path.name} could not be imported: {error}")
        return None
    new = add_hypothesis(session, replace(found, name=found.name.strip() or path.stem), f"import {path.name}")
    if new.model and not session.is_open(new.model):
        session.inform(f"{new.name} is about {new.model}, which is not open: it is shown when that network is")
    return new


def export_hypothesis(session: Session, path: Path, hypothesis: Hypothesis) -> None:
    """Write a hypothesis as the JSON that a project keeps and the command line takes."""
    write_and_say(session, path, hypothesis.to_json())
