"""What the benchmarks compare is the same on both sides: each subject's own check, on small batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks import activations, cuda, eager, forward_grad, kernels, networks, peers, per_sample, training
from benchmarks.rows import Options

OPTIONS = Options(kernels=kernels.available()[0])


@pytest.mark.parametrize("name", sorted(networks.SHAPES))
def test_input_gradients(name: str) -> None:
    found = forward_grad.candidates(name, 5, OPTIONS)
    names = [candidate.name for candidate in found]
    assert names.count("model.loss_gradient") == names.count("bare plan") == len(OPTIONS.kernels)
    assert ("torch folded, channels_last" in names) == name.startswith("resnet")


@pytest.mark.parametrize("name", ["lenet5", "resnet8"])
def test_activations(name: str) -> None:
    found = activations.candidates(name, 3, OPTIONS)
    assert sum(candidate.headline for candidate in found) == len(OPTIONS.kernels)


@pytest.mark.parametrize("name", per_sample.NETWORKS)
def test_per_sample_gradients(name: str) -> None:
    assert any(candidate.headline for candidate in per_sample.candidates(name, 4, OPTIONS))


@pytest.mark.parametrize("name", ["lenet5", "resnet8"])
def test_training_steps(name: str) -> None:
    assert sum(c.headline for c in training.candidates(name, 6, OPTIONS)) == len(OPTIONS.kernels)


def test_tiny_operations() -> None:
    assert len(eager.candidates()) == 3


def test_the_attack_of_the_gpu_rows_on_the_cpu() -> None:
    theirs, ours = cuda.candidates("lenet5", 8, "cpu")
    x, _ = networks.batch("lenet5", 8)
    assert np.abs(theirs.call() - x).max() <= cuda.EPSILON * 1.01
    assert ours.headline and theirs.kernels == ""


def test_folding_removes_every_normalisation_and_keeps_the_numbers() -> None:
    _, module = networks.pair("resnet20")
    folded = peers.folded(module)
    assert peers.has_norms(module) and not peers.has_norms(folded)
    x = torch.from_numpy(networks.batch("resnet20", 3)[0])
    torch.testing.assert_close(folded(x), module(x), rtol=1e-4, atol=1e-5)
    assert folded.layer2[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
