"""``diffusers:NAME``: diffusion pipelines with a UNet, from a folder or the hub, as one step on one image.

The image goes through the pipeline's autoencoder, where it has one, is mixed with noise at the level that is held, and the UNet's
prediction comes out (`workbench.models.diffusion`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from workbench.models.diffusion import DiffusionStep, LatentEncoder, Sampling, kept_of, unchanged
from workbench.models.further_input import Tokenize, step_inputs
from workbench.models.loading import LoadError, Reference, Source, SourceEntry, register_source
from workbench.models.preprocessing import Preprocessing
from workbench.models.sources.choosing import FURTHER, choose_inputs
from workbench.models.sources.model_folder import ModelFolder, Padded, filled, read_tokenizer
from workbench.models.sources.tracing import brief, trace
from workbench.models.traced_model import TracedModel
from workbench.task import Task

PROMPT = "a photograph of a cat"
"""What a UNet that reads text is told until the user says something else."""

KINDS = {"unet": ("UNet2DConditionModel", "UNet2DModel"), "vae": ("AutoencoderKL",), "text_encoder": ("CLIPTextModel",)}
"""Classes a part may have."""

ELSEWHERE = {
    "transformer": "a transformer in place of the UNet",
    "text_encoder_2": "a second text encoder, as in SDXL",
    "vqvae": "a quantised autoencoder",
    "movq": "a quantised autoencoder",
    "controlnet": "a ControlNet",
    "prior": "a prior",
    "adapter": "an adapter",
}
"""Parts of pipelines that cannot be opened, in words."""

READ_TOO = {
    "addition_embed_type": "sizes or a pooled text beside the prompt, as in SDXL",
    "class_embed_type": "a class",
    "num_class_embeds": "a class",
    "encoder_hid_dim_type": "an image or another encoding of the text",
    "time_cond_proj_dim": "the strength of its guidance",
}
"""Settings of UNets that read what is not given here, in words."""


@register_source("diffusers")
class Diffusers(Source):
    """Pipelines in the layout of the diffusers library."""

    options: ClassVar[dict[str, str]] = {
        **{option: FURTHER[option] for option in ("prompt", "timestep", "noise")},
        "img_size": "height and width of the image in pixels; what the network was trained with by default",
    }

    def entries(self) -> Iterable[SourceEntry]:
        """List nothing: it takes a path or the name of a repository."""
        return ()

    def load(self, reference: Reference, *, allow_code: bool, task: Task) -> TracedModel:
        """Build a pipeline's parts with their weights and join them to one network."""
        import diffusers

        name = reference.name
        folder = ModelFolder(name, task)
        parts = _parts(folder)
        schedule = schedule_of(
            folder.settings("scheduler/scheduler_config.json", "scheduler_config.json"), latent="vae" in parts
        )
        factor, seen, shape = _geometry(reference, parts)
        size = (shape[1] * factor, shape[2] * factor)
        steps = int(schedule["num_train_timesteps"])
        level = steps * 2 // 5
        text_encoder, tokenize, autoencoder = None, None, None
        if "text_encoder" in parts:
            tokenize = _tokenize(folder, parts["text_encoder"])
            text_encoder = _network(folder, parts["text_encoder"])
        if "vae" in parts:
            autoencoder = _network(folder, parts["vae"])
        step = DiffusionStep(
            _network(folder, parts["unet"]),
            kept_of(schedule),
            text_encoder,
            LatentEncoder(autoencoder) if autoencoder is not None else None,
        )
        example, further = step_inputs((seen, *size), shape, level, steps, PROMPT, tokenize)
        model = trace(
            step,
            Preprocessing(size, (0.5,) * seen, (0.5,) * seen, seen),
            example=example,
            further=further,
            tokenize=tokenize,
            sampling=Sampling(schedule, shape, Decoder(autoencoder) if autoencoder is not None else unchanged),
            ref=str(reference),
            name=name,
            architecture=parts["unet"].kind,
            licence="unknown",
            origin=f"{name} (diffusers {diffusers.__version__})",
            task=task,
        )
        choose_inputs(model, reference)
        return model


