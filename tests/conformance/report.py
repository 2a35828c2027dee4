"""The table of outcomes by operator, as text and as docs/conformance.md."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from conformance.cases import LIGHT_MODELS
from conformance.outcomes import STATUSES, Outcome

TIERS = {
    1: "Tier 1: operators of image, text and tabular classifiers",
    2: "Tier 2: sequences, quantised networks, control flow",
    3: "Everything else",
}
MAX_UNSUPPORTED = 0.1  # of the tests of tier 1 that can be run
HEAD = """# Conformance with ONNX

Written by `make conformance`; do not edit. The target fetches the wheel of onnx {version}, runs the backend
tests in it (node, simple, PyTorch's converted and operator tests, and nine whole classifiers with constant
weights) by `armour.formats.onnx_import.run_model`, and compares number, shape, type and values of all outputs
with those stored there (relative 1e-3 and absolute 1e-7; for the classifiers 1e-3 and 1e-5).

It fails if a test fails, if more than {limit:.0%} of tier 1 is unsupported, or if a classifier is missing.
Unsupported: the model is refused with the list of its operators that armour does not know, before any work.
Skipped: nobody could run them here: random numbers, sequences and optional values, types that NumPy lacks.
"""
DISPUTE = """
Disputed: the stored outputs of {count} tests of QLinearMatMul wrap around at 8 bits, where the operator is to
saturate; later releases of onnx store what armour gives. They count as such only if nothing else differs.
"""


def totals(found: Iterable[Outcome]) -> Counter[str]:
    """Number of tests by status."""
    return Counter(o.status for o in found)


def summary(counts: Counter[str]) -> str:
    """One line."""
    return ", ".join(f"{counts[s]:,} {s}" for s in STATUSES if counts[s] or s != "disputed")


def failures(found: Sequence[Outcome]) -> list[str]:
    """Why the gate does not open; nothing if it does."""
    bad = [f"{o.suite}/{o.name}: {o.why}" for o in found if o.status == "failed"]
    first = totals(o for o in found if o.tier == 1)
    ran = first.total() - first["skipped"]
    if first["unsupported"] > MAX_UNSUPPORTED * ran:
        bad.append(f"{first['unsupported']} of {ran} tests of tier 1 are unsupported")
    models = sum(o.suite == "light" and o.status == "passed" for o in found)
    if models < LIGHT_MODELS:
        bad.append(f"{models} of {LIGHT_MODELS} whole classifiers pass")
    return bad


def rows(found: Iterable[Outcome]) -> list[tuple[str, Counter[str]]]:
    """(operator, number of tests by status): operators, then groups of them, then whole models."""
    table: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for o in found:
        table[o.subject][o.status] += 1

    def place(row: str) -> tuple[bool, bool, str]:
        return row.startswith("model "), row.startswith("("), row

    return sorted(table.items(), key=lambda item: place(item[0]))


def markdown(found: Sequence[Outcome], version: str) -> str:
    """The page."""
    parts = [HEAD.format(version=version, limit=MAX_UNSUPPORTED)]
    disputed = totals(found)["disputed"]
    if disputed:
        parts.append(DISPUTE.format(count=disputed))
    shown = [s for s in STATUSES if s != "disputed" or disputed]
    line = "| tests made of | tests | " + " | ".join(shown) + " |\n|---" + "|---:" * (len(shown) + 1) + "|\n"
    parts.append("\n" + line)
    for last, name in ((1, "tier 1"), (2, "tiers 1 and 2"), (3, "anything")):
        parts.append(_row(name, totals(o for o in found if o.tier <= last), shown))
    for number, title in TIERS.items():
        part = [o for o in found if o.tier == number]
        parts.append(f"\n## {title}\n\n" + line.replace("tests made of", "operator"))
        parts += [_row(name, counts, shown) for name, counts in rows(part)]
    return "".join(parts)


def _row(name: str, counts: Counter[str], shown: Sequence[str]) -> str:
    cells = " | ".join(f"{counts[s]:,}" if counts[s] else "" for s in shown)
    return f"| {name} | {counts.total():,} | {cells} |\n".replace("|  |", "| |").replace("|  |", "| |")
