"""What `armour fuzz` and `armour corpus` print: tables for people, objects for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from armour.cli.coverage_text import correlation_lines, coverage_line
from armour.cli.fuzz_screen import clock
from armour.contract import Model
from armour.fuzz import CampaignResult, Corpus, FuzzResult
from armour.fuzz.replay import Replayed
from armour.fuzz.special import summary as special_summary
from armour.fuzz.status import printable, read
from armour.report_sections import Rate

_ROWS = (
    ("failures", "failing inputs"),
    ("classes", "failure classes (D2)"),
    ("variants", "variants of them (D3)"),
    ("pairs", "label pairs (D1)"),
    ("distinct", "(seed, label) pairs"),
    ("roots", "seeds broken"),
)
_SHOWN = 12  # classes and cases listed for people


def figures(result: FuzzResult, page: Path, command: str) -> dict[str, Any]:
    """The object of `armour fuzz --json`."""
    guided = _counts(result.guided)
    return {
        "executions": result.executions,
        "seconds": round(result.seconds, 3),
        "executions_per_second": round(result.executions / max(result.seconds, 1e-9), 1),
        "failures": result.guided.failures,
        "classes": result.classes,
        "validity": result.validity,
        "inputs": result.inputs,
        "validator": result.validator,
        "valid": round(result.guided.valid / max(result.executions, 1), 4),
        **{
            name: guided[name]
            for name in ("variants", "pairs", "distinct", "roots", "levels", "failing", "coverage")
        },
        "stored": len(result.failures),
        "oracles": list(result.oracles),
        "by_oracle": by_oracle(result),
        "seeds": result.seeds,
        "skipped": result.skipped,
        "baseline": None if result.baseline is None else _counts(result.baseline),
        "guided": guided,
        "class_counts": result.guided.class_counts,
        "corpus": str(result.corpus),
        "report": str(page),
        "replay": f"armour corpus replay {result.corpus}",
        "command": command,
        "seed": result.seed,
        "interrupted": result.interrupted,
        "stopped": result.stopped,
        "islands": result.islands,
        "notes": list(result.notes),
        "special": [asdict(one) for one in result.special],
    }


def summary(result: FuzzResult, name: str, page: Path, command: str) -> str:
    """The closing lines of `armour fuzz`."""
    share = 100 * result.guided.valid / max(result.executions, 1)
    speed = result.executions / max(result.seconds, 1e-9)
    lines = [
        f"{name}: {result.executions:,} mutants of {result.roots:,} seeds in {result.seconds:.1f} s "
        f"({speed:,.0f}/s), {share:.1f} % valid at {result.validity}"
    ]
    if result.skipped:
        lines.append(f"{result.skipped} of {result.seeds:,} seeds were left out: misread already")
    if result.special:
        lines.append(f"special inputs (NaN, an empty batch, ...): {special_summary(result.special)}")
    lines += ["", *_table(result), *_oracles(result), ""]
    if result.guided.coverage:
        lines += [f"coverage: {coverage_line(result.guided.coverage)}"]
        lines += [*correlation_lines(result.guided.correlation), ""]
    lines += [
        _verdict(result),
        f"stopped: {result.stopped}",
        *(f"note: {note}" for note in result.notes),
        "",
    ]
    lines += [f"report  {page}", f"corpus  {result.corpus}", f"replay  armour corpus replay {result.corpus}"]
    return "\n".join([*lines, f"again   {command}"])


def corpus_stats(corpus: Corpus) -> dict[str, Any]:
    """The object of `armour corpus stats --json`."""
    records = corpus.records()
    classes: dict[str, int] = {}
    for record in records:
        classes[record["class"]] = classes.get(record["class"], 0) + 1
    path = corpus.folder / "stats.json"
    written: dict[str, Any] = {}
    if path.is_file() and path.stat().st_size < 1 << 20:
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
            written = loaded if isinstance(loaded, dict) else {}
        except ValueError:
            written = {}
    manifest = corpus.manifest
    seed = list(range(len(corpus.roots))) if corpus.roots.group is None else corpus.same_seed.tolist()
    return {
        "corpus": str(corpus.folder),
        "model": manifest["model"],
        "config": manifest["config"],
        "roots": len(set(seed)),
        "failures": len(records),
        "classes": len(classes),
        "variants": len({(record["class"], record["variant"]) for record in records}),
        "pairs": len({record["pair"] for record in records}),
        "distinct": len({(seed[record["root"]], record["predicted"]) for record in records}),
        "roots_broken": len({seed[record["root"]] for record in records}),
        "class_counts": dict(sorted(classes.items(), key=lambda item: (-item[1], item[0]))),
        "stats": written,
    }


def stats_table(found: dict[str, Any]) -> str:
    """`armour corpus stats` for people."""
    written = found["stats"].get("guided") if isinstance(found["stats"].get("guided"), dict) else {}
    rows = [
        ("model", f"{found['model'].get('name', '?')}  {found['model']['fingerprint'][:12]}"),
        ("seeds fuzzed", f"{found['roots']:,}"),
        ("executions", f"{written.get('executions', '?'):,}" if written else "?"),
        ("failing inputs", f"{found['failures']:,}"),
        ("failure classes (D2)", f"{found['classes']:,}"),
        ("variants of them (D3)", f"{found['variants']:,}"),
        ("label pairs (D1)", f"{found['pairs']:,}"),
        ("(seed, label) pairs", f"{found['distinct']:,}"),
        ("seeds broken", f"{found['roots_broken']:,}"),
    ]
    coverage = written.get("coverage", {}) if written else {}
    if isinstance(coverage, dict) and coverage:
        rows.append(("coverage", coverage_line({name: float(value) for name, value in coverage.items()})))
    rows += _standing(read(found["stats"]), printable(str(found["stats"].get("stopped") or "")))
    lines = [f"{name:<22}{value}" for name, value in rows]
    if found["class_counts"]:
        lines += ["", "largest classes"]
        top = list(found["class_counts"].items())
        lines += [f"  {count:>7,}  {key}" for key, count in top[:_SHOWN]]
        if len(top) > _SHOWN:
            lines.append(f"           and {len(top) - _SHOWN} more")
    return "\n".join(lines)


def _standing(status: dict[str, Any] | None, stopped: str) -> list[tuple[str, str]]:
    """What the campaign's last look at itself says."""
    if status is None:
        return []
    speed = f"{clock(status['seconds'])} at {status['executions_per_second']:,.0f}/s"
    rows = [
        ("run time", speed),
        ("valid", f"{100 * status['valid_share']:.1f} %"),
        ("last new class", f"{status['since_executions']:,} executions ago"),
        ("residual risk", residual(status)),
    ]
    if status["failure_bound"] is not None:
        bound = 100 * status["failure_bound"]
        rows.append(("failure rate", f"at most {bound:.2g} % (95 %), under this input distribution only"))
    if status["stability"] is not None:
        rows.append(("stability", f"{100 * status['stability']:.3g} %"))
    rows.append(("state", f"ended: {stopped}" if stopped else "running, or killed"))
    return rows + [("warning", text) for text in status["warnings"]]


