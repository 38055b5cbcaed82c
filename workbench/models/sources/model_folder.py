"""`ModelFolder`: a model kept as a folder of settings, weights and vocabularies, on this machine or on the hub.

The libraries that read such folders are shown, in a folder of its own, only the files that were chosen here: settings, safetensors and
vocabularies, so that neither code nor pickles that lie beside them are found.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workbench.models.loading import LoadError
from workbench.models.sources.checkpoint import read_state
from workbench.models.sources.download import NoSuchFile, fetch_from_hub, find_in_hub_cache
from workbench.models.sources.tracing import brief
from workbench.task import Task

VOCABULARIES = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
)
"""Files a tokenizer's vocabulary can be in; one of them has to be there."""
BESIDE_VOCABULARIES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "config.json",
)
"""Files that say more about a tokenizer, the last of them of which kind it is."""

_REPOSITORY = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?(@[\w./-]+)?")


class ModelFolder:
    """The files of one model, each fetched when it is asked for.

    Parameters
    ----------
    name
        A folder on this machine, else a repository of the hub: ``owner/name``, ``name`` or ``owner/name@revision``.
    instead
        What an error about a file that is not there says a user can do else.

    Attributes
    ----------
    path
        The folder on this machine; None for a repository.

    Raises
    ------
    LoadError
        When it can be neither.
    """

    def __init__(self, name: str, task: Task, instead: str = "give a folder on this machine") -> None:
        self.name, self.task, self.instead = name, task, instead
        folder = Path(name).expanduser()
        self.path = folder if folder.is_dir() else None
        if self.path is None and (folder.is_file() or not _REPOSITORY.fullmatch(name)):
            raise LoadError(
                f"{name} is a file; give the folder it is in" if folder.is_file() else f"there is no folder {name}"
            )

    def find(self, *names: str) -> Path:
        """Return the first of these files that there is, downloaded when it has to be.

        Raises
        ------
        LoadError
            When there is none, or none can be downloaded.
        """
        if self.path is None:
            return fetch_from_hub(self.name, names, task=self.task, instead=self.instead)
        found = self.at_hand(*names)
        if found is None:
            raise NoSuchFile(
                f"{self.path} has no {' or '.join(names)}; it is not a folder of such a model, or not all of it"
            )
        return found

    def at_hand(self, *names: str) -> Path | None:
        """Return the first of these files that is on this machine."""
        if self.path is None:
            return find_in_hub_cache(self.name, names)
        return next((self.path / name for name in names if (self.path / name).is_file()), None)

    def settings(self, *names: str) -> dict[str, Any]:
        """Read the first of these JSON files.

        Raises
        ------
        LoadError
            When there is none, or it cannot be read.
        """
        path = self.find(*names)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise LoadError(f"{path} cannot be read: {brief(error)}; copy or download it again") from error
        if not isinstance(found, dict):
            raise LoadError(f"{path} holds a {type(found).__name__}, not settings by name; copy or download it again")
        return found

    def weights(self, prefix: str, stem: str) -> dict[str, Path]:
        """Return the safetensors files of one network, by the name the library looks for: one file, or an index and its parts.

        Raises
        ------
        LoadError
            When there are none, or only pickled ones.
        """
        whole, index = f"{stem}.safetensors", f"{stem}.safetensors.index.json"
        names = [f"{prefix}{name}" for name in (whole, index, f"{stem}.fp16.safetensors")]
        try:
            found = self.find(*names)
        except NoSuchFile as error:
            where = f"{self.path or self.name} has no {names[0]}"
            raise LoadError(
                f"{where}; only safetensors are opened: load the model where it is and save it again"
            ) from error
        if found.name != index:
            return {whole: found}
        parts = sorted({str(part) for part in self.settings(names[1]).get("weight_map", {}).values()})
        if not parts or any(Path(part).name != part for part in parts):
            raise LoadError(f"{found} does not say in which files the weights are; copy or download it again")
        return {index: found, **{part: self.find(f"{prefix}{part}") for part in parts}}

    def vocabulary(self, prefix: str = "") -> dict[str, Path]:
        """Return the files of a tokenizer by name.

        Raises
        ------
        LoadError
            When there are none.
        """
        names, beside = (
            [f"{prefix}{name}" for name in VOCABULARIES],
            [f"{prefix}{name}" for name in BESIDE_VOCABULARIES],
        )
        if self.path is None and self.at_hand(*names) is None:
            # Before the file without which there is no tokenizer: when that one is at hand, so is everything.
            for name in beside:
                try:
                    self.find(name)
                except NoSuchFile:
                    continue
        found = [self.find(*names), *(path for name in beside if (path := self.at_hand(name)) is not None)]
        return {path.name: path for path in found}


