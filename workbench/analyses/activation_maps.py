"""What units of a layer do on one image, and what the network takes it for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from workbench.analyses.analysis import Analysis, Result, register
from workbench.analyses.unit_activations import as_map, on_image
from workbench.input_error import InputError
from workbench.models.layer import Unit
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

COLUMNS, DRAWN = 6, 24
"""Maps drawn side by side, and at most."""


@register
class ActivationMaps(Analysis):
    """Show one image of a set to the network, and keep what some units of a layer do on it, position by position.

    Arrays:

    ``maps``
        float32 ``unit *position``, in the order of the units asked for: ``y x``, ``token``, or no axis. Of a head the
        largest of what it computes of each token.
    ``value``
        float32 ``unit``: the largest of each map.
    ``input``
        uint8 ``y x 3``: the image as the network was shown it.
    ``class_names`` ``class_probabilities``
        The likeliest classes, at most 5; none where the network does not classify.
    """

    title: ClassVar[str] = "Activation maps"
    version: ClassVar[int] = 2
    needs_images: ClassVar[bool] = True

    layer: str = Field(description="Layer of the units.")
    units: tuple[int, ...] = Field(default=(), description="Their numbers; none: all.")
    image: int = Field(default=0, ge=0, description="Which image of the set, from 0.")

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Run the network once."""
        assert images is not None
        layer = model.layer(self.layer)
        units = self.units or tuple(range(layer.units))
        for unit in units:
            model.layer_of(Unit(layer.name, unit))
        if self.image >= len(images):
            raise InputError(f"{images.name} has images 0 to {len(images) - 1}, not {self.image}")
        task.step(0, 1, note="running the network")
        seen = on_image(model, layer, images.image(self.image, model.preprocessing.size))
        maps = seen.arranged[list(units)].float().cpu().numpy()
        if layer.features:
            maps = maps.max(-1)
        value = maps.reshape(len(units), -1).max(1)
        task.step(1, 1)
        arrays = {
            "maps": maps,
            "value": value,
            "input": seen.input,
            "class_names": np.array([name for name, _ in seen.classes], dtype=np.str_),
            "class_probabilities": np.array([share for _, share in seen.classes], np.float32),
        }
        folded = as_map(seen.arranged[None], layer, model.preprocessing.size)
        return arrays, {
            "layer": layer.name,
            "role": layer.role,
            "image": images.ids[self.image],
            "units": [{"unit": unit, "value": float(largest)} for unit, largest in zip(units, value, strict=True)],
            "map": list(folded.shape[2:]) if folded is not None else None,
            "classes": [list(pair) for pair in seen.classes],
        }

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the maps over the image, those with the largest activations first."""
        from matplotlib.figure import Figure

        arrays, summary = result.arrays, result.summary
        shape = summary["map"]
        order = np.argsort(-arrays["value"], kind="stable")[: DRAWN if shape else 0]
        rows = -(-(1 + len(order)) // COLUMNS)
        figure = Figure(figsize=(10, 2.1 * rows + 0.4), layout="constrained")
        role = {"pre": " (pre-activation)", "post": " (post-activation)"}.get(summary["role"], "")
        figure.suptitle(f"{summary['layer']}{role} on {summary['image']}", fontsize=9, parse_math=False)
        axes = figure.subplots(rows, COLUMNS, squeeze=False).flat
        for axis in axes:
            axis.set_axis_off()
        height, width = arrays["input"].shape[:2]
        classes = zip(arrays["class_names"], arrays["class_probabilities"], strict=True)
        axes[0].imshow(arrays["input"], extent=(0, 1, 1, 0), aspect=height / width)
        axes[0].set_title("\n".join(f"{name} {100 * share:.0f} %" for name, share in list(classes)[:2]), fontsize=7, parse_math=False)
        for axis, place in zip(axes[1:], order, strict=False):
            values = arrays["maps"][place]
            values = values.reshape(-1)[-shape[0] * shape[1] :].reshape(shape)  # tokens before the patches have no place
            largest = max(float(np.abs(values).max()), 1e-12)
            axis.imshow(arrays["input"], extent=(0, 1, 1, 0), aspect=height / width)
            axis.imshow(
                values, extent=(0, 1, 1, 0), aspect=height / width, cmap="RdBu_r", vmin=-largest, vmax=largest, alpha=0.65
            )
            axis.set_title(f"unit {summary['units'][place]['unit']}: {arrays['value'][place]:.3g}", fontsize=7)
        return {"maps": figure}
