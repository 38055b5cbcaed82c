"""Families of the layer: which there are, making, changing and deleting them."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import QMenu, QWidget

from widgets.commands import Command
from widgets.family_dialog import FamilyDialog, edit_family
from widgets.session import Session
from workbench.models.published_families import PublishedFamily, published_families
from workbench.owner import listed_of
from workbench.unit_families import Family, find_family

Pictures = Callable[[int], QPixmap | None]


class FamilyMenu(QMenu):
    """Lists the families of the open network, those of the layer first; choosing one selects its units.

    Parameters
    ----------
    pictures
        Gives the image of a unit of the layer, where there is one.
    """

    def __init__(self, session: Session, pictures: Pictures, parent: QWidget) -> None:
        super().__init__(parent)
        self._session = session
        self._pictures = pictures
        self.setToolTipsVisible(True)
        self.aboutToShow.connect(self.fill)

    @property
    def model(self) -> str:
        """Reference of the open network, empty for none."""
        return self._session.model.ref if self._session.model is not None else ""

    def families(self) -> list[Family]:
        """Return the families of the open network."""
        return listed_of(self._session.project.families, self.model)

    def current(self) -> Family | None:
        """Return the family that is selected."""
        session = self._session
        return find_family(session.project.families, self.model, session.layer, session.family) if session.family else None

    def fill(self) -> None:
        """List what there is now."""
        self.clear()
        here = [family for family in self.families() if family.layer == self._session.layer]
        elsewhere = [family for family in self.families() if family.layer != self._session.layer]
        for family in here:
            self._add(self, family, family.name)
        if elsewhere:
            others = self.addMenu("In other layers")
            for family in elsewhere:
                self._add(others, family, f"{family.layer}: {family.name}")
        if not self.families():
            self.addAction("No families yet").setEnabled(False)
        self._add_published()
        self.addSeparator()
        for command in self.commands():
            action = self.addAction(command.title, command.run)
            action.setToolTip(command.help)
            action.setEnabled(command.is_enabled())
        selected = self._session.selection
        for family in here:
            new = [unit for unit in selected if unit not in family.units]
            if new and family is not self.current():
                self.addAction(
                    f"Add {counted(len(new))} to {family.name}…", lambda family=family, new=new: self._open(family, family, new)
                )

    def _add(self, menu: QMenu, family: Family, text: str) -> None:
        action = menu.addAction(f"{text} ({len(family.units)})", lambda: self._select(family))
        action.setCheckable(True)
        action.setChecked(family is self.current())
        action.setToolTip(", ".join(map(str, family.units)))

    def _add_published(self) -> None:
        """List what is published of the open network, the families of the layer first."""
        model = self._session.model
        families = published_families(model) if model is not None else ()
        if not families:
            return
        menu = self.addMenu("In print")
        menu.setToolTipsVisible(True)
        for published in sorted(families, key=lambda one: one.layer != self._session.layer):
            text = published.name if published.layer == self._session.layer else f"{published.layer}: {published.name}"
            action = menu.addAction(f"{text} ({len(published.units)})", lambda published=published: self._take_over(published))
            action.setToolTip(str(published.article))

    def _take_over(self, published: PublishedFamily) -> None:
        """Make a published family one of the investigation's, unless it is, and select it."""
        known = find_family(self._session.project.families, self.model, published.layer, published.name)
        if known is None:
            edit_family(self._session, self.model, None, Family(published.name, published.layer, list(published.units)))
        elif set(known.units) != set(published.units):
            self._session.inform(f"The family {known.name} of this investigation has other units than the one in print; it was selected.")
        self._select(known or Family(published.name, published.layer, list(published.units)))

    def _select(self, family: Family) -> None:
        try:
            self._session.select_family(family.layer, family.name)
        except ValueError as error:
            self._session.report(str(error))

    def make(self) -> None:
        """Make a family of the selected units, after asking for its name, order and angles."""
        if self._session.selection:
            self._open(None, None, self._session.selection)

    def change(self) -> None:
        """Open the selected family to rename, order or change it."""
        if (family := self.current()) is not None:
            self._open(family, family, ())

    def delete(self) -> None:
        """Delete the selected family; its units stay selected."""
        if (family := self.current()) is not None:
            edit_family(self._session, self.model, family, None)

    def _open(self, before: Family | None, shown: Family | None, more: tuple[int, ...] | list[int]) -> None:
        units = [*(shown.units if shown is not None else ()), *more]
        angles = [*(shown.angles if shown is not None else ()), *([None] * len(more))]
        pictures = {unit: picture for unit in units if (picture := self._pictures(unit)) is not None}
        dialog = FamilyDialog(self._session, self._session.layer, units, angles, before, pictures, self.parentWidget())
        dialog.open()

    def commands(self) -> tuple[Command, ...]:
        """What can be done with families, for the menus of the window too."""
        return (
            Command(
                "model.make_family",
                "Make a family…",
                self.make,
                "Put the units selected in the panel Neurons (Ctrl+click, Shift+click) into a family with a name, an order and angles.",
                "Model",
                "Ctrl+Shift+M",
                "family",
                enabled=lambda: len(self._session.selection) > 1,
            ),
            Command(
                "model.change_family",
                "Change family…",
                self.change,
                "Rename the selected family, order its units, give them angles, add or remove some.",
                "Model",
                section="family",
                enabled=lambda: self.current() is not None,
            ),
            Command(
                "model.delete_family",
                "Delete family",
                self.delete,
                "Delete the selected family; undo brings it back.",
                "Model",
                section="family",
                enabled=lambda: self.current() is not None,
            ),
        )


def counted(units: int) -> str:
    """Say how many units: ``1 unit``, ``5 units``."""
    return f"{units} unit" if units == 1 else f"{units} units"
