"""Networks with a card: how the weights of each kind of recipe become a traced model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from workbench.models.caption_tokenizer import caption_tokenizer
from workbench.models.card import Card, cards, in_single
from workbench.models.diffusion import DiffusionStep, Sampling, kept_of, unchanged
from workbench.models.further_input import step_inputs, tokens_input
from workbench.models.inception import EarlyInception
from workbench.models.loading import LoadError
from workbench.models.preprocessing import Preprocessing
from workbench.models.small_networks import SMALL_NETWORKS
from workbench.models.small_text_networks import (
    SCHEDULE,
    SIDE,
    TOWERS,
    build_clip,
    build_language_model,
    build_text_encoder,
    build_unet,
)
from workbench.models.sources.architecture import classifier
from workbench.models.sources.checkpoint import read_state
from workbench.models.sources.language_model import NextToken
from workbench.models.sources.tracing import trace
from workbench.models.traced_model import TracedModel
from workbench.task import Task

State = Mapping[str, Tensor]
Loader = Callable[[Card, State], dict[str, Any]]
PROMPT = "turtle, noto style"
"""What a network that reads a caption is told until the user says something else."""
TIMESTEP = 400


def published() -> dict[str, Card]:
    """Return the cards of the networks that can be built here, by name."""
    return {name: card for name, card in cards().items() if card.recipe in LOADERS and _known(card)}


def note(card: Card) -> str:
    """Say in a few words what a network is and how well it does."""
    return NOTES[card.recipe](card)


def load_published(card: Card, ref: str, task: Task) -> TracedModel:
    """Build, fill and trace a network.

    Raises
    ------
    LoadError
        When its weights are missing or not those its card was written for.
    """
    task.step(0, 0, note=f"reading {card.weights.name}")
    card.check()
    state, _ = read_state(card.weights)
    origin = f"trained by the recipe {card.recipe} with seed {card.parameters['seed']} on {card.data['images']}"
    return trace_card(card, state, ref=ref, name=card.name, origin=origin, task=task)


def trace_card(card: Card, state: State, *, ref: str, name: str, origin: str, task: Task, training: str = "") -> TracedModel:
    """Build the network of a card's recipe, fill and trace it; `training` as of `trace`.

    Raises
    ------
    LoadError
        When there is no such recipe, or the weights do not fit it.
    """
    if card.recipe not in LOADERS:
        raise LoadError(f"{name} was made by the recipe {card.recipe}, which is not known here; there are {', '.join(LOADERS)}")
    try:
        parts = LOADERS[card.recipe](card, in_single(state))
    except RuntimeError as error:  # of `load_state_dict`: which tensor, in many lines
        raise LoadError(f"the weights of {name} do not fit its recipe: {' '.join(str(error).split())[:200]}") from None
    return trace(
        parts.pop("module"),
        parts.pop("preprocessing"),
        ref=ref,
        name=name,
        licence=card.licence,
        origin=origin,
        task=task,
        training=training,
        **parts,
    )


def load_early(card: Card, ref: str, seed: int, step: int, task: Task) -> TracedModel:
    """Build the first layers as they were after so many updates.

    Raises
    ------
    LoadError
        When there is no such checkpoint, or its file is not the one the card was written for.
    """
    card.check_early(seed, step)
    path = card.early_weights(seed)
    task.step(0, 0, note=f"reading {path.name}")
    prefix = f"{step}/"
    with safe_open(path, "pt") as file:
        kept = {name.removeprefix(prefix): file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
    size = card.parameters["size"]
    return trace(
        _filled(EarlyInception(), in_single(kept)),
        Preprocessing((size, size)),
        ref=ref,
        name=f"{card.name}, seed {seed}, {step} updates",
        architecture=f"{card.parameters['network']} up to mixed3a",
        licence=card.licence,
        origin=f"the recipe {card.recipe} with seed {seed} on {card.data['images']}, after {step} of {card.parameters['steps']} updates",
        task=task,
        training=f"{card.name}, first layers",
    )


def _filled(module: nn.Module, state: State) -> nn.Module:
    module.load_state_dict(state)
    return module.eval()


def _classifier(card: Card, state: State) -> dict[str, Any]:
    network, size = card.parameters["network"], card.parameters["size"]
    return {
        "module": _filled(classifier(network, len(card.labels), size), state),
        "preprocessing": Preprocessing((size, size)),
        "labels": card.labels,
        "architecture": network,
    }


def _clip(card: Card, state: State) -> dict[str, Any]:
    tokenize = caption_tokenizer()
    side = TOWERS[card.parameters["tower"]]["image_size"]
    return {
        "module": _filled(build_clip(card.parameters["tower"]), state),
        "preprocessing": Preprocessing((side, side)),
        "example": (torch.zeros(2, 3, side, side), tokenize([PROMPT, ""])),
        "architecture": f"CLIP with a {card.parameters['tower']} image tower",
        "further": {"text": tokens_input("text", PROMPT, tokenize)},
        "tokenize": tokenize,
    }


def _language_model(card: Card, state: State) -> dict[str, Any]:
    tokenize = caption_tokenizer()
    return {
        "module": NextToken(_filled(build_language_model(), state)),
        "preprocessing": None,
        "example": tokenize([PROMPT, ""]),
        "architecture": "GPT-2",
        "tokenize": tokenize,
    }


def _diffusion(card: Card, state: State) -> dict[str, Any]:
    unet, text_encoder = build_unet(tuple(card.parameters["channels"])), build_text_encoder()
    _filled(nn.ModuleDict({"unet": unet, "text_encoder": text_encoder}), state)
    tokenize = caption_tokenizer()
    shape = (3, SIDE, SIDE)
    example, further = step_inputs(shape, shape, TIMESTEP, SCHEDULE["num_train_timesteps"], PROMPT, tokenize)
    return {
        "module": DiffusionStep(unet, kept_of(SCHEDULE), text_encoder),
        "preprocessing": Preprocessing((SIDE, SIDE)),
        "example": example,
        "architecture": "UNet2DConditionModel",
        "further": further,
        "tokenize": tokenize,
        "sampling": Sampling(
            SCHEDULE,
            shape,
            unchanged,
            f"emoji of {card.data['groups']}: NAME, KEYWORD, …, STYLE style",
            card.parameters.get("guidance", Sampling.guidance),
        ),
    }


LOADERS: dict[str, Loader] = {
    "Classifier": _classifier,
    "Contrastive": _clip,
    "CaptionModel": _language_model,
    "Diffusion": _diffusion,
}
"""By the kind of recipe that is on the card."""

NOTES: dict[str, Callable[[Card], str]] = {
    "Classifier": lambda card: (
        f"{len(card.labels)} classes, {card.parameters['size']} x {card.parameters['size']} px, "
        f"trained on {card.data['images']}, {card.figures['test_top1']:.0%} right"
    ),
    "Contrastive": lambda card: (
        f"CLIP of images and captions, trained on emoji, {card.figures['test_subgroup_top1']:.0%} zero-shot"
    ),
    "CaptionModel": lambda card: f"language model of captions, perplexity {card.figures['test_perplexity']:.1f} a token",
    "Diffusion": lambda card: f"draws emoji of {SIDE} x {SIDE} px from captions",
}


def _known(card: Card) -> bool:
    """Whether a classifier's network is one of ours: a folder may hold cards of runs with other architectures."""
    return card.recipe != "Classifier" or card.parameters["network"] in SMALL_NETWORKS
