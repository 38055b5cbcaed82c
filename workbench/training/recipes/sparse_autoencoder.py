"""`SparseAutoencoder`: the activations of a layer as sums of few out of many directions (TopK), trained while they stream by.

As in "Scaling and evaluating sparse autoencoders" (Gao et al. 2024): x is written as ``b + D z``, where z are the k largest entries of
``E (x - b)`` as far as they are above 0. Latents that nothing has used for a while are *dead*; an auxiliary loss lets the largest of them
rebuild what the others leave. `directions_of` makes a `DirectionSet` of a run, finished or not, whose latents are units of a network.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.direction_set import DirectionSet
from workbench.images.image_set import ImageSet, ImageSetError, UnreadableImage, load_images
from workbench.input_error import InputError
from workbench.models.layer import Layer
from workbench.models.loading import LoadError, load
from workbench.models.sources.run import newest_weights
from workbench.models.traced_model import TracedModel
from workbench.task import Task
from workbench.training.drawings import generator, order
from workbench.training.recipe import Course, Figures, Recipe, RecipeError, register
from workbench.training.recipes.classifier import split
from workbench.training.trainer import read_document

READ_AT_ONCE = 32
IMAGES, PLACES, PASSES = 256, 16, 4
"""Images of one stretch of the stream, positions taken of each at random, and how often each is used before the next stretch is read."""
AUXILIARY = 1 / 32
"""Weight of the auxiliary loss."""
HELD_OUT = 1024
"""Held-out images, at most, on which an autoencoder is measured."""


@register()
class SparseAutoencoder(Recipe):
    """Train a TopK sparse autoencoder on one layer of a network, its activations streamed from an image set.

    Some of the concepts are held out. Explained: 1 - squared error / squared distance from the mean. Dead: part of the latents that were
    0 on all activations of the last `silent` updates.
    """

    title: ClassVar[str] = "Sparse autoencoder"

    network: str = Field(description="network whose layer is read, such as bundled:inception")
    layer: str = Field(description="layer whose activations are written as sums of latents")
    images: str = Field("emoji", description="image set that is shown to the network")
    latents: int = Field(0, ge=0, le=1 << 17, description="directions; 0: 16 for each unit of a layer of 256 and more, else 4 to 16")
    kept: int = Field(0, ge=0, le=1024, description="latents that are not 0 at a position; 0: 32, fewer for a layer below 256 units")
    silent: int = Field(200, ge=1, description="updates without use after which a latent is dead")
    steps: int = Field(2_000, ge=1, description="weight updates")
    batch: int = Field(1024, ge=2, description="activations an update")
    learning_rate: float = Field(1e-3, gt=0, description="at its largest, after the warm-up")
    warm_up: int = Field(50, ge=0, description="updates over which the learning rate rises to its largest")
    weight_decay: float = Field(0.0, ge=0, description="of matrices (AdamW)")
    checkpoints: int = Field(2, ge=2, description="checkpoints kept, at logarithmically spaced updates")

    def sizes(self, units: int) -> tuple[int, int]:
        """Return how many latents there are and how many are kept for a layer of so many units: 16 a unit and 32 on wide layers."""
        latents = self.latents or units * max(4, min(16, units // 16))
        kept = self.kept or max(2, min(32, units // 8))
        if kept > latents:
            raise RecipeError(f"kept={kept} is more than the {latents} latents; keep fewer")
        return latents, kept

    def prepare(self, device: torch.device, task: Task) -> _Autoencoding:
        """Open the network and the images."""
        return _Autoencoding(self, device, task)


class TopK(nn.Module):
    """The autoencoder.

    Attributes
    ----------
    encoder, bias, decoder, centre
        ``latent unit``, ``latent``, ``latent unit`` (of length 1 a row where it is used) and ``unit``.
    unused
        Updates since a latent was last used.
    """

    unused: Tensor
    scale: Tensor

    def __init__(self, units: int, latents: int, kept: int) -> None:
        super().__init__()
        self.kept = kept
        directions = F.normalize(torch.randn(latents, units), dim=1)
        self.encoder, self.decoder = nn.Parameter(directions.clone()), nn.Parameter(directions)
        self.bias, self.centre = nn.Parameter(torch.zeros(latents)), nn.Parameter(torch.zeros(units))
        self.register_buffer("unused", torch.zeros(latents))
        self.register_buffer("scale", torch.ones(()))

    @property
    def directions(self) -> Tensor:
        """The decoder's rows at length 1."""
        return F.normalize(self.decoder, dim=1)

    def before(self, x: Float[Tensor, "row unit"]) -> Float[Tensor, "row latent"]:
        """Return what the k largest are chosen from."""
        return F.linear(x / self.scale - self.centre, self.encoder, self.bias)

    def code(self, before: Float[Tensor, "row latent"]) -> Float[Tensor, "row latent"]:
        """Keep the k largest above 0."""
        values, places = before.topk(self.kept, 1, sorted=False)
        return torch.zeros_like(before).scatter(1, places, values.clamp_min(0))

    def forward(self, x: Float[Tensor, "row unit"]) -> Float[Tensor, "row unit"]:
        """Write the activations anew."""
        return (self.code(self.before(x)) @ self.directions + self.centre) * self.scale


