"""How all units of a family respond while the images they like best are turned, or their hues are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import max_pool2d

from workbench.analyses.analysis import Analysis, Result, register
from workbench.arrangements import arrangements, beside
from workbench.figure_colours import ACCENT, LIGHT
from workbench.finite import plain
from workbench.images.transformation import Images, Rotation, in_circle, turned_hue
from workbench.input_error import InputError
from workbench.models.layer import on_grid
from workbench.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workbench.images.image_set import ImageSet
    from workbench.models.layer import Layer
    from workbench.models.traced_model import TracedModel

Values = npt.NDArray[np.float64]


@register
class JointTuning(Analysis):
    """Joint tuning curves of a family: its units on the images that each of them likes best, turned step by step, aligned by their angles.

    Cammarata et al., "Curve Detectors" (Distill 2020). For each unit r the images that drive it most, one of a concept, are turned by
    theta, and every unit u is read where the part that drives r most has gone (or a cell beside). Where the angles are right, u answers
    most at theta = angle of u - angle of r, so that curves over theta - (angle of u - angle of r) fall onto one another. *Together* is the
    part of the variance of these curves (those of other units than r) that their mean explains; null: the angles given to the units in
    other ways, the own among them (`workbench.arrangements`); ways that only turn the whole family are one.

    Arrays (u units in the order given, k steps):

    ``steps``
        float32 ``k``: degrees from -180 to 180.
    ``aligned``
        float32 ``u k``: mean over the other units' images, in parts of the unit's own largest mean response; at 0 where the angles say.
    ``responses``
        float32 ``r u k``: of unit u on the images of unit r, turned by the step, not aligned, in activations.
    ``null``
        float32 ``arrangement``: together with the angles given in all ways that differ, or drawn ones.
    ``examples``
        int64 ``r n``: the images that were turned.
    """

    title: ClassVar[str] = "Joint tuning curves"
    version: ClassVar[int] = 3
    needs_images: ClassVar[bool] = True

    layer: str = Field(description="Layer of the family.")
    units: tuple[int, ...] = Field(min_length=2, description="Its units.")
    angles: tuple[float, ...] = Field(min_length=2, description="Degrees of each, counter-clockwise.")
    turned: Literal["image", "hue"] = Field(default="image", description="What is turned.")
    steps: int = Field(default=24, ge=8, le=360, description="Steps of a whole turn.")
    examples: int = Field(default=6, ge=1, le=100, description="Images turned for each unit.")
    images: int = Field(default=512, ge=8, description="Images these are chosen from.")
    draws: int = Field(default=200, ge=20, le=10_000, description="Draws of random angles, where there are too many to list.")
    batch: int = Field(default=16, ge=1, le=1024, description="Images computed at once.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of the choice of images and of the null.")

    @model_validator(mode="after")
    def _fits(self) -> JointTuning:
        if len(self.units) != len(self.angles):
            raise ValueError(f"{len(self.units)} units have as many angles, not {len(self.angles)}")
        return self

    def compute(
        self, model: TracedModel, images: ImageSet | None, task: Task
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Choose each unit's images, turn them, and lay the curves over one another."""
        assert images is not None
        layer = model.layer(self.layer)
        layer.check(self.units)
        size = model.preprocessing.size
        if self.turned == "image" and size[0] != size[1]:
            raise InputError(f"only square images can be turned, not {size[1]} x {size[0]}; turn the hue")
        order = np.sort(np.random.default_rng(self.seed).permutation(len(images))[: self.images])
        total, seen, found = len(order) + self.steps * len(self.units) * self.examples, list[int](), list[Values]()
        for part in images.batches(size, self.batch, order):
            found.append(np.asarray(inside(self._maps(model, layer, as_float(part.images), 0.0)).amax(2).double().cpu()))
            seen += part.indices.tolist()
            task.step(len(seen), total, note="choosing images")
        if len(seen) < 2:
            raise InputError(f"{len(seen)} images of {images.name} could be read; at least 2 are needed")
        indices, chosen = np.array(seen), self._chosen(np.concatenate(found), np.asarray(images.concepts)[seen])
        degrees = np.arange(self.steps) * 360 / self.steps
        responses = np.empty((len(self.units), len(self.units), self.steps))
        done = len(order)
        for row, places in enumerate(chosen):
            (shown,) = images.batches(size, len(places), indices[places])
            pixels = as_float(shown.images)
            for column, angle in enumerate(degrees):
                maps = self._maps(model, layer, pixels, float(angle))
                if not column:
                    peaks = inside(maps)[:, row].argmax(1)
                near = max_pool2d(maps, 3, 1, 1).flatten(2) if min(maps.shape[2:]) >= 3 else maps.flatten(2)
                responses[row, :, column] = near[torch.arange(len(near)), :, peaks].mean(0).double().cpu().numpy()
                done += len(places)
                task.step(done, total, note=f"turning the images of unit {self.units[row]}")
        most = responses.max((0, 2))
        scaled = responses / np.where(most > 0, most, 1)[None, :, None]
        angles = np.asarray(self.angles, np.float64)
        aligned = aligned_curves(scaled, angles)
        null = arrangements([angles], _turns, lambda given: explained(aligned_curves(scaled, given)), self.draws, self.seed)
        half = self.steps // 2
        arrays = {
            "steps": (np.roll(degrees, half) + 180) % 360 - 180,
            "aligned": np.roll(of_others(aligned).mean(1), half, 1),
            "responses": responses,
            "null": null.null,
        }
        return {name: value.astype(np.float32) for name, value in arrays.items()} | {"examples": indices[chosen]}, {
            "layer": layer.name,
            "role": layer.role,
            "units": list(self.units),
            "angles": list(self.angles),
            "turned": self.turned,
            "together": plain(null.own),
            "together_null": null.others,
            "together_bar": null.bar,
            "p": null.p if null.distinct > 1 else None,
            "arrangements": null.distinct,
            "images": len(indices),
            "images_turned": int(chosen.size),
        }

    def _shown(self, pixels: Images, degrees: float) -> Images:
        """Return images turned, all in the same circle; or with their hues turned."""
        if self.turned == "hue":
            return turned_hue(pixels, degrees)
        return in_circle(Rotation(degrees).after(pixels) if degrees else pixels)

    def _maps(self, model: TracedModel, layer: Layer, pixels: Images, degrees: float) -> Float[Tensor, "image unit row column"]:
        """Return what the units do on turned images, at the places where things were before."""
        with torch.inference_mode():
            values = model.activations(model.preprocess(self._shown(pixels, degrees)), [layer.name])[layer.name]
            maps = on_grid(layer, values, model.preprocessing.size)[:, list(self.units)]
            return Rotation(degrees).back(maps) if degrees and self.turned == "image" and maps.shape[2] == maps.shape[3] else maps

    def _chosen(self, responses: Values, concepts: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return for each unit the images that drive it most, one of a concept."""
        places = []
        for of_unit in responses.T:
            order = np.argsort(-of_unit, kind="stable")
            first = np.sort(np.unique(concepts[order], return_index=True)[1])
            places.append(order[first][: self.examples])
        return np.stack(places)

    @classmethod
    def draw(cls, result: Result) -> dict[str, Figure]:
        """Draw the aligned curves and their mean."""
        from matplotlib.figure import Figure

        arrays, summary = result.arrays, result.summary
        figure = Figure(figsize=(5.5, 3.4), layout="constrained")
        axes = figure.subplots()
        for curve in arrays["aligned"]:
            axes.plot(arrays["steps"], curve, color=LIGHT, linewidth=1)
        axes.plot(arrays["steps"], arrays["aligned"].mean(0), color=ACCENT)
        axes.axvline(0, color=LIGHT, linewidth=0.6)
        given = (summary[part] for part in ("together", "together_null", "together_bar", "arrangements"))
        said = beside("together", *given)
        axes.set_xlabel(
            f"degrees from where the angles say\n{said}; n = {summary['images_turned']} images", fontsize=7
        )
        axes.set_ylabel(f"activation ({summary['role'] or 'sum'}) / largest", fontsize=8)
        return {"tuning": figure}


def _turns(angles: Values) -> npt.NDArray[np.int64]:
    """Return what stays when the whole family is turned: each unit's angle from the first, in hundredths of a degree."""
    turned: npt.NDArray[np.int64] = np.round((angles - angles[0]) * 100).astype(np.int64) % 36_000
    return turned


def inside(maps: Float[Tensor, "image unit row column"]) -> Float[Tensor, "image unit place"]:
    """Return maps place by place, without what may turn out of the image."""
    seen = Rotation(45).seen(*maps.shape[2:]).to(maps.device)
    return maps.masked_fill(~seen, -torch.inf).flatten(2)


def as_float(pixels: npt.NDArray[np.uint8]) -> Images:
    """Return images in [0, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def aligned_curves(responses: Values, angles: Values) -> Values:
    """Return curves of each unit on each unit's images, moved so that they begin where the two angles say; ``r u k``."""
    steps = responses.shape[2]
    place = np.arange(steps)
    off = (angles[None, :] - angles[:, None]) * steps / 360
    low = np.floor(off).astype(int)
    share = (off - low)[..., None]
    rows, columns = np.ogrid[: len(angles), : len(angles)]
    first, second = (responses[rows[..., None], columns[..., None], (place + (low + more)[..., None]) % steps] for more in (0, 1))
    moved: Values = (1 - share) * first + share * second
    return moved


def of_others(aligned: Values) -> Values:
    """Return each unit's curves on the images of the other units, ``u r-1 k``."""
    number = len(aligned)
    return np.stack([aligned[[r for r in range(number) if r != unit], unit] for unit in range(number)])


def explained(aligned: Values) -> float:
    """Return the part of the variance of all curves on other units' images that their mean explains."""
    curves = of_others(aligned).reshape(-1, aligned.shape[2])
    total = float(((curves - curves.mean()) ** 2).sum())
    return 1 - float(((curves - curves.mean(0)) ** 2).sum()) / total if total > 0 else 0.0
