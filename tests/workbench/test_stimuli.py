"""The stimuli show what their parameters say: measured in the picture, not taken from the code that drew it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import least_squares
from torch import Tensor

from workbench.images.colour import oklch_to_srgb
from workbench.images.image_set import load_images
from workbench.images.stimuli import Colours, Curves, Gratings, Lines
from workbench.images.stimulus import FAMILIES, StimulusFamily
from workbench.images.stimulus_set import StimulusSet

SIZE = (96, 96)


def angle_between(first: np.ndarray, second: np.ndarray, turn: float) -> np.ndarray:
    """Return the distance of two angles in degrees, on a circle of `turn`."""
    return np.abs((first - second + turn / 2) % turn - turn / 2)


def stripe_orientation(images: Tensor) -> np.ndarray:
    """Return the direction (degrees, 0 to 180) along which every image changes least, by its structure tensor."""
    grey = images.mean(1).double().numpy()
    right, down = (
        gaussian_filter1d(gaussian_filter1d(grey, 1, axis=3 - axis), 1, axis=axis, order=1) for axis in (2, 1)
    )
    steepest = np.degrees(np.arctan2(-2 * (right * down).sum((1, 2)), (right**2 - down**2).sum((1, 2)))) / 2
    return (steepest + 90) % 180


def fitted_circle(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float, float]:
    """Return the middle and the radius of the circle nearest to the points, by weighted least squares of the distances."""
    x, y, weight = (values[weight > 0.01] for values in (x, y, weight))
    design = np.stack([x, y, np.ones_like(x)], 1) * weight[:, None]
    a, b, c = np.linalg.lstsq(design, (x**2 + y**2) * weight, rcond=None)[0]
    start = a / 2, b / 2, np.sqrt(c + a**2 / 4 + b**2 / 4)
    fit = least_squares(lambda circle: np.sqrt(weight) * (np.hypot(x - circle[0], y - circle[1]) - circle[2]), start)
    return tuple(fit.x.tolist())


def ink_points(image: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x (right) and y (up) of all pixels from the middle, as fractions of the side, and how much ink is in each."""
    ink = 1 - image.mean(0).double().numpy()
    side = min(ink.shape)
    rows, columns = np.indices(ink.shape)
    return (columns + 0.5 - ink.shape[1] / 2) / side, -(rows + 0.5 - ink.shape[0] / 2) / side, ink


def test_lines_lie_as_they_should() -> None:
    table = Lines().grid(orientation=np.arange(0, 180, 7.5), width=[0.01, 0.03, 0.1], length=0.7)
    measured = stripe_orientation(Lines().render(table, SIZE))
    assert angle_between(measured, table["orientation"], 180).max() < 1


def test_a_line_at_45_degrees_rises_to_the_right() -> None:
    image = Lines().render(Lines().grid(orientation=45), (64, 64))[0, 0]
    assert image[8, 55] < 0.2
    assert image[55, 8] < 0.2
    assert image[8, 8] == 1


def test_lines_have_their_length_width_and_place() -> None:
    table = Lines().grid(orientation=[0, 20, 45, 90], width=[0.02, 0.06], length=[0.3, 0.6], x=[-0.1, 0.12], y=0.07)
    for row, image in zip(table, Lines().render(table, (128, 128)), strict=True):
        x, y, ink = ink_points(image)
        width, length = row["width"], row["length"]
        area = width * length + np.pi * width**2 / 4  # the ends are round
        assert ink.sum() / 128**2 == pytest.approx(area, rel=0.02)
        assert (ink * x).sum() / ink.sum() == pytest.approx(row["x"], abs=1e-3)
        assert (ink * y).sum() / ink.sum() == pytest.approx(-row["y"], abs=1e-3)


def test_thin_lines_are_as_dark_in_every_direction() -> None:
    """Ink in a disc does not depend on the angle: no direction is favoured by the pixels."""
    table = Lines().grid(orientation=np.arange(0, 180, 3), width=0.008)
    images = Lines().render(table, SIZE)
    x, y, _ = ink_points(images[0])
    disc = np.exp(-((np.hypot(x, y) / 0.2) ** 4))
    ink = ((1 - images[:, 0].double().numpy()) * disc).sum((1, 2))
    energy = ((1 - images[:, 0].double().numpy()) ** 2 * disc).sum((1, 2))
    assert np.ptp(ink) / ink.mean() < 0.01
    assert np.ptp(energy) / energy.mean() < 0.02


