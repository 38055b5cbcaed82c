"""Kernels that are as smooth and as large as a layer's, and otherwise random: what chance alone makes alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32

Rows = Float32[np.ndarray, "unit source y x"]


def dealt(rows: Rows, random: np.random.Generator) -> Rows:
    """Return a layer's kernels, each unit's given to other inputs."""
    units, sources = rows.shape[:2]
    order = random.permuted(np.tile(np.arange(sources), (units, 1)), axis=1)
    given: npt.NDArray[np.float32] = rows[np.arange(units)[:, None], order]
    return given


def phased(rows: Rows, random: np.random.Generator) -> Rows:
    """Give each unit's kernels random phases, the same ones for all its inputs: as smooth and of the same colours, but of no form."""
    units, _, height, width = rows.shape
    noise = np.fft.rfft2(random.normal(size=(units, 1, height, width)))
    phase = noise / np.maximum(np.abs(noise), 1e-12)
    phase[..., 0, 0] = np.sign(random.normal(size=(units, 1))) if height * width > 1 else 1
    given: npt.NDArray[np.float32] = np.fft.irfft2(np.fft.rfft2(rows) * phase, s=(height, width)).astype(np.float32)
    return given


def rephased(rows: Rows, random: np.random.Generator) -> Rows:
    """Give each unit's kernels random phases, the same ones for all its inputs, and deal them to other inputs."""
    return dealt(phased(rows, random), random)
