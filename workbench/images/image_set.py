"""What is shown to a network: image sets, opened by reference and read as a stream.

An `ImageSet` never holds its images; `batches` decodes them ahead of the reader in a few threads, in order, and holds a bounded number
of them however large the set is. A kind of set is one file of this folder: it subclasses `ImageSet` and registers a scheme, the word
before the colon of a reference such as ``emoji?background=random`` or ``folder:/data/flowers``.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from workbench.images.read_ahead import WORKERS, read_ahead
from workbench.input_error import InputError
from workbench.task import Task

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]

PIECE = 16
"""Images decoded by one thread at a time."""
AHEAD_BYTES = 64 << 20
"""Decoded images that may wait for the reader."""


class ImageSetError(InputError):
    """An image set cannot be opened; the message is one line that says what to do."""


class UnreadableImageError(ImageSetError):
    """One image of a set cannot be read."""


@dataclass(frozen=True)
class UnreadableImage:
    """An image that was left out, and why."""

    id: str
    reason: str


NAMED = 5
"""Unreadable images named in one line."""


def say_skipped(count: int, unreadable: Sequence[UnreadableImage]) -> str:
    """Say in one line that `count` images were left out, and of the first `NAMED` of them which and why."""
    named = [f"{image.id} ({image.reason})" for image in unreadable[:NAMED]]
    more = [f"and {count - len(named):,} more"] if count > len(named) else []
    return f"skipped {count:,} unreadable image{'s' if count > 1 else ''}: {', '.join(named + more)}"


@dataclass(frozen=True, eq=False)
class Batch:
    """Decoded images: ``images[i]`` (uint8 ``n y x 3``) is image ``indices[i]`` (int64 ``n``) of the set."""

    indices: npt.NDArray[np.int64]
    images: Pixels


class ImageSet(ABC):
    """A sequence of images with names and columns; what a new kind of set subclasses.

    Parameters
    ----------
    ref
        The reference that opens this set again.
    name
        What menus and panels call it.
    ids
        One name an image, unique within the set.
    columns
        Named properties, one string an image each, such as ``concept`` and ``style``.
    licence
        Under which terms the images may be shown and passed on; empty when not known.

    Attributes
    ----------
    depicts
        What kind of pictures these are, in the plural: ``photographs``, ``emoji``; empty when not known.
    """

    depicts: str = ""

    def __init__(
        self, ref: str, name: str, ids: Sequence[str], columns: Mapping[str, Sequence[str]], licence: str = ""
    ) -> None:
        self.ref = ref
        self.name = name
        self.ids = ids
        self.columns = columns
        self.licence = licence
        self._unreadable: dict[int, UnreadableImage] = {}

    @property
    def concepts(self) -> Sequence[str]:
        """What each image shows, from the column ``concept``; without one every image is of its own, named by its id.

        Drawings of one concept are not independent.
        """
        return self.columns.get("concept", self.ids)

    @property
    @abstractmethod
    def content_hash(self) -> str:
        """Hexadecimal digest that changes whenever the images or their order do."""

    @abstractmethod
    def _read(self, index: int, size: Size | None) -> Pixels:
        """Return one image, uint8 ``y x 3``, its own size for None; called from several threads.

        Raises
        ------
        UnreadableImageError
            With the reason only; the caller knows the image's name.
        """

    @property
    def skipped(self) -> list[UnreadableImage]:
        """The images found unreadable so far, in the order of the set."""
        return [image for _, image in sorted(self._unreadable.items())]

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int, size: Size | None = None) -> Pixels:
        """Return one image, uint8 ``y x 3``.

        Parameters
        ----------
        index
            From 0; negative counts from the end.
        size
            Height and width in pixels (the image is scaled to cover them, the rest cut off evenly); None for its own size.

        Raises
        ------
        IndexError
            When the set has no such image.
        UnreadableImageError
            When the image is broken; it is then among `skipped` too.
        """
        index = range(len(self))[index]
        try:
            return self._read(index, size)
        except UnreadableImageError as error:
            self._unreadable[index] = UnreadableImage(self.ids[index], str(error))
            raise UnreadableImageError(f"{self.ids[index]}: {error}") from error

    def batches(
        self, size: Size, batch: int, indices: Sequence[int] | npt.NDArray[np.int64] | None = None
    ) -> Iterator[Batch]:
        """Iterate over the images, decoded ahead in threads, always in the same order.

        Parameters
        ----------
        size
            Height and width in pixels of every image.
        batch
            Images asked for a batch; a batch holds fewer when some of its images are unreadable (they join `skipped`) and at the end.
        indices
            Which images, in which order; None for all.

        Raises
        ------
        ValueError
            When `batch` or `size` is not positive.
        IndexError
            When an index is outside the set.
        """
        if batch < 1 or min(size) < 1:
            raise ValueError(f"a batch of {batch} images of {size[0]} x {size[1]} pixels is empty; ask for at least 1")
        order = np.arange(len(self)) if indices is None else np.asarray(indices, dtype=np.int64)
        outside = order[(order < 0) | (order >= len(self))]
        if outside.size:
            raise IndexError(f"image {outside[0]} asked of {self.name}, which has images 0 to {len(self) - 1}")
        return self._stream(size, batch, order)

    def _stream(self, size: Size, batch: int, order: npt.NDArray[np.int64]) -> Iterator[Batch]:
        """Cut the order into batches and these into pieces, and put the decoded pieces together again."""
        starts = range(0, len(order), batch)
        pieces = (
            order[start : start + batch][at : at + PIECE]
            for start in starts
            for at in range(0, min(batch, len(order) - start), PIECE)
        )
        ahead = max(2, min(max(-(-2 * batch // PIECE), WORKERS), AHEAD_BYTES // (3 * size[0] * size[1] * PIECE)))
        decoded = read_ahead(lambda piece: self._read_piece(piece, size), pieces, ahead)
        try:
            for start in starts:
                parts = list(islice(decoded, -(-min(batch, len(order) - start) // PIECE)))
                for read, _, unreadable in parts:
                    for index in read.tolist() if self._unreadable else ():  # what was not, at another size
                        self._unreadable.pop(index, None)
                    self._unreadable |= unreadable
                kept = np.concatenate([indices for indices, _, _ in parts])
                if kept.size:
                    yield Batch(kept, np.concatenate([images for _, images, _ in parts]))
        finally:
            decoded.close()

    def _read_piece(
        self, piece: npt.NDArray[np.int64], size: Size
    ) -> tuple[npt.NDArray[np.int64], Pixels, dict[int, UnreadableImage]]:
        """Decode a few images: the indices that could be read, their pixels, and those that could not."""
        images = np.empty((len(piece), *size, 3), np.uint8)
        kept: list[int] = []
        unreadable: dict[int, UnreadableImage] = {}
        for index in piece.tolist():
            try:
                images[len(kept)] = self._read(index, size)
            except UnreadableImageError as error:
                unreadable[index] = UnreadableImage(self.ids[index], str(error))
            else:
                kept.append(index)
        return np.asarray(kept, dtype=np.int64), images[: len(kept)], unreadable


@dataclass(frozen=True)
class Reference:
    """A reference taken apart: ``scheme:target?option=value&option=value``."""

    text: str
    scheme: str
    target: str
    options: Mapping[str, str] = field(default_factory=dict)


Opener = Callable[[Reference, Task], ImageSet]
OpenerT = TypeVar("OpenerT", bound=Opener)


@dataclass(frozen=True)
class Scheme:
    """A kind of image set that references can name.

    Attributes
    ----------
    name
        The word before the colon.
    title
        What menus call it.
    references
        What can be opened: complete references, or patterns with the parts to fill in in capitals (``folder:PATH``).
    options
        Option names it knows; without any, a question mark belongs to the target (a path).
    """

    name: str
    title: str
    open: Opener
    references: tuple[str, ...]
    options: tuple[str, ...] = ()


SCHEMES: dict[str, Scheme] = {}


def register(
    name: str, title: str, references: Sequence[str], options: Sequence[str] = ()
) -> Callable[[OpenerT], OpenerT]:
    """Decorate a function that opens references of one scheme; see `Scheme` for the parameters."""

    def decorate(opener: OpenerT) -> OpenerT:
        SCHEMES[name] = Scheme(name, title, opener, tuple(references), tuple(options))
        return opener

    return decorate


def discover() -> dict[str, Scheme]:
    """Import every file of this folder once and return all schemes by name."""
    import workbench.images as package

    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return dict(sorted(SCHEMES.items()))


def list_image_sets(pattern: str = "*") -> list[str]:
    """Return the references that can be opened, filtered by a wildcard such as ``stimuli:*``; capitals are to be filled in."""
    references = [reference for scheme in discover().values() for reference in scheme.references]
    return [reference for reference in references if fnmatchcase(reference, pattern)]


def load_images(ref: str, task: Task | None = None) -> ImageSet:
    """Open an image set by its reference, such as ``emoji``, ``folder:PATH`` or ``stimuli:curves``.

    Raises
    ------
    ImageSetError
        When there is no such set; the nearest name is suggested.
    workbench.task.Cancelled
        When `task` was cancelled while a folder was read or a data set downloaded.
    """
    schemes = discover()
    name, _, target = ref.partition(":")
    if "?" in name:
        name, target = ref.split("?", 1)[0], "?" + ref.split("?", 1)[1]
    if name not in schemes:
        if Path(ref).exists():
            raise ImageSetError(
                f"write {'folder' if Path(ref).is_dir() else 'files'}:{ref} to open the images at {ref}"
            )
        raise ImageSetError(f"no kind of image set is named {name!r}; {suggestion(name, schemes)}")
    scheme = schemes[name]
    options: dict[str, str] = {}
    if scheme.options and "?" in target:
        target, _, query = target.partition("?")
        for part in filter(None, query.split("&")):
            option, equals, value = part.partition("=")
            if option not in scheme.options:
                raise ImageSetError(f"{name} has no option {option!r}; {suggestion(option, scheme.options)}")
            if not equals:
                raise ImageSetError(f"option {option!r} of {ref!r} has no value; write {option}=VALUE")
            options[option] = unquote(value)
    return scheme.open(Reference(ref, name, target, options), task or Task())


def suggestion(name: str, known: Sequence[str] | Mapping[str, object]) -> str:
    """Return "did you mean …?", or the list of what there is when nothing is near."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"


def whole_number(reference: Reference, option: str, default: int, minimum: int = 0) -> int:
    """Return an option that counts something.

    Raises
    ------
    ImageSetError
        When it is not a whole number, or below `minimum`.
    """
    text = reference.options.get(option, str(default))
    if not text.isdecimal() or int(text) < minimum:
        raise ImageSetError(f"{option}={text} in {reference.text!r} is not a whole number of at least {minimum}")
    return int(text)
