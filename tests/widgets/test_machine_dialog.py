"""Choosing where to compute, and emptying the store."""

from __future__ import annotations

from pathlib import Path

import pytest
from shiboken6 import isValid

from widgets.machine_dialog import MachineDialog
from workbench.jobs.machine import CleanStore, ComputeOn, DescribeMachine, EstimateSweep, MachineCard, SweepCost
from workbench.models.device import Device

DEVICES = (
    Device("cuda:0", "Big One", 24_000_000_000, ("fp32", "tf32", "bf16")),
    Device("cpu", "Processor, 2 threads", 0, ("fp32",)),
)
KEPT = {"results": 3_000, "thumbnails": 12_400_000, "sweeps": 0}


@pytest.fixture
def dialog(session, runner, qtbot):
    runner.answers[DescribeMachine] = MachineCard(DEVICES, "auto", "fp32", KEPT, "/somewhere/cache")
    made = MachineDialog(session)
    made.open()
    qtbot.waitUntil(lambda: made.device.count() == 3, timeout=10_000)
    yield made
    if isValid(made):
        made.close()


def test_it_says_what_there_is(dialog):
    assert [dialog.device.itemText(i) for i in range(3)] == [
        "The fastest there is (cuda:0)",
        "cuda:0: Big One, 24 GB",
        "cpu: Processor, 2 threads",
    ]
    assert dialog.parts["thumbnails"].text() == "Feature visualizations: 12 MB"
    assert dialog.place.text() == "/somewhere/cache"
    assert not dialog.parts["sweeps"].isEnabled()
    assert not dialog.use.isEnabled() and not dialog.clean.isEnabled()


def test_only_numbers_that_the_device_multiplies_are_offered(dialog):
    assert dialog.arithmetic.count() == 3
    dialog.arithmetic.setCurrentIndex(dialog.arithmetic.findData("bf16"))
    assert "results say so" in dialog.meaning.text()
    dialog.device.setCurrentIndex(dialog.device.findData("cpu"))
    assert dialog.arithmetic.count() == 1 and dialog.arithmetic.currentData() == "fp32"
    assert "nothing shorter" in dialog.meaning.text()


def test_a_choice_is_handed_on_and_a_device_that_fails_is_named(dialog, runner, qtbot):
    dialog.device.setCurrentIndex(dialog.device.findData("cuda:0"))
    dialog.arithmetic.setCurrentIndex(dialog.arithmetic.findData("tf32"))
    dialog.use.click()
    assert runner.asked(ComputeOn) == [ComputeOn("cuda:0", "tf32")]
    runner.tell(max(runner.requests), "failed", error="device 'cuda:0': there is none on this machine")
    qtbot.waitUntil(lambda: "none on this machine" in dialog.said.text())
    dialog.use.click()
    runner.tell(max(runner.requests), "done", result=MachineCard(DEVICES, "cuda:0", "tf32", KEPT, "/somewhere/cache"))
    qtbot.waitUntil(lambda: not dialog.use.isEnabled())


def test_what_is_ticked_is_deleted(dialog, runner, qtbot):
    dialog.parts["thumbnails"].setChecked(True)
    assert dialog.clean.text() == "Delete 12 MB"
    dialog.clean.click()
    assert runner.asked(CleanStore) == [CleanStore(("thumbnails",))]
    emptied = MachineCard(DEVICES, "auto", "fp32", KEPT | {"thumbnails": 0}, "/somewhere/cache")
    runner.tell(max(runner.requests), "done", result=emptied)
    qtbot.waitUntil(lambda: dialog.said.text() == "Deleted.")
    assert dialog.parts["thumbnails"].text() == "Feature visualizations: nothing"
    assert not dialog.clean.isEnabled()


def test_the_window_remembers_the_choice_and_marks_rough_numbers(make_window, runner, settings, qtbot):
    settings.computing = ("cuda:0", "bf16")
    window = make_window(worker=False)
    qtbot.waitUntil(lambda: bool(runner.asked(ComputeOn)))
    assert runner.asked(ComputeOn) == [ComputeOn("cuda:0", "bf16")]
    job = next(job for job, request in runner.requests.items() if isinstance(request, ComputeOn))
    with qtbot.waitSignal(window.session.computing_changed):
        runner.tell(job, "done", result=MachineCard(DEVICES, "cuda:0", "bf16", KEPT, "/somewhere/cache"))
    assert window.statusBar()._computing.text() == "cuda:0  ·  bf16: sweeps are not exact"


def test_a_device_that_is_gone_is_given_up(make_window, runner, settings, qtbot):
    settings.computing = ("cuda:0", "bf16")
    window = make_window(worker=False)
    qtbot.waitUntil(lambda: bool(runner.asked(ComputeOn)))
    job = next(job for job, request in runner.requests.items() if isinstance(request, ComputeOn))
    with qtbot.waitSignal(window.session.message) as told:
        runner.tell(job, "failed", error="device 'cuda:0': there is none on this machine")
    assert "fastest" in told.args[0].text
    assert settings.computing == ("auto", "fp32")


def test_requests_do_what_they_say(tmp_path: Path):
    from workbench.jobs.engine import Engine
    from workbench.jobs.store import Store
    from workbench.task import Task

    engine = Engine(Store(tmp_path))
    (engine.store.folder("x") / "a").write_bytes(bytes(1000))
    card = DescribeMachine().run(engine, Task())
    assert card.devices[-1].name == "cpu" and card.kept["sweeps"] == 1000 and card.device == "auto"
    cost = EstimateSweep("bundled:planted/curve_net", "stimuli:curves", ("input",)).run(engine, Task())
    assert isinstance(cost, SweepCost) and 0 < cost.seconds < 3600 and 1_000 < cost.bytes < 1e6
    assert ComputeOn("cpu", "fp32").run(engine, Task()).device == "cpu"
    assert CleanStore(("sweeps",)).run(engine, Task()).kept["sweeps"] == 0
