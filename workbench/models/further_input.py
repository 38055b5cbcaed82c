"""`FurtherInput`: what a network reads beside the image, in the words in which a user gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.input_error import InputError

Tokenize = Callable[[list[str]], Tensor]
"""Turns texts into tokens, int64 ``texts context``, padded or cut to one length."""


@dataclass(frozen=True)
class FurtherInput:
    """One thing that is read beside the image: a caption, a noise level.

    Attributes
    ----------
    name
        Of the network's input.
    value
        As a user writes it, such as ``a turtle, openmoji style`` or ``400``.
    help
        A few words for the form and the list of options.
    read
        Turns what a user writes into one example of the input, ``1 ...``; raises InputError when it cannot.
    """

    name: str
    value: str
    help: str
    read: Callable[[str], Tensor]


def tokens_input(name: str, value: str, tokenize: Tokenize) -> FurtherInput:
    """Return an input that is a text, read as tokens, ``1 context``."""
    return FurtherInput(name, value, "text that is read", lambda text: tokenize([text]))


def timestep_input(name: str, value: int, steps: int) -> FurtherInput:
    """Return an input that is a noise level of a diffusion network, ``1``, from 0 (hardly any noise) to `steps` - 1."""

    def read(text: str) -> Tensor:
        return torch.tensor([whole(text, "timestep", steps - 1)])

    return FurtherInput(name, str(value), f"noise level, 0 to {steps - 1}", read)


def noise_input(name: str, shape: tuple[int, ...], value: int = 0) -> FurtherInput:
    """Return an input that is Gaussian noise, ``1 ...``, given by the seed it is drawn from."""

    def read(text: str) -> Tensor:
        return torch.randn((1, *shape), generator=torch.Generator().manual_seed(whole(text, "noise", 2**31 - 1)))

    return FurtherInput(name, str(value), "seed of the noise that is mixed with the image", read)


def step_inputs(
    image: tuple[int, int, int],
    noisy: tuple[int, int, int],
    level: int,
    levels: int,
    prompt: str = "",
    tokenize: Tokenize | None = None,
) -> tuple[tuple[Tensor, ...], dict[str, FurtherInput]]:
    """Return an example of what a `DiffusionStep` reads, two rows of each, and what of it a user can choose.

    Parameters
    ----------
    image, noisy
        Shapes of the image, and of what is mixed with noise: the same, or a latent's.
    level, levels
        The noise level that is looked at first, and how many there are.
    prompt, tokenize
        The text that is read first, and its tokenizer; None where no text is read.
    """
    example: tuple[Tensor, ...] = torch.zeros(2, *image), torch.tensor([level] * 2), torch.zeros(2, *noisy)
    further = {"timestep": timestep_input("timestep", level, levels), "noise": noise_input("noise", noisy)}
    if tokenize is None:
        return example, further
    return (*example, tokenize([prompt, ""])), {"prompt": tokens_input("text", prompt, tokenize), **further}


def whole(text: str, option: str, most: int) -> int:
    """Read a whole number of 0 to `most`; InputError names the option when it is none."""
    if not text.isascii() or not text.isdigit() or int(text) > most:
        raise InputError(f"{option}={text}: {option} is a whole number of 0 to {most}")
    return int(text)
