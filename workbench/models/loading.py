"""`load("timm:resnet18")`: networks by reference, from whichever source knows the scheme.

A reference is ``scheme:NAME?option=value&option=value``. Each scheme is one file in `workbench.models.sources`: a class with the
options it takes, the networks it can list and how one is loaded, made known by `register_source`. What goes wrong on the way (a
name mistyped, a file cut short, a network that will not export) becomes a `LoadError` of one line that says what to do.

This module itself imports no torch: the window may parse references and catch its errors.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar
from urllib.parse import quote

from workbench.direction_set import find_directions
from workbench.input_error import InputError
from workbench.task import Task

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel


class LoadError(InputError):
    """A network that could not be loaded; the message is one line and says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class CodeNotAllowed(LoadError):
    """Loading would run a user's code and nobody has agreed to that yet."""


TWIN = "twin"
"""Option that every source understands: the seed of the random-weight twin that takes the network's place."""

DIRECTIONS = "directions"
"""Option that every source understands: names of the user's sets of directions, separated by commas, that the network is opened with."""

_AGREED: ContextVar[frozenset[str]] = ContextVar("agreed", default=frozenset())

_OPTIONS = re.compile(r"[a-z_]+=[^&]*(&[a-z_]+=[^&]*)*")


@dataclass(frozen=True)
class Reference:
    """A parsed reference.

    Attributes
    ----------
    scheme
        The source, such as ``timm``.
    name
        What the source calls the network; for files a path.
    options
        Pairs of option and value, in the order given.
    """

    scheme: str
    name: str
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read ``scheme:NAME?option=value&…``. A question mark in a path stays in it when no ``option=value`` follows.

        Raises
        ------
        LoadError
            When there is no scheme or no name, or an option is given twice.
        """
        scheme, colon, rest = text.strip().partition(":")
        if not colon or not scheme.isidentifier():
            hint = (
                f"file:{text}" if Path(text).suffix in (".safetensors", ".pt", ".pth") else f"timm:{text or 'resnet18'}"
            )
            raise LoadError(f"{text!r} is not a reference to a network; write scheme:NAME, such as {hint}")
        name, mark, tail = rest.rpartition("?")
        if not mark or not _OPTIONS.fullmatch(tail):
            name, tail = rest, ""
            if re.search(r"\?[a-z_]+=", rest) and not Path(rest).exists():
                raise LoadError(f"{text!r} cannot be read; inside an option write ? as %3F and & as %26")
        if not name:
            raise LoadError(f"{text!r} names no network; write {scheme}:NAME")
        options = tuple((key, value) for key, _, value in (pair.partition("=") for pair in tail.split("&") if pair))
        keys = [key for key, _ in options]
        for key in keys:
            if keys.count(key) > 1:
                raise LoadError(f"{text!r} gives {key} more than once")
        return cls(scheme, name, options)

    def __str__(self) -> str:
        tail = "&".join(f"{key}={value}" for key, value in self.options)
        return f"{self.scheme}:{self.name}" + (f"?{tail}" if tail else "")

    def having(self, option: str, text: str) -> Reference:
        """Return the reference with an option set to any text: ``&``, ``?`` and ``%`` are written as in addresses of the web."""
        written = quote(text, safe=" ,;:!'()[]{}=+*/@#")
        return replace(self, options=tuple({**dict(self.options), option: written}.items()))

    def without(self, option: str) -> Reference:
        """Return the reference with an option taken away."""
        return replace(self, options=tuple(pair for pair in self.options if pair[0] != option))

    def get(self, option: str) -> str | None:
        """Return an option's text, or None where it is not given."""
        return dict(self.options).get(option)

    def flag(self, option: str, default: bool) -> bool:
        """Return a yes-or-no option; LoadError unless it is ``true`` or ``false``."""
        text = self.get(option)
        if text is None:
            return default
        if text.lower() not in ("true", "false"):
            raise LoadError(f"{option}={text} in {self}: write {option}=true or {option}=false")
        return text.lower() == "true"

    def whole(self, option: str, default: int | None, least: int = 0) -> int | None:
        """Return a whole number; LoadError unless it is one and at least `least`."""
        text = self.get(option)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise LoadError(f"{option}={text} in {self}: {option} is a whole number of at least {least}")
        return int(text)

    def numbers(self, option: str) -> tuple[float, ...] | None:
        """Return numbers separated by commas, such as ``mean=0.5,0.5,0.5``; LoadError when one cannot be read."""
        text = self.get(option)
        if text is None:
            return None
        try:
            return tuple(float(part) for part in text.split(","))
        except ValueError:
            raise LoadError(f"{option}={text} in {self}: {option} is a list of numbers such as 0.5,0.5,0.5") from None


