"""Drawings stay what they are as data, and look like what they say: ink at the radius, fills that end at a line, an eraser that bares."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

import workbench.images.stimuli  # noqa: F401  its families register themselves
from workbench.images.drawing import Drawing, Ground
from workbench.images.drawn_stimulus import Stimulus
from workbench.images.raster import Raster, ink_of, oversampling
from workbench.images.shapes import Ellipse, Fill, Rectangle, Stamp
from workbench.images.stimulus import FAMILIES
from workbench.images.strokes import Arc, Brush, Eraser, Line
from workbench.images.thing import OBJECTS, Thing, around
from workbench.images.touch import distance, object_at
from workbench.input_error import InputError

SIDE = 64
PICTURE = np.zeros((10, 20, 4), np.uint8)
PICTURE[:, :10] = (255, 0, 0, 255)  # the right half is transparent
EVERY: tuple[Thing, ...] = (
    Brush(((-0.3, 0.0), (0.1, 0.2), (0.2, -0.1)), 0.05, "#ff0000"),
    Eraser(((0.0, 0.0), (0.2, 0.0)), 0.1),
    Line(-0.3, -0.3, 0.3, 0.2, 0.04, "#00ff00"),
    Arc(0.0, 0.1, 0.3, 20, 200, 0.05, "#0000ff"),
    Rectangle(0.1, 0.1, 0.4, 0.2, 0.03, "#123456", angle=30),
    Ellipse(-0.1, 0.0, 0.5, 0.3, 0.0, "#654321", angle=-70),
    Fill(0.4, 0.4, "#abcdef", 30),
    Stamp(0.0, 0.0, 0.4, 0.2, "red", angle=20),
    Stimulus("curves", (("x", 0.1), ("y", 0.0), ("orientation", 45.0), ("radius", 0.2))),
)


def drawn(*objects: Thing, ground: Ground | None = None, size: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    return Raster(size).draw(Drawing(ground or Ground(), objects), {"red": PICTURE}).astype(float)


def darkness(*objects: Thing) -> np.ndarray:
    """Return how much ink is in each pixel: of black on white."""
    return 1 - drawn(*objects)[..., 0] / 255


def centres() -> tuple[np.ndarray, np.ndarray]:
    at = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    return at[None, :], at[:, None]


# Data


def test_every_kind_of_object_is_tried_here():
    assert {one.kind for one in EVERY} == set(OBJECTS)


def test_a_drawing_is_the_same_after_json():
    drawing = Drawing(Ground("#fafafa", "red", "red.png"), EVERY)
    again = Drawing.from_document(json.loads(json.dumps(drawing.document())))
    assert again == drawing and again.pictures == {"red"} and again.told() == "9 objects on red.png"
    assert Drawing().told() == "blank" and Drawing(objects=EVERY[:2]).told() == "brush stroke and eraser stroke"


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"objects": [{"kind": "star"}]}, "no object is named 'star'"),
        ({"objects": [{"kind": "arc", "x": 0, "y": 0, "radius": -1}]}, "radius of arc is -1"),
        ({"objects": [{"kind": "arc", "x": 0, "y": 0, "radius": 1, "sweep": 400}]}, "at most 360"),
        ({"objects": [{"kind": "brush", "points": [], "width": 0.1}]}, "1 to 20,000 points"),
        ({"objects": [{"kind": "line", "x": 0, "y": float("nan"), "x2": 1, "y2": 1}]}, "y of line is nan"),
        ({"objects": [{"kind": "fill", "x": 0, "y": 0, "colour": "red"}]}, "#rrggbb, not 'red'"),
        ({"objects": [{"kind": "ellipse", "x": 0, "y": 0, "across": 1, "down": 1, "angle": math.inf}]}, "angle of ellipse is inf"),
        ({"objects": 3}, "this is no drawing"),
        ({"background": "white"}, "no field 'background'"),
        ({"objects": [{"kind": "brush", "points": [[0, 0], [math.nan, 0], [0.1, 0]]}]}, "a point of a stroke is no number"),
        ({"objects": [{"kind": "brush", "points": [[0, 0], [0, 10**400], [0.1, 0]]}]}, "this is no drawing"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_line(document: dict, complaint: str):
    with pytest.raises(InputError, match=complaint):
        Drawing.from_document(document)


def test_what_is_no_name_is_refused_in_a_line():
    """In a process of its own: here, types are checked before anything else is."""
    wrong = {
        "picture of a ground is a name, not [1]": {"ground": {"picture": [1]}},
        "source of a ground is a name, not 3": {"ground": {"source": 3}},
        "picture of picture is a name, not ['a']": {
            "objects": [{"kind": "stamp", "x": 0, "y": 0, "across": 1, "down": 1, "picture": ["a"]}]
        },
        "family of stimulus is a name, not ['curves']": {"objects": [{"kind": "stimulus", "family": ["curves"]}]},
        "parameter 0 of stimulus is a name, not 7": {"objects": [{"kind": "stimulus", "family": "curves", "values": [[7, 1.0]]}]},
    }
    code = """
