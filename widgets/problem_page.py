"""The page of one open problem: what it asks, what is known, what the user sets for it, and where it is started."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import get_args

from PySide6.QtCore import QEvent, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QGridLayout, QLineEdit, QPushButton, QTextBrowser, QVBoxLayout, QWidget

from widgets.elided_combo_box import ElidedComboBox
from widgets.elided_label import ElidedLabel
from widgets.panels import PANELS
from widgets.problem_report import ProblemReport
from widgets.project_edit import ProjectEdit, UndoKeys
from widgets.session import Session
from widgets.theme import set_icon
from workbench import problems
from workbench.problems import DIFFICULTIES, Problem
from workbench.project import ProblemState, Project, Status


class ProblemPage(QWidget):
    """One problem: what it asks, what is known, what the user sets for it, and the button that starts it."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._titles: dict[str, str] | None = None
        self.problem = problems.load()[0]
        self.text = QTextBrowser(openLinks=False)
        self.text.setAccessibleName("About the problem")
        self.text.anchorClicked.connect(open_link)
        self.text.highlighted.connect(lambda url: self.text.setToolTip(url.toString()))
        self.status = ElidedComboBox(letters=3)
        for status in get_args(Status):
            self.status.addItem(status.capitalize(), status)
        self.status.setToolTip("How far you are with it; saved with the investigation")
        self.working = QLineEdit(placeholderText="nobody yet")
        self.working.setToolTip("Who is working on it; saved with the investigation")
        self.help = QLineEdit(placeholderText="none")
        self.help.setToolTip("What help is wanted; saved with the investigation")
        self.start = QPushButton("Start")
        set_icon(self.start, "run")
        self.report = ProblemReport(session, self)
        UndoKeys(session, self.working, self.help)
        for field, name in ((self.status, "Status"), (self.working, "Currently working"), (self.help, "Help wanted")):
            field.setAccessibleName(name)
        self.status.activated.connect(lambda: self.edit("status", self.status.currentData()))
        self.working.textEdited.connect(lambda text: self.edit("currently_working", text))
        self.help.textEdited.connect(lambda text: self.edit("help_wanted", text))

        form = QGridLayout()
        form.setHorizontalSpacing(6)
        form.setVerticalSpacing(1)
        for column, field in enumerate((self.status, self.working, self.help)):
            caption = ElidedLabel(field.accessibleName())
            caption.setBuddy(field)
            form.addWidget(caption, 0, column)
            form.addWidget(field, 1, column)
            form.setColumnStretch(column, 1)
        form.addWidget(self.start, 1, 3)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.report)
        layout.addLayout(form)
        self.show_problem(self.problem)

    def show_problem(self, problem: Problem) -> None:
        """Show another problem."""
        self.problem = problem
        there, missing = panels_for(problem)
        tip = f"Open {listed([PANELS[id].title for id in there])}"
        self.start.setToolTip(tip + (f"; not built yet: {listed([name_of(id) for id in missing])}" if missing else ""))
        self._write()
        self.text.verticalScrollBar().setValue(0)
        self.report.show_problem(problem.number)
        self.show_state()

    def show_analyses(self, titles: dict[str, str]) -> None:
        """Take which analyses there are, class name -> title."""
        self._titles = titles
        self._write()

    def _write(self) -> None:
        problem = self.problem
        about = [problem.sub_category or "No sub-category", f"{problem.difficulty}: {DIFFICULTIES[problem.difficulty]}"]
        about += [f"printed as {problem.printed_number}"] if problem.printed_number != problem.number else []
        faint = self.palette().color(self.palette().ColorRole.PlaceholderText).name()
        there, missing = panels_for(problem)

        def lines(ready: Sequence[str], unbuilt: Sequence[str]) -> str:
            said = [f"{listed(ready)}."] if ready else []
            said += [f"<span style='color:{faint}'>Not built yet: {listed(unbuilt)}.</span>"] if unbuilt else []
            return " ".join(said)

        known = self._titles if self._titles is not None else {}
        built = [known[name] for name in problem.analyses if name in known]
        unbuilt = [name_of(name) for name in problem.analyses if name not in known]
        rows = [("Panels", lines([PANELS[id].title for id in there], [name_of(id) for id in missing]))]
        if self._titles is not None:
            rows.append(("Analyses", lines(built, unbuilt)))
        works = "".join(
            f"<li><a href='{escape(link.url)}'>{escape(link.title)}</a></li>" for link in problem.existing_work
        )
        sources = " · ".join(f"<a href='{escape(link.url)}'>{escape(link.title)}</a>" for link in problems.sources())
        place = self.text.verticalScrollBar().value()
        self.text.setHtml(
            f"<p style='margin:2px 0 0 0; font-size:large'><b>{problem.number}&nbsp; {escape(problem.title)}</b></p>"
            f"<p style='margin-top:0; color:{faint}'>{escape(' · '.join(about))}</p>"
            f"<p>{escape(problem.text)}</p>"
            f"<p style='margin-bottom:2px'><b>Existing work</b></p><ul style='margin:0; -qt-list-indent:0'>{works}</ul>"
            + "".join(f"<p><b>{name}</b>&nbsp; {text}</p>" for name, text in rows)
            + f"<p style='color:{faint}'><b>Source</b>&nbsp; {sources}</p>"
        )
        self.text.verticalScrollBar().setValue(place)

    def show_state(self) -> None:
        """Show what the project holds for this problem; a field that shows it already keeps its cursor."""
        state = state_of(self._session.project, self.problem.number)
        self.status.setCurrentIndex(self.status.findData(state.status))
        for field, text in ((self.working, state.currently_working), (self.help, state.help_wanted)):
            if field.text() != text:
                field.setText(text)
                field.setCursorPosition(len(text) if field.hasFocus() else 0)

    def edit(self, name: str, value: str) -> None:
        """Set one field of what the user sets; it can be taken back."""
        number = self.problem.number
        before = getattr(state_of(self._session.project, number), name)
        if value == before:
            return

        def put(text: str):
            def change(project: Project) -> None:
                state = project.problems.setdefault(number, ProblemState())
                setattr(state, name, text)
                if state == ProblemState():
                    del project.problems[number]

            return change

        said = {"status": "status", "currently_working": "who is working", "help_wanted": "help wanted"}[name]
        typing = None if name == "status" else (number, name)
        self._session.undo_stack.push(
            ProjectEdit(self._session, f"problem {number}: {said}", put(value), put(before), typing)
        )

    def changeEvent(self, event: QEvent) -> None:
        """Write the text in the new colours when they change."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "text"):
            self._write()


def state_of(project: Project, number: str) -> ProblemState:
    """Return what the user has set for a problem."""
    return project.problems.get(number, ProblemState())


def panels_for(problem: Problem) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the panels a problem opens: those that are there, and those that are not built yet."""
    there = tuple(id for id in problem.opens if id in PANELS)
    return there, tuple(id for id in problem.opens if id not in PANELS)


def name_of(id: str) -> str:
    """Write the id of a panel or the name of an analysis as one would say it: ``weight heatmap``."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in id.replace("_", " "))
    return words.strip()


def listed(names: Sequence[str]) -> str:
    """Write names as a sentence has them: ``a, b and c``."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part) if names else "none"


def open_link(url: QUrl) -> None:
    """Open an article in the browser."""
    QDesktopServices.openUrl(url)
