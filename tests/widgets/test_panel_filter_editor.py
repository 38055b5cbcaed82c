"""The panel Filter editor: kernels before and after, painting and templates as edits that can be taken back, what they recover."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt

from widgets.panels.filter_editor import FilterEditorPanel
from widgets.template_handles import HANDLES, placed
from workbench.analyses.analysis import Result
from workbench.input_error import InputError
from workbench.jobs.kernel_requests import Exported, ExportNetwork, KernelCard, KernelOf, RecoverLive, Trial, TryKernel
from workbench.jobs.requests import RunAnalysis
from workbench.kernel_edits import KernelEdit
from workbench.kernel_ground import Ground
from workbench.kernel_templates import TEMPLATES
from workbench.models.layer import Unit

UNIT = Unit("blocks.0.act", 3)
OWN = np.linspace(-1, 1, 75, dtype=np.float32).reshape(3, 5, 5)


def card(request: KernelOf) -> KernelCard:
    return KernelCard(request.unit, "input", OWN, 0.25, True, Ground((5, 5), 3, (0.5, 0.5, 0.5)), UNIT)


def trial(request: TryKernel) -> Trial:
    degrees = np.arange(0.0, 180, 45)
    curve = degrees, np.array([1.0, 2, 3, 1]), np.array([1.0, 2, 2, 1])
    return Trial(0.875, 1.5, -0.5, 0.75, 2000, np.ones(4, np.float32), np.ones(4, np.float32), {"lines": curve, "curves": curve})


def recovered(request: RunAnalysis) -> Result:
    summary = {f"loss_{row}": 1.0 for row in ("full", "ablated", "offset", "hand", "zeroed")}
    summary |= {"recovered": 0.62, "recovered_low": 0.4, "recovered_high": 0.8, "refused": "", "offset_recovered": 0.0}
    summary |= {"mcnemar": {"hand_ablated": {"p": 0.00123}, "full_hand": {"p": 0.25}}}
    summary |= {"shuffled_mean": 0.05, "images": 512, "units": [{}], "accuracy_full": 0.9}
    given = {"model": request.model, "weights": "abc", "images": request.images}
    return Result("HandCoding", dict(request.parameters), {"shuffled_recovered": np.array([0.0, 0.1])}, summary, given)


def written(request: ExportNetwork) -> Exported:
    return Exported(request.path, request.path + ".json", 192)


@pytest.fixture
def panel(session, runner, qtbot):
    runner.answers |= {KernelOf: card, TryKernel: trial, RunAnalysis: recovered, ExportNetwork: written}
    made = FilterEditorPanel(session)
    qtbot.addWidget(made)
    made.resize(900, 700)
    made.show()
    session.open_model("test:small", layer=UNIT.layer, unit=UNIT)
    session.open_images("test:images")
    qtbot.waitUntil(lambda: len(made.views()) == 2)
    return made


def entries(session) -> list:
    return session.project.edits


def test_nothing_open_says_what_to_do(session, qtbot):
    made = FilterEditorPanel(session)
    qtbot.addWidget(made)
    made.show()
    assert "select a unit" in made.kernels.message and made.views() == []
    assert not made.recover.isEnabled() and not made.export.isEnabled()


def test_the_own_kernel_is_shown_and_tried_without_becoming_an_edit(panel, session, runner):
    assert np.array_equal(panel.kernels.data()["own"], OWN) and np.array_equal(panel.kernels.hand, OWN)
    assert "Correlation with the own unit 0.875" in panel.said.text() and "2,000 images" in panel.said.text()
    assert entries(session) == [] and len(runner.asked(TryKernel)) == 1
    assert set(panel.responses.data()) >= {"lines_own", "curves_hand", "images_own"}


def test_a_stroke_is_an_edit_that_is_tried_and_taken_back(panel, session, runner, qtbot):
    panel.brush.setValue(-1.0)
    side, _, places = panel.kernels._squares(QRectF(panel.kernels.rect()))
    corner = places[1][1]
    start, end = (QPoint(round(corner.x() + side * x), round(corner.y() + side / 2)) for x in (0.1, 0.3))
    qtbot.mousePress(panel.kernels, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(panel.kernels, end)
    assert entries(session) == [], "nothing is written before the stroke ends"
    qtbot.mouseRelease(panel.kernels, Qt.MouseButton.LeftButton, pos=end)
    [edit] = entries(session)
    assert (edit.model, edit.layer, edit.unit, edit.bias, edit.template, edit.enabled) == ("test:small", UNIT.layer, 3, 0.25, "", True)
    kernel = session.project.arrays[edit.array]
    assert kernel[1, 2, 0] == -1 and np.array_equal(kernel[0], OWN[0]) and np.array_equal(kernel[2], OWN[2])
    qtbot.waitUntil(lambda: np.array_equal(panel._tried_kernel(), kernel))
    assert np.array_equal(OWN, panel.kernels.data()["own"]) and panel.stack.item(0).text().endswith("painted")
    session.undo_stack.undo()
    assert entries(session) == [] and np.array_equal(panel.kernels.hand, OWN) and panel.stack.count() == 0
    session.undo_stack.redo()
    assert np.array_equal(panel.kernels.hand, kernel)
    assert np.array_equal(KernelEdit.from_document(runner.asked(TryKernel)[-1].edit).kernel, kernel)


def test_a_template_is_written_and_the_impossible_is_refused_at_its_field(panel, session):
    form = panel.form
    assert form.kind.findData("gabor") > 0 and form.kind.findData("complex_gabor") < 0, "only what can be made of pixels"
    form.kind.setCurrentIndex(form.kind.findData("gabor"))
    form.kind.activated.emit(form.kind.currentIndex())
    [edit] = entries(session)
    assert edit.template == "gabor" and edit.parameters["wavelength"] == 5
    form.field("orientation").setText("90")
    form.field("orientation").editingFinished.emit()
    [edit] = entries(session)
    upright = session.project.arrays[edit.array]
    assert edit.parameters["orientation"] == 90 and np.allclose(upright[0], upright[0][::-1], atol=1e-6)
    for text, said in (("1", "not between 2 and 60"), ("x", "not a number")):
        form.field("wavelength").setText(text)
        form.field("wavelength").editingFinished.emit()
        assert said in form.complaint_at("wavelength") and form.complaint_at("orientation") == ""
        assert entries(session) == [edit], "what cannot be changes nothing"
    form.field("wavelength").setText("4")
    form.field("wavelength").editingFinished.emit()
    assert form.complaint_at("wavelength") == "" and entries(session)[0].parameters["wavelength"] == 4
    session.undo_stack.undo()
    assert form.field("wavelength").text() == "5"


def test_what_is_ticked_is_recovered_and_exported(panel, session, runner, qtbot):
    panel.empty.click()
    assert not session.project.arrays[entries(session)[0].array].any()
    panel.recover.click()
    qtbot.waitUntil(lambda: panel.bars.data() != {})
    [request] = runner.asked(RunAnalysis)
    assert request.analysis == "HandCoding" and [one["unit"] for one in request.parameters["edits"]] == [3]
    assert request.parameters["images"] == 2000, "as many as the line that follows each stroke is of"
    assert "by hand against ablated p = 0.0012, against the network's own kernels p = 0.25" in panel.said.text()
    assert "Recovered 62 % [40, 80]; shuffled kernels 5 %" in panel.bars.accessibleDescription() and len(panel.views()) == 3
    panel.write_network("some/where.safetensors")
    assert runner.asked(ExportNetwork)[0].path == "some/where.safetensors"
    assert runner.asked(ExportNetwork)[0].images == "test:images", "what is written is fitted as what was scored"
    panel.stack.item(0).setCheckState(Qt.CheckState.Unchecked)
    assert entries(session)[0].enabled is False and not panel.recover.isEnabled() and not panel.export.isEnabled()
    session.undo_stack.undo()
    assert panel.stack.item(0).checkState() == Qt.CheckState.Checked
    panel.stack.item(0).setSelected(True)
    panel.remove.click()
    assert entries(session) == [] and np.array_equal(panel.kernels.hand, OWN)


def test_what_was_recovered_goes_when_the_ticked_kernels_are_others(panel, session, runner, qtbot):
    def measured() -> None:
        panel.recover.click()
        qtbot.waitUntil(lambda: panel.bars.data() != {})

    panel.empty.click()
    measured()
    session.touched.emit()
    assert panel.bars.data() != {}, "nothing that was measured is another now"
    panel.kernels.painted.emit(np.ones_like(OWN))
    assert panel.bars.data() == {}
    session.undo_stack.undo()
    measured()
    panel.stack.item(0).setCheckState(Qt.CheckState.Unchecked)
    assert panel.bars.data() == {}
    session.undo_stack.undo()
    measured()
    panel.stack.item(0).setSelected(True)
    panel.remove.click()
    assert panel.bars.data() == {} and len(panel.views()) == 2


def test_a_measurement_is_stopped_when_another_network_is_opened(panel, session, qtbot, monkeypatch):
    panel.empty.click()
    stopped: list[int] = []
    monkeypatch.setattr(session.relay, "submit", lambda request, receive: 77)
    monkeypatch.setattr(session.relay, "cancel", stopped.append)
    panel.recover.click()
    assert not panel.run.cancel.isHidden()
    session.model_changed.emit(session.model)
    assert stopped == [77] and panel.run.cancel.isHidden()


def test_painting_over_a_template_leaves_no_template_in_the_form(panel, session):
    form = panel.form
    form.kind.setCurrentIndex(form.kind.findData("gabor"))
    form.kind.activated.emit(form.kind.currentIndex())
    painted = np.array(panel.kernels.hand)
    painted[0, 2, 2] = 0.75
    panel.kernels._hand = painted
    panel.kernels.painted.emit(painted)
    assert entries(session)[0].template == "" and form.kind.currentData() == ""
    session.undo_stack.undo()
    assert form.kind.currentData() == "gabor"


def test_one_kernel_is_one_edit_whichever_layer_shows_it(panel, session, runner, qtbot):
    panel.empty.click()
    before = Unit("blocks.0.conv", 3)
    session.select_unit(before)
    qtbot.waitUntil(lambda: panel._card is not None and panel._card.unit == before)
    assert not panel.kernels.hand.any(), "what was written behind the non-linearity"
    panel.kernels.painted.emit(np.ones_like(OWN))
    [edit] = entries(session)
    assert Unit(edit.layer, edit.unit) == UNIT


def test_a_unit_without_a_kernel_is_told_and_another_network_begins_empty(panel, session, runner, qtbot):
    runner.answers[KernelOf] = InputError("head:1 has no kernel that can be written: it is made by linear")
    panel.empty.click()
    session.select_unit(Unit("head", 1))
    qtbot.waitUntil(lambda: "made by linear" in panel.kernels.message)
    assert panel.views() == [] and not panel.empty.isEnabled() and panel.stack.count() == 1
    panel.stack.itemActivated.emit(panel.stack.item(0))
    assert session.unit == UNIT


def test_the_brush_is_kept(panel):
    panel.brush.setValue(-0.5)
    state = panel.save_state()
    panel.restore_state({})
    assert panel.brush.value() == 1.0
    panel.restore_state(state)
    assert panel.brush.value() == -0.5 and panel.kernels.brush == -0.5


def far(images: int, recovered: float, refused: str = "") -> dict[str, object]:
    told = {"recovered": recovered, "recovered_low": recovered - 0.06, "recovered_high": recovered + 0.06, "lost": 0.1551}
    return told | {"refused": refused, "images": images, "of": 2000, "nats": True}


def newest(runner) -> int:
    return max(job for job, request in runner.requests.items() if isinstance(request, RecoverLive))


def test_what_is_recovered_follows_the_brush_and_begins_with_few_images(panel, session, runner, qtbot):
    def says(text: str) -> None:
        qtbot.waitUntil(lambda: panel.recovery.text() == text)

    worth = "of the 0.155 nats that the units are worth"
    assert panel.recovery.isHidden() and runner.asked(RecoverLive) == []
    panel.empty.click()
    [first] = runner.asked(RecoverLive)
    job = newest(runner)
    runner.tell(job, "progress", done=64, total=2000, partial=far(64, 0.4))
    says(f"40 % recovered [34, 46] {worth} (64 of 2,000 images …)")
    panel.reset.click()
    second = runner.asked(RecoverLive)[-1]
    assert second.edits != first.edits and second.key == first.key
    runner.tell(job, "done", result=far(2000, 0.4))
    runner.tell(newest(runner), "progress", done=128, total=2000)
    says("What this recovers is measured: 6 %")
    runner.tell(newest(runner), "done", result=far(2000, 1.0))
    says(f"100 % recovered [94, 106] {worth} (2,000 images)")


def test_nothing_to_recover_is_said_once_all_images_were_seen_and_nothing_at_all_without_kernels(panel, session, runner, qtbot):
    panel.empty.click()
    runner.tell(newest(runner), "progress", done=64, total=2000, partial=far(64, 0, "within noise"))
    qtbot.waitUntil(lambda: panel.recovery.text().startswith("Nothing can be said yet"))
    runner.tell(newest(runner), "done", result=far(2000, 0, "within noise"))
    qtbot.waitUntil(lambda: panel.recovery.text() == "Recovered: within noise (2,000 images)")
    session.undo_stack.undo()
    assert panel.recovery.isHidden()


def take(panel: FilterEditorPanel, template: str):
    """Write a template with its defaults and return the form."""
    form = panel.form
    form.kind.setCurrentIndex(form.kind.findData(template))
    form.kind.activated.emit(form.kind.currentIndex())
    return form


def drag(qtbot, panel: FilterEditorPanel, handle: str, *to: tuple[float, float]) -> None:
    """Take a handle and lead it over places: cells to the right of the kernel's middle, and above it."""
    view = panel.form.picture
    middle, cell = view._frame(view.rect().toRectF()).center(), view._cell()
    points = [(middle + QPointF(right, -up) * cell).toPoint() for right, up in to]
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=view.places()[handle].toPoint())
    for point in points:
        qtbot.mouseMove(view, point)
    assert view.held
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=points[-1])