import json, sys
from workbench.images.drawing import Drawing
for document in json.load(sys.stdin):
    try:
        Drawing.from_document(document).pictures
    except ValueError as error:
        sys.stdout.write(f"{error}\\n")
"""
    given = json.dumps(list(wrong.values()))
    done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == [f"this is no drawing: {complaint}" for complaint in wrong]


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.kind)
def test_the_handle_in_the_middle_moves_all_of_it(one: Thing):
    before = one.handles()
    x, y = before["place"]
    after = one.dragged("place", (x + 0.1, y - 0.05)).handles()
    assert set(after) == set(before)
    for name, (left, top) in before.items():
        assert after[name] == pytest.approx((left + 0.1, top - 0.05))
    with pytest.raises(InputError, match="no handle"):
        one.dragged("nose", (0, 0))


def test_the_handles_of_an_arc_bend_turn_and_lengthen_it():
    arc = Arc(0.1, 0.0, 0.3, 0, 180)
    assert arc.handles()["radius"] == pytest.approx((0.1, -0.3))
    bent = arc.dragged("radius", (0.1 - 0.2, 0.0))
    assert isinstance(bent, Arc) and bent.radius == pytest.approx(0.2) and bent.start == pytest.approx(90), "it bulges to the left now"
    longer = arc.dragged("end", (0.1, 0.4))
    assert isinstance(longer, Arc) and (longer.start, longer.sweep) == (0, pytest.approx(270))
    shorter = arc.dragged("start", (0.1, -0.4))
    assert isinstance(shorter, Arc) and (shorter.start, shorter.sweep) == (pytest.approx(90), pytest.approx(90)), "the other end stays"


def test_a_picture_keeps_its_proportions():
    stamp = Stamp(0.0, 0.0, 0.4, 0.2, "red").dragged("corner", (0.4, 0.1))
    assert isinstance(stamp, Stamp) and (stamp.across, stamp.down) == (pytest.approx(0.8), pytest.approx(0.4))


def test_drawings_from_before_there_were_angles_are_read():
    document = Drawing(objects=EVERY[4:8]).document()
    for one in document["objects"]:
        one.pop("angle", None)
    assert [getattr(one, "angle", 0.0) for one in Drawing.from_document(document).objects] == [0.0] * 4
    assert Rectangle(0, 0, 1, 1, angle=-30).angle == 330


@pytest.mark.parametrize("one", [one for one in EVERY if one.direction is not None], ids=lambda one: one.kind)
def test_what_has_a_direction_is_turned_about_its_middle_and_snaps(one: Thing):
    middle = one.handles()["place"]
    side, away = one.edge()
    start, end = (
        (middle[0] + away * math.cos(turn), middle[1] - away * math.sin(turn))
        for turn in (math.radians(one.direction + side + more) for more in (0, 50))  # type: ignore[operator]
    )
    turned = one.turned_by_hand(start, end)
    assert type(turned) is type(one) and turned.handles()["place"] == pytest.approx(middle)
    assert turned.direction == pytest.approx((one.direction + 50) % 360)  # type: ignore[operator]
    for name, (x, y) in one.handles().items():
        right, down = around((x - middle[0], y - middle[1]), 50)
        assert turned.handles()[name] == pytest.approx((middle[0] + right, middle[1] + down)), "all of it turns, counter-clockwise"
    even = one.turned_by_hand(start, end, even=True).direction
    assert even is not None and abs((even - turned.direction + 180) % 360 - 180) <= 7.5  # type: ignore[operator]
    assert even % 15 == pytest.approx(0, abs=1e-9) or even % 15 == pytest.approx(15)


def test_what_has_no_direction_cannot_be_turned():
    for one in (EVERY[0], EVERY[6], Arc(0, 0, 0.2, 0, 360), Stimulus("curves"), Stimulus("colours", (("x", 0.0), ("y", 0.0)))):
        assert one.direction is None
        with pytest.raises(InputError, match="has no direction"):
            one.turned_by_hand((0, 1), (1, 0))


def test_the_corner_of_a_turned_shape_sizes_it_along_its_own_sides():
    shape = Rectangle(0.1, 0.0, 0.4, 0.2, angle=90)
    assert shape.handles()["corner"] == pytest.approx((0.1 + 0.1, -0.2)), "its right side is the upper one now"
    sized = shape.dragged("corner", (0.1 + 0.15, -0.3))
    assert isinstance(sized, Rectangle) and (sized.across, sized.down, sized.angle) == (pytest.approx(0.6), pytest.approx(0.3), 90)


# What it looks like


@pytest.mark.parametrize("radius", [0.15, 0.3, 0.42])
def test_an_arc_has_its_ink_at_its_radius(radius: float):
    x, y = centres()
    ink = darkness(Arc(0.0, 0.0, radius, 30, 120, 0.05))
    away, turn = np.hypot(x, y), np.degrees(np.arctan2(-y, x)) % 360
    on = (np.abs(away - radius) < 0.025 - 1 / SIDE) & (turn > 35) & (turn < 145)
    assert on.any() and ink[on].min() > 0.99
    assert ink[np.abs(away - radius) > 0.025 + 1.5 / SIDE].max() == 0, "no ink elsewhere"
    assert ink[(turn > 190) & (turn < 350)].max() == 0, "nor beyond its ends"
    length = math.radians(120) * radius
    assert ink.sum() / SIDE**2 == pytest.approx(length * 0.05 + math.pi * 0.025**2, rel=0.02), "as much as it covers"


def test_shapes_cover_their_area_and_outlines_their_length():
    for one, area in (
        (Rectangle(0.05, 0.0, 0.4, 0.3), 0.4 * 0.3),
        (Ellipse(0.0, 0.05, 0.6, 0.4), math.pi * 0.3 * 0.2),
        (Rectangle(0.0, 0.0, 0.5, 0.4, 0.04), 2 * 0.9 * 0.04 - (4 - math.pi) * 0.02**2),
        (Ellipse(0.0, 0.0, 0.5, 0.5, 0.04), math.pi * 0.5 * 0.04),
        (Line(-0.3, 0.0, 0.3, 0.0, 0.05), 0.6 * 0.05 + math.pi * 0.025**2),
        (Brush(((0.0, 0.0),), 0.3), math.pi * 0.15**2),
        (Line(-0.3, 0.0, 0.3, 0.0, 0.002), 0.6 * 0.002),
    ):
        assert darkness(one).sum() / SIDE**2 == pytest.approx(area, rel=0.03), one


@pytest.mark.parametrize("make", [Rectangle, Ellipse])
@pytest.mark.parametrize("width", [0.0, 0.04])
def test_a_turned_shape_has_its_ink_along_its_direction(make: type[Rectangle] | type[Ellipse], width: float):
    x, y = centres()
    plain, turned = (darkness(make(0.05, -0.02, 0.6, 0.2, width, angle=angle)) for angle in (0, 30))
    assert turned.sum() == pytest.approx(plain.sum(), rel=0.02), "as much of it"
    right, up = x - 0.05, -(y + 0.02)
    mass = turned / turned.sum()
    spread = np.array([[(mass * right * right).sum(), (mass * right * up).sum()], [(mass * right * up).sum(), (mass * up * up).sum()]])
    long = np.linalg.eigh(spread)[1][:, 1]
    assert math.degrees(math.atan2(long[1], long[0])) % 180 == pytest.approx(30, abs=0.5), "counter-clockwise as seen"
    quarter = darkness(make(0.0, 0.0, 0.6, 0.2, width, angle=90))
    assert np.abs(quarter - np.rot90(darkness(make(0.0, 0.0, 0.6, 0.2, width)))).max() < 0.02


def test_a_turned_picture_has_no_rim():
    found = drawn(Stamp(0.0, 0.0, 0.4, 0.2, "red", angle=90))
    upper, lower = found[SIDE // 2 - 8, SIDE // 2], found[SIDE // 2 + 8, SIDE // 2]
    assert (lower == (255, 0, 0)).all() and (upper == 255).all(), "its left half is below now"
    tilted = drawn(Stamp(0.0, 0.0, 0.4, 0.2, "red", angle=33))
    assert (tilted[..., 0] > 253).all(), "red or white or between both, and no dark fringe"


def test_an_eraser_bares_the_ground_and_nothing_else():
    ground = Ground("#336699")
    over = Rectangle(0.0, 0.0, 0.6, 0.6, 0.0, "#ff0000")
    x, y = centres()
    found = drawn(over, Eraser(((0.0, 0.0), (0.2, 0.0)), 0.2), ground=ground)
    away = np.hypot(np.maximum(0, np.abs(x - 0.1) - 0.1), y)
    assert (found[away < 0.08] == (0x33, 0x66, 0x99)).all()
    assert (found[(away > 0.12) & (abs(x) < 0.28) & (abs(y) < 0.28)] == (255, 0, 0)).all()


def test_a_fill_ends_at_a_closed_line():
    x, y = centres()
    found = drawn(Ellipse(0.0, 0.0, 0.6, 0.6, 0.06), Fill(0.0, 0.0, "#00ff00"))
    away = np.hypot(x, y)
    assert (found[away < 0.25] == (0, 255, 0)).all() and (found[away > 0.36] == 255).all()
    assert (drawn(Fill(0.1, 0.2, "#00ff00")) == (0, 255, 0)).all(), "without a line everything is filled"
    assert (drawn(Fill(3.0, 0.0, "#00ff00")) == 255).all(), "outside nothing is"


def test_a_picture_shows_what_is_below_where_it_is_transparent():
    found = drawn(Stamp(0.0, 0.0, 0.8, 0.4, "red"), ground=Ground("#0000ff"))
    assert (found[SIDE // 2, 10] == (255, 0, 0)).all() and (found[SIDE // 2, -10] == (0, 0, 255)).all()
    whole = drawn(ground=Ground("#00ff00", "red"), size=(SIDE, 2 * SIDE))
    assert (whole[0, 0] == (255, 0, 0)).all() and (whole[-1, -1] == (0, 255, 0)).all()
    with pytest.raises(InputError, match="missing; drop it"):
        Raster((SIDE, SIDE)).draw(Drawing(Ground(picture="gone")), {})


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_stimulus_on_a_plain_ground_is_that_of_the_set(family: str):
    kind = FAMILIES[family]
    row = kind.random(1, seed=3)
    values = {name: float(row[name][0]) for name in row.dtype.names if np.isfinite(row[name][0])}
    ground = "#" + bytes((255 * kind.colours(row)[1][0]).round().astype(int).tolist()).hex()
    expected = (255 * kind.render(row, (SIDE, SIDE))[0]).permute(1, 2, 0).numpy()
    found = drawn(Stimulus(family, tuple(values.items())), ground=Ground(ground))
    assert np.abs(found - expected).max() < 1.6
    with pytest.raises(InputError):
        ink_of(Stimulus("squiggles"), (SIDE, SIDE))


def test_a_stroke_that_grows_looks_as_if_it_was_drawn_at_once():
    raster, stroke = Raster((SIDE, SIDE)), Brush(((-0.4, -0.2),), 0.07, "#aa0055")
    below = Drawing(objects=EVERY[2:4])
    for step in range(1, 40):
        stroke = stroke.on_to((-0.4 + step / 50, 0.3 * math.sin(step / 4)))
        grown = raster.draw(below.with_object(stroke), {})
    assert np.array_equal(grown, Raster((SIDE, SIDE)).draw(below.with_object(stroke), {}))
    assert np.array_equal(raster.draw(below, {}), Raster((SIDE, SIDE)).draw(below, {})), "and it can be taken back"
    assert np.array_equal(raster.draw(below.with_object(stroke), {}), grown)


def test_any_change_gives_what_drawing_anew_gives():
    raster, drawing = Raster((48, 80)), Drawing(objects=EVERY)
    steps = [
        drawing,
        drawing.with_replaced(3, Arc(0.1, 0.1, 0.2)),
        drawing.without({0, 5}),
        Drawing(Ground("#222222"), EVERY),
        drawing.with_object(Eraser(((0.3, 0.3),), 0.2)),
        Drawing(objects=EVERY[:1]),
        Drawing(objects=(Eraser(EVERY[0].points, 0.05),)),  # type: ignore[attr-defined]
        Drawing(objects=(Brush(EVERY[0].points, 0.05, "#00ffff"),)),  # type: ignore[attr-defined]
    ]
    for step in steps:
        assert np.array_equal(raster.draw(step, {"red": PICTURE}), Raster((48, 80)).draw(step, {"red": PICTURE}))


def test_a_drawing_means_the_same_at_every_size():
    small, large = (drawn(*EVERY[2:6], size=(side, side)) for side in (64, 128))
    halved = large.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(small - halved).mean() < 1.5 and [oversampling((side, side)) for side in (32, 64, 128, 224, 600)] == [4, 4, 2, 2, 2]


def test_a_stimulus_that_is_not_there_yet_is_left_out_until_it_is():
    there: dict = {}
    raster = Raster((SIDE, SIDE), lambda stimulus, size: there.get(stimulus))
    drawing = Drawing(objects=(EVERY[8], EVERY[3]))
    assert np.array_equal(raster.draw(drawing, {}), drawn(EVERY[3]))
    there[EVERY[8]] = ink_of(EVERY[8], (SIDE, SIDE))  # type: ignore[arg-type]
    assert np.array_equal(raster.draw(drawing, {}), drawn(EVERY[8], EVERY[3]))


# What a click means


def test_a_click_means_the_uppermost_object_that_is_there():
    drawing = Drawing(objects=(Ellipse(0, 0, 0.6, 0.6), Arc(0, 0, 0.2, 0, 180, 0.05), Fill(0, 0)))
    assert object_at(drawing, (0.0, -0.2), 0.01) == 1 and object_at(drawing, (0.0, 0.2), 0.01) == 0
    assert object_at(drawing, (0.45, 0.45), 0.01) == -1


@pytest.mark.parametrize("one", [one for one in EVERY if one.kind in "brush line arc rectangle ellipse"], ids=lambda one: one.kind)
def test_ink_is_where_an_object_is_touched(one: Thing):
    found = Raster((SIDE, SIDE)).draw(Drawing(objects=(one,)), {})
    x, y = centres()
    for row, column in np.ndindex(SIDE, SIDE):
        away = distance(one, (float(x[0, column]), float(y[row, 0])))
        inked = bool((found[row, column] != 255).any())
        assert inked or away > 0, (row, column)
        assert not inked or away < 1.5 / SIDE, (row, column)
