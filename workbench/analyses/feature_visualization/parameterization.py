"""What is optimised instead of pixels, and how it becomes an image in [0, 1].

A parameterization changes which images are near: gradient steps on decorrelated Fourier coefficients, scaled so that every frequency
carries as much as in natural images, find pictures that gradient steps on pixels do not ("Feature Visualization", Distill 2017).

* `Fourier`: Lucid's ``fft_image``. Coefficients ~ N(0, sd), times sqrt(w h) / max(f, 1 / max(w, h)) ** decay, inverse FFT, / 4.
* `Pixel`: the plain image, for comparison.
* `Maco`: only the phases are free, the magnitudes are those of natural images (Fel et al., "Unlocking Feature Visualization for Deeper
  Networks with MAgnitude Constrained Optimization", NeurIPS 2023).

All three work in a decorrelated colour space and end in a sigmoid.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# Square root of the colour covariance of ImageNet, by singular value decomposition (Lucid, optvis/param/color.py): rows R, G, B.
IMAGENET_COLOUR = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


@dataclass(frozen=True)
class ImageStatistics:
    """What natural images of the subject's kind look like on average.

    Attributes
    ----------
    colour
        Matrix from decorrelated channels to channels; its largest column has length 1.
    spectrum
        Mean magnitude of the orthonormal FFT of each decorrelated channel, ``channel y x // 2 + 1``; None where unknown: then it falls
        as 1 / frequency, as it does in natural images (Field 1987).
    """

    colour: Float[Tensor, "channel channel"]
    spectrum: Float[Tensor, "channel y half_x"] | None = None

    @classmethod
    def usual(cls, channels: int) -> ImageStatistics:
        """Return ImageNet's for three channels; channels taken as independent for any other number."""
        if channels != 3:
            return cls(torch.eye(channels))
        return cls(_normalised(torch.tensor(IMAGENET_COLOUR)))

    @classmethod
    def measured(cls, images: Float[Tensor, "image channel y x"]) -> ImageStatistics:
        """Measure both on images in [0, 1]; they should have the size that will be rendered."""
        channels = images.shape[1]
        centred = images - images.mean((0, 2, 3), keepdim=True)
        flat = centred.transpose(0, 1).reshape(channels, -1)
        covariance = flat @ flat.T / flat.shape[1]
        u, s, _ = torch.linalg.svd(covariance)
        root = u * s.sqrt()
        # An absent colour (a grey image set) must not make the inverse explode: such channels stay as good as silent.
        decorrelated = torch.einsum("dc,icyx->idyx", torch.linalg.pinv(root, rtol=1e-3), centred)
        spectrum = torch.fft.rfft2(decorrelated, norm="ortho").abs().mean(0)
        return cls(_normalised(root), spectrum)

    def natural_spectrum(self, size: tuple[int, int]) -> Float[Tensor, "channel y half_x"]:
        """Return the magnitudes at a size: the measured ones, resized where needed, or 1 / frequency."""
        if self.spectrum is None:
            falling = frequencies(size).clamp(min=1 / max(size)).reciprocal()
            falling[0, 0] = 0
            return falling.repeat(len(self.colour), 1, 1)
        shifted = torch.fft.fftshift(self.spectrum, dim=1)
        stretched = torch.nn.functional.interpolate(
            shifted[None], (size[0], size[1] // 2 + 1), mode="bilinear", align_corners=True
        )[0]
        resized: Tensor = torch.fft.ifftshift(stretched, dim=1)
        resized[:, 0, 0] = 0
        return resized


def _normalised(matrix: Float[Tensor, "channel channel"]) -> Float[Tensor, "channel channel"]:
    longest = matrix.norm(dim=0).max()
    return matrix / longest if longest > 0 else torch.eye(len(matrix))


def frequencies(size: tuple[int, int]) -> Float[Tensor, "y half_x"]:
    """Return the spatial frequency of each coefficient of `rfft2`, in cycles per pixel."""
    return torch.hypot(torch.fft.fftfreq(size[0])[:, None], torch.fft.rfftfreq(size[1])[None])


def noise(shape: Sequence[int], seeds: Sequence[int], deviation: float) -> Float[Tensor, "row ..."]:
    """Return normal noise, each row from its own seed: what a row becomes does not depend on what else is in its batch."""
    rows = [torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows).mul_(deviation)


class Parameterization(ABC):
    """Variables of a batch of images, one row an image.

    Attributes
    ----------
    variables
        The single leaf tensor that the optimiser changes.
    """

    variables: Tensor

    def __init__(
        self,
        seeds: Sequence[int],
        size: tuple[int, int],
        statistics: ImageStatistics,
        *,
        decorrelate: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        self.size = size
        self.channels = len(statistics.colour)
        self.colour = statistics.colour.to(device) if decorrelate else None

    @abstractmethod
    def plane(self) -> Float[Tensor, "row channel y x"]:
        """Return the images before colour and sigmoid: unbounded, in decorrelated channels."""

    def image(self) -> Float[Tensor, "row channel y x"]:
        """Return the images in [0, 1]."""
        plane = self.plane()
        if self.colour is not None:
            plane = (self.colour @ plane.flatten(2)).view_as(plane)
        return torch.sigmoid(plane)

    def _leaf(self, values: Tensor, device: torch.device | str) -> Tensor:
        return values.to(device).requires_grad_(True)


class Fourier(Parameterization):
    """Fourier coefficients, scaled by frequency.

    Parameters
    ----------
    decay
        Power of the frequency by which coefficients fall: 1 as in natural images, more for smoother pictures.
    deviation
        Standard deviation of the first coefficients.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        size: tuple[int, int],
        statistics: ImageStatistics,
        *,
        decay: float = 1.0,
        deviation: float = 0.01,
        decorrelate: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(seeds, size, statistics, decorrelate=decorrelate, device=device)
        height, width = size
        self.variables = self._leaf(noise((self.channels, height, width // 2 + 1, 2), seeds, deviation), device)
        # An orthonormal inverse transform holds the formula's sqrt(w h); 4 keeps the sigmoid from saturating (Lucid). Another decay than
        # 1 is given the same energy, so that contrast and learning rate keep their meaning.
        falling = frequencies(size).clamp(min=1 / max(size)).reciprocal()
        scale = falling.pow(decay)
        scale *= falling.square().mean().sqrt() / scale.square().mean().sqrt() / 4
        self.scale = scale[..., None].to(device)

    def plane(self) -> Float[Tensor, "row channel y x"]:
        """Return the inverse transform of the scaled coefficients."""
        spectrum = torch.view_as_complex(self.variables * self.scale)
        plane: Tensor = torch.fft.irfft2(spectrum, s=self.size, norm="ortho")
        return plane


class Pixel(Parameterization):
    """The image itself, before colour and sigmoid.

    Parameters
    ----------
    deviation
        Standard deviation of the first pixels.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        size: tuple[int, int],
        statistics: ImageStatistics,
        *,
        deviation: float = 0.01,
        decorrelate: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(seeds, size, statistics, decorrelate=decorrelate, device=device)
        self.variables = self._leaf(noise((self.channels, *size), seeds, deviation), device)

    def plane(self) -> Float[Tensor, "row channel y x"]:
        """Return the variables."""
        return self.variables


class Maco(Parameterization):
    """Phases alone, at first uniform; the magnitudes are held at those of natural images.

    A phase is `RADIANS` times its variable, so that the learning rate of `Fourier`, 0.05, moves it by 0.2 a step. The authors' code
    standardises the phases, which leaves part of them aligned: a bright burst in the corners; here they are free. The image is standardised
    per row before colour and sigmoid.
    """

    RADIANS = 4.0

    def __init__(
        self,
        seeds: Sequence[int],
        size: tuple[int, int],
        statistics: ImageStatistics,
        *,
        decorrelate: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(seeds, size, statistics, decorrelate=decorrelate, device=device)
        # The phase of two independent normal numbers taken as real and imaginary part is uniform.
        parts = noise((self.channels, size[0], size[1] // 2 + 1, 2), seeds, 1.0)
        self.variables = self._leaf(torch.view_as_complex(parts).angle() / self.RADIANS, device)
        self.magnitude = statistics.natural_spectrum(size).to(device)

    def plane(self) -> Float[Tensor, "row channel y x"]:
        """Return the image of the natural magnitudes and the present phases, at mean 0 and deviation 1 in each row."""
        phase = self.variables * self.RADIANS
        spectrum = torch.polar(self.magnitude.expand_as(phase), phase)
        plane: Tensor = torch.fft.irfft2(spectrum, s=self.size, norm="ortho")
        deviation, mean = torch.std_mean(plane, (1, 2, 3), keepdim=True)
        return (plane - mean) / (deviation + 1e-5)
