"""`Contrastive`: image and text towers of open_clip's own class, on emoji and their captions; `clip` and `clip-rn` are settings of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, ClassVar, Final

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, one_hot

from workbench.images.emoji import EmojiSet
from workbench.models.caption_tokenizer import caption_tokenizer
from workbench.models.small_text_networks import Tower, build_clip
from workbench.task import Part, Task
from workbench.training.captions import Captions, caption
from workbench.training.drawings import (
    Drawings,
    by_concept,
    emoji_data,
    generator,
    in_unit_range,
    network_input,
    one_of_each,
    order,
    random_boxes,
    split_emoji,
)
from workbench.training.ranks import ranks
from workbench.training.recipe import Course, Figures, Recipe, register
from workbench.training.short_texts import read_short

STYLE_WEIGHT = 4.0
"""What finding an image's style weighs beside finding its caption, from `styles_first_from` on."""
_KIND: Final = {"test": "held-out", "train": "seen"}
_BOTH: Final = {"styles_from": 4_000, "covered_from": 8_000, "average": 0.998, "likeness": 3.0, "recolour": 0}


@register(
    clip={"tower": "vit", "steps": 12_000, "restart": (4_000, 6_000, 8_000, 10_000), "learning_rate": 1e-3, **_BOTH},
    clip_rn={"tower": "resnet", "steps": 20_000, "restart": (2_400, *range(4_000, 20_000, 2_000)), "styles_first_from": 18_000, **_BOTH},
)
class Contrastive(Recipe):
    """Train an image tower and a text tower to find each other's output among a batch (Radford et al. 2021).

    Captions are made anew each time an image is shown, from its name, up to three keywords and the drawing style. In a batch of different
    things the style is hardly needed to find one's caption, so every image also sees each caption's words in another style, which is
    never the right one (hard negatives, as Yuksekgonul et al. 2023 make them of swapped words). With `likeness` captions whose words are
    like an image's own, in its style, are right as well, the more the more alike: there are too few things for each to be told from all
    others by itself, and what is like what is all that is known of things never seen (soft targets, as Gao et al. 2023 take them from
    within one kind of input). The bundled ones never saw a drawing recoloured: its style is in the palette, too. From `styles_from` on each
    image has to find its style by itself as well, among the mean captions of each style, which is how styles are told in the end.
    From `styles_first_from` on that weighs four times as much as finding its caption.
    From `covered_from` on a box of another concept's drawing in the same style lies over part of each image (as in CutMix by Yun et al.
    2019, but what is right stays as it was): a style is then told by what is common to its drawings, not by knowing each of them.
    """

    title: ClassVar[str] = "Image and text towers (CLIP)"

    tower: Tower = Field("vit", description="kind of the image tower: vision transformer, or CLIP's modified ResNet")
    batch: int = Field(192, ge=2, description="pairs an update")
    rivals: bool = Field(True, description="show each image the captions' words in another style, too")
    likeness: float = Field(0.0, ge=0, le=10, description="how far captions of the same style with like words are right as well; 0: never")
    styles_from: int = Field(0, ge=0, description="update from which each image is also to find its style by itself; 0: never")
    styles_first_from: int = Field(0, ge=0, description="from when on the style weighs more than the caption, after styles_from; 0: never")
    covered_from: int = Field(0, ge=0, description="update from which part of each image lies under another drawing in its style; 0: never")
    weight_decay: float = Field(0.1, ge=0, description="of matrices and kernels (AdamW)")
    move: float = Field(1.0, ge=0, le=4, description="how far images are shifted, turned and scaled")
    recolour: float = Field(1.0, ge=0, le=4, description="how far brightness and colours of images change; at 1 by up to a quarter")

    @model_validator(mode="after")
    def _fits(self) -> Contrastive:
        if self.styles_first_from and not self.styles_from:
            raise ValueError("styles_first_from needs styles_from: without it no image is asked for its style by itself")
        return self

    def prepare(self, device: torch.device, task: Task) -> _Pairing:
        """Open the emoji and build both towers."""
        return _Pairing(self, device)


