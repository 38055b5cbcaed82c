"""A saved investigation: what is open, how the window stands, and what the user made; one JSON file and arrays.

The JSON carries a version; an older file is brought up to today's by one function a version (`workbench.older_projects`). Saving is
atomic: every file is written under another name, flushed to the disk and moved into place, arrays first, so that whatever happens
meanwhile (power loss, ``kill -9``, a full disk) the old project or the new one is there, whole. Files hold plain data only: a
stranger's project runs no code.

The window reads the last project while it starts, so this module reads into plain dataclasses by itself: pydantic would take 0.15 s
there, to import and to build its validators; this takes a millisecond. numpy is loaded when there are arrays.
"""

# No postponed annotations here: `_typed` reads the real types off the fields.

import base64
import contextlib
import hashlib
import io
import json
import os
import time
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from workbench.circuit import Circuit
from workbench.hypothesis import Hypothesis
from workbench.input_error import InputError
from workbench.labels import Label
from workbench.older_projects import MIGRATIONS, VERSION
from workbench.unit_families import Family
from workbench.whole_file import replacing

if TYPE_CHECKING:
    import numpy as np

    from workbench.images.drawing import Drawing

FIGURE, KERNEL, PICTURE = "figure ", "kernel ", "picture "
"""What the names of pinned figures' images, of kernels written by hand, and of pictures in drawings begin with among the arrays."""

Status = Literal["open", "started", "partly answered", "answered"]
"""How far the user is with an open problem."""


class ProjectError(InputError):
    """A project file that cannot be read; the message is one line for the user."""


@dataclass
class Figure:
    """A view as it was when it was pinned to a note.

    Attributes
    ----------
    title
        What it shows.
    image
        Name of an array of the project: the bytes of a PNG, uint8 ``byte``.
    origin
        What it was made from, plain data.
    """

    title: str = ""
    image: str = ""
    origin: dict[str, Any] = field(default_factory=dict)


@dataclass
class Note:
    """One note of the investigation.

    Attributes
    ----------
    title, text
        What the user wrote.
    model, unit
        What it is about: a model reference and the address of a unit, units or a family in it (``layer:index``), or empty.
    figures
        Views pinned to it.
    created, changed
        Seconds since 1970, UTC.
    """

    title: str = ""
    text: str = ""
    model: str = ""
    unit: str = ""
    created: float = field(default_factory=time.time)
    changed: float = field(default_factory=time.time)
    figures: list[Figure] = field(default_factory=list)


@dataclass
class ProblemState:
    """What the user has set for one open problem: how far it is, who is working on it, what help is wanted."""

    status: Status = "open"
    currently_working: str = ""
    help_wanted: str = ""


@dataclass
class Edit:
    """A kernel written by hand that takes the place of a unit's own (see `workbench.kernel_edits`).

    Attributes
    ----------
    model
        Reference of the model it belongs to.
    layer, unit
        Whose kernel it is.
    array
        Name of the kernel in `Project.arrays`, float32 ``channel y x``.
    bias
        What the unit adds.
    template, parameters
        What it was written from; empty where it was painted.
    label
        What it is called.
    enabled
        Whether it is applied.
    """

    model: str = ""
    layer: str = ""
    unit: int = 0
    array: str = ""
    bias: float = 0.0
    template: str = ""
    parameters: dict[str, float] = field(default_factory=dict)
    label: str = ""
    enabled: bool = True


@dataclass
class DirectionsUsed:
    """A set of directions that belongs to the investigation; the set itself is in the user's data folder (`workbench.direction_set`).

    Attributes
    ----------
    model, layer, name
        Reference of the network it was made of, the layer that is read, and its name there.
    digest
        Of its content: another set of that name is another one.
    """

    model: str = ""
    layer: str = ""
    name: str = ""
    digest: str = ""


@dataclass
class Window:
    """How the window stood: Qt's own bytes for geometry and docks, and what each panel wants to remember, by panel id."""

    geometry: bytes = b""
    state: bytes = b""
    panels: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(eq=False)
