"""A unit at every checkpoint: its kernel for the pixels, its picture, and what is made ready for a slider."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.input_error import InputError
from workbench.jobs.checkpoint_requests import DescribeTrainings, PrepareCheckpoints, UnitFilm, kernel_picture
from workbench.jobs.engine import Engine
from workbench.jobs.store import Store
from workbench.jobs.thumbnail_requests import Thumbnails
from workbench.models.kernel_site import KernelSite
from workbench.models.layer import Unit
from workbench.models.loading import load
from workbench.task import Task

FIRST, LAST = "bundled:inception?step=0&seed=0", "bundled:inception?step=4000&seed=0"


class Heard(Task):
    """Keeps what a request tells on its way."""

    def __init__(self) -> None:
        self.partials: list[object] = []

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        self.partials += [partial] * (partial is not None)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(Store(tmp_path_factory.mktemp("cache")))


def test_the_trainings_of_a_network_are_described(engine: Engine) -> None:
    first = DescribeTrainings("bundled:inception").run(engine, Task())[0]
    assert (first.refs[0], first.refs[4000]) == (FIRST, LAST) and first.final == "bundled:inception"
    with pytest.raises(InputError, match="no checkpoints are kept"):
        DescribeTrainings("bundled:planted/curve_net").run(engine, Task())


def test_a_first_layers_film_is_its_kernel_at_each_checkpoint(engine: Engine) -> None:
    task = Heard()
    frames = UnitFilm(((0, FIRST), (4000, LAST)), "conv2d0", 3).run(engine, task)
    assert [list(partial) for partial in task.partials] == [[0], [4000]]
    for step, ref in ((0, FIRST), (4000, LAST)):
        model = load(ref)
        site, index = KernelSite.of(model, Unit("conv2d0", 3))
        kernel, _ = site.kernel(model, index)
        shown = frames[step].astype(float).transpose(2, 0, 1) / 255 - 0.5
        assert shown.shape == kernel.shape == (3, 7, 7)
        assert np.corrcoef(shown.ravel(), kernel.ravel())[0, 1] > 0.999, "in pixels, whatever the scale"
    assert not engine.has_model(FIRST), "no network gave way for it"
    assert kernel_picture(load(LAST), "conv2d2", 1, Task()).shape == (19, 19, 3), "what it sees of the image"


def test_what_was_made_ready_is_what_the_grid_finds(engine: Engine) -> None:
    assert PrepareCheckpoints((LAST,), "conv2d0", (2, 5)).run(engine, Task()) == 2
    asked = Thumbnails(LAST, "conv2d0", (2, 5))
    kept = {unit: engine.store.load_thumbnail(asked.analysis((unit,)).key(load(LAST)), 1) for unit in (2, 5)}
    assert all(images is not None and images.shape == (1, 64, 64, 3) for images in kept.values())
    frame = UnitFilm(((4000, LAST),), "conv2d0", 5, "visualization").run(engine, Task())[4000]
    assert np.array_equal(frame, kept[5][0])


def test_a_checkpoint_is_read_once_until_it_may_be_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, read = Engine(Store(tmp_path)), []
    monkeypatch.setattr("workbench.models.loading.load", lambda ref, **_: read.append(ref) or load(ref))
    first = engine.glance(FIRST)
    assert engine.glance(FIRST) is first and read == [FIRST]
    for changes in (lambda: engine.forget(FIRST), lambda: engine.compute_on("cpu", "fp32"), lambda: engine.glance(LAST)):
        changes()
        assert engine.glance(FIRST) is not first
        first = engine.glance(FIRST)
    assert read == [FIRST] * 3 + [LAST, FIRST]


def test_a_film_of_what_is_not_there_says_so(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has units 0 to 23, not 99"):
        UnitFilm(((0, FIRST),), "conv2d0", 99).run(engine, Task())
