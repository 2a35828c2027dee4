"""What a report says in words: figures as text and the verdict sentences.

Everything here follows from the report alone and is the same in HTML, Markdown and the terminal.
"""

from __future__ import annotations

from armour.report_evaluation import EvaluationSection
from armour.report_sections import AttackSection, Campaign, FuzzSection, Rate

_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1", "l0": "L0"}


def percent(value: float, digits: int = 1) -> str:
    """0.472 as "47.2 %"."""
    return f"{100 * value:.{digits}f} %"


def plural(count: int, noun: str) -> str:
    """1 as "1 failure", 1200 as "1,200 failures"."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"


def printable(text: str, limit: int = 200) -> str:
    """Text from outside for one line: control and direction-changing characters replaced, and cut at
    `limit`."""
    safe = text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def small_percent(value: float) -> str:
    """A small share with two significant digits: 0.00015 as "0.015 %"."""
    if not 0 < value < 0.01:
        return percent(value)
    return f"{float(f'{100 * value:.2g}'):.10f}".rstrip("0").rstrip(".") + " %"


def epsilon_text(epsilon: float) -> str:
    """0.0313725 as "8/255", 0.1 as "0.1"."""
    plain = f"{epsilon:.4g}"
    steps = round(epsilon * 255)
    if 0 < steps < 128 and abs(epsilon * 255 - steps) < 1e-4 and abs(float(plain) - epsilon) > 1e-9:
        return f"{steps}/255"
    return plain


def norm_text(norm: str) -> str:
    """The name of a norm in a sentence."""
    return _NORMS.get(norm.lower(), norm)


def interval_text(rate: Rate) -> str:
    """The interval of a rate in percent without the unit: "44.1-50.3", or a one-sided bound."""
    if rate.method == "clopper-pearson":
        end = rate.high if rate.k == 0 else rate.low
        sign, shown = ("<=", small_percent(end)) if rate.k == 0 else (">=", percent(end))
        return f"{sign} {shown.removesuffix(' %')}"
    return f"{100 * rate.low:.1f}-{100 * rate.high:.1f}"


def attack_verdict(section: AttackSection) -> tuple[str, str]:
    """The headline figure, and what it holds for; together they are attack_sentence."""
    rate = section.robust[section.headline]
    if section.norm.lower() not in _NORMS:
        return "no robust accuracy is stated", "(the threat model is incomplete: no norm that is known)"
    what = f"{section.name}, {norm_text(section.norm)} {epsilon_text(section.epsilons[section.headline])}"
    return (
        f"robust accuracy <= {percent(rate.value)}",
        f"({what}, n={rate.n:,}, 95 % CI {interval_text(rate)})",
    )


def attack_sentence(section: AttackSection) -> str:
    """`robust accuracy <= 47.2 % (PGD-40, Linf 0.1, n=1,000, 95 % CI 44.1-50.3)`."""
    return " ".join(attack_verdict(section))


def masking_sentence(section: EvaluationSection) -> str:
    """`Signs of gradient masking: ...`, `No sign of gradient masking`, or that nobody could look."""
    if section.masking == "signs":
        return f"Signs of gradient masking: {'; '.join(section.signs)}."
    if section.masking == "none":
        return "No sign of gradient masking."
    return "Gradient masking was not examined: no gradients were there to look at."


def fuzz_verdict(section: FuzzSection) -> tuple[str, str]:
    """How many failures at the headline level in how many classes, and from what; with none, the exact
    bound."""
    guided, level = section.guided, section.level
    found, base = guided.failures, section.baseline
    beside = f"; stacked random: {base.failures:,} in {base.classes:,}" if base else "; no baseline"
    if found:
        what = f"{plural(found, 'failure')} at {level} in {plural(guided.classes, 'D2 class')}"
        return what, f"(from {guided.executions:,} executions of {plural(section.roots, 'root')}{beside})"
    if guided.valid == 0:
        return f"nothing learnt at {level}", f"(none of {guided.executions:,} executions was a valid input)"
    bound = Rate.of(0, guided.valid).high
    return (
        f"no failure at {level} in {guided.valid:,} valid executions",
        f"(at most {small_percent(bound)} of such inputs fail: 95 %, exact, for this distribution of inputs)",
    )


def fuzz_sentence(section: FuzzSection) -> str:
    """`431 failures at V2 in 37 D2 classes (from 20,000 executions of 400 roots)`."""
    return " ".join(fuzz_verdict(section))


def fuzz_speed(section: FuzzSection) -> float | None:
    """Executions a second of both campaigns together; None if no time was taken."""
    both = [section.guided, *([section.baseline] if section.baseline else [])]
    seconds = sum(campaign.seconds for campaign in both)
    return sum(campaign.executions for campaign in both) / seconds if seconds > 0 else None


def baseline_sentence(section: FuzzSection) -> str:
    """The guided campaign beside stacked random at equal executions; says so when guidance did not help."""
    guided, base, level = section.guided, section.baseline, section.level
    if base is None:
        return "No baseline was run, so nothing is said about what guidance adds."
    counts = f"{plural(base.failures, 'failure')} at {level} in {plural(base.classes, 'D2 class')}"
    first = f"Stacked random mutation, at {base.executions:,} executions, found {counts}"
    ours, theirs = score(guided), score(base)
    measure = f"{ours[0]:,} against {theirs[0]:,} distinct failures (root, predicted class)"
    if guided.executions != base.executions:
        return f"{first}; the two ran for different numbers of executions and are not compared."
    if ours == (0, 0) == theirs:
        return f"{first}; neither found anything."
    if ours[0] > theirs[0] and ours[1] >= theirs[1]:
        return f"{first}; guided search found more: {measure}. One run shows no more than that."
    if ours[0] > theirs[0]:
        return f"{first}; guided search found more distinct failures, but fewer classes: {measure}."
    return f"{first}; guided search was not better in this run: {measure}."


def score(campaign: Campaign) -> tuple[int, int]:
    """Distinct failures and classes: what two schedules are compared by."""
    return campaign.distinct, campaign.classes