class Project:
    """An investigation.

    Attributes
    ----------
    model, images
        References of what is open, as `workbench.load` and `workbench.load_images` take them; empty for nothing.
    layer, unit
        Name of the selected layer and address of the selected unit; empty for none.
    window
        How the window stood.
    notes
        The user's notes, in the user's order.
    labels
        What units are called: model reference -> unit address -> labels, as `workbench.labels` has them.
    families
        Units of a layer that belong together: model reference -> families, in the user's order.
    problems
        What the user set for open problems: number such as ``7.10`` -> state. A problem that is not here is untouched.
    circuits
        Units and the edges between them that the user keeps, of any network; each has a name of its own.
    hypotheses
        What circuits are claimed to compute, as causal scrubbing tests it, of any network; each has a name of its own.
    directions
        Sets of directions that were made in this investigation, the one made last behind the others.
    edits
        Changes of networks by hand, in the order in which they are applied.
    drawings
        What was drawn, by name: ``clean`` and ``corrupt`` stand on the two canvases.
    arrays
        Named arrays that edits, drawings and figures refer to; in files of their own beside the project, shared by equal content.

    Examples
    --------
    >>> project = Project(model="bundled:efficientnet-lite0")
    >>> project.notes.append(Note("Curves", "Unit 12 follows curves.", unit="blocks.2:12"))
    >>> project.save("curves.workbench")
    >>> Project.load("curves.workbench") == project
    True
    """

    model: str = ""
    images: str = ""
    layer: str = ""
    unit: str = ""
    window: Window = field(default_factory=Window)
    notes: list[Note] = field(default_factory=list)
    labels: dict[str, dict[str, list[Label]]] = field(default_factory=dict)
    families: dict[str, list[Family]] = field(default_factory=dict)
    problems: dict[str, ProblemState] = field(default_factory=dict)
    circuits: list[Circuit] = field(default_factory=list)
    hypotheses: list[Hypothesis] = field(default_factory=list)
    directions: list[DirectionsUsed] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    drawings: "dict[str, Drawing]" = field(default_factory=dict, metadata={"files": True})
    arrays: "dict[str, np.ndarray]" = field(default_factory=dict, metadata={"files": True})

    def __eq__(self, other: object) -> bool:
        """Compare by content, arrays included."""
        if not isinstance(other, Project):
            return NotImplemented
        mine, its = ({name: _npy(a) for name, a in project.arrays.items()} for project in (self, other))
        return mine == its and self.drawings == other.drawings and _plain(self) == _plain(other)

    def save(self, path: str | Path) -> Path:
        """Write the project to `path` and its arrays into the folder ``PATH.arrays``; return the path of the file written.

        Whatever interrupts this, `path` then holds what it held before, or the whole new project. Links are followed, the access
        rights of an existing file are kept.

        Raises
        ------
        OSError
            When the file cannot be written; what was there is untouched.
        TypeError
            When something in the project is not plain data; what was there is untouched.
        """
        target = Path(os.path.realpath(path))
        npys = {name: _npy(array) for name, array in self.arrays.items()}
        names = {name: hashlib.sha256(npy).hexdigest()[:32] + ".npy" for name, npy in npys.items()}
        drawings = {name: drawing.document() for name, drawing in self.drawings.items()}
        document = {"version": VERSION, **_plain(self), "drawings": drawings, "arrays": names}
        # Half a surrogate pair, which a broken file name can bring along, must not keep the rest from being saved.
        text = (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        for name, npy in npys.items():
            _arrays_folder(target).mkdir(exist_ok=True)
            file = _arrays_folder(target) / names[name]
            if file.exists():  # named by its content, so what is there is right; in use again as of now
                os.utime(file)
            else:
                _replace(file, npy)
        _replace(target, text)
        _tidy(target, keep=set(names.values()))
        return target

    @classmethod
    def load(cls, path: str | Path) -> "Project":
        """Read a project of this version or an older one.

        Raises
        ------
        ProjectError
            With one line saying why it cannot be read: no such file, no project, made by a newer version, damaged, an array missing.
        """
        path = Path(path)
        document = _migrate(_read(path), path)
        try:
            names: dict[str, str] = _typed(dict[str, str], document.pop("arrays", {}), "arrays")
            drawings = _drawings(document.pop("drawings", {}))
            project: Project = _typed(cls, document, "")
        except ProjectError as error:
            raise ProjectError(f"{path} is a damaged project: {error}") from None
        project.drawings = drawings
        used = {figure.image for note in project.notes for figure in note.figures} | {edit.array for edit in project.edits}
        used = used.union(*(drawing.pictures for drawing in project.drawings.values()))
        stale = {name for name in names if name.startswith((FIGURE, KERNEL, PICTURE)) and name not in used}  # kept until now for undo
        project.arrays = {name: _load_array(path, file) for name, file in names.items() if name not in stale}
        return project


# Between plain data, as JSON holds it, and the dataclasses above


def _plain(value: Any) -> Any:
    if isinstance(value, Circuit | Hypothesis):
        return value.document()
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if not f.metadata.get("files")}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value


