"""Running inputs through the model under test, in batches of fixed shapes.

float32 logits change in their last bits with the shape of the batch, so a batch is always padded (with copies
of its first row) and no decision rests on less than UNIT.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from armour.errors import ArmourError, BackendUnavailable, RemoteError
from armour.model import Model

from .sections import by_sample, columns, distinct_layers

UNIT = 1e-4  # margins are rounded to this before they are compared
_STEP = 16  # small batches are padded to a multiple of this
_LARGE = 1 << 14  # values of an input above which it is large
_SMALL = 1 << 12  # and up to which the first batch is run before its layers are measured
_WHOLE = 256 << 20  # bytes of layers that a batch may have and still be looked at as a whole
_PART = 32 << 20  # and those of each part of it otherwise: such memory is lent, not copied
_LIMIT = 2**40  # gaps beyond are cut off, so that keys built from them fit 64 bits


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model did with n inputs.

    logits: (n, k) float32. neurons: (n, N) float32 values of the tapped neurons, N = 0 for a black box.
    finite: (n,) bool, no NaN or infinity anywhere. predicted: (n,) int64, -1 where the logits are not finite.
    trouble: (n,) text, "" where the model answered, otherwise why it did not; then nothing else is finite.
    """

    logits: np.ndarray
    neurons: np.ndarray
    finite: np.ndarray
    predicted: np.ndarray
    trouble: np.ndarray = field(default_factory=lambda: np.zeros(0, "<U1"))

    def __post_init__(self) -> None:
        if len(self.trouble) != len(self.logits):
            object.__setattr__(self, "trouble", np.zeros(len(self.logits), "<U1"))

    def __getitem__(self, rows: slice | np.ndarray) -> Outcome:
        return Outcome(
            self.logits[rows],
            self.neurons[rows],
            self.finite[rows],
            self.predicted[rows],
            self.trouble[rows],
        )

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


def fitting(batch: int, size: int) -> int:
    """Rows of a batch of inputs of `size` values: `batch`, or 16 of large ones."""
    return batch if size <= _LARGE else min(batch, _STEP)


