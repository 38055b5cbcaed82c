"""The lists of layers and networks, and what they leave behind.

Python's object for an item that Qt itself made (`invisibleRootItem`, `horizontalHeaderItem`) is not told when Qt deletes it; whatever Qt
makes next at that address is then taken for the deleted item. It once made a menu's action a `QStandardItem`; pyqtgraph's parameter tree
keeps its root, which crashed when the window of the widget at the root's place was closed.
"""

import gc

from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtGui import QStandardItem
from PySide6.QtWidgets import QTreeWidgetItem
from shiboken6 import Shiboken

from widgets.form import Form
from widgets.layer_tree import LayerTree
from widgets.source_tree import SourceTree
from workbench.models.layer import Layer


def living_items() -> int:
    gc.collect()
    items = (QStandardItem, QTreeWidgetItem)
    return sum(isinstance(wrapper, items) for wrapper in Shiboken.getAllValidWrappers())


def test_lists_leave_no_item_behind_that_qt_deleted(session, qtbot):
    before = living_items()
    tree = LayerTree(session)
    qtbot.addWidget(tree)
    layers = [Layer(name, "conv2d", (4, 8, 8), 0) for name in ("conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.0:add")]
    for _ in range(3):
        tree.show_layers(layers)
    tree.show_layers(())
    sources = SourceTree()
    qtbot.addWidget(sources)
    for _ in range(3):
        sources.fill(())
    sources._model.clear()
    assert living_items() == before


def test_a_form_that_is_gone_leaves_no_item_though_something_in_python_still_has_the_form(qapp):
    before = living_items()
    form = Form({"properties": {"steps": {"type": "integer", "default": 3}, "name": {"type": "string", "default": "a"}}})
    assert living_items() > before
    form.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert living_items() == before
    assert form.fields.keys() == {"steps", "name"}
