"""Coverage in words: what was reached, and whether it grew where failures were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from armour.fuzz.correlation import LEAST
from armour.fuzz.coverage import shown

NO_VERDICT = "a measure, not a verdict"


def coverage_line(values: Mapping[str, float]) -> str:
    """ "kmnc 61.2 %, nbc 8.1 % (a measure, not a verdict)"."""
    return f"{', '.join(f'{name} {shown(name, value)}' for name, value in values.items())} ({NO_VERDICT})"


def correlation_lines(found: Mapping[str, Sequence[float] | None]) -> list[str]:
    """One line that says what is compared, then one for each criterion."""
    if not found:
        return []
    known = [result for result in found.values() if result is not None]
    if not known:
        return [
            "its growth against failures found: nothing can be said (fewer than "
            f"{LEAST} rounds, or one of them never varied)"
        ]
    lines = [
        f"its growth against failures found, both per execution in each of {int(known[0][3])} rounds, "
        "executions so far held constant (Spearman, 95 %):"
    ]
    for name, result in found.items():
        if result is None:
            lines.append(f"  {name:<6} did not vary")
            continue
        rho, low, high = result[:3]
        word = "together" if low > 0 else "against each other" if high < 0 else "not told apart from none"
        lines.append(f"  {name:<6}{rho:+.2f} [{low:+.2f}, {high:+.2f}]  {word}")
    return lines
