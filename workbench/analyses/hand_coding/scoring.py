"""Fitting and scoring the versions of a network on the two halves of the images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.analyses.hand_coding.bench import Bench, Place
from workbench.analyses.hand_coding.fitting import Fit, fit
from workbench.images.image_set import Batch
from workbench.kernel_edits import KernelEdit
from workbench.models.kernel_site import KernelSite, with_kernels
from workbench.models.layer import Unit
from workbench.models.traced_model import TracedModel
from workbench.task_metric import TaskMetric

SAMPLES = 8_000
"""Values of each unit that its mean, scale and offset are taken from, at the same positions of every image."""
Edits = list[KernelEdit]


class Train:
    """The half of the images that offsets, scales and means are taken on.

    Parameters
    ----------
    parts
        Its images.
    tell
        Called with the number of batches done.
    """

    def __init__(self, bench: Bench, parts: Sequence[Batch], tell: Callable[[int], None], seed: Sequence[int]) -> None:
        self.bench = bench
        self._before: list[tuple[Tensor, ...]] = []
        self._clean: dict[Unit, list[tuple[Tensor, Tensor]]] = {place.unit: [] for place in bench.places}
        self._sampled: dict[KernelSite, Tensor] = {}
        number = sum(len(part.indices) for part in parts)
        random = np.random.default_rng(list(seed))
        for done, part in enumerate(parts):
            before = bench.before(bench.model.preprocess(part.images))
            self._before.append(before)
            for site in bench.sites:
                pre, post = bench.layers(bench.model, before, [site.pre, site.post])
                positions = pre.shape[2] * pre.shape[3]
                if site not in self._sampled:
                    few = random.permutation(positions)[: max(1, min(positions, SAMPLES // number))]
                    self._sampled[site] = torch.from_numpy(np.sort(few)).to(pre.device)
                at = self._sampled[site]
                for place in bench.places:
                    if place.site == site:
                        sums, given = (value[:, place.index].flatten(1)[:, at].flatten().cpu() for value in (pre, post))
                        self._clean[place.unit].append((sums, given))
            tell(done + 1)
        # Of the same values that offsets are fitted to, so that a kernel of zeros is mean ablation to the last digit.
        self.means = {unit: float(torch.cat([given for _, given in clean]).double().mean()) for unit, clean in self._clean.items()}

    def fitted(self, edits: Edits, as_written: bool = False) -> tuple[Edits, list[Fit]]:
        """Return kernels with their scale and offset, and what these are, in the order of the bench's places.

        Layer by layer: a unit is fitted on what the kernels before it give, to what the network itself gives. `as_written` leaves scale and
        offset as they are and only says how well the kernels do.
        """
        by_unit = {Unit(edit.layer, edit.unit): edit for edit in edits}
        done: Edits = []
        fits: list[Fit] = []
        for site in self.bench.sites:
            version = with_kernels(self.bench.model, done)
            places = [place for place in self.bench.places if place.site == site]
            given = self._responses(version, site, places, [by_unit[place.unit] for place in places])
            gate = self._gate(site)
            for place, response in zip(places, given, strict=True):
                edit = by_unit[place.unit]
                before, behind = (torch.cat(values) for values in zip(*self._clean[place.unit], strict=True))
                fitting = as_it_is(response, behind, gate, edit.bias) if as_written else None
                found = fitting or fit(response, before, behind, gate, bool(site.shift))
                fits.append(found)
                kernel = np.asarray(edit.kernel * found.scale, np.float32)
                done.append(replace(edit, kernel=kernel, bias=found.offset))
        return done, fits

    def _responses(self, version: TracedModel, site: KernelSite, places: Sequence[Place], edits: Edits) -> list[Tensor]:
        """Return what each kernel gives at the sampled positions of all images."""
        model = self.bench.model
        found: list[list[Tensor]] = [[] for _ in places]
        for before in self._before:
            (source,) = self.bench.layers(version, before, [site.reads])
            for row, (place, edit) in enumerate(zip(places, edits, strict=True)):
                kernel = torch.tensor(edit.kernel)[None]
                response = site.respond(source, kernel, site.channels(model, place.index))[:, 0]
                found[row].append(response.flatten(1)[:, self._sampled[site]].flatten().cpu())
        return [torch.cat(parts) for parts in found]

    def _gate(self, site: KernelSite) -> Callable[[Tensor], Tensor]:
        """Return the non-linearity behind a site."""
        if site.post == site.pre:
            return lambda value: value
        cut = self.bench.model.graph.cut([site.pre], [site.post])
        return lambda value: cut(value)[0]


def as_it_is(response: Tensor, behind: Tensor, gate: Callable[[Tensor], Tensor], bias: float) -> Fit:
    """Say how well a kernel does with the scale and the bias it has."""
    wanted = behind.double()
    error = float((gate(response.double() + bias) - wanted).square().sum())
    total = float((wanted - wanted.mean()).square().sum())
    return Fit(1.0, bias, 1 - error / total if total > 0 else float("nan"))


def shuffled(edits: Edits, draw: int, seed: Sequence[int]) -> Edits:
    """Return kernels with all their entries in another order."""
    random = np.random.default_rng([*seed, draw])
    return [replace(edit, kernel=random.permutation(edit.kernel.flatten()).reshape(edit.kernel.shape)) for edit in edits]


def emptied(edits: Edits) -> Edits:
    """Return kernels of zeros."""
    return [replace(edit, kernel=np.zeros_like(edit.kernel)) for edit in edits]


@dataclass(frozen=True, eq=False)
class Scores:
    """What came out, on the half that is scored.

    Attributes
    ----------
    loss, right
        float64 ``row image``: the network, its units at their mean, at zero, then each version.
    alike
        Correlation of each unit written by hand (the first version) with its own output, over images and positions.
    image
        By index in the set.
    """

    loss: npt.NDArray[np.float64]
    right: npt.NDArray[np.float64]
    alike: list[float]
    image: npt.NDArray[np.int64]


def score(
    bench: Bench,
    means: Mapping[Unit, float],
    versions: Sequence[Edits],
    metric: TaskMetric,
    parts: Sequence[Batch],
    tell: Callable[[int], None],
) -> Scores:
    """Run every version on the images; `tell` is called with the number of batches done."""
    networks = [with_kernels(bench.model, version) for version in versions]
    posts = list(dict.fromkeys(place.site.post for place in bench.places))
    zeros = dict.fromkeys(means, 0.0)
    sums = np.zeros((len(bench.places), 6))
    found = []
    for done, part in enumerate(parts):
        before = bench.before(bench.model.preprocess(part.images))
        full, *clean = bench.run(bench.model, before, posts)
        rows = [full, bench.ablated(before, means), bench.ablated(before, zeros)]
        for place, network in enumerate(networks):
            output, *made = bench.run(network, before, posts if place == 0 else ())
            rows.append(output)
            for row, at in enumerate(bench.places if place == 0 else ()):
                a, b = (values[posts.index(at.site.post)][:, at.index].cpu().double().flatten() for values in (made, clean))
                sums[row] += [len(a), *(float(value) for value in (a.sum(), b.sum(), a @ a, b @ b, a @ b))]
        found.append(metric(part.indices, torch.stack(rows)))
        tell(done + 1)
    loss, right = (np.concatenate([one[which] for one in found], 1) for which in (0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        n, one, other, ones, others, both = sums.T
        alike = (both - one * other / n) / np.sqrt((ones - one * one / n) * (others - other * other / n))
    return Scores(loss, right, alike.tolist(), np.concatenate([part.indices for part in parts]))
