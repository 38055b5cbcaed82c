"""Changes of labels that can be taken back, and labels as files."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtWidgets import QWidget

from widgets.file_dialogs import ask_for_file, ask_where_to_write
from widgets.project_edit import ProjectEdit
from widgets.session import Message, Session
from widgets.written import write_and_say
from workbench.labels import Label, Labels, merge, put
from workbench.models.layer import Unit
from workbench.owner import owner_of
from workbench.project import Project

TABLES = "Tables (*.csv *.tsv *.txt);;All files (*)"


def set_labels(session: Session, model: str, unit: Unit, labels: Sequence[Label], text: str) -> None:
    """Give a unit other labels, kept by the owner of its layer; `text` is what the edit menu calls that."""
    model = owner_of(model, unit.layer)
    before = list(session.project.labels.get(model, {}).get(str(unit), ()))

    def putting(of_unit: Sequence[Label]):
        def change(project: Project) -> None:
            put(project.labels, model, str(unit), of_unit)

        return change

    session.undo_stack.push(ProjectEdit(session, text, putting(labels), putting(before)))


def this_user() -> str:
    """Return what the system calls the user, empty where it does not say."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def ask_and_import(session: Session, parent: QWidget) -> None:
    """Ask for a table and import it."""
    ask_for_file(parent, "Import labels", TABLES, lambda name: import_labels(session, Path(name)))


def ask_and_export(session: Session, parent: QWidget) -> None:
    """Ask for a file and write all labels into it."""
    ask_where_to_write(parent, "Export labels", "labels.csv", TABLES, lambda name: export_labels(session, Path(name)))


def import_labels(session: Session, path: Path) -> None:
    """Merge a table into the labels, as one edit; say what came of it, line by line where something was left out."""
    from workbench.label_table import read_labels, say_merged

    model = session.model
    known = {session.project_ref: model.layers} if model is not None else {}
    try:
        found = read_labels(path.read_bytes(), known, session.project_ref)
    except (OSError, ValueError) as error:
        session.report(f"{path.name} could not be imported: {error}")
        return
    before = _copy(session.project.labels)
    after = _copy(before)
    done = merge(after, _owned(session, found.labels))

    def putting(labels: Labels):
        def change(project: Project) -> None:
            project.labels = _copy(labels)

        return change

    if done.added or done.changed:
        session.undo_stack.push(ProjectEdit(session, "import labels", putting(after), putting(before)))
    said = f"{path.name}: {say_merged(done, found)}"
    session.message.emit(Message(said, "\n".join(map(str, found.complaints)), "error" if found.complaints else "info"))


def export_labels(session: Session, path: Path) -> None:
    """Write all labels of the investigation, of all networks."""
    from workbench.label_table import write_labels

    labels = session.project.labels
    count = sum(len(of_unit) for of_model in labels.values() for of_unit in of_model.values())
    write_and_say(session, path, write_labels(labels).encode("utf-8", "replace"), f"{count:,} labels")


def _owned(session: Session, labels: Labels) -> Labels:
    """Return labels of a table with those of the open network's directions under the reference that owns these."""
    found: Labels = {}
    for model, units in labels.items():
        for unit, of_unit in units.items():
            owner = session.owner(Unit.parse(unit).layer) if session.is_open(model) else model
            found.setdefault(owner, {})[unit] = of_unit
    return found


def _copy(labels: Labels) -> Labels:
    return {model: {unit: list(of_unit) for unit, of_unit in units.items()} for model, units in labels.items()}
