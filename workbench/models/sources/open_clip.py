"""``open_clip:NAME:PRETRAINED``: the CLIPs of the open_clip library, both towers in one graph; without a tag with random weights.

A folder in open_clip's own layout (``open_clip_config.json`` beside the weights) and a repository of the hub in that layout stand in the
place of the name, as in open_clip also written ``local-dir:PATH`` and ``hf-hub:OWNER/NAME``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from workbench.models.further_input import Tokenize, tokens_input
from workbench.models.loading import LoadError, Reference, Source, SourceEntry, register_source, suggestion
from workbench.models.preprocessing import Preprocessing
from workbench.models.sources.checkpoint import read_state
from workbench.models.sources.choosing import FURTHER, choose_inputs
from workbench.models.sources.download import fetch_from_hub, fetch_url
from workbench.models.sources.model_folder import VOCABULARIES, ModelFolder, quiet, shown
from workbench.models.sources.tracing import brief, random_weights, seeded, trace
from workbench.models.traced_model import TracedModel
from workbench.task import Task

TEXT = "a photograph of a cat"
"""What the text tower reads until the user says something else."""

SETTINGS = "open_clip_config.json"
WEIGHT_FILES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
"""What a folder's weights may be called, the safe format first."""

SCHEMES = ("local-dir:", "hf-hub:")


@dataclass
class Choice:
    """What a reference stands for.

    Attributes
    ----------
    name
        For errors and the model's card.
    config
        Settings of open_clip's model class.
    preprocessing
        Settings of open_clip's transforms that differ from its defaults.
    weights
        The file; None for random weights.
    folder
        Where the settings came from, and the tokenizer may be; None for open_clip's own settings.
    said
        Warnings for the user.
    """

    name: str
    config: dict[str, Any]
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    folder: ModelFolder | None = None
    said: tuple[str, ...] = ()


@register_source("open_clip")
class OpenClip(Source):
    """The open_clip library."""

    options: ClassVar[dict[str, str]] = {
        "text": FURTHER["text"],
        "seed": "seed of the random weights, 0 by default",
        "img_size": "height and width of the input in pixels",
    }

    def entries(self) -> Iterable[SourceEntry]:
        """List the trained weights of every architecture, and the architectures without any."""
        import open_clip

        for name in open_clip.list_models():
            config = open_clip.get_model_config(name)
            if "multimodal_cfg" in config:
                continue
            group, size = f"open_clip/{re.split(r'[-_0-9]', name)[0]}", config["vision_cfg"]["image_size"]
            tags = open_clip.list_pretrained_tags_by_model(name)
            for tag in tags:
                yield SourceEntry(f"open_clip:{name}:{tag}", group, f"{name}:{tag}", f"CLIP, {size} x {size} px")
            if not tags:
                yield SourceEntry(f"open_clip:{name}", group, name, "CLIP, random weights only")

    def load(self, reference: Reference, *, allow_code: bool, task: Task) -> TracedModel:
        """Build both towers and give them their trained or random weights."""
        import open_clip

        choice = _choose(reference.name, task)
        seed, size = reference.whole("seed", 0) or 0, reference.whole("img_size", None, least=1)
        tokenize = _tokenize(choice, task)
        task.step(
            0, 0, note=f"reading {choice.weights.name}" if choice.weights is not None else "drawing random weights"
        )
        with seeded(seed):
            module = _build(choice, size, task)
        said, origin = [*choice.said], f"{choice.name} (open_clip {open_clip.__version__})"
        if choice.weights is None:
            said.append(random_weights(seed))
            origin = f"random weights, seed {seed} (open_clip {open_clip.__version__})"
        preprocessing, remark = _preprocessing(choice, module)
        height, width = preprocessing.size
        images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
        model = trace(
            module,
            preprocessing,
            example=(images, tokenize([TEXT, ""])),
            ref=str(reference),
            name=choice.name,
            architecture=f"{type(module).__name__} of open_clip",
            licence="unknown" if choice.weights is not None else "",
            origin=origin,
            warnings=[*said, *remark],
            further={"text": tokens_input("text", TEXT, tokenize)},
            tokenize=tokenize,
            task=task,
        )
        choose_inputs(model, reference)
        return model


def _choose(name: str, task: Task) -> Choice:
    """Find out what a name stands for, and fetch its weights."""
    import open_clip

    scheme = next((scheme for scheme in SCHEMES if name.startswith(scheme)), "")
    architecture, colon, tag = name.partition(":")
    known = open_clip.list_models()
    if scheme or Path(name).expanduser().is_dir() or (architecture not in known and "/" in name):
        return _in_folder(ModelFolder(name.removeprefix(scheme), task))
    if architecture not in known:
        raise LoadError(f"open_clip has no network named {architecture!r}{suggestion(architecture, known)}")
    config = open_clip.get_model_config(architecture)
    if not colon:
        return Choice(name, config)
    if Path(tag).expanduser().is_file():
        return Choice(name, config, weights=Path(tag).expanduser())
    trained = open_clip.pretrained.get_pretrained_cfg(architecture, tag)
    if not trained:
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        hint = suggestion(tag, tags) or f"; it has {', '.join(tags[:6]) or 'none'}"
        raise LoadError(f"open_clip has no weights named {tag!r} for {architecture}{hint}")
    said: tuple[str, ...] = ()
    if trained.get("quick_gelu", False) != config.get("quick_gelu", False):
        other = f"{architecture}-quickgelu" if trained.get("quick_gelu") else architecture.removesuffix("-quickgelu")
        said = (f"these weights were trained with another activation function; open open_clip:{other}:{tag}",)
    return Choice(name, config, trained, _weight_file(architecture, trained, task), said=said)


