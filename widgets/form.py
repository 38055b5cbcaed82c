"""A form made from the parameters of an analysis: JSON schema in, plain values out.

pydantic describes an analysis' parameters as a JSON schema (bounds, defaults, help texts); this turns the schema into a pyqtgraph
`ParameterTree` and the tree's content back into values. What cannot be a value of its field is said at the field. pyqtgraph takes about
a second to import, so `Preload` does that in a thread of its own while the dialog is on the screen already.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtWidgets import QHeaderView, QLabel, QVBoxLayout, QWidget

from widgets.theme import set_icon, signal_colour
from workbench.jobs.collector import collector_at_rest

if TYPE_CHECKING:
    from pyqtgraph.parametertree import Parameter

TREE = "pyqtgraph.parametertree"
ROW = 24
"""Height of a field in pixels."""
MOST_UNITS = 100_000
"""Numbers that a range such as 0-99 may stand for."""


class Preload(QObject):
    """Imports pyqtgraph's parameter tree without stopping the window; `ready` follows."""

    ready = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._thread = threading.Thread(target=self._import, name="import of pyqtgraph")
        self._poll = QTimer(self, interval=15)
        self._poll.timeout.connect(self._look)

    def start(self) -> None:
        """Begin; when it was imported before, `ready` comes at once."""
        if TREE not in sys.modules:
            self._thread.start()
        self._poll.start()

    def _import(self) -> None:
        with collector_at_rest():  # the import touches every class of Qt; a pass over one half made crashes
            importlib.import_module(TREE)

    def _look(self) -> None:
        if not self._thread.is_alive():
            self._poll.stop()
            self.ready.emit()


@dataclass(frozen=True)
class Field:
    """One parameter of a schema.

    Attributes
    ----------
    name, description, unit
        As the analysis declares them.
    kind
        ``integer``, ``number``, ``boolean``, ``string``, ``choice``, ``integers``, ``strings`` or ``json``.
    default
        None when it must be given.
    required, optional
        Whether it has no default; whether it may be left empty, which stands for None.
    choices
        What may be chosen.
    low, high
        Bounds, both included; None where there is none.
    open_low, open_high
        Whether the bound itself is excluded.
    least
        How many entries a list must have.
    """

    name: str
    kind: str
    default: Any
    description: str = ""
    unit: str = ""
    required: bool = False
    optional: bool = False
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    least: int = 0

    @classmethod
    def from_schema(cls, name: str, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Field:
        """Read one property of a JSON schema; what has no form of its own is edited as JSON."""
        outer = schema
        schema = resolve(schema, root)
        options = [resolve(option, root) for option in schema.get("anyOf", ())]
        optional = any(option.get("type") == "null" for option in options)
        given = [option for option in options if option.get("type") != "null"]
        if len(given) == 1:
            schema = {**schema, **given[0]}
        kind, choices = _kind(schema, given, root)
        return cls(
            name=name,
            kind=kind,
            default=outer.get("default", schema.get("default")),
            description=str(outer.get("description", schema.get("description", ""))),
            unit=str(outer.get("unit", schema.get("unit", ""))),
            required=name in root.get("required", ()),
            optional=optional,
            choices=choices,
            low=schema.get("minimum", schema.get("exclusiveMinimum")),
            high=schema.get("maximum", schema.get("exclusiveMaximum")),
            open_low="exclusiveMinimum" in schema,
            open_high="exclusiveMaximum" in schema,
            least=schema.get("minItems", 0),
        )

    @property
    def bounds(self) -> str:
        """Say what it may be: ``at least 1, at most 16``."""
        parts = []
        if self.low is not None:
            parts.append(f"{'more than' if self.open_low else 'at least'} {self.low:g}")
        if self.high is not None:
            parts.append(f"{'less than' if self.open_high else 'at most'} {self.high:g}")
        return ", ".join(parts)

    @property
    def tooltip(self) -> str:
        """Help text, unit, bounds and default."""
        parts = [self.description or self.name]
        if self.unit:
            parts.append(f"Unit: {self.unit}")
        if self.bounds:
            parts.append(self.bounds.capitalize())
        if self.kind in _WRITTEN:
            parts.append(_WRITTEN[self.kind])
        if not self.required:
            parts.append(f"Default: {self.write(self.default) or 'empty'}")
        return "\n".join(parts)

    def write(self, value: Any) -> str:
        """Write a value as the form shows it."""
        if value is None:
            return ""
        if self.kind == "integers" and isinstance(value, Sequence):
            return write_integers(list(value))
        if self.kind == "strings" and isinstance(value, Sequence) and not isinstance(value, str):
            return write_strings(value)
        if self.kind == "json":
            return json.dumps(value) if not isinstance(value, str) else value
        return str(value)

    def read(self, shown: Any) -> Any:
        """Turn what the form shows into a value.

        Raises
        ------
        ValueError
            When it cannot be one; one line to stand at the field.
        """
        if self.optional and isinstance(shown, str) and not shown.strip():
            return None
        value = _READERS[self.kind](shown) if self.kind in _READERS else shown
        if self.required and value in ("", None):
            raise ValueError("needed")
        if isinstance(value, list) and len(value) < self.least:
            raise ValueError("needed" if self.least == 1 else f"at least {self.least} are needed")
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, int | float) and not isinstance(part, bool):
                self._check(part)
        return value

    def _check(self, value: float) -> None:
        too_low = self.low is not None and (value <= self.low if self.open_low else value < self.low)
        too_high = self.high is not None and (value >= self.high if self.open_high else value > self.high)
        if too_low or too_high:
            raise ValueError(f"{value:g} is not allowed: {self.bounds}")


def resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference into the schema's definitions."""
    while "$ref" in schema or len(schema.get("allOf", ())) == 1:
        inner = schema["allOf"][0] if "allOf" in schema else root["$defs"][schema["$ref"].rpartition("/")[2]]
        schema = {**inner, **{key: value for key, value in schema.items() if key not in ("$ref", "allOf")}}
    return schema


def _kind(
    schema: Mapping[str, Any], given: Sequence[Mapping[str, Any]], root: Mapping[str, Any]
) -> tuple[str, tuple[Any, ...]]:
    if "enum" in schema:
        return "choice", tuple(schema["enum"])
    if "const" in schema:
        return "choice", (schema["const"],)
    if schema.get("type") == "array":
        inside = resolve(schema.get("items", {}), root).get("type")
        return {"integer": "integers", "string": "strings"}.get(inside, "json"), ()
    if schema.get("type") in ("integer", "number", "boolean", "string") and len(given) <= 1:
        return schema["type"], ()
    types = {resolve(option, root).get("type") for option in given}
    return ("string", ()) if types == {"string"} else ("json", ())


_WRITTEN = {
    "integers": "Whole numbers and ranges: 0-7, 12",
    "strings": 'Names, separated by commas; where one holds a comma, a JSON list: ["a cat, noto style", "a dog"]',
    "json": "Written as JSON, such as [[0.5, 1]]",
}


def read_integers(text: str) -> list[int]:
    """Read ``0-7, 12`` as a list of whole numbers.

    Raises
    ------
    ValueError
        When a part is neither a whole number nor a range.
    """
    found: list[int] = []
    for part in (part.strip() for part in text.replace(";", ",").split(",")):
        if not part:
            continue
        low, dash, high = part.partition("-")
        try:
            first, last = int(low), int(high) if dash else int(low)
        except ValueError:
            raise ValueError(f"{part!r} is no whole number and no range such as 0-7") from None
        if last < first or last - first >= MOST_UNITS:
            raise ValueError(f"{part!r} is not a range from a smaller to a larger number, {MOST_UNITS:,} at most")
        found += range(first, last + 1)
    return found


def write_integers(values: Sequence[int]) -> str:
    """Write whole numbers with ranges: ``0-7, 12``."""
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][1] + 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    return ", ".join(f"{a}-{b}" if b > a + 1 else f"{a}, {b}" if b > a else str(a) for a, b in parts)


def read_strings(text: str) -> list[str]:
    """Read ``a, b``, or a JSON list of texts, as a list of texts.

    Raises
    ------
    ValueError
        When it begins with ``[`` and is no such list.
    """
    if not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    found = _read_json(text)
    if not isinstance(found, list) or not all(isinstance(part, str) for part in found):
        raise ValueError('is no list of texts, such as ["a, b", "c"]')
    return found


