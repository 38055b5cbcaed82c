"""4,096 thumbnails on the screen while a Python thread is busy: repaint, scrolling, new images; beside a list view with a delegate.

`python -m tests.bench.bench_thumbnails` prints JSON. Times are in milliseconds, medians over `ROUNDS`; the busy thread computes in pure
Python, so it holds the interpreter lock whenever it can. The peer is the usual way to do it: a `QListView` that asks a Python delegate
to paint each item.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from PySide6.QtCore import QModelIndex, QRect, QSize, QStringListModel
from PySide6.QtGui import QPainter, QPixmap
from PySide6.QtWidgets import QApplication, QListView, QStyledItemDelegate, QStyleOptionViewItem

from widgets.app import SWITCH
from widgets.views.thumbnail_grid import ThumbnailGrid
from widgets.views.view import as_image

COUNT = 4096
SIZE = QSize(1920, 1080)
SMALL, USUAL = 20, 96  # pixels of a tile: all fit on the screen at once; as one looks at them
ROUNDS = 30
SEED = 0
BARS = {"repaint_ms": ("<=", 5.0)}


def measure() -> dict[str, float]:
    """Measure, in the running application or one made for it; return milliseconds by name, and the ratio to the peer."""
    application = QApplication.instance() or QApplication(sys.argv[:1])
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)  # as the window does
    noise = np.random.default_rng(SEED).integers(0, 255, (128, 128, 3), np.uint8)
    images = {unit: np.roll(noise, unit, 0) for unit in range(COUNT)}
    grid = ThumbnailGrid()
    grid.resize(SIZE)
    grid.tile_size = SMALL
    grid.show_units(range(COUNT))
    grid.set_images(images, fine=True)
    peer = delegate_view(noise)
    try:
        for view in (grid, peer):
            view.show()
            application.processEvents()
        assert len(grid.visible_units()) == COUNT, "not all thumbnails are on the screen"
        found = {"repaint_idle_ms": typical(grid.viewport().repaint)}
        with busy_thread():
            found["repaint_ms"] = typical(grid.viewport().repaint)
            found["new_images_ms"] = typical(
                lambda: (grid.set_images(some(images), fine=True), application.processEvents())
            )
            found["delegate_repaint_ms"] = typical(peer.viewport().repaint, rounds=5)
            grid.tile_size = USUAL
            application.processEvents()
            found["usual_size_repaint_ms"] = typical(grid.viewport().repaint)
            found["scroll_ms"] = typical(scroll(grid, application))
        found["delegate_ratio"] = found["delegate_repaint_ms"] / found["repaint_ms"]
        return {name: round(value, 3) for name, value in found.items()}
    finally:
        sys.setswitchinterval(before)
        for view in (grid, peer):
            view.close()
            view.deleteLater()
        application.processEvents()


def typical(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median duration in milliseconds, after one round to warm up."""
    durations = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        action()
        durations.append(1000 * (time.perf_counter() - started))
    return statistics.median(durations[1:])


def some(images: dict[int, np.ndarray], count: int = 8) -> dict[int, np.ndarray]:
    """One batch of rendered units, another one each time."""
    units = list(images)[:count]
    for unit in units:
        images[unit] = images.pop(unit)  # to the end of the line
    return {unit: images[unit] for unit in units}


def scroll(grid: ThumbnailGrid, application: QApplication) -> Callable[[], None]:
    """Return an action that turns the wheel by one notch and lets the window paint."""

    def notch() -> None:
        bar = grid.verticalScrollBar()
        bar.setValue(bar.value() + 3 * bar.singleStep())
        application.processEvents()

    return notch


def delegate_view(noise: np.ndarray) -> QListView:
    """Make the peer: as many items, painted by a delegate, all on the screen."""
    pixmap = QPixmap.fromImage(as_image(noise)).scaled(SMALL, SMALL)

    class Delegate(QStyledItemDelegate):
        def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
            return QSize(SMALL + 2, SMALL + 2)

        def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
            painter.drawPixmap(QRect(option.rect.topLeft(), QSize(SMALL, SMALL)), pixmap)

    view = QListView()
    view.setModel(QStringListModel([str(unit) for unit in range(COUNT)], view))
    view.setItemDelegate(Delegate(view))
    view.setViewMode(QListView.ViewMode.IconMode)
    view.setUniformItemSizes(True)
    view.setGridSize(QSize(SMALL + 2, SMALL + 2))
    view.resize(SIZE)
    return view


@contextmanager
def busy_thread() -> Iterator[None]:
    """Keep a thread computing in pure Python."""
    done = threading.Event()

    def work() -> None:
        total = 0
        while not done.is_set():
            for number in range(1000):
                total += number * number

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
