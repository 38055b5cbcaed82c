"""The window: docks, menus, message bar, status line, and what happens when it opens and closes.

Start: the window shows with empty docks; with its first paint begins everything that costs time: panels are built one by one, the
project is read, the worker starts and imports torch. End: the window hides, jobs are cancelled, the worker is joined, then the relay
is disconnected and the window closes.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import (
    QCloseEvent,
    QDragEnterEvent,
    QDragMoveEvent,
    QDropEvent,
    QGuiApplication,
    QImage,
    QShowEvent,
)
from PySide6.QtWidgets import QFileDialog, QMainWindow, QMessageBox, QToolBar, QWidget

from widgets import intake
from widgets.commands import Registry
from widgets.docks import Docks, Panel
from widgets.menus import Menus
from widgets.message_bar import MessageBar
from widgets.palette import CommandPalette
from widgets.session import Session
from widgets.settings import Settings
from widgets.status_line import StatusLine
from widgets.theme import Scheme, Theme, icon
from widgets.window_commands import window_commands
from workbench.models.layer import Unit
from workbench.project import Project, Window

if TYPE_CHECKING:
    import numpy as np

DEFAULT_MODEL = "bundled:efficientnet-lite0"
DEFAULT_IMAGES = "emoji"
AUTOSAVE_AFTER = 1500
"""Milliseconds between a change and the writing of the running copy."""
JOIN = 60.0
"""Seconds to wait for the worker when the window closes; a network that is being exported cannot be interrupted."""


class FirstPaint(QObject):
    """Emits `painted` once, after a widget was painted for the first time."""

    painted = Signal()

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._seen = False
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Wait for the paint event, then stop listening; the signal comes when that event is done."""
        if event.type() == QEvent.Type.Paint and not self._seen:
            self._seen = True
            watched.removeEventFilter(self)
            QTimer.singleShot(0, self.painted.emit)
        return False


