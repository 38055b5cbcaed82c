"""Which units of a circuit are drawn as one node: a matter of the drawing, which leaves the circuit as it is and can be taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from widgets.project_edit import ProjectEdit
from workbench.circuit import Circuit, layer_of, units_of
from workbench.circuit_families import address_of
from workbench.input_error import InputError
from workbench.models.layer import Unit
from workbench.unit_families import Family, families_with

if TYPE_CHECKING:
    from widgets.session import Session


def is_family(node: str) -> bool:
    """Whether a node stands for several units."""
    return len(units_of(node)) > 1


class CircuitFolds:
    """Families that are drawn as one node, by the name of the circuit.

    Parameters
    ----------
    show
        Draws a circuit, given by its name, anew and selects nodes of it: it is called after every change of its families.
    """

    def __init__(self, session: Session, show: Callable[[str, list[str]], None]) -> None:
        self._session, self._show = session, show
        self._folded: dict[str, tuple[str, ...]] = {}

    def of(self, circuit: Circuit) -> tuple[str, ...]:
        """Return the families of a circuit that are one node."""
        return self._folded.get(circuit.name, ())

    def fold(self, circuit: Circuit, address: str) -> None:
        """Draw units as one node from now on; families that share units with it are let go."""
        units = set(units_of(address))
        others = [each for each in self.of(circuit) if units.isdisjoint(units_of(each))]
        self._change(circuit, (*others, address), f"collapse {address}", address)

    def unfold(self, circuit: Circuit, address: str) -> bool:
        """Draw a family's units as nodes of their own; return whether it was one that is folded."""
        if address not in self.of(circuit):
            return False
        self._change(circuit, tuple(each for each in self.of(circuit) if each != address), f"expand {address}", address)
        return True

    def _change(self, circuit: Circuit, after: tuple[str, ...], text: str, address: str) -> None:
        name, before = circuit.name, self.of(circuit)
        units = units_of(address)
        families = [each for each in before if set(units_of(each)) < set(units)]
        inside = [address, *families, *map(str, units)]  # of which those are selected that are drawn

        def putting(folded: tuple[str, ...]) -> Callable[[object], None]:
            def change(_project: object) -> None:
                self._folded[name] = folded
                self._show(name, inside)

            return change

        self._session.undo_stack.push(ProjectEdit(self._session, text, putting(after), putting(before)))

    def move(self, circuit: Circuit, name: str) -> None:
        """Keep them for a circuit that is about to be called otherwise; with an empty name for none, as it is about to be deleted."""
        before, kept = circuit.name, self.of(circuit)

        def do(_project: object) -> None:
            self._folded.pop(before, None)
            if name:
                self._folded[name] = kept

        def undo(_project: object) -> None:
            self._folded.pop(name, None)
            self._folded[before] = kept
            self._show(before, [])

        self._session.undo_stack.push(ProjectEdit(self._session, "families of a circuit", do, undo))

    def clear(self) -> None:
        """Forget all: another investigation is open."""
        self._folded.clear()

    def offered(self, circuit: Circuit, nodes: Sequence[str]) -> str:
        """Return the address of what would be one node: the selected nodes of a layer, else the family of the selected one; or empty."""
        if not nodes or len({layer_of(node) for node in nodes}) > 1:
            return ""
        if len(nodes) > 1:
            return address_of([unit for node in nodes for unit in units_of(node)])
        family = self.family_of(circuit.model, units_of(nodes[0]))
        units = [Unit(family.layer, unit) for unit in family.units] if family is not None else []
        there = [unit for unit in units if str(unit) in circuit.units]
        return address_of(there) if len(there) > 1 else ""

    def family_of(self, model: str, units: Sequence[Unit]) -> Family | None:
        """Return the investigation's family that has all of these units."""
        numbers = {unit.index for unit in units}
        of_first = families_with(self._session.project.families, model, units[0].layer, units[0].index)
        return next((family for family in of_first if numbers <= set(family.units)), None)

    def save(self) -> dict[str, list[str]]:
        """Return them as plain data."""
        return {name: list(families) for name, families in self._folded.items() if families}

    def restore(self, kept: object) -> None:
        """Take back what `save` returned; what is something else is left out."""
        self._folded = {}
        for name, families in kept.items() if isinstance(kept, dict) else ():
            for family in families if isinstance(families, list) else ():
                with suppress(InputError):
                    units_of(str(family))
                    self._folded[str(name)] = (*self._folded.get(str(name), ()), str(family))
