"""What every model must keep to, whatever is inside: checks that any kind of model is put through.

An example gives a model for a seed; models of one seed are the same, those of others differ. CHECKS are
functions of an example; tests/armour and tests/parity run each on theirs.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from armour.contract import Model
from armour.errors import InvalidArgument, UnsupportedError
from armour.tensor import Tensor


@dataclass(frozen=True)
class Example:
    """make: seed -> a new model. outputs: how provenance["outputs"] begins. tolerance: of the logits between
    batch sizes, relative to the largest. pickles: whether the model can be pickled."""

    name: str
    make: Callable[[int], Model]
    can_grad: bool
    outputs: str = "logits"
    tolerance: float = 1e-5
    pickles: bool = True


def batch(model: Model, n: int, seed: int = 5) -> np.ndarray:
    """n inputs inside the bounds, some of them on a bound."""
    rng = np.random.default_rng(seed)
    low, high = model.bounds
    x = rng.uniform(low, high, (n, *model.input_shape)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = low
    x[rng.random(x.shape) < 0.1] = high
    return x


def near(a: np.ndarray, b: np.ndarray, tolerance: float) -> None:
    """Equal up to a share of the largest value."""
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, float(np.abs(b).max(initial=0))))


def shapes_and_dtypes(example: Example) -> None:
    model = example.make(0)
    x = batch(model, 5)
    logits = model.logits(x)
    assert logits.dtype == np.float32 and logits.shape == (5, model.num_classes)
    assert np.isfinite(logits).all() and logits.flags.c_contiguous
    labels = model.predict(x)
    assert labels.dtype == np.int64 and labels.shape == (5,)
    np.testing.assert_array_equal(labels, logits.argmax(axis=1))
    assert len(set(model.predict(batch(model, 100)).tolist())) > 1, "an example that always says the same"
    assert model.can_grad is example.can_grad
    assert not model.class_names or len(model.class_names) == model.num_classes
    assert model.device == "cpu" and isinstance(model.name, str) and model.name


def no_samples_and_one(example: Example) -> None:
    model = example.make(0)
    x = batch(model, 3)
    few = model.logits(x)
    assert model.logits(x[:0]).shape == (0, model.num_classes)
    assert model.predict(x[:0]).shape == (0,)
    near(model.logits(x[1:2]), few[1:2], example.tolerance)
    if example.can_grad:
        loss, gradient = model.loss_gradient(x[:0], np.zeros(0, np.int64))
        assert loss.shape == (0,) and gradient.shape == x[:0].shape
        assert model.loss_gradient(x[:1], np.zeros(1, np.int64))[1].shape == x[:1].shape


def batch_size_does_not_matter(example: Example) -> None:
    model = example.make(0)
    x, y = batch(model, 11), np.arange(11) % model.num_classes
    whole = model.logits(x)
    gradient = model.loss_gradient(x, y)[1] if example.can_grad else None
    for size in (1, 4):
        model.batch_size = size
        near(model.logits(x), whole, example.tolerance)
        if gradient is not None:
            near(model.loss_gradient(x, y)[1], gradient, 10 * example.tolerance)


def bad_inputs_are_refused(example: Example) -> None:
    model = example.make(0)
    x = batch(model, 2)
    model.logits(x)
    low, high = model.bounds
    model.counter.reset()
    spoilt = {"NaN": np.nan, "infinity": np.inf, "below": low - 0.1 * (high - low), "above": 2 * high - low}
    for value in spoilt.values():
        wrong = x.copy()
        wrong.flat[3] = value
        for ask in (model.logits, model.predict, model.tapped):
            with pytest.raises(InvalidArgument) as error:
                ask(wrong)
            assert "\n" not in str(error.value)
    for wrong in (x[0], x[..., :-1], x.astype(np.int64), x[None]):
        with pytest.raises(InvalidArgument):
            model.logits(wrong)
    assert (model.counter.queries, model.counter.gradients) == (0, 0)


def counters_count_samples(example: Example) -> None:
    model = example.make(0)
    x, y = batch(model, 7), np.zeros(7, np.int64)
    model.batch_size = 3
    model.counter.reset()
    model.logits(x)
    assert (model.counter.queries, model.counter.gradients) == (7, 0)
    model.tapped(x)
    assert (model.counter.queries, model.counter.gradients) == (14, 0)
    if example.can_grad:
        model.loss_gradient(x, y)
        model.gradient(x, lambda z: z.sum(axis=1))
        assert (model.counter.queries, model.counter.gradients) == (28, 14)


def same_again(example: Example) -> None:
    model = example.make(0)
    x, y = batch(model, 6), np.zeros(6, np.int64)
    np.testing.assert_array_equal(model.logits(x), model.logits(x))
    np.testing.assert_array_equal(example.make(0).logits(x), model.logits(x))
    if example.can_grad:
        for a, b in zip(model.loss_gradient(x, y), model.loss_gradient(x, y), strict=True):
            np.testing.assert_array_equal(a, b)


def gradients_or_a_refusal(example: Example) -> None:
    model = example.make(0)
    x, y = batch(model, 4), np.arange(4) % model.num_classes
    if not example.can_grad:
        for ask in (
            lambda: model.loss_gradient(x, y),
            lambda: model.gradient(x, lambda z: z.sum(axis=1)),
            lambda: model.activations(x),
        ):
            with pytest.raises(UnsupportedError) as error:
                ask()
            assert "\n" not in str(error.value)
        return
    loss, gradient = model.loss_gradient(x, y)
    assert loss.dtype == gradient.dtype == np.float32
    assert loss.shape == (4,) and gradient.shape == x.shape and gradient.any()
    logits = model.logits(x).astype(np.float64)
    top = logits.max(axis=1)
    expected = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[np.arange(4), y]
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-4)
    opposite = model.loss_gradient(x, y, targeted=True)
    np.testing.assert_array_equal(opposite[1], -gradient)

    def spread(z: Tensor) -> Tensor:
        centred = z - z.mean(axis=1, keepdims=True)
        return (centred * centred).sum(axis=1)

    value, slope, own = model.gradient(x, spread)
    near(own, model.logits(x), example.tolerance)
    np.testing.assert_allclose(value, own.var(axis=1) * own.shape[1], rtol=1e-3, atol=1e-5)
    assert slope.shape == x.shape and np.isfinite(slope).all()


def gradients_point_uphill(example: Example) -> None:
    """Along the gradient the loss rises as it says, by central differences in the user's units."""
    if not example.can_grad:
        return
    model = example.make(0)
    low, high = model.bounds
    middle = (low + high) / 2 + 0.3 * (batch(model, 6) - (low + high) / 2)
    y = np.arange(6) % model.num_classes
    _, gradient = model.loss_gradient(middle, y)
    flat = gradient.reshape(6, -1)
    unit = gradient / np.linalg.norm(flat, axis=1).reshape(-1, *[1] * (gradient.ndim - 1))
    step = np.float32(2e-3 * (high - low))
    up, down = (model.loss_gradient(middle + s * step * unit, y)[0].astype(np.float64) for s in (1, -1))
    slopes, steepness = (up - down) / (2 * step), np.linalg.norm(flat, axis=1)
    assert np.median(np.abs(slopes - steepness) / steepness) < 0.1
    assert (slopes > 0).all()


