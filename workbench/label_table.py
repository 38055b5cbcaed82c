"""Labels as a table (CSV): what this project writes, and what spreadsheets make of it.

Columns, in any order, of which only ``unit`` and ``label`` are needed:

| column | what stands in it |
| --- | --- |
| ``model`` | reference of the network, as `workbench.load` takes it; empty for the one named by the reader |
| ``unit`` | address, ``layer:index`` |
| ``label`` | the name |
| ``confidence`` | 0 to 1, ``93 %`` or empty |
| ``author``, ``evidence`` | free text |
| ``kind`` | ``typed`` (also for an empty cell) or ``proposed`` |
| ``created`` | ``2026-03-05T12:30:00.250Z`` or seconds since 1970; empty for not known |

Written with commas, UTF-8 and CRLF (RFC 4180). Read are commas, semicolons and tabs, UTF-8 with or without a byte order mark, UTF-16 and
Windows-1252, all line ends, decimal commas, and the line ``sep=;``.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import cast

from workbench.input_error import InputError
from workbench.labels import Kind, Label, Labels, Merged, merge, now
from workbench.models.layer import Layer, Unit

COLUMNS = ("model", "unit", "label", "confidence", "author", "evidence", "kind", "created")
NEEDED = ("unit", "label")


@dataclass(frozen=True)
class Complaint:
    """What is wrong with a line of a table, and what became of it."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


@dataclass
class LabelTable:
    """What was read.

    Attributes
    ----------
    labels
        The labels, those of one unit in the order of the lines; the same one twice is merged.
    complaints
        What was left out, and why, in the order of the lines.
    unchecked
        Labels of networks whose layers are not known here; they are kept.
    """

    labels: Labels = field(default_factory=dict)
    complaints: list[Complaint] = field(default_factory=list)
    unchecked: int = 0


