"""What the units of a layer are called in the panel Neurons, and which of them a filter names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from widgets.session import Session
from workbench.labels import primary, variable_name
from workbench.models.layer import Unit
from workbench.models.published_families import PublishedLabel, published_labels
from workbench.unit_families import families_with, find_family

if TYPE_CHECKING:
    from workbench.jobs.requests import ModelCard


def units_matching(text: str, count: int, label: Callable[[int], str]) -> list[int]:
    """Return the units a filter names: ``0-31, 40`` by number, words by label; empty text names all.

    Numbers and ranges add up; every word must occur in the label (any case). A range that is not closed, such as ``128-``, goes to
    the end.

    Parameters
    ----------
    text
        What the user typed.
    count
        Number of units.
    label
        Gives a unit's label, empty for none.
    """
    parts = [part for part in re.split(r"[,;\s]+", re.sub(r"\s*[-–]\s*", "-", text.strip())) if part]
    ranges = [match for part in parts if (match := re.fullmatch(r"(\d+)(-(\d*))?", part))]
    words = [part.casefold() for part in parts if not re.fullmatch(r"\d+(-\d*)?", part)]
    units = range(count)
    if ranges:
        named: set[int] = set()
        for match in ranges:
            first = int(match[1])
            last = first if match[2] is None else int(match[3]) if match[3] else count - 1
            named.update(range(first, min(last, count - 1) + 1))
        units = [unit for unit in units if unit in named]
    return [unit for unit in units if all(word in label(unit).casefold() for word in words)] if words else list(units)


class UnitNames:
    """Labels, classes and families of the units of the selected layer."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._print: tuple[ModelCard | None, Mapping[str, PublishedLabel]] = None, {}  # what was read last, and of which network

    @property
    def _model(self) -> str:
        return self._session.owner(self._session.layer)

    def _class(self, unit: int) -> str:
        """The class that a unit stands for, where the layer is the network's answer."""
        model, layer = self._session.model, self._session.layers.get(self._session.layer)
        if model is None or layer is None or layer.name != model.layers[-1].name:
            return ""
        return model.labels[unit] if layer.units == len(model.labels) and not layer.positions else ""

    def _published(self) -> Mapping[str, PublishedLabel]:
        """Return what is published of the open network's units, by address."""
        model = self._session.model
        if model is not self._print[0]:
            self._print = model, published_labels(model) if model is not None else {}
        return self._print[1]

    def labels(self, unit: int) -> list[str]:
        """Return a unit's labels, what it goes by first, the class that it stands for, and what it is called in print."""
        known = self._session.project.labels.get(self._model, {}).get(str(Unit(self._session.layer, unit)), ())
        first = primary(known)
        others = [label.name for label in known if label is not first]
        published = self._published().get(str(Unit(self._session.layer, unit)))
        in_print = published.label if published is not None else ""
        return [name for name in (first.name if first is not None else "", *others, self._class(unit), in_print) if name]

    def families(self, unit: int) -> list[str]:
        """Return the families that a unit belongs to, as a filter takes them: ``{curves}``."""
        families = families_with(self._session.project.families, self._model, self._session.layer, unit)
        return [f"{{{family.name}}}" for family in families]

    def described(self, unit: int) -> str:
        """Return labels and families in one line."""
        return " · ".join((*self.labels(unit), *self.families(unit)))

    def searched(self, unit: int) -> str:
        """Return what a filter's words are looked for in: labels, their variable names, families."""
        labels = self.labels(unit)
        return " ".join((*labels, *map(variable_name, labels), *self.families(unit)))

    def captions(self) -> dict[int, str]:
        """Return what stands below the images, by unit."""
        layer = self._session.layers.get(self._session.layer)
        if layer is None:
            return {}
        if self._class(0):
            return {unit: self.labels(unit)[0] for unit in range(layer.units)}
        of_model = self._session.project.labels.get(self._model, {})
        named = (Unit.parse(address) for address in (*of_model, *self._published()) if address.startswith(f"{layer.name}:"))
        return {unit.index: self.labels(unit.index)[0] for unit in named if unit.layer == layer.name}

    def matching(self, text: str, count: int) -> list[int]:
        """Return the units that a filter names; those of a family ``{name}`` in the family's order."""
        units = units_matching(text, count, self.searched)
        braced = re.search(r"\{([^{}]*)\}", text)
        family = find_family(self._session.project.families, self._model, self._session.layer, braced[1]) if braced else None
        return sorted(units, key=family.units.index) if family is not None and set(units) <= set(family.units) else units
