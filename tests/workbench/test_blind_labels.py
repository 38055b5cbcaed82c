"""Blind labels as plain data: saying, taking back, keeping them through a kill, and what they come to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from workbench.blind_labels import CLASSES, Bins, Labelling, Shown, kept_of, place_of
from workbench.evidence_card import PURITY, purity_piece
from workbench.input_error import InputError

ROOT = Path(__file__).resolve().parents[2]
COUNTS = [4000, 600, 300, 100]


def labelling(pictures: int = 40) -> Labelling:
    """Four bins, the first below zero; every picture of a concept of its own."""
    bins = Bins(edges=[-1, 0, 1, 2, 3], mean=0.0, std=0.5, counts=COUNTS, sums=[-1000, 300, 450, 250], images=50)
    shown = [
        Shown(image=i, name=f"noto/{i}", concept=str(i), position=[i, 2], activation=(i % 4) - 0.5, bin=i % 4) for i in range(pictures)
    ]
    about = {"model": "test:small", "weights": "abc", "images": "emoji", "images_hash": "def", "unit": "a:1", "measured": "a.bn:1"}
    return Labelling(**about, wanted=pictures, seed=0, bins=bins, pictures=shown)


def test_labels_are_said_in_order_and_taken_back():
    found = labelling(3)
    for label in (0, 3, 1):
        found.say(label, "ada")
    assert found.finished and [said.label for said in found.judgements] == [0, 3, 1]
    assert found.judgements[0].by == "ada" and found.judgements[0].at > 1.7e9
    with pytest.raises(InputError, match="all 3 pictures are labelled"):
        found.say(0)
    assert found.take_back() and found.done == 2 and not found.finished
    with pytest.raises(InputError, match="classes 1 to 4, not 9"):
        found.say(8)
    assert found.take_back() and found.take_back() and not found.take_back()


def test_classes_can_be_called_otherwise():
    found = labelling(2)
    found.say(0)
    found.rename(0, "  a curve ")
    assert found.classes == ["a curve", *CLASSES[1:]] and found.judgements[0].label == 0
    for name in ("", CLASSES[1]):
        with pytest.raises(InputError, match="a name of its own"):
            found.rename(0, name)


def test_what_is_kept_is_what_was_said(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    found = labelling()
    found.say(2, "ada")
    path = found.save()
    assert path == place_of(found.key) and path.is_relative_to(tmp_path) and Labelling.load(path) == found
    assert [other.name for other in path.parent.iterdir()] == [path.name], "nothing beside it"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: d.pop("bins"), "bins Field required"),
        (lambda d: d.update(labelling=9), "of version 9, this program reads version 1"),
        (lambda d: d.update(judgements=[{"label": 7}]), "do(es)? not .*fit together"),
        (lambda d: d["bins"]["edges"].pop(), "fit together"),
        (lambda d: d["pictures"][0].update(bin=4), "fit together"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path, change, complaint):
    document = json.loads(labelling().model_dump_json())
    change(document)
    (tmp_path / "l.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match=complaint) as told:
        Labelling.load(tmp_path / "l.json")
    assert "\n" not in str(told.value)
    with pytest.raises(InputError, match=r"none\.json cannot be read"):
        Labelling.load(tmp_path / "none.json")


KILLED = """
import sys
from pathlib import Path
from workbench.blind_labels import Labelling
path = Path(sys.argv[1])
labelling = Labelling.load(path)
while True:
    labelling.take_back() if labelling.finished else labelling.say(labelling.done % 4, "ada")
    labelling.save(path)
    print(labelling.done, flush=True)
"""


def test_nothing_is_lost_when_the_program_is_killed(tmp_path):
    path = labelling(400).save(tmp_path / "l.json")
    command = [sys.executable, "-c", KILLED, str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)})
    said = 0
    for _ in range(25):
        said = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found = Labelling.load(path)
    assert found.done >= said and [one.label for one in found.judgements] == [i % 4 for i in range(found.done)]
    found.say(0)
    assert found.done >= said + 1, "it goes on from there"


def test_shares_and_purity_weigh_the_bins_by_what_they_hold():
    found = labelling()
    truth = {0: 0, 1: 2, 2: 6, 3: 10}  # of ten pictures in each bin, so many are one
    left = dict(truth)
    for shown in found.pictures:
        left[shown.bin] -= 1
        found.say(0 if left[shown.bin] >= 0 else 3)
    assert found.shares()[:, 0] == pytest.approx([0.0, 0.2, 0.6, 1.0]) and found.shares().sum(1) == pytest.approx(np.ones(4))
    assert found.purity().value == pytest.approx((600 * 0.2 + 300 * 0.6 + 100 * 1.0) / 1000)
    assert found.purity(above=1).value == pytest.approx((300 * 0.6 + 100) / 400)
    assert found.share_of_expected_value().value == pytest.approx((300 * 0.2 + 450 * 0.6 + 250) / 1000)
    assert found.purity().labels == 30, "those below zero are not of what it fires at"
    piece = purity_piece(found)
    assert piece.value == pytest.approx(0.4) and piece.low < 0.4 < piece.high and piece.images == 40 and not piece.missing
    assert "without weighting by density it would be 45%" in piece.null and "0% of the positions at which it does not fire" in piece.null


def test_without_labels_purity_is_missing_and_nothing_takes_its_place():
    for given in (None, labelling()):
        piece = purity_piece(given)
        assert piece.missing == PURITY == "missing: blind labels" and piece.value is None and not piece.figure
        assert piece.line.startswith("purity: missing: blind labels")


def test_bins_that_are_not_labelled_yet_are_said():
    found = labelling()
    found.say(0)
    found.say(0)
    piece = purity_piece(found)
    assert "2 of 3 bins above 0 have no label yet" in piece.verdict and piece.high - piece.low > 0.4


def test_labellings_of_a_unit_are_found_whatever_number_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    assert kept_of("w", "i", "a:1") == []
    bins = Bins(edges=[0, 1], mean=0.0, std=1.0, counts=[1], sums=[0.5], images=1)
    about = {"model": "m", "weights": "w", "images": "n", "images_hash": "i", "measured": "a:1", "seed": 0, "bins": bins, "pictures": []}
    written = {wanted: Labelling(**about, unit="a:1", wanted=wanted).save() for wanted in (20, 400)}
    Labelling(**about, unit="a:12", wanted=20).save()
    assert kept_of("w", "i", "a:1") == sorted(written.values())


def test_a_unit_that_never_fires_has_no_purity_rather_than_one_that_is_no_number():
    bins = Bins(edges=[-2, -1, 0], mean=-1.0, std=0.5, counts=[1, 1], sums=[-1.5, -0.5], images=2)
    shown = [Shown(image=i, name=str(i), concept=str(i), position=[], activation=-1.5 + i, bin=i) for i in range(2)]
    about = {"model": "m", "weights": "w", "images": "n", "images_hash": "i", "unit": "a:1", "measured": "a:1", "wanted": 2, "seed": 0}
    silent = Labelling(**about, bins=bins, pictures=shown)
    silent.say(0)
    silent.say(0)
    assert purity_piece(silent).missing == "missing: it never fires on these images"
    bins = Bins(edges=[-1, 0, 1], mean=0.0, std=0.5, counts=[1, 1], sums=[-0.5, 0.5], images=2)
    begun = Labelling(**about, bins=bins, pictures=shown)
    begun.say(0)
    assert "at which it fires" in purity_piece(begun).missing
