"""Labels from the command line: out of a saved investigation and back into it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import main
from workbench.label_table import write_labels
from workbench.labels import Label
from workbench.project import Project

MODEL = "bundled:planted/and_or_net"
LABELS = {MODEL: {"detect:0": [Label("curve, 45°", 0.9, "me", 'it "is"', created=1.5), Label("line", kind="proposed", created=2.0)]}}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Project(layer="kept", labels=LABELS).save(tmp_path / "a.workbench")


def test_export_and_import_give_the_same_labels(project: Path, tmp_path: Path, capfdbinary):
    assert main.main(["labels", "export", str(project)]) == 0
    printed = capfdbinary.readouterr().out
    assert printed == write_labels(LABELS).encode()
    assert main.main(["labels", "export", str(project), "--out", str(tmp_path / "labels.csv")]) == 0
    assert (tmp_path / "labels.csv").read_bytes() == printed
    other = Project().save(tmp_path / "b.workbench")
    assert main.main(["labels", "import", str(other), str(tmp_path / "labels.csv")]) == 0
    assert Project.load(other).labels == LABELS
    assert b"labels: 2 new, 0 changed, 0 as they were, 2 not checked (their network is not open)\n" in capfdbinary.readouterr().out


def test_a_table_is_written_whole_and_never_over_the_investigation(project: Path, tmp_path: Path, monkeypatch, capfd):
    before = project.read_bytes()
    (tmp_path / "link.csv").symlink_to(project)
    for out in (project, tmp_path / "link.csv"):
        assert main.main(["labels", "export", str(project), "--out", str(out)]) == 2
        assert "is the investigation itself" in capfd.readouterr().err and project.read_bytes() == before
    table = tmp_path / "labels.csv"
    table.write_text("an earlier one")

    def full(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:5])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert main.main(["labels", "export", str(project), "--out", str(table)]) == 2
    assert table.read_text() == "an earlier one" and not list(tmp_path.glob(".*"))


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="pipes with a path as on Unix")
def test_a_table_goes_into_a_pipe(project: Path, capfd):
    reads, writes = os.pipe()
    try:
        assert main.main(["labels", "export", str(project), "--out", f"/dev/fd/{writes}"]) == 0
        assert os.read(reads, 10_000) == write_labels(LABELS).encode()
    finally:
        os.close(reads)
        os.close(writes)


def test_what_the_network_does_not_have_is_named_by_line(project: Path, tmp_path: Path, capfd):
    table = tmp_path / "labels.csv"
    layer = "detect"
    table.write_text(f"unit;label\n{layer}:0;Curve, 45°\n{layer}:99999;beyond\nnowhere:1;gone\n", encoding="utf-8-sig")
    assert main.main(["labels", "import", str(project), str(table), "--model", MODEL]) == 0
    out, err = capfd.readouterr()
    assert out == "labels: 1 new, 0 changed, 0 as they were, 2 complaints\n"
    said = [line.partition(":")[0] for line in err.splitlines() if line.startswith("line")]  # not how far the loading is
    assert said == ["line 3", "line 4"]
    saved = Project.load(project)
    assert [label.name for label in saved.labels[MODEL]["detect:0"]] == ["curve, 45°", "line", "Curve, 45°"] and saved.layer == "kept"


def test_what_cannot_be_read_changes_nothing(project: Path, tmp_path: Path, capfd):
    before = project.read_bytes()
    table = tmp_path / "labels.csv"
    table.write_text("name\nx\n")
    assert main.main(["labels", "import", str(project), str(table)]) == 2
    assert "error: this is no table of labels" in capfd.readouterr().err
    assert main.main(["labels", "import", str(project), str(tmp_path / "none.csv")]) == 2
    assert main.main(["labels", "export", str(tmp_path / "none.workbench")]) == 2
    assert project.read_bytes() == before
