"""The patches of a result as a table, one line each: what the panel shows, and what is written as CSV or Parquet."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.input_error import InputError
from workbench.whole_file import replacing, write_whole

if TYPE_CHECKING:
    from workbench.analyses.analysis import Result

SCORES = (
    *(f"{way}_{what}" for way in ("denoise", "noise") for what in ("score", "low", "high", "attribution")),
    "unaligned_score", "unaligned_high", "twin_score",
)  # fmt: skip
"""Arrays of `ActivationPatching` with one number a patch; the last is there where a twin was patched."""


@dataclass(frozen=True)
class Row:
    """One patch.

    Attributes
    ----------
    unit
        Number of the unit, where the patch is one; -1 else.
    cell
        Row and column, where the patch is one position of a grid; None else.
    """

    name: str
    layer: str
    unit: int = -1
    cell: tuple[int, int] | None = None


def rows_of(result: Result) -> list[Row]:
    """Return the patches of a result of `ActivationPatching`, in its order."""
    told, found = result.summary, []
    for name, place in zip(told["names"], result.arrays["layer"].tolist(), strict=True):
        layer = told["layers"][place]
        rest = name.removesuffix(" inside").removeprefix(f"{layer}:")
        one = told["part"] in ("unit", "direction") and rest.isdigit()
        at = re.fullmatch(r".* at row (\d+), column (\d+)", name) if told["part"] == "cell" else None
        found.append(Row(name, layer, int(rest) if one else -1, (int(at[1]), int(at[2])) if at else None))
    return found


def partly(summary: Mapping[str, Any]) -> str:
    """Say how many of the layers' parts were patched, where these are not all: ``64 of 448 patched``."""
    patched, of = sum(summary["in_layer"]), sum(summary["of_layer"])
    return f"{patched} of {of} patched" if patched < of else ""


def numbers_in(name: str) -> tuple[tuple[int, int | str], ...]:
    """Return a key that sorts names as one counts: ``mixed4a:2`` before ``mixed4a:10``."""
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"([0-9]+)", name) if part)


def columns_of(result: Result) -> dict[str, list[Any]]:
    """Return the table by columns: what each patch is, its scores (None for what is not known), and whether it was patched exactly.

    Where not all of a layer's parts were patched, ``stands_for`` says how many each one stands for.
    """
    rows, labels = rows_of(result), result.summary.get("labels") or []
    told: dict[str, list[Any]] = {"name": [row.name for row in rows], "layer": [row.layer for row in rows]}
    told["unit"] = [row.unit if row.unit >= 0 else None for row in rows]
    if labels:
        told["label"] = list(labels)
    for name in SCORES:
        if name in result.arrays:
            told[name] = [value if np.isfinite(value) else None for value in result.arrays[name].tolist()]
    if partly(result.summary):
        told["stands_for"] = result.arrays["stands_for"].tolist()
    told["exact"] = np.isfinite(result.arrays["denoise_score"]).tolist()
    told["pairs"] = np.isfinite(result.arrays["denoise"]).sum(1).tolist()
    return told


def write_table(result: Result, path: str | Path) -> Path:
    """Write the table as ``.csv`` or ``.parquet``, whole or not at all; return the file.

    A Parquet file also holds what the numbers were made from; beside a CSV file that is written into ``NAME.json``, as beside figures.

    Raises
    ------
    InputError
        When the ending is neither, or pyarrow, which writes Parquet, is not installed.
    """
    path = Path(path)
    write = {".csv": _write_csv, ".parquet": _write_parquet}.get(path.suffix.lower())
    if write is None:
        raise InputError(f"a table ends in .csv or .parquet, not {path.suffix!r}: {path.name}")
    with replacing(path) as beside:
        write(columns_of(result), beside, {"analysis": result.analysis, **{key: str(value) for key, value in result.provenance.items()}})
        if path.suffix.lower() == ".csv":
            write_whole(path.with_suffix(".json"), _origin(result, path.name))
    return path


def _origin(result: Result, table: str) -> str:
    summary = {name: result.summary[name] for name in ("metric", "corruption", "put", "through", "pairs", "left_out", "incomplete")}
    document = {"table": table, "analysis": result.analysis, "parameters": result.parameters, **result.provenance, "summary": summary}
    return json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n"


def _write_csv(columns: Mapping[str, list[Any]], path: Path, _about: Mapping[str, str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(["" if value is None else value for value in row] for row in zip(*columns.values(), strict=True))


def _write_parquet(columns: Mapping[str, list[Any]], path: Path, about: Mapping[str, str]) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError("Parquet is written by pyarrow: pip install 'circuit-workbench[parquet]', or write .csv") from None
    table = pyarrow.table(dict(columns))
    pyarrow.parquet.write_table(table.replace_schema_metadata(dict(about)), path)