def number_in(panel: FilterEditorPanel, name: str) -> float:
    return float(panel.form.field(name).text())


def test_a_handle_turns_and_lengthens_a_line_in_one_edit(panel, session, qtbot):
    form = take(panel, "line")
    before = session.undo_stack.count()
    seen: list[np.ndarray] = []
    form.previewed.connect(lambda kernel: seen.append(np.array(panel.kernels.hand)))
    drag(qtbot, panel, "end", (2.0, 1.0), (0.5, 1.5), (0.0, 2.0))
    assert number_in(panel, "orientation") == pytest.approx(90, abs=3) and number_in(panel, "length") == pytest.approx(4, abs=0.3)
    assert len(seen) == 3 and not np.array_equal(seen[0], seen[2]), "the kernel follows the handle"
    assert session.undo_stack.count() == before + 1, "one drag is one step"
    edit = entries(session)[0]
    assert edit.parameters["orientation"] == number_in(panel, "orientation")
    assert np.array_equal(panel.kernels.hand, session.project.arrays[edit.array])
    at = form.picture.places()["end"] - form.picture._frame(form.picture.rect().toRectF()).center()
    assert abs(at.x()) < 0.2 * form.picture._cell() and at.y() < 0
    session.undo_stack.undo()
    assert number_in(panel, "orientation") == 0 and number_in(panel, "length") == 8
    at = form.picture.places()["end"] - form.picture._frame(form.picture.rect().toRectF()).center()
    assert at.x() > 0 and at.y() == 0, "the handle goes back with the field"


