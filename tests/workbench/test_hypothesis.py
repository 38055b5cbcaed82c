"""Hypotheses as data: they come back from JSON, say at which node what is wrong, and grow out of circuits, once under every reader."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from workbench.circuit import Circuit, Edge
from workbench.circuit_hypothesis import outputs, pooled, treeified
from workbench.hypothesis import Hypothesis, HypothesisError, Node, offsets_in, offsets_text
from workbench.input_error import InputError

TREE = Hypothesis(
    Node(
        "XOR",
        "head:2",
        children=(
            Node("gate", "relu:0,1", "= lying > 0", children=(Node("lying", "saturate:0", "orientation", ((0, -1), (2, 3))),)),
            Node("red", "saturate:1"),
        ),
    ),
    "Logic",
    "bundled:planted/and_or_net",
    "emoji",
    ("*=activation / 2",),
)


def test_it_comes_back_from_json() -> None:
    assert Hypothesis.from_json(TREE.to_json()) == TREE
    alone = Hypothesis.from_json('{"units": "head:0", "children": [{"units": "relu:1"}, {"units": "relu:2", "children": []}]}')
    assert [node.name for node in alone.root.every()] == ["root", "node 1", "node 2"]
    assert alone.root.children[0].feature == "all"


def test_edits_make_new_ones() -> None:
    child = Node(TREE.free_name("lying"), "saturate:2")
    assert child.name == "lying (2)"
    grown = TREE.with_child("gate", child)
    assert [node.name for node in grown.root.every()] == ["XOR", "gate", "lying", "lying (2)", "red"]
    assert grown.parent("lying (2)") == grown.node("gate") and grown.parent("XOR") is None
    assert grown.without("lying (2)") == TREE
    assert [n.name for n in TREE.without("gate").root.every()] == ["XOR", "red"]
    with pytest.raises(InputError, match="it cannot be removed"):
        TREE.without("XOR")
    with pytest.raises(InputError, match="no node 'blue'"):
        TREE.without("blue")


@pytest.mark.parametrize(
    ("change", "node", "field"),
    [
        ({"name": ""}, "root", "units"),
        ({"units": "saturate"}, "lying", "units"),
        ({"units": 3}, "lying", "units"),
        ({"feature": " "}, "lying", "feature"),
        ({"offsets": [[0, 1], [0, 1]]}, "lying", "offsets"),
        ({"offsets": [[0, 1, 2]]}, "lying", "offsets"),
        ({"children": ["a"]}, "lying", "children"),
        ({"colour": "red"}, "lying", "colour"),
        ({"name": "XOR"}, "XOR", "name"),
        ({"name": "two\nlines"}, "two\nlines", "name"),
    ],
)
def test_what_is_wrong_is_said_with_its_node_and_field(change: dict[str, object], node: str, field: str) -> None:
    document = json.loads(TREE.to_json())
    if change == {"name": ""}:
        document["root"]["name"], document["root"]["units"] = "", "nothing"
    else:
        document["root"]["children"][0]["children"][0] |= change
    with pytest.raises(HypothesisError) as error:
        Hypothesis.from_document(document)
    assert (error.value.node, error.value.field) == (node, field)
    assert str(error.value).startswith(f"{node}, {field}: ")


def test_a_later_version_is_refused() -> None:
    with pytest.raises(InputError, match="version 9, this program reads version 1"):
        Hypothesis.from_json('{"hypothesis": 9}')


def test_offsets_are_read_as_they_are_written() -> None:
    assert offsets_in(" 0 -1; 2,3;−4 +5 ") == ((0, -1), (2, 3), (-4, 5))
    assert offsets_in(offsets_text(((0, -1), (2, 3)))) == ((0, -1), (2, 3)) and offsets_in("") == ()
    for text in ("1", "a b", "1 2 3", "0.5 1"):
        with pytest.raises(InputError, match="is no offset"):
            offsets_in(text)


# Of circuits

DIAMOND = Circuit("diamond", "m", "i").with_edges(
    [Edge(*ends) for ends in (("b:0", "c:0"), ("b:1", "c:0"), ("a:0", "b:0"), ("a:0", "b:1"), ("a:1", "b:1"))]
)


def test_a_unit_with_several_readers_stands_under_each() -> None:
    tree = treeified(DIAMOND, "c:0")
    assert [(node.name, node.units) for node in tree.root.every()] == [
        ("c:0", "c:0"), ("b:0", "b:0"), ("a:0", "a:0"), ("b:1", "b:1"), ("a:0 (2)", "a:0"), ("a:1", "a:1"),
    ]  # fmt: skip
    assert outputs(DIAMOND) == ["c:0"] and (tree.model, tree.images) == ("m", "i")
    assert {node.feature for node in tree.root.every()} == {"itself"}
    with pytest.raises(InputError, match="d:0 is not in the circuit"):
        treeified(DIAMOND, "d:0")


def test_a_cycle_is_refused_at_its_unit() -> None:
    with pytest.raises(HypothesisError, match=r"b:0, children: .* a cycle: b:0 ← a:0 ← b:0") as error:
        treeified(DIAMOND.with_edges([Edge("b:0", "a:0")]), "c:0")
    assert error.value.node == "b:0"


def test_a_tree_that_explodes_says_how_large_it_would_be_and_can_be_pooled() -> None:
    layers = [[f"{layer}:{unit}" for unit in range(8)] for layer in "abc"]
    edges = [Edge(low, high) for below, above in pairwise(layers) for low in below for high in above]
    wide = Circuit("wide").with_edges([*edges, *(Edge(unit, "d:0") for unit in layers[2])])
    with pytest.raises(HypothesisError, match=r"d:0, children: .* 585 nodes, each a run .* at most 200: pool children"):
        treeified(wide, "d:0")
    tree = treeified(wide, "d:0", pool=4)
    assert len(list(tree.root.every())) == 1 + 4 + 16 + 64
    assert [child.units for child in tree.root.children] == ["c:0,1", "c:2,3", "c:4,5", "c:6,7"]


def test_leaves_that_are_alike_are_pooled() -> None:
    leaves = [*(Node(f"leaf {i}", f"a:{i}", "x") for i in range(7)), Node("other", "a:9", "y")]
    inner = Node("inner", "b:0", children=(Node("below", "a:0"),))
    tree = pooled(Hypothesis(Node("root", "c:0", children=(*leaves, inner))), 4)
    assert [(node.name, node.units) for node in tree.root.children] == [
        ("leaf 0 and 2 more", "a:0,1,2"), ("leaf 3 and 3 more", "a:3,4,5,6"), ("other", "a:9"), ("inner", "b:0"),
    ]  # fmt: skip
    assert pooled(TREE, 4) == TREE


def test_rivals_follow_their_node() -> None:
    children = (Node("lines", "a:0", children=(Node("edges", "b:0"),)), Node("other", "a:1"))
    made = Hypothesis(Node("root", "c:0", children=children), rivals=("lines = radius", "edges=all", "*=activation / 2", "nowhere=all"))
    renamed = made.changed("lines", lambda node: replace(node, name="strokes"))
    assert renamed.rivals == ("strokes=radius", "edges=all", "*=activation / 2", "nowhere=all")
    assert made.without("lines").rivals == ("*=activation / 2", "nowhere=all")
    assert made.changed("other", lambda node: replace(node, feature="all")).rivals == made.rivals


def test_pooled_nodes_have_names_of_their_own() -> None:
    leaves = tuple(Node(f"a:{unit}", f"a:{unit}") for unit in range(6))
    taken = Node("a:0 and 2 more", "b:0")
    made = Hypothesis(Node("root", "c:0", children=(*leaves, taken)), rivals=("a:1=all", "*=all"))
    found = pooled(made, 3)
    assert [child.name for child in found.root.children] == ["a:0 and 2 more (2)", "a:3 and 2 more", "a:0 and 2 more"]
    assert found.rivals == ("*=all",), "a:1 is no node of its own now"
    deep = tuple(Node(f"a:{unit}", f"a:{unit}", children=(Node(f"b:{unit}", f"b:{unit}"),)) for unit in range(6))
    grown = Hypothesis(Node("root", "c:0", children=deep))
    assert pooled(grown, 3) == grown, "what has children is not put together"
