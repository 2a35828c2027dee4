"""Passes over means over space: of layers that are looked at, taken in the pass that makes what comes after.

Without them, a layer of which means are wanted would be an output in all but name: nothing could be joined to
what makes it, and its memory would be read once more for each mean.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from armour.tensor.program import Program, Step, Value
from armour.tensor.units_means import ACTIVATED, NORM_PAIR, POOLED


def join_means(program: Program) -> None:
    """Norms, residuals, relus and poolings with the means of what goes into them and comes out of them."""
    joined = _Means(program)
    if not joined.means:
        return
    for step in tuple(program.steps):
        if step.row.name == "relu":
            joined.activation(step)
    for step in tuple(program.steps):
        if step.row.name == "batch_norm_eval" and id(step) not in joined.gone:
            joined.norm(step)
    for step in tuple(program.steps):
        if step.row.name == "max_pool2d":
            joined.pooling(step)
    joined.finish()


def over_space(step: Step) -> bool:
    """True for a mean of (n, c, h, w) over h and w, as (n, c), without a change of type."""
    if step.row.name != "mean" or step.attrs.get("keepdims") or len(step.inputs[0].shape) != 4:
        return False
    axis = step.attrs.get("axis")
    fitting = isinstance(axis, tuple) and {a % 4 for a in axis} == {2, 3}
    return fitting and step.out.dtype == step.inputs[0].dtype and all(step.inputs[0].shape)


class _Means:
    """The means of a program by what they are of, and the units that take them over."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.gone: set[int] = set()  # ids of steps that became part of others
        self.means: dict[int, Step] = {}
        for step in program.steps:
            if over_space(step):
                first = self.means.setdefault(id(step.inputs[0]), step)
                if first is not step:
                    program.replace(step.out, first.out)
                    self.gone.add(id(step))
        program.steps = [step for step in program.steps if id(step) not in self.gone]
        self.uses: Counter[int] = program.uses()
        self.makers = program.makers()
        self.made = {id(v) for s in program.prepared for v in s.outs}

    def activation(self, relu: Step) -> None:
        """A relu, with the sum and the norm before it if nothing else reads what these make."""
        source, other, norm = relu.inputs[0], None, None
        maker = self._before(source)
        if maker is not None and maker.row.name == "add" and len({v.shape for v in maker.inputs}) == 1:
            found = self._base(maker)
            if found is not None:
                source, other = found
                self.gone.add(id(maker))
                maker = self._before(source)
        if maker is not None and self._fixed_norm(maker):
            norm, source = maker, maker.inputs[0]
        if not self._join(relu, source, norm, other) and other is not None:
            self.gone.discard(id(self.makers[id(relu.inputs[0])]))

    def norm(self, step: Step) -> None:
        """A norm on its own."""
        if self._fixed_norm(step):
            self._join(step, step.inputs[0], step, None)

    def pooling(self, pool: Step) -> None:
        """A max pooling with the activation that it alone reads, if windows of two lines lie side by side."""
        (y,), kernel = pool.inputs, tuple(pool.attrs["kernel"])
        unit = self.makers.get(id(y))
        if unit is None or unit.row is not ACTIVATED or unit.out is not y or self.uses[id(y)] != 1:
            return
        if kernel != tuple(pool.attrs["stride"]) or kernel[0] != 2 or not all(pool.out.shape):
            return
        if unit.attrs["residual"] or not unit.attrs["relu"]:
            return
        attrs = {key: unit.attrs[key] for key in ("norm", "before", "normed", "after")}
        mean = self._take(pool.out)
        pool.row, pool.inputs = POOLED, unit.inputs
        pool.attrs = attrs | {"kernel": kernel, "stride": kernel, "pooled": mean is not None}
        pool.outs = (pool.out, *unit.outs[1:], *(() if mean is None else (mean,)))
        self.gone.add(id(unit))
        self.makers.update({id(v): pool for v in pool.outs})

    def finish(self) -> None:
        """Leave out what became part of something, and let steps wait for what they need."""
        steps = [step for step in self.program.steps if id(step) not in self.gone]
        missing = {id(v) for step in steps for v in step.outs}
        ordered: list[Step] = []
        waiting: list[Step] = []
        for step in steps:
            waiting.append(step)
            ready = True
            while ready:
                ready = False
                for one in tuple(waiting):
                    if not any(id(v) in missing for v in one.inputs):
                        waiting.remove(one)
                        ordered.append(one)
                        missing.difference_update(id(v) for v in one.outs)
                        ready = True
        self.program.steps = ordered

    # -- inside ----------------

    def _before(self, value: Value) -> Step | None:
        """The step that makes a value for one reader alone, besides a mean; None if there is none."""
        maker = self.makers.get(id(value))
        alone = self.uses[id(value)] == 1 + (id(value) in self.means)
        return maker if alone and maker is not None and id(maker) not in self.gone else None

    def _base(self, add: Step) -> tuple[Value, Value] | None:
        """Of a sum nobody looks at: what is normed or convolved, the one made last; and the other."""
        if id(add.out) in self.means or len(add.inputs) != 2 or add.inputs[0] is add.inputs[1]:
            return None
        place = {id(step): i for i, step in enumerate(self.program.steps)}
        found = []
        for value, other in (add.inputs, add.inputs[::-1]):
            maker = self._before(value)
            if maker is not None and (self._fixed_norm(maker) or maker.row.name == "conv2d"):
                found.append((place.get(id(maker), -1), value, other))
        if not found:
            return None
        _, value, other = max(found, key=lambda triple: triple[0])
        return value, other

    def _fixed_norm(self, step: Step) -> bool:
        if step.row.name != "batch_norm_eval" or id(step) in self.gone:
            return False
        return all(v.origin in ("weight", "constant") or id(v) in self.made for v in step.inputs[1:])

    def _join(self, step: Step, source: Value, norm: Step | None, other: Value | None) -> bool:
        """Let `step` be the unit that reads `source`; False if it is nothing for one."""
        if source.origin != "step" or not source.last or len(source.shape) != 4:
            return False
        if self._before(source) is None or any(v.dtype != source.dtype for v in step.inputs):
            return False
        if other is not None and (other.shape != source.shape or other.dtype != source.dtype):
            return False
        middle = None if norm is None else norm.out
        seen = [None if v is None else self.means.get(id(v)) for v in (source, middle, step.out)]
        if step is norm:
            seen[2] = None
        if not any(seen) or (other is not None and self._depends(other, seen)):
            return False
        inputs = (
            source,
            *(() if norm is None else (self._pair(norm),)),
            *(() if other is None else (other,)),
        )
        names = ("before", "normed", "after")
        attrs: dict[str, Any] = {key: mean is not None for key, mean in zip(names, seen, strict=True)}
        attrs |= {"norm": norm is not None, "residual": other is not None, "relu": step is not norm}
        if norm is not None and norm is not step:
            self.gone.add(id(norm))
        taken = [
            self._take(v) for v, mean in zip((source, middle, step.out), seen, strict=True) if mean and v
        ]
        step.row, step.inputs, step.attrs = ACTIVATED, tuple(inputs), attrs
        step.outs = (step.out, *(v for v in taken if v is not None))
        self.makers.update({id(v): step for v in step.outs})
        return True

    def _take(self, value: Value) -> Value | None:
        """The mean of a value, no longer made by a step of its own."""
        mean = self.means.pop(id(value), None)
        if mean is None:
            return None
        self.gone.add(id(mean))
        self.uses[id(value)] -= 1
        return mean.out

    def _pair(self, norm: Step) -> Value:
        weight = norm.inputs[1]
        pair = Value((2, *weight.shape), np.dtype(weight.dtype), "step")
        self.program.prepared.append(Step(NORM_PAIR, norm.inputs[1:], dict(norm.attrs), (pair,)))
        return pair

    def _depends(self, value: Value, seen: list[Step | None]) -> bool:
        """True if a value is made of one of these means, which then cannot be made together with it."""
        wanted = {id(mean.out) for mean in seen if mean is not None}
        known, rest = set[int](), [value]
        while rest:
            one = rest.pop()
            if id(one) in wanted:
                return True
            maker = self.makers.get(id(one))
            if maker is not None and id(maker) not in known:
                known.add(id(maker))
                rest.extend(maker.inputs)
        return False
