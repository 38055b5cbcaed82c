"""Sample photographs that come with scikit-learn and, when it is installed (the extra ``photos``), with scikit-image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from workbench.images.image_file import read_image
from workbench.images.image_set import ImageSet, ImageSetError, Pixels, Reference, Size, register
from workbench.task import Task


@dataclass(frozen=True)
class Photo:
    """A photograph within an installed package: its file, what it shows, whose it is, and its terms."""

    package: str
    file: str
    subject: str
    credit: str
    licence: str


# Of the pictures in the two wheels, the photographs whose terms their documentation states.
PHOTOS = (
    Photo("sklearn", "datasets/images/china.jpg", "temple", "flickr.com/photos/danielbuechele", "CC-BY-2.0"),
    Photo("sklearn", "datasets/images/flower.jpg", "flower", "flickr.com/photos/vultilion", "CC-BY-2.0"),
    Photo("skimage", "data/astronaut.png", "astronaut", "NASA", "public domain"),
    Photo("skimage", "data/brick.png", "brick wall", "cc0textures.com", "CC0-1.0"),
    Photo("skimage", "data/camera.png", "photographer", "Lav Varshney", "CC0-1.0"),
    Photo("skimage", "data/cell.png", "cell", "Paul Müller et al.", "CC0-1.0"),
    Photo("skimage", "data/chelsea.png", "cat", "Stefan van der Walt", "CC0-1.0"),
    Photo("skimage", "data/clock_motion.png", "motion-blurred clock", "Stefan van der Walt", "public domain"),
    Photo("skimage", "data/coffee.png", "coffee cup", "Rachel Michetti", "CC0-1.0"),
    Photo("skimage", "data/coins.png", "coins", "Brooklyn Museum", "no known copyright restrictions"),
    Photo("skimage", "data/grass.png", "grass", "linolafett", "CC0-1.0"),
    Photo("skimage", "data/gravel.png", "gravel", "cc0textures.com", "CC0-1.0"),
    Photo("skimage", "data/hubble_deep_field.jpg", "galaxies", "NASA", "public domain"),
    Photo("skimage", "data/ihc.png", "stained tissue", "CMMI", "no known copyright restrictions"),
    Photo("skimage", "data/retina.jpg", "retina", "Mikael Häggström", "CC0-1.0"),
    Photo("skimage", "data/rocket.jpg", "rocket", "SpaceX", "public domain"),
)


class PhotoSet(ImageSet):
    """The photographs of `PHOTOS` that are on this machine.

    Columns: ``subject``, ``credit``, ``licence``, ``package``.
    """

    depicts = "photographs"

    def __init__(self, ref: str = "photos") -> None:
        found = [(photo, path) for photo in PHOTOS if (path := _path(photo)) is not None]
        if not found:
            raise ImageSetError("no sample photographs are installed; type: pip install scikit-image")
        photos = [photo for photo, _ in found]
        self._paths = [path for _, path in found]
        columns = {
            "subject": [photo.subject for photo in photos],
            "credit": [photo.credit for photo in photos],
            "licence": [photo.licence for photo in photos],
            "package": [photo.package for photo in photos],
        }
        missing = len(PHOTOS) - len(found)
        name = f"Photographs (scikit-image has {missing} more)" if missing else "Photographs"
        ids = [f"{photo.package}/{Path(photo.file).name}" for photo in photos]
        super().__init__(
            ref, name, ids, columns, "; ".join(sorted({f"{photo.licence}: {photo.credit}" for photo in photos}))
        )

    @cached_property
    def content_hash(self) -> str:
        """Digest of the files."""
        return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in self._paths)).hexdigest()[
            :32
        ]

    def _read(self, index: int, size: Size | None) -> Pixels:
        return read_image(self._paths[index], size)


def _path(photo: Photo) -> Path | None:
    """Return where a photograph is, without importing the package that has it."""
    package = find_spec(photo.package)
    path = Path(package.origin).parent / photo.file if package is not None and package.origin is not None else None
    return path if path is not None and path.is_file() else None


@register("photos", "Sample photographs (scikit-learn, scikit-image)", ["photos"])
def open_photos(reference: Reference, task: Task) -> PhotoSet:
    """Open the sample photographs."""
    return PhotoSet(reference.text)
