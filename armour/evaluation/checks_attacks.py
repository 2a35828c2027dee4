"""Checks of the attacks: whether they find what is there, measured on a sample of the inputs read right."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armour.attacks import Attack, FixedBudgetAttack
from armour.attacks.gradient import finite
from armour.attacks.transfer import carried, craft
from armour.contract import Model
from armour.verdict import epsilon_text, percent, plural

from . import presets
from .context import Context, Rows, Trial
from .journal import Arrays
from .rules import Said, beyond, rule, share

NOISE_DRAWS = 10
FULL, ALONE, STEPS = 64, 2_000, 40
_STRONGER = (
    "Use a stronger preset (standard or thorough), more steps or restarts, and an attack made for the model."
)


@rule("R05", "Ends of the curve", gradients=False)
def ends(context: Context) -> Said:
    """Nothing happens at epsilon 0, and everything is broken where any input may become any other."""
    rows = context.probe[:FULL]
    again = context.model.predict(context.x[rows])
    if not context.random and (again != context.y[rows]).any():
        return Said(
            "error",
            "The same inputs, asked again, are read differently.",
            "The model keeps something between calls; make it a function of its input.",
        )
    size = int(np.prod(context.x.shape[1:]))
    full = float(context.distance.longest(size, context.model.bounds.span))
    blind = context.threat.knowledge != "white-box" or not context.model.can_grad
    settings = {"steps": STEPS, "restarts": 3, "loss": "margin", "eot": presets.EOT if context.random else 1}
    attack = None if blind else presets.made("pgd", context.threat, **settings)
    if attack is None:
        return Said("note", "Accuracy at epsilon 0 is clean accuracy; the full range was not searched.")
    trial = context.trial("full range", attack, rows, full, 5)
    left = share(~trial.success)
    text = f"Without a limit, epsilon {full:.4g}, {percent(left)} of {len(rows)} samples still stand"
    if left == 0:
        return Said("ok", f"At epsilon 0 accuracy is clean accuracy; at {full:.4g} nothing stands.")
    if left <= 0.05 or context.threat.goal == "targeted":
        return Said("warning", f"{text}.", _STRONGER)
    return Said(
        "error",
        f"{text}, though any input is allowed: gradients do not lead the attack.",
        "The attack or the wrapper of the model is broken, or gradients are masked: see R10 to R14.",
        f"an attack without a limit leaves {percent(left)} standing",
    )


@rule("R06", "Curve falls with epsilon", probes=False)
def falling(context: Context) -> Said:
    """The first attack's own curve, before anything found within a smaller budget is taken over."""
    curve = context.curve
    if len(curve) < 2:
        return Said("note", "One epsilon was evaluated, so there is no curve.")
    name = type(context.attacks[0]).__name__
    worst = max(
        (beyond(curve[k], curve[j], 0.5) for k in range(len(curve)) for j in range(k + 1, len(curve))),
        key=lambda pair: pair[1],
    )
    if worst[0]:
        return Said(
            "warning",
            f"{name} breaks fewer at a larger epsilon, by {worst[1]:.1f} points: its steps do not suit it.",
            _STRONGER,
        )
    return Said("ok", f"{name} by itself breaks no fewer at larger epsilons.")


@rule("R07", "More effort does not help")
def effort(context: Context) -> Said:
    """Twice the steps and five times the restarts, on what is left within the verdict's epsilon."""
    base = _strengthened(context)
    if base is None:
        return Said("note", "No attack of the row takes steps or restarts that could be raised.")
    left = context.probe[~context.broken(context.probe)]
    limit = max(32, int(1_000 * context.probes / presets.cost(base)))
    rows = left[:limit]
    if not len(rows):
        return Said("ok", "Nothing is left that more effort could break.")
    trial = context.trial("more effort", base, rows, context.epsilon, 7)
    n = len(context.probe) if len(rows) == len(left) else len(rows)
    new = np.zeros(n, bool)
    new[: int(trial.success.sum())] = True
    flagged, points = beyond(new, np.zeros(n, bool), 1.0)
    text = f"{base} breaks {plural(int(trial.success.sum()), 'sample')} more of {n:,} ({points:.1f} points)"
    if flagged:
        return Said("warning", f"{text}: the attacks were not run to their end.", _STRONGER)
    return Said("ok", f"{text}.")


