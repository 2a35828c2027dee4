"""Running inputs through the model under test, in batches of fixed shapes.

float32 logits change in their last bits with the shape of the batch, so a batch is always padded (with copies
of its first row) and no decision rests on less than UNIT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from armour.model import Model

from .sections import distinct_layers, neurons

UNIT = 1e-4  # margins are rounded to this before they are compared
_STEP = 16  # small batches are padded to a multiple of this
_LIMIT = 2**40  # gaps beyond are cut off, so that keys built from them fit 64 bits


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model did with n inputs.

    logits: (n, k) float32. neurons: (n, N) float32 values of the tapped neurons, N = 0 for a black box.
    finite: (n,) bool, no NaN or infinity anywhere. predicted: (n,) int64, -1 where the logits are not finite.
    """

    logits: np.ndarray
    neurons: np.ndarray
    finite: np.ndarray
    predicted: np.ndarray

    def __getitem__(self, rows: slice | np.ndarray) -> Outcome:
        return Outcome(self.logits[rows], self.neurons[rows], self.finite[rows], self.predicted[rows])

    def gaps(self, labels: np.ndarray) -> np.ndarray:
        """(n, k) int64: logit of `labels` (n,) less each class's logit, in units of 1e-4; 0 if not finite."""
        with np.errstate(invalid="ignore", over="ignore"):
            own = np.take_along_axis(self.logits, labels[:, None], axis=1).astype(np.float64)
            gaps = np.rint((own - self.logits) / UNIT)
        units: np.ndarray = np.clip(np.nan_to_num(gaps, nan=0.0), -_LIMIT, _LIMIT).astype(np.int64)
        return units

    def confidence(self) -> np.ndarray:
        """(n,) float64: softmax probability of the predicted label; NaN where the logits are not finite."""
        with np.errstate(invalid="ignore", over="ignore"):
            shifted = np.exp(self.logits - self.logits.max(axis=1, keepdims=True), dtype=np.float64)
            return np.asarray(shifted.max(axis=1) / shifted.sum(axis=1))


class Executor:
    """Runs inputs and taps the layers; one forward pass for each batch.

    batch: rows of a full batch. layers: names of the tapped layers, those whose output is not merely a
    reshape of the layer before (found on the first run). executions counts rows without padding.
    """

    def __init__(self, model: Model, batch: int) -> None:
        self.model = model
        self.batch = batch
        self.layers: Sequence[str] | None = None
        self.executions = 0

    def run(self, x: np.ndarray, *, taps: bool = True) -> Outcome:
        """The outcome of x (n, c, h, w), in batches of `batch`; the last one padded to a multiple of 16.

        A remote model's batches are not padded: each row has its price.

        taps: look at the layers too; without, there are no neurons and only the logits must be finite.
        """
        parts = [self._batch(x[start : start + self.batch], taps) for start in range(0, len(x), self.batch)]
        self.executions += len(x)
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return self._batch(np.zeros_like(x, shape=(_STEP, *x.shape[1:])), taps)[:0]
        fields = zip(*((p.logits, p.neurons, p.finite, p.predicted) for p in parts), strict=True)
        return Outcome(*(np.concatenate(field) for field in fields))

    def _batch(self, x: np.ndarray, taps: bool) -> Outcome:
        n = len(x)
        padded = n if self.model.remote else min(self.batch, -(-n // _STEP) * _STEP)
        if padded > n:
            x = np.concatenate([x, np.repeat(x[:1], padded - n, axis=0)])
        values = np.zeros((len(x), 0), np.float32)
        if taps:
            logits, layers = self.model.tapped(x)
            if self.layers is None:
                self.layers = distinct_layers(layers, x)
            if self.layers:
                with np.errstate(invalid="ignore", over="ignore"):
                    values = neurons({name: layers[name] for name in self.layers})
        else:
            logits = self.model.logits(x)
        sound = np.isfinite(logits).all(axis=1)
        # A mean is finite only if all it was taken over is (or overflows, which is a finding as well).
        finite = sound & np.isfinite(values).all(axis=1)
        predicted = np.where(sound, logits.argmax(axis=1), -1)
        return Outcome(logits, values, finite, predicted)[:n]
