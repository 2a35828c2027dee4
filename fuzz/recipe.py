"""Recipes: the root's number and a list of steps, enough to rebuild a fuzzed input bit for bit.

Text form: `root=81;rotate(deg=3.2)@00000000001f3a07;gaussian-noise(sigma=0.04)@9bc0000000000001`. Parameters
are float32 in their shortest exact spelling; the key after @ is the random stream of that step, 64 bits in
hexadecimal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from armour import checks
from armour.bounds import Bounds
from armour.errors import InvalidArgument
from armour.rng import Streams
from armour.tensor.backend import Array, asnumpy, get_xp

from . import array_mutators as array_mutators  # registers its mutators
from . import byte_mutators as byte_mutators  # registers its mutators
from . import geometric_mutators as geometric_mutators  # registers its mutators
from . import gradient_mutators as gradient_mutators  # registers its mutators
from . import image_mutators as image_mutators  # registers its mutators
from . import series_mutators as series_mutators  # registers its mutators
from . import table_mutators as table_mutators  # registers its mutators
from . import token_mutators as token_mutators  # registers its mutators
from . import whole_mutators as whole_mutators  # registers its mutators
from .aids import MISSING
from .kinds import Kind, of_shape
from .mutators import SLOPES, Mutator, get
from .partners import Partners

MAX_STEPS = 8
_MAX_TEXT = 4096  # characters: eight steps with the longest parameter lists stay well below
_NUMBER = r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?"
_ROOT = re.compile(r"root=([0-9]{1,18})")
_PAIR = rf"[a-z_]{{1,20}}={_NUMBER}"
_STEP = re.compile(rf"([a-z0-9-]{{1,40}})\(((?:{_PAIR}(?:,{_PAIR})*)?)\)@([0-9a-f]{{1,16}})")


@dataclass(frozen=True, slots=True)
class Step:
    """One mutation: the mutator's name, its parameters (float32 values, in its order) and its 64-bit key."""

    mutator: str
    params: tuple[float, ...]
    key: int

    def __str__(self) -> str:
        pairs = zip(get(self.mutator).params, self.params, strict=True)
        return f"{self.mutator}({','.join(f'{p.name}={_spell(v)}' for p, v in pairs)})@{self.key:016x}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A root's number and at most 8 steps, of which at most one is geometric; InvalidArgument otherwise."""

    root: int
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if len(self.steps) > MAX_STEPS:
            raise InvalidArgument(f"expected at most {MAX_STEPS} steps in a recipe, got {len(self.steps)}")
        if len(self.steps) < 2:
            return
        moving = [step.mutator for step in self.steps if get(step.mutator).geometric]
        if len(moving) > 1:
            raise InvalidArgument(f"expected at most one geometric step in a recipe, got {', '.join(moving)}")

    def __str__(self) -> str:
        return ";".join([f"root={self.root}", *map(str, self.steps)])

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """The recipe that str() spells; InvalidArgument for anything else, which may be hostile."""
        if not isinstance(text, str) or len(text) > _MAX_TEXT:
            raise InvalidArgument(
                f"expected a recipe of at most {_MAX_TEXT} characters, got {checks.describe('text', text)}"
            )
        head, *rest = text.split(";")
        root = _ROOT.fullmatch(head)
        if root is None:
            raise InvalidArgument(f"expected a recipe that starts with root=NUMBER, got {head[:40]!r}")
        if len(rest) > MAX_STEPS:
            raise InvalidArgument(f"expected at most {MAX_STEPS} steps in a recipe, got {len(rest)}")
        return cls(int(root[1]), tuple(_parse_step(part) for part in rest))

    @property
    def families(self) -> tuple[str, ...]:
        """The families of its mutators, sorted, each once: part of the key of a failure class."""
        return tuple(sorted({get(step.mutator).family for step in self.steps}))

    @property
    def geometric(self) -> bool:
        """True if one of the steps moves pixels, so that no further one may."""
        return moves(self.steps)

    def then(self, steps: Sequence[Step]) -> Recipe:
        """This recipe with more steps at its end."""
        return replace(self, steps=(*self.steps, *steps))

    def drop(self, index: int) -> Recipe:
        """Without step `index`."""
        return replace(self, steps=self.steps[:index] + self.steps[index + 1 :])

    def shrink(self, index: int, t: float, param: int | None = None) -> Recipe:
        """Step `index` (or only its number `param`) moved toward identity: t = 1 keeps it, 0 undoes it."""
        step = self.steps[index]
        values = tuple(
            _float32(base + t * (value - base)) if param in (None, number) else value
            for number, (value, base) in enumerate(zip(step.params, get(step.mutator).identity, strict=True))
        )
        return replace(
            self, steps=(*self.steps[:index], replace(step, params=values), *self.steps[index + 1 :])
        )


def moves(steps: Sequence[Step]) -> bool:
    """True if one of the steps moves pixels, so that no further one may."""
    return any(get(step.mutator).geometric for step in steps)


def rebuild(
    recipe: Recipe,
    root: Array,
    bounds: Bounds,
    *,
    kind: Kind | None = None,
    partners: Partners | None = None,
) -> tuple[Array, Array]:
    """The input of a recipe and its reference, both like the root, from the root (c, h, w) or of any shape.

    kind: by default images for (c, h, w), arrays otherwise. partners: of this root, for recipes that mix
    seeds.
    """
    x, ref = apply_steps(root[None], root[None], [recipe.steps], bounds, kind=kind, partners=partners)
    return x[0], ref[0]


