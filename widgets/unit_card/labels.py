"""What a unit is called: its labels with confidence, author and evidence, and a line to type another one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QDateTime, QEvent, QLocale, QObject, Qt
from PySide6.QtGui import QFontMetrics, QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QSpinBox, QToolButton, QVBoxLayout, QWidget

from widgets.elided_label import ElidedLabel
from widgets.label_edit import set_labels, this_user
from widgets.project_edit import UndoKeys
from widgets.theme import set_icon
from workbench.labels import Label, merge, now, variable_of
from workbench.models.layer import Unit

if TYPE_CHECKING:
    from widgets.session import Session

UNSAID = -1
"""What the field of the confidence holds while nothing is said."""


class UnitLabels(QWidget):
    """The labels of one unit, one a line; below them the field for a new one, whose further fields show while it is typed."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._unit: Unit | None = None
        self._model = ""
        self._shown: list[Label] = []
        self._edited: Label | None = None
        self._me = ""  # who the user is, while somebody else's label stands in the fields
        self.lines: list[LabelLine] = []
        self._lines = QVBoxLayout()
        self._lines.setSpacing(1)
        self.name = QLineEdit(clearButtonEnabled=True)
        self.name.setPlaceholderText("Label, such as “curves, 45°”")
        self.name.setToolTip(
            "What you call this unit (Ctrl+L); Enter adds it. Saved with the investigation, found by the filter of the panel Neurons"
        )
        self.name.setAccessibleName("Label of the unit")
        self.confidence = QSpinBox(minimum=UNSAID, maximum=100, value=UNSAID, suffix=" %", specialValueText="unsaid")
        self.confidence.setToolTip("How sure you are; unsaid is as good an answer")
        self.confidence.setAccessibleName("Confidence in the label")
        self.author = QLineEdit(this_user(), placeholderText="nobody")
        self.author.setToolTip("Who says so; it is saved with the label")
        self.author.setAccessibleName("Author of the label")
        self.evidence = QLineEdit(placeholderText="why, such as “all four seeds agree”")
        self.evidence.setToolTip("What speaks for it")
        self.evidence.setAccessibleName("Evidence for the label")
        self.save = QPushButton("Add")
        self.save.setToolTip("Give the unit this label (Enter); Escape leaves everything as it was")
        self.save.clicked.connect(self.commit)
        self.variable = ElidedLabel(parent=self)
        self._further = QWidget()
        self._build()
        for field in (self.name, self.author, self.evidence):
            field.returnPressed.connect(self.commit)
        for field in (self.name, self.author, self.evidence, self.confidence):
            field.installEventFilter(self)
        self.name.textChanged.connect(self._show_further)
        UndoKeys(session, self.name, own_first=True)
        session.touched.connect(self.refresh)
        session.project_changed.connect(self._begin_anew)
        self._show_further()

    def _build(self) -> None:
        first, second = QHBoxLayout(), QHBoxLayout()
        for text, widget, stretch in (("Sure", self.confidence, 0), ("Author", self.author, 1)):
            caption = QLabel(text)
            caption.setBuddy(widget)
            first.addWidget(caption)
            first.addWidget(widget, stretch)
        caption = QLabel("Because")
        caption.setBuddy(self.evidence)
        second.addWidget(caption)
        second.addWidget(self.evidence, 1)
        second.addWidget(self.save)
        further = QVBoxLayout(self._further)
        further.setContentsMargins(0, 0, 0, 4)
        further.setSpacing(3)
        further.addLayout(first)
        further.addLayout(second)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(3)
        whole.addLayout(self._lines)
        whole.addWidget(self.name)
        whole.addWidget(self._further)
        whole.addWidget(self.variable)

    # ------------------------------------------------------------------------------------------------ what is shown

    def show_unit(self, model: str, unit: Unit | None) -> None:
        """Turn to another unit; what was being typed is given to the last one."""
        self.commit()
        self._model, self._unit = model, unit
        self._leave()
        self.refresh()

    def labels(self) -> list[Label]:
        """Return the unit's labels."""
        return list(self._session.project.labels.get(self._model, {}).get(str(self._unit), ()))

    def refresh(self) -> None:
        """Show what the project says; what is being typed stays."""
        labels = self.labels()
        of_model = self._session.project.labels.get(self._model, {})
        name = variable_of(of_model, self._unit) if self._unit is not None and labels else ""
        self.variable.show_text(f"In code: {name}" if name else "", f"{name} = {self._unit.index}" if name and self._unit else "")
        self.variable.setVisible(bool(name))
        if labels == self._shown:
            return
        self._shown = labels
        while self._lines.count():
            line = self._lines.takeAt(0).widget()
            line.hide()
            line.deleteLater()
        self.lines = [LabelLine(self, label) for label in labels]
        for shown in self.lines:
            self._lines.addWidget(shown)
        if self._edited is not None and self._edited not in labels:
            self._leave()

    def _begin_anew(self) -> None:
        self._leave()
        self.refresh()

    def _show_further(self) -> None:
        self._further.setVisible(bool(self.name.text().strip()) or self._edited is not None)
        self.save.setText("Save" if self._edited is not None else "Add")

    # ------------------------------------------------------------------------------------------------ what one can do

    def begin(self) -> None:
        """Take the keyboard for a new label."""
        self.name.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.name.selectAll()

    def edit(self, label: Label) -> None:
        """Put a label into the fields, to be changed."""
        if self._edited is None:
            self._me = self.author.text()
        self._edited = label
        self.name.setText(label.name)
        self.confidence.setValue(UNSAID if label.confidence is None else round(100 * label.confidence))
        self.author.setText(label.author)
        self.evidence.setText(" ".join(label.evidence.splitlines()))
        self._show_further()
        self.begin()

    def commit(self) -> None:
        """Give the unit the label that was typed, or change the one that was edited."""
        name = self.name.text().strip()
        if self._unit is None or not name:
            return
        before, labels = self._edited, self.labels()
        typed = self._typed(name, before)
        if before in labels:  # what it is now the same as gives way to it
            labels = [typed if label == before else label for label in labels if label == before or label.identity != typed.identity]
        else:
            together = {"": {"": labels}}
            merge(together, {"": {"": [typed]}})
            labels = together[""][""]
        self._leave()
        if labels != self.labels():
            set_labels(self._session, self._model, self._unit, labels, f"label {self._unit}")

    def _typed(self, name: str, before: Label | None) -> Label:
        """Make the label of the fields; what they cannot hold of the one that is edited stays."""
        value = self.confidence.value()
        confidence = None if value == UNSAID else value / 100
        author, evidence = self.author.text().strip(), self.evidence.text().strip()
        if before is None:
            return Label(name, confidence, author, evidence, created=now())
        if before.confidence is not None and value == round(100 * before.confidence):
            confidence = before.confidence
        if evidence == " ".join(before.evidence.splitlines()).strip():
            evidence = before.evidence
        return replace(before, name=name, confidence=confidence, author=author, evidence=evidence)

    def remove(self, label: Label) -> None:
        """Take a label away."""
        if self._unit is not None:
            left = [other for other in self.labels() if other != label]
            set_labels(self._session, self._model, self._unit, left, f"remove the label {label.name}")

    def accept(self, label: Label) -> None:
        """Make a proposed label one of the user's; its evidence stays."""
        if self._unit is not None:
            author = ", ".join(part for part in (label.author, self.me.strip()) if part)
            mine = replace(label, kind="typed", author=author)
            labels = [mine if other == label else other for other in self.labels()]
            set_labels(self._session, self._model, self._unit, labels, f"accept the label {label.name}")

    def _leave(self) -> None:
        """Empty the fields; the author stays for the next label."""
        if self._edited is not None:
            self.author.setText(self._me)
        self._edited = None
        self.name.setText("")  # forgets its own undo steps, so that the next undo is the investigation's
        self.evidence.setText("")
        self.confidence.setValue(UNSAID)
        self._show_further()

    @property
    def me(self) -> str:
        """Author of what the user types next."""
        return self.author.text() if self._edited is None else self._me

    @me.setter
    def me(self, author: str) -> None:
        self._me = author
        if self._edited is None:
            self.author.setText(author)

    @property
    def is_typing(self) -> bool:
        """Whether a label was begun and not added yet."""
        return bool(self.name.text().strip())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Escape leaves the fields as they were; Enter in the confidence adds the label."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Escape and (self.is_typing or self._edited is not None):
                self._leave()
                return True
            if watched is self.confidence and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self.confidence.interpretText()
                self.commit()
                return True
        return False


