"""Comparing one of our layers or functions with PyTorch's, values and gradients, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from armour.tensor import Tensor, nn

TIGHT = 1e-10
LARGEST: dict[str, float] = {}  # largest difference by case, for whoever wants the figure


def compare(case: str, ours: Sequence[Any], theirs: Sequence[Any]) -> None:
    """Arrays agree within 1e-10, absolutely or of the value."""
    for a, b in zip(ours, theirs, strict=True):
        mine, want = np.asarray(a), b.detach().numpy()
        assert mine.shape == want.shape and mine.dtype == want.dtype
        LARGEST[case] = max(LARGEST.get(case, 0.0), float(abs(mine - want).max(initial=0.0)))
        np.testing.assert_allclose(mine, want, rtol=TIGHT, atol=TIGHT, err_msg=case)


def same_function(
    case: str, fn: Callable[..., Any], peer: Callable[..., Any], arrays: Sequence[np.ndarray]
) -> None:
    """fn and peer give the same values and gradients for all floating arrays."""
    floats = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    ours = [Tensor(a, requires_grad=i in floats) for i, a in enumerate(arrays)]
    theirs = [torch.from_numpy(a.copy()).requires_grad_(i in floats) for i, a in enumerate(arrays)]
    y, z = fn(*ours), peer(*theirs)
    compare(case, [y.numpy()], [z])
    seed = np.random.default_rng(3).standard_normal(y.shape)
    y.backward(seed)
    grads = torch.autograd.grad(z, [theirs[i] for i in floats], torch.from_numpy(seed), allow_unused=True)
    for i, g in zip(floats, grads, strict=True):
        mine = ours[i].grad
        assert (mine is None) == (g is None), f"{case}: gradient of input {i}"
        if g is not None and mine is not None:
            compare(case, [mine.numpy()], [g])


def same_layer(
    case: str, ours: nn.Module, theirs: torch.nn.Module, *inputs: np.ndarray, first: bool = False
) -> None:
    """With our weights in both: values, gradients of inputs and of parameters agree. first: of a tuple."""
    rng = np.random.default_rng(0)
    for parameter in ours.parameters():
        parameter.data = rng.standard_normal(parameter.shape)
    theirs.double()
    ours.astype("float64")
    state = {name: torch.from_numpy(value) for name, value in ours.state_dict().items()}
    missing = theirs.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys), missing
    floats = [i for i, a in enumerate(inputs) if a.dtype.kind == "f"]
    leaves = [Tensor(a, requires_grad=i in floats) for i, a in enumerate(inputs)]
    peers = [torch.from_numpy(a.copy()).requires_grad_(i in floats) for i, a in enumerate(inputs)]
    y, z = ours(*leaves), theirs(*peers)
    z = z[0] if first else z
    compare(case, [y.numpy()], [z])
    seed = rng.standard_normal(y.shape)
    y.backward(seed)
    z.backward(torch.from_numpy(seed))
    gradients = dict(theirs.named_parameters())
    for i in floats:
        compare(case, [leaves[i].grad.numpy()], [peers[i].grad])  # type: ignore[union-attr]
    for name, parameter in ours.named_parameters():
        compare(f"{case} {name}", [parameter.grad.numpy()], [gradients[name].grad])  # type: ignore[union-attr]
