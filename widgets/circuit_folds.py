"""Which units of a circuit are drawn as one node: a matter of the drawing, which leaves the circuit as it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

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
    """Families that are drawn as one node, by the name of the circuit."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._folded: dict[str, list[str]] = {}

    def of(self, circuit: Circuit) -> list[str]:
        """Return the families of a circuit that are one node."""
        return self._folded.get(circuit.name, [])

    def fold(self, circuit: Circuit, address: str) -> None:
        """Draw units as one node from now on; families that share units with it are let go."""
        units = set(units_of(address))
        self._folded[circuit.name] = [*(each for each in self.of(circuit) if units.isdisjoint(units_of(each))), address]

    def unfold(self, circuit: Circuit, address: str) -> bool:
        """Draw a family's units as nodes of their own; return whether it was one that is folded."""
        if address not in self.of(circuit):
            return False
        self._folded[circuit.name].remove(address)
        return True

    def rename(self, circuit: Circuit, name: str) -> None:
        """Keep them for a circuit that is called otherwise from now on."""
        self._folded[name] = list(self.of(circuit))

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
                    self._folded.setdefault(str(name), []).append(str(family))
