"""Read one image file of any common kind, or say in one line why it cannot be read.

The header is looked at first: a picture too large to hold is refused before a pixel of it is decoded. Only raster formats are tried
(Pillow's PostScript reader would run a program on a stranger's file).
"""

from __future__ import annotations

import math
import threading
import warnings
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from workbench.images.framing import cover, on_white
from workbench.images.image_set import Pixels, Size, UnreadableImageError

Image.init()
FORMATS = tuple(kind for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF") if kind in Image.OPEN)
ENDINGS = ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .avif".split()
"""File endings that a folder is searched for, lower case."""
LARGEST = Image.MAX_IMAGE_PIXELS or 89_478_485
"""Pixels of the largest picture that is decoded (268 MB as RGB); Pillow's own limit, by default 89,478,485."""
LARGE = 16_000_000
"""Pixels from which on pictures are decoded one at a time, whatever the number of threads."""
_one_large_at_a_time = threading.Lock()

# What Pillow warns of while it reads (a picture somewhat above its limit, damaged EXIF data) is either refused below or harmless. The
# filter is set once because threads cannot each have their own.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read_image(
    source: Path | BytesIO | Image.Image, size: Size | None = None, longest: int | None = None, transparent: bool = False
) -> Pixels:
    """Return the image, uint8 ``y x 3``, upright, transparent parts on white, 16 bits reduced to 8, the first frame of several.

    Parameters
    ----------
    source
        A path, a file's content, or a picture that is decoded already.
    size
        Height and width to bring it to (see `framing.cover`); None for its own size.
    longest
        Without a `size`: reduce it to at most this many pixels on its longer side, the whole of it.
    transparent
        Keep what is transparent: ``y x 4`` then, where anything is.

    Raises
    ------
    UnreadableImageError
        When the file is missing, empty, not an image, cut short, damaged or larger than `LARGEST` pixels.
    """
    try:
        with source if isinstance(source, Image.Image) else Image.open(source, formats=FORMATS) as picture:
            if picture.width * picture.height > LARGEST:
                raise Image.DecompressionBombError
            return _decode(picture, size, longest, transparent)
    except Image.DecompressionBombError:
        raise UnreadableImageError(
            f"has more than {LARGEST / 1e6:.0f} million pixels, the most that is decoded; shrink it first"
        ) from None
    except UnidentifiedImageError:
        assert not isinstance(source, Image.Image)
        raise UnreadableImageError(_what_it_is_instead(source)) from None
    except FileNotFoundError:
        raise UnreadableImageError("is not there any more") from None
    except UnreadableImageError:
        raise
    # Damaged files make Pillow's readers raise nearly anything (OSError, SyntaxError, struct.error, IndexError ...); each means
    # the same here: this file cannot be read.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImageError(f"is damaged: {reason}") from error


def _decode(picture: Image.Image, size: Size | None, longest: int | None, transparent: bool) -> Pixels:
    # A JPEG can be decoded at 1/2, 1/4 or 1/8 for a fraction of the time; twice the asked size leaves the filter its margin.
    scale = 1.0
    if size is not None:
        scale = 2 * max(size) / min(picture.size)
    elif longest is not None:
        scale = 2 * longest / max(picture.size)
    if scale < 1:
        picture.draft(None, (math.ceil(picture.width * scale), math.ceil(picture.height * scale)))
    with _one_large_at_a_time if picture.width * picture.height > LARGE else nullcontext():
        upright = _eight_bits(ImageOps.exif_transpose(picture))
        if longest is not None:
            upright.thumbnail((longest, longest), Image.Resampling.BICUBIC, reducing_gap=3.0)
        shown = cover(upright, size)
        clear = transparent and shown.mode == "RGBA" and bool((np.asarray(shown)[..., 3] < 255).any())
        return np.asarray(shown if clear else on_white(shown))


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Return the picture in a mode of 8 bits a channel that can be scaled: grey, RGB or RGBA."""
    if picture.mode in ("L", "RGB", "RGBA"):
        return picture if "transparency" not in picture.info else picture.convert("RGBA")
    if picture.mode.startswith("I"):  # 16 bits, which Pillow's own conversion would clip at 255
        return Image.fromarray((np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8))
    if picture.mode == "F":
        values = np.asarray(picture)
        if not (values.min() >= 0 and values.max() <= 1):
            raise UnreadableImageError(
                f"has floating-point values from {values.min():g} to {values.max():g}; save them within 0 to 1, or as 8 bits"
            )
        return Image.fromarray((values * 255).round().astype(np.uint8))
    transparent = picture.mode in ("LA", "PA", "La", "RGBa") or "transparency" in picture.info
    return picture.convert("RGBA" if transparent else "RGB")


def _what_it_is_instead(source: Path | BytesIO) -> str:
    """Say what an unidentified file seems to be."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            start = file.read(16)
    else:
        source.seek(0)
        start = source.read(16)
    if not start:
        return "is empty (0 bytes)"
    return f"is not an image of a kind that can be read: it begins with {start!r}"
