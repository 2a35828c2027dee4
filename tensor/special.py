"""Functions of arrays that array namespaces do not have."""

from __future__ import annotations

import importlib

from armour.tensor.backend import Array, Namespace, asnumpy


def erf_values(xp: Namespace, x: Array) -> Array:
    """The error function."""
    name = "cupyx.scipy.special" if xp.__name__ == "cupy" else "scipy.special"
    module = importlib.import_module(name)
    if xp.__name__ in ("numpy", "cupy"):
        return module.erf(x)
    return xp.asarray(module.erf(asnumpy(x)))
