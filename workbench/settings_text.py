"""Parameters as they are typed on the command line: ``NAME=VALUE``, read by what the analysis or the recipe wants."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.input_error import InputError


def parse_settings(analysis: str, settings: Sequence[str]) -> dict[str, Any]:
    """Read parameters given as ``NAME=VALUE``.

    A value is JSON where it can be read as that, else a string; a parameter that is a list may be written with commas
    (``units=5,9``), and one that is a string is taken as it stands (``layer=1``).

    Raises
    ------
    InputError
        When there is no such analysis, a setting has no ``=``, or a name is given twice.
    """
    from workbench.analyses.analysis import find

    return read_settings(settings, find(analysis).model_json_schema())


def recipe_settings(name: str, settings: Sequence[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` for the parameters of a training recipe."""
    from workbench.training.recipe import schema_of

    return read_settings(settings, schema_of(name))


def read_settings(settings: Sequence[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` as `parse_settings` does, for the parameters of a JSON schema."""
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise InputError(f"--set {setting} is not NAME=VALUE, such as --set units=5,9")
        if name in values:
            raise InputError(f"--set {name} is given twice; lists are written with commas, such as --set units=5,9")
        values[name] = _value(text, _alternatives(schema.get("properties", {}).get(name, {}), schema))
    return values


def _alternatives(field: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the plain JSON schemas, one of which a field's value must fit."""
    if "$ref" in field:
        return _alternatives(schema["$defs"][field["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in field:
        return [plain for one in field["anyOf"] for plain in _alternatives(one, schema)]
    return [field]


def _value(text: str, alternatives: Sequence[Mapping[str, Any]]) -> Any:
    kinds = {one.get("type") for one in alternatives}
    if kinds == {"string"}:
        return text
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text
    if "array" not in kinds or isinstance(value, list):
        return value
    if "," not in text and kinds & {"string" if isinstance(value, str) else "integer", "number"}:
        return value
    items = next(one for one in alternatives if one.get("type") == "array").get("items", {})
    return [_value(part.strip(), [items]) for part in text.split(",") if part.strip()]
