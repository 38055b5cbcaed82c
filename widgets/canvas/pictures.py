"""Bringing pictures onto the canvases: dropped, pasted, from a file, from the image set, as what another picture becomes when corrupted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QMimeData, QObject, Qt, Signal
from PySide6.QtWidgets import QInputDialog, QWidget

from widgets import intake
from widgets.file_dialogs import ask_for_file
from workbench.jobs.job import Request
from workbench.jobs.picture_requests import CorruptPicture, Picture, PictureOfSet, ReadPicture

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent


@dataclass(frozen=True)
class Place:
    """Where a picture goes: the ground of a canvas (``ground``, ``corrupted``), or a stamp on it (``stamp``, at once or for later)."""

    side: str
    how: str


class Pictures(QObject):
    """Asks the worker for pictures and says where each goes; a newer question takes the place of an older one."""

    arrived = Signal(object, object)
    """A `Picture`, and the `Place` it was asked for."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._widget = session, parent
        self._asked: tuple[Request, Place] | None = None
        self._seed = 0

    def take_mime(self, mime: QMimeData, place: Place, how: str) -> None:
        """Read the image that was dropped or copied."""
        paths = intake.paths_of(mime)
        if paths:
            if len(paths) > 1:
                self._session.inform(f"A canvas takes one image: {paths[0].name} is shown, {len(paths) - 1} left out.")
            self.read(paths[0], paths[0].name, place)
        elif (content := intake.content_of(mime)) is not None:
            self.read(content, f"{how} image", place)
        else:
            self._session.inform(f"There is no image in what was {how.lower()}.")

    def read(self, source: Path | bytes | np.ndarray, name: str, place: Place) -> None:
        """Read a file, the content of one, or pixels ``y x 4``."""
        self._ask(ReadPicture(name, source), place)

    def ask_for_file(self, place: Place) -> None:
        """Let the user choose an image file."""
        from workbench.images.image_file import ENDINGS

        patterns = f"Images ({' '.join(f'*{ending}' for ending in ENDINGS)});;All files (*)"
        ask_for_file(self._widget, "Choose an image", patterns, lambda name: self.read(Path(name), Path(name).name, place))

    def ask_for_number(self, size: tuple[int, int], place: Place) -> None:
        """Let the user choose an image of the set by its number."""
        images = self._session.images
        if images is None:
            return
        dialog = QInputDialog(self._widget)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setInputMode(QInputDialog.InputMode.IntInput)
        dialog.setIntRange(0, images.length - 1)
        dialog.setWindowTitle("Image of the set")
        dialog.setLabelText(f"Number of an image of {images.name} (0 to {images.length - 1:,}):")
        dialog.intValueSelected.connect(lambda number: self.of_set(size, place, number))
        dialog.open()

    def of_set(self, size: tuple[int, int], place: Place, index: int = -1) -> None:
        """Read an image of the open set, a random one where no number is given."""
        images = self._session.images
        if images is not None:
            self._ask(PictureOfSet(images.ref, size, index, self._next_seed()), place)

    def corrupted(self, pixels: np.ndarray, kind: str, strength: float, source: str, place: Place) -> None:
        """Corrupt a picture; each time at another place, or with another image."""
        images = self._session.images
        self._ask(CorruptPicture(pixels, kind, strength, images.ref if images is not None else "", source, self._next_seed()), place)

    def _next_seed(self) -> int:
        self._seed += 1
        return self._seed

    def _ask(self, request: Request, place: Place) -> None:
        self._asked = request, place
        self._session.relay.submit(request, self._take)

    def _take(self, event: JobEvent) -> None:
        if self._asked is None or event.request is not self._asked[0] or not event.ended:
            return
        place, self._asked = self._asked[1], None
        if event.state == "failed":
            self._session.report(event.error, event.details)
        elif event.state == "done":
            assert isinstance(event.result, Picture)
            self.arrived.emit(event.result, place)


def notice(picture: Picture, size: tuple[int, int], ground: str) -> str:
    """Say what was done to a picture so that it fits a canvas of some height and width; empty for nothing worth saying.

    Parameters
    ----------
    ground
        Colour of the ground that shows through where the picture is transparent.
    """
    said = []
    wide, high = picture.was
    if picture.reduced:
        said.append(f"{wide:,} × {high:,} pixels, scaled to the {size[1]} × {size[0]} that the network sees")
    if wide * size[0] != high * size[1]:
        said.append("what sticks out at the longer side is cut off")
    if picture.transparent:
        said.append(f"transparent in parts: the ground ({ground}) shows there, and Ground chooses another colour")
    return f"{picture.name}: {'; '.join(said)}." if said else ""


