"""Choosing which view of a panel to export."""

from __future__ import annotations

import re
from pathlib import Path

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QVBoxLayout,
    QWidget,
)

from widgets.docks import Panel
from widgets.export import FILTERS, export_view, figure_image
from widgets.theme import signal_colour
from widgets.views.view import View

PREVIEW = QSize(460, 420)


class ExportDialog(QDialog):
    """Lists the views of a panel with a preview; writes the chosen one with its data and provenance beside it."""

    def __init__(self, panel: Panel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"Export from {panel.title}")
        self._views = panel.views()
        self.list = QListWidget()
        self.list.setAccessibleName("Views")
        self.list.addItems([view.title or type(view).__name__ for view in self._views])
        self.list.currentRowChanged.connect(self._preview)
        self.list.setMinimumWidth(240)
        self.picture = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        self.picture.setFixedSize(PREVIEW)
        self.said = QLabel(
            "Written as PDF, SVG or PNG, with the data (.npz) and the provenance (.json) beside it.",
            wordWrap=True,
            textInteractionFlags=Qt.TextInteractionFlag.TextSelectableByMouse,
        )
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.write = buttons.addButton("Export…", QDialogButtonBox.ButtonRole.ActionRole)
        self.write.clicked.connect(self._ask)
        buttons.rejected.connect(self.reject)
        line = QHBoxLayout()
        line.addWidget(self.list)
        line.addWidget(self.picture, 1)
        layout = QVBoxLayout(self)
        layout.addLayout(line, 1)
        layout.addWidget(self.said)
        layout.addWidget(buttons)
        self.list.setCurrentRow(0)
        # Once it stands in the dialog, else the button box makes Close the one that Enter presses.
        buttons.button(QDialogButtonBox.StandardButton.Close).setAutoDefault(False)
        self.write.setDefault(True)

    def _view(self) -> View:
        return self._views[self.list.currentRow()]

    def _preview(self) -> None:
        picture = QPixmap.fromImage(figure_image(self._view(), self.devicePixelRatio()))
        picture.setDevicePixelRatio(1)
        room = PREVIEW * self.devicePixelRatio()
        fits = picture.scaled(room, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)
        fits.setDevicePixelRatio(self.devicePixelRatio())
        self.picture.setPixmap(fits)

    def _ask(self) -> None:
        name = re.sub(r"[^\w.+-]+", "-", self.list.currentItem().text()).strip("-.") or "figure"
        dialog = QFileDialog(self, "Export figure with data", str(Path.home() / f"{name}.pdf"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilters(list(FILTERS.values()))
        dialog.setDefaultSuffix("pdf")
        dialog.filterSelected.connect(
            lambda text: dialog.setDefaultSuffix(next(e for e, t in FILTERS.items() if t == text).lstrip("."))
        )
        dialog.fileSelected.connect(self.export)
        dialog.open()

    def export(self, path: str) -> None:
        """Write the chosen view to `path` and say so, or why not."""
        palette = self.palette()
        try:
            figure, data, provenance = export_view(self._view(), path)
            self.said.setText(f"Written: {figure}, {data.name}, {provenance.name}")
        except (OSError, ValueError) as error:
            palette.setColor(palette.ColorRole.WindowText, signal_colour("error", palette))
            self.said.setText(f"Not written: {error}")
        self.said.setPalette(palette)
