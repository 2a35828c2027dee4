"""Layers in short: units and means of channels, from arrays and from inside a model."""

from __future__ import annotations

import numpy as np
import pytest

from armour.errors import InvalidArgument
from armour.model import CallableModel, ModuleModel
from armour.summaries import units
from armour.tensor import zoo


def test_units_are_means_over_space_in_any_memory_order() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)
    turned = np.ascontiguousarray(maps.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for values in (maps, turned):
        np.testing.assert_allclose(units("conv", values), maps.mean(axis=(2, 3)), atol=1e-6)
    np.testing.assert_allclose(units("signal", maps[:, :, 0]), maps[:, :, 0].mean(axis=2), atol=1e-6)
    assert units("dense", maps[:, :, 0, 0]).shape == (3, 4)
    with pytest.raises(InvalidArgument, match="expected activations"):
        units("score", maps[:, 0, 0, 0])


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("batch_size", [256, 4])
def test_a_model_summarises_its_layers(compiled: bool, batch_size: int) -> None:
    net = zoo.build("lenet5", (3, 32, 32), 10, rng=0)
    model = ModuleModel(net, input_shape=(3, 32, 32), num_classes=10, batch_size=batch_size)
    model.compiled = compiled
    x = np.random.default_rng(1).random((11, 3, 32, 32), np.float32)
    logits, layers = model.tapped(x)
    names = list(layers)[::2]
    before = model.counter.queries
    out, found = model.summaries(x, names)
    assert model.counter.queries == before + 11 and list(found) == names
    np.testing.assert_allclose(out, logits, atol=1e-5)
    for name in names:
        np.testing.assert_allclose(found[name], units(name, layers[name]), atol=1e-5)
    # Another choice of layers, and what is not finite shows.
    x[3, 1, 2, 2] = 1
    other, last = model.summaries(x[:4], [list(layers)[-1]])
    np.testing.assert_allclose(last[list(layers)[-1]], other, atol=1e-5)
    assert [len(part) for part in model.summaries(x[:0], names)] == [0, 0]


@pytest.mark.parametrize("arch", ["lenet5", "resnet8", "vgg-small"])
@pytest.mark.parametrize("n", [1, 16, 80])
def test_summaries_are_the_layers_in_short_and_the_callers_own(arch: str, n: int) -> None:
    """Means are taken inside the plan, while the tapped layers are written out first."""
    net = zoo.build(arch, (3, 32, 32), 10, rng=0)
    model = ModuleModel(net, input_shape=(3, 32, 32), num_classes=10)
    x = np.random.default_rng(2).random((n, 3, 32, 32), np.float32)
    logits, layers = model.tapped(x)
    wanted = {name: np.array(units(name, layer)) for name, layer in layers.items()}
    first = np.array(logits)
    out, found = model.summaries(x, list(wanted)[::-1])
    assert list(found) == list(wanted)[::-1]
    np.testing.assert_allclose(out, first, atol=1e-5)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)
    # The next pass leaves them as they are.
    kept = {name: values.copy() for name, values in found.items()}
    model.summaries(1 - x, list(wanted)[::-1])
    for name, values in kept.items():
        np.testing.assert_array_equal(found[name], values)


def test_values_that_are_not_finite_show() -> None:
    net = zoo.build("lenet5", (1, 28, 28), 10, rng=0)
    first = next(iter(net.parameters()))
    first.data = first.data.copy()
    first.data[0] = np.inf
    model = ModuleModel(net, input_shape=(1, 28, 28), num_classes=10)
    x = np.random.default_rng(1).random((2, 1, 28, 28), np.float32)
    name = next(iter(model.tapped(x)[1]))
    assert not np.isfinite(model.summaries(x, [name])[1][name][:, 0]).any()
    assert np.isfinite(model.summaries(x, [name])[1][name][:, 1:]).all()


def test_a_black_box_has_none() -> None:
    box = CallableModel(lambda x: x[:, :2], outputs="logits", input_shape=(5,), num_classes=2)
    logits, layers = box.summaries(np.zeros((3, 5), np.float32), [])
    assert logits.shape == (3, 2) and layers == {}
