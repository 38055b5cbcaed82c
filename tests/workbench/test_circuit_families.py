"""Units taken as one node, and a node taken apart: numbers add up as they should, and nothing of the circuit is lost."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.circuit import Circuit, Edge
from workbench.circuit_families import address_of, members, taken_apart, together
from workbench.input_error import InputError
from workbench.models.layer import Unit

CIRCUIT = Circuit("c").with_edges(
    [
        Edge("a:1", "b:7", 1.0, 0.5, 0.4),
        Edge("a:2", "b:7", -3.0, 0.25),
        Edge("a:1", "b:8", 4.0),
        Edge("a:5", "b:8", 0.5, 0.125, 0.1),
        Edge("b:7", "c:0"),
    ]
)


def edge(circuit: Circuit, source: str, target: str) -> Edge:
    return next(edge for edge in circuit.edges if edge.ends == (source, target))


def test_weights_add_over_what_is_read_and_are_averaged_over_what_reads():
    drawn = together(CIRCUIT, ["a:1,2", "b:7,8"])
    assert drawn.units == ("a:1,2", "b:7,8", "a:5", "c:0")
    joined = edge(drawn, "a:1,2", "b:7,8")
    assert joined.weight == (1 - 3 + 4) / 2 and joined.attribution == 0.75 and math.isnan(joined.effect)
    assert edge(drawn, "a:5", "b:7,8").weight == 0.25 and edge(drawn, "a:5", "b:7,8").effect == 0.1
    assert math.isnan(edge(drawn, "b:7,8", "c:0").weight), "unknown stays unknown"
    assert CIRCUIT.units == ("a:1", "b:7", "a:2", "b:8", "a:5", "c:0"), "the circuit itself is as it was"


def test_a_family_of_which_one_unit_is_there_is_no_family():
    assert together(CIRCUIT, ["a:5,9", "b:99,98"]) is CIRCUIT
    assert members(CIRCUIT, "a:2,1,9") == ["a:1", "a:2"]


@given(st.sets(st.sampled_from(["a:1,2", "a:1,5", "b:7,8", "a:1,2,5"])))
def test_attribution_is_neither_lost_nor_made(families: set[str]):
    def total(circuit: Circuit) -> float:
        return sum(edge.attribution for edge in circuit.edges if math.isfinite(edge.attribution))

    assert total(together(CIRCUIT, sorted(families))) == pytest.approx(total(CIRCUIT))


def test_a_family_taken_apart_has_its_edges_without_their_numbers():
    traced = Circuit(figures={"faithfulness": 1.0}).with_edges([Edge("a:1,2", "b:7,8", 1.0), Edge("b:7,8", "c:0", 2.0)])
    apart = taken_apart(traced, "b:7,8")
    assert apart.units == ("a:1,2", "b:7", "b:8", "c:0") and not apart.figures
    assert {edge.ends for edge in apart.edges} == {("a:1,2", "b:7"), ("a:1,2", "b:8"), ("b:7", "c:0"), ("b:8", "c:0")}
    assert all(math.isnan(edge.weight) for edge in apart.edges)
    for wrong in ("c:0", "a:3,4"):
        with pytest.raises(InputError, match="family of this circuit"):
            taken_apart(traced, wrong)


def test_only_units_of_one_layer_have_an_address_together():
    assert address_of([Unit("a", 3), Unit("a", 1), Unit("a", 3)]) == "a:3,1"
    with pytest.raises(InputError, match="one layer"):
        address_of([Unit("a", 3), Unit("b", 1)])
