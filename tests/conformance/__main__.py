"""`python -m conformance FOLDER`: run the backend tests of an unpacked onnx wheel.

Prints the table and writes docs/conformance.md. Ends with 1 if the gate is shut (see report.py) or if the
page was not up to date. With --tier or --no-page it only prints.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from armour.formats.onnx_import import run_model
from conformance.cases import cases
from conformance.outcomes import Outcome, outcome
from conformance.report import TIERS, failures, markdown, rows, summary, totals

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"


def main() -> int:
    """Run, print, write; the exit code."""
    parser = argparse.ArgumentParser(prog="conformance", description=__doc__)
    parser.add_argument("folder", type=Path, help="where an onnx wheel was unpacked")
    parser.add_argument("--tier", type=int, choices=sorted(TIERS), default=3, help="and lower ones")
    parser.add_argument("--no-page", action="store_true", help="leave docs/conformance.md alone")
    parser.add_argument("--list", action="store_true", help="also list what did not pass, with reasons")
    options = parser.parse_args()
    found = [outcome(case, run_model) for case in cases(options.folder) if case.tier <= options.tier]
    if not found:
        print(f"no tests below {options.folder}: expected onnx/backend/test/data there", file=sys.stderr)
        return 1
    version = re.search(r"onnx-([\w.]+)\.dist-info", " ".join(p.name for p in options.folder.iterdir()))
    show(found)
    if options.list:
        for o in found:
            if o.status not in ("passed", "skipped"):
                print(f"{o.status}: {o.suite}/{o.name}: {o.why}")
    bad = failures(found)
    for line in bad:
        print(f"FAILED {line}")
    if options.tier == max(TIERS) and not options.no_page:
        page = markdown(found, version[1] if version else "(unknown)")
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
            PAGE.write_text(page, encoding="utf-8")
            bad.append("page")
            print("FAILED docs/conformance.md was out of date: it is written anew; look at it and commit it")
    return 1 if bad else 0


def show(found: list[Outcome]) -> None:
    """The table by operator and the totals of each tier."""
    for name, counts in rows(found):
        print(f"{name:32}{counts.total():5}  {summary(counts)}")
    for last in sorted({o.tier for o in found}):
        print(f"up to tier {last}: {summary(totals(o for o in found if o.tier <= last))}")


if __name__ == "__main__":
    sys.exit(main())
