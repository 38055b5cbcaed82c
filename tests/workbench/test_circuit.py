"""A circuit is plain data that goes through JSON and back, and that cannot come apart."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.circuit import Circuit, Edge, layer_of, units_of
from workbench.input_error import InputError
from workbench.models.layer import Unit

addresses = st.builds("{}:{}".format, st.sampled_from(["conv2d0", "mixed3a", "blocks.3:add"]), st.integers(0, 99))
numbers = st.one_of(st.just(math.nan), st.floats(-9, 9))
edges = st.builds(Edge, addresses, addresses, numbers, numbers, numbers)


def same(one: Circuit, other: Circuit) -> bool:
    return one.to_json() == other.to_json() and replace(one, edges=()) == replace(other, edges=())


@given(st.lists(addresses, unique=True), st.lists(edges, unique_by=lambda edge: edge.ends))
def test_a_circuit_comes_back_from_json(units: list[str], between: list[Edge]) -> None:
    circuit = Circuit("c", "bundled:inception", "emoji").with_units(units).with_edges(between)
    assert same(circuit, Circuit.from_json(circuit.to_json()))
    assert all(isinstance(edge.weight, float) for edge in Circuit.from_json(circuit.to_json()).edges)


def test_removing_a_unit_takes_its_edges_and_the_figures_along() -> None:
    circuit = replace(Circuit().with_edges([Edge("a:1", "b:1", 0.5), Edge("b:1", "c:2")]), figures={"faithfulness": 0.9})
    left = circuit.without_units(["a:1"])
    assert left.units == ("b:1", "c:2") and [edge.ends for edge in left.edges] == [("b:1", "c:2")] and not left.figures
    assert circuit.without_edges([("a:1", "b:1")]).units == circuit.units
    assert circuit.layers == {"a": ["a:1"], "b": ["b:1"], "c": ["c:2"]}


def test_an_edge_that_comes_again_is_replaced() -> None:
    (edge,) = Circuit().with_edges([Edge("a:1", "b:1", 0.5)]).with_edges([Edge("a:1", "b:1", 2)]).edges
    assert edge.weight == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"circuit": 99}', '{"circuit": 1}', '{"circuit": 1, "units": 3}'])
def test_what_is_no_circuit_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match="circuit") as refused:
        Circuit.from_json(text)
    assert "\n" not in str(refused.value)


def test_what_does_not_hang_together_is_refused() -> None:
    document = json.loads(Circuit().with_edges([Edge("a:1", "b:1")]).to_json())
    with pytest.raises(InputError, match="not in the circuit"):
        Circuit.from_json(json.dumps(document | {"units": ["a:1"]}))
    with pytest.raises(InputError, match="address"):
        Circuit.from_json(json.dumps(document | {"units": ["a:1", "b:1", "nowhere"]}))


def test_what_a_circuit_was_chosen_on_is_known_by_the_content_of_its_set() -> None:
    old = Circuit("c", "m", "folder:a", ("x:1",), figures={"chosen_on": [1, 4], "faithfulness": 0.5})
    assert old.chosen_from == ("folder:a", "") and old.chosen_in("folder:a", "any") == (1, 4) and old.chosen_in("folder:b", "any") == ()
    elsewhere = replace(old.pinned("folder:b", "bb"), images="folder:b")
    assert elsewhere.chosen_from == ("folder:a", ""), "nobody knows what was in it"
    assert elsewhere.chosen_in("folder:b", "bb") == () and elsewhere.chosen_in("folder:a", "aa") == (1, 4)
    known = Circuit.from_json(elsewhere.pinned("folder:a", "aa").with_units(["x:2"]).to_json())
    assert known.chosen_from == ("folder:a", "aa") and "faithfulness" not in known.figures
    assert known.chosen_in("folder:./a", "aa") == (1, 4), "the same images by another name"
    assert known.chosen_in("folder:a", "a2") == (1, 4), "a folder that was written anew"
    assert known.chosen_in("folder:b", "bb") == ()
    pasted = replace(old, images="array:").pinned("array:", "aa")
    assert pasted.chosen_in("array:", "aa") == (1, 4) and pasted.chosen_in("array:", "bb") == ()
    assert Circuit(images="folder:a").pinned("folder:a", "aa").figures == {}, "made by hand"
    odd = replace(old, figures={"chosen_on": [1], "chosen_from": {"images": 3}})
    assert odd.chosen_from == ("folder:a", "") and replace(odd, figures={"chosen_from": "x"}).chosen_from == ("folder:a", "")


def test_addresses_name_units_and_families() -> None:
    assert units_of("blocks.3:add:7") == (Unit("blocks.3:add", 7),)
    assert units_of("mixed3b:1,2") == (Unit("mixed3b", 1), Unit("mixed3b", 2))
    for wrong in ("mixed3b", "mixed3b:", "mixed3b:x", ":3", "a:²"):
        with pytest.raises(InputError, match="address"):
            layer_of(wrong)
