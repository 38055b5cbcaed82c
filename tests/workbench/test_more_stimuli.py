"""Stimuli beside lines, curves and gratings: what is measured in the picture is what the table says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.images.image_set import ImageSetError, load_images
from workbench.images.stimuli import (
    CentreSurround,
    Checkers,
    Circles,
    Corners,
    Curves,
    HighLow,
    LineEnds,
    Lines,
    Patches,
)
from workbench.images.stimulus import FAMILIES, StimulusFamily, Table

SIDE = 96
PROFILES = {"bar": 0, "balanced": 1, "edge": 2}


def coverage(family: StimulusFamily, table: Table, side: int = SIDE) -> np.ndarray:
    """Return how much of each pixel is ink, as read from the picture."""
    return 1 - family.render(table, (side, side))[:, 0].double().numpy()


def places(side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Return x (right) and y (up) of each pixel from the middle, as fractions of the side."""
    middle = (np.arange(side) + 0.5) / side - 0.5
    return np.meshgrid(middle, -middle)


def moments(ink: np.ndarray) -> tuple[float, complex]:
    """Return how much ink there is, as a share of the image, and its middle (x + iy)."""
    x, y = places(len(ink))
    return float(ink.mean()), complex(((x + 1j * y) * ink).sum() / ink.sum())


def direction(vector: complex) -> float:
    """Return an angle in degrees, 0 to 360."""
    return float(np.degrees(np.angle(vector)) % 360)


def apart(first: float, second: float) -> float:
    """Return the distance of two angles."""
    return abs((first - second + 180) % 360 - 180)


def test_a_line_ends_at_its_place_and_comes_from_behind() -> None:
    table = LineEnds().grid(orientation=np.arange(0, 360, 22.5), length=0.3, width=0.04, x=0.05, y=-0.08)
    for row, ink in zip(table, coverage(LineEnds(), table), strict=True):
        area, middle = moments(ink)
        from_end = middle - complex(row["x"], -row["y"])
        assert area == pytest.approx(0.3 * 0.04, rel=0.005)
        assert abs(from_end) == pytest.approx(0.15, abs=1e-3)
        assert apart(direction(-from_end), row["orientation"]) < 0.5


def test_corners_open_by_their_angle_and_point_where_they_should() -> None:
    table = Corners().grid(orientation=np.arange(0, 360, 30), angle=[60, 90, 140], length=0.5, width=0.02)
    x, y = places()
    for row, ink in zip(table, coverage(Corners(), table), strict=True):
        _, middle = moments(ink)  # an eighth of the length behind the tip, times cos(angle / 2)
        assert apart(direction(-middle), row["orientation"]) < 1
        assert abs(middle) == pytest.approx(0.125 * np.cos(np.radians(row["angle"] / 2)), rel=0.07)
        turned = (x + 1j * y) * np.exp(-1j * np.radians(row["orientation"] + 180))
        arm = ink * (turned.imag > 0.03)
        assert direction((turned * arm).sum()) == pytest.approx(row["angle"] / 2, abs=1)


def test_a_corner_that_is_rounded_until_nothing_is_left_of_its_arms_is_a_curve() -> None:
    angle, length = 100.0, 0.5
    radius = length / np.radians(180 - angle)
    rounded = Corners().grid(orientation=[20, 200], angle=angle, length=length, radius=radius)
    curve = Curves().grid(orientation=[20, 200], length=length, radius=radius)
    assert np.abs(coverage(Corners(), rounded) - coverage(Curves(), curve)).max() < 1e-4
    straight = Corners().grid(orientation=70, angle=180, length=length)
    line = Lines().grid(orientation=160, length=length)
    assert np.abs(coverage(Corners(), straight) - coverage(Lines(), line)).max() < 1e-4
    morph = Corners().grid(orientation=90, angle=angle, radius=np.linspace(0, radius, 5), length=length)
    areas = coverage(Corners(), morph).mean((1, 2))
    assert np.ptp(areas) / areas.mean() < 0.02, "the length stays what it is"


def test_circles_have_their_radius_and_place() -> None:
    table = Circles().grid(radius=[0.1, 0.2, 0.35], filling=[0, 1], width=0.03, x=0.04, y=0.06)
    for row, ink in zip(table, coverage(Circles(), table), strict=True):
        area, middle = moments(ink)
        outer, inner = row["radius"] + 0.015, row["radius"] - 0.015
        wanted = np.pi * (outer**2 - (0 if row["filling"] else inner**2))
        assert area == pytest.approx(wanted, rel=0.01)
        assert middle == pytest.approx(complex(0.04, -0.06), abs=1e-3)


