"""Files in the two forms that Keras writes, made with h5py alone."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import hostile
import numpy as np

Layers = Mapping[str, Mapping[str, np.ndarray]]
"""Layer -> variable (kernel, bias, gamma, ...) -> array, in Keras's own layout."""


def h5(
    layers: Layers, *, optimizer: bool = True, compressed: bool = False, root: str = "model_weights/"
) -> bytes:
    """An .h5 file of a whole model; root="" for one of weights alone."""
    import h5py

    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        if root:
            file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": []}})
        weights: Any = file.create_group(root) if root else file
        weights.attrs["layer_names"] = [name.encode() for name in layers]
        for name, variables in layers.items():
            group = weights.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{key}:0".encode() for key in variables]
            for key, array in variables.items():
                packing = {"compression": "gzip", "shuffle": True} if compressed else {}
                group.create_dataset(f"{name}/{key}:0", data=array, **packing)
        if optimizer:
            file.create_dataset("optimizer_weights/adam/m:0", data=np.zeros(3, np.float32))
    return out.getvalue()


def archive(layers: Layers) -> bytes:
    """A .keras file: variables are numbered in the order in which the layers make them."""
    import h5py

    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, variables in layers.items():
            for i, array in enumerate(variables.values()):
                file.create_dataset(f"layers/{name}/vars/{i}", data=array)
        file.create_dataset("optimizer/vars/0", data=np.array(7, np.int64))
    config = json.dumps({"class_name": "Sequential", "config": {}}).encode()
    return hostile.packed(
        ("metadata.json", b"{}"), ("config.json", config), ("model.weights.h5", out.getvalue())
    )