class LabelLine(QWidget):
    """One label: its name to press, what is known of it, and what one can do with it."""

    def __init__(self, owner: UnitLabels, label: Label) -> None:
        super().__init__()
        self.label = label
        self.name = QToolButton(autoRaise=True)
        self.name.setText(QFontMetrics(self.name.font()).elidedText(label.name, Qt.TextElideMode.ElideRight, 190))
        font = self.name.font()
        font.setBold(label.kind == "typed")
        font.setItalic(label.kind == "proposed")
        self.name.setFont(font)
        self.name.setToolTip(f"{told(label)}\nClick to change it")
        self.name.setAccessibleName(f"Change the label {label.name}")
        self.name.clicked.connect(lambda: owner.edit(label))
        self.about = ElidedLabel(parent=self)
        self.about.show_text(" · ".join(known_of(label)), told(label))
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(2)
        line.addWidget(self.name)
        line.addWidget(self.about, 1)
        if label.kind == "proposed":
            line.addWidget(self._button("done", f"Accept the label {label.name}", lambda: owner.accept(label)))
        line.addWidget(self._button("close", f"Remove the label {label.name}", lambda: owner.remove(label)))

    def _button(self, picture: str, tip: str, act) -> QToolButton:
        button = QToolButton(autoRaise=True, toolTip=tip)
        button.setAccessibleName(tip)
        set_icon(button, picture)
        button.clicked.connect(act)
        return button


def known_of(label: Label) -> list[str]:
    """Say in short what is known of a label: kind, confidence, author, evidence."""
    sure = "" if label.confidence is None else f"{100 * label.confidence:.0f} %"
    evidence = " ".join(label.evidence.split())
    return [part for part in ("proposed" if label.kind == "proposed" else "", sure, label.author, evidence) if part]


def told(label: Label) -> str:
    """Say all that is known of a label, a line each."""
    when = QLocale().toString(QDateTime.fromSecsSinceEpoch(int(label.created)), QLocale.FormatType.ShortFormat) if label.created else ""
    return "\n".join(
        part
        for part in (
            f"{label.name} ({label.kind})",
            f"Confidence: {label.confidence:.2f}" if label.confidence is not None else "",
            f"By {label.author}" if label.author else "",
            f"Because: {label.evidence}" if label.evidence else "",
            when,
        )
        if part
    )
