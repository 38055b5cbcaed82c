"""Drawing and saving what an analysis found: matplotlib is imported and works in the worker thread, not in the window's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from workbench.jobs.job import Request
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result
    from workbench.jobs.engine import Engine

DOTS = 110
"""Dots per inch of a figure on the screen."""


@dataclass(frozen=True)
class DrawResult(Request):
    """Draw the figures of a result -> name -> uint8 ``[y, x, 4]`` (RGBA)."""

    result: Result = field(repr=False, compare=False)
    rank: ClassVar[int] = 1

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Draw the figures of {self.result.analysis}"

    def run(self, engine: Engine, task: Task) -> dict[str, np.ndarray]:
        """Draw them with matplotlib's Agg."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        drawn = {}
        for name, figure in self.result.figures().items():
            task.step(len(drawn), 0, note=name)
            figure.set_dpi(DOTS)
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            drawn[name] = np.array(canvas.buffer_rgba())
        return drawn


@dataclass(frozen=True)
class SaveResult(Request):
    """Write a result (JSON, arrays, figures) into a folder -> the folder."""

    result: Result = field(repr=False, compare=False)
    folder: str = ""
    rank: ClassVar[int] = 1

    @property
    def title(self) -> str:
        """What the jobs panel calls it."""
        return f"Save {self.result.analysis} to {self.folder}"

    def run(self, engine: Engine, task: Task) -> str:
        """Write it."""
        return str(self.result.save(self.folder))