@dataclass(frozen=True)
class SourceEntry:
    """One network that can be loaded, for lists and the loader's tree.

    Attributes
    ----------
    ref
        What `load` takes.
    group
        Place in the tree, levels separated by ``/``: ``timm/convnext``.
    title
        Short name to show.
    note
        A few words: classes, input size, licence, or ``random weights only``.
    """

    ref: str
    group: str
    title: str
    note: str = ""


class Source(ABC):
    """Where networks come from; one subclass a scheme."""

    options: ClassVar[dict[str, str]] = {}
    """Options a reference may carry, each with a few words of help."""

    @abstractmethod
    def entries(self) -> Iterable[SourceEntry]:
        """Return what can be listed; nothing for schemes that take a path."""

    @abstractmethod
    def load(self, reference: Reference, *, allow_code: bool, task: Task) -> TracedModel:
        """Load one network.

        Raises
        ------
        LoadError
            When it cannot be loaded.
        """


SOURCES: dict[str, Source] = {}
S = TypeVar("S", bound=type[Source])


def register_source(scheme: str) -> Callable[[S], S]:
    """Class decorator: make a source known by its scheme."""

    def register(source: S) -> S:
        SOURCES[scheme] = source()
        return source

    return register


def sources() -> dict[str, Source]:
    """Import every file of the sources folder once and return the sources by scheme."""
    import workbench.models.sources as package

    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return dict(sorted(SOURCES.items()))


def load(ref: str, *, allow_code: bool = False, task: Task | None = None) -> TracedModel:
    """Load a network, ready to be looked into.

    Parameters
    ----------
    ref
        ``scheme:NAME?option=value&…``, such as ``bundled:efficientnet-lite0``, ``timm:resnet18?pretrained=false&seed=0``,
        ``file:weights.safetensors?architecture=timm:resnet18``. With ``twin=SEED`` among the options it is the network's random-weight
        twin (`TracedModel.twin`), whatever the source; with ``directions=NAME,NAME`` it has these of the user's directions as layers
        (`TracedModel.with_directions`).
    allow_code
        Whether a user's own Python file may be run (``python:FILE.py:FACTORY``).
    task
        Told of every phase (finding, downloading in bytes, reading, exporting), and asked whether to go on.

    Raises
    ------
    CodeNotAllowed
        When the reference needs code to be run and `allow_code` is False.
    LoadError
        When the network cannot be loaded; one line that says why and what to do.
    InputError
        When there are no such directions, or they do not fit the network.
    workbench.task.Cancelled
        When `task` was cancelled.
    """
    task = task or Task()
    reference = Reference.parse(ref)
    source = _source(reference.scheme)
    if any(sign in reference.name for sign in "*["):
        found = list_models(ref)
        if found:
            shown = ", ".join(found[:4]) + (" …" if len(found) > 4 else "")
            raise LoadError(f"{ref} stands for {len(found)} networks; choose one: {shown}")
    base, twin = reference.without(TWIN).without(DIRECTIONS), reference.whole(TWIN, None)
    unknown = [option for option, _ in base.options if option not in source.options]
    if unknown:
        allowed = ", ".join([*source.options, TWIN, DIRECTIONS])
        raise LoadError(f"{reference.scheme} has no option {unknown[0]!r} (in {ref}); its options are: {allowed}")
    task.step(0, 0, note=f"finding {reference.name}")
    from workbench.models.nodes import CaptureError

    try:
        model = source.load(base, allow_code=allow_code or str(base) in _AGREED.get(), task=task)
    except CaptureError as error:
        raise LoadError(f"{ref}: {error}") from error
    if twin is not None:
        task.step(0, 0, note="drawing random weights")
        model = model.twin(twin)
    for name in filter(None, (reference.get(DIRECTIONS) or "").split(",")):
        task.step(0, 0, note=f"adding the directions {name}")
        model = model.with_directions(find_directions(name))
    return model


