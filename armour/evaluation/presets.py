"""Which attacks an evaluation runs: presets as rows of names, in order of cost, resolved by the registry.

An entry names several attacks, the best first: the first one that is registered and fits is taken, so a
preset gets better when an attack is added and needs no change here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

from armour.attacks import ATTACKS, Attack, DecisionAttack, OwnLimitsAttack
from armour.checks import describe, suggest
from armour.contract import Model
from armour.errors import InvalidArgument, UnsupportedError
from armour.registry import normalise
from armour.threat import Threat

Attacks: TypeAlias = str | Attack | Sequence[str | Attack]

# Adapts its own step size, so that its strength does not hang on a setting.
ADAPTIVE = ("apgd-ce", "pgd")


@dataclass(frozen=True)
class Wanted:
    """An entry of a preset: names, the best first, and settings; those that an attack lacks are left out.

    classes: the model must have so many. only: settings for one of the names.
    """

    names: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    classes: int = 2
    only: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_CHEAP = Wanted(("pgd",), {"steps": 20, "loss": "cross-entropy"})
_MARGIN = {"loss": "margin"}

PRESETS: dict[str, tuple[Wanted, ...]] = {
    "quick": (
        _CHEAP,
        Wanted(("apgd-dlr", "pgd"), {"steps": 40}, 3, {"pgd": _MARGIN}),
        Wanted(("square", "hop-skip-jump"), {"queries": 300}),
    ),
    # A cheap one, then AutoAttack's four (Croce and Hein, 2020, https://arxiv.org/abs/2003.01690).
    "standard": (
        _CHEAP,
        Wanted(("apgd-ce", "pgd"), {"steps": 100}),
        Wanted(("apgd-t", "apgd-dlr", "pgd"), {"steps": 100}, 4, {"pgd": _MARGIN}),
        Wanted(("fab-t", "fab", "fmn", "ddn", "deepfool"), {"steps": 100}),
        Wanted(("square", "hop-skip-jump"), {"queries": 5000}),
    ),
    "thorough": (
        _CHEAP,
        Wanted(("apgd-ce", "pgd"), {"steps": 100, "restarts": 5}),
        Wanted(("apgd-dlr", "pgd"), {"steps": 100, "restarts": 5}, 3, {"pgd": _MARGIN}),
        Wanted(("apgd-t",), {"steps": 100}, 4),
        Wanted(("fab", "fmn"), {"steps": 100, "restarts": 5}),
        Wanted(("fab-t",), {"steps": 100}),
        Wanted(("fmn", "ddn"), {"steps": 500}),
        Wanted(("vmi-fgsm", "mi-fgsm"), {"steps": 20}),
        Wanted(("square",), {"queries": 5000}),
        Wanted(("hop-skip-jump",), {"queries": 2400}),
    ),
    "black-box": (
        Wanted(("square", "nes", "spsa", "simba"), {"queries": 2500}),
        Wanted(("bandits", "nes", "spsa"), {"queries": 2500}),
        Wanted(("hop-skip-jump", "boundary"), {"queries": 2400}),
    ),
}

# For models that answer at random: gradients averaged over so many draws (Athalye et al., 2018,
# https://arxiv.org/abs/1802.00420), in few attacks, for each step costs as many times more.
EOT = 20
_AVERAGED = Wanted(("pgd",), {"steps": 20, "loss": "cross-entropy", "eot": EOT})
_RATIO = ("apgd-dlr", "pgd")
RANDOM: dict[str, tuple[Wanted, ...]] = {
    "quick": (_AVERAGED, Wanted(("square", "hop-skip-jump"), {"queries": 300})),
    # AutoAttack's row for such models, behind a cheap one, and scores alone.
    "standard": (
        _AVERAGED,
        Wanted(("apgd-ce", "pgd"), {"steps": 100, "eot": EOT}),
        Wanted(_RATIO, {"steps": 100, "eot": EOT}, 3, {"pgd": _MARGIN}),
        Wanted(("square", "hop-skip-jump"), {"queries": 5000}),
    ),
    "thorough": (
        _AVERAGED,
        Wanted(("apgd-ce", "pgd"), {"steps": 100, "restarts": 2, "eot": EOT}),
        Wanted(_RATIO, {"steps": 100, "restarts": 2, "eot": EOT}, 3, {"pgd": _MARGIN}),
        Wanted(("square",), {"queries": 5000}),
        Wanted(("hop-skip-jump",), {"queries": 2400}),
    ),
}

# The smallest distances: what is fastest at a good median first.
NEAREST: dict[str, tuple[Wanted, ...]] = {
    "linf": (Wanted(("fmn", "fab", "deepfool"), {"steps": 100}, only={"fab": {"steps": 40}}),),
    "l2": (Wanted(("ddn", "fmn", "deepfool"), {"steps": 100}),),
    "l1": (Wanted(("fmn", "ead", "fab"), {"steps": 100}),),
    "l0": (Wanted(("fmn", "jsma"), {"steps": 100}),),
}


def resolve(attacks: Attacks, threat: Threat, model: Model) -> tuple[str, list[Attack], list[str]]:
    """Name of the choice, its attacks in order, and notes about what was changed.

    Raises InvalidArgument for unknown names and attacks that do not fit the threat, UnsupportedError for
    attacks that need gradients of a model without.
    """
    blind = threat.knowledge != "white-box" or not model.can_grad
    if isinstance(attacks, str) and attacks in PRESETS:
        notes = []
        if blind and attacks != "black-box":
            why = "the attacker has none" if model.can_grad else model.obstacle
            notes.append(f"Preset {attacks} needs gradients, and {why}: black-box was run instead.")
            attacks = "black-box"
        return attacks, _preset(attacks, threat, model, blind), notes
    if isinstance(attacks, (str, Attack)):
        attacks = [name.strip() for name in attacks.split(",")] if isinstance(attacks, str) else [attacks]
    if not isinstance(attacks, (list, tuple)) or not attacks:
        raise InvalidArgument(
            f"expected a preset ({', '.join(PRESETS)}), names of attacks or attacks, got "
            f"{describe('attacks', attacks)}"
        )
    chosen = [_one(attack, threat) for attack in attacks]
    for attack in chosen:
        _fitting(attack, threat, model)
    return "own choice", chosen, []


def averaged(preset: str, threat: Threat, model: Model) -> list[Attack]:
    """The preset's attacks for a model that answers at random; none where gradients cannot be averaged."""
    if preset not in RANDOM or threat.knowledge != "white-box" or not model.can_grad:
        return []
    found = _row(RANDOM[preset], threat, model, blind=False)
    return found if any(draws(attack) > 1 for attack in found) else []


