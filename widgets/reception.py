"""Takes in what is dropped onto the window, pasted, or chosen in a dialog, and opens it as what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QMimeData, QObject
from PySide6.QtGui import QGuiApplication

from widgets import intake
from widgets.code_consent import CodeConsent
from widgets.file_dialogs import ask_for_file, ask_for_files, ask_for_folder

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
        self._announced: np.ndarray | None = None  # the image whose size was told
        self._session.consent_needed.connect(self.ask_to_run_code)
        self._session.reading_changed.connect(self._say_what_is_read)

    def take(self, paths: list[Path]) -> None:
        """Open files or a folder: an image, an image set, a network, a table of labels, a project."""
        try:
            found = intake.classify(paths)
            self._take_found(found)
        except (ValueError, OSError) as error:
            self._session.report(str(error))

    def _take_found(self, found: intake.Found) -> None:
        first = found.paths[0]
        if found.kind == "image":
            self.take_image(first, first.name)
        elif found.kind == "images":
            self._session.open_images("files:" + ";".join(str(path) for path in found.paths))
        elif found.kind == "folder":
            self._session.open_images(f"folder:{first}")
        elif found.kind == "weights":
            self._session.open_model(f"file:{first}")
        elif found.kind == "python":
            self.ask_to_run_code(f"python:{first}")
        elif found.kind == "labels":
            from widgets.label_edit import import_labels

            import_labels(self._session, first)
        else:
            self._window.investigation.open(first)

    def take_image(self, source: Path | bytes | np.ndarray, name: str) -> None:
        """Read an image and show it to the network: the inspector shows what the unit makes of it."""
        self._window.docks.reveal("inspector")
        self._session.open_image(source, name)

    def _say_what_is_read(self, name: str) -> None:
        image = self._session.image
        if name:
            self._window.statusBar().showMessage(f"Reading {name} …")
        elif image is not None and image is not self._announced and self._session.image_name:
            self._announced = image
            size = f"{image.shape[1]:,} × {image.shape[0]:,} pixels"
            self._window.statusBar().showMessage(f"{self._session.image_name}: {size}", 6000)
        else:
            self._window.statusBar().clearMessage()

    def take_mime(self, mime: QMimeData, how: str) -> None:
        """Open what was dropped or copied: files, or an image itself."""
        if paths := intake.paths_of(mime):
            self.take(paths)
        elif (content := intake.content_of(mime)) is not None:
            self.take_image(content, f"{how} image")
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
        from workbench.images.image_file import ENDINGS

        patterns = f"Images ({' '.join(f'*{e}' for e in ENDINGS)});;All files (*)"
        ask_for_files(self._window, "Open images", patterns, lambda paths: self.take([Path(path) for path in paths]))

    def ask_for_folder(self) -> None:
        """Ask for a folder of images and open it."""
        ask_for_folder(self._window, "Open a folder of images", lambda path: self.take([Path(path)]))

    def ask_for_network(self) -> None:
        """Ask for a file with a network and open it."""
        patterns = "Networks (*.safetensors *.pt *.pth *.py);;All files (*)"
        ask_for_file(self._window, "Open a network", patterns, lambda path: self.take([Path(path)]))

