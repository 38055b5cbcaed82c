"""Everything one can do, declared once. Menus, shortcuts, the palette and the manual are all made from the same `Registry`.

>>> registry.add(Command("view.palette", "Command palette…", show, "Run any command by typing a part of its name.",
...                      menu="View", shortcut="Ctrl+Shift+P"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PySide6.QtGui import QAction, QKeySequence


@dataclass(frozen=True)
class Command:
    """One thing a user can do.

    Attributes
    ----------
    id
        Dotted name, such as ``file.open``; stable, used in tests and in settings.
    title
        What menus and the palette show; with an ellipsis when it asks for more before it acts.
    run
        Called without arguments.
    help
        One or two sentences for the status bar, the palette and the manual. Required.
    menu
        Menu it stands in, ``View/Panels`` for a submenu; empty for palette and shortcut only.
    shortcut
        Portable text such as ``Ctrl+Shift+P``; empty for none.
    section
        Commands of one menu with different sections are kept apart by a line.
    enabled
        Asked whenever the command is shown or about to run.
    checked
        For commands that are on or off: asked for the state.
    """

    id: str
    title: str
    run: Callable[[], object]
    help: str
    menu: str = ""
    shortcut: str = ""
    section: str = ""
    enabled: Callable[[], bool] | None = None
    checked: Callable[[], bool] | None = None

    def __post_init__(self) -> None:
        if not self.id or not self.title:
            raise ValueError(f"a command needs an id and a title, got id {self.id!r} and title {self.title!r}")
        if not self.help.strip():
            raise ValueError(f"command {self.id!r} has no help text; say in a sentence what it does")
        if self.shortcut and not normalise(self.shortcut):
            raise ValueError(f"command {self.id!r}: {self.shortcut!r} is not a key combination such as Ctrl+Shift+P")

    @property
    def plain_title(self) -> str:
        """Title without the ellipsis."""
        return self.title.rstrip("….")

    def is_enabled(self) -> bool:
        """Whether it can run now."""
        return self.enabled is None or self.enabled()


def normalise(shortcut: str) -> str:
    """Write a key combination in Qt's one portable way, or return an empty string when it is none."""
    sequence = QKeySequence(shortcut, QKeySequence.SequenceFormat.PortableText)
    text = sequence.toString(QKeySequence.SequenceFormat.PortableText)
    unknown = sequence.isEmpty() or any(sequence[i].key().value in (0, 0x01FFFFFF) for i in range(sequence.count()))
    return "" if unknown else text


class Registry:
    """All commands, in the order in which they were added."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}
        self._shortcuts: dict[str, str] = {}

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def __len__(self) -> int:
        return len(self._commands)

    def __contains__(self, id: str) -> bool:
        return id in self._commands

    def add(self, *commands: Command) -> None:
        """Add commands.

        Raises
        ------
        ValueError
            When an id or a shortcut is taken.
        """
        for command in commands:
            if command.id in self._commands:
                raise ValueError(f"there is a command {command.id!r} already")
            shortcut = normalise(command.shortcut) if command.shortcut else ""
            if shortcut in self._shortcuts:
                raise ValueError(f"{command.id!r} wants {shortcut}, which {self._shortcuts[shortcut]!r} has")
            if shortcut:
                self._shortcuts[shortcut] = command.id
            self._commands[command.id] = command

    def find(self, id: str) -> Command:
        """Return the command of that id.

        Raises
        ------
        KeyError
            When there is none; the nearest id is suggested.
        """
        if id in self._commands:
            return self._commands[id]
        from difflib import get_close_matches

        near = get_close_matches(id, self._commands, n=1, cutoff=0.4)
        raise KeyError(f"no command {id!r}" + (f"; did you mean {near[0]!r}?" if near else ""))

    def search(self, text: str) -> list[Command]:
        """Return the commands whose title holds the letters of `text` in order, best match first; all for an empty text."""
        scored = [(fuzzy_score(text, f"{c.menu.replace('/', ' ')} {c.title}"), i, c) for i, c in enumerate(self)]
        return [c for score, _, c in sorted(scored, key=lambda s: (-s[0], s[1])) if score > 0]

    def near_miss(self, text: str) -> Command | None:
        """Return the command that was probably meant when `search` finds nothing, or None."""
        titles = {c.title.lower(): c for c in self} | {c.plain_title.lower(): c for c in self}
        from difflib import get_close_matches

        near = get_close_matches(text.lower(), titles, n=1, cutoff=0.5)
        return titles[near[0]] if near else None

    def manual(self) -> str:
        """Return the manual page as HTML: every command by menu, with its shortcut and help text."""
        from html import escape

        rows: dict[str, list[str]] = {}
        for command in self:
            keys = QKeySequence(command.shortcut).toString(QKeySequence.SequenceFormat.NativeText)
            rows.setdefault(command.menu.replace("/", " › ") or "Keyboard and palette only", []).append(
                f"<tr><td><b>{escape(command.title)}</b></td><td><code>{escape(keys)}</code></td>"
                f"<td>{escape(command.help)}</td></tr>"
            )
        return "".join(
            f"<h3>{escape(menu)}</h3><table cellpadding='4' width='100%'>{''.join(lines)}</table>"
            for menu, lines in rows.items()
        )


def fuzzy_score(pattern: str, text: str) -> float:
    """Rate how well `pattern` abbreviates `text`: 0 when its letters do not occur in order, more for runs and word starts."""
    pattern, text = "".join(pattern.lower().split()), text.lower()
    if not pattern:
        return 1.0
    best = 0.0
    for start in (i for i, letter in enumerate(text) if letter == pattern[0]):
        score, position, previous = 0.0, start, -2
        for letter in pattern:
            position = text.find(letter, position)
            if position < 0:
                break
            at_word_start = position == 0 or not text[position - 1].isalnum()
            score += 1 + 2 * (position == previous + 1) + 2 * at_word_start
            previous, position = position, position + 1
        else:
            best = max(best, score - 0.01 * start - 0.01 * (position - start))
    return best


def make_action(command: Command, parent) -> QAction:
    """Make the `QAction` of a command: title, shortcut, help as status tip, checked state."""
    action = QAction(command.title, parent)
    action.setObjectName(command.id)
    action.setShortcut(QKeySequence(command.shortcut, QKeySequence.SequenceFormat.PortableText))
    action.setStatusTip(command.help)
    action.setToolTip(command.help)
    action.setCheckable(command.checked is not None)
    action.triggered.connect(lambda _checked=False: command.run())  # same thread: the window's
    return action
