"""Where the nodes of a layered graph stand: rows in a given order, few crossings, edges as upright as their neighbours allow.

The plan of Sugiyama, Tagawa and Toda (1981) without its first step, since a network gives the layers: order each row by the mean place
of what its nodes are joined to, then place it as near to that as the room between nodes allows. An edge over several rows is given
a narrow gap in each row between, so that it runs between nodes and not behind them. No Qt here: coordinates are those of a page, x to
the right and y downwards, the first row at the bottom.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Ends = tuple[str, str]
GAP = 16.0
"""Between two nodes of a row."""
LANE = 10.0
"""Width that an edge takes in a row it passes."""
ROW_GAP, TALLEST_GAP = 84.0, 230.0
"""Between two rows: the wider the graph, the more, so that edges do not lie flat."""
STEEPNESS = 0.16
"""Gap between rows over the width of the whole."""
SWEEPS = 12


@dataclass(frozen=True)
class Layout:
    """Places of nodes (top left corner), and the points that edges over several rows pass, from the source on.

    Attributes
    ----------
    width, height
        Of the whole, which begins at (0, 0).
    """

    places: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    bends: Mapping[Ends, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0


def untangled(rows: Sequence[Sequence[str]], edges: Sequence[Ends]) -> list[list[str]]:
    """Return the rows in an order with few crossings: that with the fewest among all that the sweeps come by, the given one included."""
    near: dict[str, list[str]] = {}
    for source, target in edges:
        near.setdefault(source, []).append(target)
        near.setdefault(target, []).append(source)
    order = [list(row) for row in rows]
    best, fewest = [list(row) for row in order], crossings(order, edges)
    row_of = {node: number for number, row in enumerate(order) for node in row}
    for sweep in range(SWEEPS):
        upward = sweep % 2 == 0
        for number in range(len(order)) if upward else range(len(order) - 1, -1, -1):
            at = {node: (place + 0.5) / len(row) for row in order for place, node in enumerate(row)}

            def mean(node: str, number: int = number, upward: bool = upward, at: Mapping[str, float] = at) -> float:
                beside = [at[n] for n in near.get(node, ()) if (row_of[n] < number if upward else row_of[n] > number)]
                return sum(beside) / len(beside) if beside else at[node]

            order[number] = sorted(order[number], key=mean)
        found = crossings(order, edges)
        if found < fewest:
            best, fewest = [list(row) for row in order], found
    return best


def crossings(rows: Sequence[Sequence[str]], edges: Sequence[Ends]) -> int:
    """Count the pairs of edges between the same two rows that cross."""
    at = {node: (number, place) for number, row in enumerate(rows) for place, node in enumerate(row)}
    between: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for source, target in edges:
        (low, left), (high, right) = sorted((at[source], at[target]))
        if low != high:
            between.setdefault((low, high), []).append((left, right))
    count = 0
    for pairs in between.values():
        seen: list[int] = []
        for _, right in sorted(pairs):
            count += len(seen) - bisect(seen, right)
            seen.insert(bisect(seen, right), right)
    return count


def arrange(rows: Sequence[Sequence[str]], edges: Sequence[Ends], size: tuple[float, float]) -> Layout:
    """Place the nodes, each of `size` (width, height), row by row in the order given."""
    width, height = size
    row_of = {node: number for number, row in enumerate(rows) for node in row}
    near: dict[str, list[str]] = {}
    for source, target in edges:
        if row_of[source] != row_of[target]:
            near.setdefault(source, []).append(target)
            near.setdefault(target, []).append(source)
    x = {node: (place - (len(row) - 1) / 2) * (width + GAP) for row in rows for place, node in enumerate(row)}
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else list(reversed(rows)):
            wanted = [sum(x[n] for n in near[node]) / len(near[node]) if node in near else x[node] for node in row]
            x.update(zip(row, spread(wanted, [width] * len(row)), strict=True))
    long = [(source, target) for source, target in edges if abs(row_of[target] - row_of[source]) > 1]
    lanes: dict[tuple[Ends, int], float] = {}
    for number, row in enumerate(rows):
        passing = [ends for ends in long if min(map(row_of.__getitem__, ends)) < number < max(map(row_of.__getitem__, ends))]
        if not passing:
            continue
        wanted_at: dict[str | Ends, float] = {node: x[node] for node in row}
        for ends in passing:
            start, end = (row_of[end] for end in ends)
            wanted_at[ends] = x[ends[0]] + (x[ends[1]] - x[ends[0]]) * (number - start) / (end - start)
        inside: list[str | Ends] = list(row)
        for ends in sorted(passing, key=wanted_at.__getitem__):
            inside.insert(bisect([wanted_at[each] for each in inside], wanted_at[ends]), ends)
        placed = spread([wanted_at[each] for each in inside], [width if isinstance(each, str) else LANE for each in inside])
        for each, place in zip(inside, placed, strict=True):
            if isinstance(each, str):
                x[each] = place
            else:
                lanes[each, number] = place
    across = [*x.values(), *lanes.values()]
    left = min(across, default=0.0) - width / 2
    span = max(across, default=0.0) + width / 2 - left
    pitch = height + min(TALLEST_GAP, max(ROW_GAP, STEEPNESS * span))
    top = (len(rows) - 1) * pitch
    y = {number: top - number * pitch for number in range(len(rows))}
    places = {node: (x[node] - width / 2 - left, y[row_of[node]]) for node in x}
    bends = {}
    for ends in long:
        start, end = (row_of[end] for end in ends)
        step = 1 if end > start else -1
        bends[ends] = tuple((lanes[ends, number] - left, y[number] + height / 2) for number in range(start + step, end, step))
    return Layout(places, bends, span, top + height) if rows else Layout()


def spread(wanted: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Return the middles nearest to those wanted, by least squares, in the order given and with `GAP` between: pooled violators."""
    offset, offsets = 0.0, []
    for place, width in enumerate(widths):
        offset += (widths[place - 1] + width) / 2 + GAP if place else 0.0
        offsets.append(offset)
    blocks: list[tuple[float, int]] = []  # mean, how many
    for want, shift in zip(wanted, offsets, strict=True):
        mean, count = want - shift, 1
        while blocks and blocks[-1][0] > mean:
            before, many = blocks.pop()
            mean, count = (mean * count + before * many) / (count + many), count + many
        blocks.append((mean, count))
    means = [mean for mean, count in blocks for _ in range(count)]
    return [mean + shift for mean, shift in zip(means, offsets, strict=True)]
