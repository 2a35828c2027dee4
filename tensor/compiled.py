"""compile(): a function of tensors replayed as a plan, one for each set of input shapes."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from armour.errors import CaptureError, InvalidArgument
from armour.tensor.backend import Array, asnumpy, errstate, get_xp
from armour.tensor.chains import join_chains
from armour.tensor.core import grad_enabled, lift, wrap
from armour.tensor.families import families, serving
from armour.tensor.passes import optimise
from armour.tensor.plan import Plan
from armour.tensor.recording import Recording, record
from armour.tensor.tape import state

MOST_PLANS = 64  # that a function keeps, of those used last in a thread
MOST_MEMORY = 1 << 29  # bytes that they may take together
TOLERANCE = 1e-3  # of the largest number, between a plan and the function it was captured from
MOST = 0.98  # share of the numbers that must agree so well
NOISE = 1e-5  # of the largest number of all outputs: below it there is only rounding
TIES = 0.05  # or else the distance between the two, of their length


class _Switch:
    on = os.environ.get("ARMOUR_PLANS", "1") != "0"


def plans_enabled() -> bool:
    """False if plans were switched off, by use_plans(False) or the environment's ARMOUR_PLANS=0."""
    return _Switch.on


@contextmanager
def use_plans(on: bool) -> Iterator[None]:
    """Inside, compiled functions are replayed as plans, or run operation by operation (for debugging)."""
    before, _Switch.on = _Switch.on, bool(on)
    try:
        yield
    finally:
        _Switch.on = before


class Compiled:
    """What compile() returns: call it like the function itself."""

    def __init__(self, function: Callable[..., Any], key: Callable[[], Any] | None = None) -> None:
        self.function, self._key = function, key
        self._recordings: OrderedDict[Any, Recording] = OrderedDict()
        self._lock = threading.Lock()
        self._local = threading.local()
        self._verified = False
        self._cleared = 0

    def __call__(self, *inputs: Any) -> Any:
        """The function's result, in new tensors; it is run as it is while gradients are being recorded."""
        tensors = lift(inputs)
        recorded = grad_enabled() and any(t.requires_grad for t in tensors)
        if not _Switch.on or recorded or state.observers or state.guards:
            return self.function(*tensors)
        arrays = [t.data for t in tensors]
        key = self.key(arrays)
        outputs = [wrap(a) for a in self.plan(*arrays, key=key)(*arrays)]
        return rebuilt(self._recording(key, arrays).result, iter(outputs))

    def key(self, arrays: Sequence[Array]) -> Any:
        """What a plan depends on: shapes, dtypes, where the arrays are, kernels, and the module's parts."""
        kinds = tuple([(a.shape, a.dtype, type(a)) for a in arrays])
        return kinds, families(), self._cleared, None if self._key is None else self._key()

    def plan(self, *inputs: Any, key: Any = None, slot: int = 0) -> Plan:
        """This thread's plan for inputs of these shapes. slot: several plans alike, each with its own memory.

        Its `run` gives outputs in the plan's own memory, without the copy that a call makes.
        """
        arrays = _arrays(inputs)
        key = self.key(arrays) if key is None else key
        here = self._local.__dict__
        last = here.get("last")
        if last is not None and last[0] == key and last[1] == slot:
            same: Plan = last[2]
            return same
        plans: OrderedDict[Any, Plan] = here.setdefault("plans", OrderedDict())
        plan = plans.get((key, slot))
        if plan is None:
            recording = self._recording(key, arrays)
            plan = plans[key, slot] = Plan(recording.program, get_xp(*arrays), families())
            # Running it to record it may have set attributes of its modules (the last output, say).
            key = self.key(arrays)
            plans[key, slot] = plan
            self._check(plan, recording)
            while len(plans) > 1 and (len(plans) > MOST_PLANS or _memory(plans) > MOST_MEMORY):
                plans.popitem(last=False)
        else:
            plans.move_to_end((key, slot))
        here["last"] = key, slot, plan
        return plan

    def recording(self, *inputs: Any) -> Recording:
        """What was recorded for inputs of these shapes."""
        arrays = _arrays(inputs)
        return self._recording(self.key(arrays), arrays)

    def clear(self) -> None:
        """Forget all plans."""
        with self._lock:
            self._recordings.clear()
            self._cleared += 1

    def __len__(self) -> int:
        return len(self._recordings)

    def __reduce__(self) -> Any:
        return Compiled, (self.function, self._key)  # plans are made anew where they are needed

    def _recording(self, key: Any, arrays: Sequence[Array]) -> Recording:
        with self._lock:
            found = self._recordings.get(key)
            if found is None:
                with errstate(all="ignore"):  # the numbers it is tried on are not the caller's
                    found = record(self.function, [wrap(a) for a in arrays])
                optimise(found.program)
                if "cupy" in serving(families(), get_xp(*arrays)):
                    join_chains(found.program)
                self._recordings[key] = self._recordings[self.key(arrays)] = found
                if len(self._recordings) > MOST_PLANS:
                    self._recordings.popitem(last=False)
            return found

    def _check(self, plan: Plan, recording: Recording) -> None:
        # Once for each function: other shapes take the same path or are recorded on their own.
        with self._lock:  # threads may make their plans of one recording at the same time
            if not self._verified:
                self._verify(plan, recording)
                self._verified = True
            recording.example.clear()
            recording.expected.clear()

    def _verify(self, plan: Plan, recording: Recording) -> None:
        before = [stream.bit_generator.state for stream in recording.streams]
        if not recording.example:
            return
        with errstate(all="ignore"):
            found = plan.check(*recording.example)
        for stream, kept in zip(recording.streams, before, strict=True):
            stream.bit_generator.state = kept
        expected = [asnumpy(a) for a in recording.expected]
        # What is 0 but for rounding, such as the gradient of a bias before a batch norm, is not compared.
        noise = NOISE * max((_largest(a) for a in expected), default=0.0)
        for ours, theirs in zip(found, expected, strict=True):
            if not agree(asnumpy(ours), theirs, noise):
                raise CaptureError(
                    "the captured plan and the function differ on other numbers: the function computes "
                    "something without tensor operations, or reads numbers of a tensor; use the operations "
                    "of armour.tensor, or run it without compile"
                )