def test_curves_have_their_radius_and_bulge_where_they_should() -> None:
    """By the circle fitted to the ink: its radius, and where its middle lies as seen from the arc's."""
    table = Curves().grid(
        orientation=np.arange(0, 360, 22.5), radius=[0.12, 0.16, 0.3, 0.6], length=0.4, x=0.05, y=-0.03, width=0.02
    )
    for row, image in zip(table, Curves().render(table, (160, 160)), strict=True):
        x, y, ink = ink_points(image)
        middle_x, middle_y, radius = fitted_circle(x, y, ink)
        assert radius == pytest.approx(row["radius"], rel=0.01)
        out_x, out_y = row["x"] - middle_x, -row["y"] - middle_y
        assert np.hypot(out_x, out_y) == pytest.approx(radius, rel=0.01)
        assert angle_between(np.degrees(np.arctan2(out_y, out_x)), row["orientation"], 360) < 1
        assert ink.sum() / 160**2 == pytest.approx(0.02 * 0.4 + np.pi * 0.02**2 / 4, rel=0.01)


def test_a_curve_at_90_degrees_is_an_arch() -> None:
    image = Curves().render(Curves().grid(orientation=90, radius=0.3, length=0.8), (64, 64))[0, 0]
    rows = [int(image[:, column].argmin()) for column in (16, 32, 48)]
    assert rows[1] < rows[0]
    assert rows[1] < rows[2]


def test_a_curve_without_curvature_is_a_line() -> None:
    curve = Curves().render(Curves().grid(orientation=120, radius=np.inf, length=0.5), SIZE)
    line = Lines().render(Lines().grid(orientation=30, length=0.5), SIZE)
    assert (curve - line).abs().max() < 1e-5
    nearly = Curves().render(Curves().grid(orientation=120, radius=1e5, length=0.5), SIZE)
    assert (nearly - line).abs().max() < 1e-4


def test_a_long_curve_is_a_whole_circle() -> None:
    image = Curves().render(Curves().grid(orientation=0, radius=0.2, length=2), (128, 128))[0]
    x, y, ink = ink_points(image)
    distance = np.hypot(x + 0.2, y)  # the arc's middle is at the image's, so the circle's is to the left
    assert ink[np.abs(distance - 0.2) < 0.008].min() > 0.85
    assert ink[np.abs(distance - 0.2) > 0.03].max() < 0.01


def test_gratings_have_their_orientation_frequency_and_phase() -> None:
    table = Gratings().grid(orientation=np.arange(0, 180, 15), frequency=[4, 9, 16], phase=[0, 90, 215], contrast=0.6)
    images = 1 - Gratings().render(table, SIZE)[:, 0].double().numpy()
    for row, ink in zip(table, images, strict=True):
        x, y, _ = ink_points(torch.ones(3, *SIZE))
        across = np.radians(row["orientation"] + 90)
        wave = 2 * np.pi * row["frequency"] * (x * np.cos(across) + y * np.sin(across)) + np.radians(row["phase"])
        assert np.abs(ink - (0.5 + 0.3 * np.cos(wave))).max() < 1e-4
        spectrum = np.abs(np.fft.fft2((ink - 0.5) * np.hanning(96)[:, None] * np.hanning(96), (768, 768)))
        peak_row, peak_column = np.unravel_index(spectrum[:, :384].argmax(), (768, 384))
        fy, fx = -(((peak_row + 384) % 768) - 384) / 8, peak_column / 8
        assert np.hypot(fx, fy) == pytest.approx(row["frequency"], abs=0.2)
        assert angle_between(np.degrees(np.arctan2(fy, fx)) - 90, row["orientation"], 180) < 2


def test_a_gabor_fades_to_the_middle_between_ink_and_ground() -> None:
    image = Gratings().render(Gratings().grid(window=0.05, phase=0), SIZE)[0, 0]
    assert image[0, 0] == pytest.approx(0.5, abs=1e-4)
    assert image[47:49, 47:49].mean() < 0.05


def test_waves_too_fine_for_the_pixels_are_refused() -> None:
    table = Gratings().grid(frequency=[10, 40])
    with pytest.raises(ValueError, match="40 cycles a side cannot be shown on 64 pixels; at most 32 can"):
        Gratings().render(table, (64, 96))
    images = StimulusSet(Gratings(), table)
    (batch,) = images.batches((64, 64), 4)
    assert batch.indices.tolist() == [0]
    assert "40 cycles" in images.skipped[0].reason


def test_colours_are_those_of_the_standard() -> None:
    """sRGB's primaries in OKLCH, as CSS Color 4 gives them."""
    wanted = {
        (1, 0, 0): (0.62796, 0.25768, 29.234),
        (0, 1, 0): (0.86644, 0.29483, 142.495),
        (0, 0, 1): (0.45201, 0.31321, 264.052),
        (1, 1, 1): (1, 0, 0),
        (0, 0, 0): (0, 0, 77),
    }
    for rgb, lch in wanted.items():
        lightness, chroma, hue = (np.array([value], dtype=float) for value in lch)
        chroma = chroma * 0.9999  # the table is rounded, and the primaries are corners of what can be shown
        assert np.abs(oklch_to_srgb(lightness, chroma, hue) - rgb).max() < 0.02
    grey = oklch_to_srgb(np.linspace(0, 1, 11), np.zeros(11), np.arange(11.0))
    assert np.ptp(grey, axis=1).max() < 1e-3
    assert (np.diff(grey[:, 0]) > 0).all()


