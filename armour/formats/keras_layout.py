"""Weights from Keras's layout into ours: only when the caller says that the network takes its channels last.

Keras keeps convolutions as (height, width, in, out) and dense layers as (in, out), and flattens images in the
order height, width, channels. Networks here are (out, in, height, width) and (out, in), and flatten channels,
height, width. Turning the one into the other changes no output; that the file is in that layout must be said.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from armour.errors import CheckpointError
from armour.formats.entries import Entries, natural
from armour.options import LoadOptions
from armour.tensor import nn

EPSILON = 1e-3
"""Keras's own for batch normalisation."""


def turned(entries: Entries, options: LoadOptions) -> tuple[Entries, LoadOptions, list[str]]:
    """The entries in our layout, options for the turned network, and what was done.

    Raises CheckpointError if layout="NHWC" is not stated, and if it is not known how images are flattened.
    """
    steps = options.preprocessing
    if steps is None or steps.layout != "NHWC":
        raise CheckpointError(
            "Keras keeps its weights with the channels last (kernels as height, width, in, out; dense layers "
            "as in, out); to have them turned, say so: preprocessing=Preprocessing(layout='NHWC', mean=..., "
            "std=...), or --layout nhwc"
        )
    arrays, done = dict(entries.arrays), ["weights turned from Keras's layout, channels last"]
    kernels = {name: array for name, array in arrays.items() if name.rpartition(".")[2] == "weight"}
    for name, array in kernels.items():
        if array.ndim == 4:
            arrays[name] = array.transpose(3, 2, 0, 1)
        elif array.ndim == 2:
            arrays[name] = array.T
    order = sorted(kernels, key=natural)
    first = _flattened([name for name in order if kernels[name].ndim == 2], kernels)
    image = None if first is None else _image(first, kernels, order, options)
    if first is not None and image is not None:
        height, width, channels = image
        rows = kernels[first].reshape(height, width, channels, -1).transpose(2, 0, 1, 3)
        arrays[first] = rows.reshape(kernels[first].shape).T
        done.append(f"{first} reordered for flattened maps of {channels} x {height} x {width}")
    own = options.vary(preprocessing=replace(steps, layout="NCHW"))
    return replace(entries, arrays=arrays), own, done


def set_epsilon(module: nn.Module) -> list[str]:
    """Give all batch normalisation Keras's epsilon; says so if there is any."""
    norms = [m for m in module.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))]
    for norm in norms:
        norm.eps = EPSILON
    return [f"epsilon {EPSILON:g} in batch normalisation, as Keras has by default"] if norms else []


def _flattened(dense: list[str], kernels: dict[str, np.ndarray]) -> str | None:
    """The dense layer that takes flattened images: the one that takes what no other dense layer gives."""
    given = {kernels[name].shape[1] for name in dense}
    firsts = [name for name in dense if kernels[name].shape[0] not in given]
    if len(firsts) > 1:
        raise CheckpointError(
            f"{len(firsts)} dense layers may take flattened images ({', '.join(firsts)[:120]}), whose order "
            "differs in Keras; export the network as ONNX"
        )
    return firsts[0] if firsts else None


def _image(
    first: str, kernels: dict[str, np.ndarray], order: list[str], options: LoadOptions
) -> tuple[int, int, int] | None:
    """(h, w, c) of what is flattened; None if the order makes no difference."""
    size = kernels[first].shape[0]
    convolutions = [kernels[name] for name in order if kernels[name].ndim == 4]
    if convolutions:
        taken = {array.shape[2] for array in convolutions}
        ends = {array.shape[3] for array in convolutions if array.shape[3] not in taken} or {
            convolutions[-1].shape[3]
        }
        places = {c: size // c for c in ends if c and size % c == 0}
        if len(places) != 1:
            raise CheckpointError(
                f"{first!r} takes {size:,} numbers, which fit no convolution; export as ONNX"
            )
        ((channels, area),) = places.items()
        side = math.isqrt(area)
        if side * side != area:
            raise CheckpointError(f"{first!r} takes maps that are not square; export the network as ONNX")
        return None if area == 1 else (side, side, channels)
    shape = options.input_shape
    if shape is None:
        shape = {784: (1, 28, 28), 3072: (3, 32, 32)}.get(size)
    if shape is None or len(shape) != 3 or math.prod(shape) != size:
        raise CheckpointError(
            f"{first!r} takes {size:,} numbers; state input_shape= as (c, h, w) of that many"
        )
    channels, height, width = shape
    return None if channels == 1 else (height, width, channels)
