"""The manual: every panel and every command, made from what the window itself is made from."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QLineEdit, QTextBrowser, QVBoxLayout, QWidget

from widgets.commands import Registry
from widgets.panels import Entry
from workbench import __version__

REFERENCES = (
    ("bundled:inception", "comes with the workbench, as do others"),
    ("timm:resnet18", "a network of timm; <code>?pretrained=false&amp;seed=0</code> for random weights"),
    ("torchvision:googlenet", "a network of torchvision"),
    ("lucid:inceptionv1", "the network of Distill's Circuits, with Lucent's weights; <code>?weights=PATH</code> where they are elsewhere"),
    ("open_clip:NAME:TAG · diffusers:PATH_OR_ID · transformers:PATH_OR_ID", "networks that read text, from a folder or the hub"),
    ("file:PATH?architecture=timm:resnet18", "your weights, .safetensors or .pt"),
    ("python:FILE.py:FACTORY", "your own network; you are asked before code is run"),
    ("emoji · photos · folder:PATH · stimuli:curves", "image sets"),
)


def manual_page(registry: Registry, panels: Mapping[str, Entry]) -> str:
    """Write the manual as HTML."""
    rows = "".join(f"<tr><td><b>{escape(e.title)}</b></td><td>{escape(e.help)}</td></tr>" for e in panels.values())
    refs = "".join(f"<tr><td><code>{ref}</code></td><td>{what}</td></tr>" for ref, what in REFERENCES)
    return (
        f"<h2>Circuit Workbench {__version__}</h2><p>Open an image network, look at any unit, keep what you find. "
        "Drop an image, a folder, weights or a Python file anywhere on the window.</p>"
        f"<h3>Panels</h3><table cellpadding='4' width='100%'>{rows}</table>"
        f"<h3>References</h3><table cellpadding='4' width='100%'>{refs}</table>"
        f"<h2>Commands</h2>{registry.manual()}"
    )


class Manual(QDialog):
    """Shows the manual in a window of its own, with a field to search in it."""

    def __init__(self, registry: Registry, panels: Mapping[str, Entry], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Manual – Circuit Workbench")
        self.resize(820, 720)
        self.page = QTextBrowser()
        self.page.setAccessibleName("Manual")
        self.page.setHtml(manual_page(registry, panels))
        self.field = QLineEdit(
            placeholderText="Search in the manual; Enter finds the next place", clearButtonEnabled=True
        )
        self.field.setAccessibleName("Search in the manual")
        self.field.returnPressed.connect(self._find)
        layout = QVBoxLayout(self)
        layout.addWidget(self.field)
        layout.addWidget(self.page, 1)
        self.field.setFocus()

    def _find(self) -> None:
        if not self.page.find(self.field.text()):
            cursor = self.page.textCursor()
            cursor.movePosition(cursor.MoveOperation.Start)
            self.page.setTextCursor(cursor)
            self.page.find(self.field.text())
