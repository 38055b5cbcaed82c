"""The screen on which pictures are labelled blind: one large picture, one key a class; nothing tells how active the unit was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from widgets.label_edit import this_user
from widgets.session import Session
from widgets.theme import set_colour
from widgets.views.view import as_image, draw_image, fit
from workbench.blind_labels import CLASSES, Labelling

HINT = "Keys 1 to {last} say what it is, Backspace takes the last label back, Esc pauses. Every label is kept at once."


class LargePicture(QWidget):
    """One picture, as large as there is room."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pixels: np.ndarray | None = None
        self.setMinimumSize(140, 140)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Picture to be labelled")

    def show_picture(self, pixels: np.ndarray | None) -> None:
        """Show another one; None for none."""
        self.pixels = pixels
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw it in the middle."""
        if self.pixels is None:
            return
        painter = QPainter(self)
        height, width = self.pixels.shape[:2]
        draw_image(painter, fit(QRectF(self.rect()).adjusted(4, 4, -4, -4), width, height), as_image(self.pixels), smooth=True)


class LabellingView(QWidget):
    """Shows the pictures of a labelling one after the other and keeps what is said of them; `paused` and `finished` end it."""

    labelled = Signal()
    """A label was given or taken back, or a class renamed."""
    paused = Signal()
    finished = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.labelling: Labelling | None = None
        self.path: Path | None = None
        self._pictures = np.zeros((0, 1, 1, 3), np.uint8)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Blind labelling")
        self.picture = LargePicture(self)
        self.progress = QProgressBar(self, textVisible=False, maximumHeight=8)
        self.said = QLabel(self)
        self.back = QPushButton("Take back", self)
        self.back.setToolTip("Take the last label back (Backspace)")
        self.back.clicked.connect(self.take_back)
        self.pause = QPushButton("Pause", self)
        self.pause.setToolTip("Go back to the card; the labelling goes on here later, also after the program was closed (Esc)")
        self.pause.clicked.connect(self.paused)
        top = QHBoxLayout()
        top.addWidget(self.said, 1)
        top.addWidget(self.back)
        top.addWidget(self.pause)
        self.keys: list[QPushButton] = []
        self.names: list[QLineEdit] = []
        classes = QGridLayout()
        for label in range(len(CLASSES)):
            key, name = QPushButton(str(label + 1), self), QLineEdit(self)
            key.setToolTip(f"Say so of the picture (key {label + 1})")
            key.setAccessibleName(f"Class {label + 1}")
            key.setFixedWidth(44)
            key.clicked.connect(lambda _checked, label=label: self.say(label))
            name.setAccessibleName(f"Name of class {label + 1}")
            name.setToolTip("What the class is called; labels keep their class when it is called otherwise")
            name.editingFinished.connect(lambda label=label: self._rename(label))
            classes.addWidget(key, label // 2, 2 * (label % 2))
            classes.addWidget(name, label // 2, 2 * (label % 2) + 1)
            self.keys.append(key)
            self.names.append(name)
        hint = QLabel(HINT.format(last=len(CLASSES)), self, wordWrap=True)
        set_colour(hint, "faint")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 6, 10, 8)
        layout.addLayout(top)
        layout.addWidget(self.progress)
        layout.addWidget(self.picture, 1)
        layout.addLayout(classes)
        layout.addWidget(hint)

    def open(self, labelling: Labelling, pictures: np.ndarray, path: Path) -> None:
        """Begin a labelling, or go on with one.

        Parameters
        ----------
        pictures
            uint8 ``[n, y, x, 3]``, in the labelling's order.
        path
            Where every label is kept.
        """
        self.labelling, self._pictures, self.path = labelling, pictures, path
        for field, name in zip(self.names, labelling.classes, strict=False):
            field.setText(name)
        self._show()
        self.setFocus()

    def say(self, label: int) -> None:
        """Label the picture that is shown."""
        if self.labelling is None or self.labelling.finished or label >= len(self.labelling.classes):
            return
        self.labelling.say(label, this_user())
        self._keep()
        if self.labelling.finished:
            self.finished.emit()

    def take_back(self) -> None:
        """Take the last label back and show its picture again."""
        if self.labelling is not None and self.labelling.take_back():
            self._keep()

    def _rename(self, label: int) -> None:
        if self.labelling is None or label >= len(self.labelling.classes):
            return
        text = self.names[label].text()
        if text != self.labelling.classes[label]:
            try:
                self.labelling.rename(label, text)
            except ValueError as error:
                self._session.report(str(error))
                self.names[label].setText(self.labelling.classes[label])
            else:
                self._keep()
        if self.names[label].hasFocus():
            self.setFocus()

    def _keep(self) -> None:
        """Write the labelling, then show the next picture."""
        assert self.labelling is not None
        try:
            self.labelling.save(self.path)
        except OSError as error:
            self._session.report(f"The labels cannot be kept: {error.strerror}. Make room, then label on: each label writes all of them.")
        self._show()
        self.labelled.emit()

    def _show(self) -> None:
        assert self.labelling is not None
        done, total = self.labelling.done, len(self.labelling.pictures)
        self.progress.setRange(0, max(total, 1))
        self.progress.setValue(done)
        self.said.setText(f"Picture {min(done + 1, total)} of {total} · {self.labelling.unit}")
        self.picture.show_picture(self._pictures[done] if done < min(total, len(self._pictures)) else None)
        self.back.setEnabled(done > 0)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Label with a digit, take back with Backspace, pause with Esc."""
        if event.key() == Qt.Key.Key_Backspace:
            self.take_back()
        elif event.key() == Qt.Key.Key_Escape:
            self.paused.emit()
        elif event.text().isdigit() and 1 <= int(event.text()) <= len(self.keys):
            if not event.isAutoRepeat():  # a key held down says nothing of the pictures that fly past
                self.say(int(event.text()) - 1)
        else:
            super().keyPressEvent(event)
