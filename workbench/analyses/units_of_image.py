"""Which units respond to one image, or to a part of it, more than they do to others."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import Field, PrivateAttr, field_validator

from workbench.analyses.analysis import Result, register
from workbench.analyses.unit_activations import WHOLE, Box, OverImages, as_map, of_images, on_image
from workbench.figure_colours import ACCENT, INK
from workbench.finite import plain
from workbench.image_region import is_region
from workbench.images.array_set import ArraySet
from workbench.images.image_set import load_images
from workbench.input_error import InputError
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.traced_model import TracedModel

STRONG = 0.99
"""Percentile from which a unit counts as strongly driven."""
DRAWN = 12
"""Units whose maps are drawn."""


@register
class UnitsOfImage(OverImages):
    """The units of a layer ranked by how much one image drives them, as a percentile of what all images of a set do.

    The image is one of the set, any file, or pixels given with `of`. A region is compared with whole images (which is there at once when
    the set was read before) or with the same region of each (which takes a pass over the set): a part of an image has fewer positions,
    so against whole images its percentiles are low, but in the same order.

    Arrays:

    ``units``
        int32 ``[unit]``: all units, the most driven first: by percentile, then by how many standard deviations above the mean.
    ``percentile`` ``value`` ``z``
        float32 ``[unit]``, in the order of the units' own numbers: the part of the other images that drive the unit less (ties half), in
        [0, 1]; what the unit does on this image or region; that in standard deviations above the set's mean (NaN where the unit does not
        vary).
    ``maps``
        float32 ``[shown, y, x]``: activations of the first units, over the whole image where the positions have a place in it; else
        ``[shown, position]``, ``[shown]`` for a vector.
    ``input``
        uint8 ``[y, x, 3]``: the image as the network was shown it.
    ``class_names`` ``class_probabilities``
        The likeliest classes, at most 5; none where the network does not classify.
    ``strong_units``
        int32 ``[image]``: how many units each image of the set drives above their 99th percentile: what the number for this image, in the
        summary, is to be compared with.
    """

    title: ClassVar[str] = "Units of an image"
    version: ClassVar[int] = 2

    layer: str = Field(description="Layer whose units are ranked.")
    image: int = Field(default=0, ge=0, description="Which image of the set, from 0.")
    file: str = Field(default="", description="An image file to look at in place of one of the set.")
    region: Box | None = Field(
        default=None,
        description="Part of the image: top, left, bottom, right in fractions of its height and width; empty for all of it.",
    )
    against: Literal["image", "region"] = Field(
        default="image",
        description="Compare a region with whole images, or with the same region of each (a pass over the set).",
    )
    shown: int = Field(default=16, ge=1, le=512, description="Units whose activation maps are kept.")

    _given: ArraySet | None = PrivateAttr(default=None)

    @field_validator("region")
    @classmethod
    def _is_a_region(cls, value: Box | None) -> Box | None:
        if value is not None and not is_region(value):
            raise ValueError(
                "a region is top, left, bottom, right with 0 <= top < bottom <= 1 and 0 <= left < right <= 1"
            )
        return value

    def of(self, pixels: npt.NDArray[np.uint8]) -> UnitsOfImage:
        """Return the same analysis of an image that is not in the set: uint8 ``y x 3``, of any size, fitted as those of the set are.

        Raises
        ------
        ImageSetError
            When the array is no image.
        """
        given = self.model_copy()
        given._given = ArraySet(pixels)
        return given

    def outside(self) -> ImageSet | None:
        """Return the image that is none of the set, given by `of` or as a file.

        Raises
        ------
        ImageSetError
            When there is no such file.
        """
        return self._given or (load_images(f"files:{self.file}") if self.file else None)

    def key(self, model: TracedModel, images: ImageSet | None = None) -> str:
        """Content key of the result; that of the pixels is part of it when they were given."""
        key = super().key(model, images)
        return (
            key
            if (given := self.outside()) is None
            else hashlib.sha256(f"{key} {given.content_hash}".encode()).hexdigest()[:32]
        )

    def provenance(self, model: TracedModel, images: ImageSet | None) -> dict[str, Any]:
        """Say what the numbers were made from, the image given among it."""
        given = self.outside()
        image = {"image_hash": given.content_hash} if given is not None else {}
        return super().provenance(model, images) | image

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Run the network on the image, and compare with the set."""
        assert images is not None
        layer, size = model.layer(self.layer), model.preprocessing.size
        given = self.outside()
        if given is None and self.image >= len(images):
            raise InputError(f"{images.name} has images 0 to {len(images) - 1}, not {self.image}")
        pixels = given.image(0, size) if given is not None else images.image(self.image, size)
        seen = on_image(model, layer, pixels)
        box = self.region or WHOLE
        value = self.reduction(box)(layer, seen.activation, size, np.zeros(1, np.int64))[0].float().cpu().numpy()
        folded = as_map(seen.arranged[None], layer, size)
        maps = folded[0] if folded is not None else seen.arranged.flatten(1) if seen.arranged.dim() > 1 else seen.arranged
        asked = self.chosen(images)
        read = self.activations(
            model, [self.layer], images, asked, task, self.reduction(box if self.against == "region" else WHOLE)
        )
        values = read.values[self.layer]
        if given is None:
            values = values[read.indices != self.image]
        if not len(values):
            raise InputError(f"{images.name} has no other image to compare with")
        percentile = _percentile(values, value)
        deviation = values.std(0, dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            z = np.where(deviation > 0, (value - values.mean(0, dtype=np.float64)) / deviation, np.nan)
        order = np.lexsort((-np.nan_to_num(z, nan=-np.inf), -percentile)).astype(np.int32)
        first = order[: self.shown]
        strong = np.quantile(values, STRONG, axis=0)
        driven, of_set = int((value > strong).sum()), (values > strong).sum(1)
        arrays = {
            "units": order,
            "percentile": percentile.astype(np.float32),
            "value": value,
            "z": z.astype(np.float32),
            "maps": maps[torch.from_numpy(first.astype(np.int64))].float().cpu().numpy(),
            "input": seen.input,
            "class_names": np.array([name for name, _ in seen.classes], dtype=np.str_),
            "class_probabilities": np.array([share for _, share in seen.classes], np.float32),
            "strong_units": of_set.astype(np.int32),
        }
        return arrays, of_images(images, read, len(asked)) | {
            "layer": layer.name,
            "role": layer.role,
            "image": images.ids[self.image] if given is None else Path(self.file).name or "given",
            "response": self.response,
            "compared_with": "the same region of each image"
            if self.region and self.against == "region"
            else "whole images",
            "smallest_step": 1 / len(values),
            "strong_units": driven,
            "strong_units_of_set": {"mean": float(of_set.mean()), "95th percentile": float(np.quantile(of_set, 0.95))},
            "images_with_fewer_strong_units": float((of_set < driven).mean()),
            "units": [
                {
                    "unit": int(unit),
                    "percentile": float(percentile[unit]),
                    "value": float(value[unit]),
                    "z": plain(z[unit]),
                }
                for unit in first
            ],
            "classes": [list(pair) for pair in seen.classes],
        }

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the image and the maps of the units it drives most."""
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle

        arrays, summary, region = result.arrays, result.summary, result.parameters["region"]
        pictured = arrays["maps"].ndim == 3
        units = summary["units"][:DRAWN] if pictured else []
        figure = Figure(figsize=(10, 2.1 * (1 + -(-len(units) // 6)) + 0.4), layout="constrained")
        role = {"pre": " (pre-activation)", "post": " (post-activation)"}.get(summary["role"], "")
        figure.suptitle(
            f"What {summary['image']} drives in {summary['layer']}{role}: {summary['strong_units']} units above their 99th percentile, "
            f"{summary['strong_units_of_set']['mean']:.1f} on the average of {summary['images']:,} images",
            fontsize=8,
            parse_math=False,
        )
        grid = figure.subplots(1 + -(-len(units) // 6), 6, squeeze=False)
        height, width = arrays["input"].shape[:2]
        for axis in grid.flat:
            axis.set_axis_off()
        for axis in [grid[0, 0], *grid[1:].flat[: len(units)]]:
            axis.imshow(arrays["input"], extent=(0, 1, 1, 0), aspect=height / width)
            if region:
                top, left, bottom, right = region
                axis.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=ACCENT))
        for axis, unit, values in zip(grid[1:].flat, units, arrays["maps"], strict=False):
            largest = max(float(np.abs(values).max()), 1e-12)
            axis.imshow(
                values,
                extent=(0, 1, 1, 0),
                aspect=height / width,
                cmap="RdBu_r",
                vmin=-largest,
                vmax=largest,
                alpha=0.65,
            )
            axis.set_title(
                f"unit {unit['unit']} · {100 * unit['percentile']:.2f} %\n{unit['value']:.3g}", fontsize=7, color=INK
            )
        classes = zip(arrays["class_names"], arrays["class_probabilities"], strict=True)
        text = "\n".join(f"{100 * share:.0f} %  {name}" for name, share in classes)
        grid[0, 1].text(0, 0.5, text, fontsize=8, color=INK, va="center", parse_math=False)
        return {"units": figure}


def _percentile(values: Float[np.ndarray, "image unit"], value: Float[np.ndarray, "unit"]) -> Float[np.ndarray, "unit"]:
    """Return the part of the images below a value, ties half."""
    result: Float[np.ndarray, "unit"] = ((values < value).mean(0) + (values <= value).mean(0)) / 2
    return result
