"""Choosing a view, and writing it: nothing is overwritten unasked, and what was written is said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
    QListWidgetItem,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from widgets.export import FILTERS, export_view, figure_image, files_of
from widgets.theme import say
from widgets.views.view import View

PREVIEW = QSize(460, 420)
PLACE = Qt.ItemDataRole.UserRole


class ExportDialog(QDialog):
    """Lists views with a preview; writes the chosen one with its data and provenance beside it.

    Parameters
    ----------
    views
        What can be chosen, by the title of the panel it stands in; the first is chosen already.
    """

    def __init__(self, views: Mapping[str, Sequence[View]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Export a figure")
        self._folder = Path.home()
        self._views: list[View] = []
        self.list = QListWidget()
        self.list.setAccessibleName("Views")
        self.list.setMinimumWidth(240)
        for title, of_panel in views.items():
            self._add(title, of_panel)
        self.picture = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        self.picture.setFixedSize(PREVIEW)
        self.said = QLabel(wordWrap=True, textInteractionFlags=Qt.TextInteractionFlag.TextSelectableByMouse)
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
        self.list.currentRowChanged.connect(self._preview)
        self.list.setCurrentRow(1)
        # Once it stands in the dialog, else the button box makes Close the one that Enter presses.
        buttons.button(QDialogButtonBox.StandardButton.Close).setAutoDefault(False)
        self.write.setDefault(True)

    def _add(self, title: str, views: Sequence[View]) -> None:
        heading = QListWidgetItem(title, self.list)
        heading.setFlags(Qt.ItemFlag.NoItemFlags)
        font = heading.font()
        font.setBold(True)
        heading.setFont(font)
        for view in views:
            item = QListWidgetItem(view.title or type(view).__name__, self.list)
            item.setToolTip(item.text())
            item.setData(PLACE, len(self._views))
            self._views.append(view)

    def _view(self) -> View:
        return self._views[self.list.currentItem().data(PLACE)]

    def _name(self) -> str:
        return re.sub(r"[^\w.+-]+", "-", self.list.currentItem().text()).strip("-.") or "figure"

    def _preview(self) -> None:
        picture = QPixmap.fromImage(figure_image(self._view(), self.devicePixelRatio()))
        picture.setDevicePixelRatio(1)
        room = PREVIEW * self.devicePixelRatio()
        fits = picture.scaled(room, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)
        fits.setDevicePixelRatio(self.devicePixelRatio())
        self.picture.setPixmap(fits)
        figure, data, provenance = (path.name for path in files_of(Path(f"{self._name()}.pdf")))
        self._say(f"Writes three files: {figure} (or .svg, .png), its data {data} and its provenance {provenance}.")

    def _say(self, text: str, wrong: bool = False) -> None:
        say(self.said, text, wrong)

    def _ask(self) -> None:
        title = "Export the figure, with its .npz and .json beside it"
        dialog = QFileDialog(self, title, str(self._folder / f"{self._name()}.pdf"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite)  # it knows of one file of three
        dialog.setNameFilters(list(FILTERS.values()))
        dialog.fileSelected.connect(lambda chosen: self.choose(chosen, dialog.selectedNameFilter()))
        dialog.open()

    def choose(self, chosen: str, pattern: str = FILTERS[".pdf"]) -> None:
        """Export to the chosen file, after asking when one of the three exists; a name without a known ending gets that of `pattern`."""
        path = Path(chosen)
        if path.suffix.lower() not in FILTERS:
            path = path.with_name(path.name + next(ending for ending, text in FILTERS.items() if text == pattern))
        there = [file.name for file in files_of(path) if file.exists()]
        if not there:
            self.export(path)
            return
        buttons = QMessageBox.StandardButton
        box = QMessageBox(QMessageBox.Icon.Warning, "Replace?", f"Replace {', '.join(there)}?", parent=self)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setInformativeText(f"What is there in {path.parent} is lost then.")
        box.setStandardButtons(buttons.Yes | buttons.Cancel)
        box.button(buttons.Yes).setText("Replace")
        box.setDefaultButton(buttons.Cancel)
        box.accepted.connect(lambda: self.export(path))
        box.open()

    def export(self, path: Path) -> None:
        """Write the chosen view to `path` and say so, or why not."""
        try:
            figure, data, provenance = export_view(self._view(), path)
        except (OSError, ValueError) as error:
            self._say(f"Not written: {error}", wrong=True)
            return
        self._folder = figure.parent
        self._say(f"Written: {figure}, {data.name}, {provenance.name}")
