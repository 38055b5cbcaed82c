"""A drawing: a ground, and the objects (`thing`) on it from the lowest to the uppermost; as plain data and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from workbench.images import drawn_stimulus, shapes, strokes  # noqa: F401  each registers its kinds
from workbench.images.thing import OBJECTS, Thing, colour_of, named
from workbench.input_error import InputError


@dataclass(frozen=True)
class Ground:
    """What a drawing stands on.

    Attributes
    ----------
    colour
        Shown where the picture is transparent, and everywhere without one.
    picture
        Name of the picture, empty for none; it is scaled to cover.
    source
        Where the picture came from: an image's id, a file's name, or what was done to it.
    """

    colour: str = "#ffffff"
    picture: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        colour_of(self.colour)
        named(self, picture=self.picture, source=self.source)


@dataclass(frozen=True)
class Drawing:
    """A ground, and the objects on it.

    Examples
    --------
    >>> from workbench.images.strokes import Arc
    >>> drawing = Drawing().with_object(Arc(0, 0, 0.3))
    >>> Drawing.from_document(drawing.document()) == drawing
    True
    """

    ground: Ground = field(default_factory=Ground)
    objects: tuple[Thing, ...] = ()

    def with_object(self, one: Thing) -> Drawing:
        """Return it with an object above the others."""
        return replace(self, objects=(*self.objects, one))

    def with_replaced(self, place: int, one: Thing) -> Drawing:
        """Return it with another object in the place of one."""
        return replace(self, objects=(*self.objects[:place], one, *self.objects[place + 1 :]))

    def without(self, places: set[int]) -> Drawing:
        """Return it without some of its objects."""
        return replace(self, objects=tuple(one for place, one in enumerate(self.objects) if place not in places))

    @property
    def pictures(self) -> frozenset[str]:
        """Names of all pictures that it shows."""
        own = frozenset((self.ground.picture,)) if self.ground.picture else frozenset()
        return own.union(*(one.pictures for one in self.objects))

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing but a plain ground."""
        return not self.objects and not self.ground.picture

    def told(self) -> str:
        """Say in a few words what it shows: ``arc and line on hedgehog``."""
        names = [one.title.lower() for one in self.objects]
        if len(names) > 3:
            said = f"{len(names)} objects"
        elif names:
            said = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        else:
            said = ""
        ground = self.ground.source or ("a picture" if self.ground.picture else "")
        return f"{said} on {ground}" if said and ground else said or ground or "blank"

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        objects = [{"kind": one.kind, **{f.name: _plain(getattr(one, f.name)) for f in fields(one)}} for one in self.objects]
        return {"ground": {f.name: getattr(self.ground, f.name) for f in fields(self.ground)}, "objects": objects}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Drawing:
        """Read what `document` gave.

        Raises
        ------
        InputError
            Saying what in it cannot be.
        """
        try:
            if unknown := sorted(set(document) - {"ground", "objects"}):
                raise InputError(f"a drawing has no field {unknown[0]!r}")
            return cls(Ground(**document.get("ground", {})), tuple(_thing(one) for one in document.get("objects", ())))
        except (TypeError, ValueError, AttributeError, KeyError, OverflowError) as error:
            raise InputError(f"this is no drawing: {error}") from None


def _thing(document: Mapping[str, Any]) -> Thing:
    given = dict(document)
    kind = given.pop("kind", None)
    if kind not in OBJECTS:
        raise InputError(f"no object is named {kind!r}; there are {', '.join(OBJECTS)}")
    for name in ("points", "values"):
        if name in given:
            given[name] = tuple((one, other) for one, other in given[name])
    return OBJECTS[kind](**given)


def _plain(value: Any) -> Any:
    return [list(one) for one in value] if isinstance(value, tuple) else value
