"""Panels and the docks that hold them; the only place that names `QDockWidget`.

A panel is one file in `widgets/panels` and one line in `widgets.panels.PANELS`. All docks exist from the start, empty; a panel is
imported and built when its dock is first seen, so that the window opens at once and a panel nobody opens costs nothing.
"""

from __future__ import annotations

import importlib
import traceback
from typing import TYPE_CHECKING, Any, ClassVar

from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QApplication,
    QDockWidget,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QTabBar,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from widgets.ancestry import outwards
from widgets.keyboard import with_keyboard
from widgets.panels import PANELS, Area, Entry
from widgets.sight import put_behind
from widgets.theme import icon, set_icon

if TYPE_CHECKING:
    from widgets.commands import Command
    from widgets.session import Session
    from widgets.views.view import View


AREAS: tuple[Area, ...] = ("left", "centre", "right", "bottom")


class Panel(QWidget):
    """Base of every panel.

    A subclass names its `id`; `title`, `area` and `help` come from its line in `PANELS` (a class that is not listed there
    declares them itself). It is built with the session, reads what is open from it, connects to its signals, and must be
    useful with nothing open: an empty panel says what to do next. What a panel asks of the engine goes through
    ``session.relay.submit(request, self.some_method)``. Panels never import one another.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    area: ClassVar[Area]
    help: ClassVar[str]
    icon: ClassVar[str]
    """Name of an SVG in ``resources/icons``; the panel's id unless given."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        id = cls.__dict__.get("id")
        if id in PANELS:
            cls.title, cls.area, cls.help = PANELS[id].title, PANELS[id].area, PANELS[id].help
        if id is not None and "icon" not in cls.__dict__:
            cls.icon = id

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.setObjectName(f"{self.id}_panel")
        self.setAccessibleName(self.title)

    def sizeHint(self) -> QSize:
        """Ask for the same size whatever is shown, so that docks do not move when a network opens."""
        return QSize(360, 260)

    def save_state(self) -> dict[str, Any]:
        """Return what should be as it was after the window is closed and opened: plain data that JSON can hold."""
        return {}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take back what `save_state` returned, in this or an earlier version; ignore what does not fit."""

    def views(self) -> list[View]:
        """Return the drawings that can be exported now, the most important first."""
        return []

    def show_part(self, part: str) -> None:
        """Bring a part into sight that an address names behind the panel, such as ``histogram``; another one changes nothing."""

    def commands(self) -> tuple[Command, ...]:
        """Return further commands of this panel; they join the menus and the palette when the panel is first shown."""
        return ()


class DockTitle(QWidget):
    """Title bar of a dock: icon, title, float and close; a stripe marks the dock that has the keyboard."""

    def __init__(self, dock: QDockWidget, picture: str) -> None:
        super().__init__(dock)
        self._active = False
        self._picture = QLabel()
        self._picture_name = picture
        name = QLabel(f"<b>{dock.windowTitle()}</b>")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 3, 3, 3)
        layout.setSpacing(2)
        layout.addWidget(self._picture)
        layout.addSpacing(4)
        layout.addWidget(name)
        layout.addStretch(1)
        for action, tip, run in (
            ("float", "Float in a window of its own, or dock again", lambda: dock.setFloating(not dock.isFloating())),
            ("close", "Close; View › Panels opens it again", dock.close),
        ):
            button = QToolButton(autoRaise=True, toolTip=tip, focusPolicy=Qt.FocusPolicy.NoFocus)
            button.setAccessibleName(f"{tip.split()[0]} {dock.windowTitle()}")
            button.setIconSize(QSize(12, 12))
            set_icon(button, action)
            button.clicked.connect(run)
            layout.addWidget(button)
        self._refresh_picture()

    def set_active(self, active: bool) -> None:
        """Mark whether this dock has the keyboard."""
        if active != self._active:
            self._active = active
            self.update()

    def _refresh_picture(self) -> None:
        self._picture.setPixmap(icon(self._picture_name).pixmap(QSize(16, 16), self.devicePixelRatio()))

    def changeEvent(self, event: QEvent) -> None:
        """Draw the icon again in the new colour."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._refresh_picture()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the bar, and the stripe of the active dock."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self.palette().midlight())
        if self._active:
            painter.fillRect(0, self.height() - 2, self.width(), 2, self.palette().highlight())


