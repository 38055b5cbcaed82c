"""The investigation as files: what is opened at the start, saved by the user, and kept after every change."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtWidgets import QFileDialog, QMenu, QMessageBox

from widgets.intake import PROJECT
from workbench.models.layer import Unit
from workbench.project import Project, Window

if TYPE_CHECKING:
    from widgets.main_window import MainWindow

AUTOSAVE_AFTER = 1500
"""Milliseconds between a change and the writing of the running copy."""


class Investigation(QObject):
    """Opens and saves the project of a window.

    There are two files. The *running copy* in the user's data folder is written after every change and when the window closes, so
    nothing is ever lost; the *project file* is where the user saves it to, and what the mark in the title is about.

    Parameters
    ----------
    window
        Whose docks and panels belong to the project.
    defaults
        References of the model and the image set that are opened when the project names none; empty for none.
    """

    def __init__(self, window: MainWindow, defaults: tuple[str, str], remember: bool) -> None:
        super().__init__(window)
        self._window = window
        self._session = window.session
        self._settings = window.settings
        self._defaults = defaults
        self._remember = remember
        self.autosave = QTimer(self, singleShot=True, interval=AUTOSAVE_AFTER)
        self.autosave.timeout.connect(self.save_running_copy)
        self._session.touched.connect(self.autosave.start)
        self._session.modified_changed.connect(self.show_title)
        self._session.project_changed.connect(self.show_title)
        self.show_title()

    @property
    def name(self) -> str:
        """What the title calls it."""
        path = self._settings.project_file if self._remember else None
        return path.stem if path is not None else "Untitled investigation"

    def show_title(self) -> None:
        """Write the name, and the mark for unsaved changes, into the window's title."""
        self._window.setWindowTitle(f"{self.name}[*]")
        self._window.setWindowModified(self._session.modified)

    # Opening

    def reopen(self) -> None:
        """Open the investigation as it was when the window was last closed."""
        copy = self._settings.running_copy
        if self._remember and copy.exists():
            try:
                project = read(copy)
            except ValueError as error:
                aside = copy.with_suffix(".unreadable.json")
                copy.replace(aside)
                self._session.report(
                    f"The last investigation could not be opened and was put aside as {aside}: {error}"
                )
            else:
                self._show(project, self._settings.project_file, layout=False)
                self._session.set_modified(self._settings.modified)
                return
        model, images = self._defaults
        if model:
            self._session.open_model(model)
        if images:
            self._session.open_images(images)

    def new(self) -> None:
        """Begin an empty investigation; the model and the images stay open."""

        def begin() -> None:
            self._session.project = Project()
            self._settings.project_file = None
            self._session.record_open()
            self.save_running_copy()
            self.show_title()

        self._unless_unsaved(begin)

    def open(self, path: Path | None = None) -> None:
        """Open an investigation from a file, after asking which and what to do with unsaved changes."""
        if path is None:
            patterns = f"Investigations (*{PROJECT});;All files (*)"
            dialog = QFileDialog(self._window, "Open an investigation", self._folder(), patterns)
            self._choose(dialog, self.open)
        else:
            self._unless_unsaved(lambda: self._read_and_show(path))

    def _read_and_show(self, path: Path) -> None:
        try:
            project = read(path)
        except ValueError as error:
            self._session.report(f"{path.name} could not be opened: {error}", traceback.format_exc())
            self._settings.forget(path)
            return
        self._show(project, path, layout=True)
        self.save_running_copy()  # it and the file's name belong together, should the program not live to write it later
        self._settings.remember(path)

    def _show(self, project: Project, path: Path | None, layout: bool) -> None:
        session = self._session
        session.cancel_loading()  # what another investigation asked for is not to come into this one
        session.project = project
        self._settings.project_file = path
        if layout and project.window.state:
            self._window.restore_docks(project.window.state)
        self._window.docks.restore(project.window.panels)
        model, images = project.model or self._defaults[0], project.images or self._defaults[1]
        if project.directions or "directions=" in model:
            from workbench.directions_there import as_it_can_be_opened  # loads numpy, which the start can do without

            model, said = as_it_can_be_opened(model, project.directions)
            if said:
                session.report(said)
        unit = Unit.parse(project.unit) if project.unit else None
        if session.model is not None and session.model.ref == model:
            session.select(project.layer, unit)
        elif model:
            session.open_model(model, layer=project.layer, unit=unit)
        if images and (session.images is None or session.images.ref != images):
            session.open_images(images)
        self.show_title()

    def fill_recent(self, menu: QMenu) -> None:
        """List the projects that were opened or saved lately."""
        menu.clear()
        for path in self._settings.recent():
            menu.addAction(str(path), lambda path=path: self.open(path))
        if menu.isEmpty():
            menu.addAction("None yet").setEnabled(False)

    # Saving

    def save(self) -> None:
        """Write the investigation into its file, asking for one when it has none yet."""
        path = self._settings.project_file
        if path is None:
            self.save_as()
        elif self._write(path):
            self._session.set_modified(False)
            self.save_running_copy()
            self._settings.remember(path)

    def save_as(self, then: Callable[[], None] | None = None) -> None:
        """Ask for a file, write the investigation into it, and then do something else."""
        dialog = QFileDialog(self._window, "Save the investigation", self._folder(), f"Investigations (*{PROJECT})")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(PROJECT.lstrip("."))

        def write(path: Path) -> None:
            before = self._settings.project_file
            self._settings.project_file = path
            if not self._write(path):
                self._settings.project_file = before
                return
            self._session.set_modified(False)
            self.save_running_copy()
            self._settings.remember(path)
            self.show_title()
            if then is not None:
                then()

        self._choose(dialog, write)

    def save_running_copy(self) -> None:
        """Write the project as it is now into the user's data folder, whole or not at all."""
        self.autosave.stop()
        if self._remember and self._write(self._settings.running_copy):
            self._settings.modified = self._session.modified

    def _write(self, path: Path) -> bool:
        project, window = self._session.project, self._window
        project.window = Window(
            bytes(window.saveGeometry().data()), bytes(window.saveState().data()), window.docks.save()
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            project.save(path)
        except (OSError, ValueError) as error:
            self._session.report(f"{path} could not be written: {error}", traceback.format_exc())
            return False
        return True

    # Asking

    def _unless_unsaved(self, then: Callable[[], None]) -> None:
        """Do what replaces the project, at once or when the user has said what is to become of unsaved changes."""
        if not self._session.modified:
            then()
            return
        box = QMessageBox(self._window)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setIcon(QMessageBox.Icon.Question)
        box.setText(f"Save the changes to {self.name}?")
        box.setInformativeText("Notes, labels and edits made since it was last saved are lost otherwise.")
        buttons = QMessageBox.StandardButton
        box.setStandardButtons(buttons.Save | buttons.Discard | buttons.Cancel)
        box.setDefaultButton(buttons.Save)

        def decide(result: int) -> None:
            if result == buttons.Discard:
                then()
            elif result == buttons.Save and self._settings.project_file is None:
                self.save_as(then)
            elif result == buttons.Save:
                self.save()
                if not self._session.modified:
                    then()

        box.finished.connect(decide)
        box.open()

    def _folder(self) -> str:
        path = self._settings.project_file
        return str(path.parent if path is not None else Path.home())

    def _choose(self, dialog: QFileDialog, then: Callable[[Path], None]) -> None:
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda name: then(Path(name)))
        dialog.open()


def read(path: Path) -> Project:
    """Read a project file.

    Raises
    ------
    ValueError
        When it cannot be read, in one line.
    """
    project = Project.load(path)
    if project.unit:
        Unit.parse(project.unit)
    return project
