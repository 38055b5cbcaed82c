"""What a reference says about the inputs beside the image: ``?prompt=a turtle&timestep=400``."""

from __future__ import annotations

from urllib.parse import unquote

from workbench.input_error import InputError
from workbench.models.loading import LoadError, Reference
from workbench.models.traced_model import TracedModel

FURTHER = {
    "text": "that a CLIP reads beside the image",
    "prompt": "that a diffusion network reads; empty for the branch without one, from which guidance leads away",
    "timestep": "of a diffusion network: the noise level at which it is looked at",
    "noise": "seed of the noise that is mixed with what a diffusion network is shown",
}
"""Options by which an input beside the image is chosen, with a few words of help."""


def choose_inputs(model: TracedModel, reference: Reference) -> None:
    """Let a network read what its reference says.

    Raises
    ------
    LoadError
        When the network has no such input, or cannot read what is given.
    """
    for option, value in reference.options:
        if option not in FURTHER:
            continue
        try:
            model.choose(option, unquote(value))
        except InputError as error:
            raise LoadError(f"{error} (in {reference})") from None
