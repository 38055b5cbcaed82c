"""Colours named by what is seen: lightness, chroma and hue in OKLCH, turned into the sRGB values a network reads.

Equal steps look about equally large, and two hues of one lightness are equally bright, which HSV does not give.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from workbench.input_error import InputError

Values = npt.NDArray[np.float64]

LAB_TO_LMS = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def oklch_to_srgb(lightness: Values, chroma: Values, hue: Values) -> Values:
    """Return sRGB, ``n 3``, in [0, 1], gamma encoded as image files are.

    Parameters
    ----------
    lightness
        0 is black, 1 is white.
    chroma
        0 is grey; every hue exists up to about 0.12 at a lightness of 0.7.
    hue
        Degrees: about 29 is red, 110 yellow, 142 green, 195 cyan, 264 blue, 328 magenta.

    Raises
    ------
    ValueError
        When a colour is outside what a screen can show: drawn as the nearest one, it would not be the colour asked for.

    References
    ----------
    B. Ottosson, "A perceptual color space for image processing" (2020), the section "Converting from linear sRGB to Oklab".
    """
    linear = _linear(lightness, chroma, hue)
    outside = np.flatnonzero(_off_screen(linear))
    if outside.size:
        first = outside[:1]
        possible = chroma[first] * np.linspace(0, 1, 1000)
        most = possible[~_off_screen(_linear(lightness[first], possible, hue[first]))].max()
        raise InputError(
            f"no screen shows lightness {lightness[first][0]:g} with chroma {chroma[first][0]:g} at hue {hue[first][0]:g}; "
            f"chroma {math.floor(most * 1000) / 1000:g} is the most there"
        )
    linear = linear.clip(0, 1)
    encoded: Values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return encoded


def _linear(lightness: Values, chroma: Values, hue: Values) -> Values:
    """Return linear sRGB, outside [0, 1] where a screen cannot follow."""
    angle = np.deg2rad(hue)
    lightness, a, b = np.broadcast_arrays(lightness, chroma * np.cos(angle), chroma * np.sin(angle))
    lms: Values = (np.stack([lightness, a, b], axis=-1) @ LAB_TO_LMS.T) ** 3
    linear: Values = lms @ LMS_TO_RGB.T
    return linear


def _off_screen(linear: Values) -> npt.NDArray[np.bool_]:
    off: npt.NDArray[np.bool_] = np.any((linear < -1e-4) | (linear > 1 + 1e-4), axis=-1)
    return off
