"""Edits of the project that can be taken back, and fields that are typed into without an undo of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from PySide6.QtCore import QEvent, QObject
from PySide6.QtGui import QKeyEvent, QKeySequence, QUndoCommand, QUndoStack
from PySide6.QtWidgets import QLineEdit, QWidget

from widgets.session import Session
from workbench.project import Project

PAUSE = 2.0
"""Seconds without typing after which the next key begins an edit of its own."""


class ProjectEdit(QUndoCommand):
    """One edit of the project; push it on the session's undo stack.

    Parameters
    ----------
    session
        Its project is changed, and it is told.
    text
        What the edit menu calls it.
    do, undo
        Change the project and change it back.
    typing
        What is being typed into, such as ``("note", 3, "title")``; edits of the same place that follow one another without a pause
        are taken back together.
    """

    def __init__(
        self,
        session: Session,
        text: str,
        do: Callable[[Project], None],
        undo: Callable[[Project], None],
        typing: Hashable = None,
    ) -> None:
        super().__init__(text)
        self._session = session
        self._do = do
        self._undo = undo
        self._typing = typing
        self._last = time.monotonic()

    def redo(self) -> None:
        """Change the project."""
        self._do(self._session.project)
        self._session.touch()

    def undo(self) -> None:
        """Change the project back."""
        self._undo(self._session.project)
        self._session.touch()

    def id(self) -> int:
        """Say that this may be joined with the edit before it, when it was typed."""
        return 1 if self._typing is not None else -1

    def mergeWith(self, other: QUndoCommand) -> bool:
        """Take a later edit of the same place into this one, when it followed at once."""
        if not isinstance(other, ProjectEdit) or other._typing != self._typing or other._last - self._last > PAUSE:
            return False
        self._do = other._do
        self._last = other._last
        return True


@contextmanager
def one_step(stack: QUndoStack, text: str) -> Iterator[None]:
    """Take back together all edits that are pushed inside."""
    stack.beginMacro(text)
    try:
        yield
    finally:
        stack.endMacro()


class UndoKeys(QObject):
    """Sends Ctrl+Z and Ctrl+Shift+Z in text fields to the session's undo stack instead of the field's own.

    Parameters
    ----------
    own_first
        Line edits whose text is no part of the project until it is complete: they take back what is typed themselves first.
    """

    def __init__(self, session: Session, *fields: QWidget, own_first: bool = False) -> None:
        super().__init__(fields[0])
        self._stack = session.undo_stack
        self._own_first = own_first
        for field in fields:
            field.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take the two keys, leave everything else to the field."""
        if isinstance(event, QKeyEvent) and event.type() in (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride):
            if self._own_first and isinstance(watched, QLineEdit) and (watched.isUndoAvailable() or watched.isRedoAvailable()):
                return False
            for key, act in (
                (QKeySequence.StandardKey.Undo, self._stack.undo),
                (QKeySequence.StandardKey.Redo, self._stack.redo),
            ):
                if event.matches(key):
                    event.accept()
                    if event.type() == QEvent.Type.KeyPress:
                        act()
                    return True
        return False
