"""Model files: `load` tells the format by content, never by name; `save` writes armour's own checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from armour.bounds import Bounds
from armour.errors import CheckpointError, UnsupportedError
from armour.files import check_writable
from armour.model import Model

if TYPE_CHECKING:
    import numpy as np

    from armour.preprocessing import Preprocessing
    from armour.tensor import nn


def load(
    path: str | os.PathLike[str],
    *,
    arch: str | nn.Module | None = None,
    bounds: Bounds | Sequence[float] | None = None,
    input_shape: Sequence[int] | None = None,
    preprocessing: Preprocessing | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    num_classes: int | None = None,
    output_shape: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    device: str = "cpu",
    runtime: Literal["armour", "onnxruntime"] = "armour",
    input: str | None = None,
    output: str | None = None,
    fixed: Mapping[str, float | np.ndarray] | None = None,
    reduce: Literal["last", "mean", "max"] | None = None,
) -> Model:
    """The model in a file.

    Read are armour's checkpoints and ONNX, which hold a network, and files of weights: .safetensors, .npz,
    PyTorch state dicts (also from before 1.6) and MindSpore checkpoints. For weights, arch names the network
    (or is a module, filled in place); without it, common networks are recognised from names and shapes, and
    provenance says how. bounds, mean and std (or preprocessing) must then be stated, and input_shape where it
    cannot be known. bounds: range of the inputs, needed if the file does not state it. num_classes,
    class_names: of the outputs. device: "cpu" or "cuda". For ONNX, runtime="onnxruntime" makes it a black
    box, input names the input that is attacked, output the value that is the answer, and fixed gives values
    of the other inputs; output_shape says that it is no classifier (see Model). Raises CheckpointError, in
    one line, for a file that is missing, damaged, hostile or of another kind; nothing in the file is ever
    executed.
    """
    from armour.formats import kinds
    from armour.options import LoadOptions

    stated: dict[str, Any] = {
        "arch": arch,
        "bounds": bounds,
        "input_shape": input_shape,
        "preprocessing": preprocessing,
        "mean": mean,
        "std": std,
        "num_classes": num_classes,
        "output_shape": output_shape,
        "class_names": class_names,
        "device": device,
        "runtime": runtime,
        "input": input,
        "output": output,
        "fixed": fixed,
        "reduce": reduce,
    }
    path = Path(path)
    try:
        return kinds.load(path, LoadOptions(**stated))
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}); check the path and its permissions"
        ) from error


def save(model: Model, path: str | os.PathLike[str], *, format: str | None = None) -> None:
    """Write a model, atomically: the file is whole or not there.

    format: "armour" (a checkpoint, which holds everything), "onnx", or weights alone as "safetensors", "npz"
    or "mindspore"; by the suffix of the path if left out (.ckpt, .onnx, .safetensors, .npz). Weights alone
    lose the network and all that is known of its inputs. Raises UnsupportedError for a black box or another
    suffix, CheckpointError for weights that are not finite, InvalidArgument for what could not be read again,
    and OSError if the place cannot be written.
    """
    from armour.formats import writers

    path = Path(path)
    writers.write_model(model, path, writers.target(path, format))


def check_target(path: str | os.PathLike[str]) -> Path:
    """The path, if `save` could write a whole checkpoint there now; ask before hours of training.

    Raises UnsupportedError for a suffix other than .ckpt, InvalidArgument for a place that cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".ckpt", ""):
        raise UnsupportedError(
            f"cannot write {path}: only a checkpoint holds everything; use the suffix .ckpt, and convert it "
            "afterwards"
        )
    return check_writable(path)
