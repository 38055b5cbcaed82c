"""Asking before the code of a Python file is run."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from widgets.intake import factories

SHOWN = 200_000
"""Characters of the file that are shown."""


class CodeConsent(QDialog):
    """Shows a Python file, lets the user choose what makes the network, and asks whether it may run.

    Parameters
    ----------
    ref
        ``python:FILE.py`` or ``python:FILE.py:FACTORY``.

    Raises
    ------
    ValueError, OSError
        When the file cannot be read or is not Python.
    """

    agreed = Signal(str)
    """The user agreed to open this reference."""

    def __init__(self, ref: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Run code?")
        self.resize(720, 560)
        name, _, factory = ref.removeprefix("python:").partition(".py:")
        self._path = Path(name if name.endswith(".py") else f"{name}.py").expanduser()
        if not self._path.is_file():
            raise ValueError(f"{self._path} does not exist; write python:FILE.py:FACTORY")
        self.factory = QComboBox(editable=True)
        self.factory.addItems(factories(self._path))
        self.factory.setToolTip("A function or class without required arguments that returns a torch module")
        if factory:
            self.factory.setCurrentText(factory)
        question = QLabel(
            f"<b>Opening {self._path.name} runs its code</b> with your rights: it can read and change your files. "
            "Agree only if you wrote it or trust who did."
        )
        question.setWordWrap(True)
        code = QPlainTextEdit(self._path.read_text(encoding="utf-8")[:SHOWN], readOnly=True)
        code.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        code.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        code.setAccessibleName("The code")
        buttons = QDialogButtonBox()
        run = buttons.addButton("Run it and open the network", QDialogButtonBox.ButtonRole.AcceptRole)
        refuse = buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        run.setAutoDefault(False)
        refuse.setDefault(True)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        form = QFormLayout()
        form.addRow("Network made by", self.factory)
        layout = QVBoxLayout(self)
        layout.addWidget(question)
        layout.addLayout(form)
        layout.addWidget(code, 1)
        layout.addWidget(buttons)
        refuse.setFocus()
        self.accepted.connect(lambda: self.agreed.emit(f"python:{self._path}:{self.factory.currentText().strip()}"))
