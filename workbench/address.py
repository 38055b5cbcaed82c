"""Addresses: one line of text that says where something is, to be copied, pasted, opened from the command line and put into notes.

```
workbench:bundled:inception#mixed3b:7                      a unit
workbench:bundled:inception#mixed3b:7-12,40                several, in an order; 7-12 are consecutive
workbench:bundled:inception#mixed3b:{curves}               a family, in the investigation that has it
workbench:timm:resnet18?pretrained=false&seed=0#layer2     a layer
workbench:bundled:inception#mixed3b:7&images=emoji&view=inspector.histogram
mixed3b:7   mixed3b:7,12   mixed3b:{curves}   mixed3b      the same in whatever network is open
```

What stands before the first ``#`` is the reference of the network; behind it come the place (layer, then a colon and units, or a family in
braces) and options, each after an ``&``. ``workbench:`` may be left out where a ``#`` follows.

A family cannot be mistaken for a unit: units are digits, families stand in braces, and a layer whose own name ends like either has that
colon escaped. Characters that would end an address or stand in the way (``% #``, quotes, round brackets, white space, what cannot be
printed, and behind the ``#`` also ``& , { }``) are written as in addresses of the web: ``%23``. Letters of all scripts stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote_to_bytes

from workbench.input_error import InputError
from workbench.models.layer import Unit

SCHEME = "workbench:"
OPTIONS = ("images", "view")
MOST_UNITS = 1 << 16
"""More units than any layer has."""
STOPS = ".,;:!?"
"""Characters that end a sentence in a note rather than an address."""
ENDS = "%#\"'`<>()“”„‘’«»"
"""Characters that are never part of an address as they are."""


@dataclass(frozen=True)
class Address:
    """Where something is; every part may be left out.

    Attributes
    ----------
    model, images
        References, as `workbench.load` and `workbench.load_images` take them. Without a model it is the one that is open.
    layer
        Name of a layer.
    units
        Numbers of units of the layer, in order; only with a layer.
    family
        Name of a family of the layer, in place of units.
    view
        Where to look: a panel, or a part of one, such as ``inspector.histogram``.

    Raises
    ------
    InputError
        When there are units or a family without a layer, both, or a number that no unit has.
    """

    model: str = ""
    images: str = ""
    layer: str = ""
    units: tuple[int, ...] = ()
    family: str = ""
    view: str = ""

    def __post_init__(self) -> None:
        if (self.units or self.family) and not self.layer:
            raise InputError("units and families have an address in a layer only")
        if self.units and self.family:
            raise InputError("an address names units or a family, not both")
        if any(unit < 0 for unit in self.units) or len(self.units) > MOST_UNITS:
            raise InputError("units are counted from 0")

    @property
    def unit(self) -> Unit | None:
        """The first of its units."""
        return Unit(self.layer, self.units[0]) if self.units else None

    @property
    def place(self) -> Address:
        """The same without network, images and view: short, for where these are known."""
        return replace(self, model="", images="", view="")

    def __str__(self) -> str:
        place = _escaped(self.layer, "&,{}")
        if re.search(r":(\{[^{}]*\}|[\d,-]+)$", self.layer) or self.layer.endswith(":"):
            head, _, tail = place.rpartition(":")
            place = f"{head}%3A{tail}"
        if place.startswith(":"):
            place = f"%3A{place[1:]}"
        if self.family:
            place += ":{" + _escaped(self.family, "&:,{}") + "}"
        elif self.units:
            place += f":{_ranges(self.units)}"
        options = "".join(f"&{name}={_escaped(value, '&')}" for name in OPTIONS if (value := getattr(self, name)))
        if self.model:
            text = f"{SCHEME}{_escaped(self.model)}" + (f"#{place}{options}" if place or options else "")
        else:
            text = f"#{place}{options}" if options or place.startswith(SCHEME) else place
        return f"{text[:-1]}%{ord(text[-1]):02X}" if text and text[-1] in STOPS else text

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address, whole or short.

        Raises
        ------
        InputError
            When it cannot be one, with what is wrong.
        """
        text = text.strip()
        whole = text.startswith(SCHEME)
        rest = text.removeprefix(SCHEME)
        model, _, behind = rest.partition("#") if whole or "#" in rest else ("", "", rest)
        if not text or rest in ("", "#"):
            raise InputError(f"{text!r} is not an address; write {SCHEME}MODEL#layer:index, such as {SCHEME}bundled:inception#mixed3b:7")
        place, *options = behind.split("&")
        named: dict[str, str] = {}
        for option in options:
            name, equals, value = option.partition("=")
            if name not in OPTIONS or not equals or not value or name in named:
                raise InputError(f"{option!r} in {text!r} is no part of an address; there are {' and '.join(f'&{o}=' for o in OPTIONS)}")
            named[name] = _plain(value)
        layer, units, family = _place(place, text)
        return cls(_plain(model), named.get("images", ""), layer, units, family, named.get("view", ""))

    def __bool__(self) -> bool:
        return self != Address()


