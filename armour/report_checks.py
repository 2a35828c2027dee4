"""The checks that a report's own figures answer (evaluation.md section 2), its badges, and what it did not
test."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from armour.report import Report
from armour.report_evaluation import EvaluationSection
from armour.report_sections import AttackSection, Check, FuzzSection
from armour.verdict import baseline_sentence, epsilon_text, norm_text, percent, score

SMALL_SAMPLE = 1_000

# The checks of evaluation.md that ask the model again; a report that does not carry them says so.
DIAGNOSTICS = {
    "R03": "every adversarial input predicted again alone",
    "R07": "more steps or restarts do not help",
    "R08": "iterative beats single-step, white-box beats black-box",
    "R09": "random noise is weaker than the attack",
    "R10": "zero or tiny gradients",
    "R12": "randomness of the forward pass",
    "R14": "numerical against automatic gradient",
    "R21": "the attack's self-test on a model with a known answer",
}


@dataclass(frozen=True, slots=True)
class Badge:
    """A short warning beside the verdict, with its meaning in a sentence."""

    text: str
    meaning: str


def badges(report: Report) -> list[Badge]:
    """Warnings that belong beside the verdict."""
    found = []
    if any(section.clean.n < SMALL_SAMPLE for section in report.attacks):
        n = min(section.clean.n for section in report.attacks)
        found.append(
            Badge("small sample", f"{n:,} samples; below {SMALL_SAMPLE:,} the interval is wide (R18).")
        )
    if report.attacks and not any(section.adaptive for section in report.attacks):
        meaning = "No attack was adapted to this model: the figure is an upper bound on robustness (R20)."
        found.append(Badge("non-adaptive", meaning))
    evaluation = report.evaluation
    if evaluation is not None and evaluation.signs:
        meaning = f"Figures may flatter the model: {'; '.join(evaluation.signs)}."
        found.append(Badge("signs of gradient masking", meaning))
    if evaluation is not None and not evaluation.complete:
        n, planned = report.attacks[0].clean.n if report.attacks else 0, evaluation.planned
        meaning = (
            f"The time was over before all attacks were through ({n:,} of {planned:,} samples attacked)."
        )
        found.append(Badge("stopped early", meaning))
    alone = len(report.attacks) == 1 and (evaluation is None or len(evaluation.steps) == 1)
    if alone:
        found.append(
            Badge("one attack", "A set of different attacks, taken worst case per sample, may go lower.")
        )
    if report.fuzz is not None and report.fuzz.baseline is None:
        found.append(
            Badge("no baseline", "Guided fuzzing was not compared with stacked random mutation (R22).")
        )
    outputs = report.model.provenance.get("outputs", "")
    if outputs.startswith("labels"):
        meaning = "The model gives labels only: confidences and losses in this report are 0 or 1."
        found.append(Badge("labels only", meaning))
    elif outputs.startswith(("probabilities", "one probability")):
        meaning = "The model gives probabilities; logits are their logarithms, which saturate near 0 and 1."
        found.append(Badge("probabilities", meaning))
    for check in all_checks(report):
        if check.status == "error":
            found.append(Badge("unsound evidence", f"{check.id}: {check.text}"))
    return found


def all_checks(report: Report) -> list[Check]:
    """The checks stored in the report and those its figures answer, by id."""
    stored = {check.id for check in report.checks}
    derived = [check for section in report.attacks for check in _attack_checks(section)]
    if report.evaluation is not None and report.attacks:
        derived[0] = _threat_check(report.evaluation, report)
    # What was measured says more than what the figures alone can.
    derived = [check for check in derived if check.id not in stored or check.status in ("warning", "error")]
    if len(report.attacks) > 1:
        text = "Each attack is shown by itself; no worst case over attacks was taken per sample."
        derived.append(Check(id="R04", title="Worst case per sample", status="note", text=text))
    if report.fuzz is not None:
        derived.extend(_fuzz_checks(report.fuzz))
    worst: dict[str, Check] = {}
    order = ("ok", "note", "warning", "error")
    for check in (*derived, *report.checks):
        known = worst.get(check.id)
        if known is None or order.index(check.status) > order.index(known.status):
            worst[check.id] = check
    return [worst[key] for key in sorted(worst)]


def limits(report: Report) -> list[str]:
    """What was not tested."""
    found = list(report.limits)
    norms = sorted({norm_text(section.norm) for section in report.attacks})
    if report.attacks:
        steps = [step.name for step in report.evaluation.steps] if report.evaluation else []
        own = report.attacks[1:] if steps else report.attacks
        names = ", ".join(dict.fromkeys([*steps, *(section.name for section in own)]))
        found.append(
            f"Attacks tried: {names}, in {' and '.join(norms)}. Other attacks may succeed where these fail."
        )
        others = [name for name in ("Linf", "L2", "L1", "L0") if name not in norms]
        if others:
            found.append(
                f"Perturbations in {', '.join(others)}, patches and physical changes were not tried."
            )
    else:
        found.append("No adversarial attack was run.")
    if report.fuzz is None:
        found.append("The model was not fuzzed.")
    elif report.fuzz.level in ("V0", "V1", "V2"):
        found.append(
            f"Failures at {report.fuzz.level} passed automatic validity rules. Neither a panel of other "
            "models (V3) nor people (V4) have looked at them; the label of some may be in doubt."
        )
    found.append("Training-data poisoning, backdoors, privacy and corruption benchmarks were not tested.")
    ran = {check.id for check in report.checks}
    missing = [f"{key} ({text})" for key, text in DIAGNOSTICS.items() if key not in ran]
    if report.attacks and missing:
        found.append(f"Diagnostics not run: {'; '.join(missing)}.")
    return found


def _threat_check(evaluation: EvaluationSection, report: Report) -> Check:
    threat, (low, high) = evaluation.threat, report.model.bounds
    budgets = ", ".join(epsilon_text(epsilon) for epsilon in threat.epsilons[:12])
    asked = f"; at most {threat.queries:,} queries a sample without gradients" if threat.queries else ""
    text = f"{threat.knowledge}, {threat.goal}, {norm_text(threat.norm)} {budgets} in {low:g} to {high:g}"
    known = norm_text(threat.norm) != threat.norm
    return _check("R01", "Threat model stated", "ok" if known else "error", f"{text}{asked}.")


def _check(number: str, title: str, status: Literal["ok", "note", "warning", "error"], text: str) -> Check:
    return Check(id=number, title=title, status=status, text=text)


def _attack_checks(section: AttackSection) -> list[Check]:
    clean, first, last = section.clean, section.epsilons[0], section.epsilons[-1]
    access = (
        f"{section.access}, {norm_text(section.norm)}, epsilon {epsilon_text(first)} to {epsilon_text(last)}"
    )
    known = norm_text(section.norm) != section.norm  # a norm that nobody knows is no threat model
    text = f"{section.name}: {access}; {section.queries:,} queries."
    found = [
        _check("R01", "Threat model stated", "ok" if known else "error", text),
        _clean_check(section),
        _range_check(section),
        _check(
            "R17", "Intervals", "ok", "Wilson at 95 %; the exact one-sided bound where a count is 0 or all."
        ),
    ]
    rises = [b.value - a.value for a, b in pairwise((clean, *section.robust))]
    if max(rises) > 0.005:
        text = f"Robust accuracy rises by {100 * max(rises):.1f} points with epsilon: the attack is too weak."
        found.append(_check("R06", "Curve falls with epsilon", "warning", text))
    else:
        found.append(
            _check("R06", "Curve falls with epsilon", "ok", "Robust accuracy never rises with epsilon.")
        )
    small = clean.n < SMALL_SAMPLE
    chosen = section.data.selection or "the choice of samples was not recorded"
    found.append(_check("R18", "Sample", "note" if small else "ok", f"n={clean.n:,}; {chosen}."))
    spent = f"{section.queries:,} queries and {section.gradients:,} gradients; {section.config}."
    found.append(_check("R19", "Seeds, queries and settings", "ok" if section.queries else "note", spent))
    text = (
        "An attack made for this model was run."
        if section.adaptive
        else "No attack was made for this model: the figure is an upper bound."
    )
    found.append(_check("R20", "Adaptive attack", "ok" if section.adaptive else "note", text))
    return found


def _clean_check(section: AttackSection) -> Check:
    clean, counts = section.clean, section.data.class_counts
    text = f"{percent(clean.value)} on the same {clean.n:,} samples"
    if not counts or sum(counts) == 0:
        return _check("R02", "Clean accuracy", "note", f"{text}; class balance not recorded.")
    majority = max(counts) / sum(counts)
    if clean.value < majority + 0.05:
        reason = f"the largest class alone gives {percent(majority)}, so robustness says little"
        return _check("R02", "Clean accuracy", "warning", f"{text}; {reason}.")
    return _check("R02", "Clean accuracy", "ok", f"{text}; largest class {percent(majority)} of them.")


def _range_check(section: AttackSection) -> Check:
    title = "Ends of the curve"
    if section.epsilons[0] == 0 and section.robust[0].k != section.clean.k:
        return _check("R05", title, "error", "Accuracy at epsilon 0 differs from clean accuracy.")
    last, end = section.robust[-1], epsilon_text(section.epsilons[-1])
    if last.k == 0:
        return _check("R05", title, "ok", f"Robust accuracy reaches 0 % at epsilon {end}.")
    return _check(
        "R05",
        title,
        "note",
        f"At the largest epsilon, {end}, {percent(last.value)} is left; larger ones untried.",
    )


def _fuzz_checks(section: FuzzSection) -> list[Check]:
    guided, base = section.guided, section.baseline
    status: Literal["ok", "note"] = "ok" if base is not None and score(guided)[0] > score(base)[0] else "note"
    levels = ", ".join(f"{count:,} at {level}" for level, count in sorted(guided.failing.items())) or "none"
    return [
        _check("R22", "Fuzzer against stacked random", status, baseline_sentence(section)),
        _check(
            "R23",
            "Failures by validity level",
            "ok",
            f"Failing executions: {levels}; a failure needs {section.level}.",
        ),
    ]