def test_ink_and_ground_have_the_colours_asked_for() -> None:
    table = Lines().grid(
        orientation=90, ink_lightness=0.6, ink_chroma=0.1, ink_hue=[0, 120, 240], ground_lightness=0.3, width=0.2
    )
    images = Lines().render(table, SIZE)
    for row, image in zip(table, images, strict=True):
        ink, ground = (
            oklch_to_srgb(*(np.array([row[f"{name}_{part}"]]) for part in ("lightness", "chroma", "hue")))[0]
            for name in ("ink", "ground")
        )
        assert np.abs(image[:, 48, 48].numpy() - ink).max() < 1e-3
        assert np.abs(image[:, 3, 3].numpy() - ground).max() < 1e-3
    flat = Colours().render(Colours().grid(), (4, 4))
    assert (flat == flat[:, :, :1, :1]).all()
    assert len({tuple(image[:, 0, 0].tolist()) for image in flat}) == 36


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_every_family_keeps_the_contract(family: StimulusFamily) -> None:
    table = family.grid()
    assert table.dtype.names == tuple(parameter.name for parameter in family.parameters)
    names = [name for parameter in family.parameters for name in (parameter.name, parameter.plural)]
    assert len(names) == len(set(names))
    assert all(parameter.help for parameter in family.parameters)
    some = table[:: max(1, len(table) // 6)]
    images = family.render(some, (40, 56))
    assert images.shape == (len(some), 3, 40, 56)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    for row in range(len(some)):
        assert torch.equal(family.render(some[row : row + 1], (40, 56))[0], images[row])
    assert family.render(table[:0], (8, 8)).shape == (0, 3, 8, 8)
    again = family.random(20, seed=3)
    assert (again == family.random(20, seed=3)).all()
    assert (again != family.random(20, seed=4)).any()
    for name in family.counts:
        parameter = next(part for part in family.parameters if part.plural == name)
        assert ((again[parameter.name] >= parameter.usual[0]) & (again[parameter.name] <= parameter.usual[1])).all()
        assert len(np.unique(again[parameter.name])) == 20
    for size in (64, 128):  # the same row is the same picture at every size
        twice = family.render(some, (2 * size, 2 * size)).unflatten(2, (size, 2)).unflatten(4, (size, 2)).mean((3, 5))
        assert (twice - family.render(some, (size, size))).abs().mean() < 0.04


def test_grids_hold_every_combination() -> None:
    table = Curves().grid(orientations=8, radius=[0.2, 0.5], x=0.1)
    assert len(table) == 16
    assert table["orientation"].tolist() == [angle for angle in range(0, 360, 45) for _ in range(2)]
    assert table["radius"].tolist() == [0.2, 0.5] * 8
    assert set(table["x"]) == {0.1}
    assert set(table["y"]) == {0}
    ratios = Curves().grid(radii=4)["radius"]
    assert np.allclose(ratios[1:] / ratios[:-1], ratios[1] / ratios[0])
    assert (ratios[0], ratios[-1]) == pytest.approx((0.16, 1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"radus": 0.3}, "did you mean radius"),
        ({"radius": -1}, "radius -1 is outside 0.01 to inf of the side"),
        ({"radius": np.nan}, "radius nan"),
        ({"radii": 2.5}, "whole number"),
        ({"radius": 0.3, "radii": 3}, "radius is given twice"),
    ],
)
def test_wrong_parameters_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Curves().grid(**values)


def test_a_table_of_another_family_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no field 'radius'"):
        Curves().render(Lines().grid(), SIZE)


def test_stimuli_as_an_image_set() -> None:
    images = load_images("stimuli:curves?orientations=16&radii=4")
    assert len(images) == 64
    assert len(set(images.ids)) == 64
    assert images.ids[5] == "curves/5 orientation=22.5 radius=0.294723"
    assert images.columns["orientation"][5] == "22.5"
    assert set(images.columns["width"]) == {"0.03"}
    assert isinstance(images, StimulusSet)
    assert images.parameters["orientation"][5] == 22.5
    batches = np.concatenate([batch.images for batch in images.batches((50, 60), 24)])
    drawn = images.family.render(images.parameters, (50, 60)).permute(0, 2, 3, 1)
    assert np.abs(batches / 255 - drawn.numpy()).max() <= 0.5 / 255 + 1e-6
    assert (images.image(9, (50, 60)) == batches[9]).all()
    assert images.content_hash == load_images("stimuli:curves?orientations=16&radii=4").content_hash
    assert images.content_hash != load_images("stimuli:curves?orientations=16&radii=5").content_hash
    fixed = load_images("stimuli:lines?orientation=0,45,90&width=0.05")
    assert list(fixed.columns["orientation"]) == ["0", "45", "90"]
