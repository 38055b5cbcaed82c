"""Changes of circuits that can be taken back, and circuits as files.

The investigation keeps circuits by their names, each of which is there once; the session has the one that is open. What is changed here
is changed in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QWidget

from widgets.file_dialogs import ask_for_file, ask_where_to_write
from widgets.project_edit import ProjectEdit
from widgets.session import Session
from widgets.views.graph_layout import untangled
from widgets.written import write_and_say
from workbench.circuit import Circuit, Edge, layer_of
from workbench.circuit_weights import rows_of, with_weights
from workbench.input_error import InputError
from workbench.project import Project

FILES = "Circuits (*.json);;All files (*)"
KEPT = "weights"
"""What an edit leaves of a circuit's figures: how its edges' weights were computed."""


def named(project: Project, name: str) -> Circuit | None:
    """Return the investigation's circuit of that name, or None."""
    return next((circuit for circuit in project.circuits if circuit.name == name), None)


def free_name(project: Project, wanted: str) -> str:
    """Return the name, with a number behind it where there is such a circuit already."""
    wanted = " ".join(wanted.split()) or "Circuit"
    if named(project, wanted) is None:
        return wanted
    stem = re.sub(r" \d+$", "", wanted)
    return next(name for number in range(2, len(project.circuits) + 3) if named(project, name := f"{stem} {number}") is None)


def add_circuit(session: Session, circuit: Circuit, text: str = "add a circuit") -> None:
    """Put a circuit into the investigation, under a name that is free, and open it."""
    new = replace(circuit, name=free_name(session.project, circuit.name))

    def do(project: Project) -> None:
        project.circuits = [*project.circuits, new]
        session.open_circuit(new)

    before = session.circuit

    def undo(project: Project) -> None:
        project.circuits = [each for each in project.circuits if each.name != new.name]
        session.open_circuit(named(project, before.name) if before is not None else None)

    session.undo_stack.push(ProjectEdit(session, text, do, undo))


def change_circuit(session: Session, after: Circuit, text: str) -> None:
    """Put another version in the place of the circuit that is open; its name may be another one.

    Raises
    ------
    InputError
        When another circuit has that name.
    """
    before = session.circuit
    if before is None:
        raise InputError("no circuit is open")
    if after.name != before.name and named(session.project, after.name) is not None:
        raise InputError(f"there is a circuit {after.name!r} already")
    if KEPT in before.figures and KEPT not in after.figures and after.edges:
        after = replace(after, figures={**after.figures, KEPT: before.figures[KEPT]})

    def putting(old: Circuit, new: Circuit):
        def change(project: Project) -> None:
            project.circuits = [new if each.name == old.name else each for each in project.circuits]
            session.open_circuit(new)

        return change

    session.undo_stack.push(ProjectEdit(session, text, putting(before, after), putting(after, before)))


def delete_circuit(session: Session) -> None:
    """Take the circuit that is open out of the investigation; the one before it is opened."""
    gone = session.circuit
    if gone is None:
        return
    place = [circuit.name for circuit in session.project.circuits].index(gone.name)

    def do(project: Project) -> None:
        project.circuits = [each for each in project.circuits if each.name != gone.name]
        session.open_circuit(project.circuits[max(0, place - 1)] if project.circuits else None)

    def undo(project: Project) -> None:
        project.circuits = [*project.circuits[:place], gone, *project.circuits[place:]]
        session.open_circuit(gone)

    session.undo_stack.push(ProjectEdit(session, f"delete the circuit {gone.name}", do, undo))


def keep_figures(session: Session, figures: Mapping[str, Any]) -> None:
    """Write what was measured into the circuit that is open; nothing that could be taken back."""
    before = session.circuit
    if before is None:
        return
    after = replace(before, figures={**before.figures, **figures})
    session.project.circuits = [after if each.name == before.name else each for each in session.project.circuits]
    session.open_circuit(after)
    session.touch()


