"""Menus of the circuit graph: what can be added, and what can be done with a circuit."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from PySide6.QtWidgets import QMenu

from widgets.commands import Command
from widgets.session import Session
from workbench.models.layer import Unit
from workbench.owner import listed_of
from workbench.unit_families import Family


def fill_menu(menu: QMenu, commands: Iterable[Command]) -> None:
    """Put commands into a menu, sections apart."""
    menu.clear()
    section: str | None = None
    for command in commands:
        if section not in (None, command.section):
            menu.addSeparator()
        section = command.section
        action = menu.addAction(command.title, command.run)
        action.setToolTip(command.help)
        action.setEnabled(command.is_enabled())


def fill_add_menu(menu: QMenu, session: Session, add_units: Callable[[list[str], str], None], add_family: Callable[[Family], None]) -> None:
    """List what can be added to a circuit: what is selected, what is pinned, and the families of the open network.

    `add_units` is given addresses and what is done, in words.
    """
    menu.clear()

    def offer(into: QMenu, text: str, units: list[str]) -> None:
        into.addAction(text, lambda: add_units(units, f"add {text}"))

    if session.unit is not None:
        offer(menu, str(session.unit), [str(session.unit)])
    if len(session.selection) > 1:
        called = session.family or f"{len(session.selection)} selected units"
        offer(menu, f"{called}, one by one", [str(Unit(session.layer, unit)) for unit in session.selection])
        together = Family(session.family or called, session.layer, list(session.selection))
        menu.addAction(f"{called}, as one node", lambda: add_family(together))
    pinned = [unit for of_model, unit in session.pinned if session.is_open(of_model)]
    if pinned:
        menu.addSeparator()
        for unit in pinned:
            offer(menu, f"{unit} (pinned)", [str(unit)])
    families = listed_of(session.project.families, session.model.ref) if session.model is not None else []
    if families:
        menu.addSeparator()
        for family in families:
            menu.addAction(f"{family.layer}: {family.name} ({len(family.units)})", lambda family=family: add_family(family))
    if menu.isEmpty():
        menu.addAction("Select a unit first").setEnabled(False)
