"""The report of 7.8: which layers it looks at, and what it says of shares that overlap or do not."""

from __future__ import annotations

import math

import numpy as np
import pytest

import workbench
from workbench.analyses.polysemanticity import Polysemanticity
from workbench.images.array_set import ArraySet
from workbench.input_error import InputError
from workbench.report_page import Section, report_page
from workbench.reports import polysemanticity as report

EXPLAINED = {"explained": 0.8, "pca_explained": 0.5, "unused": 0.1, "held_out_images": 30.0, "held_out_rows": 480.0}


@pytest.fixture(scope="module")
def looked() -> report.Looked:
    model = workbench.load("bundled:planted/polysemantic_net")
    assert model.circuit is not None
    images = workbench.load_images(model.circuit.images)
    shown = ArraySet(np.concatenate([batch.images for batch in images.batches((33, 33), 64)]), "lines", images.ids)
    truth = {int(unit.rpartition(":")[2]) for unit in model.circuit.facts["polysemantic"]}
    mixed, plain = sorted(truth)[:3], [unit for unit in range(24) if unit not in truth][:3]
    result = Polysemanticity(layer="mixed", units=tuple(mixed + plain[:1]), draws=10).run(model, shown)
    twin = Polysemanticity(layer="mixed", units=tuple(plain), draws=10).run(model, shown)
    autoencoders = {"trained": EXPLAINED, "random weights": EXPLAINED | {"explained": 0.6}}
    return report.Looked("bundled:planted", "mixed", result, [twin], autoencoders)


def test_the_page_names_shares_nulls_and_facets(looked: report.Looked) -> None:
    answer = report._answer([looked])
    said = str(answer.parts[0])
    assert "3 of 4 (30% to 95%) units tested" in said and "0 of 3 (0% to 56%) with random weights" in said
    assert "80% of the layer's variance" in said and "overlap" in said
    sections = [answer, report._counts([looked]), report._autoencoders([looked]), report._units(looked)]
    page = report_page("7.8", sections)
    assert "relu:" in page and "surrogates of one kind" in page
    figures = report._figures(looked)
    assert figures["polysemantic"] == 3 and figures["twin_polysemantic"] == 0 and figures["images"] == 450
    assert all(isinstance(section, Section) for section in sections)


def test_shares_have_wilson_intervals(looked: report.Looked) -> None:
    some, tested, low, high = report._share([looked.result])
    assert (some, tested) == (3, 4) and low == pytest.approx(0.3006, abs=1e-3) and high == pytest.approx(0.9544, abs=1e-3)
    assert math.isnan(report._share([])[2])


def test_layers_are_spread_over_blocks_of_branches() -> None:
    model = workbench.load("bundled:inception")
    assert len(report.layers_of(model, 1)) == 1 and len(set(report.layers_of(model, 4))) == 4
    assert all(model.layer(name).kind == "cat" for name in report.layers_of(model, 4))
    with pytest.raises(InputError, match="32 units"):
        report.layers_of(workbench.load("bundled:planted/polysemantic_net"), 1)
