"""How much comes back: the network, its units at their mean, a fitted offset alone, and by hand with its interval."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import QWidget

from widgets.views.view import PAPER, ViewWidget, blend, elided, figure_font

LINE = 19.0
ROWS = {"full": "network", "ablated": "units at their mean", "offset": "offset alone", "hand": "by hand"}


class RecoveryBars(ViewWidget):
    """Bars from the ablated network (0 %) to the whole one (100 %); a whisker is the 95 % interval, dots are shuffled kernels."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._summary: Mapping[str, object] = {}
        self._shuffled = np.zeros(0)
        self.setAccessibleName("Recovered performance")
        self.setVisible(False)

    def show_recovered(
        self, summary: Mapping[str, object], shuffled: np.ndarray, *, title: str, made_from: Mapping[str, object] | None = None
    ) -> None:
        """Show the summary of `HandCoding` and its shuffled controls."""
        self._summary, self._shuffled = summary, np.asarray(shuffled, float)
        self.title, self.made_from = title, made_from or {}
        self.setFixedHeight(round(len(ROWS) * LINE + 26))
        self.setAccessibleDescription(said(summary))
        self.setVisible(True)
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self._summary = {}
        self.setVisible(False)

    def _shares(self) -> dict[str, float]:
        summary = self._summary
        if summary["recovered"] is None:
            return {}
        return {"full": 1.0, "ablated": 0.0, "offset": float(summary["offset_recovered"]), "hand": float(summary["recovered"])}  # type: ignore[arg-type]

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw the bars, and in words what they say."""
        if not self._summary:
            return
        ink, summary = self.ink, self._summary
        area = rect.adjusted(8, 4, -8, -4)
        painter.setFont(figure_font(11, bold=True))
        painter.setPen(ink.text)
        text = said(summary) if ink is not PAPER else f"{self.title}: {said(summary)}"
        painter.drawText(QPointF(area.left(), area.top() + 11), elided(text, area.width(), painter.font()))
        shares = self._shares()
        ends = [float(summary[name]) for name in ("recovered_low", "recovered_high") if summary.get(name) is not None]  # type: ignore[arg-type]
        values = [0.0, 1.0, *shares.values(), *ends, *self._shuffled[np.isfinite(self._shuffled)].tolist()]
        low, high = min(values), max(values)
        left, width = area.left() + 112, area.width() - 112 - 190

        def x(share: float) -> float:
            return left + (share - low) / (high - low) * width

        painter.setFont(figure_font(11))
        for place, (row, name) in enumerate(ROWS.items()):
            top = area.top() + 18 + place * LINE
            line = QRectF(area.left(), top, 106, LINE - 3)
            painter.setPen(ink.text)
            painter.drawText(line, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, name)
            if shares:
                bar = QRectF(QPointF(x(0), top + 2), QPointF(x(shares[row]), top + LINE - 5)).normalized()
                painter.fillRect(bar, blend(ink.marker if row == "hand" else ink.bar, ink.paper, 0.55))
            painter.setPen(ink.faint)
            loss, accuracy = summary[f"loss_{row}"], summary.get(f"accuracy_{row}")
            words = f"loss {loss:.3f}" + ("" if accuracy is None else f", accuracy {100 * float(accuracy):.1f} %")  # type: ignore[arg-type]
            painter.drawText(QRectF(left + width + 8, top, 182, LINE - 3), Qt.AlignmentFlag.AlignVCenter, words)
        if len(ends) == 2:
            y = area.top() + 18 + 3.5 * LINE - 1.5
            painter.setPen(QPen(ink.text, 1.4))
            painter.drawLine(QPointF(x(ends[0]), y), QPointF(x(ends[1]), y))
            for end in ends:
                painter.drawLine(QPointF(x(end), y - 3), QPointF(x(end), y + 3))
            painter.setBrush(ink.text)
            for share in self._shuffled[np.isfinite(self._shuffled)]:
                painter.drawEllipse(QPointF(x(float(share)), y + 6), 1.5, 1.5)

    def data(self) -> dict[str, np.ndarray]:
        """``names`` and ``losses`` of the rows, and what ``shuffled`` kernels recover."""
        if not self._summary:
            return {}
        losses = np.array([float(self._summary[f"loss_{row}"]) for row in ROWS])  # type: ignore[arg-type]
        return {"names": np.array(list(ROWS.values())), "losses": losses, "shuffled": self._shuffled}

    def figure_size(self) -> QSizeF:
        """Two columns of a page wide."""
        return QSizeF(560, len(ROWS) * LINE + 30)


def said(summary: Mapping[str, object]) -> str:
    """Say in a line what came back."""
    if summary["recovered"] is None:
        return f"Nothing can be said: {summary['refused']}"
    low, high = summary.get("recovered_low"), summary.get("recovered_high")
    around = "" if low is None or high is None else f" [{100 * low:.0f}, {100 * high:.0f}]"  # type: ignore[operator]
    shuffled = summary.get("shuffled_mean")
    beside = "" if shuffled is None else f"; shuffled kernels {100 * shuffled:.0f} %"  # type: ignore[operator]
    return f"Recovered {100 * summary['recovered']:.0f} %{around}{beside}; n = {summary['images']} images"  # type: ignore[operator]
