"""The thread crossing: everything arrives in the main thread, in order; the ends of windows and workers are clean."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from PySide6.QtCore import QObject

from widgets.relay import Relay
from workbench.jobs.job import JobEvent, Request
from workbench.jobs.runner import Runner


@dataclass(frozen=True)
class Count(Request):
    to: int = 5
    rank: ClassVar[int] = 1

    @property
    def title(self) -> str:
        return f"Count to {self.to}"

    def run(self, engine, task):
        for i in range(self.to):
            task.step(i, self.to, {i: np.full(3, i)})
        return threading.current_thread().name


@dataclass(frozen=True)
class Forever(Request):
    @property
    def title(self) -> str:
        return "Forever"

    def run(self, engine, task):
        import time

        while True:
            time.sleep(0.002)
            task.step(0, 0)


class Fails(Count):
    def run(self, engine, task):
        raise ValueError("it is broken")


class Engine:
    def close(self) -> None:
        pass

    def isolated(self):
        from contextlib import nullcontext

        return nullcontext()


class Listener(QObject):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[JobEvent] = []
        self.threads: set[str] = set()

    def take(self, event: JobEvent) -> None:
        self.events.append(event)
        self.threads.add(threading.current_thread().name)


@pytest.fixture
def relay(qapp):
    made = Relay(lambda deliver: Runner(deliver, Engine))
    yield made
    made.close()


def test_events_arrive_in_the_main_thread_in_order(relay, qtbot):
    listener, all_events = Listener(), []
    relay.event.connect(all_events.append)
    job = relay.submit(Count(5), listener.take)
    qtbot.waitUntil(lambda: bool(listener.events) and listener.events[-1].ended)
    states = [event.state for event in listener.events]
    assert states[:2] == ["queued", "running"] and states[-1] == "done"
    assert listener.events[-1].result == "workbench worker"
    assert listener.threads == {threading.main_thread().name}
    assert all_events == listener.events
    partial = {k: v for event in listener.events if event.partial for k, v in event.partial.items()}
    assert sorted(partial) == [0, 1, 2, 3, 4]
    assert not partial[4].flags.writeable
    assert {event.job for event in all_events} == {job}


def test_no_thread_starts_before_the_first_request(qapp):
    before = set(threading.enumerate())
    relay = Relay(lambda deliver: Runner(deliver, Engine))
    assert set(threading.enumerate()) == before
    relay.close()
    assert relay.submit(Count()) == 0  # a timer may fire while the window closes
    assert set(threading.enumerate()) == before


def test_events_of_a_deleted_widget_are_dropped(relay, qtbot):
    from shiboken6 import delete

    listener = Listener()
    seen = []
    relay.event.connect(seen.append)
    relay.submit(Count(2), listener.take)
    delete(listener)
    qtbot.waitUntil(lambda: bool(seen) and seen[-1].ended)


def test_a_retried_job_answers_who_asked_first(relay, qtbot):
    listener = Listener()
    job = relay.submit(Fails(), listener.take)
    qtbot.waitUntil(lambda: bool(listener.events) and listener.events[-1].state == "failed")
    assert "broken" in listener.events[-1].error
    again = relay.retry(job)
    qtbot.waitUntil(lambda: listener.events[-1].job == again and listener.events[-1].ended)


def test_closing_while_a_job_runs_joins_the_worker_and_drops_what_comes_late(relay, qtbot):
    listener = Listener()
    relay.submit(Forever(), listener.take)
    qtbot.waitUntil(lambda: any(event.state == "running" for event in listener.events))
    count = len(listener.events)
    relay.close()
    assert "workbench worker" not in {thread.name for thread in threading.enumerate()}
    qtbot.wait(30)
    assert len(listener.events) == count
