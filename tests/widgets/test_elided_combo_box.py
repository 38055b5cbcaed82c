"""A box whose entry is shortened where there is no room."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from widgets.elided_combo_box import ElidedComboBox


def test_the_tip_says_the_whole_entry_while_it_is_shortened(qtbot: QtBot) -> None:
    box = ElidedComboBox(4)
    qtbot.addWidget(box)
    box.addItems(["visual.transformer.resblocks.4.mlp.gelu", "all"])
    box.setToolTip("Layers that are asked")
    box.resize(90, box.sizeHint().height())
    box.grab()
    assert box.toolTip() == "visual.transformer.resblocks.4.mlp.gelu\nLayers that are asked"
    box.setCurrentIndex(1)
    box.grab()
    assert box.toolTip() == "Layers that are asked"
    box.setCurrentIndex(0)
    box.resize(600, box.height())
    box.grab()
    assert box.toolTip() == "Layers that are asked"
