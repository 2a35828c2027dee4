"""Frozen dataclasses to JSON and back, with every value checked against its annotation on the way in.

A file read here is untrusted: a field that is missing, unknown, of another type, too long or not finite is
one FormatError that names where it stands (`fuzz.failures[3].true`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from armour.checks import suggest
from armour.errors import ArmourError, FormatError

R = TypeVar("R")

# Far above what armour writes, far below what would hurt: the file itself is limited by its reader.
MAX_ITEMS = 200_000
MAX_TEXT = 1_000_000
MAX_INT = 2**53

# What differs between two runs with the same seed on the same machine stays out of the hash.
VOLATILE = frozenset({"created", "seconds", "sha256"})


def to_tree(record: object) -> Any:
    """The record as dicts, lists, strings and numbers, ready for json.dumps.

    Fields with the metadata "optional" are left out while they are at their default.
    """
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {
            f.name: to_tree(getattr(record, f.name))
            for f in dataclasses.fields(record)
            if not (f.metadata.get("optional") and getattr(record, f.name) == f.default)
        }
    if isinstance(record, Mapping):
        return {key: to_tree(value) for key, value in record.items()}
    if isinstance(record, tuple | list):
        return [to_tree(value) for value in record]
    return record


def digest(tree: Any) -> str:
    """SHA-256 of the canonical JSON (sorted keys, no spaces) of a tree without its volatile fields."""
    text = json.dumps(_stable(tree), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def parse(text: str | bytes, what: str) -> Any:
    """The tree of a JSON text. FormatError, naming `what`, if it is not JSON, nests too deep or holds NaN."""
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
    except RecursionError:
        raise FormatError(f"{what} nests too deep to be an armour file") from None
    except UnicodeDecodeError as error:
        raise FormatError(f"{what} is not UTF-8 text (byte {error.start}); was it cut?") from None
    except ValueError as error:
        raise FormatError(f"{what} is not valid JSON ({error}); was it cut or edited?") from None


def from_tree(kind: type[R], tree: Any, where: str = "") -> R:
    """A record of dataclass `kind` from a tree; raises FormatError naming the first field that is wrong."""
    if not isinstance(tree, dict):
        _refuse(where, "an object", tree)
    hints = _hints(cast("type", kind))
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in tree:
        if name not in fields:
            shown = _join(where, str(name)[:40])
            raise FormatError(f"unknown field {shown}{suggest(str(name)[:40], fields)}")
    values = {}
    for name, field in fields.items():
        if name in tree:
            values[name] = _value(hints[name], tree[name], _join(where, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise FormatError(f"field {_join(where, name)} is missing")
    try:
        return kind(**values)
    except FormatError:
        raise
    except ArmourError as error:
        raise FormatError(f"{where or 'file'}: {error}") from None


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (option for option in get_args(hint) if option is not type(None))
        return None if value is None else _value(inner, value, where)
    if origin is Literal:
        if value not in get_args(hint) or isinstance(value, bool | list | dict):
            _refuse(where, " or ".join(map(repr, get_args(hint))), value)
        return value
    if origin is tuple:
        return _items(get_args(hint), value, where)
    if origin is dict:
        if not isinstance(value, dict) or len(value) > MAX_ITEMS:
            _refuse(where, "an object", value)
        inner = get_args(hint)[1]
        return {
            _text(key, where): _value(inner, item, f"{where}[{key[:40]!r}]") for key, item in value.items()
        }
    if dataclasses.is_dataclass(hint):
        return from_tree(hint, value, where)  # type: ignore[arg-type]
    return _scalar(hint, value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is str:
        return _text(value, where)
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INT:
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and number and abs(value) < 1e300:  # not above for NaN either
        return float(value)
    _refuse(where, {bool: "true or false", int: "a whole number", float: "a finite number"}[hint], value)


def _items(inner: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        _refuse(where, "a list", value)
    if inner[-1] is not Ellipsis:
        if len(value) != len(inner):
            _refuse(where, f"a list of {len(inner)}", value)
        return tuple(
            _value(hint, item, f"{where}[{i}]")
            for i, (hint, item) in enumerate(zip(inner, value, strict=True))
        )
    return tuple(_value(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        _refuse(where, "a text", value)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise FormatError(f"{where} holds half a character (a lone surrogate)") from None
    return value


def _refuse(where: str, expected: str, value: Any) -> NoReturn:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    raise FormatError(f"expected {expected} at {where or 'the top'}, got {shown} ({type(value).__name__})")


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _stable(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _stable(value) for key, value in tree.items() if key not in VOLATILE}
    if isinstance(tree, list):
        return [_stable(value) for value in tree]
    return tree


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that a report may hold")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return tree