def write_strings(values: Sequence[str]) -> str:
    """Write texts as ``a, b``, or as a JSON list where they would be read otherwise; nothing for one that is empty."""
    joined = ", ".join(values)
    plain = all(value and value == value.strip() and "," not in value for value in values) and not joined.startswith("[")
    return joined if plain or list(values) == [""] else json.dumps(list(values), ensure_ascii=False)


def _read_json(text: str) -> Any:
    try:
        return json.loads(text) if text.strip() else None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at character {error.pos + 1}") from None


def _number(kind: type, noun: str) -> Callable[[Any], Any]:
    def read(shown: Any) -> Any:
        try:
            return kind(shown)
        except (TypeError, ValueError):
            raise ValueError(f"{shown!r} is no {noun}") from None

    return read


_READERS: dict[str, Callable[[Any], Any]] = {
    "integer": _number(int, "whole number"),
    "number": _number(float, "number"),
    "integers": read_integers,
    "strings": read_strings,
    "json": _read_json,
}


class Form(QWidget):
    """The parameters of one analysis as fields. pyqtgraph must be imported: see `Preload`.

    Parameters
    ----------
    schema
        JSON schema of an object, as `pydantic.BaseModel.model_json_schema` gives it.
    suggestions
        Names to choose from for some fields, such as the layers of the open network for ``layer``.
    values
        What the fields show at first instead of their defaults.
    """

    changed = Signal()
    """A field was edited; `errors` says whether all is well."""

    def __init__(
        self,
        schema: Mapping[str, Any],
        suggestions: Mapping[str, Sequence[str]] | None = None,
        values: Mapping[str, Any] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        from pyqtgraph.parametertree import Parameter, ParameterTree

        self.fields = {
            name: Field.from_schema(name, part, schema) for name, part in schema.get("properties", {}).items()
        }
        self._suggestions = suggestions or {}
        self._errors: dict[str, str] = {}
        self._marked: set[str] = set()  # fields in the colour of errors: those, and what the engine complained of
        given = values or {}
        shown = [self._declare(field, given.get(name, field.default)) for name, field in self.fields.items()]
        self._group = Parameter.create(name="parameters", type="group", children=shown)
        self.tree = ParameterTree()
        root = self.tree._invRootItem  # Python's object of an item of Qt's: kept after the tree is gone, it is taken for what comes next
        self.tree.destroyed.connect(lambda: setattr(root, "_real_item", None))
        self.tree.setParameters(self._group, showTop=False)
        self.tree.setHeaderLabels(["Parameter", "Value"])
        self.tree.setAlternatingRowColors(True)
        self.tree.setAccessibleName("Parameters")
        self.tree.setIndentation(8)
        self.tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.tree.currentItemChanged.connect(self._explain)
        self.help = QLabel(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self.help.setMinimumHeight(4 * self.fontMetrics().lineSpacing())
        self.help.setAlignment(Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tree, 1)
        layout.addWidget(self.help)
        for parameter in self._group.children():
            for item in parameter.items:
                item.setSizeHint(0, QSize(0, ROW))
                if button := getattr(item, "defaultBtn", None):
                    button.setFlat(True)
                    button.setToolTip("Back to the default")
                    button.setAccessibleName(f"{parameter.name()}: back to the default")
                    set_icon(button, "retry")
                if editor := getattr(item, "widget", None):
                    editor.setAccessibleName(parameter.name())
        self.tree.header().setMinimumSectionSize(110)
        self._group.sigTreeStateChanged.connect(self._on_change)
        self._validate()
        self._explain()

    def _declare(self, field: Field, value: Any) -> dict[str, Any]:
        made: dict[str, Any] = {
            "name": field.name,
            "title": self._title(field),
            "tip": field.tooltip,
            "default": field.default,
        }
        choices = list(field.choices or (self._suggestions.get(field.name, ()) if field.kind == "string" else ()))
        if choices:
            if value is not None and value not in choices:
                choices.insert(0, value)
            return made | {"type": "list", "limits": choices, "value": value if value is not None else choices[0]}
        if field.kind == "boolean":
            return made | {"type": "bool", "value": bool(value)}
        if field.kind in ("integer", "number") and not field.optional:
            limits = [field.low, field.high]
            number = (
                {"type": "int", "step": 1}
                if field.kind == "integer"
                else {"type": "float", "step": 0.1, "dec": True, "minStep": 1e-6}
            )
            if field.kind == "integer":
                limits = [
                    field.low + field.open_low if field.low is not None else None,
                    field.high - field.open_high if field.high is not None else None,
                ]
            start = value if value is not None else field.low or 0
            return (
                made
                | number
                | {"value": start, "limits": limits, "suffix": f" {field.unit}" if field.unit else "", "decimals": 7}
                | {"compactHeight": False}  # compact cuts the digits in half
            )
        return made | {"type": "str", "value": field.write(value), "default": field.write(field.default)}

    @staticmethod
    def _title(field: Field) -> str:
        words = field.name.replace("_", " ")
        return words[:1].upper() + words[1:]

    def _explain(self) -> None:
        """Say what the current field is, before one is chosen what the first is."""
        parameter = getattr(self.tree.currentItem(), "param", self._group)
        name = next(iter(self.fields), None) if parameter is self._group else parameter.name()
        if name is not None:
            said = [self._errors[name]] if name in self._errors else []
            self.help.setText("\n".join([*said, self.fields[name].tooltip]))

    @property
    def errors(self) -> dict[str, str]:
        """What is wrong, by field; empty when `values` can be had."""
        return dict(self._errors)

    def values(self) -> dict[str, Any]:
        """Return all values as plain data.

        Raises
        ------
        ValueError
            When a field is wrong; names the first one.
        """
        if self._errors:
            name, error = next(iter(self._errors.items()))
            raise ValueError(f"{name}: {error}")
        return {name: field.read(self._group.child(name).value()) for name, field in self.fields.items()}

    def set_value(self, name: str, value: Any) -> None:
        """Show a value in a field.

        Raises
        ------
        KeyError
            When there is no such field.
        """
        parameter = self._group.child(name)
        parameter.setValue(self.fields[name].write(value) if parameter.type() == "str" else value)

    def reach_after(self, before: QWidget) -> None:
        """Let Tab reach this form after `before`, in the same window: one that is made late would be reached after all else."""
        for widget in self.findChildren(QWidget):
            if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and self.isAncestorOf(widget):  # not what pops up in a window of its own
                self.setTabOrder(before, widget)
                before = widget

    def show_complaint(self, complaint: str) -> bool:
        """Show what the engine said about the parameters at the field it names; return whether there is one."""
        for name in self.fields:
            if complaint.startswith((f"{name} =", f"{name}:", f"{name} ", f"{name}.")):
                self._mark(name, complaint.removeprefix(name).lstrip(" :."))
                return True
        return False

    def _on_change(self, _group: Parameter, changes: Sequence[tuple[Parameter, str, Any]]) -> None:
        if any(what == "value" for _, what, _ in changes):
            self._validate()
            self._explain()
            self.changed.emit()

    def _validate(self) -> None:
        self._errors.clear()
        for name, field in self.fields.items():
            try:
                field.read(self._group.child(name).value())
            except ValueError as error:
                self._errors[name] = str(error)
            self._mark(name, self._errors.get(name, ""))

    def _mark(self, name: str, error: str) -> None:
        field, parameter = self.fields[name], self._group.child(name)
        parameter.setOpts(
            title=self._title(field) + (f" – {error}" if error else ""),
            tip=f"{error}\n{field.tooltip}" if error else field.tooltip,
        )
        (self._marked.add if error else self._marked.discard)(name)
        self._colour(name)

    def _colour(self, name: str) -> None:
        """Write a field's title in the colour of errors, or in that of any text, which follows the scheme by itself."""
        colour = signal_colour("error", self.palette()) if name in self._marked else None
        for item in self._group.child(name).items:
            item.setData(0, Qt.ItemDataRole.ForegroundRole, colour)

    def changeEvent(self, event: QEvent) -> None:
        """Draw the errors in the colours of the new scheme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            for name in self._marked:
                self._colour(name)