def test_a_number_that_is_typed_moves_its_handle_and_its_slider(panel):
    form = take(panel, "gabor")
    before, step = form.picture.places()["dark stripe"], form.slider("phase").value()
    for name, text in (("wavelength", "2.5"), ("phase", "180")):
        form.field(name).setText(text)
        form.field(name).editingFinished.emit()
    middle = form.picture._frame(form.picture.rect().toRectF()).center()
    after = form.picture.places()["dark stripe"]
    assert (middle - after).y() == pytest.approx(1.25 * form.picture._cell(), abs=1) and after != before
    assert form.slider("phase").value() > step


def test_a_slider_beside_its_field_is_one_step_for_one_drag(panel, session):
    form = take(panel, "centre_surround")
    slider, before = form.slider("balance"), session.undo_stack.count()
    slider.setSliderDown(True)
    for step in (200, 100, 0):
        slider.setValue(step)
    assert number_in(panel, "balance") == 0 and session.undo_stack.count() == before
    slider.setSliderDown(False)
    assert session.undo_stack.count() == before + 1 and entries(session)[0].parameters["balance"] == 0
    session.undo_stack.undo()
    assert number_in(panel, "balance") == 1 and slider.value() == 250


def test_a_handle_that_is_let_go_where_nothing_can_be_is_refused_at_its_field(panel, session, qtbot):
    form = take(panel, "centre_surround")
    before, written = session.undo_stack.count(), np.array(panel.kernels.hand)
    drag(qtbot, panel, "centre", (1.5, 0.0), (2.5, 0.0))
    assert "larger than the centre" in form.complaint_at("surround") and number_in(panel, "centre") == pytest.approx(2.5, abs=0.1)
    assert session.undo_stack.count() == before and np.array_equal(panel.kernels.hand, written), "nothing is written"
    drag(qtbot, panel, "centre", (0.5, 0.0))
    assert form.complaint_at("surround") == "" and session.undo_stack.count() == before + 1


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "1e9", "x"])
def test_a_number_that_cannot_be_is_refused_at_its_field_and_the_handles_are_still_painted(panel, qtbot, text):
    form = panel.form
    for place in range(1, form.kind.count()):
        take(panel, form.kind.itemData(place))
        for name, field in form._fields.items():
            before = field.text()
            field.setText(text)
            field.editingFinished.emit()
            picture = form.picture.grab().toImage()  # paints; what an event handler raises fails the test
            assert not picture.isNull() and form.picture.places(), (name, text)
            assert text in ("0", "-1") or form.complaint_at(name), (name, text)
            field.setText(before)
            field.editingFinished.emit()


