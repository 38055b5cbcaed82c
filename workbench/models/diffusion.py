"""`DiffusionStep`: one step of a diffusion network as one graph, from a clean image, noise, a noise level and a text to the prediction.

That the noise is mixed in inside the graph lets any analysis show it any image set: an image stands for its noisy self at the level that
is held. The sampler starts behind that place, at the layer `NOISY`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

NOISY = "noisy"
"""Layer whose activation is what the network is shown: the image, or its latent, with noise."""
TEXT = "text_encoder"
"""Layer whose activation is what cross-attention reads."""


Predict = Callable[[Float[Tensor, "n c y x"], int], Float[Tensor, "n c y x"]]
"""What a network says of noisy images at a timestep."""


class Noisy(nn.Module):
    """Mix an image with noise: sqrt(kept) image + sqrt(1 - kept) noise (Ho et al. 2020, equation 4).

    Parameters
    ----------
    kept
        Part of the variance that is the image's, by timestep; diffusers' ``alphas_cumprod``.
    """

    def __init__(self, kept: Float[Tensor, " steps"]) -> None:
        super().__init__()
        self.kept = nn.Buffer(kept)

    def forward(
        self, image: Float[Tensor, "n c y x"], noise: Float[Tensor, "n c y x"], timestep: Int64[Tensor, " n"]
    ) -> Float[Tensor, "n c y x"]:
        """Return the noisy image."""
        kept = self.kept[timestep].view(-1, 1, 1, 1)
        return kept.sqrt() * image + (1 - kept).sqrt() * noise


class DiffusionStep(nn.Module):
    """What a diffusion pipeline's parts compute in one step.

    Parameters
    ----------
    unet
        diffusers' ``UNet2DConditionModel``, or ``UNet2DModel`` where there is no text encoder.
    kept
        See `Noisy`.
    text_encoder
        transformers' ``CLIPTextModel``.
    encoder
        Takes images in [-1, 1] to the latents the UNet works on; None where it works on the images.
    """

    def __init__(
        self,
        unet: nn.Module,
        kept: Float[Tensor, " steps"],
        text_encoder: nn.Module | None = None,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.noisy = Noisy(kept)
        if encoder is not None:
            self.encoder = encoder
        if text_encoder is not None:
            self.text_encoder = text_encoder
        self.unet = unet

    def forward(
        self,
        image: Float[Tensor, "n 3 y x"],
        timestep: Int64[Tensor, " n"],
        noise: Float[Tensor, "n c y2 x2"],
        text: Int64[Tensor, "n tokens"] | None = None,
    ) -> Float[Tensor, "n c y2 x2"]:
        """Return what the UNet predicts: noise, velocity or the clean image, as its scheduler says."""
        latent = self.encoder(image) if hasattr(self, "encoder") else image
        read = (self.text_encoder(input_ids=text).last_hidden_state,) if text is not None else ()
        predicted: Tensor = self.unet(self.noisy(latent, noise, timestep), timestep, *read).sample
        return predicted


class LatentEncoder(nn.Module):
    """The encoder of diffusers' ``AutoencoderKL``: the mean of the latents, scaled as the UNet reads them."""

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.encoder, self.quant_conv = autoencoder.encoder, autoencoder.quant_conv
        self.scale, self.shift = float(autoencoder.config.scaling_factor), float(autoencoder.config.shift_factor or 0.0)

    def forward(self, image: Float[Tensor, "n 3 y x"]) -> Float[Tensor, "n c y2 x2"]:
        """Encode images in [-1, 1]."""
        moments = self.encoder(image)
        if self.quant_conv is not None:
            moments = self.quant_conv(moments)
        latent: Tensor = (moments.chunk(2, 1)[0] - self.shift) * self.scale
        return latent


@dataclass(frozen=True)
class Sampling:
    """What a sampler needs beside the graph.

    Attributes
    ----------
    schedule
        Settings of diffusers' ``DDIMScheduler``: noise levels and what the network predicts.
    shape
        Of what is denoised: channels, height, width.
    decode
        Turns what was denoised into images in [-1, 1].
    about
        A few words on what prompts the network was trained with.
    guidance
        How far a prompt is followed unless told otherwise: at which the network draws best, where that is known.
    """

    schedule: dict[str, Any]
    shape: tuple[int, int, int]
    decode: Callable[[Tensor], Tensor]
    about: str = ""
    guidance: float = 3.0

    def scheduler(self) -> Any:
        """Return a fresh deterministic scheduler (Song et al. 2021)."""
        from diffusers import DDIMScheduler

        return DDIMScheduler(**self.schedule)


def denoise(
    sampling: Sampling,
    predict: Predict,
    noisy: Float[Tensor, "n c y x"],
    steps: int,
) -> Iterator[tuple[int, Float[Tensor, "n c y x"], Float[Tensor, "n c y x"]]]:
    """Lead noise to images in so many steps (Song et al. 2021).

    Parameters
    ----------
    predict
        The network.
    noisy
        Gaussian noise of variance 1.

    Yields
    ------
    tuple
        The timestep, what is expected to come out in the end, and what is left after the step: after the last one it is the image.
    """
    scheduler = sampling.scheduler()
    scheduler.set_timesteps(steps)
    # Rounding gives some numbers of steps one level more, below the first, and an offset one above the last.
    scheduler.timesteps = scheduler.timesteps[:steps].clamp(0, len(scheduler.alphas_cumprod) - 1)
    noisy = noisy * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps.tolist():
        taken = scheduler.step(predict(noisy, timestep), timestep, noisy)
        noisy = taken.prev_sample
        yield timestep, taken.pred_original_sample, noisy


def guided(predict: Predict, guidance: float) -> Predict:
    """Go from what is predicted without a prompt through what is predicted with it, `guidance` times as far (Ho & Salimans 2022).

    `predict` is given every image twice: all of them to be seen with their prompts, then all again without.
    """

    def lead(noisy: Float[Tensor, "n c y x"], timestep: int) -> Float[Tensor, "n c y x"]:
        told, untold = predict(torch.cat([noisy, noisy]), timestep).chunk(2)
        led: Tensor = untold + guidance * (told - untold)
        return led

    return lead


def unchanged(images: Tensor) -> Tensor:
    """Decode for a network that denoises the images themselves."""
    return images


def kept_of(schedule: dict[str, Any]) -> Float[Tensor, " steps"]:
    """Return the part of the variance that is the image's at each timestep of a schedule."""
    from diffusers import DDIMScheduler

    scheduler: Any = DDIMScheduler(**schedule)
    kept: Tensor = scheduler.alphas_cumprod
    return kept.to(torch.float32)