def residual(status: dict[str, Any]) -> str:
    """The Good-Turing estimate with its interval and what to think of it."""
    low, high = status["residual_low"], status["residual_high"]
    interval = f"95 % {low:.2g} to {high:.2g}; Good-Turing, biased by guidance"
    return f"{status['residual']:.2g} for a new class ({interval})"


def replay_figures(cases: Sequence[Replayed], changed: bool) -> dict[str, Any]:
    """The object of `armour corpus replay --json`."""
    return {
        "failures": len(cases),
        "still_fail": sum(one.fails for one in cases),
        "same_label": sum(one.same for one in cases),
        "rebuilt": sum(one.rebuilt for one in cases),
        "minimised_still_fail": sum(one.minimised is True for one in cases),
        "minimised": sum(one.minimised is not None for one in cases),
        "model_changed": changed,
        "cases": [asdict(one) for one in cases],
    }


def replay_table(cases: Sequence[Replayed], changed: bool, model: Model, *, single: bool) -> str:
    """`armour corpus replay` for people."""
    total = len(cases)
    lines = ["the model is not the one the corpus was made with"] if changed else []
    if not cases:
        return "\n".join([*lines, "the corpus holds no failures"])
    lines.append(f"{sum(one.fails for one in cases)} of {total} failures still fail")
    lines.append(f"{sum(one.rebuilt for one in cases)} of {total} inputs are rebuilt bit for bit")
    small = [one.minimised for one in cases if one.minimised is not None]
    if small:
        lines.append(f"{sum(small)} of {len(small)} minimised inputs still fail")
    shown = cases if single else [one for one in cases if not one.fails][:_SHOWN]
    for one in shown:
        now = _label(model, one.now)
        state = "fails" if one.fails else "holds"
        if one.trouble:
            lines.append(f"{one.id}  {one.oracle}: {one.trouble}: {state}")
            continue
        lines.append(
            f"{one.id}  {one.oracle}: {_label(model, one.true)} read as {now} ({one.confidence:.2f}) at "
            f"{one.validity}, then as {_label(model, one.was)}: {state}"
        )
        if single:
            lines.append(f"  {one.recipe}")
    return "\n".join(lines)


