"""How weights from a file found their places, as text: arrays, assumptions, and what is left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

KEYS = ("matched", "assumed", "left_over")
_SHOWN = 200  # rows
_WIDTH = 60
_COLUMNS = ("weight", "array", "shape", "matched by")


def lines(provenance: Mapping[str, Any]) -> list[str]:
    """Lines for people; none if nothing was matched. A file may hold anything here."""
    rows = provenance.get("matched")
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 4 for row in rows):
        return []
    cells = [_COLUMNS, *(tuple(_plain(value) for value in row) for row in rows[:_SHOWN])]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    text = ["  ".join(f"{v:<{w}}" for v, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    if len(rows) > _SHOWN:
        text.append(f"and {len(rows) - _SHOWN:,} more")
    assumed, left = provenance.get("assumed"), provenance.get("left_over")
    if isinstance(assumed, list):
        text += [f"assumed     {_plain(value)}" for value in assumed[:_SHOWN]]
    if isinstance(left, dict) and left:
        text.append(f"left over   {summary(left)}")
    return text


def summary(left: Mapping[str, Any]) -> str:
    """The first few of the entries that are no weights, and how many there are."""
    names = [f"{_plain(name)} ({_plain(what)})" for name, what in list(left.items())[:3]]
    return ", ".join(names) + (f" and {len(left) - 3:,} more" if len(left) > 3 else "")


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