class _Pairing(Course):
    def __init__(self, recipe: Contrastive, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.images = EmojiSet()
        self.train, self.test = split_emoji(self.images)
        self.concepts = by_concept(self.images, self.train)
        self.styles = list(dict.fromkeys(self.images.columns["style"]))
        of = self.images.columns["style"]
        self.drawings_of = [{of[index]: index for index in known.tolist()} for known in self.concepts]
        self.captions = Captions(self.images)
        self.data = emoji_data(self.images)
        torch.manual_seed(recipe.seed)
        self.module = build_clip(recipe.tower).to(device)
        read_short(self.module)
        self.tokenize = caption_tokenizer()
        self._drawings: Drawings | None = None

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean of both cross-entropies, later with that of the styles, and the part of the images that found their caption."""
        recipe = self.recipe
        random = generator(recipe.seed, step)
        if self._drawings is None:
            self._drawings = Drawings(self.images, self.device)
        concepts, indices = self._chosen(step, random)
        styles = [self.images.columns["style"][index] for index in indices.tolist()]
        moved = partial(self._drawings.batch, generator=random, strength=recipe.move, recolour=recipe.recolour)
        shown = moved(indices)
        if 0 < recipe.covered_from <= step:
            others = zip(concepts.roll(1).tolist(), styles, strict=True)
            covers = moved(torch.tensor([self.drawings_of[concept][style] for concept, style in others]))
            shown = torch.where(random_boxes(len(shown), shown.shape[-1], random, self.device), covers, shown)
        drawn = [self.captions.draw_with_rival(index, self.styles, random) for index in indices.tolist()]
        texts, rivals, rival_styles = zip(*drawn, strict=True)
        told = [*texts, *(rivals if recipe.rivals else ())]
        seen, read, scale = self.module(network_input(shown), self.tokenize(told).to(self.device))
        logits = scale.clamp(max=100) * seen.float() @ read.float().T
        right = self._right(concepts, styles, rival_styles)[:, : len(told)]
        count = len(indices)
        loss = (cross_entropy(logits, _shares(right)) + cross_entropy(logits[:, :count].T, _shares(right[:, :count].T))) / 2
        if 0 < recipe.styles_from <= step:
            weight = STYLE_WEIGHT if 0 < recipe.styles_first_from <= step else 1.0
            loss = loss + weight * self._style_loss(logits, [*styles, *rival_styles][: len(told)])
        return loss, {"accuracy": (logits.detach().argmax(1) == torch.arange(count, device=self.device)).float().mean()}

    def _right(self, concepts: Int64[Tensor, " n"], styles: Sequence[str], rival_styles: Sequence[str]) -> Float[Tensor, "n 2*n"]:
        """Return what each caption, then each rival, weighs as the right one of each image, before every row is made to sum to 1.

        Its own weighs 1, another in its style `likeness` times the squared cosine of their words: nearly the same words may weigh more.
        """
        alike = self.recipe.likeness * self.alike[concepts][:, concepts].fill_diagonal_(0)
        shown = np.array(styles)[:, None]
        in_style = torch.from_numpy(shown == np.array([*styles, *rival_styles])).to(self.device)
        right = alike.repeat(1, 2) * in_style
        right.diagonal().fill_(1.0)
        return right

    def _style_loss(self, logits: Float[Tensor, "n told"], read: Sequence[str]) -> Tensor:
        """Return the cross-entropy of each image's style among those that are read, each described by the mean of the captions in it.

        `read` are the styles of the captions, the images' own first.
        """
        place = torch.tensor([self.styles.index(style) for style in read], device=self.device)
        of = one_hot(place, len(self.styles)).float()
        count = of.sum(0)
        return cross_entropy((logits @ (of / count.clamp(min=1))).masked_fill(count == 0, -torch.inf), place[: len(logits)])

    @cached_property
    def alike(self) -> Float[Tensor, "concepts concepts"]:
        """Squared cosine of the words of any two concepts; made when it is first wanted."""
        return self.captions.words_in_common([int(known[0]) for known in self.concepts]).square().to(self.device)

    def _chosen(self, step: int, random: torch.Generator) -> tuple[Int64[Tensor, " batch"], Int64[Tensor, " batch"]]:
        """Return the concepts of one update, the next of a series of shuffled ones, and one drawing of each."""
        batch = self.recipe.batch
        concepts = order(len(self.concepts), self.recipe.seed, step * batch, batch)
        drawings = [self.concepts[place] for place in concepts.tolist()]
        return concepts, torch.stack([known[int(torch.randint(len(known), (), generator=random))] for known in drawings])

    def evaluate(self, module: nn.Module, task: Task) -> Figures:
        """Measure on drawings of held-out concepts and on those trained on, all on random grounds none of which was used in training.

        * ``test_subgroup_top1``: the subgroup named, each one described by the captions of its *seen* names (mean of their embeddings);
        * ``test_name_recall5``: the image's own name is among the five nearest of all held-out names;
        * ``test_style_top1``: the style named of five, each described by the seen names in it, and ``test_style_family_top1`` with the two
          Fluent styles, nearly the same drawings, as one.

        ``train_…`` are the same of one drawing of each concept trained on; a name is found among all seen ones, four times as many.
        """
        columns = self.images.columns
        parts = {"test": self.test, "train": one_of_each(self.concepts)}
        task.step(0, 1, note="reading the captions")
        styles = list(dict.fromkeys(columns["style"]))
        names = {part: list(dict.fromkeys(columns["concept"][i] for i in indices.tolist())) for part, indices in parts.items()}
        read = {
            part: torch.stack([self._read(module, [caption(name, style) for name in of]) for style in styles])
            for part, of in names.items()
        }
        group = dict(zip(columns["concept"], columns["subgroup"], strict=True))
        groups = sorted(set(columns["subgroup"]))
        member = torch.tensor([[float(group[name] == one) for name in names["train"]] for one in groups], device=self.device)
        of_groups = normalize(member @ normalize(read["train"].mean(0), dim=-1), dim=-1)
        of_styles = normalize(read["train"].mean(1), dim=-1)
        figures: Figures = {}
        whole, before = sum(map(len, parts.values())), 0
        for part, chosen in parts.items():
            features, indices = self._look(module, chosen, Part(task, before, len(chosen), whole), f"looking at the {_KIND[part]} images")
            before += len(chosen)
            targets = {
                "subgroup_top1": (of_groups, [groups.index(columns["subgroup"][i]) for i in indices], 1),
                "name_recall5": (normalize(read[part].mean(0), dim=-1), [names[part].index(columns["concept"][i]) for i in indices], 5),
                "style_top1": (of_styles, [styles.index(columns["style"][i]) for i in indices], 1),
            }
            figures |= {f"{part}_images": len(indices), f"{part}_names": len(names[part])}
            for name, (texts, wanted, within) in targets.items():
                rank = ranks(features @ texts.T, torch.tensor(wanted))
                figures[f"{part}_{name}"] = round((rank < within).double().mean().item(), 4)
            family = [style.partition("_")[0] for style in styles]
            named = (features @ of_styles.T).argmax(1).tolist()
            right = [family[n] == columns["style"][i].partition("_")[0] for n, i in zip(named, indices, strict=True)]
            figures[f"{part}_style_family_top1"] = round(sum(right) / len(right), 4)
        return figures

    @torch.inference_mode()
    def _read(self, module: nn.Module, texts: Sequence[str]) -> Float[Tensor, "texts width"]:
        encode: Any = module.encode_text
        parts = [encode(self.tokenize(list(texts[at : at + 256])).to(self.device), normalize=True) for at in range(0, len(texts), 256)]
        return torch.cat(parts)

    @torch.inference_mode()
    def _look(
        self, module: nn.Module, indices: Int64[Tensor, " n"], task: Task, note: str
    ) -> tuple[Float[Tensor, "n width"], list[int]]:
        encode: Any = module.encode_image
        parts, places = [], []
        for batch in EmojiSet(background="random").batches((64, 64), 256, indices.numpy()):
            parts.append(encode(network_input(in_unit_range(batch.images, self.device)), normalize=True))
            places += batch.indices.tolist()
            task.step(len(places), len(indices), note=note)
        return torch.cat(parts), places


def _shares(right: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Return each row as shares of what is right in it."""
    return right / right.sum(1, keepdim=True)