@contextmanager
def agreed(networks: Iterable[str]) -> Iterator[None]:
    """Run the code behind these references where `load` is called inside, however deep: the user agreed to it before.

    `networks` are references as `code_of` returns them.
    """
    token = _AGREED.set(frozenset(networks))
    try:
        yield
    finally:
        _AGREED.reset(token)


def code_of(ref: str) -> str:
    """Return the reference of what is loaded for another: its twins, and the network with directions, run the same code."""
    try:
        return str(Reference.parse(ref).without(TWIN).without(DIRECTIONS))
    except LoadError:
        return ref


def network_of_twin(ref: str) -> tuple[str, int] | None:
    """Return the network whose random-weight twin a reference asks for, and the seed; None for any other text."""
    try:
        reference = Reference.parse(ref)
        seed = reference.whole(TWIN, None)
    except LoadError:
        return None
    return None if seed is None else (str(reference.without(TWIN)), seed)


def with_directions_of(ref: str, name: str) -> str:
    """Return the reference of a network with one set of directions more, also where its own is only a name."""
    try:
        reference = Reference.parse(ref)
    except LoadError:
        return f"{ref}?{DIRECTIONS}={name}"
    names = [known for known in directions_in(ref) if known != name]
    return str(reference.having(DIRECTIONS, ",".join([*names, name])))


def directions_in(ref: str) -> tuple[str, ...]:
    """Return the names of the directions that a reference opens a network with."""
    try:
        return tuple(filter(None, (Reference.parse(ref).get(DIRECTIONS) or "").split(",")))
    except LoadError:
        return ()


def without_directions(ref: str) -> str:
    """Return the reference of the network alone."""
    try:
        return str(Reference.parse(ref).without(DIRECTIONS))
    except LoadError:
        return ref


def twin_of(ref: str, seed: int) -> str:
    """Return the reference of a network's random-weight twin, also where its own is only a name."""
    try:
        return str(Reference.parse(ref).having(TWIN, str(seed)))
    except LoadError:
        return f"{ref}?{TWIN}={seed}"


def entries(pattern: str = "*") -> list[SourceEntry]:
    """Return the networks whose reference, or name alone, fits a wildcard pattern such as ``timm:convnext*``.

    Raises
    ------
    LoadError
        When the pattern names a source that does not exist.
    """
    scheme, colon, _ = pattern.partition(":")
    named = bool(colon) and not any(sign in scheme for sign in "*?[")
    chosen = [_source(scheme)] if named else list(sources().values())
    return [entry for source in chosen for entry in source.entries() if _fits(entry.ref, pattern)]


def list_models(pattern: str = "*") -> list[str]:
    """Return the references that fit a wildcard pattern such as ``timm:convnext*``; `load` takes each of them.

    Raises
    ------
    LoadError
        When the pattern names a source that does not exist.
    """
    return [entry.ref for entry in entries(pattern)]


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean …?`` with the nearest names, or nothing where none is near."""
    close = get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _fits(ref: str, pattern: str) -> bool:
    plain = ref.partition("?")[0]
    return any(fnmatchcase(text.lower(), pattern.lower()) for text in (ref, plain, plain.partition(":")[2]))


def _source(scheme: str) -> Source:
    known = sources()
    if scheme not in known:
        raise LoadError(f"no source named {scheme!r}{suggestion(scheme, known) or '; there are ' + ', '.join(known)}")
    return known[scheme]
