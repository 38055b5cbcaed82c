"""The window from its opening to its end: docks, projects, drops, messages, and the order in which it closes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDialog, QDockWidget, QLineEdit, QMessageBox, QTabBar

from tests.widgets.conftest import CARD
from widgets.address_box import AddressBox
from widgets.code_consent import CodeConsent
from widgets.export_dialog import ExportDialog
from widgets.keyboard import with_keyboard
from widgets.panels import PANELS
from widgets.sight import in_sight
from widgets.views.contact_sheet import ContactSheet
from workbench.jobs.job import Request
from workbench.jobs.report_requests import DescribeReports
from workbench.jobs.requests import DescribeAnalyses, ListSources, LoadModel, OpenImages, RunAnalysis
from workbench.labels import Label
from workbench.models.layer import Layer, Unit
from workbench.project import DirectionsUsed, Note, Project

ROOT = Path(__file__).resolve().parents[2]
CONTROL = Qt.KeyboardModifier.ControlModifier


# Opening


def test_it_opens_with_every_dock_and_the_defaults(make_window, runner):
    window = make_window()
    first = "model_loader neuron_grid inspector problems jobs notes training generate compare weights motifs circuit_graph evidence"
    later = "tuning families filter_editor polysemanticity patching patching_canvas scrubbing phase_change"
    assert set(PANELS) == {*first.split(), *later.split()}
    assert {id for id in PANELS if window.docks.is_visible(id)} == {id for id, entry in PANELS.items() if entry.open}
    [bar] = [bar for bar in window.findChildren(QTabBar) if "Neurons" in [bar.tabText(at) for at in range(bar.count())]]
    assert sum(bar.tabRect(at).width() for at in range(bar.count())) <= bar.width(), "every title can be read"
    assert window.messages.messages == []
    assert runner.asked(LoadModel) == [LoadModel("test:small")]
    assert runner.asked(OpenImages) == [OpenImages("test:images")]


def test_notes_and_circuits_are_begun_before_their_panels_were_seen(make_window, qtbot):
    window = make_window()
    qtbot.waitUntil(lambda: window.session.model is not None)
    assert not {"notes", "circuit_graph"} & {panel.id for panel in window.docks.panels()}
    window.registry.find("notes.new").run()
    assert len(window.session.project.notes) == 1 and window.docks.is_visible("notes")
    assert not window.registry.find("circuit.add_unit").is_enabled()
    window.session.select_unit(Unit("head", 2))
    window.registry.find("circuit.add_unit").run()
    assert window.session.circuit.units == ("head:2",)
    qtbot.waitUntil(lambda: in_sight(window.docks.panel("circuit_graph")))


def test_panels_are_built_when_they_are_first_seen(make_window, qtbot):
    window = make_window(defaults=("", ""))
    built = {panel.id for panel in window.docks.panels()}
    assert "notes" not in built  # behind the tab of the problems
    window.docks.reveal("notes")
    assert "notes" in {panel.id for panel in window.docks.panels()}


def test_every_panel_works_with_nothing_open(make_window, qtbot):
    window = make_window(defaults=("", ""))
    for id in PANELS:
        window.docks.reveal(id)
        qtbot.wait(1)
    assert {panel.id for panel in window.docks.panels()} == set(PANELS)
    assert window.messages.messages == []
    assert not window.grab().isNull()
    for panel in window.docks.panels():
        json.dumps(panel.save_state())
        panel.restore_state({})
        panel.views()


def test_no_panel_takes_more_room_than_a_small_laptop_has(make_window, runner, qtbot):
    long = "visual.transformer.resblocks.11.attn:scaled_dot_product_attention"
    runner.answers[LoadModel] = replace(CARD, name=long, layers=(*CARD.layers, Layer(long, "attention", (8, 64), 0)))
    window = make_window()
    qtbot.waitUntil(lambda: window.session.model is not None)
    for id in PANELS:
        window.docks.reveal(id)
    window.session.select_unit(Unit(long, 3))
    scrubbing = window.docks.panel("scrubbing")
    scrubbing.editor.show()  # as with a hypothesis
    scrubbing.editor.lay_out(narrow=True)
    for id in PANELS:  # each is told of the unit when it is looked at
        window.docks.reveal(id)
        qtbot.wait(10)
    assert scrubbing.minimumSizeHint().width() >= scrubbing.editor.minimumSizeHint().width() > 0
    widths = {id: window.docks.panel(id).minimumSizeHint().width() for id in PANELS}
    assert {id: width for id, width in widths.items() if width > 720} == {}
    assert window.minimumSizeHint().width() <= 1280 and window.minimumSizeHint().height() <= 700


def test_a_panel_that_cannot_be_built_leaves_the_others(make_window, monkeypatch, qtbot):
    import widgets.panels.jobs as jobs

    def broken(*_):
        raise RuntimeError("no such thing")

    monkeypatch.setattr(jobs.JobsPanel, "__init__", broken)
    window = make_window(show=False)
    with qtbot.waitSignal(window.ready):
        window.show()
    window.docks.reveal("jobs")
    assert window.messages.messages[-1].text == "Jobs: no such thing"
    assert "Traceback" in window.messages.messages[-1].details
    assert window.docks.panel("model_loader") is not None


def test_only_light_imports_before_the_window_shows():
    code = (
        "import sys, widgets.app\n"
        "heavy = [m for m in ('torch', 'timm', 'numpy', 'pydantic', 'pyqtgraph', 'zarr', 'PySide6.QtSvg') if m in sys.modules]\n"
        "assert not heavy, heavy"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


# Keyboard


def test_every_dock_is_reached_by_its_number(make_window, qtbot):
    window = make_window()
    for number, id in enumerate(list(PANELS)[:20], 1):
        held = CONTROL if number <= 10 else CONTROL | Qt.KeyboardModifier.AltModifier
        key = Qt.Key(Qt.Key.Key_0 + number % 10)
        QTest.keyClick(window, key, held)
        assert window.docks.current() is not None, f"Ctrl+{number} gives the keyboard to nothing in {id}"
        assert window.docks.current().id == id
    QTest.keyClick(window, key, held)
    assert not window.docks.is_visible(id)  # once more closes it
    QTest.keyClick(window, key, held)
    assert window.docks.is_visible(id)
    assert not any(window.registry.find(f"view.panel.{id}").shortcut for id in list(PANELS)[20:])


def test_a_panel_that_floats_is_the_one_that_has_the_keyboard(make_window, qtbot):
    window = make_window()
    dock = window.findChild(QDockWidget, "jobs")
    dock.setFloating(True)
    window.docks.reveal("jobs")
    qtbot.waitUntil(dock.isActiveWindow)
    jobs = window.docks.panel("jobs")
    assert window.docks.current() is jobs
    there = [id for id, entry in PANELS.items() if entry.open]
    seen = []
    for _ in there:
        before = window.docks.current()
        QTest.keyClick(with_keyboard(window), Qt.Key.Key_F6)
        qtbot.waitUntil(lambda: window.docks.current() not in (None, before))  # noqa: B023
        seen.append(window.docks.current().id)
    assert sorted(seen) == sorted(there) and seen[-1] == "jobs"
    window.go_to_unit()
    box = window.findChild(AddressBox)
    qtbot.waitUntil(lambda: with_keyboard(window) is box.field)
    QTest.keyClick(box.field, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: window.docks.current() is jobs)
    assert dock.isActiveWindow()
    window.toggle_dock("jobs")
    assert not window.docks.is_visible("jobs")


def test_a_dialog_of_a_panel_that_is_behind_another_leaves_it_there(make_window, qtbot):
    window = make_window()
    bar = next(bar for bar in window.findChildren(QTabBar) if bar.count() > 1 and bar.parent() is window)
    titles = {entry.title: id for id, entry in PANELS.items()}
    behind, front = (titles[bar.tabText(at)] for at in range(2))
    for id in (behind, front):
        window.docks.reveal(id)
    dialog = QDialog(window.docks.panel(behind))
    field = QLineEdit(dialog)
    dialog.show()
    dialog.activateWindow()
    qtbot.waitUntil(dialog.isActiveWindow)
    field.setFocus()
    assert window.docks.current().id == behind and in_sight(window.docks.panel(front))
    assert not in_sight(window.docks.panel(behind))
    dialog.close()


def test_no_panel_is_marked_when_none_has_the_keyboard(make_window, qtbot):
    window = make_window()
    window.docks.reveal("jobs")
    title = window.findChild(QDockWidget, "jobs").titleBarWidget()
    marked = title.grab().toImage()
    with_keyboard(window).clearFocus()
    assert window.docks.current() is None and title.grab().toImage() != marked


def test_f6_goes_round(make_window, qtbot):
    window = make_window()
    window.docks.reveal("model_loader")
    seen = []
    there = [id for id, entry in PANELS.items() if entry.open]
    for _ in there:
        QTest.keyClick(window, Qt.Key.Key_F6)
        seen.append(window.docks.current().id)
    assert sorted(seen) == sorted(there) and seen[-1] == "model_loader"


def test_units_and_layers_step_by_keyboard(make_window, qtbot):
    window = make_window()
    qtbot.waitUntil(lambda: window.session.model is not None)
    assert window.session.layer == "blocks.0.act"
    for id, unit in (
        ("model.next_unit", 0),
        ("model.next_unit", 1),
        ("model.previous_unit", 0),
        ("model.previous_unit", 31),
    ):
        window.registry.find(id).run()
        assert window.session.unit == Unit("blocks.0.act", unit)
    window.registry.find("model.next_layer").run()
    assert window.session.layer == "blocks.0:add"


def test_going_to_a_unit_by_its_address(make_window, qtbot):
    window = make_window()
    qtbot.waitUntil(lambda: window.session.model is not None)
    window.docks.reveal("jobs")
    before = with_keyboard(window)
    QTest.keyClick(window, Qt.Key.Key_G, CONTROL)
    box = window.findChild(AddressBox)
    assert with_keyboard(window) is box.field  # at once: what is typed next arrives there
    QTest.keyClicks(with_keyboard(window), "head:9")
    assert box.field.text() == "head:9"
    box.field.setText("head:99")
    QTest.keyClick(box.field, Qt.Key.Key_Return)
    assert box.complaint.text() == "head:99 does not exist: head has units 0 to 9"
    box.field.setText("head:3")
    QTest.keyClick(box.field, Qt.Key.Key_Return)
    assert window.session.unit == Unit("head", 3)
    assert box.isHidden() and with_keyboard(window) is before


# Closing and opening again


def test_reopening_restores_window_docks_and_investigation(make_window, qtbot):
    window = make_window()
    qtbot.waitUntil(lambda: window.session.images is not None and window.session.model is not None)
    window.session.select_unit(Unit("blocks.1.act", 7))
    window.session.project.notes.append(Note("Curves", "Unit 7 follows curves."))
    window.session.touch()
    window.docks.close("inspector")
    window.resize(1300, 820)
    window.docks.panel("model_loader").layers.field.setText("act")
    assert window.isWindowModified()
    window.close()

    again = make_window()
    qtbot.waitUntil(lambda: again.session.model is not None)
    assert (again.width(), again.height()) == (1300, 820)
    assert not again.docks.is_visible("inspector")
    assert again.docks.is_visible("notes")
    assert again.session.unit == Unit("blocks.1.act", 7)
    assert again.session.project.notes[0].text == "Unit 7 follows curves."
    assert again.docks.panel("model_loader").layers.field.text() == "act"
    assert again.isWindowModified()  # still not saved to a file of the user's


def test_changes_are_kept_soon_even_without_closing(make_window, qtbot, settings):
    window = make_window()
    window.investigation.autosave.setInterval(10)
    window.session.project.labels["m"] = {"a:1": [Label("curve")]}
    window.session.touch()
    qtbot.waitUntil(lambda: settings.running_copy.exists() and Project.load(settings.running_copy).labels != {})
    assert settings.modified


def test_an_unreadable_running_copy_is_put_aside(make_window, settings, qtbot):
    settings.running_copy.parent.mkdir(parents=True)
    settings.running_copy.write_text("{ broken", encoding="utf-8")
    window = make_window()
    assert "could not be opened and was put aside" in window.messages.messages[-1].text
    assert (settings.folder / "investigation.unreadable.json").read_text(encoding="utf-8") == "{ broken"
    qtbot.waitUntil(lambda: window.session.model is not None)


@dataclass(frozen=True)
class Slow(Request):
    @property
    def title(self) -> str:
        return "Slow"

    def run(self, engine, task):
        while True:
            time.sleep(0.002)
            task.step(0, 0)


def test_closing_while_a_job_runs_ends_the_worker_first(make_window, qtbot, monkeypatch):
    for lists in (ListSources, DescribeAnalyses, DescribeReports):  # they import torch, which cannot be cancelled
        monkeypatch.setattr(lists, "run", lambda *_: ())
    window = make_window(worker=True, defaults=("", ""))
    order = []
    window.session.relay.event.connect(lambda event: order.append((event.job, event.state)))
    job = window.session.relay.submit(Slow())
    qtbot.waitUntil(lambda: (job, "running") in order)
    began = time.monotonic()
    window.close()
    assert time.monotonic() - began < 2
    assert window.isHidden()
    assert "workbench worker" not in {thread.name for thread in threading.enumerate()}
    assert window.session.relay.submit(Slow()) == 0


# Projects


def test_saving_and_opening_a_project(make_window, qtbot, tmp_path, runner):
    window = make_window()
    qtbot.waitUntil(lambda: window.session.model is not None and window.session.images is not None)
    window.session.select_unit(Unit("head", 2))
    window.session.project.notes.append(Note("A", "first"))
    window.session.touch()
    window.docks.close("jobs")
    path = tmp_path / "curves.workbench"
    window.settings.project_file = path
    window.registry.find("file.save").run()
    assert not window.isWindowModified()
    assert window.windowTitle().startswith("curves")
    assert Project.load(path).notes[0].text == "first"

    window.registry.find("file.new").run()
    assert window.session.project.notes == []
    assert window.windowTitle().startswith("Untitled investigation")
    assert window.session.project.model == "test:small"  # what is open stays open
    window.docks.reveal("jobs")
    window.session.select_unit(None)

    loads = len(runner.asked(LoadModel))
    window.investigation.open(path)
    assert window.session.project.notes[0].text == "first"
    assert window.session.unit == Unit("head", 2)
    assert not window.docks.is_visible("jobs")
    assert not window.isWindowModified()
    assert len(runner.asked(LoadModel)) == loads  # it was open already
    assert window.settings.recent() == [path]
    recent = window.menus.menu("File/Open recent")
    recent.aboutToShow.emit()
    assert [action.text() for action in recent.actions()] == [str(path)]


def test_the_running_copy_is_the_investigation_that_was_opened_last(make_window, qtbot, tmp_path):
    """Whatever ends the program next, the content of one never stands under the name of another."""
    window = make_window()
    qtbot.waitUntil(lambda: window.session.model is not None and window.session.images is not None)
    window.session.project.notes.append(Note("A", "of the first"))
    window.session.touch()
    path = tmp_path / "second.workbench"
    Project(model="test:small", images="test:images", layer="head", notes=[Note("B", "of the second")]).save(path)
    window.investigation.open(path)
    box = window.findChild(QMessageBox)
    box.button(QMessageBox.StandardButton.Discard).click()
    kept = Project.load(window.settings.running_copy)
    assert [note.text for note in kept.notes] == ["of the second"] and window.settings.project_file == path
    assert not window.settings.modified and not window.isWindowModified()


def test_what_is_not_saved_stays_marked_where_another_investigation_cannot_be_read(make_window, tmp_path):
    window = make_window()
    window.session.project.notes.append(Note("A", "precious"))
    window.session.touch()
    bad = tmp_path / "bad.workbench"
    bad.write_text("not json", encoding="utf-8")
    window.investigation.open(bad)
    window.findChild(QMessageBox).button(QMessageBox.StandardButton.Discard).click()
    assert window.session.project.notes[0].text == "precious" and window.isWindowModified()
    window.session.set_modified(False)


def test_a_network_on_its_way_does_not_come_into_another_investigation(make_window, qtbot, tmp_path, runner):
    window = make_window()
    qtbot.waitUntil(lambda: window.session.model is not None and window.session.images is not None)
    path = tmp_path / "small.workbench"
    Project(model="test:small", images="test:images", layer="head", unit="head:2").save(path)
    runner.answers.pop(LoadModel)  # the next takes its time
    window.session.open_model("test:slow")
    job = max(runner.requests)
    window.investigation.open(path)
    assert job not in runner.open and window.session.unit == Unit("head", 2)


def test_an_investigation_whose_directions_are_gone_opens_without_them(make_window, qtbot, tmp_path, runner, monkeypatch):
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "data"))
    window = make_window(defaults=("", ""))
    path = tmp_path / "mine.workbench"
    used = DirectionsUsed("test:small", "blocks.1.act", "gone", "abc")
    Project(model="test:small?directions=gone", layer="blocks.1.act", directions=[used]).save(path)
    window.investigation.open(path)
    qtbot.waitUntil(lambda: window.session.model is not None)
    assert runner.asked(LoadModel)[-1].ref == "test:small" and "gone are not on this machine" in window.messages.messages[0].text
    assert window.session.layer == "blocks.1.act" and window.session.project.directions == [used]


def test_unsaved_changes_are_asked_about(make_window, qtbot, tmp_path):
    window = make_window()
    window.session.project.notes.append(Note("A", "precious"))
    window.session.touch()
    window.investigation.new()
    box = window.findChild(QMessageBox)
    assert box is not None and box.isVisible() and "Save the changes to Untitled investigation?" in box.text()
    assert window.session.project.notes  # nothing is lost while it asks
    box.button(QMessageBox.StandardButton.Cancel).click()
    assert window.session.project.notes
    window.settings.project_file = tmp_path / "kept.workbench"
    window.investigation.new()
    window.findChildren(QMessageBox)[-1].button(QMessageBox.StandardButton.Save).click()
    assert Project.load(tmp_path / "kept.workbench").notes[0].text == "precious"
    assert window.session.project.notes == []


def test_a_bad_project_file_is_one_message_and_nothing_lost(make_window, tmp_path):
    window = make_window()
    window.session.project.notes.append(Note("A", "mine"))
    bad = tmp_path / "bad.workbench"
    bad.write_text("not json", encoding="utf-8")
    window.investigation.open(bad)
    assert len(window.messages.messages) == 1
    assert "bad.workbench" in window.messages.messages[0].text
    assert window.session.project.notes[0].text == "mine"


def test_a_project_that_cannot_be_written_is_reported(make_window, tmp_path):
    window = make_window()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    window.settings.project_file = tmp_path / "file" / "inside.workbench"
    window.session.touch()
    window.investigation.save()
    assert "could not be written" in window.messages.messages[-1].text
    assert window.isWindowModified()
    window.settings.project_file = None


# Bringing things in


def drop(window, mime: QMimeData) -> None:
    place = QPointF(window.rect().center())
    actions = Qt.DropAction.CopyAction
    window.dropEvent(QDropEvent(place, actions, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier))


def files(*paths: Path) -> QMimeData:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return mime


def picture() -> QImage:
    image = QImage(12, 8, QImage.Format.Format_RGB32)
    image.fill(0xFFFF0000)
    return image


def test_an_image_is_dropped_pasted_and_removed(make_window, tmp_path, qtbot):
    window = make_window()
    changed = window.session.image_changed
    picture().save(str(tmp_path / "red.png"))
    with qtbot.waitSignal(changed):
        drop(window, files(tmp_path / "red.png"))
    assert window.session.image.shape == (8, 12, 3) and window.session.image_name == "red.png"
    assert np.array_equal(window.session.image[0, 0], [255, 0, 0])
    assert window.statusBar().currentMessage() == "red.png: 12 × 8 pixels"
    window.registry.find("edit.remove_image").run()
    assert window.session.image is None
    mime = QMimeData()  # of Python's: one that Qt makes may be taken for a dead object of another type at its address
    mime.setImageData(picture())
    QGuiApplication.clipboard().setMimeData(mime)
    with qtbot.waitSignal(changed):
        window.registry.find("edit.paste").run()
    assert window.session.image.shape == (8, 12, 3) and window.session.image_name == "Pasted image"
    window.session.drop_image(None)
    mime = QMimeData()
    mime.setData("image/png", (tmp_path / "red.png").read_bytes())
    with qtbot.waitSignal(changed):
        drop(window, mime)
    assert window.session.image.shape == (8, 12, 3)
    words = QMimeData()
    words.setText("words")
    QGuiApplication.clipboard().setMimeData(words)
    window.registry.find("edit.paste").run()
    assert window.messages.messages[-1].text == "There is no image and no file in what was pasted."


def test_a_bad_image_is_one_message_and_the_good_one_stays(make_window, tmp_path, qtbot):
    window = make_window()
    picture().save(str(tmp_path / "red.png"))
    with qtbot.waitSignal(window.session.image_changed):
        drop(window, files(tmp_path / "red.png"))
    before = window.session.image
    (tmp_path / "empty.png").write_bytes(b"")
    with qtbot.waitSignal(window.session.message):
        drop(window, files(tmp_path / "empty.png"))
    assert [m.text for m in window.messages.messages] == ["empty.png is empty (0 bytes)"]
    assert window._message_bar.isVisible()
    assert window.session.image is before and window.session.reading == ""
    window.registry.find("view.close_message").run()
    assert not window._message_bar.isVisible()


def test_an_image_is_decoded_by_the_worker(make_window, tmp_path, qtbot, monkeypatch):
    from workbench.images import image_file

    threads = []
    decode = image_file.read_image

    def watched(*what, **how):
        threads.append(threading.current_thread().name)
        return decode(*what, **how)

    monkeypatch.setattr(image_file, "read_image", watched)
    for lists in (ListSources, DescribeAnalyses, DescribeReports):  # they import torch, which takes its time
        monkeypatch.setattr(lists, "run", lambda *_: ())
    window = make_window(worker=True, defaults=("", ""))
    picture().save(str(tmp_path / "red.png"))
    with qtbot.waitSignal(window.session.image_changed):
        drop(window, files(tmp_path / "red.png"))
        assert window.session.image is None and window.session.reading == "red.png"
        assert window.statusBar().currentMessage() == "Reading red.png …"
        assert window.docks.panel("inspector").empty.text().startswith("Reading red.png …")
    assert threads == ["workbench worker"]
    assert window.session.image.shape == (8, 12, 3) and window.session.reading == ""


def test_folders_weights_and_several_images(make_window, tmp_path, runner):
    window = make_window(defaults=("", ""))
    (tmp_path / "w.safetensors").write_bytes(b"x")
    drop(window, files(tmp_path / "w.safetensors"))
    drop(window, files(tmp_path))
    for name in ("a.png", "b.png"):
        picture().save(str(tmp_path / name))
    drop(window, files(tmp_path / "a.png", tmp_path / "b.png"))
    assert runner.asked(LoadModel) == [LoadModel(f"file:{tmp_path / 'w.safetensors'}")]
    assert [r.ref for r in runner.asked(OpenImages)] == [
        f"folder:{tmp_path}",
        f"files:{tmp_path / 'a.png'};{tmp_path / 'b.png'}",
    ]


def test_a_python_file_is_shown_and_asked_about_before_it_runs(make_window, tmp_path, runner, qtbot):
    window = make_window(defaults=("", ""))
    path = tmp_path / "net.py"
    path.write_text("def make_net():\n    return 1\n", encoding="utf-8")
    drop(window, files(path))
    dialog = window.findChild(CodeConsent)
    assert dialog.isVisible()
    assert runner.asked(LoadModel) == []
    dialog.reject()
    qtbot.waitUntil(lambda: window.findChild(CodeConsent) is None)
    assert runner.asked(LoadModel) == []
    window.session.open_model(f"python:{path}:make_net")
    dialog = window.findChild(CodeConsent)
    assert dialog.factory.currentText() == "make_net"
    dialog.accept()
    assert runner.asked(LoadModel) == [LoadModel(f"python:{path}:make_net", True)]


def test_a_python_network_is_reopened_where_one_was(make_window, tmp_path, qtbot):
    window = make_window(defaults=("", ""))
    code, file = tmp_path / "net.py", tmp_path / "mine.workbench"
    code.write_text("def make_net():\n    return 1\n", encoding="utf-8")
    Project(model=f"python:{code}:make_net", layer="blocks.1.act", unit="blocks.1.act:7").save(file)
    window.investigation.open(file)
    window.findChild(CodeConsent).accept()
    qtbot.waitUntil(lambda: window.session.model is not None)
    assert window.session.unit == Unit("blocks.1.act", 7)


def test_a_refused_python_network_leaves_nothing_wanted(make_window, tmp_path, qtbot):
    window = make_window(defaults=("", ""))
    code = tmp_path / "net.py"
    code.write_text("def make_net():\n    return 1\n", encoding="utf-8")
    window.session.open_model(f"python:{code}:make_net", layer="head", unit=Unit("head", 1))
    window.findChild(CodeConsent).reject()
    drop(window, files(code))  # the same file, by hand
    qtbot.waitUntil(lambda: len(window.findChildren(CodeConsent)) == 1)
    window.findChild(CodeConsent).accept()
    qtbot.waitUntil(lambda: window.session.model is not None)
    assert (window.session.layer, window.session.unit) == ("blocks.0.act", None)


def test_a_python_reference_to_nothing_is_one_message(make_window):
    window = make_window(defaults=("", ""))
    window.session.open_model("python:/nowhere/net.py:make")
    assert "/nowhere/net.py does not exist" in window.messages.messages[-1].text


# Taking things out


def test_every_open_panel_offers_its_views_the_active_one_first(make_window, qtbot, monkeypatch):
    window = make_window()
    window.registry.find("file.export").run()
    assert window.messages.messages[-1].text.startswith("There is nothing to export yet")
    sheets = {id: ContactSheet(range(4), {}, title=f"view of {id}") for id in ("neuron_grid", "inspector", "model_loader")}
    for id, view in sheets.items():
        monkeypatch.setattr(window.docks.panel(id), "views", lambda view=view: [view])
    window.docks.close("model_loader")
    for id in ("inspector", "neuron_grid"):
        window.docks.reveal(id)
        QTest.keyClick(window, Qt.Key.Key_E, CONTROL)
        dialog = window.findChild(ExportDialog)
        offered = [dialog.list.item(i).text() for i in range(dialog.list.count())]
        other = {"inspector": "neuron_grid", "neuron_grid": "inspector"}[id]
        assert offered == [PANELS[id].title, f"view of {id}", PANELS[other].title, f"view of {other}"]
        dialog.reject()
        window.activateWindow()
        qtbot.waitUntil(lambda: window.findChild(ExportDialog) is None and window.isActiveWindow())


# Messages


def test_messages_stack_and_are_copied_with_details(make_window, qtbot):
    window = make_window()
    window.session.report("first", "where it happened")
    window.session.report("second")
    window.session.report("first", "where it happened")
    assert [m.text for m in window.messages.messages] == ["second", "first"]
    window.messages.copy()
    assert QGuiApplication.clipboard().text() == "first\n\nwhere it happened"
    window.messages._more.click()
    assert window.messages._details.isVisible()
    assert window.messages._details.toPlainText() == "where it happened"
    window.messages.dismiss()
    assert window.messages._text.text() == "second"
    window.messages.dismiss()
    assert not window._message_bar.isVisible()
    for i in range(50):
        window.session.report(f"error {i}")
    assert len(window.messages.messages) == 20 and window.messages.messages[-1].text == "error 49"


def test_an_exception_nobody_caught_leaves_the_window_alive(make_window, monkeypatch):
    from widgets.app import Excepthook

    window = make_window()
    monkeypatch.setattr(sys, "__excepthook__", lambda *_: None)
    try:
        raise KeyError("lost")
    except KeyError as error:
        Excepthook(window.session)(KeyError, error, error.__traceback__)
    assert window.messages.messages[-1].text == "Something went wrong in the window: KeyError: 'lost'"
    assert "Traceback" in window.messages.messages[-1].details


# Layout


def test_reset_brings_everything_back(make_window):
    window = make_window()
    for id in PANELS:
        window.docks.close(id)
    assert not any(window.docks.is_visible(id) for id in PANELS)
    window.registry.find("view.reset").run()
    assert all(window.docks.is_visible(id) == entry.open for id, entry in PANELS.items())
    grid, loader, inspector, problems = (
        window.docks.panel(id).mapTo(window, QPoint(0, 0))
        for id in ("neuron_grid", "model_loader", "inspector", "problems")
    )
    assert loader.x() < grid.x() < inspector.x()
    assert grid.y() < problems.y()


def test_the_keyboard_is_visible_in_the_title(make_window):
    window = make_window()
    window.docks.reveal("model_loader")
    titles = {id: dock.titleBarWidget()._active for id, dock in window.docks._docks.items()}
    assert [id for id, active in titles.items() if active] == ["model_loader"]


def test_a_panel_behind_another_tab_computes_nothing_until_it_is_looked_at(make_window, runner, qtbot):
    window = make_window()
    session = window.session
    qtbot.waitUntil(lambda: session.model is not None and session.images is not None)

    def weights_of(layer: str) -> bool:
        return any(request.parameters.get("target") == layer for request in runner.asked(RunAnalysis))

    window.docks.reveal("weights")
    session.select_layer("blocks.0.act")
    qtbot.waitUntil(lambda: weights_of("blocks.0.act"))
    window.docks.reveal("neuron_grid")
    weights = window.docks.panel("weights")
    assert weights.isVisible() and not in_sight(weights) and not in_sight(weights.matrix), "Qt says otherwise"
    assert in_sight(window.docks.panel("neuron_grid").grid)
    session.select_layer("blocks.1.act")
    qtbot.wait(50)
    assert not weights_of("blocks.1.act")
    next(bar for bar in window.findChildren(QTabBar) if "Weights" in tabs_of(bar)).setCurrentIndex(1)
    qtbot.waitUntil(lambda: weights_of("blocks.1.act"))
    assert in_sight(weights)
    window.docks.close("weights")
    assert not in_sight(weights)
    window.docks.reveal("neuron_grid")
    window.docks._docks["weights"].show()  # behind the one in front
    assert in_sight(weights) == (not weights.visibleRegion().isEmpty())
    window.docks.reveal("weights")
    assert in_sight(weights)


def tabs_of(bar: QTabBar) -> list[str]:
    return [bar.tabText(at) for at in range(bar.count())]


def test_docks_do_not_drift_when_what_is_in_them_changes(make_window, qtbot):
    window = make_window()
    qtbot.waitUntil(lambda: len(window.docks.panels()) >= 4)

    def widths() -> list[int]:
        return [dock.width() for dock in window.docks._docks.values() if dock.isVisible()]

    before = widths()
    assert before[0] < before[2] < before[1]  # model, inspector, neurons
    for i in range(12):
        window.session.report(f"message {i}")
        window.docks.panel("model_loader").images.about.show_text("x" * 40 * i)
        qtbot.wait(5)
        window.messages.dismiss()
        qtbot.wait(5)
    assert widths() == before


def test_no_button_waits_in_a_loop_of_its_own_for_its_menu():
    """Qt runs one until such a menu is closed, in which nothing else of the window's work can end; `popup.opens` does without."""
    sources = {path: path.read_text("utf-8") for path in (ROOT / "widgets").rglob("*.py")}
    assert sources and not [path.name for path, text in sources.items() if "InstantPopup" in text or "MenuButtonPopup" in text]