def _arrays(inputs: Sequence[Any]) -> list[Array]:
    if all(type(value) is np.ndarray for value in inputs):
        return list(inputs)
    return [t.data for t in lift(inputs)]


def compile(function: Callable[..., Any]) -> Compiled:
    """A function (or module) of tensors that is captured once for each set of shapes and then replayed.

    function: takes arrays or Tensors and returns a Tensor, or tuples, lists and dicts of them; it may use
    transforms such as grad inside. Tensors from outside it, such as parameters, are weights: read anew when
    they change. The path through it may depend on shapes, not on values: CaptureError if it does. Results
    agree with the function's own to rounding.

    >>> from armour.tensor import compile, grad
    >>> slope = compile(grad(lambda x: (x * x).sum()))
    >>> slope([1.0, 2.0]).numpy().tolist()
    [2.0, 4.0]
    """
    if isinstance(function, Compiled):
        return function
    if not callable(function):
        raise InvalidArgument(f"expected a function of tensors to compile, got {type(function).__name__}")
    from armour.tensor.module import Module
    from armour.tensor.signatures import signature

    if isinstance(function, Module):
        module = function
        return Compiled(function, lambda: signature(module))
    return Compiled(function)


def agree(ours: np.ndarray, theirs: np.ndarray, noise: float = 0.0) -> bool:
    """True if two results are the same up to rounding; numbers as small as `noise` are nothing else.

    Rounding may decide a tie of a maximum or a relu, which moves a part of a gradient; so either nearly all
    numbers agree, or the two are as close as a few such ties leave them.
    """
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return False
    if ours.dtype.kind != "f" or not ours.size:
        return bool(np.mean(ours == theirs) >= MOST) if ours.size else True
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(theirs)
        if not np.array_equal(finite, np.isfinite(ours)):
            return False
        a, b = ours[finite].astype(np.float64), theirs[finite].astype(np.float64)
        close = np.abs(a - b) <= TOLERANCE * np.abs(b).max(initial=0.0) + noise
        apart = np.linalg.norm(a - b) <= TIES * np.linalg.norm(b)
        return bool(apart or np.mean(close) >= MOST)


def _memory(plans: Mapping[Any, Plan]) -> int:
    return sum(plan.nbytes for plan in plans.values())


def _largest(array: np.ndarray) -> float:
    if array.dtype.kind != "f" or not array.size:
        return 0.0
    return float(np.abs(np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)).max())


def rebuilt(like: Any, leaves: Iterator[Array]) -> Any:
    """A result of the same structure with other tensors."""
    if isinstance(like, dict):
        return {k: rebuilt(v, leaves) for k, v in like.items()}
    if isinstance(like, (list, tuple)):
        return type(like)(rebuilt(v, leaves) for v in like)
    return None if like is None else next(leaves)
