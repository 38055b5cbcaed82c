"""Labels: what is the same label, how two are merged, which variable name comes of them, and tables that come back as they were."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.input_error import InputError
from workbench.label_table import COLUMNS, read_labels, write_labels
from workbench.labels import (
    RESERVED,
    Label,
    Labels,
    Merged,
    merge,
    primary,
    put,
    variable_name,
    variable_names,
    variable_of,
)
from workbench.models.layer import Layer, Unit

LAYERS = (Layer("mixed3b", "cat", (480, 8, 8), 0), Layer("head.sum", "add", (10,), 0, aliases=("head:add",)))
KNOWN = {"bundled:inception": LAYERS}


def table(*lines: str, header: str = ",".join(COLUMNS)) -> str:
    return "\r\n".join((header, *lines)) + "\r\n"


def names(labels: Labels, model: str = "bundled:inception", unit: str = "mixed3b:7") -> list[str]:
    return [label.name for label in labels[model][unit]]


# Labels


def test_a_label_is_one_line_with_a_confidence_between_nothing_and_certainty():
    assert Label("  curve,\n 45° ").name == "curve, 45°"
    assert Label("a", 1).confidence == 1.0 and isinstance(Label("a", 1).confidence, float)
    assert abs(Label("a").created - Label("b").created) < 60
    for wrong in (lambda: Label(" "), lambda: Label("a", 1.01), lambda: Label("a", float("nan")), lambda: Label("a", created=float("inf"))):
        with pytest.raises(InputError):
            wrong()


def test_a_unit_goes_by_what_a_person_called_it():
    proposed, typed = Label("line", kind="proposed"), Label("curve")
    assert primary([proposed, typed]) is typed and primary([proposed]) is proposed and primary([]) is None


def test_nothing_is_kept_of_units_without_labels():
    labels: Labels = {}
    put(labels, "m", "a:1", [Label("x")])
    put(labels, "m", "a:2", [Label("y")])
    put(labels, "m", "a:1", [])
    assert list(labels["m"]) == ["a:2"]
    put(labels, "m", "a:2", [])
    put(labels, "m", "a:3", [])
    assert labels == {}


# Merging


def merged(known: Label, new: Label) -> tuple[Label, Merged]:
    labels: Labels = {"m": {"a:1": [known]}}
    done = merge(labels, {"m": {"a:1": [new]}})
    [label] = labels["m"]["a:1"]
    return label, done


def test_the_newer_of_two_equal_labels_counts_and_gaps_are_filled():
    old, new = Label("Curve", 0.4, "Ann", "looked at it", created=100.0), Label("curve", 0.9, "ann", "", created=200.0)
    expected = Label("curve", 0.9, "ann", "looked at it", created=100.0)
    assert merged(old, new) == (expected, Merged(changed=1))
    assert merged(new, old)[0] == expected
    assert merged(expected, expected) == (expected, Merged(unchanged=1))


def test_what_comes_in_counts_where_it_is_not_known_to_be_older():
    known = Label("curve", 0.4, created=100.0)
    assert merged(known, Label("curve", 0.9, created=100.0))[0].confidence == 0.9
    assert merged(known, Label("curve", 0.9, created=0.0))[0] == Label("curve", 0.9, created=100.0)


def test_a_typed_label_stays_typed_and_another_authors_opinion_stays_apart():
    typed, proposed = Label("curve", created=1.0), Label("curve", 0.8, evidence="AUROC .93", kind="proposed", created=2.0)
    label, _ = merged(typed, proposed)
    assert (label.kind, label.confidence, label.evidence) == ("typed", 0.8, "AUROC .93")
    labels: Labels = {"m": {"a:1": [Label("curve", author="Ann")]}}
    assert merge(labels, {"m": {"a:1": [Label("curve", author="Bo"), Label("line", author="Ann")], "a:2": [Label("x")]}}) == Merged(added=3)
    assert [(label.name, label.author) for label in labels["m"]["a:1"]] == [("curve", "Ann"), ("curve", "Bo"), ("line", "Ann")]


# Variable names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("curve, 45°", "curve_45"),
        ("Curve -45°", "curve_minus_45"),
        ("curves 0–45°", "curves_0_45"),
        ("2.5 px line", "unit_2_5_px_line"),
        ("class", "class_unit"),
        ("Print", "print_unit"),
        ("曲線 45", "曲線_45"),
        ("Größe", "größe"),
        ("x² + y²", "x2_y2"),
        ("__init__", "init"),
        ("🌈", "unit"),
        ("½", "unit_1_2"),
    ],
)
def test_a_label_becomes_a_name_that_python_takes(text: str, name: str):
    assert variable_name(text) == name


@given(st.text())
def test_any_text_becomes_a_name_that_python_takes(text: str):
    name = variable_name(text)
    scope: dict[str, object] = {}
    exec(f"{name} = 3", scope)
    assert scope[name] == 3 and name not in RESERVED


def test_variable_names_are_used_once_and_a_later_label_renames_nothing():
    of_model = {"a:9": [Label("curve 45", created=5.0)], "b:1": [Label("curve 45", created=1.0)]}
    assert variable_names(of_model, "a") == {9: "curve_45"}
    of_model["a:3"] = [Label("curve, 45°", created=6.0)]
    of_model["a:4"] = [Label("curve 45 3", created=2.0), Label("curve 45", created=1.0)]
    assert variable_names(of_model, "a") == {9: "curve_45", 3: "curve_45_3_3", 4: "curve_45_3"}
    assert variable_of(of_model, Unit("a", 9)) == "curve_45"
    assert variable_of({}, Unit("mixed3b.1x1", 7)) == "mixed3b_1x1_7"
    assert variable_of({"a:1": [Label("a 2")]}, Unit("a", 2)) == "a_2_2", "a label has the name already"


# Tables

words = st.text(max_size=8)
labels = st.builds(
    Label,
    name=words.filter(str.strip),
    confidence=st.none() | st.floats(0, 1),
    author=words,
    evidence=words,
    kind=st.sampled_from(("typed", "proposed")),
    created=st.just(0.0) | st.floats(-1e9, 4e9) | st.integers(1, 4_000_000_000_000).map(lambda ms: ms / 1000),
)
addresses = st.builds(Unit, st.text(string.ascii_letters + "0123456789.:@[]_", min_size=1, max_size=6), st.integers(0, 5000)).map(str)
units = st.dictionaries(addresses, st.lists(labels, min_size=1, max_size=2, unique_by=lambda label: label.identity), min_size=1, max_size=2)
tables = st.dictionaries(words.filter(str.strip), units, max_size=2)


@settings(max_examples=40)
@given(tables)
def test_a_table_gives_back_what_was_written(written: Labels):
    text = write_labels(written)
    for content in (text, text.encode("utf-8"), text.encode("utf-8-sig"), text.encode("utf-16")):
        found = read_labels(content)
        assert found.labels == written and not found.complaints
        assert [list(of_model) for of_model in found.labels.values()] == [list(of_model) for of_model in written.values()]
    assert merge(found.labels, written) == Merged(unchanged=found.unchecked)


def test_times_are_written_for_people():
    text = write_labels({"m": {"a:1": [Label("x", created=1772714400.25), Label("y", created=0.0)]}})
    assert text.splitlines()[1:] == ["m,a:1,x,,,,typed,2026-03-05T12:40:00.250Z", "m,a:1,y,,,,typed,"]


SPREADSHEET = (
    "sep=;\r\nUnit ;LABEL;Confidence;Evidence;Model;Colour\r\n"
    'mixed3b:7;"Kurve; 45°";0,9;"sagt ""ja""\r\nzweimal";bundled:inception;red\r\n'
    ";;;;;\r\n"
    "mixed3b:8;Linie;93 %;;;\r\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_what_a_spreadsheet_writes_is_read(encoding: str, end: str):
    content = SPREADSHEET.replace("\r\n", end).encode(encoding)
    found = read_labels(content, KNOWN, model="bundled:inception")
    assert not found.complaints and not found.unchecked
    seven, eight = (found.labels["bundled:inception"][f"mixed3b:{unit}"][0] for unit in (7, 8))
    assert (seven.name, seven.confidence, seven.evidence) == ("Kurve; 45°", 0.9, f'sagt "ja"{end}zweimal')
    assert (eight.name, eight.confidence, eight.kind) == ("Linie", 0.93, "typed")
    assert seven.created > 1e9, "there is no column for it, so it is when it was read"


def test_tabs_are_read():
    assert names(read_labels("label\tunit\tmodel\ncurve, left\tmixed3b:7\tbundled:inception\n", KNOWN).labels) == ["curve, left"]


def test_unknown_layers_and_units_are_named_by_line_and_the_rest_is_kept():
    found = read_labels(
        table(
            "bundled:inception,mixed3b:7,curve,0.9,me,,typed,",
            'bundled:inception,mixed3b:480,beyond,,,"two\nlines",,',
            "bundled:inception,mixed3x:1,gone,,,,,",
            "bundled:inception,mixed3b,none,,,,,",
            "bundled:inception,head:add:9,sum,,,,,",
            "other:network,anything:12345,kept,,,,,",
            ",mixed3b:1,whose,,,,,",
            "bundled:inception,mixed3b:1,,,,,,",
            "bundled:inception,mixed3b:1,one,two,three,four,typed,,and more",
        ),
        KNOWN,
    )
    assert [str(complaint) for complaint in found.complaints] == [
        "line 3: mixed3b:480 does not exist, mixed3b has units 0 to 479; left out",
        "line 5: bundled:inception has no layer 'mixed3x', did you mean mixed3b?; left out",
        "line 6: 'mixed3b' is not the address of a unit; write layer:index, such as mixed3b:379; left out",
        "line 9: no model is named; left out",
        "line 10: a label needs a name; left out",
        "line 11: there are more cells than columns; left out",
    ]
    assert list(found.labels["bundled:inception"]) == ["mixed3b:7", "head.sum:9"], "a layer goes by the name it is shown by"
    assert names(found.labels, "other:network", "anything:12345") == ["kept"] and found.unchecked == 1


def test_a_cell_that_cannot_be_read_costs_no_label():
    found = read_labels(table("m,a:1,x,high,,,perhaps,yesterday", "m,a:1,y,7,,,,2026-03-05 12:40", "m,a:1,z,,,,,1772714400.25"))
    assert [str(complaint) for complaint in found.complaints] == [
        "line 2: confidence 'high' is not a number from 0 to 1; kept without",
        "line 2: kind 'perhaps' is neither typed nor proposed; kept as typed",
        "line 2: created 'yesterday' is not a time such as 2026-03-05T12:30:00Z; kept without",
        "line 3: confidence '7' is not a number from 0 to 1; kept without",
    ]
    assert [label.created for label in found.labels["m"]["a:1"]] == [0.0, 1772714400.0, 1772714400.25]


def test_the_same_label_twice_is_one():
    found = read_labels(table("m,a:1,Curve,0.5,me,,,", "m,a:1,curve,,ME,seen,,"))
    assert found.labels == {"m": {"a:1": [Label("curve", 0.5, "ME", "seen", created=0.0)]}}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no table of labels: its first line names no columns unit and label"),
        (b"dear reader,\nthis is text", "no table of labels"),
        (b"unit,name\na:1,x", "no table of labels"),
        (b"\x81\x8d\xff\xfe", "this is no text"),
        (b'unit,label\na:1,x\na:2,"open\na:3,y', "line 3: a quote is not closed"),
        (b'unit,label\na:1,"x"y\n', "line 2: a quote is not closed, or stands in the middle of a cell"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(content: bytes, says: str):
    with pytest.raises(InputError, match=says) as caught:
        read_labels(content, model="m")
    assert "\n" not in str(caught.value)
