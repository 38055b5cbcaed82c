"""Projects come back as they were saved; whatever happens meanwhile, one whole project is there; bad files say what they are."""

from __future__ import annotations

import json
import os
import random
import re
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from workbench import project as module
from workbench.circuit import Circuit, Edge
from workbench.hypothesis import Hypothesis, Node
from workbench.images.drawing import Drawing
from workbench.images.strokes import Arc
from workbench.labels import Label
from workbench.project import DirectionsUsed, Edit, Note, ProblemState, Project, ProjectError, Window
from workbench.unit_families import Family

ROOT = Path(__file__).resolve().parents[2]


def example() -> Project:
    return Project(
        model="timm:resnet18?pretrained=false&seed=0",
        images="emoji",
        layer="layer1.0.conv1",
        unit="layer1.0.conv1:12",
        window=Window(b"\x00\xff geometry", b"\x01state", {"problems": {"search": "curve", "widths": [1, 2.5, None, True]}}),
        notes=[Note("Kurven – 曲線", "folgt\nKurven 🌈", "timm:resnet18", "layer1.0.conv1:12", 1.5, 2.5), Note("b", created=3, changed=4)],
        labels={
            "timm:resnet18": {
                "layer1.0.conv1:12": [
                    Label("curve, 30°", 0.75, "me", "all starts\nagree", created=1.25),
                    Label("line", kind="proposed", created=2.0),
                ]
            }
        },
        families={"timm:resnet18": [Family("curves", "layer1.0.conv1", [12, 3], [0.0, None])]},
        problems={"7.10": ProblemState("started", "me", "weights of the second tower"), "7.1": ProblemState()},
        hypotheses=[Hypothesis(Node("XOR", "head:2", children=(Node("lying", "saturate:0", "orientation", ((0, 1),)),)), "XOR")],
        circuits=[Circuit("curves", "timm:resnet18", "emoji").with_edges([Edge("conv1:3", "layer1:7", -0.5)]), Circuit("empty")],
        edits=[Edit("timm:resnet18", "conv1", 3, "hand-made curve", 0.5, "curve", {"radius": 6.0}, "arch", False)],
        directions=[DirectionsUsed("timm:resnet18", "layer1", "layer1-pca", "0f" * 32)],
        arrays={"hand-made curve": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "twin": np.arange(3), "same": np.arange(3)},
    )


def age(folder: Path) -> None:
    """Make every file look an hour old."""
    for file in folder.rglob("*"):
        if file.is_file():
            os.utime(file, (time.time() - 3600,) * 2)


# What is saved comes back


def test_everything_comes_back(tmp_path: Path):
    written = example().save(tmp_path / "a.workbench")
    back = Project.load(written)
    assert back == example()
    assert back.arrays["hand-made curve"].dtype == np.float32
    assert back.window.geometry == b"\x00\xff geometry"
    assert isinstance(back.notes[0], Note) and isinstance(back.problems["7.10"], ProblemState)


def test_every_kind_of_difference_is_seen():
    for change in (
        lambda p: setattr(p, "layer", "x"),
        lambda p: setattr(p.notes[0], "text", "x"),
        lambda p: p.labels.clear(),
        lambda p: p.families["timm:resnet18"][0].units.reverse(),
        lambda p: setattr(p.window, "state", b""),
        lambda p: p.circuits.append(Circuit("another")),
        lambda p: p.circuits.__setitem__(0, p.circuits[0].with_edges([Edge("conv1:3", "layer1:7", -0.25)])),
        lambda p: p.hypotheses.__setitem__(0, p.hypotheses[0].without("lying")),
        lambda p: p.arrays["twin"].__setitem__(0, 9),
        lambda p: p.arrays.pop("same"),
    ):
        changed = example()
        change(changed)
        assert changed != example()


