"""Image files: a folder of any size, searched through once and then streamed, or single files."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from workbench import imagenet
from workbench.images.image_file import ENDINGS, read_image
from workbench.images.image_set import ImageSet, ImageSetError, Pixels, Reference, Size, register
from workbench.task import Task

SPLITS = ("train", "training", "val", "valid", "validation", "test")
"""Names of folders that say what images are for and not what they show."""


class ImageFiles(ImageSet):
    """Files below one folder; their ids are paths relative to it.

    Names are all that is held: about 120 bytes an image.
    """

    def __init__(
        self,
        ref: str,
        name: str,
        root: Path,
        ids: Sequence[str],
        columns: Mapping[str, Sequence[str]],
        content_hash: str,
        depicts: str = "",
    ) -> None:
        super().__init__(ref, name, ids, columns)
        self.root = root
        self.depicts = depicts
        self._content_hash = content_hash

    @property
    def content_hash(self) -> str:
        """Digest of every file's path, size and time of change; the pixels are not read for it."""
        return self._content_hash

    def _read(self, index: int, size: Size | None) -> Pixels:
        return read_image(self.root / self.ids[index], size)


@register("folder", "A folder of images", ["folder:PATH"])
def open_folder(reference: Reference, task: Task) -> ImageFiles:
    """Open every image file below a folder, in the order of their names; sub-folders become the column ``label``.

    Where the folders on top are parts of a data set (two or more of `SPLITS`, each with folders in it), these become the column ``split``,
    and ``label`` is what is below them.

    Where folders have ImageNet's names (``n02123045``), there are the columns ``synset`` and ``class``, which says it in words, too; both
    are empty for images in other folders. `workbench.imagenet.class_indices` says which output of a network is the right one.
    """
    root = Path(reference.target).expanduser().absolute()
    if not root.is_dir():
        raise ImageSetError(f"{root} is not a folder" if root.exists() else f"there is no folder {root}")
    ids: list[str] = []
    labels: list[str] = []
    synsets: list[str] = []
    digest = hashlib.sha256()
    others = 0
    for path, size, changed in _files(root):
        if not path.lower().endswith(tuple(ENDINGS)):
            others += 1
            continue
        label = os.path.dirname(path)
        ids.append(path)
        same = bool(labels) and labels[-1] == label
        labels.append(labels[-1] if same else label)
        synsets.append(synsets[-1] if same else imagenet.synset_of(f"{root.name}/{path}"))
        digest.update(f"{path}\0{size}\0{changed}\0".encode("utf-8", "surrogateescape"))
        if len(ids) % 500 == 0:
            task.step(len(ids), 0, note=f"{len(ids):,} images found in {root.name}")
    task.step(len(ids), len(ids), note=f"{len(ids):,} images found in {root.name}")
    if not ids:
        raise ImageSetError(f"no image in {root}: looked for {' '.join(ENDINGS)}, found {others:,} other files")
    columns: dict[str, Sequence[str]] = _parts(labels) or ({"label": labels} if any(labels) else {})
    if any(synsets):
        columns |= {"synset": synsets, "class": [imagenet.name(synset) for synset in synsets]}
    depicts = "photographs" if all(synsets) else ""
    return ImageFiles(reference.text, root.name, root, ids, columns, digest.hexdigest()[:32], depicts)


def _parts(folders: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return the columns ``label`` and ``split`` of images in these folders; nothing where the first are not all of `SPLITS`."""
    parted = {folder: folder.partition("/") for folder in dict.fromkeys(folders)}
    first = {part for part, _, _ in parted.values()}
    deeper = {part for part, _, rest in parted.values() if rest}
    if len(first) < 2 or first != deeper or not first.issubset(SPLITS):
        return {}
    return {"label": [parted[folder][2] for folder in folders], "split": [parted[folder][0] for folder in folders]}


def _files(root: Path) -> Iterator[tuple[str, int, int]]:
    """Yield relative path, bytes and time of change (ns) of every file, folder by folder in the order of names.

    Hidden files are left out, and a folder that a link leads to is entered once.
    """
    entered: set[tuple[int, int]] = set()

    def search(folder: Path, prefix: str) -> Iterator[tuple[str, int, int]]:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in entered:
            return
        entered.add((status.st_dev, status.st_ino))
        try:
            names = sorted(os.listdir(folder))
        except PermissionError:
            raise ImageSetError(
                f"the folder {folder} may not be read; change its permissions or leave it out"
            ) from None
        for name in names:
            if name.startswith("."):
                continue
            try:
                status = (folder / name).stat()
            except OSError:  # a link to nowhere, or a file just deleted: not a file any more
                continue
            if stat.S_ISDIR(status.st_mode):
                yield from search(folder / name, f"{prefix}{name}/")
            elif stat.S_ISREG(status.st_mode):
                yield f"{prefix}{name}", status.st_size, status.st_mtime_ns

    return search(root, "")


@register("files", "Single images", ["files:PATH;PATH"])
def open_files(reference: Reference, task: Task) -> ImageFiles:
    """Open single files, their paths separated by semicolons."""
    paths = [Path(path).expanduser().absolute() for path in _split(reference.target)]
    if not paths:
        raise ImageSetError("no file was named; write files:PATH, or files:PATH;PATH for several")
    digest = hashlib.sha256()
    for path in paths:
        if not path.is_file():
            raise ImageSetError(f"there is no file {path}")
        status = path.stat()
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    name = paths[0].name if len(paths) == 1 else f"{len(paths)} files"
    return ImageFiles(reference.text, name, Path(), list(map(str, paths)), {}, digest.hexdigest()[:32])


def _split(target: str) -> list[str]:
    """Split at semicolons, but not at one that belongs to an existing file's name."""
    paths: list[str] = []
    parts = [part for part in target.split(";") if part]
    while parts:
        taken = next((n for n in range(1, len(parts) + 1) if Path(";".join(parts[:n])).expanduser().exists()), 1)
        paths.append(";".join(parts[:taken]))
        del parts[:taken]
    return paths
