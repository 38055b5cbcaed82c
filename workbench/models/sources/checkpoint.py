"""Read weight files that a stranger sent, without running anything in them.

safetensors files hold numbers only; ``.pt`` and ``.pth`` are pickles, opened with ``weights_only=True``, which refuses every object
that is not a number or a plain container. What is wrong with a file is said in one line: cut short, empty, not a weight file, wants
to run code.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import pickletools
import re
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.models.loading import LoadError, suggestion
from workbench.models.sources.tracing import brief

WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "network",
    "net",
    "weights",
)
"""Keys under which training programs put the weights; averaged weights first, since those are what was evaluated."""

PREFIXES = ("module.", "_orig_mod.", "model.", "ema_model.", "ema.", "network.", "net.")
"""What wrappers (data parallel, compile, averaging, Lightning) put before every name."""


def read_state(path: Path) -> tuple[OrderedDict[str, Tensor], tuple[str, ...]]:
    """Read the tensors of a weight file by name.

    Returns
    -------
    state
        Tensors by name, with the wrapper around the dictionary taken off and its layout version kept; prefixes stay.
    said
        Remarks for the user, such as which of two dictionaries was read.

    Raises
    ------
    LoadError
        When there is no such file, it is damaged, holds no weights, or would run code.
    """
    content = _read(path)
    said: tuple[str, ...] = ()
    for _ in range(4):
        if not isinstance(content, Mapping):
            raise LoadError(f"{path} holds a {type(content).__name__}, not weights by name; save module.state_dict()")
        tensors = OrderedDict((str(name), value) for name, value in content.items() if isinstance(value, Tensor))
        inside = [key for key in WRAPPERS if isinstance(content.get(key), Mapping) and content[key]]
        if tensors and not inside:
            metadata = getattr(content, "_metadata", None)
            if metadata is not None:
                tensors._metadata = metadata  # type: ignore[attr-defined]
            return tensors, said
        if not inside:
            keys = ", ".join(repr(str(key)) for key in list(content)[:5]) or "nothing"
            raise LoadError(f"{path} holds no tensors by name (its top level has {keys}); save module.state_dict()")
        if len(inside) > 1:
            said = (f"the file holds the weights as {' and as '.join(inside)}; {inside[0]} was read",)
        content = content[inside[0]]
    raise LoadError(f"{path} nests its weights too deep; save module.state_dict()")


def unwrapped(state: Mapping[str, Tensor]) -> Iterator[tuple[str, OrderedDict[str, Tensor]]]:
    """Yield the state as it is, then without each layer of prefixes that at least half of its names carry, with the prefix."""
    metadata = getattr(state, "_metadata", None)
    waiting: list[tuple[str, Mapping[str, Tensor]]] = [("", state)]
    while waiting:
        prefix, names = waiting.pop(0)
        view = OrderedDict(names)
        if metadata is not None:
            start = len(prefix)
            view._metadata = {  # type: ignore[attr-defined]
                name[start:]: value for name, value in metadata.items() if f"{name}.".startswith(prefix)
            }
        yield prefix, view
        for known in PREFIXES:
            inner = {name.removeprefix(known): tensor for name, tensor in names.items() if name.startswith(known)}
            if inner and 2 * len(inner) >= len(names):
                waiting.append((prefix + known, inner))


def _read(path: Path) -> Any:
    if path.is_dir():
        raise LoadError(f"{path} is a folder; give the weight file in it")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        folder = path.parent
        near = suggestion(path.name, [other.name for other in folder.iterdir()]) if folder.is_dir() else ""
        raise LoadError(f"there is no file {path}{near}") from None
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}") from error
    if size == 0:
        raise LoadError(f"{path} is empty (0 bytes)")
    if start[:2] == b"PK" or start[:1] == b"\x80" or tarfile.is_tarfile(path):
        return _read_pickle(path)
    if len(start) > 8 and start[8:9] == b"{":
        return _read_safetensors(path, size, int.from_bytes(start[:8], "little"))
    shown = start.decode("ascii", "replace").split("\n")[0]
    what = (
        f"it starts with the text {shown!r}"
        if shown.isprintable() and "\ufffd" not in shown
        else "its content is neither"
    )
    raise LoadError(
        f"{path} is not a weight file: {what}; give a .safetensors file, or a .pt or .pth written by torch.save"
    )


def _read_safetensors(path: Path, size: int, header: int) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        promised = _promised_bytes(path, size, header)
        if promised > size:
            raise LoadError(
                f"{path} is cut short: {size:,} bytes of the {promised:,} its header promises; copy or download it again"
            ) from error
        raise LoadError(f"{path} is damaged: {brief(error)}; copy or download it again") from error


def _promised_bytes(path: Path, size: int, header: int) -> int:
    """Return how long the file has to be by its own header."""
    if 8 + header > size:
        return 8 + header
    try:
        with path.open("rb") as file:
            file.seek(8)
            entries = json.loads(file.read(header))
        return (
            8 + header + max(int(entry["data_offsets"][1]) for name, entry in entries.items() if name != "__metadata__")
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return 0


def _read_pickle(path: Path) -> Any:
    if _is_script(path):
        raise LoadError(
            f"{path} is a TorchScript archive, which is a program; not opened. Save the weights alone: state_dict()"
        )
    try:
        # timm and other training programs keep their command line beside the weights: plain values in a Namespace.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = _unsafe_names(path)
        if wanted:
            raise LoadError(
                f"{path} would run code when opened (it asks for {', '.join(wanted[:3])}); not opened. If you trust who made it, "
                "load it in Python and save the weights alone: torch.save(module.state_dict(), path)"
            ) from error
        raise LoadError(f"{path} is damaged or was not written by torch.save; copy or download it again") from error
    except _DAMAGE as error:
        if not zipfile.is_zipfile(path) and _starts_as_archive(path):
            raise LoadError(
                f"{path} is cut short ({path.stat().st_size:,} bytes, its table of contents is missing); copy or download it again"
            ) from error
        raise LoadError(f"{path} is damaged or was not written by torch.save: {brief(error)}") from error


_DAMAGE = (RuntimeError, OSError, EOFError, ValueError, LookupError, AttributeError, TypeError, tarfile.TarError)
"""What torch.load raises on damaged files, beside its own refusal."""


def _starts_as_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _is_script(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") or "/code/" in name for name in archive.namelist())


def _unsafe_names(path: Path) -> list[str]:
    """Name what a pickle would call that is not a plain container or tensor, by reading its instructions, not following them."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in archive.namelist() if name.endswith("data.pkl")]
            streams = [archive.read(name) for name in inside]
    else:
        streams = [path.read_bytes()]
    found: dict[str, None] = {}
    for stream in streams:
        file = io.BytesIO(stream)
        strings: list[str] = []
        try:
            while file.tell() < len(stream):  # torch's older format is several pickles in a row
                for operation, argument, _ in pickletools.genops(file):
                    if operation.name == "GLOBAL":
                        found[str(argument).replace(" ", ".")] = None
                    elif operation.name == "STACK_GLOBAL" and len(strings) > 1:
                        found[".".join(strings[-2:])] = None
                    elif isinstance(argument, str):
                        strings.append(argument)
        except ValueError:
            continue  # the pickles end where the raw numbers begin
    return [name for name in found if not _HARMLESS.fullmatch(name)]


_HARMLESS = re.compile(
    r"collections\.(OrderedDict|defaultdict)|argparse\.Namespace|torch\.storage\.\w+"
    r"|torch(\._utils\._rebuild_\w+|\.\w*Storage|\.Size|\.\w*\d+)"
)
