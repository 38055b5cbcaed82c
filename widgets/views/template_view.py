"""The kernel that a template writes, with handles on it for the numbers that have a place there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.template_handles import Handle
from widgets.views.view import ViewWidget, as_image, draw_image, figure_font, fit

REACH = 12.0
"""Pixels around a handle that belong to it."""
AROUND = 1.5
"""How much more than the kernel is shown: handles may stand outside it."""


class TemplateView(ViewWidget):
    """Square handles move, and what they stand for is changed as they do; a number too large to be shown has its handle at the rim."""

    dragged = Signal(object)
    """Parameters that a handle changed, by name."""
    dropped = Signal()
    """The handle was let go."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._kernel = np.zeros((0, 0, 0), np.float32)
        self._handles: tuple[Handle, ...] = ()
        self._values: dict[str, float] = {}
        self._held: Handle | None = None
        self._taken_at: dict[str, float] = {}
        self.setMouseTracking(True)
        self.setMinimumSize(140, 170)
        self.setAccessibleName("Kernel of the template with handles")

    def show_template(self, kernel: np.ndarray, handles: Sequence[Handle], values: Mapping[str, float], title: str) -> None:
        """Show a kernel ``channel y x`` and its handles at the values; the channels of an image are colours, units are summed up."""
        self._kernel, self._handles, self._values, self.title = kernel, tuple(handles), dict(values), title
        told = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in values.items())
        self.setAccessibleDescription(f"{title}: {told}")
        self.update()

    def move_to(self, values: Mapping[str, float]) -> None:
        """Put the handles where values are that no kernel can be written from."""
        self._values = dict(values)
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self._kernel, self._handles, self._held = np.zeros((0, 0, 0), np.float32), (), None
        self.update()

    @property
    def held(self) -> bool:
        """Whether a handle is being moved."""
        return self._held is not None

    def _pixels(self) -> np.ndarray:
        """Return the kernel as colours: grey is nothing; of units, which have no colour, how strong all are together."""
        kernel = self._kernel if len(self._kernel) in (1, 3) else np.abs(self._kernel).sum(0, keepdims=True)
        most = float(np.abs(kernel).max(initial=0)) or 1.0
        shown = np.repeat(kernel, 3, 0) if len(kernel) == 1 else kernel
        pixels: np.ndarray = (127.5 * (1 + shown / most)).round().astype(np.uint8).transpose(1, 2, 0)
        return pixels

    # ------------------------------------------------------------------------------------------------ geometry

    def _frame(self, rect: QRectF) -> QRectF:
        """Return where the kernel is drawn."""
        rows, columns = self._kernel.shape[1:]
        return fit(rect.adjusted(4, 4, -4, -20), AROUND * columns, AROUND * rows)

    def _cell(self) -> float:
        """Return the pixels of a cell."""
        return self._frame(QRectF(self.rect())).width() / (AROUND * self._kernel.shape[2])

    @property
    def _rim(self) -> float:
        """How far out a handle may stand, in cells."""
        return 0.5 * (0.5 + AROUND / 2) * min(self._kernel.shape[1:])

    def places(self) -> dict[str, QPointF]:
        """Return where the handles stand in the widget, by name."""
        if not self._kernel.size:
            return {}
        middle, cell = self._frame(QRectF(self.rect())).center(), self._cell()
        found = {}
        for handle in self._handles:
            right, up = handle.place(self._values, self._rim)
            found[handle.name] = middle + QPointF(right, -up) * cell
        return found

    def paint(self, painter: QPainter, rect: QRectF) -> None:
        """Draw the kernel, and on the screen its handles."""
        if not self._kernel.size:
            return
        frame, ink = self._frame(rect), self.ink
        whole = QRectF(0, 0, frame.width() / AROUND, frame.height() / AROUND)
        whole.moveCenter(frame.center())
        painter.save()
        painter.fillRect(frame, ink.quiet)
        draw_image(painter, whole, as_image(self._pixels()), smooth=False)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(ink.line, 1))
        painter.drawRect(whole)
        painter.setFont(figure_font(10))
        painter.setPen(ink.faint)
        line = QRectF(rect.left() + 2, rect.bottom() - 17, rect.width() - 4, 14)
        of = "weights" if len(self._kernel) in (1, 3) else "strength of all units together"
        painter.drawText(line, Qt.AlignmentFlag.AlignCenter, f"{of}, {self._kernel.shape[2]} × {self._kernel.shape[1]} cells")
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for place in self.places().values() if rect == QRectF(self.rect()) else ():
            painter.setPen(QPen(ink.marker, 1))
            painter.drawLine(frame.center(), place)
            painter.setPen(QPen(Qt.GlobalColor.white, 1.5))
            painter.setBrush(ink.marker)
            painter.drawRect(QRectF(place - QPointF(4.5, 4.5), QSizeF(9, 9)))
        painter.restore()

    def data(self) -> dict[str, np.ndarray]:
        """``kernel`` float32 [channel, y, x], and each parameter under its name."""
        numbers = {name: np.array(value) for name, value in self._values.items()}
        return {"kernel": self._kernel} | numbers if self._kernel.size else {}

    def figure_size(self) -> QSizeF:
        """A square with room for a line."""
        return QSizeF(200, 216)

    # ------------------------------------------------------------------------------------------------ handles

    def _near(self, position: QPointF) -> Handle | None:
        """Return the handle under the mouse."""
        away = {name: (place - position).manhattanLength() for name, place in self.places().items()}
        nearest = min(away, key=lambda name: away[name], default="")
        if not nearest or away[nearest] > REACH:
            return None
        return next(handle for handle in self._handles if handle.name == nearest)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take a handle."""
        handle = self._near(event.position()) if event.button() == Qt.MouseButton.LeftButton else None
        if handle is None:
            super().mousePressEvent(event)
            return
        self._held, self._taken_at = handle, self._values
        self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Change what the held handle stands for, or say what the one under the mouse does."""
        if self._held is None:
            handle = self._near(event.position())
            self.setCursor(Qt.CursorShape.ArrowCursor if handle is None else Qt.CursorShape.OpenHandCursor)
            if handle is not None:
                told = (f"{name.replace('_', ' ')} {self._values[name]:.3g}" for name in handle.changes)
                QToolTip.showText(event.globalPosition().toPoint(), ", ".join(told), self)
            return
        away = (event.position() - self._frame(QRectF(self.rect())).center()) / self._cell()
        self.dragged.emit(self._held.moved(self._taken_at, (away.x(), -away.y()), self._rim))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let the handle go."""
        if self._held is None or event.button() != Qt.MouseButton.LeftButton:
            super().mouseReleaseEvent(event)
            return
        self._held = None
        self.unsetCursor()
        self.dropped.emit()