@rule("R08", "Stronger attacks find more")
def inversions(context: Context) -> Said:
    """Many steps against one, gradients against scores alone, gradients against another model's."""
    blind = context.threat.knowledge != "white-box" or not context.model.can_grad
    iterative = None if blind else presets.made("pgd", context.threat, steps=STEPS, loss="cross-entropy")
    if iterative is None:
        return Said("note", "Not measured: there is no iterated gradient attack to compare with here.")
    probe = context.probe
    strong = context.trial("PGD by itself", iterative, probe, context.epsilon, 81)
    weak = _weaker(context, probe)
    if not weak:
        return Said("note", "Not measured: there is no weaker attack in this norm.")
    found, signs = [], []
    for trial in weak:
        flagged, points = beyond(trial.success, strong.success, 0.2)
        found.append(f"{trial.name} {percent(share(trial.success))}")
        if flagged:
            signs.append(f"{trial.name} breaks {points:.1f} points more than PGD")
    text = f"Broken within {epsilon_text(context.epsilon)}: PGD-{STEPS} {percent(share(strong.success))}, "
    text += f"{', '.join(found)}, of {len(probe)} samples"
    if not signs:
        return Said("ok", f"{text}.")
    return Said(
        "warning",
        f"{text}: gradients mislead.",
        "Look for what hides the gradient (R10 to R14); attack a smooth stand-in for it, or scores alone.",
        "; ".join(signs),
    )


def _weaker(context: Context, probe: Rows) -> list[Trial]:
    found = []
    single = presets.made("fgsm", context.threat, loss="cross-entropy")
    if single is not None:
        found.append(context.trial("one step (FGSM)", single, probe, context.epsilon, 82))
    for name in ("square", "nes", "spsa"):
        scores = presets.made(name, context.threat, queries=min(300, context.threat.queries or 300))
        if scores is not None:
            title = f"scores alone ({type(scores).__name__})"
            found.append(context.trial(title, scores, probe, context.epsilon, 83))
            break
    return [*found, *transfers(context)]


def transfers(context: Context) -> list[Trial]:
    """What inputs made on each surrogate do to the model."""
    found = []
    attack = presets.made("pgd", context.threat, steps=STEPS, loss="cross-entropy")
    for number, surrogate in enumerate(context.surrogates):
        if attack is not None and surrogate.can_grad:
            make = partial(_transferred, context, attack, surrogate, number)
            found.append(context.kept(f"transfer from {surrogate.name} ({number + 1})", make))
    return found


def _transferred(context: Context, attack: Attack, surrogate: Model, number: int) -> Arrays:
    rows, epsilon, bounds = context.probe, context.epsilon, context.model.bounds
    x, goal = context.x[rows], context.criterion(rows)
    adv = craft(surrogate, attack, x, goal, epsilon, bounds, context.streams(90 + number, rows))
    adv = attack.repaired(context.model, x, adv, epsilon)
    return {
        "success": goal(context.model.logits(adv)),
        "itself": goal(surrogate.logits(carried(adv, bounds, surrogate.bounds))),
        "adv": adv,
        "distance": context.distance.measure(x, adv),
        "spent": np.ones(len(rows), np.int64),
        "rows": rows,
        "epsilon": np.array(epsilon),
    }


