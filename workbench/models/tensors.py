"""The tensors that a captured network reads from its module, by name, and a module of one's own that holds others in their place."""

from __future__ import annotations

from operator import attrgetter

from torch import Tensor, nn

from workbench.models.capture import Capture


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
