"""Any function of arrays as a model: a black box, which is only asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from armour.checks import describe
from armour.contract import Model
from armour.errors import InvalidArgument
from armour.outputs import Kind, outputs_of
from armour.tensor.backend import asnumpy
from armour.tensor.core import Tensor

PROBES = 256


class CallableModel(Model):
    """A black box: any function from (n, ...) arrays to (n, classes) scores, (n,) scores or (n,) labels.

    function: is given copies of the inputs, preprocessed. outputs: as in armour.outputs.Outputs: "logits",
    "probabilities" (their logarithm is taken), "labels", or "auto", decided on the first outputs and recorded
    in provenance["outputs"]. Outputs that are not finite are kept as they are. Gradients and activations
    raise UnsupportedError.
    """

    def __init__(
        self, function: Callable[[np.ndarray], Any], *, outputs: Kind = "auto", **options: Any
    ) -> None:
        options.setdefault("name", str(getattr(function, "__name__", type(function).__name__)))
        super().__init__(**options)
        self.function = function
        self.outputs = outputs_of(outputs, self.output_shape)
        if outputs == "labels" and self.num_classes is None:
            raise InvalidArgument("expected num_classes to be stated for a model that gives labels only")
        if self.output_shape is not None:
            self.provenance["outputs"] = f"arrays {self.output_shape}, as they are"
        elif self.outputs.kind != "auto":
            self.provenance["outputs"] = self.outputs.note
        self._settled = False

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
        probes = np.random.default_rng(0).uniform(low, high, (PROBES, *self.input_shape)).astype(np.float32)
        labels = np.concatenate([self._forward(probes[rows]).argmax(axis=1) for rows in self._chunks(PROBES)])
        head = f"{self.name}|{self.input_shape}|{self.output_shape or self.num_classes}|"
        if not self.preprocessing.identity:
            head += json.dumps(self.preprocessing.to_dict(), sort_keys=True)
        return hashlib.sha256(head.encode() + labels.astype("<i8").tobytes()).hexdigest()

    def _forward(self, x: np.ndarray) -> np.ndarray:
        given = self.preprocessing.apply_array(x)
        scores = self.function(given.copy() if given is x or given.base is not None else given)
        raw = asnumpy(scores.data) if isinstance(scores, Tensor) else np.asarray(scores)
        if self.output_shape is not None:
            return self._flattened(raw, len(x))
        if raw.dtype.kind not in "fiub" or not raw.ndim or len(raw) != len(x):
            raise InvalidArgument(
                f"expected logits ({len(x)}, classes) from the model, got {describe('output', raw)}"
            )
        if not self._settled:
            self.outputs.settle(raw, self.num_classes)
            self._settled = self.outputs.kind != "auto"
            if self.outputs.note:
                self.provenance["outputs"] = self.outputs.note
        return self._check_output(self.outputs.logits_of(raw, self.num_classes), len(x))
