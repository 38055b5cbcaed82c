"""Training through the worker: pause, go on, stop, what lies on disk, and looking meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from workbench.jobs.engine import Engine
from workbench.jobs.job import JobEvent, Request
from workbench.jobs.requests import FetchImages, RunAnalysis
from workbench.jobs.runner import Runner
from workbench.jobs.runs import RunCard, find_runs, read_run
from workbench.jobs.store import Store
from workbench.jobs.training_requests import DescribeRecipes, ListRuns, Train
from workbench.task import Cancelled, Task
from workbench.training.recipe import recipe
from workbench.training.trainer import Progress


class Worker:
    """A runner with the events it sent."""

    def __init__(self, folder: Path) -> None:
        self.events: list[JobEvent] = []
        self.changed = threading.Condition()
        self.react: Callable[[JobEvent], None] = lambda event: None
        self.runner = Runner(self.deliver, lambda: Engine(Store(folder)))

    def deliver(self, event: JobEvent) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()
        self.react(event)

    def of(self, job: int) -> list[JobEvent]:
        return [event for event in self.events if event.job == job]

    def end(self, job: int) -> JobEvent:
        """Wait for a job's last event."""
        with self.changed:
            assert self.changed.wait_for(lambda: any(event.ended for event in self.of(job)), 120)
        return self.of(job)[-1]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path / "cache")
    yield made
    assert made.runner.close(30)


@pytest.fixture
def drawings(tmp_path: Path) -> str:
    random = np.random.default_rng(0)
    for index in range(24):
        path = tmp_path / "drawings" / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (16, 16, 3), np.uint8)).save(path)
    return f"folder:{tmp_path / 'drawings'}"


def request(drawings: str, folder: Path, **settings: Any) -> Train:
    small = {"images": drawings, "column": "label", "size": 16, "batch": 8, "steps": 24, "checkpoints": 2}
    return Train("resnet", small | settings, folder, "cpu", "fp32")


class Record(Task):
    """Keeps all steps; cancels when `unwanted` says so."""

    def __init__(self, unwanted: Callable[[float, str], bool] = lambda done, note: False) -> None:
        self.partials: list[object] = []
        self.done: list[float] = []
        self.unwanted = unwanted

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        self.done.append(done)
        self.partials += [partial] * (partial is not None)
        if self.unwanted(done, note):
            raise Cancelled


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(Store(tmp_path / "cache"))


def test_every_recipe_is_described_and_a_named_one_needs_nothing_more(engine: Engine) -> None:
    cards = {card.name: card for card in DescribeRecipes().run(engine, Task())}
    assert {"resnet", "Classifier", "diffusion", "clip"} <= set(cards)
    assert cards["resnet"].title == "Image classifier" and "cross-entropy" in cards["resnet"].help
    assert cards["resnet"].schema["required"] == [] and cards["Classifier"].schema["required"] == ["network"]
    assert cards["resnet"].schema["properties"]["network"]["default"] == "resnet"
    for name, card in cards.items():
        if not card.schema["required"]:
            defaults = {field: part["default"] for field, part in card.schema["properties"].items()}
            assert recipe(name, defaults) == recipe(name), name


def test_a_run_gives_curves_and_its_last_figures(engine: Engine, drawings: str, tmp_path: Path) -> None:
    task, folder = Record(), tmp_path / "runs" / "one"
    card = request(drawings, folder).run(engine, task).run
    assert (card.folder, card.recipe, card.step, card.steps) == (folder, "Classifier", 24, 24)
    assert set(card.figures) == {"loss", "accuracy"} and card.figures["loss"] > 0
    assert card.curves["loss"][0] == [10, 20, 24]
    assert [p.step for p in task.partials if isinstance(p, Progress)] == [10, 20]
    assert ListRuns(tmp_path / "runs").run(engine, Task()) == (card,)


def test_a_finished_run_is_measured_and_says_what_could_not_be_read(engine: Engine, drawings: str, tmp_path: Path) -> None:
    broken = tmp_path / "drawings" / "a" / "0.png"
    broken.write_bytes(b"")
    notes: list[tuple[float, str]] = []
    task = Record(lambda done, note: notes.append((done, note)) is not None)
    trained = request(drawings, tmp_path / "run", steps=4).run(engine, task)
    assert {"train_top1", "test_top1", "test_images"} <= set(trained.measured)
    assert trained.measured["train_images"] + trained.measured["test_images"] == 23
    assert trained.skipped == "skipped 1 unreadable image: a/0.png (is empty (0 bytes))"
    assert {done for done, note in notes if note.startswith("measuring")} == {4}, "it is no update more"
    with pytest.raises(Cancelled):
        request(drawings, tmp_path / "other", steps=4).run(engine, Record(lambda done, note: note.startswith("measuring")))
    assert read_run(tmp_path / "other").step == 4
    part = replace(request(drawings, tmp_path / "part"), until=3).run(engine, Task())
    assert part.run.step == 3 and part.measured == {}