class Decoder(nn.Module):
    """The decoder of diffusers' ``AutoencoderKL``, from latents scaled as the UNet reads them to images in [-1, 1]."""

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.decoder, self.post_quant_conv = autoencoder.decoder, autoencoder.post_quant_conv
        self.scale, self.shift = float(autoencoder.config.scaling_factor), float(autoencoder.config.shift_factor or 0.0)
        self.requires_grad_(False)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode latents, ``n c y x``, where they are."""
        self.to(latents.device, latents.dtype)
        latents = latents / self.scale + self.shift
        if self.post_quant_conv is not None:
            latents = self.post_quant_conv(latents)
        images: Tensor = self.decoder(latents)
        return images


def schedule_of(written: dict[str, Any], *, latent: bool) -> dict[str, Any]:
    """Turn the settings of a pipeline's scheduler into those of diffusers' ``DDIMScheduler`` with the same noise levels.

    Parameters
    ----------
    latent
        Whether latents are denoised, which have no bounds to clip to.

    Raises
    ------
    LoadError
        When it has no discrete noise levels, or the network predicts something else than noise, velocity or the image.
    """
    import diffusers

    name = written.get("_class_name")
    kind = getattr(diffusers, name, None) if isinstance(name, str) and name.endswith("Scheduler") else None
    if kind is None:
        raise LoadError(f"its scheduler {name!r} is none of diffusers'; give a pipeline with one of them")
    try:
        own = kind.from_config(written)
    except Exception as error:
        raise LoadError(f"its scheduler {name} could not be made: {brief(error)}") from error
    betas, predicted = getattr(own, "betas", None), own.config.get("prediction_type", "epsilon")
    if not isinstance(betas, Tensor) or predicted not in ("epsilon", "v_prediction", "sample"):
        what = f"predicts {predicted}" if isinstance(betas, Tensor) else "has no discrete noise levels"
        raise LoadError(
            f"its scheduler {name} {what}; only networks that predict noise, velocity or the image can be opened"
        )
    known = inspect.signature(diffusers.DDIMScheduler.__init__).parameters
    schedule = {key: value for key, value in own.config.items() if key in known}
    schedule |= {
        "num_train_timesteps": len(betas),
        "clip_sample": bool(schedule.get("clip_sample", False)) and not latent,
    }
    if schedule.get("beta_schedule") not in ("linear", "scaled_linear", "squaredcos_cap_v2"):
        schedule |= {"beta_schedule": "linear", "trained_betas": betas.tolist()}
    return schedule


@dataclass(frozen=True)
class Part:
    """One network of a pipeline: its class, the folder it is in, and its settings."""

    name: str
    kind: str
    prefix: str
    settings: dict[str, Any]


def _parts(folder: ModelFolder) -> dict[str, Part]:
    """Return the networks of a pipeline by name; LoadError where it has others than can be opened."""
    import diffusers

    index = folder.settings("model_index.json")
    pipeline = index.get("_class_name")
    if pipeline not in dir(diffusers):
        raise LoadError(
            f"{folder.name} needs pipeline code of its own, which is not run; give one of diffusers' own pipelines"
        )
    found = {
        name: part for name, part in index.items() if isinstance(part, list) and len(part) == 2 and part[1] is not None
    }
    for name, words in ELSEWHERE.items():
        if name in found:
            raise LoadError(
                f"{folder.name} ({pipeline}) has {words}; only pipelines with a UNet and at most one text encoder are opened"
            )
    if "unet" not in found:
        raise LoadError(f"{folder.name} ({pipeline}) has no UNet; only pipelines with one can be opened")
    for name, known in KINDS.items():
        library, kind = found.get(name, ("", known[0]))
        if kind not in known or library not in ("", "transformers" if name == "text_encoder" else "diffusers"):
            raise LoadError(
                f"the {name} of {folder.name} is a {library}.{kind}; only {' and '.join(known)} can be opened"
            )
    kind = found["unet"][1]
    reads = kind == "UNet2DConditionModel"
    for name in ("text_encoder", "tokenizer"):
        if reads != (name in found):
            raise LoadError(
                f"{folder.name} ({pipeline}) has {'no' if reads else 'a'} {name} for its {kind}; give a whole pipeline"
            )
    return {name: _part(folder, name, str(found[name][1])) for name in KINDS if name in found}


def _part(folder: ModelFolder, name: str, kind: str) -> Part:
    """Read the settings of one part; old pipelines of a UNet alone have it beside the index."""
    beside = folder.find("unet/config.json", "config.json").parent if name == "unet" else None
    prefix = f"{name}/" if beside is None or (beside.name == name and beside != folder.path) else ""
    settings = folder.settings(f"{prefix}config.json")
    for setting, words in READ_TOO.items() if name == "unet" else ():
        if settings.get(setting) is not None:
            raise LoadError(f"the UNet of {folder.name} reads {words} ({setting}); such networks cannot be opened")
    if "quantization_config" in settings:
        raise LoadError(f"the {name} of {folder.name} is quantised; give a pipeline in full precision")
    return Part(name, kind, prefix, settings)


def _geometry(reference: Reference, parts: dict[str, Part]) -> tuple[int, int, tuple[int, int, int]]:
    """Return pixels a side of a latent stands for, channels of the image, and the shape of what is denoised."""
    unet, factor = parts["unet"].settings, 1
    channels = seen = unet.get("in_channels")
    if "vae" in parts:
        autoencoder = parts["vae"].settings
        factor = 2 ** (len(autoencoder.get("block_out_channels") or [0]) - 1)
        channels, seen = autoencoder.get("latent_channels"), autoencoder.get("in_channels")
    elif channels not in (1, 3):
        raise LoadError(f"{reference.name} has no vae for the {channels} channels of its UNet; give a whole pipeline")
    if (unet.get("in_channels"), unet.get("out_channels")) != (channels, channels):
        raise LoadError(
            f"the UNet of {reference.name} turns {unet.get('in_channels')} channels into {unet.get('out_channels')}, its images "
            f"have {channels}; networks that fill in, edit, enlarge or predict a variance as well cannot be opened"
        )
    asked, sample = reference.whole("img_size", None, least=factor), unet.get("sample_size")
    if asked is not None and asked % factor:
        raise LoadError(
            f"img_size={asked} in {reference}: img_size is a multiple of {factor}, such as {asked - asked % factor}"
        )
    if asked is None and not sample:
        raise LoadError(f"{reference.name} does not say for what size it was made; add ?img_size=PIXELS")
    side: Any = asked // factor if asked is not None else sample
    height, width = side if isinstance(side, list) else (side, side)
    return factor, int(seen or 3), (int(channels or 0), int(height), int(width))


def _network(folder: ModelFolder, part: Part) -> Any:
    """Build and fill one part."""
    weights = folder.weights(part.prefix, "model" if part.name == "text_encoder" else "diffusion_pytorch_model")
    folder.task.step(0, 0, note=f"reading {part.name}: {', '.join(weights)}")
    files, what = (
        {"config.json": folder.find(f"{part.prefix}config.json"), **weights},
        f"the {part.name} of {folder.name}",
    )
    if part.name == "text_encoder":
        from transformers import CLIPTextModel

        return filled(CLIPTextModel.from_pretrained, what, files, dtype=torch.float32, attn_implementation="sdpa")
    import diffusers

    make = getattr(diffusers, part.kind).from_pretrained
    return filled(make, what, files, torch_dtype=torch.float32, low_cpu_mem_usage=False)


def _tokenize(folder: ModelFolder, text_encoder: Part) -> Tokenize:
    settings = text_encoder.settings
    tokenizer = read_tokenizer(folder, "tokenizer/", folder.find(f"{text_encoder.prefix}config.json"))
    context = min(int(settings.get("max_position_embeddings", 77)), tokenizer.model_max_length)
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return Padded(tokenizer, context, int(padding or 0))
