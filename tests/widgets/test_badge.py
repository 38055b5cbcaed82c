"""What must be known of the images stands beside every figure made from them, and what is published of a unit with its own names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QWidget

from tests.widgets.conftest import CARD
from widgets.badge import Badge
from widgets.export import export_view
from widgets.unit_card.distribution import Distribution
from widgets.unit_names import UnitNames
from widgets.views.histogram import Histogram
from workbench.jobs.requests import ImageSetCard, LoadModel, OpenImages
from workbench.models.layer import Layer, Unit
from workbench.models.published_families import INCEPTION5H

EMOJI = ImageSetCard("emoji", "Emoji", 100, {}, "", "0" * 32, "emoji")
PHOTOS = replace(EMOJI, ref="photos", depicts="photographs")
IMAGENET = replace(CARD, origin="pip package such-and-such, trained on ImageNet-1k")


@pytest.fixture
def mixed(session, runner, qtbot):
    """A network trained on photographs, and emoji."""
    runner.answers[LoadModel] = IMAGENET
    runner.answers[OpenImages] = EMOJI
    session.open_model("test:small")
    session.open_images("emoji")
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)
    return session


def test_the_badge_comes_and_goes_with_the_images(mixed, runner, qtbot):
    around = QWidget()
    qtbot.addWidget(around)
    badge = Badge(mixed, around)
    assert badge.text() == "Emoji are not what this network was trained on (ImageNet)" and not badge.isHidden()
    runner.answers[OpenImages] = PHOTOS
    with qtbot.waitSignal(mixed.images_changed):
        mixed.open_images("photos")
    assert badge.isHidden() and mixed.badge == ""


def test_a_figure_of_images_carries_it_and_one_without_does_not(mixed, qtbot):
    section = Distribution(mixed)
    qtbot.addWidget(section)
    section.show_unit(Unit(mixed.layer, 0))
    assert section.made_from(images="emoji")["badge"] == mixed.badge
    assert "badge" not in section.made_from(method="feature visualization")


def test_an_exported_figure_says_it_in_a_line_of_its_own(qtbot, tmp_path):
    view = Histogram()
    qtbot.addWidget(view)
    sizes = {}
    for badge in ("", "emoji are not what this network was trained on (ImageNet)"):
        view.show_counts(np.arange(4), np.array([5, 2, 1]), title="t", label="l", made_from={"badge": badge} if badge else {})
        export_view(view, tmp_path / "a.png")
        image = QImage(str(tmp_path / "a.png"))
        sizes[badge] = image.height()
        line = [image.pixelColor(x, image.height() - 30).name() for x in range(0, 800)]
        assert ("#c8500a" in line) == bool(badge)
    assert max(sizes.values()) == min(sizes.values()) + 64


def test_units_of_inceptionv1_go_by_their_published_names(session, runner, qtbot):
    layer = Layer("mixed3b", "cat", (480, 28, 28), 0)
    runner.answers[LoadModel] = replace(CARD, origin=INCEPTION5H, layers=(layer, *CARD.layers))
    with qtbot.waitSignal(session.model_changed):
        session.open_model("test:small", layer="mixed3b")
    names = UnitNames(session)
    assert names.labels(379) and names.captions()[379] == names.labels(379)[0]
    word = names.labels(379)[0].split()[0]
    assert 379 in names.matching(word, 480) and len(names.matching(word, 480)) < 480


def test_other_weights_have_no_published_names(session, runner, qtbot):
    layer = Layer("mixed3b", "cat", (480, 28, 28), 0)
    runner.answers[LoadModel] = replace(CARD, origin="random weights, seed 0", layers=(layer, *CARD.layers))
    with qtbot.waitSignal(session.model_changed):
        session.open_model("test:small", layer="mixed3b")
    assert UnitNames(session).labels(379) == [] and UnitNames(session).captions() == {}
