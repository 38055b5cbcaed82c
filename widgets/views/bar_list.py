"""Named shares as bars: the likeliest classes of an image, or anything else that is a part of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QWidget

from widgets.views.view import PAPER, ViewWidget, blend, elided, figure_font

LINE = 18.0


class BarList(ViewWidget):
    """One line for each name: the name, a bar, the share in percent."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._names: tuple[str, ...] = ()
        self._shares = np.zeros(0)

    def show_shares(
        self, shares: Sequence[tuple[str, float]], *, title: str = "", made_from: Mapping[str, object] | None = None
    ) -> None:
        """Show pairs of name and share in [0, 1], in the order given."""
        self._names = tuple(name for name, _ in shares)
        self._shares = np.array([share for _, share in shares], float)
        self.title, self.made_from = title, made_from or {}
        self.setAccessibleDescription(", ".join(f"{name} {share:.1%}" for name, share in shares))
        self.setFixedHeight(round(self._height() + 8) if shares else 0)
        self.update()

    def _height(self) -> float:
        return len(self._names) * LINE

    def figure_size(self) -> QSizeF:
        """Half a page wide, one line for each name."""
        return QSizeF(320, self._height() + 34)

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw the lines, the bar lying under the text."""
        ink, font = self.ink, figure_font(11)
        area = rect.adjusted(8, 4, -8, -4)
        if ink is PAPER:
            painter.setFont(figure_font(11, bold=True))
            painter.setPen(ink.text)
            painter.drawText(QPointF(area.left(), area.top() + 12), elided(self.title, area.width(), painter.font()))
            area.setTop(area.top() + 22)
        painter.setFont(font)
        for place, (name, share) in enumerate(zip(self._names, self._shares, strict=True)):
            line = QRectF(area.left(), area.top() + place * LINE, area.width(), LINE - 2)
            painter.fillRect(line, ink.quiet)
            painter.fillRect(
                QRectF(line.left(), line.top(), line.width() * share, line.height()), blend(ink.bar, ink.paper, 0.45)
            )
            painter.setPen(ink.text)
            inside = line.adjusted(5, 0, -5, 0)
            painter.drawText(
                inside,
                Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft,
                elided(name, inside.width() - 52, font),
            )
            painter.drawText(
                inside, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, f"{100 * share:.1f} %"
            )

    def data(self) -> dict[str, np.ndarray]:
        """``names`` str [n], ``shares`` float64 [n]."""
        return {"names": np.array(self._names), "shares": self._shares}
