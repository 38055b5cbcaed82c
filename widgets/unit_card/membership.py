"""Which families a unit belongs to, each a way to select all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from widgets.elided_label import ElidedLabel
from workbench.models.layer import Unit
from workbench.unit_families import Family, families_with

if TYPE_CHECKING:
    from widgets.session import Session


class Membership(QWidget):
    """A line for each family of the unit; nothing where there is none."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._shown: list[tuple[Family, int]] = []
        self.buttons: list[QToolButton] = []
        self._lines = QVBoxLayout(self)
        self._lines.setContentsMargins(0, 0, 0, 0)
        self._lines.setSpacing(1)
        session.touched.connect(self.refresh)
        session.project_changed.connect(self.refresh)
        session.unit_changed.connect(self.refresh)
        self.refresh()

    def refresh(self, _unit: Unit | None = None) -> None:
        """Show the families of the selected unit."""
        model, unit = self._session.model, self._session.unit
        families = self._session.project.families if model is not None and unit is not None else {}
        of_unit = [(family, unit.index) for family in families_with(families, model.ref, unit.layer, unit.index)] if families else []
        self.setVisible(bool(of_unit))
        if of_unit == self._shown:
            return
        self._shown, self.buttons = of_unit, []
        while self._lines.count():
            line = self._lines.takeAt(0).widget()
            line.hide()
            line.deleteLater()
        for family, index in of_unit:
            self._lines.addWidget(self._line(family, index))

    def _line(self, family: Family, unit: int) -> QWidget:
        button = QToolButton(autoRaise=True, text=family.name, toolTip=f"Select all {len(family.units)} units of the family {family.name}")
        button.setAccessibleName(f"Select the family {family.name}")
        button.clicked.connect(lambda: self._select(family))
        self.buttons.append(button)
        angle = family.angle(unit)
        about = f"unit {family.units.index(unit) + 1} of {len(family.units)}" + (f" · {angle:g}°" if angle is not None else "")
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        row.addWidget(QLabel("Family"))
        row.addWidget(button)
        row.addWidget(ElidedLabel(about), 1)
        return line

    def _select(self, family: Family) -> None:
        try:
            self._session.select_family(family.layer, family.name)
        except ValueError as error:
            self._session.report(str(error))