def write_labels(labels: Labels) -> str:
    """Return the table of some labels; `read_labels` gives the same labels back."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for model, units in labels.items():
        for unit, of_unit in units.items():
            for label in of_unit:
                sure = "" if label.confidence is None else repr(label.confidence)
                when = _write_time(label.created)
                writer.writerow([model, unit, label.name, sure, label.author, label.evidence, label.kind, when])
    return text.getvalue()


def read_labels(content: bytes | str, known: Mapping[str, Sequence[Layer]] | None = None, model: str = "") -> LabelTable:
    """Read a table; a line that cannot be used is left out and named, the others are kept.

    Parameters
    ----------
    content
        The file.
    known
        Reference of a network -> its layers; labels of units that it does not have are left out. A layer may be given by any of
        its names. Labels of other networks are kept unchecked.
    model
        Reference of the network that lines without one are about.

    Raises
    ------
    InputError
        When it is no table of labels at all: no columns ``unit`` and ``label``, a quote that is not closed, no text.
    """
    text = content if isinstance(content, str) else _decoded(content)
    table = LabelTable()
    for line, cells in _rows(text):
        try:
            ref, unit, label = _read_row(cells, line, table, known or {}, model)
        except InputError as error:
            table.complaints.append(Complaint(line, f"{error}; left out"))
            continue
        table.unchecked += ref not in (known or {})
        merge(table.labels, {ref: {str(unit): [label]}})
    return table


def say_merged(done: Merged, table: LabelTable) -> str:
    """Say in one line what came of importing a table."""
    parts = [f"{done.added:,} new", f"{done.changed:,} changed", f"{done.unchanged:,} as they were"]
    if table.unchecked:
        parts.append(f"{table.unchecked:,} not checked (their network is not open)")
    if table.complaints:
        parts.append(f"{len(table.complaints):,} complaint{'s' if len(table.complaints) > 1 else ''}")
    return f"labels: {', '.join(parts)}"


BEYOND = "beyond the columns"
"""Where a line's cells stand for which there is no column."""


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Give number and cells of each line that is not empty, by the names of the columns."""
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)
    skipped = 1 if lines and lines[0].strip().lower().startswith("sep=") else 0
    separator = _separator(lines[skipped] if len(lines) > skipped else "")
    reader = csv.reader(io.StringIO("".join(lines[skipped:]), newline=""), delimiter=separator, strict=True)
    header: list[str] = []
    begins = 1 + skipped
    try:
        for cells in reader:
            line, begins = begins, reader.line_num + 1 + skipped
            if not header:
                header = [cell.strip().lower() for cell in cells]
                continue
            if any(cell.strip() for cell in cells):
                yield line, {**dict(zip(header, cells, strict=False)), BEYOND: "".join(cells[len(header) :])}
    except csv.Error as error:
        raise InputError(f"line {begins}: a quote is not closed, or stands in the middle of a cell ({error})") from None


def _separator(header: str) -> str:
    """Return the character between the columns of the header line."""
    for separator in ",;\t":
        names = [cell.strip().lower() for cell in next(csv.reader([header], delimiter=separator), [])]
        if all(needed in names for needed in NEEDED):
            return separator
    raise InputError(f"this is no table of labels: its first line names no columns {' and '.join(NEEDED)} (of {', '.join(COLUMNS)})")


def _read_row(
    cells: Mapping[str, str], line: int, table: LabelTable, known: Mapping[str, Sequence[Layer]], model: str
) -> tuple[str, Unit, Label]:
    """Read one line; what can be left out of it alone is, with a complaint."""

    def complain(text: str) -> None:
        table.complaints.append(Complaint(line, text))

    ref = cells.get("model", "") or model
    if not ref:
        raise InputError("no model is named")
    if cells[BEYOND].strip():  # a text with separators in it and no quotes around: none of the cells can be trusted
        raise InputError("there are more cells than columns")
    unit = _known_unit(Unit.parse(cells.get("unit", "").strip()), ref, known)
    sure = cells.get("confidence", "").strip()
    confidence = _read_confidence(sure)
    if sure and confidence is None:
        complain(f"confidence {sure!r} is not a number from 0 to 1; kept without")
    kind = cells.get("kind", "").strip().lower() or "typed"
    if kind not in ("typed", "proposed"):
        complain(f"kind {kind!r} is neither typed nor proposed; kept as typed")
        kind = "typed"
    when = cells.get("created", "").strip()
    created = (0.0 if "created" in cells else now()) if not when else _read_time(when)
    if created is None:
        complain(f"created {when!r} is not a time such as 2026-03-05T12:30:00Z; kept without")
    evidence, author = cells.get("evidence", ""), cells.get("author", "")
    return ref, unit, Label(cells.get("label", ""), confidence, author, evidence, cast(Kind, kind), created or 0.0)


def _known_unit(unit: Unit, ref: str, known: Mapping[str, Sequence[Layer]]) -> Unit:
    """Return the unit under the name its layer is shown by.

    Raises
    ------
    InputError
        When the network is known and has no such layer or unit.
    """
    if ref not in known:
        return unit
    layer = next((layer for layer in known[ref] if unit.layer in (layer.name, *layer.aliases)), None)
    if layer is None:
        near = get_close_matches(unit.layer, [layer.name for layer in known[ref]], n=1)
        raise InputError(f"{ref} has no layer {unit.layer!r}" + (f", did you mean {near[0]}?" if near else ""))
    if unit.index >= layer.units:
        raise InputError(f"{unit} does not exist, {layer.name} has units 0 to {layer.units - 1}")
    return Unit(layer.name, unit.index)


def _read_confidence(text: str) -> float | None:
    share = text.endswith("%")
    try:
        value = float(text.rstrip("% ").replace(",", ".")) / (100 if share else 1)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _write_time(seconds: float) -> str:
    if not seconds:
        return ""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return repr(seconds)
    if moment.timestamp() != seconds:  # finer than a microsecond
        return repr(seconds)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond % 1000 == 0 else "microseconds").replace("+00:00", "Z")


def _read_time(text: str) -> float | None:
    try:
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _decoded(content: bytes) -> str:
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError("this is no text; save the table as CSV, UTF-8")
