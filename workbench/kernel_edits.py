"""Kernels written by hand, as data: which unit of which layer gets which kernel. Nothing here changes a weight.

`workbench.models.kernel_site` makes a network of its own from a network and a stack of these; `workbench.kernel_stack` is how a project
keeps them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.input_error import InputError


@dataclass(frozen=True, eq=False)
class KernelEdit:
    """What one unit computes in place of what it has learned: ``sum(kernel * what it reads) + bias``, before its non-linearity.

    Attributes
    ----------
    layer, unit
        Whose: any layer that shows the unit, before or behind its non-linearity.
    kernel
        float32 ``channel y x``; normalisation is folded into it.
    bias
        What is added.
    template, parameters
        What it was written from (`workbench.kernel_templates`); empty where it was painted.
    label
        What the list of edits calls it.

    Raises
    ------
    InputError
        When the kernel has another shape, or what is in it is no number.
    """

    layer: str
    unit: int
    kernel: npt.NDArray[np.float32]
    bias: float = 0.0
    template: str = ""
    parameters: Mapping[str, float] = field(default_factory=dict)
    label: str = ""

    def __post_init__(self) -> None:
        kernel = np.array(self.kernel, np.float32)
        if kernel.ndim != 3 or not kernel.size:
            raise InputError(f"a kernel has the shape channel y x, not {kernel.shape}")
        if not np.isfinite(kernel).all() or not math.isfinite(self.bias):
            raise InputError(f"the kernel of {self.layer}:{self.unit} has entries that are no numbers")
        kernel.setflags(write=False)
        object.__setattr__(self, "kernel", kernel)

    @property
    def address(self) -> str:
        """The unit's address."""
        return f"{self.layer}:{self.unit}"

    @property
    def told(self) -> str:
        """What it is called: its label, the template it came from, or that it was painted."""
        return self.label or (self.template.replace("_", " ") if self.template else "painted")

    def document(self) -> dict[str, Any]:
        """Return it as plain data, as `from_document` and the analysis `HandCoding` take it."""
        return {
            "layer": self.layer,
            "unit": self.unit,
            "shape": list(self.kernel.shape),
            "values": base64.b64encode(self.kernel.astype("<f4").tobytes()).decode("ascii"),
            "bias": float(self.bias),
            "template": self.template,
            "parameters": dict(self.parameters),
            "label": self.label,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> KernelEdit:
        """Read what `document` gives.

        Raises
        ------
        InputError
            When it is damaged.
        """
        try:
            raw = np.frombuffer(base64.b64decode(document["values"], validate=True), "<f4").reshape(document["shape"])
            rest = {name: document[name] for name in ("bias", "template", "parameters", "label") if name in document}
            return cls(str(document["layer"]), int(document["unit"]), raw, **rest)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no kernel that can be read: {error}") from None
