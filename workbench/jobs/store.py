"""What was computed once is kept on disk, keyed by what it was computed from: weights, preprocessing, images, parameters.

```
results/<key>.npz          one analysis' result: its arrays, and the rest as JSON in the member `result.json`
thumbnails/<k>/<key>.webp  one unit's feature visualizations, seeds one below the other, lossless
folders/<key>/             whatever an analysis writes as it goes along (a sweep's zarr arrays), so that it can resume
folders/activations/       what units do on each image of a set, which several analyses read
```

Files are written beside their place and moved there, so a reader (or a second process) finds all of one or nothing. An entry that
cannot be read is dropped with a warning: everything here can be computed again. So nothing that was computed is lost either where the
disk is full or the store may not be written: the log says so, and work goes on. Nothing is ever unpickled.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from platformdirs import user_cache_dir

from workbench.whole_file import replacing

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

DOCUMENT = "result.json"
PARTS = {"results": "results", "thumbnails": "thumbnails", "sweeps": "folders"}
"""What is kept, and the folder of each."""
MISSING = (FileNotFoundError, NotADirectoryError, PermissionError)
"""What reading raises where nothing is kept, or nothing that this user may read."""

logger = logging.getLogger(__name__)


class Store:
    """Results on disk.

    Parameters
    ----------
    root
        Folder of the store, made when first written to; by default the environment variable ``WORKBENCH_CACHE``, else the user's
        cache folder for ``circuit-workbench``.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root or os.environ.get("WORKBENCH_CACHE") or user_cache_dir("circuit-workbench"))
        self._said = False

    def save(self, key: str, result: Result) -> None:
        """Keep a result under its `Analysis.key`, where that can be written."""
        document = {
            "analysis": result.analysis,
            "parameters": dict(result.parameters),
            "summary": dict(result.summary),
            "provenance": dict(result.provenance),
        }
        members = {**result.arrays, DOCUMENT: np.frombuffer(json.dumps(document).encode(), np.uint8)}
        with self.optional(), self._writing(self._result(key)) as file:
            write_arrays(file, members)

    def load(self, key: str) -> Result | None:
        """Return the result kept under `key`, or None."""
        from workbench.analyses.analysis import Result

        path = self._result(key)
        try:
            with np.load(path, allow_pickle=False) as members:
                arrays = {name: members[name] for name in members.files}
            document = json.loads(arrays.pop(DOCUMENT).tobytes())
            return Result(
                document["analysis"], document["parameters"], arrays, document["summary"], document["provenance"]
            )
        except MISSING:
            return None
        except Exception as error:  # a damaged archive fails in as many ways as there are bytes in it
            self._drop(path, error)
            return None

    def save_thumbnail(self, key: str, images: np.ndarray) -> None:
        """Keep the images of one unit, uint8 ``seed y x 3``, where that can be written."""
        from PIL import Image

        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"thumbnails are uint8 [seed, y, x, 3], got {images.dtype} {list(images.shape)}")
        seeds, height, width, _ = images.shape
        strip = Image.fromarray(images.reshape(seeds * height, width, 3))
        with self.optional(), self._writing(self._thumbnail(key)) as file:
            strip.save(file, "WEBP", lossless=True, quality=20, method=2)

    def load_thumbnail(self, key: str, seeds: int) -> np.ndarray | None:
        """Return the images kept for one unit, uint8 ``seed y x 3``, or None."""
        from PIL import Image

        path = self._thumbnail(key)
        try:
            with Image.open(path) as strip:
                pixels = np.asarray(strip.convert("RGB"))
            return pixels.reshape(seeds, len(pixels) // seeds, *pixels.shape[1:])
        except MISSING:
            return None
        except Exception as error:  # the same: whatever is wrong with it, it is drawn again
            self._drop(path, error)
            return None

    def folder(self, key: str) -> Path:
        """Return the folder kept under `key`, made when missing; what is in it is its writer's business."""
        path = self.root / "folders" / key
        path.mkdir(parents=True, exist_ok=True)
        return path

    def writable_folder(self, key: str) -> Path | None:
        """Return `folder`, or None where it cannot be written: what would be kept there is then done without."""
        with self.optional():
            path = self.folder(key)
            if not os.access(path, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return path
        return None

    def newest_in(self, key: str) -> list[Path]:
        """Return the folders that are kept under `key`, the newest first."""
        try:
            folders = (self.root / "folders" / key).iterdir()
            return sorted(folders, key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
        except MISSING:
            return []

    @contextmanager
    def optional(self) -> Iterator[None]:
        """Surround what is only kept to save time: what the system refuses there is said once in the log, and work goes on."""
        try:
            yield
        except OSError as error:
            if not self._said:
                logger.warning("what is computed cannot be kept in %s, so it will be computed again (%s)", self.root, error)
                self._said = True

    def drop_folder(self, key: str, error: Exception) -> None:
        """Delete a folder whose content proved damaged, and say so."""
        self._drop(self.root / "folders" / key, error)

    def sizes(self) -> dict[str, int]:
        """Bytes on disk of each of the `PARTS`."""
        return {part: _bytes_in(self.root / folder) for part, folder in PARTS.items()}

    def clear(self, parts: Iterable[str] = tuple(PARTS)) -> None:
        """Delete what is kept of some parts; what is in use is computed again when next asked for."""
        for part in parts:
            shutil.rmtree(self.root / PARTS[part], ignore_errors=True)  # a file that is being written at this moment stays

    def _result(self, key: str) -> Path:
        return self.root / "results" / f"{key}.npz"

    def _thumbnail(self, key: str) -> Path:
        return self.root / "thumbnails" / key[:2] / f"{key}.webp"

    @contextmanager
    def _writing(self, path: Path) -> Iterator[IO[bytes]]:
        """Open a new file which takes the place of `path` at the end, if all went well."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside, beside.open("wb") as file:
            yield file

    def _drop(self, path: Path, error: Exception) -> None:
        logger.warning("dropped the damaged cache entry %s (%s: %s)", path, type(error).__name__, error)
        with self.optional():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # gone meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total


def write_arrays(file: IO[bytes], arrays: Mapping[str, Any]) -> None:
    """Write an npz archive whose members may have any name (`numpy.savez` takes them as keywords and keeps ``file`` for itself)."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