def draws(attack: Attack) -> int:
    """How many gradients the attack averages for each step."""
    return int(getattr(attack, "eot", 1))


def check_names(attacks: str, norm: str) -> None:
    """InvalidArgument if it is neither a preset nor names of attacks that know the norm."""
    threat = Threat(epsilons=1.0, norm=norm)
    if attacks not in PRESETS:
        for name in attacks.split(","):
            _one(name.strip(), threat)


def nearest(threat: Threat, model: Model) -> Attack | None:
    """The minimum-norm attack for the distribution of distances; None if none is there for it."""
    if threat.knowledge != "white-box" or not model.can_grad:
        return None
    found = (_first(wanted, threat, model, blind=False) for wanted in NEAREST[threat.norm])
    return next((attack for attack in found if attack is not None), None)


def made(name: str, threat: Threat, **settings: Any) -> Attack | None:
    """The attack of that name with the threat's norm; None if there is none such. For diagnostics."""
    if name not in ATTACKS or threat.norm not in ATTACKS.get(name).norms:
        return None
    return _with(name, threat, settings)


def cost(attack: Attack) -> float:
    """About how many forward passes an attack needs for an input that it does not break."""
    queries = getattr(attack, "queries", None)
    if queries is not None and not attack.needs_gradient:
        return float(queries)
    steps = getattr(attack, "steps", 1)
    repeats = getattr(attack, "restarts", 1) * (getattr(attack, "targets", None) or 1)
    return 3.0 * float(steps) * float(repeats) * draws(attack)


