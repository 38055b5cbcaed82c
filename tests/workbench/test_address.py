"""Addresses: every one is read as it was written, whatever the references in it are, and is found in a text."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workbench.address import Address, addresses_in
from workbench.input_error import InputError
from workbench.models.layer import Unit

ODD = (
    "bundled:inception",
    "timm:resnet18?pretrained=false&seed=0",
    "file:C:\\nets\\my net (2).safetensors?architecture=timm:resnet18",
    "file:/a//b c/#1 50%.pt",
    "open_clip:ViT-B-32:laion2b?text=a cat%3F",
    "diffusers:モデル/曲線?prompt=ein “Wort” & noch eins",
    "python:net.py:make",
    "workbench:workbench:#",
    "x.",
    "\u00a0\u3000\n\t",
    "%23",
    "\ud800",
)
texts = st.sampled_from(ODD) | st.text(st.characters() | st.sampled_from("%#&=:?,{}[]()<>\"' \\/.-0123456789"), max_size=12)
NAMES = ("mixed3b", "blocks.3:add", "blocks.3.attn[0]", "act@1", "0", "a:7", "a:{b}", "a:", ":7", "workbench", "a,b")
layers = st.sampled_from(NAMES) | texts.filter(bool)
units = st.lists(st.integers(0, 5000), max_size=8) | st.integers(0, 99).map(lambda start: list(range(start, start + 5)))


places = st.tuples(st.just("") | layers, st.just("") | texts, units)
views = st.sampled_from(("", "inspector.histogram"))


@given(st.just("") | texts, st.just("") | texts, places, views)
def test_every_address_is_read_as_it_was_written(model: str, images: str, place: tuple[str, str, list[int]], view: str):
    layer, family, numbers = place
    family = family if layer else ""
    address = Address(model, images, layer, tuple(numbers) if layer and not family else (), family, view)
    assume(address)
    text = str(address)
    assert Address.parse(text) == address
    assert len(text.split()) == 1 and text.isprintable()
    if address.model:
        for sentence in (f"See {text}.", f"({text}), too", f"“{text}”?", f"{text}\nand", f"<{text}>"):
            assert [found for _, found in addresses_in(sentence)] == [text], sentence
        assert shlex.split(f"'{text}'") == [text]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("workbench:bundled:inception#mixed3b:7", Address("bundled:inception", layer="mixed3b", units=(7,))),
        ("bundled:inception#mixed3b:7,12", Address("bundled:inception", layer="mixed3b", units=(7, 12))),
        ("workbench:bundled:inception", Address("bundled:inception")),
        ("mixed3b", Address(layer="mixed3b")),
        ("#mixed3b", Address(layer="mixed3b")),
        (" mixed3b: 12, 7 - 9 ", Address(layer="mixed3b", units=(12, 7, 8, 9))),
        ("blocks.3:add", Address(layer="blocks.3:add")),
        ("blocks.3:add:5", Address(layer="blocks.3:add", units=(5,))),
        ("mixed3b:{curve detectors}", Address(layer="mixed3b", family="curve detectors")),
        ("#mixed3b:7&view=neuron_grid", Address(layer="mixed3b", units=(7,), view="neuron_grid")),
        (
            "workbench:timm:resnet18?pretrained=false&seed=0#layer2&images=folder:/my%20photos",
            Address("timm:resnet18?pretrained=false&seed=0", "folder:/my photos", "layer2"),
        ),
    ],
)
def test_what_people_write(text: str, address: Address):
    assert Address.parse(text) == address


def test_how_it_is_written():
    assert str(Address("bundled:inception", "emoji", "mixed3b", (7, 8, 9, 4, 5), view="inspector.histogram")) == (
        "workbench:bundled:inception#mixed3b:7-9,4,5&images=emoji&view=inspector.histogram"
    )
    assert str(Address("timm:a?x=1&y=a b", layer="l", family="curves: 45°")) == "workbench:timm:a?x=1&y=a%20b#l:{curves%3A%2045°}"
    assert str(Address("m", layer="l", units=(3,)).place) == "l:3" and Address(layer="l", units=(3, 4)).unit == Unit("l", 3)


def test_a_family_is_no_unit_and_a_layer_neither():
    for layer in ("a:7", "a:{7}", "a:7,8", "a:-"):
        assert Address.parse(str(Address(layer=layer))) == Address(layer=layer)
        assert Address.parse(str(Address(layer=layer, units=(1,)))) == Address(layer=layer, units=(1,))
    assert Address.parse(str(Address(layer="a", family="7"))).family == "7"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not an address; write workbench:MODEL#layer:index"),
        ("workbench:", "is not an address"),
        ("workbench:#", "is not an address"),
        ("mixed3b:", "names no unit; write layer:index"),
        ("mixed3b:9-7", "'9-7' in 'mixed3b:9-7' is no unit"),
        ("mixed3b:1-99999999999", "is no unit"),
        ("mixed3b:1,,2", "'' in 'mixed3b:1,,2' is no unit"),
        ("m#a:1&colour=red", "'colour=red' in .* is no part of an address; there are &images= and &view="),
        ("m#a:1&view=", "is no part of an address"),
        ("m#a:1&view=x&view=y", "is no part of an address"),
        ("m#" + "a:" + ",".join(["0-65535"] * 2), "more than any layer has"),
        ("m#:5&view=x", "names no layer"),
    ],
)
def test_what_is_none_says_why(text: str, says: str):
    with pytest.raises(InputError, match=says) as caught:
        Address.parse(text)
    assert "\n" not in str(caught.value)


def test_parts_that_do_not_fit_together_are_refused():
    for parts in ({"units": (1,)}, {"family": "x"}, {"layer": "a", "units": (1,), "family": "x"}, {"layer": "a", "units": (-1,)}):
        with pytest.raises(InputError):
            Address(**parts)


def test_addresses_are_found_in_a_text():
    text = "Curves: workbench:m#a:7, and [workbench:m#attn[0]]; not myworkbench:m#a:1 nor workbench: nor workbench:m#a:."
    assert [found for _, found in addresses_in(text)] == ["workbench:m#a:7", "workbench:m#attn[0]", "workbench:m#a"]
    assert all(text[start:].startswith(found) for start, found in addresses_in(text))