class MainWindow(QMainWindow):
    """The one window of the Circuit Workbench.

    Parameters
    ----------
    session, settings, theme
        What it works on, where it remembers, and how it looks.
    defaults
        References of the model and the image set that are opened when the project names none; empty for none.
    remember
        Whether it opens as it was closed, and keeps what is open for the next time.
    """

    ready = Signal()
    """All visible panels are built and the project is open; models may still be loading."""

    def __init__(
        self,
        session: Session,
        settings: Settings,
        theme: Theme,
        defaults: tuple[str, str] = (DEFAULT_MODEL, DEFAULT_IMAGES),
        remember: bool = True,
    ) -> None:
        super().__init__()
        self.session = session
        self.settings = settings
        self.theme = theme
        self._defaults = defaults
        self._remember = remember
        self._closing = False
        self._restored = False
        self.setObjectName("workbench")
        self.setWindowIcon(icon("workbench"))
        self.setAcceptDrops(True)
        self._take_place()

        self.messages = MessageBar()
        bar = QToolBar("Messages", self, movable=False, floatable=False)
        bar.setObjectName("messages")
        bar.addWidget(self.messages)
        bar.layout().setContentsMargins(0, 0, 0, 0)
        bar.toggleViewAction().setEnabled(False)
        self.addToolBar(Qt.ToolBarArea.TopToolBarArea, bar)
        self._message_bar = bar
        bar.hide()
        session.message.connect(self.messages.show_message)
        self.messages.filled.connect(bar.setVisible)

        self.registry = Registry()
        self.docks = Docks(self, session)
        self.docks.panel_made.connect(self._welcome_panel)
        self.docks.panel_failed.connect(lambda _id, text, details: session.report(text, details))
        self.palette_box = CommandPalette(self.registry, self)
        self.setStatusBar(StatusLine(session, self))
        self.statusBar().jobs_wanted.connect(lambda: self.docks.reveal("jobs"))
        self.menus = Menus(self.registry, self)
        self.menus.add(*window_commands(self))

        self._autosave = QTimer(self, singleShot=True, interval=AUTOSAVE_AFTER)
        self._autosave.timeout.connect(self.save_running_copy)
        session.touched.connect(self._autosave.start)
        session.modified_changed.connect(self._show_title)
        session.project_changed.connect(self._show_title)
        session.consent_needed.connect(self.ask_to_run_code)
        session.panels_wanted.connect(self.open_panels)
        session.loading.connect(self._remember_opened)
        self._show_title()
        FirstPaint(self).painted.connect(self._begin)

    # Opening and closing

    def _take_place(self) -> None:
        geometry, _ = self.settings.place
        if self._remember and geometry and self.restoreGeometry(geometry):
            return
        screen = QGuiApplication.primaryScreen().availableGeometry()
        self.resize(min(1600, screen.width() - 40), min(1000, screen.height() - 60))

    def showEvent(self, event: QShowEvent) -> None:
        """Put the docks where they stood, once the window has its real size."""
        super().showEvent(event)
        if not self._restored:
            self._restored = True
            self._restore_docks(self.settings.place[1] if self._remember else b"")

    def _restore_docks(self, state: bytes) -> None:
        if not state or not self.restoreState(state):
            self.docks.reset()
        self._message_bar.setVisible(bool(self.messages.messages))

    def _begin(self) -> None:
        if self._closing:
            return
        self.docks.start()
        QTimer.singleShot(0, self._reopen)

    def _reopen(self) -> None:
        """Open the investigation as it was when the window was last closed."""
        if self._closing:
            return
        copy = self.settings.running_copy
        if self._remember and copy.exists():
            try:
                project = Project.load(copy)
            except ValueError as error:
                aside = copy.with_suffix(".unreadable.json")
                copy.replace(aside)
                self.session.report(f"The last investigation could not be opened and was put aside as {aside}: {error}")
            else:
                self._open_project(project, self.settings.project_file, layout=False)
                self.session.set_modified(self.settings.modified)
                self.ready.emit()
                return
        self._open_defaults()
        self.ready.emit()

    def _open_defaults(self) -> None:
        model, images = self._defaults
        if model:
            self.session.open_model(model)
        if images:
            self.session.open_images(images)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Keep everything, then end: hide, cancel, join, disconnect, close."""
        if not self._closing:
            self._closing = True
            self._autosave.stop()
            self.docks.stop()
            if self._remember:
                self._keep()
            self.hide()
            self.session.close(JOIN)
        event.accept()

    def _keep(self) -> None:
        self.settings.place = (bytes(self.saveGeometry().data()), bytes(self.saveState().data()))
        self.save_running_copy()
        self.settings.flush()

    # The project

    def save_running_copy(self) -> None:
        """Write the project as it is now into the user's data folder, whole or not at all."""
        self._autosave.stop()
        if self._remember and self._write(self.settings.running_copy):
            self.settings.modified = self.session.modified

    def _write(self, path: Path) -> bool:
        project = self.session.project
        project.window = Window(bytes(self.saveGeometry().data()), bytes(self.saveState().data()), self.docks.save())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            project.save(path)
        except (OSError, ValueError) as error:
            self.session.report(f"{path} could not be written: {error}", traceback.format_exc())
            return False
        return True

    def new_project(self) -> None:
        """Begin an empty investigation; the model and the images stay open."""

        def begin() -> None:
            session = self.session
            session.project = Project()
            self.settings.project_file = None
            session.record_open()
            session.set_modified(False)
            self.save_running_copy()
            self._show_title()

        self._unless_unsaved(begin)

    def open_project(self, path: Path | None = None) -> None:
        """Open an investigation from a file, after asking which and what to do with unsaved changes."""
        if path is None:
            self._choose(
                QFileDialog(
                    self, "Open an investigation", self._folder(), f"Investigations (*{intake.PROJECT});;All files (*)"
                ),
                lambda chosen: self.open_project(chosen[0]),
            )
            return

        def read() -> None:
            try:
                project = Project.load(path)
            except ValueError as error:
                self.session.report(f"{path.name} could not be opened: {error}", traceback.format_exc())
                self.settings.forget("projects", str(path))
                return
            self._open_project(project, path, layout=True)
            self.settings.remember("projects", str(path))

        self._unless_unsaved(read)

    def _open_project(self, project: Project, path: Path | None, layout: bool) -> None:
        session = self.session
        session.project = project
        self.settings.project_file = path
        if layout and project.window.state:
            self._restore_docks(project.window.state)
        self.docks.restore(project.window.panels)
        model, images = project.model or self._defaults[0], project.images or self._defaults[1]
        unit = Unit.parse(project.unit) if project.unit else None
        if session.model is None or session.model.ref != model:
            if model:
                session.open_model(model, layer=project.layer, unit=unit)
        elif unit is not None or project.layer:
            session.select(project.layer, unit)
        if images and (session.images is None or session.images.ref != images):
            session.open_images(images)
        self._show_title()

    def save_project(self) -> None:
        """Write the investigation into its file, asking for one when it has none yet."""
        path = self.settings.project_file
        if path is None:
            self.save_project_as()
        elif self._write(path):
            self.session.set_modified(False)
            self.save_running_copy()
            self.settings.remember("projects", str(path))

    def save_project_as(self, then: Callable[[], None] | None = None) -> None:
        """Ask for a file and write the investigation into it."""
        dialog = QFileDialog(self, "Save the investigation", self._folder(), f"Investigations (*{intake.PROJECT})")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(intake.PROJECT.lstrip("."))

        def write(chosen: list[Path]) -> None:
            self.settings.project_file = chosen[0]
            self.save_project()
            self._show_title()
            if then is not None and not self.session.modified:
                then()

        self._choose(dialog, write)

    def _unless_unsaved(self, then: Callable[[], None]) -> None:
        """Do something that replaces the project, at once or when the user has said what is to become of unsaved changes."""
        if not self.session.modified:
            then()
            return
        box = QMessageBox(self)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setIcon(QMessageBox.Icon.Question)
        box.setText(f"Save the changes to {self._name()}?")
        box.setInformativeText("Notes, labels and edits made since it was last saved are lost otherwise.")
        buttons = QMessageBox.StandardButton
        box.setStandardButtons(buttons.Save | buttons.Discard | buttons.Cancel)
        box.setDefaultButton(buttons.Save)

        def decide(result: int) -> None:
            if result == buttons.Discard:
                self.session.set_modified(False)
                then()
            elif result == buttons.Save and self.settings.project_file is None:
                self.save_project_as(then)
            elif result == buttons.Save:
                self.save_project()
                if not self.session.modified:
                    then()

        box.finished.connect(decide)
        box.open()

    def _name(self) -> str:
        path = self.settings.project_file
        return path.stem if path is not None else "Untitled investigation"

    def _folder(self) -> str:
        path = self.settings.project_file
        return str(path.parent if path is not None else Path.home())

    def _show_title(self) -> None:
        self.setWindowTitle(f"{self._name()}[*] – Circuit Workbench")
        self.setWindowModified(self.session.modified)

    # Bringing things in

    def take(self, paths: list[Path]) -> None:
        """Open what was dropped, pasted or chosen, whatever it is; a message says why when that does not work."""
        try:
            found = intake.classify(paths)
            first = found.paths[0]
            if found.kind == "image":
                self.take_image(intake.read_image(first), first.name)
            elif found.kind == "images":
                self.session.open_images("files:" + ";".join(str(path) for path in found.paths))
            elif found.kind == "folder":
                self.session.open_images(f"folder:{first}")
            elif found.kind == "weights":
                self.session.open_model(f"file:{first}")
            elif found.kind == "python":
                self.ask_to_run_code(f"python:{first}")
            else:
                self.open_project(first)
        except (ValueError, OSError) as error:
            self.session.report(str(error))

    def take_image(self, image: np.ndarray, name: str) -> None:
        """Show an image to the network: the inspector shows what the unit makes of it."""
        self.session.drop_image(image)
        self.docks.reveal("inspector")
        self.statusBar().showMessage(f"{name}: {image.shape[1]} x {image.shape[0]} pixels", 6000)

    def paste(self) -> None:
        """Open what is on the clipboard: an image or copied files."""
        mime = QGuiApplication.clipboard().mimeData()
        if paths := intake.paths_of(mime):
            self.take(paths)
        elif mime.hasImage():
            self.take_image(intake.to_array(QImage(mime.imageData())), "Pasted image")
        else:
            self.session.inform("The clipboard holds no image and no file.")

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept what may be something to open."""
        if intake.can_take(event.mimeData()):
            event.acceptProposedAction()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        """Accept a drop anywhere on the window."""
        if intake.can_take(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped."""
        event.acceptProposedAction()
        if paths := intake.paths_of(event.mimeData()):
            self.take(paths)
        else:
            self.take_image(intake.to_array(QImage(event.mimeData().imageData())), "Dropped image")

    def ask_to_run_code(self, ref: str) -> None:
        """Ask before the code of a Python file is run, showing it."""
        from widgets.code_consent import CodeConsent

        try:
            dialog = CodeConsent(ref, self)
        except (ValueError, OSError) as error:
            self.session.report(str(error))
            return
        dialog.agreed.connect(lambda agreed: self.session.open_model(agreed, allow_code=True))
        dialog.open()

    def ask_for_files(self, title: str, patterns: str, folder: bool = False) -> None:
        """Ask for files or a folder and open what was chosen."""
        dialog = QFileDialog(self, title, self._folder(), patterns)
        mode = QFileDialog.FileMode.Directory if folder else QFileDialog.FileMode.ExistingFiles
        dialog.setFileMode(mode)
        self._choose(dialog, self.take)

    def _choose(self, dialog: QFileDialog, then: Callable[[list[Path]], None]) -> None:
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.filesSelected.connect(lambda names: then([Path(name) for name in names]))
        dialog.open()

    def _remember_opened(self, event) -> None:
        if event.state == "done" and self.session.model is not None:
            self.settings.remember("models", self.session.model.ref)

    # What the user sees of it

    def _welcome_panel(self, panel: Panel) -> None:
        self.menus.add(*panel.commands())

    def show_manual(self) -> None:
        """Open the page that lists every command and every panel."""
        from widgets.manual import Manual

        Manual(self.registry, self.docks.entries, self).show()

    def show_problem(self, number: str) -> None:
        """Start an open problem: select it in the problems panel, which opens the docks that it needs."""
        self.docks.reveal("problems")
        panel = self.docks.panel("problems")
        if panel is not None:
            panel.start_problem(number)

    def open_panels(self, ids: tuple[str, ...]) -> None:
        """Open panels, the first of them last, so that it ends in front with the keyboard."""
        for id in reversed(ids):
            self.docks.reveal(id)

    def run_analysis(self) -> None:
        """Open the dialog in which an analysis is chosen, set up and started."""
        from widgets.analysis_dialog import AnalysisDialog

        AnalysisDialog(self.session, self).open()

    def go_to_unit(self) -> None:
        """Ask for the address of a unit and select it."""
        from widgets.address_box import AddressBox

        AddressBox(self.session, self).open()

    def step_unit(self, step: int) -> None:
        """Select the unit that many further on in the layer, round the ends."""
        session = self.session
        at = session.unit.index + step if session.unit is not None else 0
        session.select_unit(Unit(session.layer, at % session.layers[session.layer].units))

    def step_layer(self, step: int) -> None:
        """Select the layer that many further on in the network, round the ends."""
        names = list(self.session.layers)
        self.session.select_layer(names[(names.index(self.session.layer) + step) % len(names)])

    def choose_scheme(self, scheme: Scheme) -> None:
        """Be light, dark, or as the system says, from now on."""
        self.theme.choose(scheme)
        self.settings.scheme = scheme

    def toggle_dock(self, id: str) -> None:
        """Open a panel and give it the keyboard, or close it when it has it."""
        panel = self.docks.current()
        if self.docks.is_visible(id) and panel is not None and panel.id == id:
            self.docks.close(id)
        else:
            self.docks.reveal(id)

    def toggle_full_screen(self) -> None:
        """Fill the whole screen, or go back."""
        if self.isFullScreen():
            self.showNormal()
        else:
            self.showFullScreen()

    def export(self) -> None:
        """Ask which view of the active panel to write, where, and in which format."""
        panel = self.docks.current()
        if panel is None or not panel.views():
            with_views = [p for p in self.docks.panels() if self.docks.is_visible(p.id) and p.views()]
            panel = with_views[0] if with_views else None
        if panel is None:
            self.session.inform("There is nothing to export yet: open a network and click a unit first.")
            return
        from widgets.export_dialog import ExportDialog

        ExportDialog(panel, self).open()


def image_patterns() -> str:
    """Name the image files that can be opened, for a file dialog."""
    from PySide6.QtGui import QImageReader

    endings = " ".join(f"*.{bytes(f.data()).decode()}" for f in QImageReader.supportedImageFormats())
    return f"Images ({endings});;All files (*)"
