"""The window: docks, menus, message bar, status line, and what happens when it opens and closes.

Start: the window shows with empty docks; with its first paint begins everything that costs time: panels are built one by one, the
project is read, the worker starts and imports torch. End: the window hides, jobs are cancelled, the worker is joined, then the relay
is disconnected and the window closes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QGuiApplication, QShowEvent
from PySide6.QtWidgets import QMainWindow, QMenu, QToolBar, QWidget

from widgets.docks import Docks, Panel
from widgets.file_dialogs import ask_where_to_write
from widgets.keyboard import with_keyboard
from widgets.session import Session
from widgets.settings import Settings
from widgets.status_line import StatusLine
from widgets.theme import Scheme, Theme, icon
from workbench.models.layer import Unit

if TYPE_CHECKING:
    from widgets.address_box import AddressBox
    from widgets.commands import Registry
    from widgets.investigation import Investigation
    from widgets.menus import Menus
    from widgets.message_bar import MessageBar
    from widgets.palette import CommandPalette
    from widgets.reception import Reception
    from widgets.views.view import View
    from workbench.jobs.job import JobEvent

MENUS = ("File", "Edit", "View", "Model", "Analysis", "Help")
DEFAULT_MODEL = "bundled:inception"
DEFAULT_IMAGES = "emoji"
USUAL = ("auto", "fp32")
"""Device and numbers when nothing else was chosen."""
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

    Attributes
    ----------
    docks
        Its panels.
    registry, menus, messages, palette_box, reception, investigation
        Commands and where they stand, message bar, command palette, taker of drops, and the project's files; there from the first
        paint on.
    """

    registry: Registry
    menus: Menus
    messages: MessageBar
    palette_box: CommandPalette
    reception: Reception
    investigation: Investigation
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
        self._begun = False
        self._address_box: AddressBox | None = None
        self.setObjectName("workbench")
        self.setWindowIcon(icon("workbench"))
        self._take_place()

        self._message_bar = QToolBar("Messages", self, movable=False, floatable=False)
        self._message_bar.setObjectName("messages")
        self._message_bar.layout().setContentsMargins(0, 0, 0, 0)
        self._message_bar.toggleViewAction().setEnabled(False)
        self.addToolBar(self._message_bar)
        self._message_bar.hide()

        self.docks = Docks(self, session)
        self.docks.panel_made.connect(self._welcome_panel)
        self.docks.panel_failed.connect(self._report_panel)
        self.setStatusBar(StatusLine(session, self))
        self.statusBar().jobs_wanted.connect(self._show_jobs)
        self._top_menus = {name: QMenu(name, self) for name in MENUS}  # `_begin` fills them
        for menu in self._top_menus.values():
            self.menuBar().addMenu(menu)
        self.setWindowTitle("Circuit Workbench")
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
            self.restore_docks(self.settings.place[1] if self._remember else b"")

    def restore_docks(self, state: bytes) -> None:
        """Put the docks where they stood when `state` was saved, or where they stand at first."""
        if not state or not self.restoreState(state):
            self.docks.reset()
        self._message_bar.setVisible(self._begun and bool(self.messages.messages))

    def _begin(self) -> None:
        """Make what the window needs only now that it is on the screen."""
        if self._closing:
            return
        from widgets.commands import Registry
        from widgets.investigation import Investigation
        from widgets.menus import Menus
        from widgets.message_bar import MessageBar
        from widgets.palette import CommandPalette
        from widgets.reception import Reception
        from widgets.window_commands import window_commands

        self.registry = Registry()
        self.menus = Menus(self.registry, self, self._top_menus)
        self.messages = MessageBar()
        self._message_bar.addWidget(self.messages)
        self.session.message.connect(self.messages.show_message)
        self.messages.filled.connect(self._message_bar.setVisible)
        self.palette_box = CommandPalette(self.registry, self)
        self.reception = Reception(self)
        self.investigation = Investigation(self, self._defaults, self._remember)
        self.menus.add(*window_commands(self))
        self.session.panels_wanted.connect(self.open_panels)
        self.session.relay.event.connect(self._on_computing)
        self.session.addresses.view_wanted.connect(self.show_view)
        recent = self.menus.menu("File/Open recent")
        recent.aboutToShow.connect(lambda: self.investigation.fill_recent(recent))
        self.setAcceptDrops(True)
        self._begun = True
        self.docks.settled.connect(self._reopen)
        self.docks.start()

    def _reopen(self) -> None:
        if not self._closing:
            self._compute_as_before()
            self.investigation.reopen()
            self.ready.emit()

    def _compute_as_before(self) -> None:
        chosen = self.settings.computing if self._remember else USUAL
        if chosen == USUAL:
            return
        from workbench.jobs.machine import ComputeOn

        self.session.relay.submit(ComputeOn(*chosen))

    def _on_computing(self, event: JobEvent) -> None:
        """Remember where networks are computed, whoever chose that, and look at the open one there."""
        if type(event.request).__name__ != "ComputeOn":
            return
        session = self.session
        chosen = (event.request.device, event.request.arithmetic)
        if event.state == "failed" and chosen == self.settings.computing:  # another machine, or a device that is gone
            self.settings.computing = USUAL
            session.report(f"{event.error}; networks are computed on the fastest one there is")
        elif event.state == "done":
            if self._remember:
                self.settings.computing = chosen
            session.set_computing(*chosen)
            if session.model is not None and not session.opening_model:
                session.open_model(session.model.ref, allow_code=True, layer=session.layer, unit=session.unit)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Keep everything, then end: hide, cancel, join, disconnect, close."""
        event.accept()
        if self._closing:
            return
        self._closing = True
        try:
            self.docks.stop()
            self._keep()
        finally:  # a disk that is full must not keep the window open
            self.hide()
            self.session.close(JOIN)

    def _keep(self) -> None:
        if self._begun:
            self.investigation.save_running_copy()
        if self._remember:
            self.settings.place = (bytes(self.saveGeometry().data()), bytes(self.saveState().data()))
            self.settings.flush()

    # What the user does

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept what may be something to open."""
        if event.mimeData().hasImage() or event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped, anywhere on the window."""
        event.acceptProposedAction()
        self.reception.take_mime(event.mimeData(), "Dropped")

    def _welcome_panel(self, panel: Panel) -> None:
        self.menus.add(*panel.commands())

    def _report_panel(self, _id: str, text: str, details: str) -> None:
        self.session.report(text, details)

    def _show_jobs(self) -> None:
        self.docks.reveal("jobs")

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

    def show_view(self, view: str) -> None:
        """Open the panel of a view that an address names, such as ``inspector.histogram``, and bring it into sight."""
        id, _, part = view.partition(".")
        if id not in self.docks.entries:
            self.session.report(f"there is no panel {id!r}; there are {', '.join(self.docks.entries)}")
            return
        self.docks.reveal(id)
        panel = self.docks.panel(id)
        if panel is not None and part:
            panel.show_part(part)

    def run_analysis(self) -> None:
        """Open the dialog in which an analysis is chosen, set up and started."""
        from widgets.analysis_dialog import AnalysisDialog

        AnalysisDialog(self.session, self).open()

    def new_note(self) -> None:
        """Begin a note about the selected unit."""
        self.docks.reveal("notes")
        panel = self.docks.panel("notes")
        if panel is not None:
            panel.add_note()

    def add_to_circuit(self) -> None:
        """Add what is selected to the circuit; its panel comes into sight."""
        panel = self.docks.panel("circuit_graph")
        if panel is not None:
            panel.add_selected()

    def pin_unit(self) -> None:
        """Put the selected unit into the panel that compares units."""
        self.docks.reveal("compare")
        panel = self.docks.panel("compare")
        if panel is not None:
            panel.pin_current()

    def pin_view(self, view: View) -> None:
        """Begin a note with a view as it is now."""
        self.docks.reveal("notes")
        panel = self.docks.panel("notes")
        if panel is not None:
            panel.pin(view)

    def pin_focused(self) -> None:
        """Pin the view that has the keyboard, else the first one of the active panel."""
        focused, panel = with_keyboard(self), self.docks.current()
        views = panel.views() if panel is not None else []
        view = focused if focused in views else next(iter(views), None)
        if view is None:
            self.session.inform("There is no view to pin: click one first.")
        else:
            self.pin_view(view)

    def export_notes(self) -> None:
        """Ask for a file, and write the notes into it as one page of HTML."""
        ask_where_to_write(self, "Export the notes", "notes.html", "Web page (*.html)", self.write_notes)

    def write_notes(self, path: str) -> None:
        """Write the notes as a page of HTML, and say so."""
        from workbench.notes_page import write_notes_page

        name = self.investigation.name
        try:
            write_notes_page(self.session.project, path, name)
        except OSError as error:
            self.session.report(f"{path} cannot be written: {error.strerror}")
        else:
            self.session.inform(f"The notes are in {path}.")

    def show_machine(self) -> None:
        """Open the dialog for devices, numbers and what is kept on disk."""
        from widgets.machine_dialog import MachineDialog

        MachineDialog(self.session, self).open()

    def go_to_unit(self) -> None:
        """Ask for an address and go there."""
        from widgets.address_box import AddressBox

        if self._address_box is None:
            self._address_box = AddressBox(self.session, self)
        self._address_box.open()

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
        """Ask which view of the open panels to write, where, and in which format; those of the active panel come first."""
        active = self.docks.current()
        panels = sorted(self.docks.panels(), key=lambda panel: panel is not active)
        views = {panel.title: panel.views() for panel in panels if self.docks.is_visible(panel.id)}
        views = {title: of_panel for title, of_panel in views.items() if of_panel}
        if not views:
            self.session.inform("There is nothing to export yet: open a network and click a unit first.")
            return
        from widgets.export_dialog import ExportDialog

        ExportDialog(views, self).open()
