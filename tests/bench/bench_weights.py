"""Weights between layers: how long all pairs of two adjacent layers of ResNet-18 take, and a card of a unit that has 1,000 inputs.

`python -m tests.bench.bench_weights` prints JSON. The kernels of all pairs are taken as `ExpandedWeights` takes them, by gradients through
the piece between the layers; deviations and R2 need images beside that, which is a time of its own. The peer is the same without crops: the
piece computed whole. The card is shown and painted by the panel Weights from a result that is there; so is the matrix of 2,048 x 2,048.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

PAIRS = (
    ("layer1.0.relu", "layer1.0.conv2"),
    ("layer2.1.relu", "layer2.1.conv2"),
    ("layer4.0", "layer4.1.conv1"),
    ("layer4.1.relu", "layer4.1.conv2"),
)
IMAGES = 32
SIZE = 1000
MATRIX = 2048
ROUNDS = 15
BARS = {"pairs_longest_s": ("<=", 1.0), "card_ms": ("<=", 100.0), "matrix_ms": ("<=", 100.0)}


def measure() -> dict[str, Any]:
    """Return times by name."""
    return pairs() | card()


def pairs() -> dict[str, Any]:
    """Take the kernels of all pairs of units of some adjacent layers, with the piece cropped and whole."""
    import workbench
    from workbench.analyses import ExpandedWeights
    from workbench.models.expanded import Piece, asked_of, parts_of, pieces_of, windows_of

    model = workbench.load("torchvision:resnet18?pretrained=false&seed=0")
    images = workbench.load_images("emoji")
    x = model.inputs(torch.zeros(2, 3, *model.preprocessing.size))
    times, whole = {}, {}
    for source, target in PAIRS:
        first, last, units = asked_of(model, source, target, ())
        (part,) = parts_of(model, last, units)

        def kernels(first: Any = first, part: Any = part) -> None:
            piece, _ = pieces_of(model, first, part.layer, [x], "all", "derivative", nothing)
            windows_of(piece, None, part.units, lambda _done: None)

        times[f"{source} > {target}"] = median(kernels, 3)
        piece = Piece.of(model, [source], part.layer, "derivative", [x], nothing)
        whole[f"{source} > {target}"] = uncropped(piece, units)
    source, target = PAIRS[0]
    begun = time.perf_counter()
    ExpandedWeights(source=source, target=target, images=IMAGES).run(model, images)
    return {
        "pairs_s": times,
        "pairs_longest_s": max(times.values()),
        "pairs_uncropped_s": whole,
        "uncropped_over_cropped": sum(whole.values()) / sum(times.values()),
        f"with_r2_of_{IMAGES}_images_s": time.perf_counter() - begun,
    }


def nothing() -> None:
    """Listen to no progress."""


def uncropped(piece: Any, units: Any) -> float:
    """Take the same gradients through the whole piece, 32 units at a time."""
    from workbench.models.expanded import centre, several

    begun = time.perf_counter()
    place = centre(piece.target)
    for start in range(0, len(units), 32):
        chunk = units[start : start + 32]
        many = [several(value.detach(), layer, len(chunk)) for value, layer in zip(piece.values, piece.layers, strict=True)]
        moving = many[0].requires_grad_()
        reached = piece.target.arrange(piece.cut(many, piece.gates.of(len(chunk)))[0])
        torch.autograd.grad(torch.stack([reached[(row, unit, *place)] for row, unit in enumerate(chunk)]).sum(), moving)
    return time.perf_counter() - begun


def card() -> dict[str, float]:
    """Show and paint the cards of some units with `SIZE` inputs, and a matrix of `MATRIX` x `MATRIX`."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtWidgets import QApplication

    from tests.widgets.conftest import CARD, ScriptedRunner
    from widgets.panels.weights import WeightsPanel
    from widgets.relay import Relay
    from widgets.session import Session
    from widgets.views.matrix_view import MatrixView
    from workbench.jobs.requests import LoadModel, RunAnalysis
    from workbench.models.layer import Layer, Unit

    application = QApplication.instance() or QApplication(sys.argv[:1])
    layers = tuple(Layer(name, "relu", (SIZE, 14, 14), 0, "post") for name in ("first.act", "second.act"))
    runner = ScriptedRunner(lambda event: None)
    runner.answers |= {LoadModel: replace(CARD, layers=layers), RunAnalysis: result}

    def start(deliver: Any) -> Any:
        runner.deliver = deliver
        return runner

    session = Session(Relay(start))
    panel, matrix = WeightsPanel(session), MatrixView()
    try:
        for widget in (panel, matrix):
            widget.resize(1200, 800)
            widget.show()
        session.open_model("test:wide")
        session.open_images("test:images")
        application.processEvents()
        session.select_layer("second.act")
        panel.compute.click()
        application.processEvents()
        units = iter(range(SIZE))

        def show_card() -> None:
            session.select_unit(Unit("second.act", next(units)))
            application.processEvents()
            panel.strip.repaint()

        card_time = median(show_card, ROUNDS)
        assert panel.strip.rows, "no card was shown"
        every = np.arange(MATRIX)
        values = np.random.default_rng(0).normal(size=(MATRIX, MATRIX)).astype(np.float32)
        matrix.show_matrix(values, every, every, label="sum", title="bench")
        return {"card_ms": 1000 * card_time, "matrix_ms": 1000 * median(matrix.repaint, ROUNDS)}
    finally:
        for widget in (panel, matrix):
            widget.close()
        session.close(1)


def result(request: Any) -> Any:
    """Make the result that the panel asks for, of random weights."""
    from workbench.analyses.analysis import Result

    kernels = np.random.default_rng(0).normal(size=(SIZE, SIZE, 3, 3)).astype(np.float32)
    flat = kernels.reshape(SIZE, SIZE, -1)
    norm, ones = np.linalg.norm(flat, axis=2), np.ones(SIZE, np.float32)
    every = np.arange(SIZE, dtype=np.int32)
    arrays = {"kernels": kernels, "norm": norm, "sum": flat.sum(2), "contribution": norm, "std": ones, "r2": ones}
    arrays |= {"similar_targets": every, "similar_sources": every}
    arrays |= {"factor_sources": np.zeros((SIZE, 0), np.float32), "factor_kernels": np.zeros((SIZE, 0, 3, 3), np.float32)}
    nobody = {"units": 0, "first": []}
    summary = {name: request.parameters[name] for name in ("source", "target", "path", "gate")} | {"images": 64, "r2_median": 1.0}
    summary |= {"r2_below": nobody, "r2_unknown": nobody, "dead_sources": nobody, "factors_explain": None}
    given = {"model": request.model, "weights": "abc", "images": request.images}
    return Result("ExpandedWeights", dict(request.parameters), arrays, summary, given)


def median(work: Callable[[], object], rounds: int) -> float:
    """Return the median time of some work in seconds, after doing it once."""
    work()
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