def _preset(name: str, threat: Threat, model: Model, blind: bool) -> list[Attack]:
    found = _row(PRESETS[name], threat, model, blind)
    if not found:
        fitting = [kind for kind, made in ATTACKS.items() if threat.norm in made.norms]
        fitting = [kind for kind in fitting if not (blind and ATTACKS.get(kind).needs_gradient)]
        what = f"in {threat.norm}" + (" without gradients" if blind else "")
        hint = f"; these do it: {', '.join(fitting)}" if fitting else ""
        raise UnsupportedError(f"preset {name} has no attack {what}{hint}")
    return found


def _row(row: Sequence[Wanted], threat: Threat, model: Model, blind: bool) -> list[Attack]:
    found: list[Attack] = []
    for wanted in row:
        attack = _first(wanted, threat, model, blind, [str(known) for known in found])
        if attack is not None:
            found.append(attack)
    return found


def _first(
    wanted: Wanted, threat: Threat, model: Model, blind: bool, taken: Sequence[str] = ()
) -> Attack | None:
    classes = model.num_classes or 2
    for name in wanted.names:
        if name not in ATTACKS:
            continue
        kind = ATTACKS.get(name)
        plain = name in wanted.only or not name.startswith("apgd-") or classes >= wanted.classes
        if threat.norm not in kind.norms or (blind and kind.needs_gradient) or not plain:
            continue
        if issubclass(kind, OwnLimitsAttack):
            continue
        if threat.knowledge == "labels-only" and not issubclass(kind, DecisionAttack):
            continue
        attack = _with(name, threat, {**wanted.settings, **wanted.only.get(name, {})})
        if str(attack) not in taken:
            return attack
    return None


def _with(name: str, threat: Threat, settings: Mapping[str, Any]) -> Attack:
    kind = ATTACKS.get(name)
    known = {field.name for field in fields(kind)}
    attack: Attack = kind(norm=threat.norm, **{k: v for k, v in settings.items() if k in known})
    return _limited(attack, threat)


def _limited(attack: Attack, threat: Threat) -> Attack:
    """The attack with no more queries than the threat allows."""
    queries = getattr(attack, "queries", None)
    if threat.queries is None or queries is None or attack.needs_gradient or queries <= threat.queries:
        return attack
    changed: dict[str, Any] = {"queries": threat.queries}
    limited: Attack = replace(attack, **changed)
    return limited


def _one(attack: str | Attack, threat: Threat) -> Attack:
    if isinstance(attack, Attack):
        return _limited(attack, threat)
    if isinstance(attack, str) and attack in ATTACKS:
        return _named(attack, threat)
    if not isinstance(attack, str):
        raise InvalidArgument(f"expected an attack or the name of one, got {describe('attacks', attack)}")
    known = [*PRESETS, *ATTACKS.names()]
    same = [name for name in PRESETS if normalise(name) == normalise(attack)]
    hint = f"; did you mean {same[0]}?" if same else suggest(attack.lower(), known)
    raise InvalidArgument(f"unknown preset or attack {attack!r}{hint}")


def _named(name: str, threat: Threat) -> Attack:
    norms = ATTACKS.get(name).norms
    if threat.norm not in norms:
        raise InvalidArgument(f"{name} is for {', '.join(norms)}, and the threat is in {threat.norm}")
    return _with(name, threat, {})


def _fitting(attack: Attack, threat: Threat, model: Model) -> None:
    name = type(attack).__name__
    if isinstance(attack, OwnLimitsAttack):
        raise InvalidArgument(
            f"expected attacks within a budget, and {name} is limited by its own settings; run it by itself"
        )
    if attack.norm != threat.norm:
        raise InvalidArgument(f"expected attacks in {threat.norm}, as the threat is, got {attack}")
    attack.check_model(model)
    if threat.knowledge != "white-box" and any(part.needs_gradient for part in attack.components(model)):
        raise InvalidArgument(
            f"{name} needs gradients, and the threat is {threat.knowledge}; choose other attacks"
        )
    if threat.knowledge == "labels-only" and not isinstance(attack, DecisionAttack):
        raise InvalidArgument(f"{name} asks for scores, and the threat is labels-only; choose other attacks")
