"""A network with kernels written by hand as a file that other programs open: safetensors, and a card that says what was written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

import workbench
from workbench.input_error import InputError
from workbench.kernel_edits import KernelEdit
from workbench.models.kernel_site import last_kernels, with_kernels
from workbench.models.tensors import tensors_of, write_tensors
from workbench.models.traced_model import TracedModel
from workbench.whole_file import write_whole

AS_WRITTEN = "as written, scale and offset not fitted"


def export_network(model: TracedModel, edits: Sequence[KernelEdit], path: Path, fitted: str = AS_WRITTEN) -> tuple[Path, Path]:
    """Write all weights, under the names the network's library gives them, and a card beside them; return both files.

    The card is called ``NAME.safetensors.json``, so that a ``NAME.json`` that is there already stays.

    Parameters
    ----------
    fitted
        How the kernels came to their scale and offset, for the card.

    Raises
    ------
    InputError
        When there is nothing that was written by hand, or the file cannot be written.
    """
    kept = last_kernels(model, edits)
    if not kept:
        raise InputError("there is no kernel written by hand to export; write one, or switch one on")
    edited = with_kernels(model, kept)
    written = dict(tensors_of(edited.graph.capture))
    state: dict[str, Tensor] = {name: written.get(name, value) for name, value in model.graph.capture.module.state_dict().items()}
    card = {
        "network": model.ref,
        "architecture": model.architecture,
        "weights": model.weight_hash,
        "licence": model.licence,
        "labels": list(model.labels),
        "versions": {"workbench": workbench.__version__, "torch": str(torch.__version__)},
        "kernels": fitted,
        "edits": [
            {"unit": edit.address, "template": edit.template, "parameters": dict(edit.parameters), "bias": edit.bias, "label": edit.told}
            for edit in kept
        ],
    }
    about = {"network": model.ref, "edits": str(len(kept)), "made_by": f"Circuit Workbench {workbench.__version__}"}
    said = path.with_name(f"{path.stem}.safetensors.json")
    try:
        write_tensors(path, state, about)
        write_whole(said, json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{path} cannot be written: {reason}") from error
    return path, said
