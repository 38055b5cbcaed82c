"""What is copied of a view beside its image: its address, and the lines that recompute it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMenu, QWidget

from widgets.ancestry import outwards
from widgets.commands import Command
from widgets.keyboard import with_keyboard
from widgets.views.view import View

if TYPE_CHECKING:
    from widgets.main_window import MainWindow
    from workbench.recompute import Recomputation, TrainingRun

UNKNOWN = "It is not known what recomputes this view: it shows what is still being computed, or a sweep of an earlier session"
PYTHON = "Lines that compute the arrays of this view again"
COMMAND = "A line for the terminal, in the workbench's folder, that writes the arrays into a folder"


def copy_text(text: str) -> None:
    """Put a text on the clipboard."""
    QGuiApplication.clipboard().setText(text)


def add_copy_actions(menu: QMenu, view: View) -> None:
    """Add *Copy address*, *Copy as Python* and *Copy as command* to a view's menu; what cannot be is disabled and says why."""
    address = str(view.made_from.get("address", ""))
    if address:
        menu.addAction("Copy address", lambda: copy_text(address)).setToolTip(address)
    add_recomputation_actions(menu, view.recomputation)


def add_recomputation_actions(menu: QMenu, again: Recomputation | TrainingRun | None) -> None:
    """Add *Copy as Python* and *Copy as command*."""
    menu.setToolTipsVisible(True)
    for title, tip, lines in (
        ("Copy as Python", PYTHON, lambda: again.python()),
        ("Copy as command", COMMAND, lambda: again.command()),
    ):
        action = menu.addAction(title, lambda lines=lines: copy_text(lines()))
        action.setEnabled(again is not None)
        action.setToolTip(tip if again is not None else UNKNOWN)


class Clippings:
    """Copies from the view that has the keyboard, else from the first view of its panel, else from the inspector.

    Parameters
    ----------
    window
        Whose views, selection and status line these are.
    """

    def __init__(self, window: MainWindow) -> None:
        self._window = window

    def focused(self) -> View | None:
        """Return the view that has the keyboard itself, or None."""
        return next((at for at in outwards(with_keyboard(self._window)) if isinstance(at, View)), None)

    def view(self) -> View | None:
        """Return the view that lines are copied of: one that can be recomputed, where there is one."""
        if (focused := self.focused()) is not None:
            return focused
        inspector = self._window.docks.panel("inspector")
        for panel in (self._window.docks.current(), inspector):
            for view in panel.views() if panel is not None else ():
                if view.recomputation is not None:
                    return view
        return None

    def copy_address(self) -> None:
        """Copy the address of the view that has the keyboard, else of the selection."""
        focused = self.focused()
        address = str(focused.made_from.get("address", "")) if focused is not None else ""
        address = address or str(self._window.session.addresses.selected())
        copy_text(address)
        self._say(f"Copied: {address}")

    def copy_python(self) -> None:
        """Copy lines of Python that recompute the view."""
        self._copy("Python", lambda again: again.python())

    def copy_command(self) -> None:
        """Copy lines for the terminal that recompute the view."""
        self._copy("the command", lambda again: again.command())

    def _copy(self, what: str, lines: Callable[[Recomputation | TrainingRun], str]) -> None:
        view = self.view()
        if view is None or view.recomputation is None:
            nothing = "There is no view that could be recomputed: click a unit first."
            self._window.session.inform(f"{UNKNOWN}." if view is not None else nothing)
            return
        copy_text(lines(view.recomputation))
        self._say(f"Copied {what} that recomputes: {view.title}")

    def _say(self, text: str) -> None:
        self._window.statusBar().showMessage(text, 6000)

    def commands(self) -> tuple[Command, ...]:
        """Declare them for menus, shortcuts and palette."""
        return (
            Command(
                "edit.copy_address",
                "Copy address",
                self.copy_address,
                "Copy the address of the view that has the keyboard, else of the selected units, family or layer; Ctrl+G goes to one.",
                "Edit",
                "Ctrl+Shift+C",
                "copy",
                enabled=lambda: self._window.session.model is not None,
            ),
            Command(
                "edit.copy_python",
                "Copy as Python",
                self.copy_python,
                "Copy lines of Python that compute the arrays of the view again: that with the keyboard, else the first of its panel.",
                "Edit",
                "Ctrl+Alt+C",
                "copy",
            ),
            Command(
                "edit.copy_command",
                "Copy as command",
                self.copy_command,
                "Copy a line for the terminal that computes the arrays of the view again, without the window.",
                "Edit",
                section="copy",
            ),
        )


def copy_menu(again: Recomputation | TrainingRun | None, parent: QWidget) -> QMenu:
    """Make a menu with *Copy as Python* and *Copy as command* for a button."""
    menu = QMenu(parent)
    add_recomputation_actions(menu, again)
    return menu