def new_circuit(session: Session, name: str = "") -> Circuit:
    """Return an empty circuit of what is open."""
    images = session.images
    return Circuit(name, session.project_ref, images.ref if images is not None else "")


def owned(session: Session, circuit: Circuit, nodes: Iterable[str]) -> Circuit:
    """Return a circuit of the open network to which nodes are added: with a direction among them it is of the network with directions."""
    owners = {session.owner(layer_of(node)) for node in nodes} - {session.project_ref}
    return replace(circuit, model=owners.pop()) if owners else circuit


def add_edges(session: Session, edges: Sequence[Edge], text: str, run: Mapping[str, Any]) -> None:
    """Add edges and their units to the circuit that is open, or to a new one where none of the open network is.

    Parameters
    ----------
    run
        How their weights were computed.
    """
    circuit = session.circuit
    nodes = [node for edge in edges for node in edge.ends]
    if circuit is None or not session.is_open(circuit.model):
        new = owned(session, new_circuit(session, f"Circuit of {edges[0].target}"), nodes)
        add_circuit(session, with_weights(new, edges, run), text)
    else:
        change_circuit(session, grown(session, circuit, with_weights(owned(session, circuit, nodes), edges, run)), text)


def add_units(session: Session, units: Sequence[str], text: str) -> None:
    """Add units to the circuit that is open, or to a new one where none of the open network is."""
    circuit = session.circuit
    if circuit is None or not session.is_open(circuit.model):
        add_circuit(session, owned(session, new_circuit(session, f"Circuit of {units[0]}"), units).with_units(units), text)
    elif after := [unit for unit in units if unit not in circuit.units]:
        change_circuit(session, grown(session, circuit, owned(session, circuit, after).with_units(after)), text)


def tidied(session: Session, circuit: Circuit) -> Circuit:
    """Return a circuit with its units in an order in which few edges cross; what was measured stays."""
    rows = rows_of(circuit, list(session.layers))
    order = untangled(list(rows.values()), [edge.ends for edge in circuit.edges])
    return replace(circuit, units=tuple(unit for row in order for unit in row))


def grown(session: Session, before: Circuit, after: Circuit) -> Circuit:
    """Return what a circuit has become, tidied, unless the user has put the one before into an order of its own."""
    by_hand = rows_of(tidied(session, before), list(session.layers)) != rows_of(before, list(session.layers))
    return after if by_hand else tidied(session, after)


def moved(circuit: Circuit, units: Iterable[str], before: str | None) -> Circuit:
    """Return a circuit with units put before another one of their row; before None, behind all."""
    moving = list(units)
    left = [unit for unit in circuit.units if unit not in moving]
    place = left.index(before) if before is not None else len(left)
    return replace(circuit, units=(*left[:place], *moving, *left[place:]))


# ---------------------------------------------------------------------------------------------------- files


def ask_and_open(session: Session, parent: QWidget) -> None:
    """Ask for a file and open the circuit in it."""
    ask_for_file(parent, "Open a circuit", FILES, lambda name: read_circuit(session, Path(name)))


def ask_and_export(session: Session, parent: QWidget) -> None:
    """Ask for a file and write the circuit that is open into it."""
    name = re.sub(r"[^\w.-]+", "-", session.circuit.name).strip("-.") if session.circuit is not None else "circuit"
    ask_where_to_write(parent, "Export the circuit", f"{name or 'circuit'}.json", FILES, lambda name: write_circuit(session, Path(name)))


def read_circuit(session: Session, path: Path) -> None:
    """Read a circuit from a file into the investigation, and open it."""
    try:
        circuit = Circuit.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, InputError) as error:
        session.report(f"{path.name} could not be opened: {error}")
        return
    add_circuit(session, replace(circuit, name=circuit.name or path.stem), f"open {path.name}")


def write_circuit(session: Session, path: Path) -> None:
    """Write the circuit that is open as JSON."""
    if session.circuit is None:
        return
    write_and_say(session, path, session.circuit.to_json())
