"""Which layers it is worth looking at the weights between, by their names, roles and order; for a view that cannot ask the graph."""

from __future__ import annotations

from workbench.models.layer import Layer


def sources_of(layers: list[Layer], target: Layer) -> list[Layer]:
    """Return the layers before one that are worth reading it from: what stands behind a non-linearity, a sum or a concatenation."""
    place = layers.index(target)
    return [layer for layer in layers[:place] if layer.role != "pre" and layer.units > 1]


def targets_of(layers: list[Layer], source: Layer) -> list[Layer]:
    """Return the layers behind one that read it with weights of their own, or are made of such."""
    place = layers.index(source)
    return [layer for layer in layers[place + 1 :] if layer.role != "pre" and layer.units > 1 and "pool" not in layer.kind]


def sensible_target(behind: list[Layer], source: Layer) -> Layer:
    """Return the nearest of them outside the source's own module, and no deeper inside a module than it."""
    own = module_of(source.name)
    outside = [layer for layer in behind if not inside(layer.name, own) and layer.name.count(".") <= source.name.count(".")]
    return (outside or behind)[0]


def sensible_source(before: list[Layer], target: Layer) -> Layer:
    """Return the nearest of them outside the target's own module."""
    own = module_of(target.name)
    outside = [layer for layer in before if not inside(layer.name, own)]
    return (outside or before)[-1]


def module_of(name: str) -> str:
    """Return the block that a layer is in, or is: ``mixed3a`` for ``mixed3a.1x1``, ``blocks.3`` for itself and what is in it."""
    parts = name.replace(":", ".").replace("/", ".").split(".")
    for length in range(len(parts), 0, -1):  # the innermost part that is counted, such as blocks.3
        if parts[length - 1].isdigit() and length > 1:
            return ".".join(parts[:length])
    return parts[0]


def inside(name: str, module: str) -> bool:
    """Whether a layer is a module's output or in it."""
    return name == module or name.startswith((f"{module}.", f"{module}:", f"{module}/"))
