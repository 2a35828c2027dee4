"""ONNX files run by onnxruntime: black boxes, for what the engine cannot import and to compare with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from armour.black_box import CallableModel
from armour.checks import count, describe
from armour.errors import ArmourError, BackendUnavailable, CheckpointError, InvalidArgument
from armour.files import sha256_file
from armour.preprocessing import DTYPES, Preprocessing, joined

if TYPE_CHECKING:
    from armour.options import LoadOptions

_TYPES = {f"tensor({name.replace('float32', 'float').replace('float64', 'double')})": name for name in DTYPES}
_TYPES |= {"tensor(bool)": "bool"}


class OnnxRuntimeModel(CallableModel):
    """An .onnx file as a black box through onnxruntime; bounds must be stated, in the user's units.

    input: name of the input that is attacked, if there are several; fixed: values of the others by name,
    numbers, arrays with the batch axis, or arrays of one sample. output: name of the output that is asked
    for, the first by default. threads: of onnxruntime. outputs: as in armour.outputs.Outputs. The input's
    dtype is honoured: whole numbers are rounded. input_shape is taken from the file where it says it, in the
    user's order of axes. Raises CheckpointError for a file that onnxruntime does not take, InvalidArgument
    for names that are not in it, BackendUnavailable without the extra onnxruntime.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        input: str | None = None,
        output: str | None = None,
        fixed: Mapping[str, Any] | None = None,
        threads: int = 1,
        preprocessing: Preprocessing | None = None,
        **options: Any,
    ) -> None:
        self.path = Path(path).resolve()
        self.threads = count("threads", threads)
        self._session = _session(self.path, self.threads)
        inputs = {one.name: one for one in self._session.get_inputs()}
        self.fixed = {name: np.asarray(value) for name, value in (fixed or {}).items()}
        self.input = _chosen(inputs, self.fixed, input)
        outputs = {one.name: one for one in self._session.get_outputs()}
        self.output = _output(list(outputs), output)
        self._shapes = {name: one.shape for name, one in inputs.items()}
        self._dtypes = {name: _dtype(one) for name, one in inputs.items()}
        steps = _typed(joined(preprocessing), self._dtypes[self.input])
        if options.get("input_shape") is None:
            options["input_shape"] = _user_shape(self._shapes[self.input], steps)
        if options.get("num_classes") is None and options.get("output_shape") is None:
            options["num_classes"] = _classes(outputs[self.output].shape)
        options.setdefault("name", self.path.stem)
        super().__init__(self._run, preprocessing=steps, **options)
        self.provenance |= {
            "file": {"name": self.path.name, "sha256": sha256_file(self.path)},
            "runtime": f"onnxruntime {_module().__version__}",
            "network": {
                "input": self.input,
                "shape": [side if isinstance(side, int) else None for side in self._shapes[self.input]],
                "dtype": self._dtypes[self.input],
                "output": self.output,
            },
        } | _said(self.path)

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the file, the files of weights beside it, and all that is stated about it."""
        head = {
            "files": {path.name: sha256_file(path) for path in (self.path, *_beside(self.path))},
            "input": self.input,
            "output": self.output,
            "preprocessing": self.preprocessing.to_dict(),
            "fixed": {name: [v.dtype.str, v.shape, v.tolist()] for name, v in sorted(self.fixed.items())},
        }
        return hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()

    def _run(self, x: np.ndarray) -> np.ndarray:
        """Raw outputs of preprocessed inputs, in batches of the size the file asks for if it does."""
        shape = self._shapes[self.input]
        size = shape[0] if shape and isinstance(shape[0], int) else len(x)
        parts = []
        for start in range(0, len(x), size):
            rows = x[start : start + size]
            filled = np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), axis=0)])
            parts.append(self._ask(filled)[: len(rows)])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _ask(self, x: np.ndarray) -> np.ndarray:
        feed = {self.input: x}
        for name, value in self.fixed.items():
            feed[name] = _value(name, value, self._shapes[name], self._dtypes[name], len(x))
        try:
            raw = np.asarray(self._session.run([self.output], feed)[0])
        except Exception as error:  # onnxruntime's own errors have no common class of their own
            raise InvalidArgument(f"onnxruntime cannot run {self.path.name}: {_first_line(error)}") from error
        if raw.ndim == 0 or len(raw) != len(x):
            raise InvalidArgument(
                f"expected logits ({len(x)}, classes) from output {self.output!r}, got shape {raw.shape}; "
                "name another with output="
            )
        return raw

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._session = _session(self.path, self.threads)


def load(path: Path, options: LoadOptions) -> OnnxRuntimeModel:
    """The model as armour.load(path, runtime="onnxruntime") gives it; bounds must be stated."""
    allowed = "bounds input_shape preprocessing mean std num_classes output_shape class_names runtime"
    allowed += " input output fixed"
    options.refuse(f"{path}: onnxruntime runs the network in the file on the processor", allowed.split())
    if options.bounds is None:
        raise CheckpointError(
            f"{path}: the file does not state the bounds of its inputs, and a wrong range makes every "
            "epsilon wrong; say them, as in bounds=(0, 1) or --bounds 0,1"
        )
    return OnnxRuntimeModel(
        path,
        bounds=options.bounds,
        input_shape=options.input_shape,
        preprocessing=options.steps,
        num_classes=options.num_classes,
        output_shape=options.output_shape,
        class_names=options.class_names or (),
        input=options.input,
        output=options.output,
        fixed=options.fixed,
    )


def _module() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise BackendUnavailable(
            'onnxruntime is not installed; pip install "armour-toolkit[onnxruntime]"'
        ) from None
    return onnxruntime


def _session(path: Path, threads: int) -> Any:
    runtime = _module()
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file; check the path")
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = threads
    settings.log_severity_level = 4
    try:
        return runtime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors have no common class of their own
        raise CheckpointError(f"{path}: onnxruntime does not take it: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."


def _chosen(inputs: Mapping[str, Any], fixed: Mapping[str, Any], stated: str | None) -> str:
    for name in (*fixed, *([] if stated is None else [stated])):
        if name not in inputs:
            raise InvalidArgument(f"the network has no input {name!r}; it has {', '.join(inputs)}")
    free = [name for name in inputs if name not in fixed]
    if stated is not None and stated in fixed:
        raise InvalidArgument(f"the input {stated!r} cannot be both attacked and fixed; leave one out")
    others = [name for name in free if name != stated]
    if (stated is None and len(free) != 1) or (stated is not None and others):
        raise InvalidArgument(
            f"expected one input to be left, got {', '.join(free) or 'none'} of {', '.join(inputs)}; name "
            "the attacked one with input= and give the others values with fixed="
        )
    return free[0]


def _output(names: list[str], stated: str | None) -> str:
    if stated is not None and stated not in names:
        raise InvalidArgument(f"the network has no output {stated!r}; it has {', '.join(names)}")
    return stated or names[0]


def _dtype(value: Any) -> str:
    if value.type not in _TYPES:
        raise InvalidArgument(f"the input {value.name!r} takes {value.type}, which is no array of numbers")
    return _TYPES[value.type]


def _typed(steps: Preprocessing, dtype: str) -> Preprocessing:
    """The steps with the dtype that the network takes; InvalidArgument if another one was stated."""
    if steps.dtype not in ("float32", dtype):
        raise InvalidArgument(f"the network takes {dtype}, got a preprocessing to {steps.dtype}")
    return replace(steps, dtype=dtype)


def _user_shape(shape: list[Any], steps: Preprocessing) -> tuple[int, ...] | None:
    """Of one sample in the user's order of axes, if the file says it and nothing is resized."""
    sides = shape[1:]
    if steps.resize is not None or not sides or not all(isinstance(s, int) and s > 0 for s in sides):
        return None
    return (sides[-1], *sides[:-1]) if steps.layout == "NHWC" else tuple(sides)


