"""The notes panel: what the user found, each note with a title, a text and the unit it is about; saved with the investigation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QDateTime, QEvent, QLocale, Qt
from PySide6.QtGui import QAction, QKeySequence, QResizeEvent, QTextCursor
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QSplitter,
    QStackedWidget,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from widgets.address_text import AddressText
from widgets.docks import Panel
from widgets.pinned_figures import PinnedFigures, pinned
from widgets.project_edit import ProjectEdit, UndoKeys
from widgets.session import Session
from widgets.theme import set_icon
from workbench.address import Address
from workbench.owner import owner_of
from workbench.project import Note, Project

if TYPE_CHECKING:
    from widgets.views.view import View

TITLE, UNIT, CHANGED = range(3)
NARROW = 520
"""Width in pixels below which a note stands under the list instead of beside it."""
WIDE = 660
"""Width in pixels from which the list has room for when a note was changed."""


class NotesPanel(Panel):
    """The notes of the investigation as a list, and the chosen one to write in."""

    id = "notes"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._notes: list[Note] = []
        self._written: list[Note] = []  # what the rows show, to write only those that changed
        self.field = QLineEdit(placeholderText="Search notes", clearButtonEnabled=True)
        self.field.setAccessibleName("Search notes")
        self.field.textChanged.connect(self._filter)
        self.list = QTreeWidget(columnCount=3, rootIsDecorated=False, uniformRowHeights=True, allColumnsShowFocus=True)
        self.list.setAccessibleName("Notes")
        self.list.setAlternatingRowColors(True)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # the index at the end of an address tells most
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setHeaderLabels(["Note", "Unit", "Changed"])
        header = self.list.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(TITLE, QHeaderView.ResizeMode.Stretch)
        for column, width in ((UNIT, 130), (CHANGED, 92)):
            header.resizeSection(column, width)
        self.list.currentItemChanged.connect(self._show_current)

        self.add = self._action("New note", "notes", "Begin a note; it is linked to the selected unit", self.add_note)
        self.delete = self._action("Delete", "clear", "Delete the chosen note (Del); undo brings it back", self.delete_note)
        remove = QAction("Delete note", self.list, shortcut=QKeySequence(QKeySequence.StandardKey.Delete))
        remove.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)  # in the text, Del deletes a letter
        remove.triggered.connect(self.delete_note)
        self.list.addAction(remove)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.page = NotePage(session)
        self.empty = QLabel(
            "No notes yet.\nWrite down what you find: New note begins one about the selected unit (Ctrl+Shift+N).",
            alignment=Qt.AlignmentFlag.AlignCenter,
            wordWrap=True,
        )
        self._right = QStackedWidget()
        self._right.addWidget(self.page)
        self._right.addWidget(self.empty)

        bar = QHBoxLayout()
        bar.setSpacing(2)
        tools = (self._button(self.add), self._button(self.delete), self.field)
        for tool in tools:
            bar.addWidget(tool)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(bar)
        column.addWidget(self.list, 1)
        self.splitter = QSplitter(childrenCollapsible=False)
        self.splitter.addWidget(left)
        self.splitter.addWidget(self._right)
        self.splitter.setSizes([1000, 1200])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 6)
        layout.addWidget(self.splitter)
        self.setMinimumSize(280, 160)
        self.setFocusProxy(self.list)
        for one, following in pairwise((self.list, *tools)):  # Tab would skip what comes before the proxy
            self.setTabOrder(one, following)

        session.touched.connect(self._refresh)
        session.project_changed.connect(self._refresh)
        self._refresh()

    def _action(self, text: str, picture: str, tip: str, run: Callable[[], None]) -> QAction:
        action = QAction(text, self, toolTip=tip)
        set_icon(action, picture)
        action.triggered.connect(lambda: run())
        return action

    def _button(self, action: QAction) -> QToolButton:
        button = QToolButton(autoRaise=True)
        button.setDefaultAction(action)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        return button

    # What is shown

    def current(self) -> Note | None:
        """Return the chosen note."""
        row = self.list.indexOfTopLevelItem(self.list.currentItem()) if self.list.currentItem() else -1
        return self._notes[row] if 0 <= row < len(self._notes) else None

    def select(self, note: Note) -> None:
        """Choose a note of the project."""
        row = next(i for i, known in enumerate(self._notes) if known is note)
        self.list.setCurrentItem(self.list.topLevelItem(row))

    def _refresh(self) -> None:
        notes = self.session.project.notes
        if len(notes) != len(self._notes) or any(a is not b for a, b in zip(notes, self._notes, strict=True)):
            self._list_again(notes)
        changed = [row for row, note in enumerate(notes) if note != self._written[row]]
        for row in changed:
            self._write(self.list.topLevelItem(row), notes[row])
            self._written[row] = replace(notes[row])
        if changed:
            self._filter(self.field.text())
        self.page.show_note(self.current())
        self._right.setCurrentWidget(self.page if self.current() is not None else self.empty)
        self.delete.setEnabled(self.current() is not None)

    def _list_again(self, notes: list[Note]) -> None:
        """List other notes than before; choose one that is new, else the chosen one, else the one in its place."""
        chosen = self.current()
        place = self.list.indexOfTopLevelItem(self.list.currentItem()) if chosen is not None else 0
        before = {id(note) for note in self._notes}
        new = [note for note in notes if id(note) not in before]
        kept = [note for note in notes if note is chosen]
        self.list.blockSignals(True)
        self.list.clear()
        self.list.addTopLevelItems([QTreeWidgetItem() for _ in notes])
        self._notes = list(notes)
        for row, note in enumerate(notes):
            self._write(self.list.topLevelItem(row), note)
        self._written = [replace(note) for note in notes]
        self._filter(self.field.text())
        if notes:
            wanted = (new[:1] if len(new) == 1 or not kept else kept) or kept or [notes[min(place, len(notes) - 1)]]
            self.select(wanted[0])
        self.list.blockSignals(False)

    def _write(self, item: QTreeWidgetItem, note: Note) -> None:
        title = note.title or first_line(note.text) or "Untitled"
        changed = QDateTime.fromSecsSinceEpoch(int(note.changed))
        for column, text in ((TITLE, title), (UNIT, note.unit), (CHANGED, when(changed))):
            item.setText(column, text)
        item.setToolTip(TITLE, f"{title}\n{note.text}".strip()[:600])
        item.setToolTip(UNIT, f"{note.unit} of {note.model}" if note.unit else "")
        item.setToolTip(CHANGED, QLocale().toString(changed, QLocale.FormatType.LongFormat))

    def _filter(self, text: str) -> None:
        words = text.casefold().split()
        for row, note in enumerate(self._notes):
            searched = f"{note.title} {note.text} {note.unit} {note.model}".casefold()
            self.list.topLevelItem(row).setHidden(not all(word in searched for word in words))

    def _show_current(self) -> None:
        self.page.show_note(self.current())
        self._right.setCurrentWidget(self.page if self.current() is not None else self.empty)
        self.delete.setEnabled(self.current() is not None)

    # What one can do

    def add_note(self) -> None:
        """Begin a note about the selected unit and give its title the keyboard."""
        selected = self.session.addresses.selected()
        about = (selected.model, str(selected.place)) if selected.unit is not None or selected.family else ("", "")
        note = Note(model=about[0], unit=about[1])
        place = len(self.session.project.notes)
        self.field.clear()
        self._push("new note", lambda project: project.notes.insert(place, note), lambda project: project.notes.pop(place))
        self.select(note)
        self.page.title.setFocus(Qt.FocusReason.OtherFocusReason)

    def pin(self, view: View) -> None:
        """Begin a note with a view as it is now, about the unit it shows, else the selected one, and give its text the keyboard."""
        figure, png = pinned(view)
        unit, model = self.session.unit, self.session.model
        about = (self.session.owner(unit.layer), str(unit)) if unit is not None and model is not None else ("", "")
        if figure.origin.get("model") and figure.origin.get("unit"):  # it may show another unit than the selected one
            shown = str(figure.origin["unit"])
            about = owner_of(str(figure.origin["model"]), shown.rpartition(":")[0]), shown
        note = Note(title=figure.title, model=about[0], unit=about[1], figures=[figure])
        place = len(self.session.project.notes)

        def do(project: Project) -> None:
            project.arrays[figure.image] = png
            project.notes.insert(place, note)

        self.field.clear()
        self._push("pin view", do, lambda project: project.notes.pop(place))
        self.select(note)
        self.page.text.setFocus(Qt.FocusReason.OtherFocusReason)

    def delete_note(self) -> None:
        """Delete the chosen note."""
        note = self.current()
        if note is None:
            return
        place = self.list.indexOfTopLevelItem(self.list.currentItem())
        self._push("delete note", lambda project: project.notes.pop(place), lambda project: project.notes.insert(place, note))

    def _push(self, text: str, do: Callable[[Project], object], undo: Callable[[Project], object]) -> None:
        self.session.undo_stack.push(ProjectEdit(self.session, text, do, undo))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the note beside the list, or below it where there is no room."""
        super().resizeEvent(event)
        wanted = Qt.Orientation.Vertical if event.size().width() < NARROW else Qt.Orientation.Horizontal
        self.list.setColumnHidden(CHANGED, event.size().width() < WIDE)
        if self.splitter.orientation() != wanted:
            self.splitter.setOrientation(wanted)

    def save_state(self) -> dict[str, Any]:
        """Remember the chosen note and how the panel is divided."""
        chosen = self.list.indexOfTopLevelItem(self.list.currentItem()) if self.current() is not None else -1
        return {"note": chosen, "sizes": self.splitter.sizes()}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take them back."""
        sizes, row = state.get("sizes"), state.get("note")
        if isinstance(sizes, list) and len(sizes) == 2 and all(isinstance(size, int) for size in sizes):
            self.splitter.setSizes(sizes)
        if isinstance(row, int) and 0 <= row < len(self._notes):
            self.list.setCurrentItem(self.list.topLevelItem(row))


class NotePage(QWidget):
    """One note to write in, and the unit it is about."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.note: Note | None = None
        self.title = QLineEdit(placeholderText="Title")
        self.title.setAccessibleName("Title of the note")
        self.text = AddressText(tabChangesFocus=True)
        self.text.setPlaceholderText("What you found, and how you know; addresses that are pasted here (Ctrl+Shift+C copies one) are links")
        self.text.setAccessibleName("Text of the note")
        self.text.setUndoRedoEnabled(False)  # the session's undo stack holds it
        UndoKeys(session, self.title, self.text)
        self.title.textEdited.connect(lambda text: self.edit("title", text))
        self.text.textChanged.connect(self._take_text)
        self.text.followed.connect(session.addresses.open)
        self.figures = PinnedFigures(session)
        self.figures.removed.connect(self._remove_figure)
        self.unit = QLabel()
        self.unit.setTextInteractionFlags(Qt.TextInteractionFlag.LinksAccessibleByMouse | Qt.TextInteractionFlag.LinksAccessibleByKeyboard)
        self.unit.linkActivated.connect(self.go_to_unit)
        self.link = QToolButton(text="Link selected unit", toolTip="Make this note one about the selected unit")
        self.link.clicked.connect(self.link_unit)
        self.unlink = QToolButton(text="Unlink", toolTip="Make this a note about no unit in particular")
        self.unlink.clicked.connect(lambda: self._set_unit("", ""))
        line = QHBoxLayout()
        line.addWidget(self.unit, 1)
        line.addWidget(self.link)
        line.addWidget(self.unlink)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.title)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.figures)
        layout.addLayout(line)
        session.selection_changed.connect(self._show_unit)
        session.model_changed.connect(self._show_unit)
        self.show_note(None)

    def show_note(self, note: Note | None) -> None:
        """Show a note; a field that shows it already keeps its cursor."""
        self.note = note
        title, text = (note.title, note.text) if note is not None else ("", "")
        self.figures.show_figures(note.figures if note is not None else [])
        if self.title.text() != title:
            self.title.setText(title)
        if self.text.toPlainText() != text:
            place = self.text.textCursor().position()
            self.text.blockSignals(True)
            self.text.setPlainText(text)
            self.text.blockSignals(False)
            cursor = self.text.textCursor()
            cursor.setPosition(min(place, len(text)), QTextCursor.MoveMode.MoveAnchor)
            self.text.setTextCursor(cursor)
        self._show_unit()

    def _show_unit(self) -> None:
        note = self.note
        linked = note is not None and bool(note.unit)
        colour = self.palette().color(self.palette().ColorRole.Link).name()
        elsewhere = linked and not self._session.is_open(note.model)
        if linked:
            address = self.fontMetrics().elidedText(note.unit, Qt.TextElideMode.ElideMiddle, max(80, self.width() - 250))
            self.unit.setText(f"About <a style='color:{colour}' href='unit'>{escape(address)}</a>")
            self.unit.setToolTip(f"Select {note.unit}" + (f", opening {note.model}" if elsewhere else ""))
        else:
            self.unit.setText("About no unit in particular")
            self.unit.setToolTip("")
        self.unlink.setVisible(linked)
        selected = self._selected()
        self.link.setEnabled(bool(selected))
        self.link.setVisible(note is not None and (selected != note.unit or elsewhere or not selected))

    def _take_text(self) -> None:
        if self.note is not None:
            self.edit("text", self.text.toPlainText())

    def edit(self, name: str, value: str) -> None:
        """Set the title or the text; it can be taken back, a burst of typing at once."""
        note = self.note
        if note is None or getattr(note, name) == value:
            return
        self._change(note, f"edit note: {name}", {name: value}, typing=(id(note), name))

    def _remove_figure(self, place: int) -> None:
        """Take a figure off the note; its image stays until the investigation is opened again, so that undo can bring it back."""
        note = self.note
        if note is not None:
            self._change(note, "remove figure", {"figures": note.figures[:place] + note.figures[place + 1 :]})

    def _selected(self) -> str:
        """Say where the selected unit, units or family are, in short; empty for none."""
        selected = self._session.addresses.selected()
        return str(selected.place) if selected.unit is not None or selected.family else ""

    def link_unit(self) -> None:
        """Make the note one about the selected unit, units or family."""
        if self._session.model is not None and (unit := self._selected()):
            self._set_unit(self._session.owner(self._session.layer), unit)

    def _set_unit(self, model: str, unit: str) -> None:
        if self.note is not None:
            self._change(self.note, "link note" if unit else "unlink note", {"model": model, "unit": unit})

    def _change(self, note: Note, said: str, values: dict[str, Any], typing: tuple | None = None) -> None:
        before = {name: getattr(note, name) for name in (*values, "changed")}
        after = {**values, "changed": time.time()}

        def put(wanted: dict[str, Any]) -> Callable[[Project], None]:
            def change(_project: Project) -> None:
                for name, value in wanted.items():
                    setattr(note, name, value)

            return change

        self._session.undo_stack.push(ProjectEdit(self._session, said, put(after), put(before), typing))

    def go_to_unit(self) -> None:
        """Select what the note is about, opening its network when it is not the open one."""
        if self.note is not None and self.note.unit:
            try:
                place = Address.parse(self.note.unit)
            except ValueError as error:
                self._session.report(str(error))
                return
            self._session.addresses.open(replace(place, model=self.note.model))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the address into its line."""
        super().resizeEvent(event)
        self._show_unit()

    def changeEvent(self, event: QEvent) -> None:
        """Write the link in the new colours when they change."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "unlink"):
            self._show_unit()


def first_line(text: str) -> str:
    """Return the first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def when(moment: QDateTime) -> str:
    """Write a moment briefly: the time when it was today, else the date."""
    if moment.date() == QDateTime.currentDateTime().date():
        return QLocale().toString(moment.time(), QLocale.FormatType.ShortFormat)
    return QLocale().toString(moment.date(), QLocale.FormatType.ShortFormat)