def test_two_panels_that_list_runs_at_once_are_both_answered(worker: Worker, tmp_path: Path) -> None:
    held = threading.Event()

    @dataclass(frozen=True)
    class Wait(Request):
        title: ClassVar[str] = "Wait"

        def run(self, engine: Engine, task: Task) -> None:
            held.wait(60)

    worker.runner.submit(Wait())
    asked = [worker.runner.submit(ListRuns(tmp_path / name)) for name in ("one", "two")]
    held.set()
    assert [worker.end(job).state for job in asked] == ["done", "done"]


def test_what_was_stopped_goes_on_from_there_under_the_kind_it_is_listed_as(
    engine: Engine, drawings: str, tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        request(drawings, tmp_path / "run").run(engine, Record(lambda done, note: done == 13))
    card = read_run(tmp_path / "run")
    assert card.step == 13 and card.curves["loss"][0] == [10]
    task = Record()
    done = Train(card.recipe, card.settings, card.folder, "cpu", "fp32").run(engine, task)
    assert list(dict.fromkeys(task.done[task.done.index(14) :])) == list(range(14, 25)), "measured at the last"
    assert done.run.step == 24


def test_nothing_is_kept_of_what_was_cancelled_before_it_began(engine: Engine, drawings: str, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        request(drawings, tmp_path / "run").run(engine, Record(lambda done, note: True))
    assert not (tmp_path / "run").exists()
    (tmp_path / "own").mkdir()  # a folder of the user's stays
    with pytest.raises(Cancelled):
        request(drawings, tmp_path / "own").run(engine, Record(lambda done, note: True))
    assert list((tmp_path / "own").iterdir()) == []


def test_through_the_worker_it_pauses_goes_on_and_lets_everything_else_in(
    worker: Worker, drawings: str, tmp_path: Path
) -> None:
    looked: list[int] = []

    def look_and_pause(event: JobEvent) -> None:
        if isinstance(event.request, Train) and isinstance(event.partial, Progress) and not looked:
            looked.append(worker.runner.submit(FetchImages(drawings, (0,), (16, 16))))
            looked.append(worker.runner.submit(RunAnalysis("Missing", {}, "test:none")))  # of the long lane
            looked.append(event.job)

    worker.react = look_and_pause
    wanted = request(drawings, tmp_path / "run", steps=5000)
    job = worker.runner.submit(wanted)
    with worker.changed:
        assert worker.changed.wait_for(lambda: len(looked) == 3, 120)
    assert worker.end(looked[0]).state == "done"
    assert worker.end(looked[1]).state == "failed"
    assert not any(event.ended for event in worker.of(job))
    worker.runner.cancel(job)
    assert worker.end(job).state == "cancelled"
    paused = read_run(tmp_path / "run")
    assert 10 <= paused.step < 5000
    again = worker.runner.submit(wanted)
    with worker.changed:
        assert worker.changed.wait_for(lambda: any(e.partial for e in worker.of(again)), 120)
    first = next(event.partial for event in worker.of(again) if event.partial)
    assert isinstance(first, Progress) and paused.step < first.step <= paused.step + 10
    assert first.curves["loss"][0][: len(paused.curves["loss"][0])] == paused.curves["loss"][0]
    newer = worker.runner.submit(wanted)  # of one folder there is one run
    assert worker.end(again).state == "cancelled"
    worker.runner.cancel(newer)
    assert worker.end(newer).state == "cancelled"


@pytest.mark.parametrize(
    ("settings", "device", "said"),
    [
        ({"steps": 0}, "cpu", "resnet: steps: Input should be greater than or equal to 1"),
        ({"column": "none"}, "cpu", "has no column 'none'; it has label"),
        ({}, "cuda:9", "device 'cuda:9': there is none on this machine"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    worker: Worker, drawings: str, tmp_path: Path, settings: dict[str, Any], device: str, said: str
) -> None:
    right = request(drawings, tmp_path / "run", **settings)
    event = worker.end(worker.runner.submit(Train(right.recipe, right.settings, right.folder, device, "fp32")))
    assert event.state == "failed" and said in event.error and "\n" not in event.error
    assert not (tmp_path / "run").exists()


def test_a_damaged_run_is_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, text in (("a", "{"), ("b", "{}"), ("c", '{"kind": "Classifier", "parameters": {"steps": 4}}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.json").write_text(text, encoding="utf-8")
    (tmp_path / "d").mkdir()
    [only] = find_runs(tmp_path)
    assert isinstance(only, RunCard) and (only.folder.name, only.step, only.steps, only.figures) == ("c", 0, 4, {})
    assert len(caplog.messages) == 2 and "cannot read the run in" in caplog.messages[0]
    assert find_runs(tmp_path / "none") == ()
