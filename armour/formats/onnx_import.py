"""Reading ONNX models: as networks of the engine, with gradients, or just to run them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from armour.bounds import Bounds
from armour.errors import CheckpointError, InvalidArgument, RangeNotStated, UnsupportedError
from armour.formats.onnx import metadata
from armour.formats.onnx.capture import Entry, capture, entry_dtype
from armour.formats.onnx.head import find_head
from armour.formats.onnx.interpreter import Interpreter, needed, refuse_unknown
from armour.formats.onnx.proto import OnnxModel, read
from armour.formats.onnx.spelled import joined
from armour.model import Model, ModuleModel
from armour.options import LoadOptions
from armour.preprocessing import Preprocessing
from armour.tensor.backend import asnumpy
from armour.tensor.core import Tensor, no_grad
from armour.tensor.limits import limited

MAX_MEMORY = 640 << 20  # bytes that trial runs may take inside the network
MAX_SECONDS = 20.0  # that they may take on a slow core


def run_model(model: str | Path | bytes, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs of an ONNX model, a path or its bytes, for inputs in the order of the graph.

    Raises UnsupportedError with all operators that are not known, CheckpointError for a damaged or hostile
    file, InvalidArgument for another number of inputs.
    """
    parsed = read(model)
    names = [name for name, _, _ in parsed.graph.inputs]
    if len(inputs) > len(names):
        names = [*names, *parsed.graph.weights]
    if len(inputs) > len(names):
        raise InvalidArgument(f"expected {len(names)} inputs ({', '.join(names)[:200]}), got {len(inputs)}")
    values = {name: Tensor(np.asarray(x)) for name, x in zip(names, inputs, strict=False)}
    with no_grad(), np.errstate(all="ignore"):
        found = Interpreter(parsed)(values)
    return [np.array(asnumpy(v.data) if isinstance(v, Tensor) else v) for v in found]


def load(path: Path, options: LoadOptions) -> Model:
    """The classifier in an ONNX file, or with an output_shape another network, with gradients.

    options: bounds must be stated, unless the file was written by armour; input_shape, if the file leaves
    lengths open; input, output and fixed, if the graph has several inputs or outputs; reduce, if it gives
    scores for each step of a sequence. With runtime="onnxruntime" the model is a black box. Raises
    UnsupportedError that lists all unknown operators, CheckpointError for a damaged or hostile file.
    """
    if options.runtime == "onnxruntime":
        from armour.onnxruntime_model import load as black_box

        return black_box(path, options)
    if options.arch is not None:
        raise InvalidArgument(f"{path}: an ONNX file holds its network; leave out arch=")
    parsed = read(path)
    options = metadata.stated(parsed, options)
    if options.bounds is None:
        raise RangeNotStated(
            f"{path}: an ONNX file does not say the range of its inputs, and a wrong range makes every "
            "epsilon wrong; say it, as in bounds=(0, 1) or --bounds 0,1"
        )
    bounds = Bounds.of(options.bounds)
    try:
        return _model(path, parsed, options, bounds)
    except UnsupportedError as error:
        raise UnsupportedError(f"{path}: {error}") from error
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except InvalidArgument as error:
        raise CheckpointError(f"{path}: the network cannot be used: {error}") from error


def _model(path: Path, parsed: OnnxModel, options: LoadOptions, bounds: Bounds) -> ModuleModel:
    wanted = (options.output,) if options.output is not None else parsed.graph.outputs[:1]
    refuse_unknown(parsed, needed(parsed.graph, wanted))
    steps = options.steps or Preprocessing()
    name, code, declared = _input(parsed, options)
    user_shape, entry = _entry(name, code, declared, options, steps)
    steps = replace(steps, dtype="float32")  # the network itself rounds to what its graph takes
    fixed = _fixed(parsed, name, options.fixed or {})
    shape = None if options.output_shape is None else tuple(options.output_shape)
    head = find_head(parsed.graph, options.output, options.reduce, name, shape)
    if entry.whole and options.reduce is None:
        raise InvalidArgument(
            f"input_shape {user_shape} has the graph's first axis, a sequence; say how its scores become one "
            'with reduce="last", "mean" or "max"'
        )
    with limited(MAX_MEMORY, MAX_SECONDS):
        network = capture(joined(parsed), entry, head, fixed, _range(bounds, steps))
        provenance: dict[str, Any] = {
            "format": "onnx",
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "producer": parsed.producer,
            "opset": parsed.opsets.get("", 1),
            "ir_version": parsed.ir_version,
            "operators": {op: n for (_, op), n in parsed.operators().most_common()},
            "input": {"name": name, "shape": [str(d) for d in declared], "dtype": entry.dtype.name},
            "output": {"name": wanted[0], "ending": network.ending or "as it is"},
        }
        licence = metadata.licence(parsed)
        if licence:
            provenance["licence"] = licence
        if network.one:
            provenance["batch"] = f"one sample at a time: {network.one}"
        return ModuleModel(
            network.module,
            graph=network.graph,
            preprocessing=steps,
            outputs="logits" if network.ending else "auto",
            bounds=bounds,
            input_shape=user_shape,
            num_classes=options.num_classes,
            output_shape=options.output_shape,
            class_names=options.class_names or (),
            name=path.stem,
            provenance=provenance,
            device=options.device,
        )


