"""ImageNet's classes: what their synset ids mean, and which output of a network stands for which.

The lists are those of the installed timm; they are read as files, because importing timm takes seconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from workbench.input_error import InputError

SYNSET = re.compile(r"n\d{8}")
_SAME_NAME = {
    "n02012849": "crane (bird)",
    "n03126707": "crane (machine)",
    "n03710637": "maillot",
    "n03710721": "maillot (tank suit)",
}
"""The 1,000 classes have two cranes and two maillots."""


@cache
def synsets() -> tuple[str, ...]:
    """Return the ids of the 1,000 classes in their usual order, that of the ids.

    Raises
    ------
    workbench.input_error.InputError
        When timm is not installed.
    """
    return tuple(_read("imagenet_synsets.txt").split())


@cache
def names() -> tuple[str, ...]:
    """Return short readable names of the 1,000 classes in their usual order, each different."""
    return tuple(name(synset) for synset in synsets())


@cache
def name(synset: str) -> str:
    """Return a short readable name of a synset; empty where ImageNet (all 21,843 classes of it) has none of that id."""
    return _SAME_NAME.get(synset) or _lemmas().get(synset, "").split(",")[0].strip()


def synset_of(path: str) -> str:
    """Return the synset whose folder a file lies in, the innermost where there are several; empty where there is none."""
    folders = path.split("/")[:-1]
    return next((folder for folder in reversed(folders) if SYNSET.fullmatch(folder) and folder in _lemmas()), "")


def class_indices(labels: Sequence[str], given: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """Say which of a network's outputs is the right one for each image of an ImageNet folder.

    Parameters
    ----------
    labels
        The network's class names in the order of its output, whatever that order is.
    given
        One synset id an image: the column ``synset`` of a folder whose sub-folders are named by them.

    Returns
    -------
    indices
        int64 ``image``; -1 for images of none of the 1,000 classes. None when those are not among the network's classes.
    """
    places = {label: place for place, label in enumerate(labels)}
    if not all(label in places for label in names()):
        return None
    of_synset = {synset: places[label] for synset, label in zip(synsets(), names(), strict=True)}
    return np.array([of_synset.get(synset, -1) for synset in given], np.int64)


@cache
def _lemmas() -> dict[str, str]:
    lines = (line.partition("\t") for line in _read("imagenet_synset_to_lemma.txt").splitlines())
    return {synset: lemmas for synset, _, lemmas in lines}


def _read(file: str) -> str:
    found = find_spec("timm")
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    if not folders:
        raise InputError("ImageNet's class names come with timm, which is not installed; run: pip install timm")
    return Path(folders[0], "data", "_info", file).read_text(encoding="utf-8")
