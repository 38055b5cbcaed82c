"""How fast work goes and how long it will take, from the `done` and `total` of its steps. The window and the terminal share it."""

from __future__ import annotations

from collections import deque

WINDOW = 10.0
"""Seconds of the recent past which the rate is taken from."""


class Progress:
    """Rate and time left over a sliding window; a new `total` or a `done` that falls back begins a new count."""

    def __init__(self) -> None:
        self.done = 0.0
        self.total = 0.0
        self.note = ""
        self._marks: deque[tuple[float, float]] = deque()

    def add(self, now: float, done: float, total: float, note: str) -> None:
        """Take in one step at time `now`, in seconds of a clock that stands still while the work is suspended."""
        if done < self.done or total != self.total:
            self._marks.clear()
        self.done, self.total, self.note = float(done), float(total), note
        self._marks.append((now, self.done))
        # The oldest mark kept is the last one at or before the window's edge, so that slow steps have a rate as well.
        while len(self._marks) > 2 and self._marks[1][0] <= now - WINDOW:
            self._marks.popleft()

    @property
    def rate(self) -> float:
        """Work per second; 0 while unknown."""
        if len(self._marks) < 2:
            return 0.0
        (began, before), (now, after) = self._marks[0], self._marks[-1]
        return (after - before) / (now - began) if now > began else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end at this rate; None while unknown."""
        rate = self.rate
        if not self.total or rate <= 0:
            return None
        return max(0.0, (self.total - self.done) / rate)