def _weight_file(architecture: str, trained: Mapping[str, Any], task: Task) -> Path:
    instead = f"give open_clip:{architecture} for random weights"
    repository, _, file = trained.get("hf_hub", "").rpartition("/")
    if not repository:
        return fetch_url(trained["url"], task=task, instead=instead)
    names = (WEIGHT_FILES[0], "open_clip_pytorch_model.bin") if not file else (f"{Path(file).stem}.safetensors", file)
    return fetch_from_hub(repository, names, task=task, instead=instead)


def _in_folder(folder: ModelFolder) -> Choice:
    written = folder.settings(SETTINGS)
    config = written.get("model_cfg")
    if not isinstance(config, dict) or not all(
        isinstance(config.get(tower), dict) for tower in ("vision_cfg", "text_cfg")
    ):
        raise LoadError(
            f"{SETTINGS} of {folder.name} has no model_cfg with both towers; give a folder that open_clip saved"
        )
    return Choice(folder.name, config, written.get("preprocess_cfg") or {}, folder.find(*WEIGHT_FILES), folder)


def _build(choice: Choice, size: int | None, task: Task) -> nn.Module:
    """Let open_clip build the network and read the weights; its errors become one line."""
    from open_clip.factory import load_checkpoint
    from open_clip.model import CLIP, CustomTextCLIP

    config = deepcopy(choice.config)
    if "multimodal_cfg" in config:
        raise LoadError(f"{choice.name} is a CoCa, which writes text as well; only CLIPs of two towers can be opened")
    vision, text = config["vision_cfg"], config["text_cfg"]
    if size is not None:
        vision["image_size"] = size
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    files = _text_settings(text["hf_model_name"], task) if text.get("hf_model_name") else {}
    kind = CustomTextCLIP if config.pop("custom_text", False) or files else CLIP
    try:
        with shown(files) as place, quiet():
            if files:
                text |= {"hf_model_name": str(place), "hf_model_pretrained": False}
            module: Any = kind(**config)
    except Exception as error:
        raise LoadError(f"open_clip could not make {choice.name}: {brief(error)}") from error
    try:
        if choice.weights is not None:
            load_checkpoint(module, str(choice.weights))
        if size is not None and "timm_model_name" in vision:
            module.visual.set_input_size(size)
    except Exception as error:
        if choice.weights is not None:
            read_state(choice.weights)  # says better what is wrong with the file, if that is what is wrong
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[1][:200] if len(lines) > 1 else brief(error)
        raise LoadError(f"{choice.weights or 'the size'} does not fit {choice.name}: {reason}") from error
    network: nn.Module = module.float()
    return network


def _text_settings(name: str, task: Task) -> dict[str, Path]:
    """Return the settings of a text tower that is one of transformers' networks."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    folder = ModelFolder(name, task)
    model_type = folder.settings("config.json").get("model_type")
    if model_type not in CONFIG_MAPPING:
        raise LoadError(
            f"the text tower {name} is a {model_type!r}, which transformers has not; its own code is not run"
        )
    return {"config.json": folder.find("config.json")}


def _tokenize(choice: Choice, task: Task) -> Tokenize:
    """Return the tokenizer the text tower was trained with."""
    from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer, SimpleTokenizer

    text = choice.config["text_cfg"]
    context, options = text.get("context_length", DEFAULT_CONTEXT_LENGTH), text.get("tokenizer_kwargs") or {}
    name = text.get("hf_tokenizer_name")
    if not name:
        tokenizer: Tokenize = SimpleTokenizer(context_length=context, **options)
        return tokenizer
    own = choice.folder is not None and choice.folder.at_hand(*VOCABULARIES) is not None
    folder = choice.folder if own and choice.folder is not None else ModelFolder(name, task)
    files = folder.vocabulary()
    try:
        with shown(files) as place, quiet():
            read: Tokenize = HFTokenizer(
                str(place),
                context_length=context,
                tokenizer_mode=text.get("tokenizer_mode"),
                trust_remote_code=False,
                local_files_only=True,
                **options,
            )
    except Exception as error:
        raise LoadError(f"the tokenizer {name} of {choice.name} could not be made: {brief(error)}") from error
    return read


def _preprocessing(choice: Choice, module: Any) -> tuple[Preprocessing, tuple[str, ...]]:
    """Return what open_clip's transforms do to an image, and what is done otherwise here."""
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    wanted = PreprocessCfg(**merge_preprocess_dict(PreprocessCfg(), choice.preprocessing))
    size = getattr(module.visual, "image_size", wanted.size)
    height, width = size if isinstance(size, tuple | list) else (size, size)
    said = (
        ("its own preprocessing pads images that are not square, here they are cropped",)
        if wanted.resize_mode == "longest"
        else ()
    )
    return Preprocessing(
        size=(int(height), int(width)),
        mean=tuple(wanted.mean),
        std=tuple(wanted.std),
        interpolation="bilinear" if wanted.interpolation == "bilinear" else "bicubic",
        resize="squash" if wanted.resize_mode == "squash" else "crop",
    ), said
