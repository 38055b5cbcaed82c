"""`Classifier`: any image network on any labelled image set; `inception`, `resnet`, `convnext` and `vit` are settings of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from workbench.images.emoji import EmojiSet
from workbench.images.image_set import ImageSet, ImageSetError, UnreadableImage, load_images
from workbench.models.loading import LoadError
from workbench.models.sources.architecture import classifier
from workbench.models.sources.tracing import brief
from workbench.task import Task
from workbench.training.drawings import (
    GROUNDS,
    Drawings,
    generator,
    held_out_variants,
    in_unit_range,
    network_input,
    order,
    plain_grounds,
    random_moves,
    signed,
    split_emoji,
)
from workbench.training.ranks import ranks
from workbench.training.recipe import Course, Figures, Recipe, RecipeError, register

TEST_SHARE = 0.2
TRAINED, HELD_OUT = ("train", "training"), (("test",), ("val", "valid", "validation"))
"""What a column ``split`` calls the images to train on, and those that are held out: the first of these that there are."""
JUDGE_STYLE: dict[str, Any] = {
    "network": "inception",
    "column": "style",
    "size": 32,
    "ground": "plain",
    "steps": 6_000,
    "checkpoints": 2,
    "average": 0.998,
    "mix": 0,
    "erase": 0,
    "move": 0.2,
    "recolour": 0.2,
    "flip": False,
}
"""Of the classifier that says in what style a diffusion network drew: it sees drawings as that one does. A style is in outlines, shades and
the palette, which moving, mixing, erasing and recolouring images takes away."""


@register(
    inception={"network": "inception", "steps": 4_000, "mix": 0.3, "weight_decay": 0.1, "average": 0.998},
    resnet={"network": "resnet", "steps": 4_000, "mix": 0.3, "weight_decay": 0.1, "average": 0.998},
    convnext={"network": "convnext", "steps": 5_000, "learning_rate": 4e-3, "average": 0.998},
    vit={"network": "vit", "steps": 5_000, "learning_rate": 1e-3, "warm_up": 500, "average": 0.998},
    judge_style=JUDGE_STYLE,
)
class Classifier(Recipe):
    """Train an image network to name one column of an image set, cross-entropy with smoothed labels and mixed images.

    AdamW (Loshchilov & Hutter 2019), label smoothing (Szegedy et al. 2016), mixup (Zhang et al. 2018), random erasing (Zhong et al. 2020).
    """

    title: ClassVar[str] = "Image classifier"

    network: str = Field(description="inception, resnet, convnext, vit, or any architecture as timm:NAME or torchvision:NAME")
    images: str = Field("emoji", description="image set, such as emoji, folder:PATH or torchvision:CIFAR10?root=PATH")
    column: str = Field("subgroup", description="the property of an image that is its class; for a folder it is label")
    size: int = Field(64, ge=8, le=1024, description="height and width in pixels that the network reads")
    smoothing: float = Field(0.1, ge=0, lt=1, description="part of every label given to all classes alike")
    mix: float = Field(0.2, ge=0, description="strength of mixup: each image is a mixture with another, share from Beta(mix, mix); 0: none")
    erase: float = Field(0.25, ge=0, le=1, description="part of the images in which a rectangle is erased")
    move: float = Field(1.0, ge=0, le=4, description="how far images are shifted, turned and scaled")
    recolour: float = Field(1.0, ge=0, le=4, description="how far brightness and colours of images change; at 1 by up to a quarter")
    flip: bool = Field(True, description="whether every other image is mirrored")
    ground: Literal["random", "plain"] = Field("random", description="what stands behind emoji: random grounds, or white and plain colours")

    def prepare(self, device: torch.device, task: Task) -> _Classification:
        """Open the images and build the network."""
        return _Classification(self, device, task)


class _Classification(Course):
    def __init__(self, recipe: Classifier, device: torch.device, task: Task) -> None:
        self.recipe, self.device = recipe, device
        try:
            self.images = load_images(recipe.images, task)
        except ImageSetError as error:
            raise RecipeError(str(error)) from None
        if recipe.column not in self.images.columns:
            raise RecipeError(
                f"{self.images.name} has no column {recipe.column!r}; it has {', '.join(self.images.columns) or 'none'}"
            )
        names = self.images.columns[recipe.column]
        self.labels = tuple(sorted(set(names)))
        if len(self.labels) < 2:
            raise RecipeError(f"column {recipe.column!r} of {self.images.name} has one value only; nothing to tell apart")
        place = {name: index for index, name in enumerate(self.labels)}
        self.targets = torch.tensor([place[name] for name in names])
        self.train, self.test = split(self.images, recipe.seed)
        if recipe.batch > len(self.train):
            raise RecipeError(f"a batch of {recipe.batch} is more than the {len(self.train)} images to train on")
        held = hashlib.sha256("\n".join(self.images.ids[index] for index in self.test.tolist()).encode()).hexdigest()
        self.data = {
            "images": recipe.images,
            "digest": self.images.content_hash,
            "column": recipe.column,
            "held_out": held[:32],
        }
        torch.manual_seed(recipe.seed)
        self.module = self._build().to(device)
        self._drawings: Drawings | None = None
        self._stream: Iterator[tuple[Tensor, Tensor]] | None = None

    def _build(self) -> nn.Module:
        """Build the network, and see whether it runs: a run that breaks off in its first update could never go on."""
        network, size, classes = self.recipe.network, self.recipe.size, len(self.labels)
        try:
            module = classifier(network, classes, size).eval()
        except LoadError as error:
            raise RecipeError(str(error)) from None
        try:
            with torch.no_grad():
                logits = module(torch.zeros(2, 3, size, size))
        except Exception as error:  # each library has its own
            raise RecipeError(
                f"{network} does not run on images of {size} x {size} pixels ({brief(error)}); choose another size or another network"
            ) from None
        if not isinstance(logits, Tensor) or logits.shape != (2, classes):
            raise RecipeError(f"{network} does not give one number a class; choose a network that classifies images")
        return module.train()

    @property
    def unreadable(self) -> list[UnreadableImage]:
        """The images that could not be read."""
        return self.images.skipped

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross-entropy of one batch and the part of it named right."""
        random = generator(self.recipe.seed, step)
        images, targets = self._batch(step, random)
        images = _erased(network_input(images), self.recipe.erase, random)
        share = self._share(random)
        other = torch.randperm(len(targets), generator=random).to(self.device)
        if share < 1:
            images = share * images + (1 - share) * images[other]
        logits = self.module(images)
        smoothing = self.recipe.smoothing
        loss = share * cross_entropy(logits, targets, label_smoothing=smoothing)
        if share < 1:
            loss = loss + (1 - share) * cross_entropy(logits, targets[other], label_smoothing=smoothing)
        return loss, {"accuracy": (logits.detach().argmax(1) == targets).float().mean()}

    def _share(self, random: torch.Generator) -> float:
        if not self.recipe.mix:
            return 1.0
        seed = int(torch.randint(2**31, (), generator=random))
        return float(np.random.default_rng(seed).beta(self.recipe.mix, self.recipe.mix))

    def _batch(self, step: int, random: torch.Generator) -> tuple[Float[Tensor, "n 3 y x"], Int64[Tensor, " n"]]:
        recipe = self.recipe
        if isinstance(self.images, EmojiSet):
            if self._drawings is None:
                self._drawings = Drawings(self.images, self.device, recipe.size, grounds=2 if recipe.ground == "plain" else GROUNDS)
            places = order(len(self.train), recipe.seed, step * recipe.batch, recipe.batch)
            indices = self.train[places]
            ground = plain_grounds(len(indices), random, self.device) if recipe.ground == "plain" else None
            shown = self._drawings.batch(
                indices, random, strength=recipe.move, recolour=recipe.recolour, flip=recipe.flip, ground=ground
            )
            return shown, self.targets[indices].to(self.device)
        if self._stream is None:
            self._stream = self._decoded(step)
        images, targets = next(self._stream)
        return moved(images, random, recipe.move, recolour=recipe.recolour, flip=recipe.flip), targets

    def _decoded(self, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Decode from one update on, a pass over the images at a time."""
        recipe = self.recipe
        size = (recipe.size, recipe.size)
        while True:
            ahead = max(1, len(self.train) // recipe.batch)
            places = order(len(self.train), recipe.seed, step * recipe.batch, ahead * recipe.batch)
            found = 0
            for batch in self.images.batches(size, recipe.batch, self.train[places].numpy()):
                found += len(batch.indices)
                yield in_unit_range(batch.images, self.device), self.targets[torch.from_numpy(batch.indices)].to(self.device)
            if not found:
                first = self.images.skipped[0]
                raise RecipeError(f"no image of {self.images.name} can be read any more: {first.id} ({first.reason})")
            step += ahead

    def evaluate(self, module: nn.Module, task: Task) -> Figures:
        """Measure accuracy on images that are not moved: ``train_top1``, ``test_top1``, ``test_top5``, and the size of both parts.

        Emoji are shown on random grounds none of which was used in training, or on white where the grounds of training were plain;
        ``test_top1_without_variants`` leaves out the held-out concepts whose man, woman or person counterpart was trained on.
        """
        images = self.images
        if isinstance(images, EmojiSet):
            images = EmojiSet(images.styles, background="random" if self.recipe.ground == "random" else "white")
        size = (self.recipe.size, self.recipe.size)
        figures: Figures = {}
        total = len(self.train) + len(self.test)
        done = 0
        for part, indices in (("train", self.train), ("test", self.test)):
            found: list[Tensor] = []
            places: list[int] = []
            for batch in images.batches(size, 256, indices.numpy()):
                shown = network_input(in_unit_range(batch.images, self.device))
                with torch.inference_mode():
                    logits = module(shown)
                found.append(ranks(logits, self.targets[torch.from_numpy(batch.indices)]))
                places += batch.indices.tolist()
                done += len(batch.indices)
                task.step(done, total, note=f"measuring on the {part} part")
            if not found:
                raise RecipeError(f"none of the {len(indices)} images of the {part} part of {images.name} can be read")
            rank = torch.cat(found)
            figures[f"{part}_top1"] = round((rank == 0).double().mean().item(), 4)
            if part == "test":
                figures["test_top5"] = round((rank < 5).double().mean().item(), 4)
                if isinstance(self.images, EmojiSet):
                    concepts = self.images.columns["concept"]
                    strict = torch.tensor([concepts[index] not in held_out_variants() for index in places])
                    figures["test_top1_without_variants"] = round((rank[strict] == 0).double().mean().item(), 4)
            figures[f"{part}_images"] = len(rank)
        return figures


def split(images: ImageSet, seed: int) -> tuple[Int64[Tensor, " train"], Int64[Tensor, " test"]]:
    """Return the indices to train on and those held out.

    Emoji are split by concept, as fixed in a file; other sets by their column ``split`` where it tells train from test, or from val where
    there is no test (beside a test, val is neither trained nor measured on); else at random, by ``concept`` where there is one, a fifth
    held out.
    """
    if isinstance(images, EmojiSet):
        return split_emoji(images)
    parts = images.columns.get("split", ())
    held = next((names for names in HELD_OUT if not set(names).isdisjoint(parts)), ())
    if held and not set(TRAINED).isdisjoint(parts):
        trained, out = (np.isin(parts, names) for names in (TRAINED, held))
    else:
        groups = images.concepts
        known = sorted(set(groups))
        random = np.random.default_rng(seed)
        chosen = set(random.choice(known, max(1, round(TEST_SHARE * len(known))), replace=False).tolist())
        out = np.array([group in chosen for group in groups])
        trained = ~out
    return torch.from_numpy(np.flatnonzero(trained)), torch.from_numpy(np.flatnonzero(out))


def moved(
    images: Float[Tensor, "n 3 y x"], random: torch.Generator, strength: float, *, recolour: float, flip: bool
) -> Float[Tensor, "n 3 y x"]:
    """Shift, turn and scale images, what comes into view mirrored at the edge (see `random_moves` for `strength`), and recolour them.

    At a `recolour` of 1 each channel changes by up to a quarter.
    """
    count = len(images)
    move = random_moves(count, random, strength, flip=flip, device=images.device)
    grid = nn.functional.affine_grid(move, list(images.shape), align_corners=False)
    shown = nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    return (shown * (1 + 0.25 * recolour * signed((count, 3, 1, 1), random, images.device))).clamp(0, 1)


def _erased(images: Float[Tensor, "n 3 y x"], part: float, random: torch.Generator) -> Float[Tensor, "n 3 y x"]:
    """Blank a rectangle of an eighth to a half of each side in some of the images."""
    count = len(images)
    side = images.shape[2:]
    chosen = torch.rand(count, generator=random) < part
    masks = torch.zeros(count, 1, *side, dtype=torch.bool)
    extents = torch.rand(count, 2, generator=random) * 0.375 + 0.125
    corners = torch.rand(count, 2, generator=random)
    for row in torch.nonzero(chosen).flatten().tolist():
        height, width = (max(1, round(float(e) * s)) for e, s in zip(extents[row], side, strict=True))
        top, left = (int(c * (s - e + 1)) for c, s, e in zip(corners[row].tolist(), side, (height, width), strict=True))
        masks[row, :, top : top + height, left : left + width] = True
    return images.masked_fill(masks.to(images.device), 0.0)
