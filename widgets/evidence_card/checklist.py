"""The checklist: one row a piece of evidence, with its figure and null, or what is missing and the way there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QGridLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from widgets.theme import set_colour
from workbench.evidence_card import QUESTIONS, Piece


@dataclass(frozen=True)
class Way:
    """Where a piece that is missing comes from: what the button says, and what it does in a sentence."""

    text: str
    tip: str


class Flowing(QWidget):
    """As high as its text needs at the width it has, and not as it would need at the narrowest."""

    def minimumSizeHint(self) -> QSize:
        """Leave the height to `heightForWidth`."""
        return QSize(super().minimumSizeHint().width(), 0)


class Checklist(Flowing):
    """Seven rows; `wanted` names the piece whose button was pressed.

    Parameters
    ----------
    ways
        Name of a piece -> the way to it while it is missing.
    """

    wanted = Signal(str)

    def __init__(self, ways: Mapping[str, Way], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: dict[str, tuple[QLabel, QLabel, QLabel]] = {}
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(10, 6, 10, 6)
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(10)
        grid.setColumnStretch(1, 1)
        for row, (name, question) in enumerate(QUESTIONS.items()):
            title = QLabel(f"<b>{name.capitalize()}</b>", self)
            title.setToolTip(question)
            title.setAlignment(Qt.AlignmentFlag.AlignTop)
            figure, null, verdict = (self._text() for _ in range(3))
            cell = QVBoxLayout()
            cell.setSpacing(1)
            for label in (figure, null, verdict):
                cell.addWidget(label)
            grid.addWidget(title, row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addLayout(cell, row, 1)
            self._rows[name] = figure, null, verdict
            if name in ways:
                button = QPushButton(ways[name].text, self)
                button.setToolTip(ways[name].tip)
                button.clicked.connect(lambda _checked, name=name: self.wanted.emit(name))
                grid.addWidget(button, row, 2, Qt.AlignmentFlag.AlignTop)
                self.buttons[name] = button
        self.show_pieces(())

    def _text(self) -> QLabel:
        label = QLabel(self, wordWrap=True)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        return label

    def show_pieces(self, pieces: Sequence[Piece]) -> None:
        """Show what is known; a piece that is not there yet says what it asks."""
        found = {piece.name: piece for piece in pieces}
        for name, (figure, null, verdict) in self._rows.items():
            piece = found.get(name)
            texts = (QUESTIONS[name], "", "") if piece is None else (
                (piece.missing, "", piece.todo)
                if piece.missing
                else (piece.figure, f"Null: {piece.null} · n = {piece.images:,} {piece.counted}{_detectable(piece)}", piece.verdict)
            )  # fmt: skip
            means = "faint" if piece is None else "warning" if piece.missing else ""
            for label, text, meaning in zip((figure, null, verdict), texts, (means, "faint", ""), strict=True):
                label.setText(text)
                set_colour(label, meaning)
                label.setVisible(bool(text))
            figure.setAccessibleName(name)
            if name in self.buttons:
                self.buttons[name].setVisible(piece is not None and (bool(piece.missing) or name == "purity"))

    def text(self, name: str) -> str:
        """Return what a row says."""
        return "\n".join(label.text() for label in self._rows[name] if label.text())


def _detectable(piece: Piece) -> str:
    return f" · smallest difference it would find: {piece.detectable:.2g} {piece.unit}" if piece.detectable is not None else ""
