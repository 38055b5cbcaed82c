"""The sample photographs: there, named, with their terms."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from workbench.images import photos
from workbench.images.image_set import ImageSetError, load_images


def test_every_listed_photograph_is_in_the_wheels_and_can_be_read() -> None:
    if find_spec("skimage") is None:
        pytest.skip("scikit-image is not installed")
    images = load_images("photos")
    assert len(images) == len(photos.PHOTOS) == 16
    (batch,) = images.batches((128, 128), 32)
    assert len(batch.indices) == 16
    assert images.skipped == []
    assert all(np.ptp(image) > 60 for image in batch.images)
    assert len({image.tobytes() for image in batch.images}) == 16
    assert all(images.columns["licence"])
    cat = images.image(list(images.columns["subject"]).index("cat"))
    assert cat.shape == (300, 451, 3)
    assert "CC-BY-2.0: flickr.com/photos/danielbuechele" in images.licence


def test_without_scikit_image_there_are_fewer_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "find_spec", lambda name: None if name == "skimage" else find_spec(name))
    images = photos.PhotoSet()
    assert list(images.columns["subject"]) == ["temple", "flower"]
    assert "scikit-image has 14 more" in images.name
    monkeypatch.setattr(photos, "find_spec", lambda name: None)
    with pytest.raises(ImageSetError, match="pip install scikit-image"):
        photos.PhotoSet()
