"""Reports of open problems: every one on a planted network or a small one, and what all have in common."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import workbench
from workbench import problems
from workbench.analyses.analysis import Analysis, Result
from workbench.analyses.hand_coding import EarlyFamilies, HandCodedCurves, HandCoding
from workbench.input_error import InputError
from workbench.jobs.engine import Engine
from workbench.jobs.store import Store
from workbench.kernel_edits import KernelEdit
from workbench.reports.report import Findings, Report, Work, check_folder, discover, find, write_report
from workbench.task import Cancelled, Task


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Engine:
    return Engine(Store(tmp_path_factory.mktemp("store")))


def test_every_report_is_of_a_problem_and_says_what_it_reports() -> None:
    for number, entry in discover().items():
        assert problems.find(number).number == entry.problem == number
        assert entry.title and entry.models


def test_what_there_is_no_report_of_is_said_in_one_line() -> None:
    with pytest.raises(InputError, match=r"no report of problem 7\.2 yet; there are those of 7\."):
        find("7.2")
    with pytest.raises(InputError, match="no open problem"):
        find("9.9")


class Steps(Task):
    def __init__(self) -> None:
        self.shares: list[float] = []

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        self.shares.append(done / total if total else 0)


def planted_inputs(unit: str) -> list[int]:
    circuit = workbench.load("bundled:planted/sparse_net").circuit
    assert circuit is not None
    return [int(source.rpartition(":")[2]) for source, target, *_ in circuit.edges if target == unit]


def test_sparse_weights_are_told_from_their_nulls(engine: Engine, tmp_path: Path) -> None:
    steps = Steps()
    report = write_report(engine, "7.10", ["bundled:planted/sparse_net"], task=steps)
    (row,) = report.findings.figures["layers"]
    assert row["gini"] > row["gini_gaussian"] + 0.2 and row["gini_above_nulls"] == row["units"]
    assert row["gini_shuffled"] is None, "kernels of one entry: shuffling them changes no norm"
    assert row["built"] >= 12 and row["kept"] > 0.8
    assert max(steps.shares) == pytest.approx(1), "progress ends with the whole"
    root = report.findings.figures["trees"]["bundled:planted/sparse_net"][0]
    assert root["from"] == "relu" and set(root["parts"]) <= set(planted_inputs(root["unit"]))

    folder = report.save(tmp_path / "report")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Answer" in page and "<svg" in page and "What this could not see" in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "<script" not in page, "nothing is fetched"
    written = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert written["figures"]["layers"][0]["gini"] == pytest.approx(row["gini"])
    assert all((folder / "results" / name / "result.json").is_file() for name in written["results"])
    report.save(folder)  # an earlier report is replaced
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report"]


def test_a_report_does_not_overwrite_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("dear to me")
    report = Report("7.10", (), "emoji", "quick", Findings([], {}))
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(InputError, match="folder"):
            report.save(place)
        with pytest.raises(InputError, match="folder"):
            check_folder(place)
    (tmp_path / "report.json").write_text('{"mine": true}')
    with pytest.raises(InputError, match="not a report of ours"):
        report.save(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "dear to me"
    folder = report.save(tmp_path / "own")
    (folder / "notes.txt").write_text("mine as well")
    with pytest.raises(InputError, match="not a report of ours"):
        report.save(folder)


def test_a_report_is_refused_where_one_may_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written: .*file is not a folder"):
        check_folder(tmp_path / "file" / "below")
    (tmp_path / "own").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "own")
    for folder in (tmp_path / "own", tmp_path / "own" / "new"):
        with pytest.raises(InputError, match=f"cannot be written: {tmp_path / 'own'} is not a folder one may write to"):
            check_folder(folder)


def test_a_report_needs_no_place_beside_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "own"
    (folder / ".killed.saving").mkdir(parents=True)
    mkdir = os.mkdir

    def inside(path: str, *args: int) -> None:
        if folder not in Path(path).parents:
            raise PermissionError(13, "Permission denied", str(path))
        mkdir(path, *args)

    monkeypatch.setattr(os, "mkdir", inside)
    monkeypatch.chdir(folder)
    for figure in (1, 2):
        assert Report("7.10", (), "emoji", "quick", Findings([], {"n": figure})).save(".") == folder
        assert json.loads((folder / "report.json").read_text(encoding="utf-8"))["figures"] == {"n": figure}
    assert {path.name for path in folder.iterdir()} == {"report.html", "report.json", ".killed.saving"}


def test_a_report_can_be_cancelled(engine: Engine) -> None:
    class Unwanted(Task):
        def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        write_report(engine, "7.10", ["bundled:planted/sparse_net"], images="emoji?styles=noto", task=Unwanted())


def test_faithful_circuits_are_told_from_random_ones(engine: Engine) -> None:
    found = write_report(engine, "7.1", ["bundled:planted/sparse_net"]).findings
    (row,) = (row for row in found.figures["layers"] if row["layer"] == "sums")
    assert row["area"] > row["area_random"] + 0.2 and row["k_90"] < row["inputs"] / 10
    said = found.sections[0].parts[0]
    assert isinstance(said, str) and "chosen at random" in said


def test_planted_motifs_are_reported_beside_their_null(engine: Engine) -> None:
    found = write_report(engine, "7.9", ["bundled:planted/motif_net"]).findings
    kinds = found.figures["bundled:planted/motif_net"]["kinds"]
    for kind in ("pooling", "union", "opposite"):
        assert kinds[kind]["found"] >= 7 and kinds[kind]["found"] > kinds[kind]["null_most"]
    assert any("opposite pair" in part for part in found.sections[0].parts if isinstance(part, str))


def test_bases_are_compared_and_the_output_is_not_ablated(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.reports import reverse_engineering as report

    for name, value in (("IMAGES", 40), ("LAYERS", 2), ("UNITS", 6)):
        monkeypatch.setattr(report, name, value)
    found = write_report(engine, "7.3", ["bundled:convnext"], images="emoji?styles=noto").findings
    (first, second) = found.figures["basis"]
    for each in (first, second):
        assert each["neurons"]["layer"].endswith("mlp.act") and 0.4 < each["stream"]["auroc"] <= 1
    layers = [layer["layer"] for layer in found.figures["explained_fraction"]["bundled:convnext"]["layers"]]
    assert layers and not any("head.fc" in layer for layer in layers)


def test_a_network_that_does_not_allow_it_is_left_out_and_named(engine: Engine) -> None:
    found = write_report(engine, "7.10", ["bundled:planted/sparse_net", "bundled:planted/and_or_net"]).findings
    assert {row["model"] for row in found.figures["layers"]} == {"bundled:planted/sparse_net"}
    said = [part for part in found.sections[-1].parts if isinstance(part, str)]
    assert any("Left out: bundled:planted/and_or_net: no layer of weights" in part for part in said)
    with pytest.raises(InputError, match="no layer of weights"):
        write_report(engine, "7.10", ["bundled:planted/and_or_net"])
    with pytest.raises(InputError, match="bundled:planted/and_or_net: no layer"):
        write_report(engine, "7.11", ["bundled:planted/and_or_net"])


def test_patching_is_reported_with_what_it_is_worth(engine: Engine, monkeypatch) -> None:
    from workbench.reports import activation_patching as report

    for name, value in (("PAIRS", 10), ("CHANNELS", 12), ("LAYERS", 1), ("UNIT_LAYERS", 1)):
        monkeypatch.setattr(report, name, value)
    found = write_report(engine, "7.15", ["bundled:inception"]).findings
    said = " ".join(part for part in found.sections[0].parts if isinstance(part, str))
    assert "any of them as a whole carries" in said and "rank correlation" in said
    figures = found.figures["bundled:inception"]
    assert {row["name"] for row in figures["layer"]["patches"]} >= {"conv2d0", "mixed3a", "mixed4c", "mixed5b"}
    assert all(row["denoise"] == pytest.approx(1, abs=1e-5) for row in figures["layer"]["patches"])
    assert figures["branch"]["patches"][0]["name"].startswith("mixed3a.")
    (row,) = figures["unit"]["findings"]
    assert row["concentration"] is not None and row["concentration_twin"] is not None
    assert (row["parts"], row["of"]) == (12, 24)
    assert "of 1 of these layers 12 of 24 were patched, half of them the best by attribution" in said


def test_channels_that_cannot_be_chosen_are_all_patched_and_it_says_so(engine: Engine) -> None:
    from workbench.reports.activation_patching import _channels

    class Refusing(Work):
        def run(self, name: str, analysis: Analysis, model: str, images: str = "") -> Result:
            asked = analysis.model_dump(mode="json")
            if asked["most"]:
                raise InputError("too few images to choose by")
            return Result("ActivationPatching", asked, {}, {}, {})

    work = Refusing(engine, ["bundled:inception"], "emoji", "quick", Task())
    found = _channels(work, "bundled:inception", ["mixed3a"])
    assert found.parameters["most"] == 0 and "all are patched instead: too few images" in work.refused[0]


def test_planted_families_are_reported_and_late_layers_are_named(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.reports import equivariance

    monkeypatch.setattr(equivariance, "IMAGES", {True: 16, False: 16})
    monkeypatch.setattr(equivariance, "TWINS", {True: 3, False: 3})
    found = write_report(engine, "7.7", ["bundled:planted/rotated_family_net"]).findings
    (turned,) = (row for row in found.figures["bundled:planted/rotated_family_net"]["layers"] if row["transformation"] == "rotate:90")
    assert turned["counting"] >= 24 and turned["matched_null"] == 0 and turned["detectable"] < 1
    said = [part for part in found.sections[0].parts if isinstance(part, str)]
    assert "late layers are relu" in said[0] and any("Turned by 90°: in late layers 2" in part for part in said)
    assert any("Smallest gain of one pair that would" in part for part in said) and any("noto for twemoji" in part for part in said)


def test_early_vision_names_the_families_of_a_planted_first_layer_and_writes_them(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.reports.early_vision.EarlyFamilies", lambda **_: EarlyFamilies(draws=150, twins=2))
    images = "stimuli:lines?ink_hue=29,235&orientations=16&ink_lightness=0.7&ink_chroma=0.1&ground_lightness=0.7&width=0.05,0.08"
    found = write_report(engine, "7.5", ["bundled:planted/hue_line_net"], images=images).findings
    told = found.figures["bundled:planted/hue_line_net"]
    assert sum(told["families"][family]["present"] for family in ("gabor", "line")) >= 6
    assert told["families"]["centre_surround"]["present"] == 0
    assert told["all families"]["recovered"] > 0.8 and told["all families"]["recovered_low"] > 0.5
    assert any("bring back" in part for part in found.sections[0].parts if isinstance(part, str))


def test_first_layers_no_more_like_templates_than_smooth_noise_are_written_as_what_they_are_most_like(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.reports.early_vision.EarlyFamilies", lambda **_: EarlyFamilies(draws=150, twins=1))
    monkeypatch.setattr("workbench.analyses.hand_coding.early.phased", lambda rows, random: rows)
    as_drawn = lambda _own, drawn, family, at, *_: (1.0, drawn[family][0][at], drawn[family][1][at])  # noqa: E731
    monkeypatch.setattr("workbench.analyses.hand_coding.early.improve", as_drawn)
    images = "stimuli:lines?ink_hue=29,235&orientations=16&ink_lightness=0.7&ink_chroma=0.1&ground_lightness=0.7&width=0.05,0.08"
    found = write_report(engine, "7.5", ["bundled:planted/hue_line_net"], images=images).findings
    told = found.figures["bundled:planted/hue_line_net"]
    assert not any(family["present"] for family in told["families"].values())
    assert told["nearest templates"]["recovered"] > 0.5
    assert any("no family is told from smooth noise" in part for part in found.sections[0].parts if isinstance(part, str))


class CurveWork(Work):
    """Answers what the report on hand-coded curves asks with numbers made up here: the network itself takes minutes."""

    def __init__(self) -> None:
        self.models, self.missing, self.images, self.quick, self.results, self.refused = ("test:net",), (), "emoji", True, {}, []
        self._done, self._parts = 0.0, 1.0

    def run(self, name: str, analysis: Analysis, model: str, images: str = "") -> Result:
        kernel = np.ones((4, 3, 3), np.float32)
        edit = KernelEdit("conv", 2, kernel, 0.0, "curve", {"orientation": 45.0}).document()
        if isinstance(analysis, HandCodedCurves):
            values = {"orientation": 45.0, "radius": 4.0, "echo": 0.5, "across": 0.35}
            values |= {"hue": 90.0, "colour": 1.0} if analysis.colour else {}
            unit = {"unit": "conv:2", "score": 0.5, "prefers": 45.0, "parameters": values, "held_out": 0.7, "edit": edit}
            summary = {"layer": "conv", "reads": "lines", "line_detectors": 3, "read_units": 4, "beyond_twins": 0, "twin_highest": 0.6}
            summary |= {"twins": 20, "radii": [0.1, 0.2], "units": [unit]}
            arrays = {name: np.eye(2, 24)[None] for name in ("own_map", "hand_map")}
            return Result("HandCodedCurves", analysis.model_dump(), arrays, summary)
        assert isinstance(analysis, HandCoding)
        share = 1.0 if "own" in name else 0.5 if "colour" in name else 0.25
        summary = {f"loss_{row}": 1.0 for row in ("full", "ablated", "zeroed", "offset", "hand")}
        summary |= {"network": "net", "task": "loss", "measure": "classes"}
        summary |= {"recovered": share, "recovered_low": share - 0.1, "recovered_high": share + 0.1, "detectable": 0.2, "refused": ""}
        summary |= {"lost": 0.5, "lost_low": 0.4, "lost_high": 0.6, "offset_recovered": 0.0, "shuffled_mean": 0.02, "shuffled_max": 0.05}
        summary |= {"images": 24, "units": [{"unit": "conv:2", "correlation": 0.7}]}
        groups = np.arange(24)
        arrays = {"loss_hand": np.full(24, 1 - share / 2), "group": groups, "own/0": kernel, "kernel/0": kernel}
        return Result("HandCoding", {}, arrays | {"shuffled_loss": np.ones(2), "shuffled_recovered": np.zeros(2)}, summary)


def test_curves_by_hand_are_reported_beside_shuffled_ones_and_the_own_kernels() -> None:
    found = find("7.4").make(CurveWork())
    told = found.figures["test:net"]
    assert (told["grey"]["recovered"], told["colour"]["recovered"], told["own"]["recovered"]) == (0.25, 0.5, 1.0)
    assert told["colour_over_grey"]["value"] == pytest.approx(0.125), "nats an image, on the same images"
    said = [part for part in found.sections[0].parts if isinstance(part, str)]
    assert "25% [15%, 35%] comes back in grey and 50% [40%, 60%] in colour" in said[0] and "none of the first layers" in said[1]
    assert "0 of these 1 are" in said[1]


def test_growth_is_reported_with_its_controls(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.analyses import phase_change as analysis
    from workbench.models.checkpoint_series import Series

    whole = analysis.series_of

    def few(ref: str, further: tuple[str, ...]) -> list[Series]:
        return [Series(one.name, dict(list(one.refs.items())[8:20])) for one in whole(ref, further)[:1]]

    monkeypatch.setattr(analysis, "series_of", few)
    found = write_report(engine, "7.14", ["bundled:inception"]).findings
    verdicts = found.figures["bundled:inception"]["conv2d2"]
    assert set(verdicts) == {"units", "layer", "lines", "random"} and verdicts["lines"]["index"] is None
    said = " ".join(part for part in found.sections[0].parts if isinstance(part, str))
    assert "1 training:" in said and "Fewer than 3 trainings" in said


def test_the_curve_hypothesis_is_scrubbed_on_the_planted_net(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.reports import causal_scrubbing as report

    monkeypatch.setattr(report, "EXAMPLES", {True: 32})
    monkeypatch.setattr(report, "NATURAL", {True: 48})
    found = write_report(engine, "7.6", ["bundled:planted/curve_net"]).findings.figures["bundled:planted/curve_net"]
    assert found["lines"] == list(range(16)), "the Gabor filters"
    flat, placed = ({row["name"]: row["recovered"] for row in found[what]["rows"]} for what in ("whole maps", "curves"))
    place = f"*={report.RIVALS[1][1]}"
    assert flat[place] == pytest.approx(1, abs=1e-6), "every curve is of its own there"
    assert flat["no hypothesis"] < flat["the hypothesis"] < flat[place]
    assert placed["identity"] == pytest.approx(1, abs=1e-6)
    assert placed[place] == pytest.approx(placed["the units, whole"], abs=1e-6)
    assert placed["no hypothesis"] < placed["the hypothesis"] < placed["the units, whole"] < 1
    assert len(found["hypothesis"]["root"]["children"]) == 10, "five pieces of the arc: tangents, and what runs across"