def _classes(shape: list[Any]) -> int | None:
    """As the file says it; one score may stand for two classes, which is seen when it comes."""
    known = len(shape) == 2 and isinstance(shape[1], int) and shape[1] > 1
    return int(shape[1]) if known else None


def _value(name: str, value: np.ndarray, shape: list[Any], dtype: str, n: int) -> np.ndarray:
    """A fixed input for a batch of n: numbers fill what the file says, one sample is repeated."""
    sides = [n if i == 0 and not isinstance(side, int) else side for i, side in enumerate(shape)]
    if value.ndim == len(sides) and value.ndim and value.shape[0] == 1 and not isinstance(shape[0], int):
        value = np.repeat(value, n, axis=0)
    if value.ndim < len(sides):
        if not all(isinstance(side, int) for side in sides):
            raise InvalidArgument(
                f"expected an array of shape {shape} for the fixed input, got {describe(name, value)}"
            )
        value = np.broadcast_to(value, sides)
    return np.ascontiguousarray(value, dtype=dtype)


def _said(path: Path) -> dict[str, Any]:
    """What the file says of itself: producer, opset, operators with counts, licence."""
    from armour.formats.onnx import metadata
    from armour.formats.onnx.proto import read

    try:
        parsed = read(path)
    except ArmourError:
        return {}  # it is onnxruntime that has to take the file
    found: dict[str, Any] = {"producer": parsed.producer, "opset": parsed.opsets.get("", 1)}
    found["operators"] = {name: n for (_, name), n in parsed.operators().most_common()}
    licence = metadata.licence(parsed)
    return found | ({"licence": licence} if licence else {})


def _beside(path: Path) -> list[Path]:
    """The files in the same folder that hold weights of the network, by the names it gives."""
    import onnx

    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception:  # it is onnxruntime that reads the file; this only looks for names
        return []
    names = {
        entry.value
        for tensor in graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    inside = [path.parent / name for name in sorted(names) if Path(name).name == name]
    return [one for one in inside if one.is_file()]