def _counts(campaign: CampaignResult) -> dict[str, Any]:
    values = {name: getattr(campaign, name) for name in CampaignResult.__slots__}
    for name in ("curve", "class_counts", "pair_counts", "seconds"):
        del values[name]
    return values


def _table(result: FuzzResult) -> list[str]:
    other = result.baseline
    head = f"{'':<24}{result.guided.schedule:>12}" + ("" if other is None else f"{'random':>12}")
    lines = [head]
    for name, text in _ROWS:
        both = [getattr(one, name) for one in (result.guided, other) if one is not None]
        if None not in both:  # a black box has no layers, so no variants
            lines.append(f"{text:<24}" + "".join(f"{count:>12,}" for count in both))
    return lines


def by_oracle(result: FuzzResult) -> dict[str, dict[str, int]]:
    """Oracle -> its classes (D2), failing inputs, and classes whose example is a severe failure."""
    found: dict[str, dict[str, int]] = {}
    for failure in result.failures:
        row = found.setdefault(failure.oracle, {"classes": 0, "failures": 0, "severe": 0})
        row["classes"] += 1
        row["failures"] += result.guided.class_counts.get(failure.key, 1)
        row["severe"] += failure.severity == "high"
    return dict(sorted(found.items()))


def _oracles(result: FuzzResult) -> list[str]:
    """A line for each oracle that hit, if there is anything to say beside wrong labels."""
    found = by_oracle(result)
    asked = [name for name in result.oracles if name.startswith(("differential", "metamorphic"))]
    silent = [name for name in asked if name not in found]
    if set(found) <= {"label-flip"} and not silent:
        return []
    lines = ["", "by oracle"]
    for name, row in found.items():
        severe = f", {row['severe']} of them severe" if row["severe"] else ""
        lines.append(
            f"  {name:<28}{row['failures']:>8,} failing inputs in {row['classes']:,} classes{severe}"
        )
    return lines + [f"  {name:<28}{'0':>8} failing inputs" for name in silent]


def _verdict(result: FuzzResult) -> str:
    if not result.guided.failures:
        if not result.guided.valid:
            return "no failure, but no mutant was valid either"
        bound = Rate.of(0, result.guided.valid).high
        return (
            f"no failure in {result.guided.valid:,} valid mutants: at most {100 * bound:.2g} % fail (95 %), "
            "for mutants drawn as these were"
        )
    if result.baseline is None:
        return "without a baseline the figures do not say whether guidance helped"
    mine, random = result.guided.classes, result.baseline.classes
    if mine > random:
        return f"guided search found {mine} classes, stacked random {random}, at equal executions"
    return f"guided search was not better than stacked random: {mine} classes against {random}"


def _label(model: Model, index: int) -> str:
    if index < 0:
        return "nothing finite"
    return model.class_names[index] if index < len(model.class_names) else str(index)
