"""The worker: order, newest wins, cancel, nesting, progress, errors, shut-down."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest

from workbench.input_error import InputError
from workbench.jobs.job import JobEvent, Lane, Request, seal
from workbench.jobs.progress import Progress
from workbench.jobs.runner import Runner
from workbench.task import Cancelled, Task


class FakeEngine:
    """Stands in for the engine: the runner asks no more of it than this."""

    def __init__(self) -> None:
        self.made_in = threading.current_thread()
        self.closed_in: threading.Thread | None = None
        self.isolations = 0

    def isolated(self) -> AbstractContextManager[None]:
        self.isolations += 1
        return nullcontext()

    def close(self) -> None:
        self.closed_in = threading.current_thread()


@dataclass(frozen=True)
class Long(Request):
    """Calls `work(task)`."""

    work: Callable[[Task], object]
    name: str = "long"
    replaces: str = ""
    on_screen: bool = False

    @property
    def title(self) -> str:
        return self.name

    @property
    def key(self) -> str:
        return self.replaces

    @property
    def precedence(self) -> int:
        return 1 if self.on_screen else 2

    def run(self, engine: Any, task: Task) -> object:
        return self.work(task)


@dataclass(frozen=True)
class Click(Long):
    lane: ClassVar[Lane] = "interactive"

    @property
    def precedence(self) -> int:
        return -1


@dataclass
class Log:
    """All events, and a way to wait for one."""

    events: list[tuple[float, JobEvent]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, event: JobEvent) -> None:
        with self.changed:
            self.events.append((time.monotonic(), event))
            self.changed.notify_all()

    def of(self, job: int) -> list[JobEvent]:
        return [event for _, event in self.events if event.job == job]

    def states(self, job: int) -> list[str]:
        return [event.state for event in self.of(job) if event.state != "progress"]

    def wait(self, job: int, *states: str) -> JobEvent:
        wanted = states or ("done", "failed", "cancelled")

        def found() -> JobEvent | None:
            return next((e for e in self.of(job) if e.state in wanted), None)

        with self.changed:
            assert self.changed.wait_for(found, 10), f"job {job} never became {wanted}: {self.of(job)}"
            event = found()
        assert event is not None
        return event

    def order(self, state: str) -> list[str]:
        return [event.request.title for _, event in self.events if event.state == state]


@contextmanager
def running(engine: Callable[[], Any] = FakeEngine) -> Iterator[tuple[Runner, Log]]:
    log = Log()
    runner = Runner(log, engine)
    try:
        yield runner, log
    finally:
        assert runner.close(10)


def until(stop: threading.Event, steps: float = 0.002) -> Callable[[Task], str]:
    """Work that steps until `stop` is set."""

    def work(task: Task) -> str:
        n = 0
        while not stop.is_set():
            time.sleep(steps)
            n += 1
            task.step(n, 0)
        return "finished"

    return work


def hold(runner: Runner, log: Log) -> threading.Event:
    """Keep the worker busy in one job without steps until the event is set."""
    gate = threading.Event()
    log.wait(runner.submit(Long(lambda task: gate.wait(10), "gate")), "running")
    return gate


def test_result_and_states() -> None:
    with running() as (runner, log):
        job = runner.submit(Long(lambda task: {"x": np.arange(3)}))
        event = log.wait(job)
        assert event.state == "done"
        assert isinstance(event.result, dict) and event.result["x"].tolist() == [0, 1, 2]
        assert log.states(job) == ["queued", "running", "done"]


def test_engine_is_made_and_closed_in_the_worker() -> None:
    made: list[FakeEngine] = []

    def factory() -> FakeEngine:
        made.append(FakeEngine())
        return made[-1]

    with running(factory) as (runner, log):
        assert not made
        for _ in range(3):
            log.wait(runner.submit(Long(lambda task: None)))
    assert len(made) == 1
    assert made[0].made_in is made[0].closed_in is not threading.main_thread()


def test_a_failing_engine_fails_the_job_and_is_tried_again() -> None:
    attempts = iter((OSError("no torch here"), None))

    def factory() -> FakeEngine:
        error = next(attempts)
        if error:
            raise error
        return FakeEngine()

    with running(factory) as (runner, log):
        job = runner.submit(Long(lambda task: 1))
        assert log.wait(job).error == "no torch here"
        assert log.wait(runner.retry(job)).state == "done"


def test_what_is_asked_for_while_the_engine_is_made_goes_by_its_precedence() -> None:
    begun, go = threading.Event(), threading.Event()

    def factory() -> FakeEngine:
        begun.set()
        assert go.wait(10)
        return FakeEngine()

    with running(factory) as (runner, log):
        runner.submit(Long(lambda task: None, "first, but not urgent"))
        unwanted = runner.submit(Long(lambda task: None, "cancelled meanwhile"))
        assert begun.wait(10)
        last = runner.submit(Click(lambda task: None, "at once"))
        runner.cancel(unwanted)
        assert log.wait(unwanted).state == "cancelled", "without waiting for the engine"
        go.set()
        log.wait(last)
        log.wait(1)
    assert log.order("running") == ["at once", "first, but not urgent"]


def test_long_jobs_in_order_interactive_first() -> None:
    with running() as (runner, log):
        gate = hold(runner, log)
        jobs = [runner.submit(Long(lambda task: None, name)) for name in "ab"]
        jobs.append(runner.submit(Long(lambda task: None, "screen", on_screen=True)))
        jobs += [runner.submit(Click(lambda task: None, name)) for name in "xy"]
        gate.set()
        for job in jobs:
            log.wait(job)
        assert log.order("done") == ["gate", "x", "y", "screen", "a", "b"]


@pytest.mark.parametrize("kind", [Click, Long])
def test_newest_wins_while_queued(kind: type[Long]) -> None:
    with running() as (runner, log):
        gate = hold(runner, log)
        jobs = [runner.submit(kind(lambda task, i=i: i, replaces="unit")) for i in range(5)]
        other = runner.submit(kind(lambda task: "kept", replaces="another key"))
        keyless = [runner.submit(kind(lambda task: "kept")) for _ in range(2)]
        # At once, in the submitting thread.
        assert [log.states(job)[-1] for job in jobs] == ["cancelled"] * 4 + ["queued"]
        gate.set()
        assert log.wait(jobs[-1]).result == 4
        assert all(log.wait(job).state == "done" for job in [other, *keyless])
        assert all(log.states(job) == ["queued", "cancelled"] for job in jobs[:-1])


def test_newest_wins_while_running() -> None:
    with running() as (runner, log):
        old = runner.submit(Long(until(threading.Event()), replaces="thumbnails"))
        log.wait(old, "running")
        new = runner.submit(Long(lambda task: "new", replaces="thumbnails"))
        assert log.wait(new).result == "new"
        assert log.states(old) == ["queued", "running", "cancelled"]


def test_superseded_after_its_last_step_gives_no_stale_answer() -> None:
    with running() as (runner, log):
        gate = threading.Event()
        old = runner.submit(Click(lambda task: gate.wait(10), replaces="unit"))
        log.wait(old, "running")
        new = runner.submit(Click(lambda task: "new", replaces="unit"))
        gate.set()
        log.wait(new)
        assert log.states(old)[-1] == "cancelled"


def test_cancel_is_seen_within_100_ms_of_a_steps_end() -> None:
    with running() as (runner, log):
        stepped: list[float] = []

        def work(task: Task) -> None:
            while True:
                time.sleep(0.03)
                stepped.append(time.monotonic())
                task.step(len(stepped), 0)

        delays = []
        for _ in range(5):
            job = runner.submit(Long(work))
            log.wait(job, "progress")
            time.sleep(0.01)
            asked = time.monotonic()
            runner.cancel(job)
            log.wait(job)
            ended = next(t for t, e in log.events if e.job == job and e.state == "cancelled")
            first_step_after = next(t for t in stepped if t >= asked)
            delays.append(ended - first_step_after)
            assert first_step_after == stepped[-1]  # the very next step, not a later one
        assert max(delays) < 0.1


def test_cancel_of_a_queued_job_never_runs_it() -> None:
    with running() as (runner, log):
        gate = hold(runner, log)
        ran: list[int] = []
        job = runner.submit(Long(lambda task: ran.append(1)))
        runner.cancel(job)
        assert log.states(job) == ["queued", "cancelled"]
        gate.set()
        log.wait(runner.submit(Long(lambda task: None)))
        assert not ran
        runner.cancel(job)  # a job that has ended: nothing happens
        runner.cancel(12345)
        assert log.states(job) == ["queued", "cancelled"]


def test_interactive_runs_inside_a_long_jobs_step() -> None:
    engine = FakeEngine()
    with running(lambda: engine) as (runner, log):
        inside: list[str] = []
        stop = threading.Event()

        def sweep(task: Task) -> str:
            n = 0
            while not stop.is_set():
                inside.append("sweep")
                n += 1
                task.step(n, 0)
                inside.append("back")
                time.sleep(0.001)
            return "swept"

        long = runner.submit(Long(sweep))
        log.wait(long, "running")
        answer = log.wait(runner.submit(Click(lambda task: inside.append("click") or "clicked")))
        assert answer.result == "clicked"
        assert log.states(long) == ["queued", "running"]  # still at work
        at = inside.index("click")
        assert inside[at - 1] == "sweep" and inside[at + 1] == "back"
        assert engine.isolations == 1
        stop.set()
        assert log.wait(long).result == "swept"


def test_a_failing_interactive_job_leaves_the_long_one_alone() -> None:
    with running() as (runner, log):
        stop = threading.Event()
        long = runner.submit(Long(until(stop)))
        log.wait(long, "running")

        def fail(task: Task) -> None:
            raise InputError("no such unit")

        assert log.wait(runner.submit(Click(fail))).error == "no such unit"
        click = runner.submit(Click(until(threading.Event())))
        log.wait(click, "running")
        runner.cancel(click)
        assert log.wait(click).state == "cancelled"
        stop.set()
        assert log.wait(long).result == "finished"


def test_three_deep_and_never_inside_an_equal() -> None:
    with running() as (runner, log):
        stops = [threading.Event() for _ in range(3)]
        sweep = runner.submit(Long(until(stops[0]), "sweep"))
        log.wait(sweep, "running")
        screen = runner.submit(Long(until(stops[1]), "screen", on_screen=True))
        log.wait(screen, "running")
        second = runner.submit(Long(lambda task: None, "second screen", on_screen=True))
        queued = runner.submit(Long(lambda task: None, "queued sweep"))
        assert log.wait(runner.submit(Click(lambda task: 1, "click"))).result == 1
        assert log.states(second) == log.states(queued) == ["queued"]
        stops[1].set()
        log.wait(second)
        assert log.states(queued) == ["queued"]
        stops[0].set()
        log.wait(queued)
        assert log.order("done") == ["click", "screen", "second screen", "sweep", "queued sweep"]


def test_cancelling_a_suspended_job_is_told_at_once() -> None:
    with running() as (runner, log):
        stop = threading.Event()
        sweep = runner.submit(Long(until(threading.Event()), "sweep"))
        log.wait(sweep, "running")
        screen = runner.submit(Long(until(stop), "screen", on_screen=True))
        log.wait(screen, "running")
        runner.cancel(sweep)
        assert log.states(sweep)[-1] == "cancelled"
        stop.set()
        assert log.wait(screen).result == "finished"
        log.wait(runner.submit(Long(lambda task: None)))
        assert log.states(sweep).count("cancelled") == 1
        assert [e.state for e in log.of(sweep)][-1] == "cancelled"


def test_time_lent_does_not_slow_the_rate() -> None:
    with running() as (runner, log):
        begun = threading.Event()

        def sweep(task: Task) -> None:
            for n in range(60):
                time.sleep(0.005)
                task.step(n + 1, 60)
                if n == 20:
                    begun.set()

        long = runner.submit(Long(sweep))
        begun.wait(5)
        log.wait(runner.submit(Click(lambda task: time.sleep(1.0))))
        assert log.wait(long).rate > 60 / 1.0  # about 190 a second; with the second in it, it would be about 45


def test_progress_is_throttled() -> None:
    with running() as (runner, log):

        def work(task: Task) -> None:
            end = time.monotonic() + 0.5
            n = 0
            while time.monotonic() < end:
                n += 1
                task.step(n, 0, note="counting")

        job = runner.submit(Long(work))
        log.wait(job)
        progress = [event for event in log.of(job) if event.state == "progress"]
        assert 5 <= len(progress) <= 11
        assert progress[0].note == "counting" and progress[-1].rate > 1000


def test_partial_results_are_merged_and_never_lost() -> None:
    with running() as (runner, log):

        def work(task: Task) -> None:
            for n in range(400):
                task.step(n, 400, {n: n, "newest": n})
                time.sleep(0.0005)

        job = runner.submit(Long(work))
        log.wait(job)
        partials = [event.partial for event in log.of(job) if event.state == "progress" and event.partial]
        assert len(partials) < 40
        seen: dict[Any, Any] = {}
        for partial in partials:
            assert isinstance(partial, dict)
            assert not (partial.keys() - {"newest"}) & seen.keys()  # each is told once
            seen |= partial
        assert seen == {n: n for n in range(400)} | {"newest": 399}
        assert log.of(job)[-1].state == "done"


def test_partials_that_cannot_be_merged_go_out_at_once() -> None:
    with running() as (runner, log):

        def work(task: Task) -> None:
            for n in range(20):
                task.step(n, 20, np.full(2, n))

        job = runner.submit(Long(work))
        log.wait(job)
        partials = [event.partial for event in log.of(job) if event.partial is not None]
        assert [int(p[0]) for p in partials if isinstance(p, np.ndarray)] == list(range(20))


def test_partials_before_a_cancel_are_delivered() -> None:
    with running() as (runner, log):

        def work(task: Task) -> None:
            for n in range(3):
                task.step(n, 3, {n: n})
            raise Cancelled

        job = runner.submit(Long(work))
        log.wait(job)
        seen = {k: v for event in log.of(job) if isinstance(event.partial, dict) for k, v in event.partial.items()}
        assert seen == {0: 0, 1: 1, 2: 2}
        assert log.states(job)[-1] == "cancelled"


def test_errors_have_one_line_and_details() -> None:
    with running() as (runner, log):

        def bad_value(task: Task) -> None:
            raise InputError("no layer 'mixed9'\n  did you mean mixed3b?")

        def bug(task: Task) -> None:
            raise KeyError("mixed9")

        def leave(task: Task) -> None:
            sys.exit(3)

        event = log.wait(runner.submit(Long(bad_value)))
        assert (event.state, event.error) == ("failed", "no layer 'mixed9' did you mean mixed3b?")
        assert "Traceback" in event.details and "bad_value" in event.details
        assert log.wait(runner.submit(Long(bug))).error == "KeyError: 'mixed9'"
        assert log.wait(runner.submit(Long(leave))).error == "SystemExit: 3"
        assert log.wait(runner.submit(Long(lambda task: "alive"))).result == "alive"


def test_retry() -> None:
    with running() as (runner, log):
        answers = iter((None, "second time"))

        def work(task: Task) -> object:
            answer = next(answers)
            if answer is None:
                raise OSError("disk full")
            return answer

        first = runner.submit(Long(work))
        assert log.wait(first).state == "failed"
        second = runner.retry(first)
        assert second != first and log.wait(second).result == "second time"
        for job in (first, second, 99):
            with pytest.raises(ValueError, match=f"job {job} cannot be retried"):
                runner.retry(job)


def test_what_was_superseded_is_forgotten_before_what_failed() -> None:
    with running() as (runner, log):

        def fail(task: Task) -> None:
            raise OSError("disk full")

        failed = runner.submit(Long(fail))
        log.wait(failed)
        gate = hold(runner, log)
        first, *_, last = [runner.submit(Long(lambda task: None, replaces="screen")) for _ in range(130)]
        gate.set()
        log.wait(last)
        with pytest.raises(ValueError, match="cannot be retried"):
            runner.retry(first)
        assert log.wait(runner.retry(failed)).state == "failed"
        assert log.wait(runner.retry(last - 1)).state == "done"


def test_results_are_read_only_and_tensors_are_refused() -> None:
    torch = pytest.importorskip("torch")
    with running() as (runner, log):
        event = log.wait(runner.submit(Long(lambda task: {"a": [np.zeros(2)], "b": (np.ones(1),)})))
        assert isinstance(event.result, dict)
        for array in (event.result["a"][0], event.result["b"][0]):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
        for wrong in (torch.zeros(1), {"x": [torch.zeros(1)]}, torch.nn.Parameter(torch.zeros(1))):
            event = log.wait(runner.submit(Long(lambda task, wrong=wrong: wrong)))
            assert event.state == "failed" and "must not leave the worker" in event.error
        event = log.wait(runner.submit(Long(lambda task: task.step(1, 2, {"x": torch.zeros(1)}))))
        assert event.state == "failed" and "must not leave the worker" in event.error


def test_seal_looks_into_dataclasses_and_refuses_objects() -> None:
    event = JobEvent(1, Long(lambda task: None), "done", result={1: np.zeros(2)})
    seal(event)
    assert isinstance(event.result, dict) and not event.result[1].flags.writeable
    with pytest.raises(AssertionError, match="dtype object"):
        seal(np.array([{}], dtype=object))


def test_close_cancels_everything_and_leaves_no_thread() -> None:
    before = threading.active_count()
    log = Log()
    runner = Runner(log, FakeEngine)  # type: ignore[arg-type]
    sweep = runner.submit(Long(until(threading.Event()), "sweep"))
    log.wait(sweep, "running")
    screen = runner.submit(Long(until(threading.Event()), "screen", on_screen=True))
    log.wait(screen, "running")
    waiting = [runner.submit(Long(lambda task: None)) for _ in range(3)]
    began = time.monotonic()
    assert runner.close(5)
    assert time.monotonic() - began < 0.5
    assert [log.states(job)[-1] for job in (sweep, screen, *waiting)] == ["cancelled"] * 5
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="after the worker was closed"):
        runner.submit(Long(lambda task: None))
    assert runner.close(1)


def test_close_gives_up_after_its_timeout() -> None:
    gate = threading.Event()
    log = Log()
    runner = Runner(log, FakeEngine)  # type: ignore[arg-type]
    log.wait(runner.submit(Long(lambda task: gate.wait(10))), "running")
    assert not runner.close(0.05)
    gate.set()
    assert runner.close(5)


def test_many_threads_submit_and_cancel() -> None:
    with running() as (runner, log):
        numbers: list[int] = []

        def user(seed: int) -> None:
            random = np.random.default_rng(seed)
            for _ in range(100):
                kind = (Click, Long)[int(random.integers(2))]
                key = ("", "a", "b")[int(random.integers(3))]
                job = runner.submit(kind(lambda task: [task.step(i, 3) for i in range(3)], replaces=key))
                numbers.append(job)
                if random.random() < 0.3:
                    runner.cancel(int(random.choice(numbers)))

        users = [threading.Thread(target=user, args=(seed,)) for seed in range(4)]
        for thread in users:
            thread.start()
        for thread in users:
            thread.join()
        for job in numbers:
            log.wait(job)
        for job in numbers:
            ends = [state for state in log.states(job) if state in ("done", "failed", "cancelled")]
            assert len(ends) == 1 and log.states(job)[0] == "queued" and log.states(job)[-1] == ends[0]
            assert ends != ["failed"]


def test_progress_rate_and_time_left() -> None:
    progress = Progress()
    progress.add(0.0, 0, 100, "")
    assert progress.rate == 0 and progress.seconds_left is None
    progress.add(2.0, 10, 100, "")
    assert progress.rate == 5 and progress.seconds_left == 18
    for second in range(3, 40):  # ten times faster later on: the window forgets the slow beginning
        progress.add(second, 10 + (second - 2) * 2, 100, "")
    assert progress.rate == pytest.approx(2) and progress.seconds_left == pytest.approx(8)
    progress.add(41, 1, 7, "the next phase")
    assert progress.rate == 0 and progress.seconds_left is None
    progress.add(42, 2, 0, "length unknown")
    assert progress.seconds_left is None


def test_importing_the_runner_is_light() -> None:
    code = (
        "import sys, workbench.jobs.runner, workbench.jobs.job; "
        "heavy = {'torch', 'timm', 'pydantic', 'zarr', 'PySide6', 'matplotlib', 'numpy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
