"""The stack of kernels written by hand that a project keeps of each network."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from workbench.input_error import InputError
from workbench.kernel_edits import KernelEdit
from workbench.project import KERNEL, Edit, Project


def stack_of(project: Project, model: str, enabled_only: bool = True) -> list[KernelEdit]:
    """Return the edits of a network that the project keeps, in the order they are applied."""
    return [from_project(project, edit) for edit in project.edits if edit.model == model and (edit.enabled or not enabled_only)]


def from_project(project: Project, edit: Edit) -> KernelEdit:
    """Return one edit of the project with its kernel.

    Raises
    ------
    InputError
        When the kernel is missing.
    """
    if edit.array not in project.arrays:
        raise InputError(f"the kernel of {edit.layer}:{edit.unit} is missing in this project")
    kernel = np.asarray(project.arrays[edit.array], np.float32)
    return KernelEdit(edit.layer, edit.unit, kernel, edit.bias, edit.template, dict(edit.parameters), edit.label)


def for_project(edit: KernelEdit, model: str) -> tuple[Edit, str, npt.NDArray[np.float32]]:
    """Return what a project keeps of an edit: the entry, and the name and content of its array (named by what is in it)."""
    content = str(edit.kernel.shape).encode() + edit.kernel.tobytes()
    name = KERNEL + hashlib.sha256(content).hexdigest()[:32]
    entry = Edit(
        model=model,
        layer=edit.layer,
        unit=edit.unit,
        array=name,
        bias=float(edit.bias),
        template=edit.template,
        parameters={key: float(value) for key, value in edit.parameters.items()},
        label=edit.label,
    )
    return entry, name, edit.kernel