def _typed(kind: Any, value: Any, where: str) -> Any:
    """Return `value`, as JSON gave it, as the type `kind`; fields that a dataclass has and `value` has not take their default.

    Raises
    ------
    ProjectError
        Saying at which place `where` there is what should not be.
    """
    shown = repr(value) if len(repr(value)) < 60 else repr(value)[:56] + " ..."
    wrong = ProjectError(f"{where or 'the whole'} is {shown}")
    arguments = get_args(kind)
    if kind is Any or (get_origin(kind) is Literal and value in arguments) or (value is None and NoneType in arguments):
        return value
    if get_origin(kind) is UnionType and len(arguments) == 2:  # a type or None
        return _typed(next(one for one in arguments if one is not NoneType), value, where)
    if get_origin(kind) is list and isinstance(value, list):
        return [_typed(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if get_origin(kind) is dict and isinstance(value, dict):
        return {key: _typed(arguments[1], item, f"{where}[{key!r}]") for key, item in value.items()}
    if kind in (Circuit, Hypothesis) and isinstance(value, dict):
        try:
            return kind.from_document(value)
        except InputError as error:
            raise ProjectError(f"{where} cannot be: {error}") from None
    if is_dataclass(kind) and isinstance(value, dict):
        kinds = {f.name: f.type for f in fields(kind) if not f.metadata.get("files")}
        if unknown := sorted(set(value) - set(kinds)):
            raise ProjectError(f"{where or 'it'} has no field {unknown[0]!r}")
        inside = f"{where}." if where else ""
        given = {name: _typed(kinds[name], item, inside + name) for name, item in value.items()}
        try:
            return kind(**given)  # type: ignore[operator]
        except (InputError, TypeError) as error:
            raise ProjectError(f"{where or 'it'} cannot be: {error}") from None
    if kind is bytes and isinstance(value, str):
        with contextlib.suppress(ValueError):
            return base64.b64decode(value, validate=True)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    raise wrong


def _drawings(documents: Any) -> "dict[str, Drawing]":
    """Read drawings; what reads them is imported where there are any, which a window that starts would wait for."""
    read: dict[str, Any] = {}
    for name, document in _typed(dict[str, dict[str, Any]], documents, "drawings").items():
        from workbench.images.drawing import Drawing

        try:
            read[name] = Drawing.from_document(document)
        except InputError as error:
            raise ProjectError(f"drawings[{name!r}] cannot be: {error}") from None
    return read


# Files


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise ProjectError(f"there is no project {path}") from None
    except OSError as error:
        raise ProjectError(f"{path} cannot be read: {error.strerror}") from error
    if not text:
        raise ProjectError(f"{path} is empty (0 bytes), so it is not a project")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ProjectError(f"{path} is not a project of the workbench: it does not hold JSON") from None
    if not isinstance(document, dict) or type(document.get("version")) is not int:
        raise ProjectError(f"{path} is not a project of the workbench: it has no version number")
    return document


def _migrate(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """Bring a document up to today's version and take the version number out of it."""
    version = document.pop("version")
    if version > VERSION:
        raise ProjectError(
            f"{path} was saved by a newer workbench (project version {version}; this one reads up to {VERSION}): update the workbench"
        )
    if version < 1:
        raise ProjectError(f"{path} has project version {version}, which never existed")
    for older in range(version, VERSION):
        try:
            document = MIGRATIONS[older](document)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise ProjectError(f"{path} is a damaged project of version {older}: {type(error).__name__} {error}") from error
    return document


def _arrays_folder(path: Path) -> Path:
    return path.with_name(path.name + ".arrays")


def _npy(array: "np.ndarray") -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _load_array(path: Path, name: str) -> "np.ndarray":
    import numpy as np

    file = _arrays_folder(Path(os.path.realpath(path))) / name
    if Path(name).name != name or not name.endswith(".npy"):
        raise ProjectError(f"{path} is a damaged project: {name!r} is not the name of an array file")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ProjectError(f"{path} needs the array {file}, which cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest()[:32] + ".npy" != name:
        raise ProjectError(f"{path} needs the array {file}, which is damaged: its content does not match its name")
    array: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def _replace(target: Path, content: bytes) -> None:
    """Put `content` at `target` in one step, and onto the disk: nobody ever sees half of it."""
    with replacing(target) as beside, open(beside, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if os.name == "posix":  # the move itself must reach the disk too
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _tidy(target: Path, keep: set[str]) -> None:
    """Remove arrays that the saved project no longer names, and what saves that were killed left behind.

    What is younger than a minute stays: it may belong to another window that is saving the same project right now.
    """
    folder = _arrays_folder(target)
    unused = [file for file in folder.glob("*.npy") if file.name not in keep]
    left = [*target.parent.glob(f".{target.name}.*.saving"), *folder.glob(".*.saving")]
    for file in [*unused, *left]:
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_mtime < time.time() - 60:
                file.unlink()
    with contextlib.suppress(OSError):  # not there, or not empty
        folder.rmdir()
