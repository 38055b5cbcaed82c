"""The notes of an investigation as one page of HTML that needs nothing beside it: figures, provenance and addresses are inside."""

from __future__ import annotations

import base64
import json
from html import escape
from pathlib import Path

from workbench.project import Figure, Note, Project
from workbench.report_page import whole_page
from workbench.whole_file import write_whole


def notes_page(project: Project, title: str = "Notes") -> str:
    """Return the page: every note with its text, what it is about, its figures and what they were made from."""
    written = [_article(number, note, project) for number, note in enumerate(project.notes, 1)]
    contents = "".join(f'<a href="#note-{i}">{escape(_title(note))}</a>' for i, note in enumerate(project.notes, 1))
    opened = " · ".join(f"<code>{escape(ref)}</code>" for ref in (project.model, project.images) if ref)
    return whole_page(title, f'<p class="about">{opened}</p>\n<nav>{contents}</nav>\n' + "\n".join(written))


def write_notes_page(project: Project, path: str | Path, title: str = "Notes") -> Path:
    """Write the page; return its path.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    path = Path(path)
    write_whole(path, notes_page(project, title).encode("utf-8", "replace"))
    return path


def _title(note: Note) -> str:
    first = next((line.strip() for line in note.text.splitlines() if line.strip()), "")
    return note.title or first[:80] or "Untitled"


def _article(number: int, note: Note, project: Project) -> str:
    about = ""
    if note.unit:
        about = f'<p class="about">About <code>{escape(note.unit)}</code> of <code>{escape(note.model)}</code></p>\n'
    text = f"<p>{escape(note.text)}</p>\n" if note.text.strip() else ""
    figures = "\n".join(_figure(figure, project) for figure in note.figures)
    return f'<article id="note-{number}"><h2>{escape(_title(note))}</h2>\n{about}{text}{figures}</article>'


def _figure(figure: Figure, project: Project) -> str:
    told = escape(json.dumps(figure.origin, indent=1, ensure_ascii=False))
    image = project.arrays.get(figure.image)
    shown = (
        f'<img alt="{escape(figure.title)}" src="data:image/png;base64,{base64.b64encode(image.tobytes()).decode("ascii")}">'
        if image is not None
        else "<p>(its image is missing)</p>"
    )
    return (
        f"<figure>{shown}<figcaption>{escape(figure.title)}<details><summary>made from</summary><pre>{told}</pre></details>"
        "</figcaption></figure>"
    )
