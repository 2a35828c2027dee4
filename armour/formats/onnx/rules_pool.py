"""Pooling over windows and over all positions."""

from __future__ import annotations

from typing import Any

import numpy as np

import armour.tensor as T
from armour.errors import CheckpointError
from armour.tensor.core import Tensor

from .rules import Call, rule
from .rules_conv import Pairs, margins, several


class _Windows:
    """Where the windows of a pooling lie along each axis, and how far they reach past the input."""

    def __init__(self, c: Call, sizes: tuple[int, ...]) -> None:
        n = len(sizes)
        self.sizes, self.kernel = sizes, several(c, "kernel_shape", n)
        self.strides, self.dilations = several(c, "strides", n), several(c, "dilations", n)
        self.pads: Pairs = margins(c, sizes, self.kernel, self.strides, self.dilations)
        self.ceil = bool(c.attr("ceil_mode", 0))
        self.out, after = [], []
        for i, (before, behind) in enumerate(self.pads):
            reach = self.dilations[i] * (self.kernel[i] - 1) + 1
            room = sizes[i] + before + behind - reach
            count = (-(-room // self.strides[i]) if self.ceil else room // self.strides[i]) + 1
            if self.ceil and (count - 1) * self.strides[i] >= sizes[i] + before:
                count -= 1  # a window must begin inside
            if count < 1 or (room < 0 and not self.ceil):
                raise CheckpointError(
                    f"node {c.node.shown} has windows larger than its input; get the file again"
                )
            self.out.append(count)
            after.append(max(behind, (count - 1) * self.strides[i] + reach - sizes[i] - before))
        self.reach: Pairs = tuple((b, a) for (b, _), a in zip(self.pads, after, strict=True))

    @property
    def usual(self) -> bool:
        """True if a layer of the engine has these windows."""
        even = all(a == b and 2 * a <= k for (a, b), k in zip(self.pads, self.kernel, strict=True))
        return even and all(d == 1 for d in self.dilations)

    def config(self) -> dict[str, Any]:
        """Settings of that layer."""
        return {
            "kernel_size": self.kernel if len(self.kernel) > 1 else self.kernel[0],
            "stride": self.strides if len(self.strides) > 1 else self.strides[0],
            "padding": tuple(a for a, _ in self.pads) if len(self.pads) > 1 else self.pads[0][0],
            "ceil_mode": self.ceil,
        }

    def over(self, x: Tensor, value: float, function: Any) -> Tensor:
        """Apply a reduction over each axis of the windows, one axis after the other."""
        x = T.pad(x, [(0, 0), (0, 0), *self.reach], value) if any(a or b for a, b in self.reach) else x
        for i in range(len(self.kernel)):
            x = function(self._along(x, 2 + i, i), 3 + i)
        return x

    def pooled(self, x: Tensor, value: float, kind: str) -> Tensor | None:
        """The engine's pooling ("max" or "avg") over what is padded; None if it has no such windows."""
        if any(d != 1 for d in self.dilations):
            return None
        x = T.pad(x, [(0, 0), (0, 0), *self.reach], value) if any(a or b for a, b in self.reach) else x
        spans = ((n - 1) * s + k for n, s, k in zip(self.out, self.strides, self.kernel, strict=True))
        ends = [slice(0, span) for span in spans]
        if any(end.stop < size for end, size in zip(ends, x.shape[2:], strict=True)):
            x = T.getitem(x, (slice(None), slice(None), *ends))
        function: Any = getattr(T, f"{kind}_pool{len(ends)}d")
        return function(x, self.kernel, self.strides)  # type: ignore[no-any-return]

    def together(self, x: Tensor, value: float) -> Tensor:
        """(n, c, *out, elements of a window)."""
        x = T.pad(x, [(0, 0), (0, 0), *self.reach], value) if any(a or b for a, b in self.reach) else x
        count = len(self.kernel)
        for i in range(count):
            x = T.moveaxis(self._along(x, 2 + i, i), 3 + i, -1)
        return T.reshape(x, (*x.shape[: 2 + count], int(np.prod(self.kernel))))

    def _along(self, x: Tensor, axis: int, i: int) -> Tensor:
        found = T.sliding_windows(x, axis, self.kernel[i], self.strides[i], self.dilations[i])
        whole = (slice(None),) * axis
        return T.getitem(found, (*whole, slice(0, self.out[i])))

    def counts(self, include: bool, beyond: bool, dtype: np.dtype[Any]) -> np.ndarray:
        """How many elements each window averages; (1, 1, *out).

        Those inside, with include those in the padding too, with beyond those past the padding as well.
        """
        total = np.ones((1, 1, *(1,) * len(self.kernel)), np.float64)
        for i, n in enumerate(self.sizes):
            before, behind = (self.reach if beyond else self.pads)[i] if include else (0, 0)
            start = np.arange(self.out[i])[:, None] * self.strides[i] - self.pads[i][0]
            places = start + np.arange(self.kernel[i]) * self.dilations[i]
            inside = ((places >= -before) & (places < n + behind)).sum(axis=1)
            shape = [1] * total.ndim
            shape[2 + i] = self.out[i]
            total = total * inside.reshape(shape)
        return np.maximum(total, 1).astype(dtype)


def _axes(c: Call) -> int:
    axes = len(c.shape()) - 2
    if not 1 <= axes <= 3:
        raise c.unsupported(f"pooling of an input of shape {c.shape()}")
    return axes


@rule("MaxPool")
def max_pool(c: Call) -> Any:
    """Largest of each window, and if asked the place of it in the input."""
    x, axes = c.x(), _axes(c)
    windows = _Windows(c, x.shape[2:])
    kind = x.dtype
    if c.wants(1):
        return _with_places(c, x, windows)
    if kind.kind != "f":
        x = T.cast(x, "float32")
    if windows.usual:
        out = c.layer(f"MaxPool{axes}d", windows.config())(x)
    else:
        known = windows.pooled(x, -np.inf, "max")
        out = windows.over(x, -np.inf, lambda y, axis: T.max(y, axis=axis)) if known is None else known
    return out if out.dtype == kind else T.cast(out, kind.name)


def _with_places(c: Call, x: Tensor, windows: _Windows) -> tuple[Tensor, Tensor]:
    values = windows.together(T.cast(x, "float64") if x.dtype.kind != "f" else x, -np.inf)
    grid: np.ndarray = np.arange(int(np.prod(x.shape[2:])))
    grid = grid.reshape(x.shape[:1:-1]).T if c.attr("storage_order", 0) else grid.reshape(x.shape[2:])
    places = windows.together(Tensor(grid[None, None].astype(np.float64)), -1.0)
    best = T.expand_dims(T.argmax(values, axis=-1), -1)
    n, ch = x.shape[:2]
    found = T.take_along_axis(T.broadcast_to(places, values.shape), best, -1)
    first = np.arange(n * ch).reshape((n, ch, *(1,) * len(windows.out))) * grid.size
    index = T.reshape(T.cast(found, "int64"), found.shape[:-1]) + first
    top = T.reshape(T.take_along_axis(values, best, -1), found.shape[:-1])
    return T.cast(top, x.dtype.name), index


@rule("AveragePool")
def average_pool(c: Call) -> Tensor:
    """Mean of each window; padding counts only if count_include_pad says so."""
    x, axes = c.x(), _axes(c)
    windows, include = _Windows(c, x.shape[2:]), bool(c.attr("count_include_pad", 0))
    if windows.usual and not (windows.ceil and include):
        config = windows.config() | {"count_include_pad": include}
        return c.layer(f"AvgPool{axes}d", config)(x)  # type: ignore[no-any-return]
    # What ceil_mode adds past the padding is not counted, as in PyTorch and onnxruntime; the examples of
    # opsets 19 to 21, which brought dilations, count it.
    beyond = 19 <= c.opset < 22 and any(d > 1 for d in windows.dilations)
    counts = windows.counts(include, beyond, x.dtype)
    means = windows.pooled(x, 0.0, "avg")
    if means is not None:
        return means * (float(np.prod(windows.kernel)) / counts).astype(x.dtype)
    return windows.over(x, 0.0, lambda y, axis: T.sum(y, axis=axis)) / counts


@rule("LpPool")
def lp_pool(c: Call) -> Tensor:
    """The p-norm of each window."""
    x, p = c.x(), float(c.attr("p", 2))
    _axes(c)
    total = _Windows(c, x.shape[2:]).over(T.abs(x) ** p, 0.0, lambda y, axis: T.sum(y, axis=axis))
    return total ** (1.0 / p)


@rule("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(c: Call) -> Tensor:
    """Over all positions, whose axes stay with length 1."""
    x = c.x()
    axes = tuple(range(2, x.ndim))
    if c.node.op == "GlobalLpPool":
        p = float(c.attr("p", 2))
        return T.sum(T.abs(x) ** p, axis=axes, keepdims=True) ** (1.0 / p)
    if len(axes) in (1, 2, 3):
        name = "Avg" if c.node.op == "GlobalAveragePool" else "Max"
        pooled = c.layer(f"Global{name}Pool{len(axes)}d")(x)
        return T.reshape(pooled, (*x.shape[:2], *(1,) * len(axes)))
    function: Any = T.mean if c.node.op == "GlobalAveragePool" else T.max
    return function(x, axis=axes, keepdims=True)  # type: ignore[no-any-return]