def _input(parsed: OnnxModel, options: LoadOptions) -> tuple[str, int, tuple[int | str, ...]]:
    """Name, type and declared shape of the input that samples go into."""
    inputs = {name: (code, shape) for name, code, shape in parsed.graph.inputs}
    shown = ", ".join(f"{ascii(n)[1:-1][:60]} {_shown(s)}" for n, (_, s) in inputs.items())
    name = options.input
    if name is None:
        free = [n for n in inputs if n not in (options.fixed or {})]
        if len(free) != 1:
            raise InvalidArgument(
                f"the model has the inputs {shown or 'none'}; say which one is attacked with input= "
                "(--input) and the values of the others with fixed= (--fix NAME=VALUE)"
            )
        (name,) = free
    if name not in inputs:
        raise InvalidArgument(f"the model has no input {name!r}; its inputs are {shown}")
    code, shape = inputs[name]
    if not shape:
        raise InvalidArgument(
            f"the input {ascii(name)[:60]} has no declared axes; a classifier takes (n, ...): "
            "state another input="
        )
    return name, code, shape


def _entry(
    name: str, code: int, declared: tuple[int | str, ...], options: LoadOptions, steps: Preprocessing
) -> tuple[tuple[int, ...], Entry]:
    """The shape of a sample as users give it, and how it enters the graph."""
    dtype = entry_dtype(code, name)
    lengths = [d if isinstance(d, int) and d > 0 else None for d in declared]
    if options.input_shape is not None:
        user = tuple(options.input_shape)
        taken = steps.network_shape(user)
        whole = len(taken) == len(lengths)
        fits = len(taken) in (len(lengths), len(lengths) - 1)
        pairs = zip(reversed(lengths[1:]), reversed(taken), strict=False)
        if not fits or any(e is not None and e != n for e, n in pairs):
            raise InvalidArgument(
                f"input_shape {user} gives samples of shape {taken}, the graph takes {_shown(declared)}; "
                "state another input_shape=, or the preprocessing between them"
            )
        return user, Entry(name=name, dtype=dtype, shape=taken, whole=whole)
    shape = [n for n in lengths[1:] if n is not None]
    if len(shape) != len(lengths) - 1 or not shape:
        raise InvalidArgument(
            f"the graph leaves lengths of its input open, {_shown(declared)}; state input_shape= of one "
            "sample (--input-shape), such as 3,224,224"
        )
    user = (shape[2], shape[0], shape[1]) if steps.layout == "NHWC" and len(shape) == 3 else tuple(shape)
    taken = steps.network_shape(user)
    if taken != tuple(shape):
        raise InvalidArgument(
            f"the preprocessing gives samples of shape {taken}, the graph takes {_shown(declared)}; "
            "state input_shape= of what comes before the preprocessing"
        )
    return user, Entry(name=name, dtype=dtype, shape=taken)


def _shown(shape: tuple[int | str, ...] | None) -> str:
    return "(" + ", ".join(str(d)[:20] or "?" for d in shape or ()) + ")"


def _fixed(parsed: OnnxModel, name: str, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Values of the other inputs, in their types; numbers fill an input's whole shape."""
    found = {}
    known = {other: (code, shape) for other, code, shape in parsed.graph.inputs if other != name}
    for other in values:
        if other not in known:
            raise InvalidArgument(
                f"the model has no other input {other!r}; it has {', '.join(known) or 'none'}"
            )
    for other, (code, shape) in known.items():
        if other not in values:
            raise InvalidArgument(
                f"the input {other!r} {_shown(shape)} has no value; state fixed= (--fix {other}=0)"
            )
        array = np.asarray(values[other]).astype(entry_dtype(code, other))
        if array.ndim == 0 and shape:
            lengths = tuple(d if isinstance(d, int) and d > 0 else 1 for d in shape)
            if int(np.prod(lengths)) > 1 << 24:
                raise CheckpointError(f"the input {other!r} {_shown(shape)} is too large to be filled")
            array = np.full(lengths, array)
        found[other] = array
    return found


def _range(bounds: Bounds, steps: Preprocessing) -> tuple[float, float]:
    """About the range of what the network takes for inputs inside the bounds: for trial runs."""
    ends = [(steps.scale * edge - m) / s for edge in bounds for m in steps.mean for s in steps.std]
    return min(ends), max(ends)
