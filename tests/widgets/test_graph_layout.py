"""Where the nodes of a graph stand: no two overlap, few edges cross, edges over several rows find a way between the nodes."""

from __future__ import annotations

from itertools import combinations, pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from widgets.views.graph_layout import GAP, LANE, arrange, crossings, spread, untangled

SIZE = (80.0, 100.0)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[list[str]], list[tuple[str, str]]]:
    rows = [[f"{row}:{place}" for place in range(draw(st.integers(1, 5)))] for row in range(draw(st.integers(1, 4)))]
    pairs = [pair for low, high in combinations(rows, 2) for pair in product(low, high)]
    return rows, draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []


@settings(max_examples=25, deadline=None)
@given(graphs())
def test_nothing_overlaps_and_the_order_of_rows_is_kept(graph):
    rows, edges = graph
    made = arrange(rows, edges, SIZE)
    for row in rows:
        lefts = [made.places[node][0] for node in row]
        assert len({made.places[node][1] for node in row}) == 1
        assert all(b - a >= SIZE[0] + GAP - 1e-6 for a, b in pairwise(lefts))
    heights = [made.places[row[0]][1] for row in rows]
    assert all(a - b >= SIZE[1] for a, b in pairwise(heights)), "the first row is the lowest"
    assert all(-1e-6 <= x <= made.width - SIZE[0] + 1e-6 and 0 <= y <= made.height - SIZE[1] + 1e-6 for x, y in made.places.values())
    for (source, target), bends in made.bends.items():
        assert len(bends) == int(target[0]) - int(source[0]) - 1
        for x, y in bends:
            beside = [place for place in made.places.values() if place[1] < y < place[1] + SIZE[1]]
            assert all(x <= left - LANE / 2 or x >= left + SIZE[0] + LANE / 2 for left, _ in beside), "an edge runs behind a node"


@settings(max_examples=25, deadline=None)
@given(graphs())
def test_untangling_never_makes_it_worse_and_loses_nothing(graph):
    rows, edges = graph
    after = untangled(rows, edges)
    assert [sorted(row) for row in after] == [sorted(row) for row in rows]
    assert crossings(after, edges) <= crossings(rows, edges)


def test_two_ladders_that_were_mixed_up_are_taken_apart():
    rows = [["a", "b", "c", "d"], ["C", "A", "D", "B"], ["1", "2", "3", "4"]]
    edges = [*zip("abcd", "ABCD", strict=True), *zip("ABCD", "1234", strict=True)]
    assert crossings(rows, edges) > 0 and crossings(untangled(rows, edges), edges) == 0


@settings(max_examples=25, deadline=None)
@given(graphs())
def test_crossings_are_counted_as_by_looking_at_every_pair(graph):
    rows, edges = graph
    at = {node: (row, place) for row, nodes in enumerate(rows) for place, node in enumerate(nodes)}
    slow = 0
    for (a, b), (c, d) in combinations(edges, 2):
        if at[a][0] == at[c][0] and at[b][0] == at[d][0]:
            slow += (at[a][1] - at[c][1]) * (at[b][1] - at[d][1]) < 0
    assert crossings(rows, edges) == slow


def test_nodes_stand_where_they_are_wanted_where_there_is_room_and_share_what_there_is_not():
    assert spread([0.0, 500.0], [80, 80]) == [0.0, 500.0]
    assert spread([0.0, 0.0, 0.0], [80, 80, 80]) == pytest.approx([-(80 + GAP), 0.0, 80 + GAP])


def test_a_node_stands_above_the_one_that_it_reads():
    made = arrange([["a", "b", "c"], ["A"]], [("c", "A")], SIZE)
    assert made.places["A"][0] == pytest.approx(made.places["c"][0])
    assert arrange([], [], SIZE).places == {}