def test_a_click_that_moves_nothing_is_no_step(panel, session, qtbot):
    form = take(panel, "centre_surround")
    before = session.undo_stack.count()
    qtbot.mouseClick(form.picture, Qt.MouseButton.LeftButton, pos=form.picture.places()["centre"].toPoint())
    form.slider("balance").setSliderDown(True)
    form.slider("balance").setSliderDown(False)
    form.field("surround").editingFinished.emit()  # as when the focus goes elsewhere
    assert session.undo_stack.count() == before


def test_turning_leaves_a_length_that_is_too_long_to_be_shown(panel, session, qtbot):
    take(panel, "line")
    rim = panel.form.picture._rim
    assert rim < 8 / 2
    drag(qtbot, panel, "end", (0.7 * rim, 0.7 * rim), (0.0, 1.1 * rim))
    assert number_in(panel, "orientation") == pytest.approx(90, abs=3) and number_in(panel, "length") == 8
    drag(qtbot, panel, "end", (0.0, 1.0), (rim, 0.0))
    assert number_in(panel, "length") == 8, "back at the rim it is what it was"
    drag(qtbot, panel, "end", (0.0, 1.0))
    assert number_in(panel, "length") == pytest.approx(2, abs=0.3)


def test_every_number_of_every_template_has_a_handle_or_a_slider(panel):
    form = panel.form
    for place in range(1, form.kind.count()):
        name = form.kind.itemData(place)
        take(panel, name)
        assert set(form._sliders) == set(form._fields) - placed(name), name


