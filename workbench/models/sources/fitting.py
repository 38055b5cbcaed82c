"""Put the tensors of a weight file into an architecture, or say precisely why they do not fit."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from workbench.models.loading import LoadError
from workbench.models.sources.architecture import Architecture, State, mismatches
from workbench.models.sources.checkpoint import unwrapped


@dataclass(frozen=True)
class Fitted:
    """A network with a file's weights in it.

    Attributes
    ----------
    classes
        Number of classes of the head, 0 where it has none.
    channels
        Number of channels its images have.
    said
        Remarks for the user, such as tensors that were left out.
    """

    module: nn.Module
    classes: int
    channels: int
    said: tuple[str, ...]


def fit(path: Path, state: State, architecture: Architecture, *, size: int | None = None) -> Fitted:
    """Build the architecture with the file's number of classes and channels, and read the tensors into it, every one of them.

    Raises
    ------
    LoadError
        When a tensor is missing, left over, or of another shape; the first three are named.
    """
    module = architecture.build(size=size)
    names = module.state_dict().keys()
    prefix, unwrapped_state = max(unwrapped(state), key=lambda view: len(names & view[1].keys()))
    given = _translated(unwrapped_state, module, architecture)
    options = _options(given, module, architecture)
    if options:
        module = architecture.build(size=size, **options)
        given = _translated(given, module, architecture)
    wanted = module.state_dict()
    found = mismatches(wanted, given)
    if found:
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        hint = "" if size is None else f". Its tensors may be for another input than img_size={size}"
        raise LoadError(f"{path} does not fit {architecture.ref}: {'; '.join(found[:3])}{more}{hint}")
    complete = OrderedDict((name, given.get(name, tensor)) for name, tensor in wanted.items())
    # Some families read an older layout by this version number; a file without one has today's.
    complete._metadata = getattr(given, "_metadata", None) or getattr(wanted, "_metadata", {})  # type: ignore[attr-defined]
    module.load_state_dict(complete)
    left = sorted(name for name in state if not name.startswith(prefix))
    said = (f"left out of the file: {', '.join(left[:5])}{' …' if len(left) > 5 else ''}",) if left else ()
    head = architecture.head(module)
    return Fitted(module, int(wanted[head[0]].shape[0]) if head else 0, options.get("channels", 3), said)


def _translated(given: State, module: nn.Module, architecture: Architecture) -> State:
    wanted = module.state_dict()
    if not mismatches(wanted, given):
        return given
    try:
        translated = architecture.translate(given, module)
    except LoadError:
        return given  # another architecture's names: the differences say it better
    return translated if len(mismatches(wanted, translated)) < len(mismatches(wanted, given)) else given


def _options(given: State, module: nn.Module, architecture: Architecture) -> dict[str, int]:
    """Say how many classes and channels the file has, where they differ from the architecture's usual ones."""
    built = module.state_dict()
    options: dict[str, int] = {}
    head = next((name for name in architecture.head(module) if name in given), "")
    if head and given[head].dim() and given[head].shape[0] != built[head].shape[0]:
        options["classes"] = int(given[head].shape[0])
    stem = architecture.stem(module)
    if stem in given and given[stem].dim() > 1 and given[stem].shape[1] != built[stem].shape[1]:
        options["channels"] = max(1, int(given[stem].shape[1]) * 3 // int(built[stem].shape[1]))
    return options
