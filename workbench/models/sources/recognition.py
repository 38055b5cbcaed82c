"""Tell the architecture of a weight file from the names and shapes of its tensors.

`resources/architectures.json` holds a fingerprint of every classifier of timm, torchvision and Lucid: a hash over names and shapes, the
shapes of the head (any number of classes) and of the first convolution (any number of channels) left out. Looking one up takes
milliseconds; building 1,400 architectures to compare with takes minutes, which is done once for each release of those libraries:

    python -m workbench.models.sources.recognition
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import torch

from workbench.models.loading import LoadError, list_models
from workbench.models.sources.architecture import State, counter, find_architecture
from workbench.models.sources.checkpoint import unwrapped

INDEX = Path(__file__).parents[3] / "resources" / "architectures.json"


def recognise(state: State) -> tuple[str, ...]:
    """Return the references of the architectures with exactly these tensors, the plainest name first; nothing when there is none."""
    index = _index()
    for _, view in unwrapped(state):
        for layout, (head, stem) in enumerate(index["layouts"]):
            if all(name in view for name in (*head, *([stem] if stem else ()))):
                found = index["architectures"].get(f"{layout}/{fingerprint(view, head, stem)}")
                if found:
                    return tuple(found)
    return ()


def choose(found: tuple[str, ...], path: Path) -> str:
    """Return the architecture the file's own path names (the longest name in it), else the first."""
    text = "/".join(path.absolute().parts[-3:]).lower().replace("-", "_")
    named = [ref for ref in found if ref.partition(":")[2] in text]
    return max(named, key=len) if named else found[0]


def fingerprint(state: State, head: tuple[str, ...] | list[str], stem: str) -> str:
    """Return the hash over all names and, but for the head and the first convolution, shapes."""
    open_shapes = {stem, *head, *(name.removesuffix("weight") + "bias" for name in head)}
    lines = [
        f"{name} *" if name in open_shapes else f"{name} {tuple(tensor.shape)}"
        for name, tensor in sorted(state.items())
        if not counter(name)
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def make_index(refs: list[str]) -> dict[str, Any]:
    """Return the index of these architectures, built one after the other without memory for their weights."""
    layouts: dict[tuple[tuple[str, ...], str], int] = {}
    architectures: defaultdict[str, list[str]] = defaultdict(list)
    for ref in refs:
        architecture = find_architecture(ref)
        try:
            with torch.device("meta"):
                module = architecture.build()
        except LoadError:
            module = architecture.build()  # some compute their widths with tensors, which need memory
        head, stem = architecture.head(module), architecture.stem(module)
        layout = layouts.setdefault((head, stem), len(layouts))
        architectures[f"{layout}/{fingerprint(module.state_dict(), head, stem)}"].append(ref)
    return {
        "layouts": [[list(head), stem] for head, stem in layouts],
        "architectures": {key: sorted(found, key=_plainest) for key, found in sorted(architectures.items())},
    }


def _plainest(ref: str) -> tuple[int, str]:
    return len(ref.partition(":")[2]), ref


@cache
def _index() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(INDEX.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LoadError(
            f"the list of architectures {INDEX} cannot be read; name one with ?architecture=timm:NAME"
        ) from error
    return found


def _every_architecture() -> list[str]:
    plain = (ref.partition("?")[0] for scheme in ("timm", "torchvision", "lucid") for ref in list_models(f"{scheme}:*"))
    return list(dict.fromkeys(ref for ref in plain if "." not in ref))


def write_index(index: dict[str, Any]) -> None:
    """Write the index, one architecture a line, so that a new release shows as a readable difference."""
    layouts = ",\n".join(json.dumps(layout) for layout in index["layouts"])
    known = ",\n".join(f"{json.dumps(key)}: {json.dumps(found)}" for key, found in index["architectures"].items())
    INDEX.write_text(f'{{"layouts": [\n{layouts}\n],\n"architectures": {{\n{known}\n}}}}\n', encoding="utf-8")


if __name__ == "__main__":
    write_index(make_index(_every_architecture()))
