"""What CuPy 14.2 offers of NumPy's functions, as its own signatures state it.

Lines of cupy_api.txt are `name: parameters`; `a/` is a keyword, `*a` takes the rest, `*` takes anything, and
`ufunc 2 1` says how many inputs and outputs a ufunc has, whose keywords are `out`, `dtype` and `casting`. The
line `ndarray` holds the attributes of cupy.ndarray.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIGNATURES: dict[str, list[str]] = {
    name: parameters.split()
    for name, parameters in (
        line.split(": ") for line in Path(__file__).with_suffix(".txt").read_text("utf-8").splitlines()
    )
}
# Attributes of cupy.ndarray.
METHODS = frozenset(SIGNATURES.pop("ndarray"))
REDUCTIONS = ("sum", "prod", "mean", "var", "std", "max", "min", "all", "any", "argmax", "argmin")
UFUNC_METHODS = frozenset(("accumulate", "at", "outer", "reduce", "reduceat"))


def check_call(name: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    """TypeError for arguments that CuPy's function does not take."""
    known = SIGNATURES[name]
    if known == ["*"]:
        return
    if known[0] == "ufunc":
        nin, nout = int(known[1]), int(known[2])
        if not nin <= len(args) <= nin + nout or not set(keywords) <= {"out", "dtype", "casting"}:
            raise TypeError(f"CuPy's {name} does not take {len(args)} arguments and {sorted(keywords)}")
        return
    plain = [p for p in known if p[-1] != "/" and p[0] != "*"]
    most = 99 if any(p[0] == "*" and p[:2] != "**" for p in known) else len(plain)
    if name.endswith("matmul"):
        most = 2  # its fast path takes `out` by name only
    unknown = set(keywords) - {p.strip("/*") for p in known}
    if len(args) > most or (unknown and not any(p[:2] == "**" for p in known)):
        raise TypeError(f"CuPy's {name} takes {known}, got {len(args)} arguments and {sorted(keywords)}")