def apply_steps(
    x: Array,
    ref: Array,
    steps: Sequence[Sequence[Step]],
    bounds: Bounds,
    *,
    kind: Kind | None = None,
    partners: Partners | None = None,
) -> tuple[Array, Array]:
    """Apply to each item its own steps, and to its reference the geometric one alone.

    x, ref: (n, *shape) float32, not written to; steps: n sequences; kind: of the inputs, by default images
    for (n, c, h, w) and arrays otherwise; partners: the other seeds of each item's class. Items whose next
    step uses the same mutator go through it together; what an item becomes does not depend on which others
    they are.
    """
    if x.dtype != np.float32 or x.ndim < 2 or ref.shape != x.shape or len(steps) != len(x):
        raise InvalidArgument(
            f"expected float32 inputs (n, ...), references alike and n lists of steps, got "
            f"{checks.describe('x', x)}, {checks.describe('ref', ref)} and {len(steps)} lists"
        )
    kind = kind or of_shape(x.shape[1:])
    _check_fit(steps, x, kind)
    xp = get_xp(x)
    x, ref = x.copy(), ref.copy()
    position = [0] * len(steps)
    waiting: dict[str, list[int]] = {}
    for item, own in enumerate(steps):
        if own:
            waiting.setdefault(own[0].mutator, []).append(item)
    while waiting:
        # The longest queue first: the others fill up meanwhile, so there are fewer and larger groups.
        name = max(waiting, key=lambda key: len(waiting[key]))
        group = waiting.pop(name)
        row = get(name)
        current = [steps[item][position[item]] for item in group]
        params = xp.asarray(
            np.array([step.params for step in current], dtype=np.float32).reshape(len(group), len(row.params))
        )
        streams = Streams(np.array([step.key for step in current], dtype=np.uint64))
        index = xp.asarray(np.array(group))
        if row.geometric:
            before = x[index]
            moved = kind.kept(row.apply(before, params, streams, bounds), before)
            x[index] = moved
            # Where nothing but this step has happened yet, the reference is the same image.
            apart = xp.nonzero((before != ref[index]).reshape(len(group), -1).any(axis=1))[0]
            if len(apart):
                other = ref[index[apart]]
                again = row.apply(other, params[apart], streams[asnumpy(apart)], bounds)
                moved[apart] = kind.kept(again, other)
                x[index[apart]] = kind.hold(x[index[apart]], moved[apart], bounds)
            ref[index] = moved
        else:
            extra = _extra(row, group, streams, kind, partners)
            before = x[index]
            made = kind.kept(row.apply(before, params, streams, bounds, extra), before)
            x[index] = kind.hold(made, ref[index], bounds)
        for item in group:
            position[item] += 1
            if position[item] < len(steps[item]):
                waiting.setdefault(steps[item][position[item]].mutator, []).append(item)
    return x, ref


def _extra(
    row: Mutator, group: Sequence[int], streams: Streams, kind: Kind, partners: Partners | None
) -> Any:
    """What a mutator is given besides the inputs of a group."""
    if row.paired:
        return None if partners is None else partners.of(group, streams)
    if row.needs == SLOPES:
        if partners is None:
            raise InvalidArgument(f"expected the seeds with the model's slopes for {row.name}, got no seeds")
        return partners.slopes(group)
    return kind.aids.get(row.needs) if row.needs else None


def _check_fit(steps: Sequence[Sequence[Step]], x: Array, kind: Kind) -> None:
    """InvalidArgument if a step, which may come from a stranger's recipe, is for other inputs than these."""
    for name in {step.mutator for own in steps for step in own}:
        row = get(name)
        if kind.name not in row.inputs or (kind.pixels and x.ndim != 4):
            raise InvalidArgument(
                f"expected mutators of {kind.name} inputs, got {name}, which is for {', '.join(row.inputs)}"
            )
        if row.needs and row.needs != SLOPES and not kind.aids.has(row.needs):
            raise InvalidArgument(f"expected {MISSING[row.needs]}, which {name} needs, got none")


def _float32(value: float) -> float:
    return float(np.float32(value))


def _spell(value: float) -> str:
    return str(np.float32(value))


def _parse_step(text: str) -> Step:
    match = _STEP.fullmatch(text)
    if match is None:
        raise InvalidArgument(f"expected a step such as rotate(deg=3.2)@1f3a, got {text[:60]!r}")
    row = get(match[1])
    pairs = [pair.split("=") for pair in match[2].split(",")] if match[2] else []
    expected = [param.name for param in row.params]
    if [name for name, _ in pairs] != expected:
        raise InvalidArgument(f"expected {row.name}({', '.join(expected)}), got {text[:60]!r}")
    values = []
    for param, (_, number) in zip(row.params, pairs, strict=True):
        value = float(number)
        # In double precision first: the text may hold what overflows a float32.
        if not (abs(value) < 1e30 and _float32(param.low) <= _float32(value) <= _float32(param.high)):
            raise InvalidArgument(
                f"expected {param.name} of {row.name} in [{param.low}, {param.high}], got {number[:40]}"
            )
        values.append(_float32(value))
    return Step(row.name, tuple(values), int(match[3], 16))