@rule("R09", "Noise is weaker than the attacks")
def noise(context: Context) -> Said:
    """Random points of the ball, the best of several for each sample."""
    probe, epsilon = context.probe, context.epsilon
    region = context.distance.region(context.x[probe], epsilon, context.model.bounds)

    def make() -> Arrays:
        best, met = context.x[probe].copy(), np.zeros(len(probe), bool)
        goal = context.criterion(probe)
        for draw in range(NOISE_DRAWS):
            point = region.start(context.streams(9, probe).child(draw))
            now = goal(context.model.logits(point)) & ~met
            best[now], met = point[now], met | now
        return {
            "success": met,
            "adv": best,
            "distance": context.distance.measure(context.x[probe], best),
            "spent": np.full(len(probe), NOISE_DRAWS),
            "rows": probe,
            "epsilon": np.array(epsilon),
        }

    trial = context.kept("noise", make)
    random, attacked = share(trial.success), share(context.broken(probe))
    text = f"Noise breaks {percent(random)}, the attacks {percent(attacked)} of {len(probe)} samples"
    if attacked == 0:
        return Said("note", f"{text}: a budget at which nothing is found shows little.")
    if random < 0.95 * attacked:
        return Said("ok", f"{text}.")
    if attacked > 0.9:
        return Said("note", f"{text}: the budget is so large that no attack is needed.")
    return Said(
        "warning",
        f"{text}: they find no more than chance does.",
        _STRONGER,
        "the attacks find no more than noise",
    )


@rule("R15", "Attacks come to their end", gradients=True)
def endings(context: Context) -> Said:
    """Plain PGD on what is left: paths that crossed the boundary unnoticed, and losses that still rise."""
    if context.random:
        return Said(
            "note", "Not measured: where answers are random (R12), a path crosses boundaries by luck."
        )
    left = context.probe[~context.broken(context.probe)][:FULL]
    if not len(left):
        return Said("ok", "Nothing is left on which an attack could have stopped early.")
    found = context.unit("paths", lambda: _paths(context, left))
    values, met = found["values"], found["met"]
    if values.shape != (STEPS + 1, len(left)) or met.shape != values.shape:
        return Said("note", "Not measured.")
    best = np.maximum.accumulate(values, axis=0)
    whole = best[-1] - best[0]
    late = best[-1] - best[-11]
    rising = share(np.asarray((late > 0.05 * np.maximum(whole, 1e-12)) & (whole > 0)))
    crossed = share(np.asarray(met.any(axis=0)))
    text = f"Of {len(left)} samples left, PGD-{STEPS} crosses the boundary for {percent(crossed)}"
    text += f", and its loss still rises at the end for {percent(rising)}"
    if crossed > 0.01 and int(met.any(axis=0).sum()) > 2:
        return Said("warning", f"{text}: successes were missed.", _STRONGER)
    if rising > 0.05:
        return Said("note", f"{text}: more steps may find more (see R07).")
    return Said("ok", f"{text}.")


def _paths(context: Context, rows: Rows) -> Arrays:
    region = context.distance.region(context.x[rows], context.epsilon, context.model.bounds)
    goal = context.criterion(rows)
    objective = goal.objective("cross-entropy")
    point = region.start(context.streams(15, rows))
    values: list[NDArray[Any]] = []
    met = []
    for step in range(STEPS + 1):
        if step < STEPS:
            value, gradient, logits = context.model.gradient(point, objective)
        else:
            logits = context.model.logits(point)
            value = objective.values(logits)
        values.append(np.nan_to_num(value.astype(np.float64)))
        met.append(goal(logits))
        if step < STEPS:
            point = region.step(point, finite(gradient), 0.1)
    return {"values": np.stack(values), "met": np.stack(met)}


