"""What plots have in common: a heading with a note, a message while there is nothing to draw, and an axis that may be logarithmic."""

from __future__ import annotations

from typing import ClassVar

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter
from PySide6.QtWidgets import QMenu, QWidget

from widgets.views.view import ViewWidget, elided, figure_font


class Plot(ViewWidget):
    """Base of views with axes.

    Attributes
    ----------
    axis
        What the axis that may be logarithmic counts, in one word.
    note_share
        Most of the heading's width that its note takes.
    title_elide
        Where the title is shortened.
    """

    axis: ClassVar[str]
    note_share: ClassVar[float]
    title_elide: ClassVar[Qt.TextElideMode] = Qt.TextElideMode.ElideRight

    def __init__(self, parent: QWidget | None = None, *, logarithmic: bool) -> None:
        super().__init__(parent)
        self._logarithmic = logarithmic
        self.message = self._note = self._merit = ""

    @property
    def logarithmic(self) -> bool:
        """Whether that axis is logarithmic."""
        return self._logarithmic

    @logarithmic.setter
    def logarithmic(self, on: bool) -> None:
        self._logarithmic = on
        self.update()

    def provenance(self) -> dict[str, object]:
        """Say as well what was measured, and the figure that says how much there is to see, where there is one."""
        merit = {"merit": self._merit} if self._merit else {}
        return super().provenance() | {"sample": self._note} | merit

    def fill_menu(self, menu: QMenu) -> None:
        """Offer the logarithmic axis."""
        toggle = menu.addAction(f"Logarithmic {self.axis} axis")
        toggle.setCheckable(True)
        toggle.setChecked(self._logarithmic)
        toggle.triggered.connect(lambda on: setattr(self, "logarithmic", on))
        super().fill_menu(menu)

    def paint_message(self, painter: QPainter, rect: QRectF) -> None:
        """Write the message in the middle."""
        painter.setPen(self.ink.faint)
        painter.drawText(
            rect.adjusted(16, 8, -16, -8), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message
        )

    def paint_heading(self, painter: QPainter, rect: QRectF) -> None:
        """Write the title on the left and the note on the right of the first line, and below it the figure that says how much there is."""
        bold, small = figure_font(11, bold=True), figure_font(10)
        line = QRectF(rect.left() + 10, rect.top() + 4, rect.width() - 24, 16)
        note = elided(self._note, line.width() * self.note_share, small)
        painter.setFont(small)
        painter.setPen(self.ink.faint)
        painter.drawText(line, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, note)
        painter.setFont(bold)
        painter.setPen(self.ink.text)
        room = line.width() - QFontMetricsF(small).horizontalAdvance(note) - 12
        title = elided(self.title, room, bold, self.title_elide)
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, title)
        if self._merit:
            painter.setFont(small)
            merit = elided(self._merit, line.width(), small)
            painter.drawText(line.translated(0, 16), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, merit)