@pytest.mark.parametrize("rim", [1e6, 2.0])
def test_a_handle_that_stays_where_it_is_changes_nothing(rim):
    for name, template in TEMPLATES.items():
        numbers = {knob.name: knob.default for over in template.over for knob in template.parameters(over)}
        assert placed(name) <= set(numbers)
        for handle in HANDLES[name]:
            place = handle.place(numbers, rim)
            back = handle.moved(numbers, place, rim)
            assert set(back) == set(handle.changes)
            for changed, value in back.items():
                turns = changed == "orientation"
                apart = (value - numbers[changed] + 180) % 360 - 180 if turns else value - numbers[changed]
                assert apart == pytest.approx(0, abs=1e-6 if turns else 1e-3 * max(1, numbers[changed])), (name, handle.name, changed)


def test_an_arc_is_bent_by_a_place_on_it():
    [bend] = [handle for handle in HANDLES["curve"] if handle.name == "bend"]
    values = {"orientation": 90.0, "radius": 3.0}
    right, up = bend.place(values, 2.0)
    assert right**2 + (up + 3) ** 2 == pytest.approx(9), "on the circle below the middle"
    assert bend.moved(values, (2.0, -2.0), 2.0)["radius"] == pytest.approx(2) and bend.moved(values, (2.0, -0.1), 2.0)["radius"] > 15
