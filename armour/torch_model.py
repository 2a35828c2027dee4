"""PyTorch networks as models: logits, activations and input gradients through torch, arrays outside."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from armour.checks import one_of
from armour.contract import LossFn, Model, input_gradient, pulled_back
from armour.errors import BackendUnavailable, InvalidArgument, UnsupportedError
from armour.outputs import Kind, Outputs, outputs_of
from armour.preprocessing import FLOATS
from armour.tensor.core import Tensor
from armour.tensor.shape import flatten

log = logging.getLogger(__name__)
_SHAPES = ("View", "Reshape", "Squeeze", "Unsqueeze", "Alias", "Select", "Clone")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class TorchModel(Model):
    """A torch.nn.Module as a model: preprocessing inside, evaluation mode inside.

    Gradients are those of the inputs, by torch.autograd; parameters, buffers, requires_grad flags, training
    modes and torch's random state are as they were after every call. device: "cpu" or "cuda", where the
    module is moved; left out, it stays where it is. outputs: as in armour.outputs.Outputs; a module that ends
    in nn.Softmax or nn.Sigmoid gives the logarithm of its output, computed from what goes into that layer, so
    that gradients do not vanish where the output saturates. Inputs are given in the dtype of the parameters,
    unless preprocessing states another; whole numbers have no gradient, so can_grad is then False.
    """

    def __init__(
        self, module: Any, *, outputs: Kind = "auto", device: str | None = None, **options: Any
    ) -> None:
        import torch

        if not isinstance(module, torch.nn.Module):
            raise InvalidArgument(
                f"expected a torch.nn.Module or a function of NumPy arrays, got {type(module).__name__}"
            )
        options.setdefault("name", type(module).__name__.lower())
        super().__init__(**options)
        if outputs == "labels":
            raise InvalidArgument("expected scores from a network; wrap a function that gives labels only")
        if device is not None:
            one_of("device", device, ("cpu", "cuda"))
            if device == "cuda" and not torch.cuda.is_available():
                raise BackendUnavailable('no CUDA device for PyTorch; use device="cpu"')
            module.to(device)
        self.module = module
        self.provenance.setdefault("framework", f"torch {torch.__version__}")
        self.outputs = outputs_of(outputs, self.output_shape)
        self._last: Any = None  # the Softmax or Sigmoid at the end, which is done without
        self._probed = False
        self._lock = threading.RLock()
        if self.input_shape is not None:
            self._probe()

    @property
    def can_grad(self) -> bool:
        return self.preprocessing.dtype in FLOATS

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over the modules as they describe themselves, the preprocessing and the state dict."""
        import torch

        steps = json.dumps(self.preprocessing.to_dict(), sort_keys=True)
        digest = hashlib.sha256(f"{_ADDRESS.sub('', repr(self.module))}|{steps}|".encode())
        for key, value in sorted(self.module.state_dict().items()):
            if not isinstance(value, torch.Tensor):
                digest.update(f"{key}|{_ADDRESS.sub('', repr(value))}|".encode())
                continue
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(f"{key}|{value.dtype}|{tuple(value.shape)}|".encode())
            digest.update(flat.view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _forward(self, x: np.ndarray) -> np.ndarray:
        if not self._probed:
            self._probe()
        raw = self._raw(self.preprocessing.apply_array(x))
        if self.output_shape is not None:
            return self._flattened(raw, len(x))
        return self._check_output(self.outputs.logits_of(raw, self.num_classes), len(x))

    def _tapped(self, x: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        layers: dict[str, np.ndarray] = {}

        def taps(name: str) -> Callable[..., None]:
            def note(module: Any, inputs: Any, out: Any) -> None:
                key, times = name, 1
                while key in layers:
                    times += 1
                    key = f"{name}:{times}"
                if hasattr(out, "detach") and out.ndim and len(out) == len(x):
                    layers[key] = _array(out)

            return note

        leaves = [(n or "output", m) for n, m in self.module.named_modules() if not any(m.children())]
        if not self._probed:
            self._probe()
        handles = [module.register_forward_hook(taps(name)) for name, module in leaves]
        try:
            return self._forward(x), layers
        finally:
            for handle in handles:
                handle.remove()

    def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        import torch

        if not self.can_grad:
            raise UnsupportedError(
                f"{self.name} takes {self.preprocessing.dtype}, which has no gradient; use an attack that "
                "only asks for outputs"
            )
        if not self._probed:
            self._probe()
        leaf = Tensor(x, requires_grad=True)
        with np.errstate(all="ignore"):
            seen = self.preprocessing.apply(leaf)
        with self._evaluating(), torch.enable_grad():
            given = self._given(seen.data).requires_grad_(True)
            out = self._call(given.clone())  # which may be changed in place
            raw = Tensor(_array(out), requires_grad=True)
            with np.errstate(all="ignore"):
                logits = self.outputs.logits(raw) if self.output_shape is None else flatten(raw)
                self._check_output(logits.data, len(x))
                value = loss_fn(logits)
                slope = input_gradient(value, raw).data
            back = None
            if out.requires_grad:
                along = torch.from_numpy(np.ascontiguousarray(slope)).to(out.device, out.dtype)
                (back,) = torch.autograd.grad(out, given, along, allow_unused=True)
        if back is None:
            return value.data, np.zeros_like(x), self._check_output(logits.data, len(x))
        gradient = Tensor(_array(back))
        if seen is not leaf:
            gradient = pulled_back(seen, gradient, leaf)
        return value.data, np.ascontiguousarray(gradient.data), self._check_output(logits.data, len(x))

    def _raw(self, given: np.ndarray) -> np.ndarray:
        import torch

        with self._evaluating(), torch.no_grad():
            return _array(self._call(self._given(given)))

    def _call(self, given: Any) -> Any:
        """The module's own output; InvalidArgument, in one line, if it cannot take such inputs."""
        import torch

        try:
            return _only_tensor(self.module(given))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise InvalidArgument(
                f"{self.name} cannot run inputs of shape {tuple(given.shape)}, {given.dtype}: {reason}"
            ) from error

    def _given(self, x: np.ndarray) -> Any:
        """A tensor of its own, where the module is."""
        import torch

        first = next((p for p in self.module.parameters() if p.is_floating_point()), None)
        given = torch.tensor(x)
        if first is None:
            return given
        stated = self.preprocessing.dtype
        return given.to(first.device, first.dtype if stated == "float32" else given.dtype)

    def _probe(self) -> None:
        """One forward pass on two inputs: finds a wrong class count, and outputs that are probabilities."""
        import torch

        low, high = self.bounds
        x = np.linspace(low, high, 2 * int(np.prod(self.input_shape)), dtype=np.float32)
        ends: list[tuple[Any, Any]] = []
        kinds = torch.nn.Softmax | torch.nn.Sigmoid
        watched = [m for m in self.module.modules() if isinstance(m, kinds)]
        handles = [m.register_forward_hook(lambda m, _, out: ends.append((m, out))) for m in watched]
        try:
            given = self._given(self.preprocessing.apply_array(x.reshape(2, *self.input_shape)))
            with self._evaluating(), torch.enable_grad():
                # What made the output is known only of what has a gradient.
                given = given.requires_grad_(given.is_floating_point())
                out = self._call(given.clone())
        finally:
            for handle in handles:
                handle.remove()
        raw = _array(out)
        if self.output_shape is not None:
            self._flattened(raw, 2)
            self.provenance["outputs"] = f"arrays {self.output_shape}, as they are"
            self._probed = True
            return
        # The very output, or the same numbers in another shape.
        last = ends[-1][0] if ends and ends[-1][1].data_ptr() == out.data_ptr() else None
        sigmoid = isinstance(last, torch.nn.Sigmoid) or _made_by(out) == "SigmoidBackward0"
        self.outputs.settle(raw, self.num_classes, sigmoid)
        self._check_output(self.outputs.logits_of(raw, self.num_classes), 2)
        self.provenance["outputs"] = self.outputs.note
        if self.outputs.kind == "probabilities":
            log.warning("%s returns probabilities, not logits; their logarithm is used", self.name)
            if last is not None and (self.outputs.single or isinstance(last, torch.nn.Softmax)):
                self._last, self.outputs = last, Outputs("logits")
        self._probed = True

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Inside, the module is in evaluation mode and its parameters want no gradient."""
        with self._lock:
            training = [m for m in self.module.modules() if m.training]
            wanting = [p for p in self.module.parameters() if p.requires_grad]
            hook = None if self._last is None else self._last.register_forward_hook(_logarithm)
            try:
                if training:
                    self.module.eval()
                for parameter in wanting:
                    parameter.requires_grad_(False)
                yield
            finally:
                for parameter in wanting:
                    parameter.requires_grad_(True)
                for module in training:
                    module.training = True
                if hook is not None:
                    hook.remove()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.RLock())


def _logarithm(module: Any, inputs: Any, out: Any) -> Any:
    """What a Softmax or a Sigmoid gives, as its logarithm; two columns for a Sigmoid."""
    import torch
    from torch.nn import functional as F

    (z,) = inputs
    if isinstance(module, torch.nn.Softmax):
        return F.log_softmax(z, 1 if module.dim is None else module.dim)
    z = z.reshape(-1, 1)
    return torch.cat([F.logsigmoid(-z), F.logsigmoid(z)], 1)


def _only_tensor(out: Any) -> Any:
    """The logits in what a module returned: a tensor, or an object or dict with `logits`."""
    import torch

    if isinstance(out, dict):
        out = out.get("logits", out)
    out = getattr(out, "logits", out)
    if not isinstance(out, torch.Tensor) or out.is_complex():
        raise InvalidArgument(
            f"expected logits as one tensor from the network, got {type(out).__name__}; wrap a module that "
            "returns them alone"
        )
    return out


def _made_by(out: Any) -> str:
    """The step of torch's tape that computed the output, but for those that only change its shape."""
    step = out.grad_fn
    while step is not None and type(step).__name__.startswith(_SHAPES) and step.next_functions:
        step = step.next_functions[0][0]
    return type(step).__name__


def _array(tensor: Any) -> np.ndarray:
    found: np.ndarray = tensor.detach().float().cpu().numpy()
    return found
