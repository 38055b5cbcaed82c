"""The bundled emoji: exactly the source's pixels, its licences, its backgrounds."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
from PIL import Image

from workbench.images.emoji import FOLDER, EmojiSet
from workbench.images.image_set import load_images

SOURCE = "d0ab7b010ce54f9ba8f5d80bb8d5da0e17e144fe2944a79637cddea78ae94c4a"
"""SHA-256 of the source arrays, style after style, zero where alpha is zero: made before packing."""


def test_the_pixels_are_the_source_s() -> None:
    emoji = EmojiSet()
    digest = hashlib.sha256()
    for index in range(len(emoji)):
        drawing = emoji.drawing(index).copy()
        drawing[drawing[..., 3] == 0] = 0
        digest.update(drawing.tobytes())
    assert digest.hexdigest() == SOURCE


def test_columns() -> None:
    emoji = load_images("emoji")
    assert len(emoji) == 7850
    assert len(set(emoji.ids)) == 7850
    assert set(emoji.columns) == {"concept", "group", "subgroup", "style", "keywords"}
    assert all(len(column) == 7850 for column in emoji.columns.values())
    assert Counter(emoji.columns["style"]) == dict.fromkeys(
        ["noto", "twemoji", "openmoji", "fluent_flat", "fluent_3d"], 1570
    )
    assert set(Counter(emoji.columns["concept"]).values()) == {5}
    row = emoji.ids.index("openmoji/red apple")
    assert emoji.columns["group"][row] == "Food & Drink"
    assert "fruit" in emoji.columns["keywords"][row].split(", ")


def test_a_red_apple_is_red_on_what_it_was_put_on() -> None:
    for kind, ground in (("white", 255), ("grey", 128)):
        emoji = load_images(f"emoji?styles=noto&background={kind}")
        apple = emoji.image(emoji.ids.index("noto/red apple"), (100, 100))
        assert apple[60, 50, 0] > apple[60, 50, 1] + 80
        assert (apple[:3, :3] == ground).all()


def test_drawings_are_mixed_with_the_ground_by_their_opacity() -> None:
    for kind, ground in (("white", 255), ("grey", 128)):
        emoji = EmojiSet(["fluent_3d"], kind)
        for index in range(0, 1570, 97):
            drawing = emoji.drawing(index).astype(float)
            opacity = drawing[..., 3:] / 255
            exact = drawing[..., :3] * opacity + ground * (1 - opacity)
            assert np.abs(emoji.image(index) - exact).max() <= 1.01  # rounded twice
    random = EmojiSet(["fluent_3d"], "random")
    whole = [index for index in range(200) if (random.drawing(index)[20:40, 20:40, 3] == 255).all()]
    for index in whole[:10]:
        assert (random.image(index)[20:40, 20:40] == random.drawing(index)[20:40, 20:40, :3]).all()


def test_scaling_agrees_with_pillow_and_does_not_bleed() -> None:
    emoji = EmojiSet(["openmoji"])
    for index in (0, 700, 1500):
        small = emoji.image(index)
        for size in ((224, 224), (100, 100), (40, 40)):
            pillow = np.asarray(Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC))
            assert np.abs(emoji.image(index, size).astype(int) - pillow).max() <= 2
    on_random = EmojiSet(["openmoji"], "random").image(0, (224, 224))
    assert on_random.shape == (224, 224, 3)
    wide = emoji.image(0, (50, 100))
    assert np.abs(wide.astype(int) - emoji.image(0, (100, 100))[25:75]).max() == 0


def test_licences_are_kept_beside_it() -> None:
    table = (FOLDER / "LICENSES.md").read_text(encoding="utf-8")
    emoji = EmojiSet()
    for style in emoji.styles:
        assert f"`{style}`" in table
        assert style in emoji.licence
    texts = {path.name for path in (FOLDER / "licences").iterdir()}
    assert {
        "Apache-2.0.txt",
        "OpenMoji-CC-BY-SA-4.0.txt",
        "fluent-emoji-MIT.txt",
        "emoji-data-MIT.txt",
        "emojilib-MIT.txt",
    } <= texts
    assert sum(path.stat().st_size for path in FOLDER.rglob("*")) < 20e6


def test_random_backgrounds_do_not_depend_on_order_batch_or_styles() -> None:
    emoji = EmojiSet(background="random")
    some = [7849, 3, 4000, 1571]
    ahead = np.concatenate([part.images for part in emoji.batches((48, 48), 3, some)])
    for row, index in enumerate(some):
        assert (ahead[row] == emoji.image(index, (48, 48))).all()
    twemoji = EmojiSet(["twemoji"], "random")
    assert (twemoji.image(1, (48, 48)) == ahead[3]).all()
    assert (EmojiSet(["twemoji"], "random", seed=1).image(1, (48, 48)) != ahead[3]).any()


def test_random_backgrounds_are_plain_graded_and_textured_and_the_same_at_every_size() -> None:
    emoji = EmojiSet(["noto"], "random")
    kinds: Counter[str] = Counter()
    for index in range(300):
        small, large = (emoji.image(index, (side, side)).astype(float) for side in (64, 128))
        averaged = large.reshape(64, 2, 64, 2, 3).mean((1, 3))
        assert np.abs(small - averaged).mean() < 12
        edge = small[0, :, :]  # the top row of pixels, nearly always ground
        second = np.abs(np.diff(edge, n=2, axis=0)).max()
        kinds["plain" if np.ptp(edge, axis=0).max() == 0 else "graded" if second <= 3 else "textured"] += 1
    assert set(kinds) == {"plain", "graded", "textured"}
    assert min(kinds.values()) > 50


def test_the_hash_tells_sets_apart() -> None:
    hashes = {
        load_images(ref).content_hash
        for ref in (
            "emoji",
            "emoji?background=grey",
            "emoji?background=random",
            "emoji?background=random&seed=1",
            "emoji?styles=noto",
        )
    }
    assert len(hashes) == 5
    assert load_images("emoji?seed=5").content_hash == load_images("emoji").content_hash


def test_decoded_sheets_are_held_in_bounded_number() -> None:
    emoji = EmojiSet()
    for _ in emoji.batches((8, 8), 256):
        pass
    assert emoji._sheet.cache_info().currsize <= 32
    assert emoji._sheet.cache_info().misses == 250  # each sheet is decoded once in a sweep, whatever the threads
