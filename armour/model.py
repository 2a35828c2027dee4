"""A network of ours as a model, with gradients, run by captured plans."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from armour.black_box import CallableModel as CallableModel
from armour.bounds import Bounds as Bounds
from armour.contract import Counter as Counter
from armour.contract import LossFn, input_gradient
from armour.contract import Model as Model
from armour.errors import ArmourError, CaptureError, InvalidArgument, UnsupportedError
from armour.outputs import Kind, outputs_of
from armour.planned import Planned
from armour.preprocessing import Preprocessing, joined
from armour.summaries import units
from armour.tensor.backend import asnumpy, to_device
from armour.tensor.compiled import plans_enabled
from armour.tensor.core import Tensor, no_grad
from armour.tensor.module import frozen
from armour.tensor.pruning import differentiable
from armour.tensor.shape import flatten
from armour.tensor.tape import state
from armour.tensor.watch import capture

if TYPE_CHECKING:
    from armour.tensor import nn

log = logging.getLogger(__name__)
T = TypeVar("T")


class ModuleModel(Model):
    """A network of armour.tensor.nn as a Model: preprocessing inside, evaluation mode inside.

    preprocessing: from users' inputs to the network's; or mean and std alone, numbers or one per channel: the
    network sees (x - mean) / std. graph: the network as data (armour.tensor.ir.Graph) if known; traced on
    first use otherwise; one whose input is (1, ...) is asked for one sample at a time. outputs: as in
    armour.outputs.Outputs. compiled: run by captured plans (the default), or operation by operation; set to
    False, with a warning, if the network cannot be captured. Gradients of parameters are never computed. A
    network that ends in a softmax or a sigmoid is reported in provenance["outputs"], and the logarithm of its
    output is what logits() returns.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        preprocessing: Preprocessing | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        graph: Any = None,
        outputs: Kind = "auto",
        device: str = "cpu",
        **options: Any,
    ) -> None:
        super().__init__(preprocessing=joined(preprocessing, mean, std), **options)
        self.module = module.eval()
        self._graph = graph
        self.device = device
        self.compiled = True
        self._replay: Planned | None = None
        if device != "cpu":
            for tensor in (*module.parameters(), *(b for _, b in module.named_buffers())):
                tensor.data = to_device(tensor.data, device)
        self.outputs = outputs_of(outputs, self.output_shape)
        self._probed = False
        self._differentiable = graph is None or differentiable(graph)
        if graph is not None and graph.inputs[0].shape[0] == 1:
            self.batch_size = 1  # such a network was recorded for one sample at a time
        if self.input_shape is not None:
            self._probe()

    @property
    def can_grad(self) -> bool:
        return self._differentiable

    @property
    def obstacle(self) -> str:
        return f"{self.name} compares or looks up its inputs (bytes, tokens), so they have no gradient"

    @property
    def mean(self) -> tuple[float, ...]:
        """What is subtracted, in the network's units: one number, or one per channel."""
        return self.preprocessing.mean

    @property
    def std(self) -> tuple[float, ...]:
        """What is divided by afterwards."""
        return self.preprocessing.std

    @property
    def graph(self) -> Any:
        """The network as data; UnsupportedError if it cannot be traced."""
        if self._graph is None:
            from armour.tensor import ir

            if self.input_shape is None:
                raise InvalidArgument(
                    "expected input_shape to be known before the network is traced; state input_shape="
                )
            steps = self.preprocessing
            self._graph = ir.trace(self.module, steps.network_shape(self.input_shape), dtype=steps.dtype)
        return self._graph

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over the graph, the preprocessing and every weight with its name."""
        head = {"graph": self.graph.to_dict(), "mean": self.mean, "std": self.std}
        if not self.preprocessing.only_normalises:
            head["preprocessing"] = self.preprocessing.to_dict()
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
        raw = self.module(self.preprocessing.apply(x))
        return self.outputs.logits(raw) if self.output_shape is None else flatten(raw)

    def _forward(self, x: np.ndarray) -> np.ndarray:
        with self._evaluating():
            out = self._run(lambda plans, at: plans.logits(at), self._eager_logits, x)
        return self._check_output(asnumpy(out), len(x))

    def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if not self._differentiable:
            raise UnsupportedError(f"{self.obstacle}; use an attack that only asks for outputs, or fuzzing")

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

    def _summaries(self, x: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        def eager(at: Any) -> tuple[Any, dict[str, Any]]:
            with no_grad(), capture(self.module) as layers:
                out = self.forward(Tensor(at)).data
            return out, {name: units(name, asnumpy(layers[name])) for name in names}

        with self._evaluating():
            out, found = self._run(lambda plans, at: plans.summaries(at, names), eager, x)
        return self._check_output(asnumpy(out), len(x)), {k: asnumpy(v) for k, v in found.items()}

    def _run(self, planned: Callable[[Planned, Any], T], eager: Callable[[Any], T], x: np.ndarray) -> T:
        """By plans, if they are wanted and the network can be captured; else operation by operation."""
        if not self._probed:
            self._probe()
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
        return self.outputs.kind, self.outputs.single, self.preprocessing, self.output_shape

    def _eager_logits(self, at: Any) -> Any:
        with no_grad():
            return self.forward(Tensor(at)).data

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_replay": None}  # plans are made anew where they are needed

    def _probe(self) -> None:
        """One forward pass on two inputs: finds a wrong class count, and outputs that are probabilities."""
        low, high = self.bounds
        n = min(2, self.batch_size)
        x = np.linspace(low, high, n * int(np.prod(self.input_shape)), dtype=np.float32)
        with self._evaluating(), no_grad():  # a plan for two inputs would not pay
            at = to_device(x.reshape(n, *self.input_shape), self.device)
            raw = asnumpy(self.module(self.preprocessing.apply(Tensor(at))).data)
        if self.output_shape is not None:
            self._flattened(raw, n)
            self._probed = True
            self.provenance["outputs"] = f"arrays {self.output_shape}, as they are"
            return
        self.outputs.settle(raw, self.num_classes, _ends_in_sigmoid(self) if raw.size == n else None)
        self._check_output(self.outputs.logits_of(raw, self.num_classes), n)
        self._probed = True
        self.provenance["outputs"] = self.outputs.note
        if self.outputs.kind == "probabilities":
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


def _ends_in_sigmoid(model: ModuleModel) -> bool | None:
    """Whether the last thing the network does, but for moving values about, is a sigmoid; None if unknown."""
    try:
        graph = model.graph
    except ArmourError:
        return None
    nodes = {node.name: node for node in graph.nodes}
    node = nodes.get(graph.outputs[0])
    while node is not None and node.type.lower() in _MOVES and isinstance(node.inputs[0], str):
        node = nodes.get(node.inputs[0])
    return node is not None and node.type.lower() == "sigmoid"


_MOVES = frozenset({"reshape", "transpose", "flatten", "identity", "getitem", "dropout"})
