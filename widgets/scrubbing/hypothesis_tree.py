"""A hypothesis as a tree: every node with its units, cells, feature, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from PySide6.QtCore import QEvent, QModelIndex, QSize, Qt, Signal
from PySide6.QtGui import QIcon, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeView, QWidget

from widgets.theme import icon, signal_colour
from workbench.hypothesis import FEWEST, offsets_text

if TYPE_CHECKING:
    from workbench.hypothesis import Hypothesis, Node, NodeCard

NAME = Qt.ItemDataRole.UserRole
WIDTHS = ((110, 190), (60, 112), (40, 70), (60, 132))
"""Least and most pixels that each column but the last is made wide at first."""


class HypothesisTree(QTreeView):
    """The nodes of a hypothesis; one of them is chosen, by name."""

    chosen = Signal(str)
    """Name of the node that the user moved to."""

    HEADINGS: ClassVar = (
        ("Node", "What the node is called"),
        ("Units", "Units of one layer; several are taken as one"),
        ("Cells", "Offsets from where its parent looks; all: whole maps"),
        ("Feature", "What the units are claimed to compute"),
        ("Images", "Labels of the feature, and how many images share each at least; or what is wrong"),
    )

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, uniformRowHeights=True, alternatingRowColors=True, allColumnsShowFocus=True)
        self.setAccessibleName("Hypothesis")
        self.setIndentation(14)
        self.setIconSize(QSize(13, 13))
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self._model = QStandardItemModel(self)
        self._rows: dict[str, list[QStandardItem]] = {}  # never asked of the model: its own items outlive nothing
        self._filling = False
        self._by_hand = False  # whether the user has made a column as wide as it is to be
        self._marks: tuple[Mapping[str, NodeCard], Mapping[str, str]] = ({}, {})
        self.setModel(self._model)
        self.header().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.header().setMinimumSectionSize(36)
        self.header().sectionResized.connect(self._keep)
        self.selectionModel().currentChanged.connect(self._tell)

    @property
    def current(self) -> str:
        """Name of the chosen node, empty for none."""
        return self.currentIndex().siblingAtColumn(0).data(NAME) or ""

    def show_hypothesis(self, hypothesis: Hypothesis | None, chosen: str) -> None:
        """List its nodes; the one of that name is chosen, else the root."""
        self._filling = True
        widths = [self.columnWidth(column) for column in range(len(WIDTHS))]
        self._model.clear()
        self._rows.clear()
        self._model.setHorizontalHeaderLabels([name for name, _ in self.HEADINGS])
        for column, (_, tip) in enumerate(self.HEADINGS):
            self._model.setHeaderData(column, Qt.Orientation.Horizontal, tip, Qt.ItemDataRole.ToolTipRole)
        if hypothesis is not None:
            self._add(hypothesis.root, None)
            self.expandAll()
            self._set_widths(widths if self._by_hand else self._fitting())
            self.choose(chosen if chosen in self._rows else hypothesis.root.name)
        self._filling = False

    def _add(self, node: Node, above: QStandardItem | None) -> None:
        at = "all" if not node.offsets else offsets_text(node.offsets)
        if len(node.offsets) > 1:
            at = f"{len(node.offsets)} cells"
        root = above is None
        texts = (node.name, node.units, "" if root else at, "is explained" if root else node.feature, "")
        row = [QStandardItem(text) for text in texts]
        for part, text in zip(row, texts, strict=True):
            part.setToolTip(text)
        if node.offsets:
            row[2].setToolTip(f"rows down, columns to the right:\n{offsets_text(node.offsets)}")
        row[0].setData(node.name, NAME)
        self._rows[node.name] = row
        if above is None:
            self._model.appendRow(row)
        else:
            above.appendRow(row)
        for child in node.children:
            self._add(child, row[0])

    def _fitting(self) -> list[int]:
        """Return how wide columns are that show what is in them."""
        return [min(most, max(least, self.sizeHintForColumn(column))) for column, (least, most) in enumerate(WIDTHS)]

    def _set_widths(self, widths: Sequence[int]) -> None:
        filling, self._filling = self._filling, True
        for column, width in enumerate(widths):
            self.setColumnWidth(column, width)
        self._filling = filling

    def _keep(self, column: int, _before: int, _now: int) -> None:
        """Remember that the user has chosen a width; the last column takes what is left."""
        self._by_hand |= not self._filling and column < len(WIDTHS)

    def choose(self, name: str) -> None:
        """Move to a node."""
        if name in self._rows:
            self.setCurrentIndex(self._rows[name][0].index())

    def mark(self, cards: Mapping[str, NodeCard], wrong: Mapping[str, str]) -> None:
        """Write at every node how its images are shared out, and at those that are wrong why.

        Parameters
        ----------
        cards
            What the worker knows of each node.
        wrong
            Reasons that a run has given, by node; they count before the cards.
        """
        self._marks = cards, wrong
        red, amber = signal_colour("error", self.palette()), signal_colour("warning", self.palette())
        for name, row in self._rows.items():
            card = cards.get(name)
            reason = wrong.get(name) or (f"{card.field}: {card.reason}" if card is not None and card.reason else "")
            sparse = card is not None and 0 < card.least < FEWEST
            text = reason or (shares(card) if card is not None else "")
            row[4].setText(text)
            for part in row:  # none: the palette's own, whichever that is
                part.setData(red if reason else amber if sparse and part is row[4] else None, Qt.ItemDataRole.ForegroundRole)
            row[4].setToolTip(reason or (occupied(card) if card is not None and card.labels else text))
            row[0].setToolTip(reason or name)
            row[0].setIcon(icon("error" if reason else "warning") if reason or sparse else QIcon())
        if not self._by_hand:
            self._set_widths(self._fitting())

    def changeEvent(self, event: QEvent) -> None:
        """Follow the palette when the scheme changes between light and dark."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self.mark(*self._marks)

    def reason_at(self, name: str) -> str:
        """Return what stands in the last column of a node."""
        return self._rows[name][4].text()

    def names(self) -> list[str]:
        """Names of all nodes, from the root down."""
        return list(self._rows)

    def _tell(self, index: QModelIndex) -> None:
        if not self._filling and (name := index.siblingAtColumn(0).data(NAME)):
            self.chosen.emit(name)


def shares(card: NodeCard) -> str:
    """Say in a few words how many labels a feature has, and the images of the rarest."""
    if not card.labels:
        return ""
    return f"{card.labels} label{'s' * (card.labels != 1)}, {card.least}+ each"


def occupied(card: NodeCard) -> str:
    """Say how a feature shares out the images, and what that does to the result."""
    each = f"{card.labels} label{'s' * (card.labels != 1)}, at least {card.least} image{'s' * (card.least != 1)} each"
    said = f"{each}; {card.itself:.0%} of the draws give the image itself"
    if card.least < FEWEST:
        said += ", which changes nothing and makes the hypothesis look better than it is: choose a coarser feature, or more images"
    return said + "."
