"""A network's tensors by name: those a captured one reads from its module, a module that holds others in their place, files."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from workbench.models.capture import Capture
from workbench.whole_file import replacing


def tensors_of(capture: Capture) -> list[tuple[str, Tensor]]:
    """Return what the graph reads from its root, and all parameters and buffers, by name."""
    root = capture.root
    read = {str(node.target) for node in capture.graph.nodes if node.op == "get_attr"}
    known = {
        name: value
        for named in (root.named_parameters, root.named_buffers)
        for name, value in named(remove_duplicate=False)
    }
    found = known | {
        name: value for name in sorted(read - set(known)) if isinstance(value := attrgetter(name)(root), Tensor)
    }
    return list(found.items())


def assign(root: nn.Module, name: str, value: Tensor) -> None:
    """Put a parameter or buffer into a module under a dotted name; modules on the way are made."""
    *path, last = name.split(".")
    module = root
    for part in path:
        if part not in module._modules:
            module.add_module(part, nn.Module())
        module = module.get_submodule(part)
    if isinstance(value, nn.Parameter):
        module.register_parameter(last, value)
    else:
        module.register_buffer(last, value)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, whole or not at all."""
    # Each on its own: tied weights share their memory, which safetensors refuses.
    alone = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with replacing(path) as beside:
        save_file(alone, beside, dict(metadata))
