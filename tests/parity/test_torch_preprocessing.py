"""Preprocessing against the same steps in PyTorch: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from armour.preprocessing import Preprocessing
from armour.tensor import Tensor, cast, grad


@pytest.mark.parametrize("resize", [None, (8, 8), (17, 30), (3, 40)])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_resize_order_scale_and_normalisation(resize: tuple[int, int] | None, layout: str) -> None:
    mean, std = (104.0, 117.0, 123.0), (57.0, 58.0, 59.0)
    steps = Preprocessing(scale=255, mean=mean, std=std, layout=layout, channels="bgr", resize=resize)
    x = np.random.default_rng(0).random((2, 3, 11, 13))
    leaf = torch.tensor(x, requires_grad=True)
    out = leaf
    if resize is not None:
        out = torch.nn.functional.interpolate(out, resize, mode="bilinear", align_corners=False)
    out = out.flip(1) * 255
    out = (out - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1)
    out = out.permute(0, 2, 3, 1) if layout == "NHWC" else out
    np.testing.assert_allclose(steps.apply(Tensor(x)).numpy(), out.detach().numpy(), rtol=1e-10, atol=1e-10)
    (out**2).sum().backward()
    assert leaf.grad is not None
    slope = grad(lambda t: (steps.apply(t) ** 2).sum())(Tensor(x)).numpy()
    np.testing.assert_allclose(slope, leaf.grad.numpy(), rtol=1e-10, atol=1e-8)


def test_rounding_passes_the_gradient_as_a_fake_quantiser_does() -> None:
    x = np.random.default_rng(0).uniform(-0.2, 1.2, (4, 3)).astype(np.float32)
    leaf = torch.tensor(x, requires_grad=True)
    out = torch.fake_quantize_per_tensor_affine(leaf * 255, 1.0, 0, -(2**15), 2**15 - 1)
    (out**2).sum().backward()
    assert leaf.grad is not None
    steps = Preprocessing(scale=255, dtype="int16")
    found = cast(steps.apply(Tensor(x)), "float32").numpy()
    np.testing.assert_array_equal(found, out.detach().numpy())
    slope = grad(lambda t: (cast(steps.apply(t), "float32") ** 2).sum())(Tensor(x)).numpy()
    np.testing.assert_allclose(slope, leaf.grad.numpy(), rtol=1e-6)
