"""Forms from schemas: every kind of parameter there and back, and what is wrong said at its field."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field
from PySide6.QtCore import Qt

from widgets.form import Form, Preload, read_integers, read_strings, write_integers, write_strings
from widgets.theme import Theme, palette, signal_colour

Pair = tuple[float, float]


class Parameters(BaseModel):
    layer: str
    units: list[Annotated[int, Field(ge=0)]] = Field(default=[], description="Which units.")
    objective: Literal["channel", "neuron"] = "channel"
    steps: int = Field(default=256, ge=1, le=8192, description="Optimisation steps.")
    rate: float = Field(default=0.05, gt=0, le=2, description="Step size.", json_schema_extra={"unit": "px"})
    transforms: bool = True
    names: list[str] = []
    limit: int | None = Field(default=None, ge=1)
    vectors: list[list[float]] = []


@pytest.fixture
def form(qapp, qtbot):
    made = Form(Parameters.model_json_schema(), {"layer": ["stem", "head"]}, {"layer": "head", "units": [1, 2, 3, 7]})
    qtbot.addWidget(made)
    return made


def test_values_go_in_and_come_back_as_the_analysis_takes_them(form):
    values = form.values()
    assert values == {
        "layer": "head",
        "units": [1, 2, 3, 7],
        "objective": "channel",
        "steps": 256,
        "rate": 0.05,
        "transforms": True,
        "names": [],
        "limit": None,
        "vectors": [],
    }
    assert Parameters(**json.loads(json.dumps(values))).units == [1, 2, 3, 7]


def test_every_field_can_be_set(form):
    new = {
        "layer": "stem",
        "units": [0, 1, 2],
        "objective": "neuron",
        "steps": 10,
        "rate": 0.5,
        "transforms": False,
        "names": ["a", "b"],
        "limit": 3,
        "vectors": [[0.5, 1.0]],
    }
    for name, value in new.items():
        form.set_value(name, value)
    assert form.errors == {}
    assert form.values() == new


def test_errors_and_titles_can_be_read_in_either_scheme(qapp, form):
    theme = Theme(qapp, "light")
    titles = {name: next(iter(form._group.child(name).items)) for name in ("steps", "rate", "layer")}
    form.show_complaint("steps: fewer would do")
    form.show_complaint("rate: too large for these images")
    for scheme in ("light", "dark", "light"):
        theme.choose(scheme)
        qapp.processEvents()
        wrong = signal_colour("error", palette(theme.dark))
        for name, title in titles.items():
            colour = title.data(0, Qt.ItemDataRole.ForegroundRole)
            assert colour is None if name == "layer" else colour == wrong, name
    form.set_value("steps", 10)
    assert not any(title.data(0, Qt.ItemDataRole.ForegroundRole) for title in titles.values()), "as any text, whatever the scheme"
    theme.choose("system")


def test_bounds_help_and_units_are_in_the_tooltip(form):
    assert form.fields["steps"].tooltip == "Optimisation steps.\nAt least 1, at most 8192\nDefault: 256"
    assert "Unit: px\nMore than 0, at most 2" in form.fields["rate"].tooltip
    item = next(iter(form._group.child("rate").items))
    assert item.widget.opts["suffix"] == " px"


def test_the_first_field_is_explained_from_the_start(form):
    assert form.help.text() == form.fields["layer"].tooltip


def test_a_number_is_not_cut_while_it_is_edited(form):
    item = next(iter(form._group.child("steps").items))
    item.widget.grab()  # it sets its height when it is painted
    assert item.widget.maximumHeight() > item.widget.fontMetrics().height() + 4


def test_numbers_stay_within_their_bounds(form):
    form.set_value("steps", 100_000)
    assert form.values()["steps"] == 8192


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("units", "1, x", "'x' is no whole number and no range such as 0-7"),
        ("units", "5-2", "'5-2' is not a range from a smaller to a larger number"),
        ("limit", "0", "0 is not allowed: at least 1"),
        ("limit", "many", "'many' is no whole number"),
        ("vectors", "[[1", "is not JSON"),
        ("names", '["a", ', "is not JSON"),
        ("names", '["a", 3]', 'is no list of texts, such as ["a, b", "c"]'),
    ],
)
def test_what_is_wrong_is_said_at_its_field(form, qtbot, name, typed, said):
    with qtbot.waitSignal(form.changed):
        form._group.child(name).setValue(typed)
    assert said in form.errors[name]
    assert said in form._group.child(name).title()
    with pytest.raises(ValueError, match=f"^{name}: "):
        form.values()
    form._group.child(name).setValue("")
    assert form.errors == {}
    assert "–" not in form._group.child(name).title()


def test_an_exclusive_bound_is_kept(form):
    form.set_value("rate", 0.0)
    assert form.errors["rate"] == "0 is not allowed: more than 0, at most 2"


def test_what_must_be_given_is_asked_for(qtbot):
    form = Form(Parameters.model_json_schema())
    qtbot.addWidget(form)
    assert form.errors == {"layer": "needed"}


def test_a_complaint_of_the_engine_stands_at_its_field(form):
    assert form.show_complaint("steps = 5: must be more (allowed: >= 6)")
    assert "must be more" in form._group.child("steps").title()
    assert form.show_complaint("steps.0: must be more"), "an item of a list"
    assert not form.show_complaint("the network could not be opened")


@pytest.mark.parametrize(
    ("text", "numbers"), [("", []), ("3", [3]), ("0-3, 7", [0, 1, 2, 3, 7]), ("7;1 , 2", [7, 1, 2])]
)
def test_ranges_of_integers(text: str, numbers: list[int]):
    assert read_integers(text) == numbers
    assert read_integers(write_integers(numbers)) == numbers


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("a", ["a"]),
        ("a b, c", ["a b", "c"]),
        ('["turtle, noto style", "a dog"]', ["turtle, noto style", "a dog"]),
        ('["naïve, \\"quoted\\"", ""]', ['naïve, "quoted"', ""]),
        ('["[0]"]', ["[0]"]),
        ('[" a"]', [" a"]),
    ],
)
def test_texts_with_commas_are_a_json_list(text: str, names: list[str]):
    assert read_strings(text) == names
    assert write_strings(names) == text
    assert read_strings(" a , ,b") == ["a", "b"] and write_strings([""]) == ""


def test_a_prompt_with_a_comma_stays_one_in_the_form(qtbot):
    from workbench.analyses.generation import Generation

    prompts = ["turtle, noto style", "a dog"]
    form = Form(Generation.model_json_schema(), values={"prompts": prompts})
    qtbot.addWidget(form)
    assert form.values()["prompts"] == prompts
    form.set_value("prompts", prompts[1:])
    assert form._group.child("prompts").value() == "a dog"
    form._group.child("prompts").setValue(json.dumps(prompts))
    assert Generation(**form.values()).prompts == tuple(prompts)
    assert 'a JSON list: ["a cat, noto style", "a dog"]' in form.fields["prompts"].tooltip
    assert Generation(**Form(Generation.model_json_schema()).values()).prompts == ("",)


def test_forms_of_all_analyses_can_be_made(qtbot):
    from workbench.analyses.analysis import discover

    for kind in discover().values():
        first = {"layer": "stem", "layers": ["stem"], "units": [0], "unit": 0, "source": "stem", "target": "stem"}
        if kind.model_json_schema()["properties"].get("circuit", {}).get("type") == "string":
            first["circuit"] = "{}"
        further = {
            "hypothesis": "{}",
            "edits": [{"layer": "stem", "unit": 0, "template": "gabor", "parameters": {"orientation": 45}}],
            "units": [0, 1],
            "angles": [0, 90],
            **{f"{end}_{what}": [0, 90] for end in ("source", "target") for what in ("units", "angles")},
        }
        first |= {name: value for name, value in further.items() if name in kind.model_fields}
        form = Form(kind.model_json_schema(), {key: ["stem"] for key in ("layer", "source", "target")}, first)
        qtbot.addWidget(form)
        assert form.errors == {}, kind
        kind(**form.values())


def test_a_list_that_needs_an_entry_says_so(qtbot):
    from workbench.analyses.ablation import Ablation

    form = Form(Ablation.model_json_schema(), {"layer": ["stem"]}, {"layer": "stem", "units": []})
    qtbot.addWidget(form)
    assert form.errors == {"units": "needed"}
    form.set_value("units", [3])
    assert form.errors == {}


IMPORTS = """
import os, sys, threading
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from PySide6.QtWidgets import QApplication
from PySide6.QtCore import QObject
app = QApplication([])
from widgets.form import Form, Preload
assert "pyqtgraph" not in sys.modules
owner = QObject()
preload = Preload(owner)
preload.ready.connect(app.quit)
preload.start()
app.exec()
form = Form({"properties": {"a": {"type": "integer", "default": 1}}})
form.show()
form.set_value("a", 3)
app.processEvents()
assert form.values() == {"a": 3}
assert threading.active_count() == 1
"""


def test_pyqtgraph_is_imported_in_a_thread_of_its_own_and_works_afterwards():
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run([sys.executable, "-c", IMPORTS], cwd=root, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "thread" not in run.stderr.lower(), run.stderr


def test_the_collector_rests_while_pyqtgraph_is_imported(qapp, qtbot, monkeypatch):
    from PySide6.QtCore import QObject

    from widgets import form
    from workbench.jobs.collector import at_rest

    seen: list[bool] = []
    monkeypatch.setattr(form, "TREE", "not.imported.yet")
    monkeypatch.setattr(form.importlib, "import_module", lambda _name: seen.append(at_rest()))
    owner = QObject()
    preload = Preload(owner)
    with qtbot.waitSignal(preload.ready):
        preload.start()
    assert seen == [True] and not at_rest()


def test_preload_is_ready_at_once_the_second_time(qapp, qtbot):
    from PySide6.QtCore import QObject

    owner = QObject()
    preload = Preload(owner)
    with qtbot.waitSignal(preload.ready, timeout=500):
        preload.start()
