"""Phase changes are told from gradual growth on trajectories whose kind is known, at log-spaced and at even samples."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from workbench.input_error import InputError
from workbench.phase_change import RISE, WIDEST, Selection, select

LAST = 4000
SAMPLES = {"log": np.unique(np.concatenate([[0], np.geomspace(1, LAST, 44).round()])), "even": np.linspace(0, LAST, 45)}
TRIALS = 12


def noise(count: int, random: np.random.Generator, deviation: float = 0.06, rho: float = 0.4) -> np.ndarray:
    drawn = random.normal(size=count)
    for place in range(1, count):
        drawn[place] = rho * drawn[place - 1] + (1 - rho**2) ** 0.5 * drawn[place]
    return deviation * drawn


def trajectory(kind: str, samples: str, random: np.random.Generator) -> np.ndarray:
    t = SAMPLES[samples]
    x = np.log1p(t) if samples == "log" else t
    at = random.uniform(0.3, 0.8) * x[-1]
    if kind == "step":
        return (x >= at) * 1.0
    if kind in ("logistic", "wide"):
        width = random.uniform(0.02, 0.08) if kind == "logistic" else random.uniform(0.25, 0.6)
        return 1 / (1 + np.exp(-np.clip((x - at) * 2 * np.log(9) / (width * x[-1]), -60, 60)))
    if kind == "saturating":
        return 1 - np.exp(-t / (random.uniform(0.02, 0.5) * LAST))
    if kind == "power":
        grown = ((t + 1) / (LAST + 1)) ** random.choice([-1, -0.5, -0.3, 0.3, 0.5, 2])
        return (grown - grown.min()) / np.ptp(grown)
    return {"linear": t / LAST, "log": np.log1p(t) / np.log1p(LAST), "nothing": np.zeros(len(t))}[kind]


def judged(kind: str, samples: str, trials: int = TRIALS) -> Counter[str]:
    found: Counter[str] = Counter()
    for trial in range(trials):
        random = np.random.default_rng([trial, len(kind), len(samples)])
        runs = [trajectory(kind, samples, random) for _ in range(3)]
        found[select([(SAMPLES[samples], run + noise(len(run), random)) for run in runs]).verdict] += 1
    return found


@pytest.mark.parametrize("samples", ["log", "even"])
def test_steps_and_fast_sigmoids_are_phase_changes(samples: str) -> None:
    found = judged("step", samples) + judged("logistic", samples)
    assert found["phase change"] >= 0.95 * found.total(), found


@pytest.mark.parametrize("samples", ["log", "even"])
def test_gradual_growth_is_not(samples: str) -> None:
    kinds = ("linear", "log", "saturating", "power", "wide", "nothing")
    found = {kind: judged(kind, samples, 8) for kind in kinds}
    assert sum(each["phase change"] for each in found.values()) <= 0.05 * 8 * len(kinds), found
    for kind in ("linear", "log", "saturating", "power"):
        assert found[kind]["gradual"] >= 6, (kind, found[kind])
    assert found["nothing"]["nothing happens"] >= 6


def chosen(kind: str, samples: str = "log", seeds: int = 3) -> Selection:
    random, t = np.random.default_rng(0), SAMPLES[samples]
    return select([(t, trajectory(kind, samples, random) + noise(len(t), random, 0.02)) for _ in range(seeds)])


def test_it_says_when_and_how_fast() -> None:
    t = SAMPLES["even"]
    random = np.random.default_rng(1)
    runs = [(t, 1 / (1 + np.exp(-(t - at) / 45)) + noise(45, random, 0.01)) for at in (900, 1500, 2400)]
    best = select(runs).best
    assert best.kind == "logistic" and best.axis in ("time", "log time") and best.abrupt
    assert best.at == pytest.approx((900, 1500, 2400), rel=0.05)
    assert all(0 < width <= WIDEST for width in best.width)
    assert [len(each) for each in best.fitted] == [45, 45, 45]
    assert np.abs(best.fitted[0] - 1 / (1 + np.exp(-(t - 900) / 45))).max() < 0.1


def test_a_saturating_curve_at_log_spaced_samples_beats_a_step() -> None:
    found = chosen("saturating")
    assert found.best.name == "saturating in time" and found.margin < 0
    names = [curve.name for curve in found.curves]
    assert len(set(names)) == len(names) == 9 and "change point" in names


def test_more_runs_say_it_with_more_weight() -> None:
    assert chosen("step", seeds=3).margin > chosen("step", seeds=1).margin > 0


def test_what_is_no_number_is_left_out_and_too_little_is_refused() -> None:
    t = SAMPLES["log"]
    values = (t > 100) * 1.0 + noise(len(t), np.random.default_rng(0), 0.02)
    values[[3, 7]] = np.nan
    assert select([(t, values)]).verdict == "phase change"
    assert len(select([(t, values)]).best.fitted[0]) == len(t) - 2
    for runs, why in (
        ([], "no run"),
        ([(t[:8], values[:8])], "too few"),
        ([(t[::-1], values)], "increase"),
        ([(t, values[:-1])], "as many"),
    ):
        with pytest.raises(InputError, match=why):
            select(runs)


def test_a_value_that_never_changes_is_nothing() -> None:
    assert select([(SAMPLES["log"], np.full(len(SAMPLES["log"]), 0.3))] * 3).verdict == "nothing happens"


@pytest.mark.parametrize(("kind", "width"), [("logistic", 0.08), ("change point", 0.0), ("sigmoid", 0.3)])
def test_where_and_how_fast_it_happens_lies_in_the_interval(kind: str, width: float) -> None:
    """The intervals hold the truth about as often as they say; a tenth of 100 trials is two standard errors and more."""
    t, places, widths, trials = SAMPLES["log"], 0, 0, 100
    x = np.log1p(t)
    for trial in range(trials):
        random = np.random.default_rng([trial, 7])
        at = random.uniform(0.3, 0.7) * x[-1]
        y = 1 / (1 + np.exp(-np.clip((x - at) * RISE / (width * x[-1]), -60, 60))) if width else (x >= at) * 1.0
        axis = "log time" if width else "either"
        found = next(c for c in select([(t, y + noise(len(t), random, 0.08))]).curves if (c.kind, c.axis) == (kind, axis))
        (early, late), (least, most) = found.at_interval[0], found.width_interval[0]
        assert early <= found.at[0] <= late and least <= found.width[0] <= most
        places += early <= np.expm1(at) <= late
        widths += least - 1e-9 <= width <= most + 1e-9
    assert places >= 88 and widths >= 85, (places, widths)
