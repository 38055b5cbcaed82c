"""Views pinned to a note: as small pictures in a row, and how a view becomes one."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QSize, Qt, Signal
from PySide6.QtGui import QAction, QIcon, QKeySequence, QPixmap
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPlainTextEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from widgets.export import figure_image, plain
from workbench.project import FIGURE, Figure

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View

ENLARGED = 2
"""Pixels to 1/96 inch of a pinned figure."""
SMALL = QSize(150, 96)
PLACE = Qt.ItemDataRole.UserRole


def pinned(view: View) -> tuple[Figure, np.ndarray]:
    """Return a view as a figure, and the PNG it refers to as uint8 ``byte``."""
    content = QByteArray()
    buffer = QBuffer(content)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    figure_image(view, ENLARGED).save(buffer, "PNG")
    png = np.frombuffer(bytes(content.data()), np.uint8)
    name = f"{FIGURE}{hashlib.sha256(png.tobytes()).hexdigest()[:16]}"
    origin = json.loads(json.dumps(view.provenance(), default=plain))
    return Figure(view.title or str(origin.get("view", "")), name, origin), png


class PinnedFigures(QListWidget):
    """The figures of one note; Enter or a double click enlarges one, Del takes it off."""

    removed = Signal(int)
    """Place of a figure that is to be taken off the note."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._figures: list[Figure] = []
        self.setAccessibleName("Figures of the note")
        self.setViewMode(QListWidget.ViewMode.IconMode)
        self.setFlow(QListWidget.Flow.LeftToRight)
        self.setWrapping(False)
        self.setMovement(QListWidget.Movement.Static)
        self.setIconSize(SMALL)
        self.setGridSize(QSize(SMALL.width() + 12, SMALL.height() + 26))
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setFixedHeight(SMALL.height() + 46)
        self.itemActivated.connect(lambda item: self.enlarge(item.data(PLACE)))
        remove = QAction("Remove figure", self, shortcut=QKeySequence(QKeySequence.StandardKey.Delete))
        remove.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        remove.triggered.connect(self._remove)
        enlarge = QAction("Enlarge", self)
        enlarge.triggered.connect(lambda: self.currentItem() is not None and self.enlarge(self.currentRow()))
        self.addActions([enlarge, remove])
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.show_figures([])

    def show_figures(self, figures: list[Figure]) -> None:
        """Show the figures of a note; nothing is drawn again that is shown already."""
        self.setVisible(bool(figures))
        if figures == self._figures:
            return
        self._figures = list(figures)
        self.clear()
        for place, figure in enumerate(figures):
            item = QListWidgetItem(QIcon(self._pixmap(figure)), figure.title)
            item.setData(PLACE, place)
            item.setToolTip(f"{figure.title}\nDouble-click to enlarge, Del to remove")
            self.addItem(item)

    def _pixmap(self, figure: Figure) -> QPixmap:
        pixmap = QPixmap()
        png = self._session.project.arrays.get(figure.image)
        if png is not None:
            pixmap.loadFromData(png.tobytes(), "PNG")
        return pixmap

    def _remove(self) -> None:
        if self.currentItem() is not None:
            self.removed.emit(self.currentRow())

    def enlarge(self, place: int) -> None:
        """Show a figure in its own size, with what it was made from."""
        FigureDialog(self._figures[place], self._pixmap(self._figures[place]), self.window()).open()


class FigureDialog(QDialog):
    """One pinned figure and its provenance."""

    def __init__(self, figure: Figure, pixmap: QPixmap, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(figure.title)
        pixmap.setDevicePixelRatio(ENLARGED)
        picture = QLabel()
        picture.setPixmap(pixmap)
        picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        scroll = QScrollArea(widgetResizable=True)
        scroll.setWidget(picture)
        told = QPlainTextEdit(json.dumps(figure.origin, indent=1, ensure_ascii=False), readOnly=True)
        told.setAccessibleName("What the figure was made from")
        told.setMaximumHeight(150)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(scroll, 1)
        layout.addWidget(told)
        layout.addWidget(buttons)
        self.resize(min(1000, pixmap.width() // ENLARGED + 60), 560)
