"""Looking at what an analysis found, and saving it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QImage, QPixmap
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QTabWidget,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from widgets.clippings import copy_menu
from widgets.file_dialogs import ask_for_folder
from widgets.popup import opens
from widgets.result_requests import DrawResult, SaveResult
from widgets.scrolled import scrolled
from widgets.session import Session
from workbench.labels import variable_names
from workbench.owner import known_of
from workbench.recompute import Recomputation, of_result

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent

MOST_ROWS = 200
"""Entries of one level of the summary that are listed."""


class ResultWindow(QDialog):
    """Shows summary, figures, arrays and provenance of one result; saves all of it into a folder."""

    def __init__(self, session: Session, result: Result, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"{title} – result")
        self.resize(860, 640)
        self._session = session
        self._result = result
        arrays = {name: f"{array.dtype} [{', '.join(map(str, array.shape))}]" for name, array in result.arrays.items()}
        self.tabs = QTabWidget()
        self.figures = QWidget()
        QVBoxLayout(self.figures).addWidget(QLabel("Drawing the figures…"))
        self.tabs.addTab(tree_of(result.summary), "Summary")
        self.tabs.addTab(scrolled(self.figures), "Figures")
        self.tabs.addTab(tree_of(arrays), "Arrays")
        self.tabs.addTab(tree_of({"parameters": result.parameters, **result.provenance}), "Provenance")
        for place in range(self.tabs.count()):
            self.tabs.widget(place).setAccessibleName(self.tabs.tabText(place))
        self.said = QLabel(wordWrap=True, textInteractionFlags=Qt.TextInteractionFlag.TextSelectableByMouse)
        buttons = QDialogButtonBox()
        save = buttons.addButton("Save…", QDialogButtonBox.ButtonRole.ActionRole)
        save.setToolTip("Write result.json, arrays.npz and the figures (PNG and PDF) into a folder")
        save.clicked.connect(self.ask_and_save)
        copy = buttons.addButton("Copy summary", QDialogButtonBox.ButtonRole.ActionRole)
        copy.setToolTip("Copy the summary as JSON")
        copy.clicked.connect(self.copy_summary)
        again = buttons.addButton("Copy as", QDialogButtonBox.ButtonRole.ActionRole)
        again.setToolTip("Copy lines that compute this result again: Python, or a command for the terminal")
        opens(again, copy_menu(self._recomputation(), self))
        buttons.addButton(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.said)
        layout.addWidget(buttons)
        session.relay.submit(DrawResult(result), self._on_figures)

    def _on_figures(self, event: JobEvent) -> None:
        if not event.ended:
            return
        layout = self.figures.layout()
        layout.takeAt(0).widget().deleteLater()
        if event.state != "done":
            layout.addWidget(QLabel(event.error or "The figures were not drawn."))
        elif not event.result:
            layout.addWidget(QLabel("This analysis draws no figures; its numbers are under Summary and Arrays."))
        else:
            for name, pixels in event.result.items():
                layout.addWidget(QLabel(f"<b>{name}</b>"))
                picture = QLabel(pixmap=pixmap_of(pixels))
                picture.setAccessibleName(name)
                layout.addWidget(picture)
        layout.addStretch(1)

    def _recomputation(self) -> Recomputation | None:
        if "model" not in self._result.provenance:
            return None
        layer, model = str(self._result.parameters.get("layer", "")), str(self._result.provenance["model"])
        return of_result(self._result, layer, variable_names(known_of(self._session.project.labels, model, layer), layer))

    def copy_summary(self) -> None:
        """Copy the summary as JSON."""
        QGuiApplication.clipboard().setText(
            json.dumps(dict(self._result.summary), indent=2, default=str, ensure_ascii=False)
        )

    def ask_and_save(self) -> None:
        """Ask for a folder and write the result into it."""
        ask_for_folder(self, "Save the result into a folder", self.save)

    def save(self, folder: str) -> None:
        """Write the result into a new folder inside `folder`, named after the analysis."""
        number, target = 1, Path(folder) / self._result.analysis
        while target.exists():
            number += 1
            target = Path(folder) / f"{self._result.analysis}-{number}"
        self._session.relay.submit(SaveResult(self._result, str(target)), self._on_saved)

    def _on_saved(self, event: JobEvent) -> None:
        if event.state == "done":
            self.said.setText(f"Saved to {event.result}")
        elif event.state == "failed":
            self.said.setText(f"Not saved: {event.error}")


def pixmap_of(pixels: np.ndarray) -> QPixmap:
    """Turn uint8 ``[y, x, 4]`` (RGBA) into a pixmap."""
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    return QPixmap.fromImage(QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGBA8888))


def tree_of(values: Mapping[str, Any]) -> QTreeWidget:
    """Show nested plain data as a tree of names and values."""
    tree = QTreeWidget(columnCount=2, alternatingRowColors=True)
    tree.setHeaderLabels(["Name", "Value"])
    tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
    tree.addTopLevelItems([_item(name, value) for name, value in values.items()])
    tree.expandToDepth(0)
    return tree


def _item(name: object, value: Any) -> QTreeWidgetItem:
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, list | tuple) and any(isinstance(part, Mapping | list | tuple) for part in value):
        pairs = list(enumerate(value))
    else:
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        item = QTreeWidgetItem([str(name), shown])
        item.setToolTip(1, shown)
        return item
    item = QTreeWidgetItem([str(name), "" if isinstance(value, Mapping) else f"{len(pairs)} entries"])
    item.addChildren([_item(key, part) for key, part in pairs[:MOST_ROWS]])
    if len(pairs) > MOST_ROWS:
        item.addChild(QTreeWidgetItem(["…", f"{len(pairs) - MOST_ROWS} more; all are in result.json when it is saved"]))
    return item