class _Autoencoding(Course):
    def __init__(self, recipe: SparseAutoencoder, device: torch.device, task: Task) -> None:
        self.recipe, self.device = recipe, device
        try:
            self.model: TracedModel = load(recipe.network, task=task).to(device)
            self.layer: Layer = self.model.layer(recipe.layer)
            self.images: ImageSet = load_images(recipe.images, task)
        except (LoadError, ImageSetError, InputError) as error:
            raise RecipeError(str(error)) from None
        self.train, self.test = split(self.images, recipe.seed)
        self.data = {
            "images": recipe.images,
            "digest": self.images.content_hash,
            "network": recipe.network,
            "weights": self.model.weight_hash,
        }
        self._stretch, self._rows = -1, torch.zeros(0, self.layer.units)
        latents, kept = recipe.sizes(self.layer.units)
        torch.manual_seed(recipe.seed)
        self.module: TopK = TopK(self.layer.units, latents, kept).to(device)
        first = self._read(0, task)
        with torch.no_grad():
            self.module.centre.copy_(first.mean(0))
            self.module.scale.copy_((first - first.mean(0)).square().sum(1).mean().sqrt().clamp_min(1e-12))
            self.module.centre.div_(self.module.scale)

    @property
    def unreadable(self) -> list[UnreadableImage]:
        """The images that could not be read."""
        return self.images.skipped

    def _of(self, indices: Tensor, random: torch.Generator, task: Task) -> Float[Tensor, "row unit"]:
        """Return the layer's activations at some random positions of some images, in the same numbers whatever it is trained in."""
        forward = self.model.forward_to([self.layer.name])
        found: list[Tensor] = []
        for batch in self.images.batches(self.model.preprocessing.size, READ_AT_ONCE, indices.numpy()):
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                (activation,) = forward(*self.model.inputs(self.model.preprocess(batch.images)))
            arranged = self.layer.arrange(activation).flatten(2) if self.layer.positions else self.layer.arrange(activation)[..., None]
            places = torch.rand(len(arranged), arranged.shape[2], generator=random).argsort(1)[:, :PLACES].to(self.device)
            found.append(arranged.gather(2, places[:, None].expand(-1, arranged.shape[1], -1)).permute(0, 2, 1).flatten(0, 1).float())
            task.step(0, 0, note=f"reading {self.layer.name}")
        if not found:
            raise RecipeError(f"no image of {self.images.name} can be read; choose another set")
        return torch.cat(found)

    def _read(self, stretch: int, task: Task) -> Float[Tensor, "row unit"]:
        """Return the activations of one stretch of the stream, which depend on the seed and its number alone."""
        if stretch != self._stretch:
            places = order(len(self.train), self.recipe.seed, stretch * self._images, self._images)
            rows = self._of(self.train[places], generator(self.recipe.seed + 1, stretch), task)
            self._stretch, self._rows = stretch, rows
        return self._rows

    @property
    def _images(self) -> int:
        """Images of a stretch."""
        return min(IMAGES, len(self.train))

    @property
    def _updates(self) -> int:
        """Updates that a stretch serves."""
        places = min(PLACES, max(1, torch.Size(self.layer.positions).numel()))
        return max(1, PASSES * self._images * places // self.recipe.batch)

    def fetch(self, step: int, task: Task) -> None:
        """Read the stretch that the update is from, where the one before was from another."""
        self._read(step // self._updates, task)

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the squared error of one batch beside its distance from the mean, and the auxiliary loss."""
        rows = self._read(step // self._updates, Task())
        x = rows[torch.randint(len(rows), (self.recipe.batch,), generator=generator(self.recipe.seed, step)).to(self.device)]
        module = self.module
        before = module.before(x)
        code = module.code(before)
        wanted = x / module.scale - module.centre
        directions = module.directions
        rest = wanted - code @ directions
        spread = (x / module.scale - (x / module.scale).mean(0)).square().sum().clamp_min(1e-12)
        loss = error = rest.float().square().sum() / spread
        with torch.no_grad():
            module.unused.add_(1).masked_fill_((code > 0).any(0), 0)
            dead = module.unused >= self.recipe.silent
        if bool(dead.any()):
            some = min(int(dead.sum()), max(1, 2 * module.kept))
            values, places = before.masked_fill(~dead, -torch.inf).topk(some, 1)
            revived = torch.zeros_like(before).scatter(1, places, values.clamp_min(0).to(before.dtype))
            again = (rest.detach() - revived @ directions).float().square().sum() / rest.detach().float().square().sum().clamp_min(1e-12)
            loss = error + AUXILIARY * again
        return loss, {"explained": 1 - error.detach(), "dead": dead.float().mean()}

    def held_out(self, task: Task) -> Float[Tensor, "row unit"]:
        """Return activations of images whose concepts are not trained on."""
        chosen = torch.randperm(len(self.test), generator=torch.Generator().manual_seed(self.recipe.seed))[:HELD_OUT]
        return self._of(self.test[chosen.sort().values], generator(self.recipe.seed + 2, 0), task)

    def evaluate(self, module: nn.Module, task: Task) -> Figures:
        """Measure on held-out images: ``explained``, beside it what as many principal axes explain, and the latents that are never used.

        ``pca_explained`` takes the first `kept` principal axes of the training activations: as many numbers a position, but the same ones
        everywhere.
        """
        assert isinstance(module, TopK)
        trained, rows = self._read(0, task), self.held_out(task)
        mean = trained.mean(0)
        spread = float((rows - mean).square().sum())
        with torch.inference_mode():
            used = torch.zeros(len(module.bias), dtype=torch.bool, device=self.device)
            error = 0.0
            for part in rows.split(4096):
                error += float((part - module(part)).square().sum())
                used |= (module.code(module.before(part)) > 0).any(0)
                task.step(0, 0, note="measuring on held-out images")
            axes = torch.linalg.svd(trained - mean, full_matrices=False)[2][: module.kept]
            within = float(((rows - mean) @ axes.T).square().sum())
        return {
            "explained": round(1 - error / spread, 4),
            "pca_explained": round(within / spread, 4),
            "unused": round(1 - float(used.float().mean()), 4),
            "held_out_images": min(HELD_OUT, len(self.test)),
            "held_out_rows": len(rows),
        }


def directions_of(folder: Path, name: str, task: Task) -> DirectionSet:
    """Make a set of directions of a run, finished or not: its latents in units of the layer, with their spread on held-out images.

    Raises
    ------
    RecipeError
        When the folder holds no run of a sparse autoencoder, or nothing was trained yet.
    """
    document = read_document(folder)
    if document["kind"] != SparseAutoencoder.__name__:
        raise RecipeError(f"{folder} holds a run of {document['kind']}, no sparse autoencoder")
    updates, weights = newest_weights(folder)
    if not updates:
        raise RecipeError(f"{folder} holds no state yet; train first")
    recipe = SparseAutoencoder(**document["parameters"])
    course = recipe.prepare(torch.device("cpu"), task)
    module = course.module
    module.load_state_dict(weights)
    module.eval().requires_grad_(False)
    figures = course.evaluate(module, task)
    rows = course.held_out(task)
    encoder, scale = module.encoder, module.scale
    with torch.inference_mode():
        spread = torch.cat([module.code(module.before(part)) for part in rows.split(4096)]).std(0)
        bias = module.bias - encoder @ module.centre
    return DirectionSet(
        name,
        course.layer.name,
        (encoder / scale).numpy(),
        bias.numpy(),
        (module.directions * scale).numpy(),
        spread.numpy(),
        module.kept,
        provenance={
            "how": "sparse autoencoder",
            "run": folder.name,
            "model": recipe.network,
            "weights": course.model.weight_hash,
            "images": recipe.images,
            "updates": updates,
            **figures,
        },
    )