@rule("R16", "Smallest distances agree with fixed budgets")
def agreement(context: Context) -> Said:
    """A minimum-norm attack on the same samples, budget by budget."""
    trial = context.trials.get("nearest")
    if trial is None:
        return Said("note", "No minimum-norm attack was run.")
    parts, more, fewer = [], [], []
    for k, epsilon in enumerate(context.budgets):
        near, fixed = trial.success & (trial.distance <= epsilon * (1 + 1e-6)), context.broken(trial.rows, k)
        flagged, points = beyond(near, fixed, 1.0)
        under, below = beyond(fixed, near, 1.0)
        parts.append(f"{epsilon_text(epsilon)}: {percent(share(near))} and {percent(share(fixed))}")
        more += [points] * flagged
        fewer += [below] * under
    text = f"Broken by the minimum-norm attack and by fixed budgets: {'; '.join(parts[:8])}"
    if more:
        return Said(
            "warning",
            f"{text}. The fixed budgets missed up to {max(more):.1f} points.",
            _STRONGER,
            f"a minimum-norm attack finds {max(more):.1f} points more than fixed budgets",
        )
    if fewer:
        return Said("note", f"{text}. The minimum-norm attack found up to {max(fewer):.1f} points fewer.")
    return Said("ok", f"{text}.")


def _strengthened(context: Context) -> Attack | None:
    """The row's attack with the most steps that is no targeted sweep, with twice the steps, 5 x restarts."""
    best: Attack | None = None
    for attack in context.attacks:
        fits = isinstance(attack, FixedBudgetAttack) and getattr(attack, "targets", None) is None
        if fits and attack.needs_gradient and hasattr(attack, "steps") and hasattr(attack, "restarts"):
            best = attack if best is None or presets.cost(attack) > presets.cost(best) else best
    if best is not None:
        changed: dict[str, Any] = {"steps": 2 * getattr(best, "steps", 1)}
        random = getattr(best, "random_start", True)
        changed |= {"restarts": 5 * getattr(best, "restarts", 1)} if random else {}
        return replace(best, **changed)
    for attack in context.attacks:
        queries = getattr(attack, "queries", None)
        if queries is not None and context.threat.queries is None:
            changed = {"queries": 2 * queries}
            return replace(attack, **changed)
    return None


@rule("R03", "Every adversarial input is real", probes=False, when="last")
def verified(context: Context) -> Said:
    """In range, within budget, and read wrong by itself after it is stored as float32."""
    found = list(context.found())
    checked = outside = over = wrong = ties = 0
    low, high = context.model.bounds
    for rows, epsilon, adv in (each for each in found if len(each[0])):
        stored = adv.astype(np.float32)
        flat = stored.reshape(len(stored), -1)
        outside += int(
            ((flat < np.float32(low)) | (flat > np.float32(high)) | ~np.isfinite(flat)).any(1).sum()
        )
        over += int((context.distance.measure(context.x[rows], stored) > epsilon * (1 + 1e-6)).sum())
        alone = 64 if context.model.remote else ALONE
        for row, one in zip(rows, stored[: max(0, alone - checked)], strict=False):
            logits = context.model.logits(one[None])
            checked += 1
            if context.criterion(np.array([row]))(logits)[0]:
                continue
            gap = np.sort(logits[0].astype(np.float64))
            tie = gap[-1] - gap[-2] <= 1e-5 * max(1.0, float(np.abs(gap).max())) if len(gap) > 1 else False
            ties, wrong = ties + int(tie), wrong + int(not tie)
    total = sum(len(rows) for rows, _, _ in found)
    text = f"{total:,} adversarial inputs are in range and within budget; {checked:,} were asked alone, "
    text += "as float32"
    if outside or over:
        return Said(
            "error",
            f"{plural(outside, 'input')} out of range and {over:,} beyond the budget, of {total:,}.",
            "The attack does not keep to its limits; report it.",
        )
    if wrong:
        return Said(
            "warning" if context.random else "error",
            f"{text}: {wrong:,} are read right then.",
            "The answer depends on the batch or on chance: evaluate with batch size 1, or average answers.",
        )
    rest = f"; {plural(ties, 'tie')} within rounding" if ties else ""
    return Said("ok", f"{text}, and fool the model{rest}.")
