"""What an analysis is: parameters (a frozen pydantic model) -> `run(model, images, task)` -> a `Result`.

From that one declaration come the form in the panel, the command-line flags, the saved project, the cache key and the report. A new
analysis is one file in this folder: subclass `Analysis`, decorate it with `register`, and it appears everywhere.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from workbench.input_error import InputError
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.device import Arithmetic
    from workbench.models.traced_model import TracedModel


@dataclass(frozen=True)
class Result:
    """What an analysis found.

    Attributes
    ----------
    analysis
        Name of the analysis class.
    parameters
        Its parameters as plain data.
    arrays
        Named numpy arrays; the analysis' docstring gives their shapes and units.
    summary
        Plain data: the figures that answer the question, each beside its null and the number of images.
    provenance
        Model reference and weight hash, image set and its hash, versions, seed, seconds.
    """

    analysis: str
    parameters: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    summary: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: str | Path) -> Path:
        """Write ``result.json``, ``arrays.npz`` and ``figures/`` into `folder` (made if missing); return the folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / "arrays.npz", **dict(self.arrays))  # type: ignore[arg-type]
        for name, figure in self.figures().items():
            path = folder / "figures" / name
            path.parent.mkdir(exist_ok=True)
            figure.savefig(path.with_suffix(".png"), dpi=200)
            figure.savefig(path.with_suffix(".pdf"))
        document = {
            "analysis": self.analysis,
            "parameters": dict(self.parameters),
            "summary": dict(self.summary),
            **self.provenance,
        }
        (folder / "result.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return folder

    def figures(self) -> dict[str, Figure]:
        """Draw the figures this kind of result has, by name."""
        return find(self.analysis).draw(self)


class Analysis(BaseModel, ABC):
    """Base of every analysis: the fields are its parameters, with bounds and help text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: ClassVar[str]
    """What menus and panels call it."""
    version: ClassVar[int] = 1
    """Raised whenever the numbers change, so that cached results are not mistaken for today's."""
    needs_images: ClassVar[bool] = False
    takes_bf16: ClassVar[bool] = False
    """Whether it only reads activations, so that products in bfloat16 do no harm; gradients of them point elsewhere."""

    def run(self, model: TracedModel, images: ImageSet | None = None, task: Task | None = None) -> Result:
        """Compute, and return the result with its provenance.

        Raises
        ------
        ValueError
            When the analysis needs images and none were given, or a parameter does not fit this model.
        workbench.task.Cancelled
            When `task` was cancelled.
        """
        if self.needs_images and images is None:
            raise InputError(
                f"{type(self).__name__} needs images; give an image set such as workbench.load_images('emoji')"
            )
        from workbench.models.device import computing

        started = time.perf_counter()
        with computing(model.device, self.arithmetic(model)):
            arrays, summary = self.compute(model, images, task or Task())
        provenance = self.provenance(model, images) | {"seconds": round(time.perf_counter() - started, 3)}
        return Result(type(self).__name__, self.model_dump(mode="json"), arrays, summary, provenance)

    def arithmetic(self, model: TracedModel) -> Arithmetic:
        """Return the numbers this analysis multiplies: those chosen for the network, where it may."""
        return "fp32" if model.arithmetic == "bf16" and not self.takes_bf16 else model.arithmetic

    @abstractmethod
    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the arrays and the summary; what a new analysis writes."""

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the result's figures with matplotlib (no pyplot), by file name without ending."""
        return {}

    def provenance(self, model: TracedModel, images: ImageSet | None) -> dict[str, Any]:
        """Say what the numbers were made from: model, weights, images, versions, seed."""
        import torch

        import workbench

        return {
            "model": model.ref,
            "weights": model.weight_hash,
            "images": images.ref if images is not None else None,
            "images_hash": images.content_hash if images is not None else None,
            "versions": {"workbench": workbench.__version__, "torch": str(torch.__version__), "numpy": np.__version__},
            "seed": getattr(self, "seed", None),
            "device": str(model.device),
            "arithmetic": self.arithmetic(model),
        }

    def key(self, model: TracedModel, images: ImageSet | None = None) -> str:
        """Content key of the result: analysis, version, parameters, weights, preprocessing and images."""
        content = {
            "analysis": type(self).__name__,
            "version": self.version,
            "parameters": self.model_dump(mode="json"),
            "weights": model.weight_hash,
            "preprocessing": repr(model.preprocessing),
            "images": images.content_hash if images is not None else None,
        }
        if self.arithmetic(model) != "fp32":
            content["arithmetic"] = self.arithmetic(model)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


ANALYSES: dict[str, type[Analysis]] = {}
A = TypeVar("A", bound=type[Analysis])


def register(analysis: A) -> A:
    """Class decorator: make an analysis known by its class name."""
    ANALYSES[analysis.__name__] = analysis
    return analysis


def discover() -> dict[str, type[Analysis]]:
    """Import every file of this folder once and return all registered analyses by name."""
    import workbench.analyses as package

    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return dict(sorted(ANALYSES.items()))


def find(name: str) -> type[Analysis]:
    """Return an analysis by class name.

    Raises
    ------
    ValueError
        When there is none of that name; the nearest name is suggested.
    """
    known = discover()
    if name not in known:
        from difflib import get_close_matches

        close = get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
        raise InputError(f"no analysis named {name!r}{hint}")
    return known[name]