class Executor:
    """Runs inputs and taps the layers; one forward pass for each batch.

    batch: rows of a full batch. layers: names of the tapped layers, those whose output is not merely a
    reshape of the layer before (found on the first run). Layers are reduced to their neurons a few rows at a
    time where those of a batch would take much memory. executions counts rows without padding.
    guarded: what the model raises is the trouble of the inputs that make it do so, found by halving the
    batch; otherwise, and where a remote model does not answer, it is raised.
    """

    guarded = False

    def __init__(self, model: Model, batch: int) -> None:
        self.model = model
        self.batch = batch
        self.layers: Sequence[str] | None = None
        self.executions = 0
        self._alone = model.batch_size == 1  # one sample at a time
        self._widths: list[int] = []  # columns of each tapped layer
        self._rows: int | None = None  # whose layers are looked at together; not yet known
        self._answered = (0, 0)  # classes and neurons, once there was an answer

    def run(self, x: np.ndarray, *, taps: bool = True, pad: bool = True) -> Outcome:
        """The outcome of x (n, *shape), in batches of `batch`; the last one padded to a multiple of 16.

        A remote model's batches are not padded: each row has its price.

        taps: look at the layers too; without, there are no neurons and only the logits must be finite. pad:
        to fixed shapes.
        """
        batches = [x[start : start + self.batch] for start in range(0, len(x), self.batch)]
        parts = [self._batch(part, taps, pad) for part in batches]
        self.executions += len(x)
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return self._batch(np.zeros_like(x, shape=(_STEP, *x.shape[1:])), taps)[:0]
        return joined(parts)

    @property
    def layout(self) -> list[tuple[str, int]]:
        """(name, columns) of each tapped layer, once something was run; none of a black box."""
        return list(zip(self.layers or (), self._widths, strict=False))

    def penultimate(self, classes: int) -> slice:
        """Columns of the neurons in the tapped layer before the one of the `classes` logits; maybe none."""
        ends = [0, *accumulate(self._widths)]
        last = len(self._widths) - (len(self._widths) > 1 and self._widths[-1] == classes)
        return slice(ends[max(last - 1, 0)], ends[last])

    def _batch(self, x: np.ndarray, taps: bool, pad: bool = True) -> Outcome:
        n, given = len(x), x
        step = min(_STEP, self._rows or _STEP)
        padded = n if self.model.remote or not pad else min(self.batch, -(-n // step) * step)
        if padded > n:
            x = np.concatenate([x, np.repeat(x[:1], padded - n, axis=0)])
        try:
            logits, values = self.answer(x, taps)
        except Exception as error:  # whatever a model may raise
            if not self.guarded or isinstance(error, (RemoteError, BackendUnavailable)):
                raise
            if n > 1:
                # Which of them is it? Halves, so that one among many is found in a few passes.
                half = n // 2
                return joined([self._batch(part, taps, pad) for part in (given[:half], given[half:])])
            return self._unanswered(said(error))
        self._answered = logits.shape[1], values.shape[1] if taps else self._answered[1]
        sound = np.isfinite(logits).all(axis=1)
        # A mean is finite only if all it was taken over is (or overflows, which is a finding as well).
        finite = sound & np.isfinite(values).all(axis=1)
        predicted = np.where(sound, logits.argmax(axis=1), -1)
        return Outcome(logits, values, finite, predicted)[:n]

    def answer(self, x: np.ndarray, taps: bool) -> tuple[np.ndarray, np.ndarray]:
        """Logits (n, k) and neurons (n, N) of a padded batch; N = 0 without taps."""
        if taps:
            return self._tapped(x)
        return self.model.logits(x), np.zeros((len(x), 0), np.float32)

    def fingerprint(self) -> str:
        """The model's; of one that fails on the inputs by which a black box is told, of how it does so."""
        try:
            return self.model.fingerprint
        except ArmourError:
            raise
        except Exception as error:  # whatever a model may raise
            return hashlib.sha256(f"{self.model.name}|{said(error)}".encode()).hexdigest()

    def close(self) -> None:
        """Give back what it holds."""

    def _unanswered(self, trouble: str) -> Outcome:
        """The outcome of one input that the model did not answer."""
        classes, neurons = self._answered
        return Outcome(
            np.full((1, classes or self.model.num_classes or 1), np.nan, np.float32),
            np.full((1, neurons), np.nan, np.float32),
            np.zeros(1, bool),
            np.full(1, -1, np.int64),
            np.array([trouble]),
        )

    def _tapped(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits (n, k) and neurons (n, N) of a padded batch."""
        if self._rows is None and x[0].size > _SMALL and self.model.can_grad:
            few = x[: 2 if x[0].size > _LARGE else 8]
            self._settle(self.model.tapped(few)[1], few)
        if not self.layers or self._alone or self._rows is None:
            logits, values = self._looked(x)
            if not self.layers or self._alone:
                return logits, values
            # From the first batch on by the same way, or the last bits of a resumed run would differ.
        with np.errstate(invalid="ignore", over="ignore"):
            logits, layers = self.model.summaries(x, self.layers)
        self._widths = [layers[name].shape[1] for name in self.layers]
        return logits, np.concatenate([layers[name] for name in self.layers], axis=1)

    def _looked(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits and neurons by the layers themselves, as many rows at a time as may be; finds the layers."""
        rows = self._rows or len(x)
        found = [self._part(x[start : start + rows]) for start in range(0, len(x), rows)]
        if self.layers is None:
            self.layers = [name for name in found[0][1] if any(name in own for _, _, own in found)]
        logits = np.concatenate([out for out, _, _ in found]) if len(found) > 1 else found[0][0]
        if not self.layers:
            return logits, np.zeros((len(x), 0), np.float32)
        self._widths = [found[0][1][name].shape[1] for name in self.layers]
        values = [np.concatenate([layers[name] for name in self.layers], axis=1) for _, layers, _ in found]
        return logits, np.concatenate(values) if len(values) > 1 else values[0]

    def _part(self, x: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
        """Logits, neurons by layer, and the names of the distinct layers if they are not known yet."""
        logits, given = self.model.tapped(x)
        layers = by_sample(given, len(x), alone=self._alone)
        own: list[str] = []
        if self.layers is None:
            own = distinct_layers(layers, x)
        else:
            layers = {name: layers[name] for name in self.layers}
        with np.errstate(invalid="ignore", over="ignore"):
            found = columns(layers)
        if self._rows is None:
            self._settle(given, x)
        if len(x) < self.batch:
            # Only what is small is kept: the model lends its memory again once nobody holds it.
            found = {name: np.array(values) for name, values in found.items()}
            logits = np.array(logits)
        return logits, found, own

    def _settle(self, layers: Mapping[str, np.ndarray], x: np.ndarray) -> None:
        """From the layers of a first x: how many rows' layers may be held together.

        A batch's, or a power of two of them. Then they are reduced inside the model, if it runs several
        samples at once, and which layers are distinct is found out here.
        """
        each = sum(np.asarray(values).nbytes for values in layers.values()) // len(x)
        self._rows = self.batch
        if each * self.batch <= _WHOLE:
            return
        self._rows = min(self.batch, 1 << (max(1, _PART // each).bit_length() - 1))
        if not self._alone and len(x) < self.batch and self.layers is None:
            self.layers = distinct_layers(by_sample(layers, len(x), alone=False), x)


def joined(parts: Sequence[Outcome]) -> Outcome:
    """The outcomes of several batches as one; inputs without an answer take the others' number of neurons."""
    width = max(part.neurons.shape[1] for part in parts)
    neurons = [
        part.neurons
        if part.neurons.shape[1] == width
        else np.full((len(part.neurons), width), np.nan, np.float32)
        for part in parts
    ]
    return Outcome(
        np.concatenate([part.logits for part in parts]),
        np.concatenate(neurons),
        np.concatenate([part.finite for part in parts]),
        np.concatenate([part.predicted for part in parts]),
        np.concatenate([part.trouble for part in parts]),
    )


class Trouble(ArmourError):
    """Why a model in a process of its own did not answer: its text is the trouble."""


def said(error: Exception) -> str:
    """What a model did that raised this, in one short line."""
    if isinstance(error, Trouble):
        return str(error)
    text = "".join(c if c.isprintable() else " " for c in f"raised {type(error).__name__}: {error}")
    return " ".join(text.split())[:200]
