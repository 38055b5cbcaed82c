"""Torchvision's classification data sets, from where they lie or downloaded when asked to."""

from __future__ import annotations

import hashlib
import inspect
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
from PIL import Image

from workbench.data_folder import data_folder
from workbench.images.framing import cover, on_white
from workbench.images.image_set import (
    ImageSet,
    ImageSetError,
    Pixels,
    Reference,
    Size,
    UnreadableImageError,
    register,
    suggestion,
)
from workbench.task import Cancelled, Task

NAMES = (
    "Caltech101 Caltech256 CelebA CIFAR10 CIFAR100 CLEVRClassification Country211 DTD EuroSAT FashionMNIST FER2013 FGVCAircraft "
    "Flowers102 Food101 GTSRB ImageNet Imagenette KMNIST LFWPeople MNIST OxfordIIITPet PCAM Places365 RenderedSST2 SEMEION "
    "StanfordCars STL10 SUN397 SVHN USPS"
).split()
NO_DOWNLOAD = ("FER2013", "ImageNet")
"""Those without a public download."""
DEPICTED = {
    "photographs": "Caltech256 CelebA Country211 FGVCAircraft Flowers102 Food101 ImageNet Imagenette LFWPeople OxfordIIITPet Places365 "
    "StanfordCars STL10 SUN397",
    "photographs of 32 x 32 pixels": "CIFAR10 CIFAR100",
    "handwritten characters": "KMNIST MNIST SEMEION USPS",
    "small pictures of clothes": "FashionMNIST",
    "house numbers": "SVHN",
    "rendered scenes": "CLEVRClassification",
    "rendered sentences": "RenderedSST2",
    "satellite images": "EuroSAT",
    "microscope images": "PCAM",
}
"""Kinds of pictures, and the sets that are certainly of that kind."""
HASHED = 16
"""Images whose pixels enter the content hash."""


class TorchvisionSet(ImageSet):
    """A data set of torchvision; the column ``label`` is there when it knows its labels without reading the images."""

    def __init__(self, ref: str, name: str, dataset: Any) -> None:
        self.dataset = dataset
        self.depicts = next((kind for kind, sets in DEPICTED.items() if type(dataset).__name__ in sets.split()), "")
        labels = _labels(dataset)
        columns: Mapping[str, Sequence[str]] = {"label": labels} if labels is not None else {}
        super().__init__(ref, name, [str(number) for number in range(len(dataset))], columns)

    @cached_property
    def content_hash(self) -> str:
        """Digest of the name, the labels and 16 of the images: published data sets do not change behind one's back."""
        digest = hashlib.sha256(f"{self.name} {len(self)} {self.columns.get('label')}".encode())
        for index in np.linspace(0, len(self) - 1, HASHED).astype(int).tolist() if len(self) else ():
            digest.update(self.image(index, (64, 64)).tobytes())
        return digest.hexdigest()[:32]

    def _read(self, index: int, size: Size | None) -> Pixels:
        try:
            picture = self.dataset[index][0]
        except Exception as error:  # whatever the data set's own reader raises on a damaged or missing file
            raise UnreadableImageError(f"cannot be read: {error or type(error).__name__}") from error
        if not isinstance(picture, Image.Image):
            raise UnreadableImageError(f"is a {type(picture).__name__}, not an image")
        return np.asarray(on_white(cover(picture.convert("RGB"), size)))


def _labels(dataset: Any) -> list[str] | None:
    """Return the label of every image by name (by number where it has none), or None when the data set keeps no list."""
    for attribute in ("targets", "labels", "_labels", "y"):
        targets = getattr(dataset, attribute, None)
        if targets is None:
            continue
        numbers = np.asarray(targets)
        if numbers.shape == (len(dataset),) and np.issubdtype(numbers.dtype, np.integer):
            classes = getattr(dataset, "classes", None) or getattr(dataset, "categories", None)
            if classes is None or numbers.max(initial=0) >= len(classes):
                return [str(number) for number in numbers.tolist()]
            names = [", ".join(name) if isinstance(name, tuple) else str(name) for name in classes]
            return [names[number] for number in numbers.tolist()]
    return None


