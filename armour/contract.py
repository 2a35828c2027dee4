"""The contract of every model: arrays in; logits, labels and input gradients out; checks and counters."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from armour import checks
from armour.bounds import Bounds
from armour.counter import Counter as Counter
from armour.errors import InvalidArgument, UnsupportedError
from armour.objective import Objective
from armour.preprocessing import Preprocessing, joined
from armour.summaries import units
from armour.tensor.backend import asnumpy, get_xp, to_device
from armour.tensor.core import Tensor, backward_pass

Loss: TypeAlias = Literal["cross_entropy", "margin", "dlr"]
LossFn: TypeAlias = Callable[[Tensor], Tensor]


class Model(ABC):
    """A classifier: arrays (n, *input_shape) inside `bounds` in, logits (n, num_classes) out.

    With an output_shape it is something else (a detector, a segmentation network): its answers are arrays of
    that shape, there are no classes, and logits() gives them flattened, (n, size). It is attacked with a
    criteria.Custom; what speaks of classes (predict, accuracy, labels) raises UnsupportedError.

    input_shape: (c, h, w) for images, any tuple otherwise; None until the first input is seen, if it was not
    stated. num_classes: None until the first output is seen, if it was not stated. class_names: one per
    class, or empty. provenance: where the model comes from, as plain JSON values. preprocessing: done inside
    the model, so that inputs, bounds, budgets and gradients are in the user's units. batch_size: samples
    evaluated at once. Inputs are checked once at each public call: InvalidArgument for a wrong shape or
    dtype, NaN, or values out of bounds. remote: each answer comes over a network: it is slow, somebody counts
    it, and it may not come (RemoteError).
    """

    remote: ClassVar[bool] = False

    def __init__(
        self,
        *,
        bounds: Bounds | Sequence[float] = (0.0, 1.0),
        input_shape: Sequence[int] | None = None,
        num_classes: int | None = None,
        output_shape: Sequence[int] | None = None,
        class_names: Sequence[str] = (),
        name: str = "model",
        provenance: dict[str, Any] | None = None,
        preprocessing: Preprocessing | None = None,
        batch_size: int = 256,
    ) -> None:
        self.bounds = Bounds.of(bounds)
        self.preprocessing = joined(preprocessing)
        self.input_shape: Any = None
        if input_shape is not None:
            self.input_shape = self._fitting(_shape("input_shape", input_shape))
        self.num_classes: Any = None if num_classes is None else checks.count("num_classes", num_classes, 1)
        self.output_shape: Any = None if output_shape is None else _shape("output_shape", output_shape)
        self.class_names = tuple(str(c) for c in class_names)
        if self.output_shape is not None and (num_classes is not None or self.class_names):
            raise InvalidArgument(
                f"expected num_classes or output_shape={self.output_shape}, got both; a model with an "
                "output_shape has no classes"
            )
        if self.class_names and num_classes is not None and len(self.class_names) != num_classes:
            raise InvalidArgument(
                f"expected {num_classes} class_names, one per class, got {len(self.class_names)}"
            )
        self.name = name
        self.provenance: dict[str, Any] = dict(provenance or {})
        if not self.preprocessing.only_normalises:
            self.provenance["preprocessing"] = self.preprocessing.to_dict()
        self.batch_size = checks.count("batch_size", batch_size)
        self.counter = Counter()
        self.device = "cpu"

    # -- what subclasses write -------------------------------------------------------------------------------

    @property
    @abstractmethod
    def can_grad(self) -> bool:
        """True if input gradients are available."""

    @property
    def obstacle(self) -> str:
        """Why there are no gradients if there are none, and what to do: a clause for messages."""
        return (
            f"{self.name} is a black box without gradients (to have them, wrap the network itself, with "
            "armour.wrap(network) or armour.load(file))"
        )

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hex sha256 that changes when the model does."""

    @abstractmethod
    def _forward(self, x: np.ndarray) -> np.ndarray:
        """Logits (n, k) of a checked, non-empty chunk."""

    def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        raise UnsupportedError(f"{self.obstacle}; or use an attack that only asks for outputs")

    def _tapped(self, x: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return self._forward(x), {}

    def _summaries(self, x: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        logits, layers = self._tapped(x)
        return logits, {name: np.array(units(name, layers[name])) for name in names}

    def _stand_before(self, model: Model) -> None:
        """Take over what is stated of a model, and its counter: for one that changes its inputs alone."""
        self.bounds, self.preprocessing, self.name = model.bounds, model.preprocessing, model.name
        self.input_shape, self.output_shape = model.input_shape, model.output_shape
        self.num_classes, self.class_names = model.num_classes, model.class_names
        self.provenance, self.counter = model.provenance, model.counter
        self.batch_size, self.device = model.batch_size, model.device

    # -- what callers use ------------------------------------------------------------------------------------

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(n, k) float32 logits of x (n, *input_shape)."""
        x = self.check_input(x)
        return self._counted(x, self._forward)

    def unchecked(self, x: np.ndarray) -> np.ndarray:
        """What the model itself makes of x, whatever that is: no check, no chunks, not counted.

        To see what NaN, other types and other shapes do to it; it may raise anything, or end the process.
        """
        return self._forward(x)

    def answers(self, x: np.ndarray) -> np.ndarray:
        """(n, *output_shape) float32: the logits, in the model's own shape."""
        logits = self.logits(x)
        return logits if self.output_shape is None else logits.reshape(len(logits), *self.output_shape)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(n,) int64 labels: the first largest logit; UnsupportedError for what is no classifier."""
        self._need_classes()
        labels: np.ndarray = self.logits(x).argmax(axis=1)
        return labels

    def loss_gradient(
        self, x: np.ndarray, y: np.ndarray, loss: Loss = "cross_entropy", targeted: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Per-sample loss (n,) and its gradient (n, *input_shape); row i is sample i's own, not divided by n.

        y: (n,) integer labels. targeted: y are the labels wanted, and the loss is negated, so that going up
        it is the attacker's direction either way. Raises UnsupportedError on a black box.
        """
        from armour.tensor import losses

        checks.one_of("loss", loss, ("cross_entropy", "margin", "dlr"))
        function = getattr(losses, loss)
        x = self.check_input(x)
        y = self.check_labels(y, len(x))
        values, gradients = [], []
        if 0 < len(x) <= self.batch_size:
            value, gradient, _ = self._pullback(x, Objective(function, y, -1 if targeted else 1))
            self.counter.add(len(x), len(x))
            return value, gradient
        for rows in self._chunks(len(x)):
            objective = Objective(function, y[rows], -1 if targeted else 1)
            value, gradient, _ = self._pullback(x[rows], objective)
            values.append(value)
            gradients.append(gradient)
        self.counter.add(len(x), len(x))
        if not values:
            return np.zeros(0, np.float32), np.zeros_like(x)
        return np.concatenate(values), np.concatenate(gradients)

    def gradient(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Loss (n,), its gradient (n, *input_shape) and the logits (n, k), from one forward pass.

        loss_fn: maps the logits Tensor (n, k) of the whole batch to a loss Tensor (n,), row by row. Above
        batch_size the logits are computed first and each chunk again for its gradient, so that memory stays
        bounded; the counter counts one query and one gradient per sample either way. Raises UnsupportedError
        on a black box.
        """
        x = self.check_input(x)
        n = len(x)
        if n == 0:
            return np.zeros(0, np.float32), np.zeros_like(x), self._counted(x, self._forward)
        if n <= self.batch_size:
            result = self._pullback(x, loss_fn)
            self.counter.add(n, n)
            return result
        if not self.can_grad:
            self._pullback(x[:1], loss_fn)
        logits = self._counted(x, self._forward)
        top = Tensor(to_device(logits, self.device), requires_grad=True)
        value = loss_fn(top)
        slope = input_gradient(value, top).data
        gradient = np.empty_like(x)
        for rows in self._chunks(n):

            def along(z: Tensor, slope: Any = slope[rows]) -> Tensor:
                weighted: Tensor = z * slope
                return weighted.sum(axis=1)

            gradient[rows] = self._pullback(x[rows], along)[1]
        self.counter.add(gradients=n)
        return asnumpy(value.data), gradient, logits

    def activations(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Output (n, ...) of every leaf layer, by layer name; UnsupportedError on a black box."""
        if not self.can_grad:
            raise UnsupportedError(f"{self.name} is a black box without layers; wrap the network itself")
        return self.tapped(x)[1]

    def tapped(self, x: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Logits (n, k) and {layer: activations} of one forward pass; a black box has no layers."""
        x = self.check_input(x)
        parts = [self._tapped(x[rows]) for rows in self._chunks(len(x))]
        if not parts:
            return self._counted(x, self._forward), {}
        self.counter.add(len(x))
        if len(parts) == 1:
            return parts[0]
        layers = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]}
        return np.concatenate([part[0] for part in parts]), layers

    def summaries(self, x: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Logits (n, k), and of each of these layers the units (n, units) or means of channels (n, channels).

        Layers as in `tapped`, n first. Their activations are never held for more than a few samples at a time
        where the model can do without, and their means are taken where it makes them, so that looking costs
        little; such a mean may differ from that of the activations in its last bits.
        """
        x = self.check_input(x)
        parts = [self._summaries(x[rows], names) for rows in self._chunks(len(x))]
        self.counter.add(len(x))
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return self._counted(x, self._forward), {}
        layers = {name: np.concatenate([part[1][name] for part in parts]) for name in names}
        return np.concatenate([part[0] for part in parts]), layers

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> float:
        """Share of x that is given label y; 0 samples are an InvalidArgument."""
        if len(y) == 0:
            raise InvalidArgument("expected at least one sample to measure accuracy on, got none")
        return float(np.mean(self.predict(x) == self.check_labels(y, len(x))))

    # -- checks ----------------------------------------------------------------------------------------------

    def check_input(self, x: np.ndarray) -> np.ndarray:
        """x as float32 (n, *input_shape) inside the bounds; InvalidArgument otherwise."""
        x = asnumpy(x.data) if isinstance(x, Tensor) else asnumpy(x)
        if x.dtype.kind != "f":
            raise InvalidArgument(
                f"expected floating-point inputs in {tuple(self.bounds)}, got dtype {x.dtype}; "
                "convert with .astype(np.float32) and scale (uint8 pixels: divide by 255)"
            )
        if self.input_shape is None and x.ndim >= 2:
            self.input_shape = self._fitting(tuple(int(d) for d in x.shape[1:]))
        if self.input_shape is None or x.shape[1:] != self.input_shape:
            raise InvalidArgument(_shape_message(x.shape, self.input_shape))
        x = np.ascontiguousarray(x, dtype=np.float32)
        if not self.bounds.contains(x):
            bad = "NaN or infinity" if not np.isfinite(x).all() else f"values from {x.min():g} to {x.max():g}"
            raise InvalidArgument(
                f"expected inputs inside the model's bounds {tuple(self.bounds)}, got {bad}; "
                "scale or clip them, or state the right bounds"
            )
        return x

    def check_labels(self, y: np.ndarray, n: int) -> np.ndarray:
        """y as int64 (n,) with values in 0..num_classes-1; InvalidArgument otherwise."""
        self._need_classes()
        y = np.asarray(y)
        if y.shape != (n,) or (y.dtype.kind not in "iu" and y.size):
            raise InvalidArgument(
                f"expected {n} integer labels of shape ({n},), got {checks.describe('y', y)}"
            )
        y = y.astype(np.int64, copy=False)
        # As unsigned numbers those below 0 are large.
        if n and self.num_classes is not None and np.maximum.reduce(y.view(np.uint64)) >= self.num_classes:
            raise InvalidArgument(
                f"expected labels in 0..{self.num_classes - 1}, got {y.min()}..{y.max()}; "
                "the model has another number of classes than the data"
            )
        return y

    # -- inside ----------------------------------------------------------------------------------------------

    def _fitting(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of users' samples, if they can be preprocessed; InvalidArgument otherwise."""
        self.preprocessing.network_shape(shape)
        return shape

    def _chunks(self, n: int) -> list[slice]:
        return [slice(i, min(i + self.batch_size, n)) for i in range(0, n, self.batch_size)]

    def _counted(self, x: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        parts = [function(x[rows]) for rows in self._chunks(len(x))]
        self.counter.add(len(x))
        if len(parts) == 1:
            return parts[0]
        if not parts:
            size = self.num_classes if self.output_shape is None else math.prod(self.output_shape)
            if size is None:
                raise InvalidArgument(
                    "expected at least one sample: num_classes is not known yet; state num_classes="
                )
            return np.zeros((0, size), np.float32)
        return np.concatenate(parts)

    def _need_classes(self) -> None:
        if self.output_shape is not None:
            raise UnsupportedError(
                f"{self.name} gives arrays {self.output_shape}, not classes, so it has no labels and no "
                "accuracy; use answers(), and attack it with criteria.Custom"
            )

    def _flattened(self, raw: np.ndarray, n: int) -> np.ndarray:
        """Raw outputs (n, *output_shape) as (n, size)."""
        if raw.shape != (n, *self.output_shape) or raw.dtype.kind not in "fiub":
            raise InvalidArgument(
                f"expected outputs ({n}, {', '.join(map(str, self.output_shape))}) from the model "
                f"(output_shape), got {checks.describe('output', raw)}"
            )
        return np.ascontiguousarray(raw.reshape(n, -1), dtype=np.float32)

    def _check_output(self, logits: np.ndarray, n: int) -> np.ndarray:
        if self.output_shape is not None:
            flat = logits.shape == (n, math.prod(self.output_shape))
            return self._flattened(logits.reshape(n, *self.output_shape) if flat else logits, n)
        if logits.ndim != 2 or len(logits) != n or logits.dtype.kind not in "fiu":
            raise InvalidArgument(
                f"expected logits ({n}, classes) from the model, got {checks.describe('output', logits)}"
            )
        if self.num_classes is None:
            self.num_classes = int(logits.shape[1])
        if logits.shape[1] != self.num_classes:
            raise InvalidArgument(
                f"expected {self.num_classes} logits per sample (num_classes), got {logits.shape[1]}"
            )
        return np.ascontiguousarray(logits, dtype=np.float32)

    def __repr__(self) -> str:
        what = f"num_classes={self.num_classes}"
        if self.output_shape is not None:
            what = f"output_shape={self.output_shape}"
        return (
            f"{type(self).__name__}({self.name!r}, input_shape={self.input_shape}, "
            f"{what}, bounds={tuple(self.bounds)})"
        )


def input_gradient(loss: Tensor, leaf: Tensor) -> Tensor:
    """d sum(loss) / d leaf; walks only the tape that leads to the leaf, so no parameter gradients."""
    if loss.ndim != 1:
        raise InvalidArgument(f"expected loss_fn to return one loss per sample (n,), got shape {loss.shape}")
    return pulled_back(loss, Tensor(get_xp(loss.data).ones_like(loss.data)), leaf)


def pulled_back(out: Tensor, cotangent: Tensor, leaf: Tensor) -> Tensor:
    """The cotangent of `out` taken back to the leaf; zeros if `out` does not depend on it."""
    if out.requires_grad:
        for _, gradient in backward_pass([out], [cotangent], [leaf], create_graph=False, retain_graph=False):
            return gradient
    return Tensor(get_xp(leaf.data).zeros_like(leaf.data))


def _shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    try:
        found = tuple(checks.count(name, d) for d in shape)
    except TypeError:
        raise InvalidArgument(
            f"expected {name} such as (1, 28, 28), got {checks.describe(name, shape)}"
        ) from None
    return found


def _shape_message(got: tuple[int, ...], expected: tuple[int, ...] | None) -> str:
    if expected is None:
        return f"expected a batch of inputs (n, c, h, w), got shape {got}; add the batch axis with x[None]"
    want = f"expected inputs of shape (n, {', '.join(map(str, expected))}), got {got}"
    if got == expected:
        return f"{want}; add the batch axis with x[None]"
    if len(expected) == 3 and got[1:] == expected[1:]:
        return f"{want}; add the channel axis with x[:, None]"
    if len(expected) == 3 and len(got) == 4 and got[1:] == (*expected[1:], expected[0]):
        return f"{want}; move the channels first with x.transpose(0, 3, 1, 2)"
    return f"{want}; reshape the data or use a model trained on it"
