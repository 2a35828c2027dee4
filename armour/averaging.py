"""Averages of a network's weights along a training run, which are what is measured and kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, TypeAlias, get_args

import numpy as np

from armour.checks import one_of
from armour.errors import CheckpointError
from armour.tensor.nn import Module

Average: TypeAlias = Literal["none", "ema", "swa"]
AVERAGES: tuple[Average, ...] = get_args(Average)
# What an exponential average keeps of itself at each step; in the first steps less, or it would stay at what
# the network began with.
_KEPT = 0.995
# Stochastic weight averaging begins after this share of the epochs.
_FROM = 0.75


class WeightAverage:
    """The average of the floating-point weights and buffers of `module`.

    kind: "none"; "ema", exponential, over steps (Polyak and Juditsky, 1992); "swa", the mean over the ends of
    the last quarter of the epochs (Izmailov et al., 2018, https://arxiv.org/abs/1803.05407). Running
    statistics are averaged with the weights, not measured anew.
    """

    def __init__(self, module: Module, kind: Average, epochs: int) -> None:
        self.kind = one_of("average", kind, AVERAGES)
        self.epochs, self.count = epochs, 0
        tensors = dict(module.named_tensors()) if kind != "none" else {}
        self.tensors = {name: t for name, t in tensors.items() if t.data.dtype.kind == "f"}
        self.mean = {name: t.data.copy() for name, t in self.tensors.items()}

    def after_step(self) -> None:
        """Take the weights in after an update."""
        if self.kind == "ema":
            self.count += 1
            self._take(1 - min(_KEPT, self.count / (self.count + 9)))

    def after_epoch(self, done: int) -> None:
        """Take the weights in after `done` epochs."""
        if self.kind == "swa" and done > _FROM * self.epochs:
            self.count += 1
            self._take(1 / self.count)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Inside, the module has the averaged weights, if there is an average yet."""
        if not self.count:
            yield
            return
        own = {name: t.data.copy() for name, t in self.tensors.items()}
        self._put(self.mean)
        try:
            yield
        finally:
            self._put(own)

    def arrays(self) -> dict[str, np.ndarray]:
        """What is needed to go on."""
        if self.kind == "none":
            return {}
        return {"count": np.array(self.count, np.int64)} | {f"mean.{k}": v for k, v in self.mean.items()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from `arrays`; CheckpointError if they do not fit."""
        if self.kind == "none" and not arrays:
            return
        expected = {"count"} | {f"mean.{name}" for name in self.mean}
        count = arrays.get("count")
        fits = set(arrays) == expected and count is not None and count.shape == () and count.dtype.kind == "i"
        if not fits or any(
            arrays[f"mean.{k}"].shape != v.shape or arrays[f"mean.{k}"].dtype != v.dtype
            for k, v in self.mean.items()
        ):
            raise CheckpointError("the averaged weights do not fit the network")
        assert count is not None
        self.count = int(count)
        for name, value in self.mean.items():
            value[...] = arrays[f"mean.{name}"]

    def _take(self, share: float) -> None:
        for name, tensor in self.tensors.items():
            self.mean[name] += (tensor.data - self.mean[name]) * np.float32(share)

    def _put(self, values: Mapping[str, np.ndarray]) -> None:
        for name, tensor in self.tensors.items():
            tensor.data[...] = values[name]