def test_checkers_are_turned_and_as_fine_as_they_should() -> None:
    table = Checkers().grid(orientation=[0, 15, 45, 70], frequency=[2, 5])
    x, y = places()
    for row, ink in zip(table, coverage(Checkers(), table), strict=True):
        assert ink[SIDE // 2, SIDE // 2] > 0.99, "ink in the middle"
        frame = (x + 1j * y) * np.exp(-1j * np.radians(row["orientation"]))
        expected = np.cos(2 * np.pi * row["frequency"] * frame.real) * np.cos(2 * np.pi * row["frequency"] * frame.imag)
        away = np.abs(expected) > 0.4  # from the edges of the squares
        assert ((ink > 0.5) == (expected > 0))[away].all()
    with pytest.raises(ValueError, match="at most 8 can"):
        Checkers().render(Checkers().grid(frequency=9), (32, 32))


def test_fine_checkers_are_what_a_finer_rendering_blurs_to() -> None:
    """The nearest edges are enough: squares of three pixels, against the same board drawn without blur at 16 times the size."""
    side, fine, sigma = 48, 16, 0.7
    board = coverage(Checkers(), Checkers().grid(orientation=0, frequency=8), side)[0]
    x = ((np.arange(side * fine) + 0.5) / (side * fine) - 0.5) * side
    sharp = np.sign(np.cos(2 * np.pi * 8 * x / side))
    pixel = (np.arange(side) + 0.5) - side / 2
    kernel = np.exp(-((pixel[:, None] - x) ** 2) / (2 * sigma**2))
    wave = (kernel @ sharp) / kernel.sum(1)
    wanted = 0.5 + 0.5 * np.outer(wave, wave)
    assert np.abs(board - wanted)[6:-6, 6:-6].max() < 5e-3


def test_a_centre_stands_in_its_surround() -> None:
    table = CentreSurround().grid(radius=0.12, surround=0.25, ink_hue=[29, 142], ground_lightness=0.4, x=0.1, y=-0.05)
    images = CentreSurround().render(table, (SIDE, SIDE)).numpy()
    ink, ground = CentreSurround().colours(table)
    x, y = places()
    distance = np.hypot(x - 0.1, y - 0.05)
    for image, spot, ring in zip(images, ink, ground, strict=True):
        assert np.abs(image[:, distance < 0.09].T - spot).max() < 1e-3
        assert np.abs(image[:, (distance > 0.15) & (distance < 0.22)].T - ring).max() < 1e-3
        assert np.abs(image[:, distance > 0.28].T - (spot + ring) / 2).max() < 1e-3


@pytest.mark.parametrize("stripes", [0, 90])
def test_both_sides_of_high_beside_low_have_the_same_mean_and_their_own_frequency(stripes: float) -> None:
    table = HighLow().grid(orientation=[0, 90, 180, 270, 35], stripes=stripes, high=16, low=4, phase=[90, 270])
    x, y = places()
    for row, ink in zip(table, coverage(HighLow(), table), strict=True):
        frame = (x + 1j * y) * np.exp(-1j * np.radians(row["orientation"]))
        weight = np.exp(-(np.abs(np.abs(frame.real) - 0.25) ** 2 + frame.imag**2) / (2 * 0.08**2))
        sides = [weight * (sign * frame.real > 0.02) for sign in (1, -1)]
        means = [(ink * side).sum() / side.sum() for side in sides]
        assert means[0] == pytest.approx(means[1], abs=0.02)
        assert means[0] == pytest.approx(0.5, abs=0.02)
        place = frame.real if stripes == 0 else frame.imag
        for frequency, side in zip((16, 4), sides, strict=True):
            power = {f: abs(((ink - 0.5) * side * np.exp(2j * np.pi * f * place)).sum()) for f in (4, 8, 16)}
            assert max(power, key=lambda f: power[f]) == frequency


def test_patches_have_their_size_and_are_turned() -> None:
    table = Patches().grid(extent=[0.15, 0.3], orientation=[0, 20, 45], ink_lightness=0, ink_chroma=0, x=-0.07)
    for row, ink in zip(table, coverage(Patches(), table), strict=True):
        area, middle = moments(ink)
        assert area == pytest.approx(row["extent"] ** 2, rel=0.005)
        assert middle == pytest.approx(-0.07, abs=1e-3)
        x, y = places()
        fourth = (((x + 0.07 + 1j * y) ** 4) * ink).sum()  # of a square: negative along its sides
        assert (direction(fourth) - 180) / 4 % 90 == pytest.approx(row["orientation"] % 90, abs=0.5)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_a_quarter_turn_of_the_orientation_turns_the_picture(family: StimulusFamily) -> None:
    """Counter-clockwise as seen, to the last bit that matters: no direction of the grid is favoured."""
    table = family.random(6, seed=2)
    if "orientation" not in table.dtype.names:
        pytest.skip("it has no orientation")
    if "profile" in table.dtype.names:
        table["profile"] = [0, 1, 2] * 2
    other = table.copy()
    other["orientation"] += 90
    turned = np.rot90(family.render(table, (64, 64)).numpy(), axes=(2, 3))
    assert np.abs(turned - family.render(other, (64, 64)).numpy()).max() < 2e-4


@pytest.mark.parametrize("family", [Lines(), LineEnds(), Curves(), Corners(), Checkers(), HighLow(), Patches()], ids=lambda one: one.name)
def test_ink_and_energy_are_the_same_in_every_direction(family: StimulusFamily) -> None:
    """Within 3 %, in a disc: what an edge loses to the pixels it loses in all directions."""
    given = {"profile": [0, 1, 2]} if "profile" in [part.name for part in family.parameters] else {}
    orientations = np.arange(0, 90, 7.5)
    table = family.grid(**given, orientation=orientations)
    drawn = coverage(family, table) if family.name != "patches" else family.coverage(table, (SIDE, SIDE)).double().numpy()
    x, y = places()
    disc = np.exp(-((np.hypot(x, y) / 0.3) ** 4))
    ink = (drawn * disc).sum((1, 2)).reshape(-1, len(orientations))
    energy = (drawn**2 * disc).sum((1, 2)).reshape(-1, len(orientations))
    assert (np.ptp(ink, axis=1) / ink.mean(1)).max() < 0.03
    assert (np.ptp(energy, axis=1) / energy.mean(1)).max() < 0.03


def test_balanced_strokes_and_edges_leave_the_mean_as_it_is() -> None:
    for family in (Lines(), Curves(), Corners(), LineEnds()):
        table = family.grid(orientation=[0, 33, 120], profile=[1, 2], length=0.3, width=0.04)
        ink = coverage(family, table)
        bar = coverage(family, family.grid(orientation=0, length=0.3, width=0.04)).mean()
        assert np.abs(ink.mean((1, 2)) - 0.5).max() < 0.15 * bar, family.name
        assert ink.max((1, 2)).min() > 0.9
        assert ink.min((1, 2)).max() < 0.2


def test_the_edge_of_a_line_has_its_ink_below_and_that_of_a_curve_within() -> None:
    lying = coverage(Lines(), Lines().grid(orientation=0, profile=PROFILES["edge"], width=0.2))[0]
    assert lying[SIDE // 2 + 8, SIDE // 2] > 0.99
    assert lying[SIDE // 2 - 8, SIDE // 2] < 0.01
    arch = coverage(Curves(), Curves().grid(orientation=90, profile=PROFILES["edge"], width=0.1, radius=0.3))[0]
    assert arch[SIDE // 2 + 4, SIDE // 2] > 0.99
    assert arch[SIDE // 2 - 4, SIDE // 2] < 0.01
    closed = coverage(Curves(), Curves().grid(radius=0.2, length=2, profile=PROFILES["balanced"], width=0.04))[0]
    x, y = places()
    on_circle = np.abs(np.hypot(x, y + 0.2) - 0.2) < 0.005
    assert closed[on_circle].min() > 0.9, "a closed curve has no ends"


def test_contrast_fades_to_the_ground_or_to_the_mixture() -> None:
    table = Lines().grid(orientation=30, profile=[0, 1], contrast=[0, 0.5, 1], width=0.08)
    middle = coverage(Lines(), table)[:, SIDE // 2, SIDE // 2].reshape(2, 3)
    assert middle[0] == pytest.approx([0, 0.5, 1], abs=0.01)
    assert middle[1] == pytest.approx([0.5, 0.75, 1], abs=0.01)


def test_stimuli_are_drawn_on_the_device_asked_for() -> None:
    for family in FAMILIES.values():
        drawn = family.render(family.grid()[:3], (32, 32), device="meta")
        assert drawn.device == torch.device("meta"), family.name
        assert drawn.shape == (3, 3, 32, 32)


def test_choices_are_named_in_references() -> None:
    images = load_images("stimuli:lines?orientations=4&profile=bar,edge")
    assert images.columns["profile"] == ["bar", "edge"] * 4
    assert images.ids[1] == "lines/1 orientation=0 profile=edge"
    with pytest.raises(ImageSetError, match="did you mean edge"):
        load_images("stimuli:lines?profile=edges")
    with pytest.raises(ImageSetError, match="whole number from 0: bar, balanced, edge"):
        load_images("stimuli:lines?profile=0.5")


@pytest.mark.parametrize("background", ["texture", "photo"])
def test_backgrounds_stand_behind_the_ink_and_come_from_a_seed(background: str) -> None:
    reference = f"stimuli:lines?orientations=6&width=0.1&background={background}"
    if background == "photo":
        pytest.importorskip("sklearn")
    plain, images = load_images("stimuli:lines?orientations=6&width=0.1"), load_images(reference)
    again, other = load_images(reference), load_images(reference + "&seed=1")
    assert len({images.content_hash, plain.content_hash, other.content_hash}) == 3
    assert images.content_hash == again.content_hash
    pictures = np.stack([images.image(row, (64, 64)) for row in range(6)])
    batched = np.concatenate([batch.images for batch in again.batches((64, 64), 4)])
    assert (pictures == batched).all()
    assert (pictures[2] != other.image(2, (64, 64))).any()
    ink = np.stack([plain.image(row, (64, 64)) for row in range(6)])[..., 0] < 2
    assert pictures[ink].max() <= 3, "ink is ink"
    behind = pictures[np.stack([plain.image(row, (64, 64)) for row in range(6)])[..., 0] > 253].astype(float)
    assert behind.std() > 5
    with pytest.raises(ImageSetError, match="no such background; did you mean texture"):
        load_images("stimuli:lines?background=textures")
