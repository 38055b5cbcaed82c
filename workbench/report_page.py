"""A report as one page of HTML that needs nothing beside it: text, tables and figures are inside; no script, nothing fetched.

>>> report_page("Is mixed3b:5 a curve detector?", [Section("Purity", ["70 % [65, 75]", Drawing("Stack plot", as_svg(figure))])])

The page is light or dark as the reader's system is, and prints black on white. Whoever writes pages (`notes_page`, an evidence card, the
report of a problem) shares the frame, `whole_page`, and the style sheet.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

import workbench

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
article, section { border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); padding: .5rem 0 1.5rem; }
h2 { margin-bottom: .2rem; }
.question { font-size: 1.15rem; }
.about, figcaption, caption, footer { font-size: .85rem; opacity: .75; }
caption { text-align: left; padding-bottom: .3rem; }
code { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
p { white-space: pre-wrap; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0;
  border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; }
img, figure svg { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
pre { overflow: auto; font-size: .8rem; }
nav a { display: block; }
@media print {
  :root { color-scheme: light; }
  body { max-width: none; margin: 0; font-size: 10pt; }
  figure, tr, h2 { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""
PROLOGUE = re.compile(r"\A.*?(?=<svg)", re.DOTALL)


@dataclass(frozen=True)
class Table:
    """Rows under headings; numbers stand to the right.

    Attributes
    ----------
    columns
        Headings.
    rows
        One text (or number) for each heading.
    caption
        What the table shows.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | int | float]]
    caption: str = ""


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes
    ----------
    title
        What it shows, also for those who cannot see it.
    svg
        As `as_svg` returns it.
    note
        Axes, number of images, null: whatever a reader must know.
    """

    title: str
    svg: str
    note: str = ""


@dataclass(frozen=True)
class Details:
    """Plain text that is folded away, such as lines that recompute the figures."""

    title: str
    text: str


Part = str | Table | Drawing | Details
"""What a section is made of; a text is a paragraph."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    heading: str
    parts: Sequence[Part] = field(default=())


def report_page(title: str, sections: Sequence[Section], question: str = "", about: Mapping[str, str] | None = None) -> str:
    """Return the page.

    Parameters
    ----------
    question
        What the report answers, in a sentence.
    about
        What it was made from, by name: network, images, versions.
    """
    told = " · ".join(f"{escape(name)} <code>{escape(value)}</code>" for name, value in (about or {}).items() if value)
    head = (f'<p class="question">{escape(question)}</p>\n' if question else "") + (f'<p class="about">{told}</p>\n' if told else "")
    return whole_page(title, head + "\n".join(_section(section) for section in sections))


def whole_page(title: str, body: str) -> str:
    """Put a body (HTML) into the frame that all pages share: heading, style, version and date.

    A page that is replaced as a whole must not hold what is not text: see `escape` for everything that comes from outside.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n"
        + body
        + f"\n<footer>Circuit Workbench {escape(workbench.__version__)}, {now}</footer></body></html>\n"
    )


def as_svg(figure: Figure, name: str) -> str:
    """Return a figure of matplotlib as an SVG element that may stand in a page beside others.

    Parameters
    ----------
    name
        Sets it apart from the page's other figures: what is inside refers to itself by names made from this one.
    """
    import matplotlib

    written = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(written, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return PROLOGUE.sub("", written.getvalue(), count=1).strip()


def _section(section: Section) -> str:
    return f"<section><h2>{escape(section.heading)}</h2>\n" + "\n".join(map(_part, section.parts)) + "\n</section>"


def _part(part: Part) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>"
    if isinstance(part, Details):
        return f"<details><summary>{escape(part.title)}</summary><pre>{escape(part.text)}</pre></details>"
    if isinstance(part, Drawing):
        note = f"<br>{escape(part.note)}" if part.note else ""
        drawn = f'<div role="img" aria-label="{escape(part.title)}">{part.svg}</div>'
        return f"<figure>{drawn}<figcaption>{escape(part.title)}{note}</figcaption></figure>"
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in part.columns)
    rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in part.rows)
    caption = f"<caption>{escape(part.caption)}</caption>" if part.caption else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table>"


def _cell(value: str | int | float) -> str:
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    return f'<td class="number">{f"{value:.4g}" if isinstance(value, float) else f"{value:,}"}</td>'