def _place(place: str, text: str) -> tuple[str, tuple[int, ...], str]:
    """Read ``layer``, ``layer:7,12`` or ``layer:{name}``: layer, units, family."""
    head, colon, tail = place.rpartition(":")
    if colon and head:
        if braced := re.fullmatch(r"\{([^{}]+)\}", tail):
            return _plain(head), (), _plain(braced[1])
        if re.fullmatch(r"[\d,\s-]+", tail, re.ASCII):
            return _plain(head), _units(tail, text), ""
    if colon and not (head and tail):
        raise InputError(f"{text!r} names no {'unit' if head else 'layer'}; write layer:index, such as mixed3b:379")
    return _plain(place), (), ""


def _units(tail: str, text: str) -> tuple[int, ...]:
    units: list[int] = []
    for part in tail.split(","):
        found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part, re.ASCII)
        last = int(found[2] or found[1]) if found else -1
        if found is None or not int(found[1]) <= last < MOST_UNITS:
            raise InputError(f"{part.strip()!r} in {text!r} is no unit; write numbers such as 7 or 7-12")
        units.extend(range(int(found[1]), last + 1))
    if len(units) > MOST_UNITS:
        raise InputError(f"{text!r} names {len(units):,} units, more than any layer has")
    return tuple(units)


def _ranges(units: Sequence[int]) -> str:
    """Write units in their order, three and more consecutive ones as a range."""
    parts, place = [], 0
    while place < len(units):
        end = place
        while end + 1 < len(units) and units[end + 1] == units[end] + 1:
            end += 1
        if end - place >= 2:
            parts.append(f"{units[place]}-{units[end]}")
            place = end + 1
        else:
            parts.append(str(units[place]))
            place += 1
    return ",".join(parts)


def _escaped(text: str, also: str = "") -> str:
    """Write what would be mistaken as ``%XX``, byte by byte of its UTF-8."""

    def kept(letter: str) -> bool:
        return letter.isprintable() and not letter.isspace() and letter not in ENDS and letter not in also

    return "".join(
        letter if kept(letter) else "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass")) for letter in text
    )


def _plain(text: str) -> str:
    content = unquote_to_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        return content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return content.decode("utf-8", "replace")


# Addresses in other texts

_FOUND = re.compile(rf"(?<![\w:]){SCHEME}[^\s{ENDS[2:]}]+")


def addresses_in(text: str) -> Iterator[tuple[int, str]]:
    """Find whole addresses in a text: where each begins, and its text. What ends a sentence behind it is none of it."""
    for found in _FOUND.finditer(text):
        address = found[0].rstrip(STOPS + "]")
        if address != found[0] and "[" in address[found[0].find("#") :] and found[0][len(address) :].startswith("]"):
            address += "]"  # a layer such as attn[0]
        try:
            Address.parse(address)
        except InputError:
            continue
        yield found.start(), address