def test_equal_arrays_share_a_file_and_unused_ones_go(tmp_path: Path):
    project, path = example(), tmp_path / "a.workbench"
    project.save(path)
    assert len(list((tmp_path / "a.workbench.arrays").iterdir())) == 2
    project.arrays.pop("hand-made curve")
    project.save(path)
    assert len(list((tmp_path / "a.workbench.arrays").iterdir())) == 2, "another window may be about to use it"
    age(tmp_path)
    project.save(path)
    assert len(list((tmp_path / "a.workbench.arrays").iterdir())) == 1
    assert Project.load(path) == project
    project.arrays.clear()
    age(tmp_path)
    project.save(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.workbench"]


def test_a_link_and_the_access_rights_stay(tmp_path: Path):
    real, link = tmp_path / "real.workbench", tmp_path / "link.workbench"
    example().save(real)
    real.chmod(0o640)
    link.symlink_to(real)
    Project(layer="new", arrays={"a": np.zeros(2)}).save(link)
    assert link.is_symlink() and stat.S_IMODE(real.stat().st_mode) == 0o640
    assert Project.load(real).layer == Project.load(link).layer == "new"
    assert list(Project.load(link).arrays) == ["a"]


def test_half_a_surrogate_pair_does_not_keep_the_rest_from_being_saved(tmp_path: Path):
    Project(images="folder:\udcff", layer="kept").save(tmp_path / "a")
    assert Project.load(tmp_path / "a").layer == "kept"


def test_what_is_not_plain_data_is_refused_before_anything_is_written(tmp_path: Path):
    example().save(tmp_path / "a")
    bad = example()
    bad.window.panels["grid"] = {"size": np.float32(3)}
    with pytest.raises(TypeError, match="float32"):
        bad.save(tmp_path / "a")
    assert Project.load(tmp_path / "a") == example()


def test_a_folder_that_is_not_there_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        Project().save(tmp_path / "missing" / "a")
    assert list(tmp_path.iterdir()) == []


# Killed while saving

KILLED = textwrap.dedent(
    """
    import builtins, os, signal, sys
    import numpy as np
    from workbench.project import Project, Note

    path, step = sys.argv[1], int(sys.argv[2])
    new = Project(layer="new", notes=[Note("n", "x" * 200_000)], arrays={"a": np.full(50_000, 2.0), "b": np.full(9, 3.0)})

    left = step
    def killing(call, halfway=None):
        def wrapped(*args, **kwargs):
            global left
            left -= 1
            if left == 0:
                if halfway:
                    halfway(*args)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)
        return wrapped

    class Slow:
        '''A file that writes in pieces, so that it can be killed with half of its content on the disk.'''
        def __init__(self, file): self.file = file
        def write(self, content):
            half = len(content) // 2
            self.file.write(content[:half]); self.file.flush()
            cut()
            self.file.write(content[half:])
        def __getattr__(self, name): return getattr(self.file, name)
        def __enter__(self): return self
        def __exit__(self, *why): self.file.close()

    cut = killing(lambda: None)
    import workbench.project as module
    module.open = lambda name, mode: Slow(builtins.open(name, mode))
    for name in ("fsync", "replace", "unlink", "mkdir"):
        setattr(os, name, killing(getattr(os, name)))
    new.save(path)
    print("saved")
    """
)


def kill_at(step: int, path: Path) -> bool:
    """Save in a process that is killed at its `step`-th stop; return whether it got to the end instead."""
    run = subprocess.run([sys.executable, "-c", KILLED, str(path), str(step)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode in (0, -9), run.stderr
    return run.returncode == 0


def test_killed_at_every_point_of_a_save_the_old_or_the_new_project_is_whole(tmp_path: Path):
    old = Project(layer="old", arrays={"a": np.full(50_000, 1.0), "b": np.full(9, 3.0)})
    seen = []
    for step in range(1, 40):
        path = tmp_path / str(step) / "a.workbench"
        path.parent.mkdir()
        old.save(path)
        finished = kill_at(step, path)
        found = Project.load(path)
        seen.append(found.layer)
        if found.layer == "old":
            assert found == old
        else:
            assert found.layer == "new" and found.arrays["a"][0] == 2.0 and len(found.notes[0].text) == 200_000
        if finished:
            break
    else:
        pytest.fail("the save never got to its end")
    # The new project shows from one point on, and both sides of that point were met.
    assert seen == sorted(seen, reverse=True) and {"old", "new"} == set(seen)
    assert len(seen) >= 9
    # A later save clears up after the killed ones.
    assert list(tmp_path.rglob(".*.saving"))
    age(tmp_path)
    for path in tmp_path.glob("*/a.workbench"):
        old.save(path)
        assert [file.name for file in path.parent.iterdir() if file.is_file()] == ["a.workbench"]
        assert len(list(path.parent.rglob("*.npy"))) == 2
        assert not list(path.parent.rglob(".*"))


def test_killed_at_any_moment_a_whole_project_is_there(tmp_path: Path):
    path = tmp_path / "a.workbench"
    loop = textwrap.dedent(
        """
        import sys
        import numpy as np
        from workbench.project import Project
        n = 0
        while True:
            Project(layer=str(n), arrays={"a": np.full(20_000, n)}).save(sys.argv[1])
            if n == 0: print("going", flush=True)
            n += 1
        """
    )
    chance = random.Random(0)
    for _ in range(8):
        process = subprocess.Popen([sys.executable, "-c", loop, str(path)], cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"going\n"
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.wait()
        process.stdout.close()
        found = Project.load(path)
        assert (found.arrays["a"] == int(found.layer)).all() and found.arrays["a"].shape == (20_000,)


def test_a_full_disk_leaves_the_old_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = example().save(tmp_path / "a")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Project(layer="new").save(path)
    assert Project.load(path) == example()
    assert not list(tmp_path.glob(".*"))


# Bad files


def one_line(path: Path) -> str:
    with pytest.raises(ProjectError) as caught:
        Project.load(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"dear reader,\nthis is text", "does not hold JSON"),
        (b"\x80\x04\x95\x10.", "does not hold JSON"),
        (b'{"version": 1, "layer": "a', "does not hold JSON"),
        (b"[" * 100_000, "does not hold JSON"),
        (b"[1, 2]", "no version number"),
        (b"{}", "no version number"),
        (b'{"version": "1"}', "no version number"),
        (b'{"version": true}', "no version number"),
        (b'{"version": 0}', "never existed"),
        (b'{"version": 1000000}', "newer workbench .project version 1000000; .*update"),
        (b'{"version": 1, "colour": "red"}', "it has no field 'colour'"),
        (b'{"version": 1, "layer": 3}', "layer is 3"),
        (b'{"version": 1, "layer": null}', "layer is None"),
        (b'{"version": 1, "notes": {}}', "notes is {}"),
        (b'{"version": 1, "notes": [{"title": "a"}, {"titel": "b"}]}', r"notes\[1\] has no field 'titel'"),
        (b'{"version": 1, "window": {"geometry": "no base64!"}}', "window.geometry is 'no base64!'"),
        (b'{"version": 1, "problems": {"7.1": {"status": "won"}}}', r"problems\['7.1'\].status is 'won'"),
        (b'{"version": 4, "edits": [{"enabled": 1}]}', r"edits\[0\].enabled is 1"),
        (b'{"version": 1, "labels": {"m": "curve"}}', "damaged project of version 1"),
        (b'{"version": 2, "families": {"m": [{"name": "x", "layer": "a", "units": [1, 1]}]}}', r"families\['m'\]\[0\] cannot be"),
        (b'{"version": 2, "families": {"m": [{"name": "x", "layer": "a", "units": [1], "angles": ["up"]}]}}', "angles.*is 'up'"),
        (b'{"version": 2, "labels": {"m": {"a:1": "curve"}}}', r"labels\['m'\]\['a:1'\] is 'curve'"),
        (b'{"version": 2, "labels": {"m": {"a:1": [{"name": " "}]}}}', r"\['a:1'\]\[0\] cannot be: a label needs a name"),
        (b'{"version": 2, "labels": {"m": {"a:1": [{"confidence": 1}]}}}', r"\['a:1'\]\[0\] cannot be: .*'name'"),
        (b'{"version": 2, "labels": {"m": {"a:1": [{"name": "x", "confidence": 7}]}}}', "cannot be: confidence 7.0 is not"),
        (b'{"version": 2, "labels": {"m": {"a:1": [{"name": "x", "confidence": "sure"}]}}}', "confidence is 'sure'"),
        (b'{"version": 2, "labels": {"m": {"a:1": [{"name": "x", "kind": "guessed"}]}}}', "kind is 'guessed'"),
        (b'{"version": 3, "circuits": [{"circuit": 1, "units": ["x"]}]}', r"circuits\[0\] cannot be: .*circuit that can be read"),
        (b'{"version": 3, "circuits": [{"circuit": 9}]}', r"circuits\[0\] cannot be: this circuit is of version 9"),
        (b'{"version": 5, "hypotheses": [{"hypothesis": 9}]}', r"hypotheses\[0\] cannot be: this hypothesis is of version 9"),
        (b'{"version": 3, "circuits": ["curves"]}', r"circuits\[0\] is 'curves'"),
        (b'{"version": 5, "drawings": {"clean": {"objects": [{"kind": "star"}]}}}', "no object is named 'star'; there"),
        (b'{"version": 5, "drawings": {"clean": {"objects": [{"kind": "arc", "x": "left"}]}}}', r"drawings\['clean'\] cannot be: "),
        (b'{"version": 5, "drawings": {"clean": {"ground": {"colour": "white"}}}}', "a colour is written #rrggbb, not 'white'"),
        (b'{"version": 1, "arrays": ["a"]}', "arrays is"),
        (b'{"version": 1, "arrays": {"a": "../../secret.npy"}}', "not the name of an array file"),
        (b'{"version": 1, "arrays": {"a": "0.npy"}}', "cannot be read: No such file"),
    ],
)
def test_a_bad_file_says_in_one_line_what_is_wrong(tmp_path: Path, content: bytes, says: str):
    path = tmp_path / "bad.workbench"
    path.write_bytes(content)
    assert re.search(says, one_line(path))
    assert path.read_bytes() == content


def test_no_file_and_a_folder(tmp_path: Path):
    assert "there is no project" in one_line(tmp_path / "none")
    assert "cannot be read" in one_line(tmp_path)


def test_a_damaged_array_is_named_and_a_pickled_one_runs_nothing(tmp_path: Path):
    path = example().save(tmp_path / "a")
    file = max((tmp_path / "a.arrays").iterdir(), key=lambda f: f.stat().st_size)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert f"needs the array {file}, which is damaged" in one_line(path)
    with pytest.raises(ValueError, match="allow_pickle"):
        Project(arrays={"a": np.array([print], dtype=object)}).save(path)


# Versions


def test_a_file_of_each_older_version_is_still_read():
    """One saved file of each version stays in this folder for good."""
    files = sorted((Path(__file__).parent / "projects").glob("version_*.workbench"))
    assert [json.loads(file.read_text(encoding="utf-8"))["version"] for file in files] == list(range(1, module.VERSION + 1))
    for file in files:
        project = Project.load(file)
        assert project.notes[0].title == "Curves" and project.notes[0].unit == "blocks.2.0:12"
        [label] = project.labels["bundled:efficientnet-lite0"]["blocks.2.0:12"]
        assert (label.name, label.kind) == ("curves", "typed")
        if file.stem >= "version_2":
            [family] = project.families["bundled:efficientnet-lite0"]
            assert (family.name, family.units, family.angles) == ("curves", [12, 7], [0.0, None])
        if file.stem >= "version_3":
            [circuit] = project.circuits
            assert circuit.name == "curves" and circuit.edges == (Edge("blocks.1.0:3", "blocks.2.0:12", -0.25),)
            assert circuit.figures == {"weights": {"images": 64, "path": "all", "gate": "mean"}}
        else:
            assert project.circuits == []
        if file.stem >= "version_4":
            [edit] = project.edits
            assert (edit.layer, edit.unit, edit.bias, edit.parameters, edit.enabled) == ("conv_stem", 3, -0.5, {"orientation": 45.0}, False)
            [used] = project.directions
            assert (used.layer, used.name, used.digest) == ("blocks.2.0", "curves-pca", "0f" * 32)
        else:
            assert project.edits == [], "whole weight tensors, which nothing ever wrote"
            assert project.directions == []
        if file.stem >= "version_5":
            [hypothesis] = project.hypotheses
            assert (hypothesis.name, hypothesis.root.children[0].feature) == ("Curve", "orientation")
            clean = project.drawings["clean"]
            assert clean.objects[0] == Arc(0, 0, 0.3, colour="#1c2126") and clean.ground.source == "grey.png"
            assert project.drawings["corrupt"] == Drawing() and project.arrays[clean.ground.picture].shape == (4, 4, 3)
        else:
            assert project.hypotheses == []
            assert project.drawings == {}
        assert project.problems["7.10"].status == "started"
        assert project.window.state == b"docks"
        assert project.arrays["kernel"].tolist() == [[1.0, -1.0]]


def test_the_names_of_version_1_become_labels_that_nobody_is_named_for(tmp_path: Path):
    path = tmp_path / "old.workbench"
    path.write_text('{"version": 1, "labels": {"m": {"a:1": "curve,  45°", "a:2": " "}}}', encoding="utf-8")
    assert Project.load(path).labels == {"m": {"a:1": [Label("curve, 45°", None, "", "", "typed", 0.0)]}}


def test_what_version_4_kept_under_directions_is_there_in_the_network_alone(tmp_path: Path):
    """Else it would be saved on and on, and never be seen."""
    plain, opened = "bundled:inception", "bundled:inception?directions=sae"
    turned = {"name": "turned", "layer": "conv2d0", "units": [1, 2]}
    document = {
        "version": 4,
        "labels": {
            opened: {"conv2d0:5": [{"name": "arc"}, {"name": "curve"}], "conv2d0~sae:5": [{"name": "latent"}]},
            plain: {"conv2d0:5": [{"name": "curve"}]},
        },
        "families": {opened: [turned, turned | {"units": [3]}, turned | {"layer": "conv2d0~sae"}], plain: [turned]},
        "edits": [{"model": opened, "layer": "conv2d0", "unit": 3}, {"model": "m", "layer": "a"}],
    }
    path = tmp_path / "old.workbench"
    path.write_text(json.dumps(document), encoding="utf-8")
    project = Project.load(path)
    named = {model: {unit: [label.name for label in of] for unit, of in units.items()} for model, units in project.labels.items()}
    assert named == {plain: {"conv2d0:5": ["curve", "arc"]}, opened: {"conv2d0~sae:5": ["latent"]}}
    kept = {model: [(family.name, family.layer, family.units) for family in of] for model, of in project.families.items()}
    assert kept == {
        plain: [("turned", "conv2d0", [1, 2]), ("turned 2", "conv2d0", [3])],
        opened: [("turned", "conv2d0~sae", [1, 2])],
    }
    assert [edit.model for edit in project.edits] == [plain, "m"]


def test_an_older_version_is_brought_up_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "old.workbench"
    path.write_text('{"version": 1, "place": "conv1", "notes": ["first", "second"]}', encoding="utf-8")
    before = path.read_bytes()
    monkeypatch.setattr(module, "VERSION", 3)
    renamed = lambda old: {("layer" if name == "place" else name): value for name, value in old.items()}  # noqa: E731
    titled = lambda old: old | {"notes": [{"title": text} for text in old["notes"]]}  # noqa: E731
    monkeypatch.setattr(module, "MIGRATIONS", {1: renamed, 2: titled})
    project = Project.load(path)
    assert project.layer == "conv1" and [note.title for note in project.notes] == ["first", "second"]
    assert path.read_bytes() == before, "reading must not change the file"
    project.save(path)
    assert json.loads(path.read_text(encoding="utf-8"))["version"] == 3
    path.write_text('{"version": 2}', encoding="utf-8")
    assert "damaged project of version 2" in one_line(path)


# Cost


def test_loading_imports_nothing_heavy_and_importing_is_quick(tmp_path: Path):
    path = Project(notes=[Note("a")]).save(tmp_path / "a")
    code = f"""
import argparse, dataclasses, hashlib, json, pathlib, sys, time  # what a window that starts has loaded anyway
start = time.process_time()
from workbench.project import Project
imported = time.process_time() - start
Project.load({str(path)!r})
heavy = {{"torch", "numpy", "pydantic", "PySide6"}} & set(sys.modules)
start = time.process_time()
import pydantic
class Model(pydantic.BaseModel):
    field: int = 0
print(imported / (time.process_time() - start), sorted(heavy))
"""
    outputs = [subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True) for _ in range(5)]
    assert all(run.stdout.rstrip().endswith("[]") for run in outputs), outputs[0].stdout + outputs[0].stderr
    assert min(float(run.stdout.split()[0]) for run in outputs) < 0.4, "of what pydantic alone takes, on a machine of any speed"
