"""`list_entries`: what ``python main.py list`` writes of networks, layers, circuits, images, analyses, recipes and problems."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from workbench.input_error import InputError
from workbench.task import Task
from workbench.terminal import open_model

if TYPE_CHECKING:
    from workbench.models.traced_model import TracedModel

KINDS = ("models", "layers", "circuit", "images", "analyses", "recipes", "problems")


def list_entries(kind: str, pattern: str, model: str | None, as_json: bool, allow_code: bool, task: Task) -> None:
    """Write what there is of one kind to stdout, one line each or as a JSON list.

    Parameters
    ----------
    kind
        One of `KINDS`.
    pattern
        Wildcard on the name or reference; a problem's number, title and category are searched too.
    model
        Reference of the network whose layers, or known circuit, are listed.

    Raises
    ------
    InputError
        When layers or a circuit are asked for without a model, the model cannot be opened, or no circuit is known of it.
    """
    if kind == "models":
        from workbench.models.loading import entries as networks

        entries: list[dict[str, Any]] = [asdict(entry) for entry in networks(pattern)]
        lines = [entry["ref"] for entry in entries]
    elif kind == "layers":
        if model is None:
            raise InputError("list layers needs a network; add --model REF, such as --model bundled:efficientnet-lite0")
        from workbench.jobs.engine import Engine

        entries = _layers(open_model(Engine(), model, allow_code, task), pattern)
        lines = _columns(
            (e["name"], e["kind"], "x".join(map(str, e["shape"])), f"{e['units']} units", e["role"]) for e in entries
        )
    elif kind == "circuit":
        if model is None:
            raise InputError("list circuit needs a network; add --model REF, such as --model bundled:planted/curve_net")
        from workbench.jobs.engine import Engine

        entries = _circuit(open_model(Engine(), model, allow_code, task), pattern)
        lines = _columns((e["what"], e["name"], json.dumps(e["value"], ensure_ascii=False)) for e in entries)
    elif kind == "images":
        from workbench.images.image_set import list_image_sets

        entries = [{"ref": ref} for ref in list_image_sets(pattern)]
        lines = [entry["ref"] for entry in entries]
    elif kind == "analyses":
        entries = _analyses(pattern)
        lines = [line for entry in entries for line in _analysis_lines(entry)]
    elif kind == "recipes":
        entries = _recipes(pattern)
        lines = [line for entry in entries for line in _analysis_lines(entry)]
    elif kind == "problems":
        entries = _problems(pattern)
        lines = _columns((e["number"], e["difficulty"], e["title"]) for e in entries)
    else:
        raise InputError(f"there is nothing to list named {kind!r}; there are {', '.join(KINDS)}")
    if as_json:
        sys.stdout.write(json.dumps(entries, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines)


def _layers(model: TracedModel, pattern: str) -> list[dict[str, Any]]:
    return [
        {
            "name": layer.name,
            "kind": layer.kind,
            "shape": list(layer.shape),
            "units": layer.units,
            "role": layer.role,
            "aliases": list(layer.aliases),
        }
        for layer in model.layers.values()
        if any(fnmatchcase(name, pattern) for name in (layer.name, *layer.aliases))
    ]


def _circuit(model: TracedModel, pattern: str) -> list[dict[str, Any]]:
    """Return what is known of a network, piece by piece; the pattern is for units, edges' ends and the names of facts."""
    known = model.circuit
    if known is None:
        raise InputError(
            f"nothing is known of the circuit of {model.ref}; list models 'bundled:planted/*' has those of which it is"
        )
    pieces = [
        *(("about", name, getattr(known, name)) for name in ("question", "images")),
        *(("unit", address, stands_for) for address, stands_for in known.units.items()),
        *(("edge", f"{start} -> {end}", weight) for start, end, weight in known.edges),
        *(("fact", name, value) for name, value in known.facts.items()),
    ]
    return [
        {"what": what, "name": name, "value": value}
        for what, name, value in pieces
        if any(fnmatchcase(part, pattern) for part in name.split(" -> "))
    ]


def _analyses(pattern: str) -> list[dict[str, Any]]:
    import inspect

    from workbench.analyses.analysis import discover

    return [
        {
            "name": name,
            "title": analysis.title,
            "help": inspect.getdoc(analysis) or "",
            "needs_images": analysis.needs_images,
            "parameters": analysis.model_json_schema(),
        }
        for name, analysis in discover().items()
        if fnmatchcase(name, pattern)
    ]


def _recipes(pattern: str) -> list[dict[str, Any]]:
    import inspect

    from workbench.training.recipe import discover, schema_of

    return [
        {
            "name": name,
            "title": kind.title,
            "help": inspect.getdoc(kind) or "",
            "settings": dict(settings),
            "parameters": schema_of(name),
        }
        for name, (kind, settings) in discover().items()
        if fnmatchcase(name, pattern)
    ]


def _analysis_lines(entry: Mapping[str, Any]) -> list[str]:
    """Describe one analysis or recipe and its parameters for a reader."""
    needed = entry["parameters"].get("required", ())
    lines = [f"{entry['name']}: {entry['help'].splitlines()[0] if entry['help'] else entry['title']}"]
    for name, field in entry["parameters"].get("properties", {}).items():
        default = "needed" if name in needed else f"default {json.dumps(field.get('default'))}"
        lines.append(f"    {name} ({default}{_range(field)}) {field.get('description', '')}".rstrip())
    return lines


def _range(field: Mapping[str, Any]) -> str:
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    rules = [f"{sign} {field[name]}" for name, sign in signs.items() if name in field]
    rules += [f"one of {', '.join(map(str, field['enum']))}"] if "enum" in field else []
    return "".join(f", {rule}" for rule in rules)


def _problems(pattern: str) -> list[dict[str, Any]]:
    from workbench.problems import load

    return [
        asdict(problem)
        for problem in load()
        if any(
            fnmatchcase(text.lower(), pattern.lower())
            for text in (problem.number, problem.title, problem.category, problem.sub_category)
        )
    ]


def _columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Align the cells of each column to the left."""
    table = [[str(cell) for cell in row] for row in rows]
    if not table:
        return []
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
