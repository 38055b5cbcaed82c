"""A box to choose from whose text is shortened where there is no room: Qt's own cuts letters in half and does not say so."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter, QWidget


class ElidedComboBox(QComboBox):
    """Shows as much of the chosen entry as fits, and all of it in the tip; asks for no more width than `letters`."""

    def __init__(self, letters: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tip = ""
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(letters)

    def setToolTip(self, tip: str) -> None:
        """Say what the box is for."""
        self._tip = tip
        super().setToolTip(tip)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the box with the text that fits."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        field = painter.style().subControlRect(  # asked for its own, PySide would keep the style as a part of this box
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        room = field.width() - 2  # the style keeps a pixel at either side
        whole = option.currentText
        # Of a sentence the beginning tells most, of a layer's name both ends.
        elide = Qt.TextElideMode.ElideRight if " " in whole else Qt.TextElideMode.ElideMiddle
        option.currentText = self.fontMetrics().elidedText(whole, elide, room)
        tip = self._tip if option.currentText == whole else "\n".join(filter(None, (whole, self._tip)))
        if tip != self.toolTip():
            super().setToolTip(tip)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