class Docks(QObject):
    """The docks of one window, by panel id.

    Left and right take the full height, the centre stands above the bottom; panels of one place are tabs. There is no central widget,
    so that every panel can be moved, floated and closed alike. All docks stand in one of Qt's dock areas, split: without a central
    widget Qt gives the left area some pixels of the others at each new layout.
    """

    panel_made = Signal(object)
    """A `Panel` was built, when its dock was first seen."""
    settled = Signal()
    """After `start`: the panels that are visible were built."""
    panel_failed = Signal(str, str, str)
    """A panel could not be built: its id, one line, the traceback."""

    def __init__(self, window: QMainWindow, session: Session, entries: dict[str, Entry] | None = None) -> None:
        super().__init__(window)
        self._window = window
        self._session = session
        self.entries = PANELS if entries is None else entries
        self._panels: dict[str, Panel] = {}
        self._failed: set[str] = set()
        self._saved: dict[str, dict[str, Any]] = {}  # states of panels that are not built yet
        self._waiting: list[str] = []
        self._next = QTimer(self, singleShot=True, interval=0)
        self._next.timeout.connect(self._make_next)
        self._started = self._settled = False

        window.setDockNestingEnabled(True)
        window.setDockOptions(QMainWindow.DockOption.AllowNestedDocks | QMainWindow.DockOption.AllowTabbedDocks)
        window.setTabPosition(Qt.DockWidgetArea.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        self._docks = {id: self._make_dock(id, entry) for id, entry in self.entries.items()}
        self.reset()
        QApplication.instance().focusChanged.connect(self._mark_active)

    def _make_dock(self, id: str, entry: Entry) -> QDockWidget:
        dock = QDockWidget(entry.title, self._window)
        dock.setObjectName(id)  # saveState goes by it
        dock.setTitleBarWidget(DockTitle(dock, id))
        dock.titleBarWidget().setToolTip(entry.help)
        dock.setWidget(QWidget())
        dock.visibilityChanged.connect(self._see_what_is_visible)
        dock.visibilityChanged.connect(lambda seen: self._put(id, behind=not seen))
        return dock

    def _put(self, id: str, behind: bool) -> None:
        panel = self._panels.get(id)
        if panel is not None:
            put_behind(panel, behind)

    def start(self) -> None:
        """Build panels from now on: first those that are visible, one for each turn of the event loop; `settled` follows."""
        self._started = True
        self._see_what_is_visible()
        self._next.start()

    def stop(self) -> None:
        """Build no more panels; the window is closing."""
        self._started = False
        self._waiting.clear()
        self._next.stop()

    def reset(self) -> None:
        """Put every dock where it stands at first."""
        horizontal, vertical = Qt.Orientation.Horizontal, Qt.Orientation.Vertical
        groups = {area: [d for id, d in self._docks.items() if self.entries[id].area == area] for area in AREAS}
        anchors: dict[str, QDockWidget] = {}
        for dock in self._docks.values():
            dock.setFloating(False)
            self._window.removeDockWidget(dock)  # beside a dock that has tabs nothing can be put, only among them
        for area, group in groups.items():
            for dock in group[:1]:
                if not anchors:
                    self._window.addDockWidget(Qt.DockWidgetArea.TopDockWidgetArea, dock)
                elif area == "bottom" and "centre" in anchors:
                    self._window.splitDockWidget(anchors["centre"], dock, vertical)
                else:
                    self._window.splitDockWidget(
                        list(anchors.values())[-1], dock, vertical if area == "bottom" else horizontal
                    )
                anchors[area] = dock
        for area, group in groups.items():
            for dock in group[1:]:
                self._window.tabifyDockWidget(anchors[area], dock)
        for id, dock in self._docks.items():
            dock.setVisible(self.entries[id].open)
        for anchor in anchors.values():
            anchor.raise_()
        self._resize_areas()

    def _resize_areas(self) -> None:
        first = {self.entries[id].area: dock for id, dock in reversed(self._docks.items())}
        for orientation, whole, shares in (
            (Qt.Orientation.Horizontal, self._window.width(), {"left": 0.25, "centre": 0.48, "right": 0.27}),
            (Qt.Orientation.Vertical, self._window.height(), {"centre": 0.66, "bottom": 0.34}),
        ):
            areas = [area for area in shares if area in first]
            self._window.resizeDocks(
                [first[area] for area in areas], [round(whole * shares[area]) for area in areas], orientation
            )

    def panel(self, id: str) -> Panel | None:
        """Return a panel, building it when it is not there yet; None when it could not be built.

        Raises
        ------
        KeyError
            When there is no panel of that id.
        """
        if id not in self._docks:
            raise KeyError(f"no panel {id!r}; there are {', '.join(self._docks)}")
        if id not in self._panels and id not in self._failed:
            self._make_panel(id)
        return self._panels.get(id)

    def panels(self) -> list[Panel]:
        """Return the panels built so far."""
        return list(self._panels.values())

    def is_visible(self, id: str) -> bool:
        """Whether the dock is open (it may be behind another tab)."""
        return not self._docks[id].isHidden()

    def reveal(self, id: str) -> None:
        """Open a dock, bring it to the front and give its panel the keyboard."""
        dock = self._docks[id]
        dock.show()
        dock.raise_()
        panel = self.panel(id)
        if panel is not None:
            put_behind(panel, False)  # it may have been built just now, behind the panel that was in front
            if QApplication.activeWindow() in (self._window, *self._docks.values()):
                panel.window().activateWindow()  # one of the two may float
            focus_first(panel)

    def close(self, id: str) -> None:
        """Close a dock; the panel in it stays as it is."""
        self._docks[id].close()

    def current(self) -> Panel | None:
        """Return the panel that has the keyboard, or None."""
        return next((at for at in outwards(with_keyboard(self._window)) if isinstance(at, Panel)), None)

    def _mark_active(self) -> None:
        if QGuiApplication.focusWindow() is None:
            return  # another program has the keyboard; it will come back to where it was
        current = self.current()
        for id, dock in self._docks.items():
            dock.titleBarWidget().set_active(current is not None and current.id == id)
        if current is not None and current.isAncestorOf(QApplication.focusWidget()) and not self._in_sight(current.id):
            self._docks[current.id].raise_()  # Tab led into a panel behind another; a dialog of one leaves it there

    def cycle(self, step: int) -> None:
        """Give the keyboard to the next (1) or previous (-1) dock that is open."""
        open_ids = [id for id in self._docks if self.is_visible(id)]
        if not open_ids:
            return
        current = self.current()
        at = open_ids.index(current.id) if current is not None and current.id in open_ids else -(step > 0)
        self.reveal(open_ids[(at + step) % len(open_ids)])

    def save(self) -> dict[str, dict[str, Any]]:
        """Return the state of every panel by id, also of those that were restored but never looked at."""
        return self._saved | {id: panel.save_state() for id, panel in self._panels.items()}

    def restore(self, states: dict[str, dict[str, Any]]) -> None:
        """Give every panel its state back, now or when it is built."""
        self._saved = dict(states)
        for id, panel in self._panels.items():
            if id in states:
                panel.restore_state(states[id])

    def _see_what_is_visible(self, _visible: bool = True) -> None:
        for bar in self._window.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly):
            bar.setElideMode(Qt.TextElideMode.ElideNone)  # titles that are cut to a letter name nothing
            bar.setUsesScrollButtons(True)
        if not self._started:
            return
        for id in self._docks:
            if self._in_sight(id) and id not in self._panels and id not in self._failed and id not in self._waiting:
                self._waiting.append(id)
                self._next.start()

    def _in_sight(self, id: str) -> bool:
        return self._docks[id].isVisible() and not self._docks[id].visibleRegion().isEmpty()

    def _make_next(self) -> None:
        if self._waiting:
            self.panel(self._waiting.pop(0))
        if self._waiting:
            self._next.start()
        elif not self._settled:
            self._settled = True
            self.settled.emit()

    def _fill(self, id: str, content: QWidget) -> None:
        before = self._docks[id].widget()
        self._docks[id].setWidget(content)
        before.deleteLater()  # Qt takes it out and leaves it where it is

    def _make_panel(self, id: str) -> None:
        module, _, name = self.entries[id].target.partition(":")
        try:
            kind = getattr(importlib.import_module(f"widgets.panels.{module}"), name)
            panel = kind(self._session)
        except Exception as error:  # one broken panel must not take the window with it; it is shown in its place
            self._failed.add(id)
            self._fill(id, failure(self.entries[id].title, error))
            self.panel_failed.emit(id, f"{self.entries[id].title}: {error}", traceback.format_exc())
            return
        self._panels[id] = panel
        self._put(id, behind=not self._in_sight(id))
        self._fill(id, panel)
        if id in self._saved:
            panel.restore_state(self._saved.pop(id))
        self.panel_made.emit(panel)


def failure(title: str, error: Exception) -> QWidget:
    """Make what stands in a dock whose panel could not be built."""
    label = QLabel(f"The panel {title} could not be opened.\n\n{type(error).__name__}: {error}")
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setAlignment(Qt.AlignmentFlag.AlignCenter)
    holder = QWidget()
    QVBoxLayout(holder).addWidget(label)
    return holder


def focus_first(panel: QWidget) -> None:
    """Give the keyboard to the panel: to its focus proxy, or to the first thing that is shown in it and takes the keyboard."""
    proxy = panel.focusProxy()
    fields = [w for w in panel.findChildren(QWidget) if w.focusPolicy() & Qt.FocusPolicy.TabFocus]
    for target in ([proxy] if proxy is not None else []) + fields:
        if target.isVisibleTo(panel) and target.isEnabledTo(panel):
            target.setFocus(Qt.FocusReason.ShortcutFocusReason)
            return
    panel.setFocus(Qt.FocusReason.ShortcutFocusReason)
