"""Several layers of the open network, chosen from a list that opens below a button."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
    QWidgetAction,
)

from widgets.buttons import push_button
from widgets.popup import ARROW, opens
from workbench.models.layer import Layer

ATTENTION = ":scaled_dot_product_attention"


def sensible_layers(layers: Sequence[Layer], part: str) -> list[str]:
    """Return what is patched unless other layers are chosen: every block; for heads all attention, for branches all concatenations.

    Of a network that reads texts as well only what is called ``visual`` counts, as every CLIP calls the tower that sees. Blocks are
    concatenations where there are several, else sums (of a residual stream), else what stands behind a non-linearity.
    """
    layers = [layer for layer in layers if layer.name.partition(".")[0] == "visual"] or layers
    spread = [layer for layer in layers if layer.units > 3 and layer.positions and layer.rows == 1]
    joined = [layer.name for layer in spread if layer.kind == "cat" and ":" not in layer.name]
    if part == "head":
        return [layer.name for layer in layers if layer.name.endswith(ATTENTION)]
    if part == "branch" or len(joined) > 2:
        return joined
    sums = [layer.name for layer in spread if layer.kind == "add"]
    sums = [name for name in sums if ":" not in name] or sums
    return sums if len(sums) > 2 else [layer.name for layer in spread if layer.role == "post"]


class LayerChoice(QToolButton):
    """A button that says which layers are chosen, and opens their list."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Layers that are patched")
        self._sensible: list[str] = []
        content = QWidget()
        self.filter = QLineEdit(content, placeholderText="Find a layer", clearButtonEnabled=True)
        self.filter.setAccessibleName("Find a layer")
        self.filter.textChanged.connect(self._show_found)
        self.list = QListWidget(content)
        self.list.setAccessibleName("Layers")
        self.list.itemChanged.connect(lambda _item: self._on_change())
        self.list.setMinimumSize(280, 260)
        line = QHBoxLayout()
        tip = "All blocks of the network, as far as they have such parts"
        line.addWidget(push_button(content, "Sensible", tip, lambda: self.choose(self._sensible)))
        line.addWidget(push_button(content, "None", "Take all away", lambda: self.choose([])))
        line.addStretch(1)
        column = QVBoxLayout(content)
        column.setContentsMargins(6, 6, 6, 6)
        column.addWidget(self.filter)
        column.addWidget(self.list)
        column.addLayout(line)
        menu = QMenu(self)
        holder = QWidgetAction(menu)
        holder.setDefaultWidget(content)
        menu.addAction(holder)
        opens(self, menu)
        self.offer([], [])

    def offer(self, names: Sequence[str], sensible: Sequence[str]) -> None:
        """Offer the layers of a network, and choose the sensible ones."""
        self._sensible = list(sensible)
        self.list.blockSignals(True)
        self.list.clear()
        for name in names:
            item = QListWidgetItem(name, self.list)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Unchecked)
        self.list.blockSignals(False)
        self._show_found(self.filter.text())
        self.choose(sensible)

    def suggest(self, sensible: Sequence[str]) -> None:
        """Choose other sensible layers."""
        self._sensible = list(sensible)
        self.choose(sensible)

    def choose(self, names: Sequence[str]) -> None:
        """Choose exactly these, as far as they are offered."""
        wanted = set(names)
        self.list.blockSignals(True)
        for item in self._items():
            item.setCheckState(Qt.CheckState.Checked if item.text() in wanted else Qt.CheckState.Unchecked)
        self.list.blockSignals(False)
        self._on_change()

    @property
    def chosen(self) -> list[str]:
        """The names that are ticked, in the network's order."""
        return [item.text() for item in self._items() if item.checkState() == Qt.CheckState.Checked]

    def _items(self) -> list[QListWidgetItem]:
        return [self.list.item(place) for place in range(self.list.count())]

    def _show_found(self, text: str) -> None:
        for item in self._items():
            item.setHidden(text.strip().lower() not in item.text().lower())

    def _on_change(self) -> None:
        chosen = self.chosen
        text = "choose layers" if not chosen else chosen[0] if len(chosen) == 1 else f"{len(chosen)} layers: {chosen[0]} … {chosen[-1]}"
        self._text = text
        self.setToolTip("Layers that are patched: " + (", ".join(chosen) or "none"))
        self._fit()

    def _fit(self) -> None:
        self.setText(self.fontMetrics().elidedText(self._text, Qt.TextElideMode.ElideRight, max(60, self.width() - 28)) + ARROW)

    def minimumSizeHint(self) -> QSize:
        """Ask for a few letters: as wide as its text is now it could never be narrower."""
        return QSize(self.fontMetrics().averageCharWidth() * 12 + 28, super().minimumSizeHint().height())

    def resizeEvent(self, event: object) -> None:
        """Shorten the text to what fits."""
        super().resizeEvent(event)
        self._fit()

    def showEvent(self, event: QShowEvent) -> None:
        """Shorten the text to what fits."""
        super().showEvent(event)
        self._fit()
