"""A mistake in what Qt calls back is an error like others: without the watch each of the first three ends the process."""

from __future__ import annotations

import sys

import pytest
from PySide6.QtCore import QAbstractListModel, QModelIndex, QRectF, QSortFilterProxyModel, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDialog, QGraphicsRectItem, QGraphicsScene, QLineEdit, QPushButton


class Line(QLineEdit):
    """Makes a mistake at each key."""

    def keyPressEvent(self, event):
        return [][1]


class Names(QAbstractListModel):
    """Has one row."""

    def rowCount(self, parent=QModelIndex()):  # noqa: B008
        return 1

    def data(self, index, role=Qt.ItemDataRole.DisplayRole):
        return "name"


class Some(QSortFilterProxyModel):
    """Cannot tell which rows to show."""

    def filterAcceptsRow(self, row, parent):
        return 1 + "1"


class Nowhere(QGraphicsRectItem):
    """Does not know where it is."""

    def boundingRect(self):
        return QRectF(0, 0, 1 / 0, 1)


def test_an_event_of_a_widget(qtbot):
    line = Line()
    qtbot.addWidget(line)
    with pytest.raises(IndexError, match="list index out of range"):
        QTest.keyClick(line, Qt.Key.Key_A)


def test_a_row_of_a_model(qtbot):
    names, some = Names(), Some()
    some.setSourceModel(names)
    with pytest.raises(TypeError, match="unsupported operand"):
        some.rowCount()


def test_a_part_of_a_picture(qtbot):
    scene, nowhere = QGraphicsScene(), Nowhere()
    scene.addItem(nowhere)
    with pytest.raises(ZeroDivisionError):
        nowhere.sceneBoundingRect()


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="nothing is watched")
def test_slots_take_as_many_values_as_they_say_and_overrides_may_be_called_from_python(qtbot):
    class Dialog(QDialog):
        def accept(self):
            super().accept()

        def minimumSizeHint(self):
            return super().minimumSizeHint().expandedTo(self.least)

    assert not hasattr(Dialog.accept, "__wrapped__") and hasattr(Dialog.minimumSizeHint, "__wrapped__")
    dialog = Dialog()
    dialog.least = dialog.size()
    qtbot.addWidget(dialog)
    button = QPushButton(dialog)
    button.clicked.connect(dialog.accept)
    dialog.open()
    assert dialog.minimumSizeHint().width() >= dialog.least.width()
    with qtbot.waitSignal(dialog.accepted):
        button.click()