@contextmanager
def shown(files: Mapping[str, Path]) -> Iterator[Path]:
    """Give a folder that holds these files only, by name."""
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        for name, path in files.items():
            try:
                (Path(folder) / name).symlink_to(path.resolve())
            except OSError:  # Windows lets few users make them
                shutil.copyfile(path, Path(folder) / name)
        yield Path(folder)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers and diffusers from writing to the terminal: what matters of it is in what they return."""
    from transformers.utils import logging as progress

    loggers = [logging.getLogger(name) for name in ("transformers", "diffusers")]
    levels = [logger.level for logger in loggers]
    bars = progress.is_progress_bar_enabled()
    progress.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            progress.enable_progress_bar()


def filled(from_pretrained: Callable[..., Any], what: str, files: Mapping[str, Path], **options: Any) -> nn.Module:
    """Let a library build a network from ``config.json`` and fill it.

    Parameters
    ----------
    from_pretrained
        Of the network's class in transformers or diffusers.
    what
        The network, as an error calls it.
    options
        What else `from_pretrained` takes, such as the number type the weights are turned into.

    Raises
    ------
    LoadError
        When the library cannot build it, or the weights are damaged or not all there.
    """
    try:
        with shown(files) as folder, quiet():
            module, told = from_pretrained(
                folder, output_loading_info=True, local_files_only=True, use_safetensors=True, **options
            )
    except Exception as error:
        for name, path in files.items():
            if name.endswith(".safetensors"):
                read_state(path)  # says better what is wrong with the file, if that is what is wrong
        raise LoadError(f"{what} could not be made: {brief(error)}") from error
    missing = sorted(told["missing_keys"])
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise LoadError(f"{what} lacks weights: {missing[0]}{more}; copy or download them again")
    network: nn.Module = module
    return network.eval()


def read_tokenizer(folder: ModelFolder, prefix: str = "", config: Path | None = None) -> Any:
    """Return transformers' tokenizer; `config` is the ``config.json`` of its network where that lies elsewhere.

    Raises
    ------
    LoadError
        When there is none, or it cannot be read.
    """
    from transformers import AutoTokenizer

    files = folder.vocabulary(prefix) | ({"config.json": config} if config is not None else {})
    try:
        with shown(files) as place, quiet():
            return AutoTokenizer.from_pretrained(place, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise LoadError(f"the tokenizer in {folder.path or folder.name} could not be made: {brief(error)}") from error


@dataclass(frozen=True)
class Padded:
    """From texts to tokens, ``texts context``: longer texts are cut, shorter ones padded at the end."""

    tokenizer: Any
    context: int
    padding: int

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return the tokens of some texts."""
        tokens = torch.full((len(texts), self.context), self.padding)
        for row, text in enumerate(texts):
            found = self.tokenizer(text, truncation=True, max_length=self.context)["input_ids"]
            tokens[row, : len(found)] = torch.tensor(found, dtype=torch.long)
        return tokens

    def encode(self, text: str) -> list[int]:
        """Return all tokens of a text but the marks at both ends, as open_clip's tokenizers do."""
        tokens: list[int] = self.tokenizer(text, verbose=False)["input_ids"]
        return tokens[1:-1]
