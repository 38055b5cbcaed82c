"""The menu bar, filled from the registry of commands."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtWidgets import QMainWindow, QMenu

from widgets.commands import Command, Registry, make_action


class Menus:
    """Puts every command that is added into the registry, into its menu and under its shortcut.

    Parameters
    ----------
    menus
        Menus that stand in the menu bar already, by name.
    """

    def __init__(self, registry: Registry, window: QMainWindow, menus: Mapping[str, QMenu]) -> None:
        self._registry = registry
        self._window = window
        self._menus: dict[str, QMenu] = {}
        self._sections: dict[str, str] = {}
        for name, menu in menus.items():
            self._take(name, menu)

    def add(self, *commands: Command) -> None:
        """Add commands; a command without a menu gets its shortcut only."""
        for command in commands:
            self._registry.add(command)
            action = make_action(command, self._window)
            self._window.addAction(action)  # so that the shortcut works however the menu bar is shown
            if command.menu:
                menu = self.menu(command.menu)
                if self._sections.get(command.menu, command.section) != command.section:
                    menu.addSeparator()
                self._sections[command.menu] = command.section
                menu.addAction(action)

    def menu(self, path: str) -> QMenu:
        """Return the menu of that name, such as ``File`` or ``View/Panels``, made when it is not there."""
        if path not in self._menus:
            above, _, name = path.rpartition("/")
            bar = self._window.menuBar()
            menu = QMenu(name, self._window)
            if above:
                self.menu(above).addMenu(menu)
            elif "Help" in self._menus:  # menus that panels bring come before Help
                bar.insertMenu(self._menus["Help"].menuAction(), menu)
            else:
                bar.addMenu(menu)
            self._take(path, menu)
        return self._menus[path]

    def _take(self, path: str, menu: QMenu) -> None:
        menu.setToolTipsVisible(True)
        menu.aboutToShow.connect(lambda: self._refresh(menu))
        self._menus[path] = menu

    def _refresh(self, menu: QMenu) -> None:
        for action in menu.actions():
            if action.objectName() in self._registry:
                command = self._registry.find(action.objectName())
                action.setEnabled(command.is_enabled())
                action.setChecked(command.checked is not None and command.checked())
