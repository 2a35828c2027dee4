"""differential: two models that should say the same do not."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from armour import checks
from armour.errors import InvalidArgument, UnsupportedError
from armour.fuzz.execution import UNIT, Executor, Outcome
from armour.model import Model, ModuleModel

from .base import Judge, Oracle, Place, Seen, Verdict, blamed, register
from .quantised import FORMATS, quantised

ENGINE = "onnxruntime"
BUILT_IN = (*FORMATS, ENGINE)


@register("differential")
@dataclass(frozen=True, slots=True, kw_only=True)
class Differential(Oracle):
    """The model and another disagree.

    against: "float16" or "int8" for the same network in fewer bits, "onnxruntime" for another engine, or the
    name of another model. Engines must agree in every logit z to noise + noise |z|. Of any other pair the
    labels must agree, unless one of the two prefers its own by less than `margin` in the logits. Roots that
    another model misreads as they are say nothing of their mutants, and are left out.
    """

    asks: ClassVar[bool] = True

    against: str
    margin: float = 0.1
    noise: float = 1e-3

    def __post_init__(self) -> None:
        checks.positive("margin", self.margin)
        checks.positive("noise", self.noise)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", self.against):
            raise InvalidArgument(
                f"expected against as float16, int8, onnxruntime or a name, got {self.against!r}"
            )

    @property
    def key(self) -> str:
        return f"{self.name}-{re.sub(r'[^A-Za-z0-9-]', '-', self.against)}"

    def bind(self, place: Place) -> Judge:
        """Makes or finds the other model. InvalidArgument if there is none of that name, or it takes or gives
        something else; UnsupportedError if none can be made of this model.
        """
        other = self._other(place)
        shapes = (place.roots.x.shape[1:], place.roots.gaps.shape[1])
        theirs = (tuple(other.input_shape or shapes[0]), other.num_classes or shapes[1])
        if shapes != theirs:
            raise InvalidArgument(
                f"differential: expected {self.against} with inputs {shapes[0]} and {shapes[1]} classes, got "
                f"{theirs[0]} and {theirs[1]}; compare with a model of the same task"
            )
        executor = Executor(other, place.executor.batch)
        executor.guarded = True
        told = np.ones(len(place.roots), bool)
        if self.against not in BUILT_IN:
            told = executor.run(place.roots.x, taps=False).predicted == place.roots.labels

        def judge(seen: Seen) -> Verdict:
            outcome = seen.run(seen.x, executor)
            hit = (
                self._engines(seen.outcome, outcome)
                if self.against == ENGINE
                else self._labels(seen, outcome)
            )
            return Verdict(
                hit & told[seen.root], blamed(seen.labels, seen.outcome.predicted, outcome.predicted)
            )

        return judge

    def _other(self, place: Place) -> Model:
        if self.against in place.others:
            return place.others[self.against]
        if self.against in FORMATS:
            return quantised(place.model, self.against, place.roots.x)
        if self.against == ENGINE:
            return exported(place.model)
        raise InvalidArgument(
            f"differential: expected {', '.join(BUILT_IN)} or a model of the name {self.against!r} to "
            "compare with, got none; state it with --against FILE, or Fuzzer(..., others={name: model})"
        )

    def _labels(self, seen: Seen, theirs: Outcome) -> np.ndarray:
        ours, rows = seen.outcome, np.arange(len(seen))
        least = round(self.margin / UNIT)
        here = ours.gaps(np.maximum(ours.predicted, 0))[rows, theirs.predicted]
        there = theirs.gaps(np.maximum(theirs.predicted, 0))[rows, ours.predicted]
        sure = (here >= least) & (there >= least) | (theirs.predicted < 0)
        return np.asarray(sure & (ours.predicted >= 0) & (ours.predicted != theirs.predicted))

    def _engines(self, ours: Outcome, theirs: Outcome) -> np.ndarray:
        a, b = ours.logits.astype(np.float64), theirs.logits.astype(np.float64)
        with np.errstate(invalid="ignore"):
            near = np.abs(a - b) <= self.noise + self.noise * np.abs(a)
        return np.asarray(~near.all(axis=1) & (ours.predicted >= 0))


def exported(model: Model) -> Model:
    """The network as ONNX Runtime runs it; UnsupportedError for a black box."""
    if not isinstance(model, ModuleModel):
        raise UnsupportedError(
            f"differential: {model.name} is a black box, and only a network can be given to onnxruntime; "
            "compare it with a second model, --against FILE"
        )
    from armour.formats.onnx_export import export_onnx
    from armour.onnxruntime_model import OnnxRuntimeModel

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(model, path)
        return OnnxRuntimeModel(
            path, bounds=model.bounds, input_shape=model.input_shape, num_classes=model.num_classes
        )
