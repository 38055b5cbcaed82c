"""Takes in what is dropped onto the window, pasted, or chosen in a dialog, and opens it as what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QMimeData, QObject, Qt
from PySide6.QtGui import QGuiApplication, QImage, QImageReader
from PySide6.QtWidgets import QFileDialog

from widgets import intake
from widgets.code_consent import CodeConsent

if TYPE_CHECKING:
    import numpy as np

    from widgets.main_window import MainWindow
    from workbench.models.layer import Unit


class Reception(QObject):
    """Opens what is brought to a window; what cannot be opened is one message, and nothing is lost."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._session = window.session
        self._session.consent_needed.connect(self.ask_to_run_code)

    def take(self, paths: list[Path]) -> None:
        """Open files or a folder: an image, an image set, a network, a project."""
        try:
            found = intake.classify(paths)
            self._take_found(found)
        except (ValueError, OSError) as error:
            self._session.report(str(error))

    def _take_found(self, found: intake.Found) -> None:
        first = found.paths[0]
        if found.kind == "image":
            self.take_image(intake.read_image(first), first.name)
        elif found.kind == "images":
            self._session.open_images("files:" + ";".join(str(path) for path in found.paths))
        elif found.kind == "folder":
            self._session.open_images(f"folder:{first}")
        elif found.kind == "weights":
            self._session.open_model(f"file:{first}")
        elif found.kind == "python":
            self.ask_to_run_code(f"python:{first}")
        else:
            self._window.investigation.open(first)

    def take_image(self, image: np.ndarray, name: str) -> None:
        """Show an image to the network: the inspector shows what the unit makes of it."""
        self._session.drop_image(image)
        self._window.docks.reveal("inspector")
        self._window.statusBar().showMessage(f"{name}: {image.shape[1]} × {image.shape[0]} pixels", 6000)

    def take_mime(self, mime: QMimeData, how: str) -> None:
        """Open what was dropped or copied: files, or an image itself."""
        if paths := intake.paths_of(mime):
            self.take(paths)
        elif mime.hasImage() and not (image := QImage(mime.imageData())).isNull():
            self.take_image(intake.to_array(image), f"{how} image")
        else:
            self._session.inform(f"There is no image and no file in what was {how.lower()}.")

    def paste(self) -> None:
        """Open what is on the clipboard."""
        self.take_mime(QGuiApplication.clipboard().mimeData(), "Pasted")

    def ask_to_run_code(self, ref: str, layer: str = "", unit: Unit | None = None) -> None:
        """Show a Python file and ask before it is run; `layer` and `unit` are selected in its network then."""
        try:
            dialog = CodeConsent(ref, self._window)
        except (ValueError, OSError) as error:
            self._session.report(str(error))
            return
        dialog.agreed.connect(
            lambda agreed: self._session.open_model(agreed, allow_code=True, layer=layer, unit=unit)
        )
        dialog.open()

    def ask_for_images(self) -> None:
        """Ask for image files and open them."""
        endings = " ".join(f"*.{bytes(kind.data()).decode()}" for kind in QImageReader.supportedImageFormats())
        self._ask("Open images", f"Images ({endings});;All files (*)", self.take)

    def ask_for_folder(self) -> None:
        """Ask for a folder of images and open it."""
        self._ask("Open a folder of images", "", self.take, folder=True)

    def ask_for_network(self) -> None:
        """Ask for a file with a network and open it."""
        self._ask("Open a network", "Networks (*.safetensors *.pt *.pth *.py);;All files (*)", self.take)

    def _ask(self, title: str, patterns: str, then: Callable[[list[Path]], None], folder: bool = False) -> None:
        dialog = QFileDialog(self._window, title, str(Path.home()), patterns)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.Directory if folder else QFileDialog.FileMode.ExistingFiles)
        dialog.filesSelected.connect(lambda names: then([Path(name) for name in names]))
        dialog.open()