def layers_have_names(example: Example) -> None:
    model = example.make(0)
    x = batch(model, 3)
    logits, layers = model.tapped(x)
    near(logits, model.logits(x), example.tolerance)
    assert bool(layers) is example.can_grad
    for name, values in layers.items():
        assert isinstance(name, str) and name and len(values) == 3 and values.dtype == np.float32
    if example.can_grad:
        assert model.activations(x).keys() == layers.keys()


def fingerprints(example: Example) -> None:
    model = example.make(0)
    first = model.fingerprint
    assert len(first) == 64 and int(first, 16) >= 0
    model.logits(batch(model, 3))
    model.batch_size = 2
    assert model.fingerprint == first == example.make(0).fingerprint
    assert example.make(1).fingerprint != first


def inputs_and_random_state_are_left_alone(example: Example) -> None:
    model = example.make(0)
    x, y = batch(model, 4), np.zeros(4, np.int64)
    kept, before = x.copy(), np.random.get_state()[1].copy()  # type: ignore[union-attr,index]  # noqa: NPY002
    x.flags.writeable = False
    model.logits(x)
    model.tapped(x)
    if example.can_grad:
        model.loss_gradient(x, y)
    np.testing.assert_array_equal(x, kept)
    after = np.random.get_state()[1]  # type: ignore[index]  # noqa: NPY002
    np.testing.assert_array_equal(after, before)


def what_its_outputs_were(example: Example) -> None:
    model = example.make(0)
    model.logits(batch(model, 3))
    assert model.provenance["outputs"].startswith(example.outputs)
    assert "\n" not in model.provenance["outputs"]


def it_can_be_pickled(example: Example) -> None:
    if not example.pickles:
        return
    model = example.make(0)
    x = batch(model, 3)
    expected = model.logits(x)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.logits(x), expected)
    assert again.fingerprint == model.fingerprint and again.counter.queries == 6


CHECKS: tuple[Callable[[Example], None], ...] = (
    shapes_and_dtypes,
    no_samples_and_one,
    batch_size_does_not_matter,
    bad_inputs_are_refused,
    counters_count_samples,
    same_again,
    gradients_or_a_refusal,
    gradients_point_uphill,
    layers_have_names,
    fingerprints,
    inputs_and_random_state_are_left_alone,
    what_its_outputs_were,
    it_can_be_pickled,
)
