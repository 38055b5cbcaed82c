"""The model panel: finding and opening networks, loading with cancel, the card, the images, the layers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit

from widgets.panels.model_loader import ModelLoaderPanel, count, numbers
from widgets.source_tree import REF, SourceTree
from workbench.jobs.requests import ListSources, LoadModel, OpenImages
from workbench.models.layer import Layer
from workbench.models.loading import SourceEntry

SOURCES = (
    SourceEntry("bundled:efficientnet-lite0", "bundled", "EfficientNet-Lite0"),
    *(
        SourceEntry(f"timm:{n}", "timm/" + n.split("_")[0], n)
        for n in ("convnext_tiny", "convnext_base", "resnet18", "resnet50", "resnetv2_50")
    ),
    SourceEntry("torchvision:googlenet", "torchvision", "googlenet"),
    SourceEntry("lucid:inceptionv1", "lucid", "inceptionv1"),
    SourceEntry("open_clip:ViT-B-32", "open_clip/ViT", "ViT-B-32"),
)


@pytest.fixture
def panel(session, runner, qtbot):
    runner.answers[ListSources] = SOURCES
    made = ModelLoaderPanel(session)
    qtbot.addWidget(made)
    made.resize(380, 950)
    made.show()
    qtbot.waitUntil(lambda: len(made.sources._references()) == len(SOURCES))
    return made


def enter(panel, text: str) -> None:
    panel.sources.field.setText(text)
    QTest.keyClick(panel.sources.field, Qt.Key.Key_Return)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("timm:convnext*", ["timm:convnext_tiny", "timm:convnext_base"]),
        ("resnet*", ["timm:resnet18", "timm:resnet50", "timm:resnetv2_50"]),
        ("*50", ["timm:resnet50", "timm:resnetv2_50"]),
        ("NET18", ["timm:resnet18"]),
        ("timm:resnet[1v]*", ["timm:resnet18", "timm:resnetv2_50"]),
        ("lite0", ["bundled:efficientnet-lite0"]),
        ("zzz", []),
    ],
)
def test_the_list_is_filtered(panel, typed, found):
    panel.sources.field.setText(typed)
    assert panel.sources._references() == found
    assert bool(panel.sources._said.text()) == (not found)


def test_groups_say_how_many_they_hold(panel):
    texts = [panel.sources._model.item(row).text() for row in range(panel.sources._model.rowCount())]
    assert texts == ["Bundled  (1)", "timm  (5)", "torchvision  (1)", "Lucid  (1)", "open_clip  (1)", "Your own"]


def test_a_reference_and_enter_opens_it(panel, runner):
    for typed, opened in (
        ("timm:resnet18?pretrained=false&seed=0", "timm:resnet18?pretrained=false&seed=0"),
        ("googlenet", "torchvision:googlenet"),
        ("resnet18", "timm:resnet18"),
        ("file:/tmp/w.pt?architecture=timm:resnet18", "file:/tmp/w.pt?architecture=timm:resnet18"),
    ):
        enter(panel, typed)
        assert runner.asked(LoadModel)[-1] == LoadModel(opened)


def test_an_ambiguous_name_asks_for_a_choice(panel, runner):
    enter(panel, "convnext")
    assert runner.asked(LoadModel) == []
    assert panel.sources._said.text() == "2 networks fit; choose one."
    assert panel.sources.tree.hasFocus() or not panel.isActiveWindow()


def test_a_double_click_opens(panel, runner):
    panel.sources.field.setText("tiny")
    shown = panel.sources._shown

    def leaf(parent: QModelIndex) -> QModelIndex:
        first = shown.index(0, 0, parent)
        return leaf(first) if shown.hasChildren(first) else first

    panel.sources.tree.activated.emit(leaf(QModelIndex()))
    assert runner.asked(LoadModel) == [LoadModel("timm:convnext_tiny")]


def test_images_that_do_not_come_leave_the_chooser_at_those_that_are_open(panel, session, runner, qtbot):
    session.open_images("test:images")
    qtbot.waitUntil(lambda: session.images is not None)
    box = panel.images.box
    shown = box.currentText()
    runner.answers[OpenImages] = ValueError("there is no such set")
    box.setEditText("torchvision:Nothing")
    with qtbot.waitSignal(session.message):
        QTest.keyClick(box.lineEdit(), Qt.Key.Key_Return)
    assert box.currentText() == shown
    del runner.answers[OpenImages]
    session.open_images("test:first")
    first = max(runner.requests)
    box.setEditText("test:second")
    QTest.keyClick(box.lineEdit(), Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: first not in runner.open)
    assert box.currentText() == "test:second", "it is on its way"
    session.cancel_loading()
    qtbot.waitUntil(lambda: box.currentText() == shown)


def test_a_list_that_fails_says_so_and_references_still_open(session, runner, qtbot):
    runner.answers[ListSources] = ValueError("timm is not installed")
    panel = ModelLoaderPanel(session)
    qtbot.addWidget(panel)
    qtbot.waitUntil(lambda: "timm is not installed" in panel.sources._said.text())
    enter(panel, "bundled:efficientnet-lite0")
    assert runner.asked(LoadModel) == [LoadModel("bundled:efficientnet-lite0")]


def test_loading_is_shown_and_can_be_cancelled(panel, session, runner, qtbot):
    del runner.answers[LoadModel]
    session.open_model("timm:resnet18")
    job = max(runner.requests)
    runner.tell(job, "progress", done=3, total=10, note="downloading")
    qtbot.waitUntil(panel.loading.isVisible)
    qtbot.waitUntil(lambda: panel.loading.bar.value() == 300)
    assert panel.loading._text.text() == "Open timm:resnet18: downloading"
    panel.loading.cancel.click()
    assert panel.loading.cancel.text() == "Cancelling…"
    qtbot.waitUntil(lambda: not panel.loading.isVisible())
    assert job not in runner.open
    assert session.model is None


def test_a_panel_that_is_low_scrolls_and_squeezes_no_line(panel, runner, session, qtbot):
    long = "the weights are random (seed 0), so what its units respond to is what untrained ones do; a long line that has to be wrapped"
    runner.answers[LoadModel] = replace(runner.answers[LoadModel], warnings=(long, long))
    session.open_model("test:small")
    qtbot.waitUntil(lambda: "random" in panel.card.warning.text())
    for width, height in ((280, 300), (380, 300), (255, 560)):
        panel.resize(width, height)
        qtbot.waitUntil(lambda: panel.card.height() >= panel.card.heightForWidth(panel.card.width()) > 250)



def test_the_card(panel, session, runner, qtbot):
    assert panel.card.title.full_text == "No network open"
    runner.answers[LoadModel] = replace(runner.answers[LoadModel], warnings=("weights are random (seed 0)",))
    with qtbot.waitSignal(session.model_changed):
        session.open_model("test:small")
    shown = {name: label.full_text for name, label in panel.card.rows.items()}
    assert panel.card.title.full_text == "Small"
    assert shown["Parameters"] == "4.65 million (4,652,008)"
    assert shown["Input"] == "224 × 224 px, 3 channels"
    assert shown["Mean, std"] == "0.5, 0.5"
    assert (shown["Classes"], shown["Licence"], shown["Weights"]) == ("2", "Apache-2.0", "0123456789ab")
    assert "weights are random" in panel.card.warning.text() and panel.card.warning.isVisible()
    panel.card.copy.click()
    assert QGuiApplication.clipboard().text() == "0123456789abcdef" * 4


def test_the_card_names_what_is_held_beside_the_image(panel, session, runner, qtbot):
    runner.answers[LoadModel] = replace(runner.answers[LoadModel], held={"timestep": "400", "text": "4 × 16"})
    with qtbot.waitSignal(session.model_changed):
        session.open_model("test:small")
    row = panel.card.rows["Input"]
    assert row.full_text == "224 × 224 px, 3 channels, timestep 400, text 4 × 16"


def test_what_is_read_beside_the_image_is_changed_in_the_card(panel, session, runner, qtbot):
    further = {"prompt": ("turtle", "text that is read"), "timestep": ("400", "noise level, 0 to 999")}
    runner.answers[LoadModel] = replace(runner.answers[LoadModel], ref="bundled:diffusion?timestep=400", further=further)
    with qtbot.waitSignal(session.model_changed):
        session.open_model("bundled:diffusion?timestep=400")
    fields = {field.accessibleName(): field for field in panel.card.findChildren(QLineEdit)}
    assert {name: field.text() for name, field in fields.items()} == {"Prompt": "turtle", "Timestep": "400"}
    fields["Prompt"].setText("cats & dogs")
    fields["Timestep"].setText("20")
    with qtbot.waitSignal(session.model_changed):
        qtbot.keyClick(fields["Timestep"], Qt.Key.Key_Return)
    assert runner.asked(LoadModel)[-1].ref == "bundled:diffusion?timestep=20&prompt=cats %26 dogs"
    open_card, runner.answers[LoadModel] = runner.answers[LoadModel], ValueError("timestep=x is no number")
    (field,) = (field for field in panel.card.findChildren(QLineEdit) if field.accessibleName() == "Timestep")
    field.setText("x")
    with qtbot.waitSignal(session.message):
        qtbot.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: {f.text() for f in panel.card.findChildren(QLineEdit)} == {"turtle", "400"})
    runner.answers[LoadModel] = open_card
    runner.answers[LoadModel] = replace(runner.answers[LoadModel], further={})
    with qtbot.waitSignal(session.model_changed):
        session.open_model("test:small")
    qtbot.waitUntil(lambda: not panel.card.findChildren(QLineEdit))



def test_images_are_chosen_and_described(panel, session, runner, qtbot):
    assert "None open" in panel.images.about.full_text
    place = panel.images.box.findData("photos")
    panel.images.box.setCurrentIndex(place)
    panel.images.box.activated.emit(place)
    assert runner.asked(OpenImages) == [OpenImages("photos")]
    qtbot.waitUntil(lambda: session.images is not None)
    assert panel.images.about.full_text == "100 images (4 group)"
    assert panel.images.licence.full_text == "Licence: CC0"
    panel.images.box.setEditText("folder:/data/birds")
    QTest.keyClick(panel.images.box.lineEdit(), Qt.Key.Key_Return)
    assert runner.asked(OpenImages)[-1] == OpenImages("folder:/data/birds")


def test_a_reference_with_capitals_is_there_to_be_completed(panel, runner):
    box, line = panel.images.box, panel.images.box.lineEdit()
    for ref, gap, typed in (
        ("torchvision:NAME?root=PATH&download=true", "NAME", "torchvision:CIFAR10?root=PATH&download=true"),
        ("files:PATH;PATH", "PATH", "files:CIFAR10;PATH"),
    ):
        place = box.findData(ref)
        box.setCurrentIndex(place)
        box.activated.emit(place)
        assert line.text() == ref and line.selectedText() == gap and "capitals" in panel.images.about.full_text
        QTest.keyClicks(line, "CIFAR10")
        assert line.text() == typed
    assert not runner.asked(OpenImages)
    QTest.keyClick(line, Qt.Key.Key_Return)
    assert set(runner.asked(OpenImages)) == {OpenImages("files:CIFAR10;PATH")}


def names(tree, parent: QModelIndex | None = None) -> list[str]:
    parent = parent or QModelIndex()
    found = []
    for row in range(tree._shown.rowCount(parent)):
        index = tree._shown.index(row, 0, parent)
        found += [index.data(REF)] if index.data(REF) else []
        found += names(tree, index)
    return found


@pytest.fixture
def opened(panel, session, qtbot):
    with qtbot.waitSignal(session.model_changed):
        session.open_model("test:small")
    return panel


def test_layers_are_listed_in_order_and_select(opened, session):
    tree = opened.layers
    assert names(tree) == [layer.name for layer in session.model.layers]
    assert tree.tree.currentIndex().siblingAtColumn(0).data(REF) == session.layer
    shown = tree._rows["blocks.0.act"]
    cells = [shown.parent().child(shown.row(), column).text() for column in range(5)]
    assert cells == ["act", "32", "32×28×28", "post", "relu"]
    tree.tree.setCurrentIndex(tree._shown.mapFromSource(tree._rows["stem.act"].index()))
    assert session.layer == "stem.act"
    session.select_layer("head")
    assert tree.tree.currentIndex().siblingAtColumn(0).data(REF) == "head"
    QTest.keyClick(tree.tree, Qt.Key.Key_Up)
    assert session.layer != "head" or tree.tree.currentIndex().siblingAtColumn(0).data(REF) is None


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("post", ["stem.act", "blocks.0.act", "blocks.1.act"]),
        ("blocks.0", ["blocks.0.conv", "blocks.0.act", "blocks.0:add"]),
        ("blocks*act", ["blocks.0.act", "blocks.1.act"]),
        ("linear", ["head"]),
        ("(", []),
    ],
)
def test_layers_are_filtered_by_name_kind_and_role(opened, typed, found):
    opened.layers.field.setText(typed)
    assert names(opened.layers) == found


def test_a_filter_does_not_change_what_is_selected(opened, session):
    before = session.layer
    opened.layers.field.setText("head")
    opened.layers.field.setText("")
    assert session.layer == before


def test_another_model_replaces_the_layers(opened, session, runner, qtbot):
    runner.answers[LoadModel] = replace(
        runner.answers[LoadModel], ref="test:other", layers=(Layer("only", "conv2d", (8, 4, 4), 0),)
    )
    with qtbot.waitSignal(session.model_changed):
        session.open_model("test:other")
    assert names(opened.layers) == ["only"]
    assert session.layer == "only"
    assert opened.layers.count.text() == "1 layer"


def test_the_panel_remembers_how_it_is_divided(opened):
    opened.splitter.setSizes([200, 700])
    state = opened.save_state()
    opened.splitter.setSizes([400, 500])
    opened.restore_state(state)
    assert opened.save_state() == state
    opened.restore_state({"sizes": "nonsense"})


def test_numbers_are_written_for_people():
    assert count(999) == "999"
    assert count(1_200_000_000) == "1.2 billion (1,200,000,000)"
    assert numbers((0.485, 0.456, 0.406)) == "0.485 0.456 0.406"


def test_thousands_of_networks_are_listed_quickly(qtbot):
    import time

    tree = SourceTree()
    qtbot.addWidget(tree)
    many = tuple(SourceEntry(f"timm:net{i}", f"timm/family{i % 90}", f"net{i}") for i in range(1600))
    began = time.perf_counter()
    tree.fill(many)
    filled = time.perf_counter() - began
    began = time.perf_counter()
    tree.field.setText("timm:net15*")
    filtered = time.perf_counter() - began
    assert len(tree._references()) == 111
    assert filled < 0.5 and filtered < 0.25, (filled, filtered)