@register(
    "torchvision",
    "Data sets of torchvision",
    [f"torchvision:{name}?root=PATH{'' if name in NO_DOWNLOAD else '&download=true'}" for name in NAMES],
    options=["root", "split", "download"],
)
def open_torchvision(reference: Reference, task: Task) -> TorchvisionSet:
    """Open a data set below `root` (by default the workbench's data folder); ``download=true`` fetches what is missing."""
    import torchvision.datasets

    name = reference.target
    if name not in NAMES:
        raise ImageSetError(f"no data set is named {name!r}; {suggestion(name, NAMES)}")
    kind = getattr(torchvision.datasets, name)
    if reference.options.get("root") == "PATH":
        raise ImageSetError(f"write the folder of the data set in place of PATH in {reference.text!r}, or leave root out")
    known = inspect.signature(kind.__init__).parameters
    root = Path(reference.options.get("root") or data_folder("datasets")).expanduser()
    arguments: dict[str, Any] = {"root": str(root)}
    split = reference.options.get("split")
    if split is not None and "split" in known:
        arguments["split"] = split
    elif split is not None:
        if "train" not in known or split not in ("train", "test"):
            raise ImageSetError(
                f"{name} has no split {split!r}; " + ("write train or test" if "train" in known else "leave it out")
            )
        arguments["train"] = split == "train"
    wanted = reference.options.get("download", "false")
    if wanted not in ("true", "false"):
        raise ImageSetError(f"download={wanted} in {reference.text!r} is neither true nor false")
    if wanted == "true":
        if "download" not in known:
            raise ImageSetError(f"{name} has no public download; put its files into {root} and leave download=true out")
        arguments["download"] = True
    addresses: list[str] = []
    try:
        with _reported(name, task, addresses):
            dataset = kind(**arguments)
    except Cancelled:
        raise
    except URLError as error:
        raise ImageSetError(
            f"{name} could not be downloaded from {addresses[-1] if addresses else 'its site'}: {error.reason}; "
            f"connect to the internet, or put its files into {root}"
        ) from error
    except ModuleNotFoundError as error:
        raise ImageSetError(f"{name} needs the package {error.name}; type: pip install {error.name}") from error
    # Each data set says in its own way (RuntimeError, FileNotFoundError, ValueError ...) that it is not there or has no such split.
    except Exception as error:
        hint = "" if wanted == "true" or "download" not in known else "; add download=true to fetch it"
        raise ImageSetError(
            f"{name} cannot be opened from {root}{hint} ({error or type(error).__name__})".replace("\n", " ")
        ) from error
    return TorchvisionSet(reference.text, f"{name} {split}" if split else name, dataset)


class _Counted(urllib.request.BaseHandler):
    """Has every response of urllib report how much of it was read."""

    def __init__(self, name: str, task: Task, addresses: list[str]) -> None:
        self.name = name
        self.task = task
        self.addresses = addresses

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        self.addresses.append(request.full_url)
        self.task.step(0, 0, note=f"downloading {self.name}")
        return request

    def http_response(self, request: urllib.request.Request, response: HTTPResponse) -> HTTPResponse:
        read, total, done = response.read, response.length or 0, 0
        note = f"downloading {self.name}: {Path(request.selector).name}"

        def counted(amt: int | None = None) -> bytes:
            nonlocal done
            block = read(amt)
            done += len(block)
            self.task.step(done, total, note=note)
            return block

        response.read = counted  # type: ignore[method-assign]
        return response

    https_request, https_response = http_request, http_response


@contextmanager
def _reported(name: str, task: Task, addresses: list[str]) -> Iterator[None]:
    """Report what torchvision downloads meanwhile, and let the task cancel it; its addresses are noted."""
    urllib.request.install_opener(urllib.request.build_opener(_Counted(name, task, addresses)))
    try:
        yield
    finally:
        urllib.request.install_opener(None)  # brings back the ordinary one
