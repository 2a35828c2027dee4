"""detect_anomaly: stop at the operation that made the first NaN, forward or backward."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from armour.errors import AnomalyError
from armour.tensor.backend import Array, asnumpy, errstate, get_xp
from armour.tensor.core import Tensor
from armour.tensor.module import Module
from armour.tensor.op import Op
from armour.tensor.tape import state
from armour.tensor.watch import STATE, watching


@contextmanager
def detect_anomaly(*, inf: bool = False) -> Iterator[None]:
    """Inside, in this thread, the first operation that makes a NaN raises AnomalyError.

    The message names the operation, or the one whose backward rule made the first NaN gradient, its layer's
    path in the outermost module called, the shapes and ranges of its inputs, and how many NaN there are. Put
    backward inside too. inf: infinite values count as well; off by default, since masks and paddings use them
    rightly. Every result is read once more, so leave it off where nothing is wrong; off, it costs nothing.
    Compiled functions run operation by operation inside.

    >>> with detect_anomaly():
    ...     Tensor([1.0, -1.0]).log()
    Traceback (most recent call last):
    armour.errors.AnomalyError: op log made 1 NaN in 2 values of shape (2,) float32 ...
    """
    detector = _Detector(inf)
    before = state.pull
    state.observers.append(detector.forward)
    state.pull = detector.backward
    try:
        with watching(detector.call), errstate(invalid="ignore", divide="ignore", over="ignore"):
            yield
    finally:
        state.pull = before
        state.observers.remove(detector.forward)


class _Detector:
    """Looks at each output and each gradient, and remembers which layer an output is from."""

    def __init__(self, inf: bool) -> None:
        self._inf = inf
        self._outer = STATE.current
        self._in_rule = 0
        self._scopes: list[str] = []
        self._names: dict[int, str] = {}
        self._origin: dict[int, tuple[weakref.ref[Tensor], str]] = {}

    def call(
        self, module: Module, forward: Callable[..., Any], inputs: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Any:
        """Watch a module: what happens meanwhile happens in it."""
        if not self._scopes:
            self._names = {id(m): path for path, m in module.named_modules()}
        path = self._names.get(id(module), "?")
        kind = type(module).__name__
        self._scopes.append(f" in layer {path!r} ({kind})" if path else f" in {kind}")
        try:
            if self._outer is None:
                return forward(*inputs, **keywords)
            return self._outer(module, forward, inputs, keywords)
        finally:
            self._scopes.pop()

    def forward(self, row: Op, inputs: tuple[Tensor, ...], attrs: dict[str, Any], out: Tensor) -> None:
        """Look at an output; inside a backward rule the rule's result is looked at instead."""
        if self._in_rule:
            return
        where = self._scopes[-1] if self._scopes else ""
        if self._count(out.data):
            raise AnomalyError(self._message(f"op {row.name}{where} made", out.data, inputs))
        if out.requires_grad and where:
            key = id(out)
            self._origin[key] = (weakref.ref(out, lambda _: self._origin.pop(key, None)), where)

    def backward(
        self, row: Op, index: int, g: Tensor, y: Tensor, inputs: tuple[Tensor, ...], attrs: dict[str, Any]
    ) -> Any:
        """Apply a backward rule and look at its result."""
        self._in_rule += 1
        try:
            part = row.input_vjp(index, g, y, inputs, attrs)
        finally:
            self._in_rule -= 1
        if isinstance(part, Tensor) and self._count(part.data):
            known, where = self._origin.get(id(y), (None, ""))
            where = where if known is not None and known() is y else ""
            what = f"the backward rule of op {row.name}{where} made, for its input {index},"
            raise AnomalyError(self._message(what, part.data, inputs, g))
        return part

    def _count(self, a: Array) -> int:
        if a.dtype.kind != "f":
            return 0
        xp = get_xp(a)
        found = ~xp.isfinite(a) if self._inf else xp.isnan(a)
        return int(asnumpy(found.sum()))

    def _message(self, what: str, bad: Array, inputs: tuple[Tensor, ...], g: Tensor | None = None) -> str:
        kind = "NaN or infinite values" if self._inf else "NaN"
        given = [f"input {i} {self._about(t.data)}" for i, t in enumerate(inputs)]
        given += [f"output gradient {self._about(g.data)}"] if g is not None else []
        ill = any(self._count(t.data) for t in (*inputs, *((g,) if g is not None else ())))
        advice = (
            "what went in held them already: look at the data, the parameters and the gradient passed in"
            if ill
            else "what went in held none: keep it inside the operation's domain (clip it, or add a small "
            "constant under a root, a logarithm or a quotient), or take smaller steps"
        )
        return (
            f"{what} {self._count(bad)} {kind} in {bad.size} values of shape {tuple(bad.shape)} {bad.dtype} "
            f"from {', '.join(given)}; {advice}"
        )

    def _about(self, a: Array) -> str:
        text = f"{tuple(a.shape)} {a.dtype}"
        if a.dtype.kind != "f" or not a.size:
            return text
        xp = get_xp(a)
        finite = a[xp.isfinite(a)]
        if finite.size:
            text += f" from {float(asnumpy(finite.min())):.4g} to {float(asnumpy(finite.max())):.4g}"
        count = self._count(a)
        return f"{text} with {count} such" if count else text
