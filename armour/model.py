"""Models: a network of ours with gradients (ModuleModel) and any function without (CallableModel)."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from armour import checks
from armour.bounds import Bounds as Bounds
from armour.contract import Counter as Counter
from armour.contract import LossFn, input_gradient
from armour.contract import Model as Model
from armour.errors import CaptureError, InvalidArgument
from armour.planned import Planned
from armour.tensor.backend import asnumpy, to_device
from armour.tensor.compiled import plans_enabled
from armour.tensor.core import Tensor, no_grad
from armour.tensor.module import frozen
from armour.tensor.tape import state
from armour.tensor.watch import capture

if TYPE_CHECKING:
    from armour.tensor import nn

log = logging.getLogger(__name__)
T = TypeVar("T")


class ModuleModel(Model):
    """A network of armour.tensor.nn as a Model: normalisation inside, evaluation mode inside.

    mean, std: numbers, or one per channel; the network sees (x - mean) / std.
    graph: the network as data (armour.tensor.ir.Graph) if known; traced on first use otherwise.
    compiled: run by captured plans (the default), or operation by operation; set to False, with a warning, if
    the network cannot be captured. Gradients of parameters are never computed. A network that ends in a
    softmax is reported in provenance["outputs"], and the logarithm of its output is what logits() returns.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        graph: Any = None,
        device: str = "cpu",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.module = module.eval()
        self.mean, self.std = (
            _per_channel("mean", mean, self.input_shape),
            _per_channel("std", std, self.input_shape),
        )
        if any(s <= 0 for s in self.std):
            raise InvalidArgument(f"expected std above 0, got {checks.describe('std', std)}")
        self._graph = graph
        self.device = device
        self._shift: tuple[Any, Any] | None = None
        self.compiled = True
        self._replay: Planned | None = None
        if device != "cpu":
            for tensor in (*module.parameters(), *(b for _, b in module.named_buffers())):
                tensor.data = to_device(tensor.data, device)
        self._log_outputs = False
        if self.input_shape is not None:
            self._probe()

    @property
    def can_grad(self) -> bool:
        return True

    @property
    def graph(self) -> Any:
        """The network as data; UnsupportedError if it cannot be traced."""
        if self._graph is None:
            from armour.tensor import ir

            if self.input_shape is None:
                raise InvalidArgument(
                    "expected input_shape to be known before the network is traced; state input_shape="
                )
            self._graph = ir.trace(self.module, self.input_shape)
        return self._graph

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over the graph, mean, std and every weight with its name."""
        head = {"graph": self.graph.to_dict(), "mean": self.mean, "std": self.std}
        digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
        for key, value in sorted(self.state_dict().items()):
            digest.update(f"{key}|{value.dtype.str}|{value.shape}|".encode())
            digest.update(np.ascontiguousarray(value).data)
        return digest.hexdigest()

    def state_dict(self) -> dict[str, np.ndarray]:
        """Weights and buffers by name, on the host."""
        return {name: asnumpy(value) for name, value in self.module.state_dict().items()}

    def forward(self, x: Tensor) -> Tensor:
        """Differentiable logits of x (n, *input_shape); nothing is checked, counted or chunked."""
        out: Tensor = self.module(self._normalise(x))
        return (out + 1e-12).log() if self._log_outputs else out

    def _forward(self, x: np.ndarray) -> np.ndarray:
        with self._evaluating():
            out = self._run(lambda plans, at: plans.logits(at), self._eager_logits, x)
        return self._check_output(asnumpy(out), len(x))

    def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        def eager(at: Any) -> tuple[Any, Any, Any]:
            # Frozen parameters keep what depends on them alone, such as folded statistics, off the tape.
            leaf = Tensor(at, requires_grad=True)
            with frozen(self.module):
                out = self.forward(leaf)
                value = loss_fn(out)
                return value.data, input_gradient(value, leaf).data, out.data

        with self._evaluating():
            loss, gradient, logits = self._run(lambda plans, at: plans.pullback(at, loss_fn), eager, x)
        return asnumpy(loss), asnumpy(gradient), self._check_output(asnumpy(logits), len(x))

    def _tapped(self, x: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        def eager(at: Any) -> tuple[Any, dict[str, Any]]:
            with no_grad(), capture(self.module) as layers:
                return self.forward(Tensor(at)).data, layers

        with self._evaluating():
            out, layers = self._run(lambda plans, at: plans.tapped(at), eager, x)
        return self._check_output(asnumpy(out), len(x)), {k: asnumpy(v) for k, v in layers.items()}

    def _run(self, planned: Callable[[Planned, Any], T], eager: Callable[[Any], T], x: np.ndarray) -> T:
        """By plans, if they are wanted and the network can be captured; else operation by operation."""
        at = to_device(x, self.device)
        if not self.compiled or not plans_enabled() or state.observers or state.guards or not len(x):
            return eager(at)
        try:
            if self._replay is None:
                self._replay = Planned(self.module, self.forward, self._settings)
            return planned(self._replay, at)
        except CaptureError as error:
            log.warning("%s is run operation by operation, which is slower: %s", self.name, error)
            self.compiled = False
            return eager(at)

    def _settings(self) -> Any:
        return self._log_outputs, self.mean, self.std

    def _eager_logits(self, at: Any) -> Any:
        with no_grad():
            return self.forward(Tensor(at)).data

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_replay": None}  # plans are made anew where they are needed

    def _normalise(self, x: Tensor) -> Tensor:
        if self.mean == (0.0,) and self.std == (1.0,):
            return x
        if self._shift is None:
            shape = (-1,) + (1,) * (len(self.input_shape) - 1) if self.input_shape else ()
            mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
            if len(self.mean) > 1 or len(self.std) > 1:
                mean, std = mean.reshape(shape), std.reshape(shape)
            self._shift = to_device(1 / std, self.device), to_device(-mean / std, self.device)
        scale, offset = self._shift
        scaled: Tensor = x * scale + offset
        return scaled

    def _probe(self) -> None:
        """One forward pass on two inputs: finds a wrong class count, and outputs that are probabilities."""
        low, high = self.bounds
        x = np.linspace(low, high, 2 * int(np.prod(self.input_shape)), dtype=np.float32)
        with self._evaluating():  # a plan for two inputs would not pay
            out = self._eager_logits(to_device(x.reshape(2, *self.input_shape), self.device))
        logits = self._check_output(asnumpy(out), 2)
        if _are_probabilities(logits):
            self._log_outputs = True
            self.provenance["outputs"] = "probabilities; their logarithm is used as logits"
            log.warning("%s returns probabilities, not logits; their logarithm is used", self.name)

    def _evaluating(self) -> AbstractContextManager[None]:
        # Non-finite values are findings, which the caller sees in the outputs; they are no warnings.
        return self._out_of_training() if self.module.training else np.errstate(all="ignore")

    @contextmanager
    def _out_of_training(self) -> Iterator[None]:
        self.module.eval()
        try:
            with np.errstate(all="ignore"):
                yield
        finally:
            self.module.train()


class CallableModel(Model):
    """A black box: any function from (n, *input_shape) float32 arrays to (n, classes) scores.

    outputs: "logits", "probabilities" (their logarithm is taken), or "auto": decided on the first outputs and
    recorded in provenance["outputs"]. Gradients and activations raise UnsupportedError.
    """

    def __init__(
        self,
        function: Callable[[np.ndarray], Any],
        *,
        outputs: Literal["auto", "logits", "probabilities"] = "auto",
        **options: Any,
    ) -> None:
        options.setdefault("name", getattr(function, "__name__", type(function).__name__))
        super().__init__(**options)
        self.function = function
        self._outputs = checks.one_of("outputs", outputs, ("auto", "logits", "probabilities"))

    @property
    def can_grad(self) -> bool:
        return False

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the labels given to 256 fixed inputs: the function itself cannot be hashed."""
        if self.input_shape is None:
            raise InvalidArgument(
                "expected input_shape to be known before a black box is fingerprinted; state input_shape="
            )
        low, high = self.bounds
        probes = np.random.default_rng(0).uniform(low, high, (256, *self.input_shape)).astype(np.float32)
        labels = np.concatenate([self._forward(probes[rows]).argmax(axis=1) for rows in self._chunks(256)])
        head = f"{self.name}|{self.input_shape}|{self.num_classes}|".encode()
        return hashlib.sha256(head + labels.astype("<i8").tobytes()).hexdigest()

    def _forward(self, x: np.ndarray) -> np.ndarray:
        scores = self.function(x)
        raw = asnumpy(scores.data) if isinstance(scores, Tensor) else np.asarray(scores)
        out = self._check_output(raw, len(x))
        if self._outputs == "auto":
            self._outputs = "probabilities" if _are_probabilities(out) else "logits"
        if self._outputs == "probabilities":
            self.provenance["outputs"] = "probabilities; their logarithm is used as logits"
            with np.errstate(all="ignore"):
                logs: np.ndarray = np.log(np.maximum(out, np.float32(1e-12)))
            return logs
        self.provenance["outputs"] = "logits"
        return out


def _are_probabilities(scores: np.ndarray) -> bool:
    with np.errstate(all="ignore"):
        return bool(
            scores.shape[1] > 1
            and scores.size
            and (scores >= 0).all()
            and (scores <= 1 + 1e-6).all()
            and np.allclose(scores.sum(axis=1), 1, atol=1e-3)
        )


def _per_channel(
    name: str, value: float | Sequence[float], shape: tuple[int, ...] | None
) -> tuple[float, ...]:
    numbers = np.asarray(value, dtype=np.float64).reshape(-1) if np.ndim(value) <= 1 else None
    if numbers is None or numbers.size == 0 or not np.isfinite(numbers).all():
        raise InvalidArgument(
            f"expected a finite number, or one per channel, got {checks.describe(name, value)}"
        )
    if len(numbers) > 1 and (shape is None or len(numbers) != shape[0]):
        channels = "an input_shape" if shape is None else f"{shape[0]} values"
        raise InvalidArgument(
            f"expected {channels} for {name} per channel, got {checks.describe(name, value)}"
        )
    return tuple(float(v) for v in numbers)
