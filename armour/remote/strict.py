"""JSON from strangers: nothing that JSON does not have, no name twice, no unbounded nesting."""

from __future__ import annotations

import json
from typing import Any


class WireError(ValueError):
    """A message does not follow the protocol; the text says how, in one line."""


def loads(raw: bytes | bytearray | memoryview) -> Any:
    """The value of a JSON text in UTF-8; WireError for NaN, Infinity, a name twice and deep nesting too."""
    try:
        return json.loads(bytes(raw).decode("utf-8"), parse_constant=_constant, object_pairs_hook=_object)
    except WireError:
        raise
    except UnicodeDecodeError:
        raise WireError("not UTF-8") from None
    except RecursionError:
        raise WireError("JSON that is nested too deeply") from None
    except ValueError as error:
        raise WireError(f"not JSON ({' '.join(str(error).split())[:80]})") from None


def dumps(value: Any) -> bytes:
    """`value` as JSON in UTF-8 on one line; WireError for NaN and infinities, which JSON does not have."""
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except ValueError:
        raise WireError("NaN or infinity, which JSON does not have") from None


def _constant(name: str) -> Any:
    raise WireError(f"{name}, which JSON does not have")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise WireError("an object with a name twice")
    return found
