"""Networks and black boxes as models: closed-form gradients, checks, counters, chunks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from armour.errors import InvalidArgument, UnsupportedError
from armour.model import Bounds, CallableModel, Model, ModuleModel
from armour.tensor import Tensor, cross_entropy, nn

SHAPE = (2, 3, 4)
K = 5


def linear(seed: int = 0) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(24, K, rng=seed))


def network(**options: Any) -> ModuleModel:
    return ModuleModel(linear(), input_shape=SHAPE, num_classes=K, **options)


def inputs(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(size=(n, *SHAPE)).astype(np.float32), rng.integers(0, K, n)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def test_logits_and_gradient_in_closed_form() -> None:
    mean, std = (0.2, 0.4), (0.5, 2.0)
    model = network(mean=mean, std=std)
    x, y = inputs(7)
    w, b = (model.state_dict()[key].astype(np.float64) for key in ("1.weight", "1.bias"))
    m, s = (np.array(v).reshape(1, 2, 1, 1) for v in (mean, std))
    z = ((x - m) / s).reshape(7, -1) @ w.T + b
    np.testing.assert_allclose(model.logits(x), z, rtol=1e-4, atol=1e-5)
    assert np.array_equal(model.predict(x), z.argmax(axis=1))

    loss, gradient = model.loss_gradient(x, y)
    p = softmax(z)
    np.testing.assert_allclose(loss, -np.log(p[np.arange(7), y]), rtol=1e-4)
    # Row i is sample i's own gradient, not divided by n.
    expected = ((p - np.eye(K)[y]) @ w).reshape(x.shape) / s
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)
    assert gradient.dtype == loss.dtype == np.float32

    targeted, opposite = model.loss_gradient(x, y, targeted=True)
    np.testing.assert_array_equal(opposite, -gradient)
    np.testing.assert_array_equal(targeted, -loss)


@pytest.mark.parametrize("loss", ["cross_entropy", "margin", "dlr"])
def test_going_up_every_loss_hurts_the_label(loss: Any) -> None:
    model = network()
    x, y = inputs(40)
    y = model.predict(x)

    def lead(at: np.ndarray) -> np.ndarray:
        z = model.logits(at)
        others = np.where(np.eye(K, dtype=bool)[y], -np.inf, z).max(axis=1)
        return np.asarray(z[np.arange(len(y)), y] - others)

    _, gradient = model.loss_gradient(x, y, loss=loss)
    moved = np.clip(x + 0.05 * np.sign(gradient), 0, 1)
    assert (lead(moved) < lead(x)).mean() > 0.95


def test_gradient_of_a_function_of_the_logits() -> None:
    model = network()
    x, _ = inputs(6)
    value, gradient, logits = model.gradient(x, lambda z: (z * z).sum(axis=1))
    w = model.state_dict()["1.weight"]
    np.testing.assert_allclose(logits, model.logits(x))
    np.testing.assert_allclose(value, (logits**2).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(gradient, (2 * logits @ w).reshape(x.shape), rtol=1e-4, atol=1e-5)


def test_chunks_change_nothing() -> None:
    x, y = inputs(23)
    whole, parts = network(batch_size=100), network(batch_size=4)
    labels = np.eye(K, dtype=np.float32)[y]
    for ask in (
        lambda m: (m.logits(x),),
        lambda m: m.loss_gradient(x, y),
        lambda m: m.gradient(x, lambda z: (z * labels).sum(axis=1)),
        lambda m: (m.tapped(x)[0], *m.tapped(x)[1].values()),
    ):
        for a, b in zip(ask(whole), ask(parts), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_counters_count_samples() -> None:
    for batch_size in (100, 4):
        model = network(batch_size=batch_size)
        x, y = inputs(10)
        assert (model.counter.queries, model.counter.gradients) == (0, 0)
        model.logits(x)
        model.tapped(x[:3])
        assert (model.counter.queries, model.counter.gradients) == (13, 0)
        model.loss_gradient(x, y)
        model.gradient(x, lambda z: z.sum(axis=1))
        assert (model.counter.queries, model.counter.gradients) == (33, 20)
        model.logits(x[:0])
        model.gradient(x[:0], lambda z: z.sum(axis=1))
        assert (model.counter.queries, model.counter.gradients) == (33, 20)
        model.counter.reset()
        assert (model.counter.queries, model.counter.gradients) == (0, 0)


def test_empty_batch() -> None:
    model = network()
    x, y = inputs(0)
    assert model.logits(x).shape == (0, K) and model.predict(x).shape == (0,)
    loss, gradient = model.loss_gradient(x, y)
    assert loss.shape == (0,) and gradient.shape == (0, *SHAPE)
    logits, _ = model.tapped(x)
    assert logits.shape == (0, K)
    with pytest.raises(InvalidArgument, match="at least one sample"):
        model.accuracy(x, y)


def bad_inputs() -> list[tuple[str, Callable[[np.ndarray], np.ndarray], str]]:
    return [
        ("no batch axis", lambda x: x[0], r"x\[None\]"),
        ("channels last", lambda x: x.transpose(0, 2, 3, 1), r"transpose\(0, 3, 1, 2\)"),
        ("another size", lambda x: x[..., :2], "reshape"),
        ("above", lambda x: x + 1, "values from 1"),
        ("pixels", lambda x: x * 255, "scale or clip"),
        ("nan", lambda x: np.where(x > 0.5, np.nan, x), "NaN or infinity"),
        ("bytes", lambda x: (x * 255).astype(np.uint8), "divide by 255"),
        ("objects", lambda x: x.astype(object), "dtype object"),
    ]


@pytest.mark.parametrize(
    ("change", "message"), [b[1:] for b in bad_inputs()], ids=[b[0] for b in bad_inputs()]
)
def test_bad_inputs(change: Callable[[np.ndarray], np.ndarray], message: str) -> None:
    model = network()
    x, y = inputs(4)
    for ask in (model.logits, model.predict, model.tapped, lambda v: model.loss_gradient(v, y)):
        with pytest.raises(InvalidArgument, match=message):
            ask(change(x))
    assert model.counter.queries == 0


def test_a_missing_channel_axis_is_named() -> None:
    model = ModuleModel(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), input_shape=(1, 2, 2))
    with pytest.raises(InvalidArgument, match=r"x\[:, None\]"):
        model.logits(np.zeros((5, 2, 2), np.float32))


@pytest.mark.parametrize("y", [[0, 1], [0, 1, K], [0, -1, 2], [0.0, 1.0, 2.0], [[0], [1], [2]]])
def test_bad_labels(y: Any) -> None:
    with pytest.raises(InvalidArgument, match="labels"):
        network().loss_gradient(inputs(3)[0], np.array(y))


def test_bad_settings() -> None:
    with pytest.raises(InvalidArgument, match="std above 0"):
        network(std=0.0)
    with pytest.raises(InvalidArgument, match="2 values for mean per channel"):
        network(mean=(0.1, 0.2, 0.3))
    with pytest.raises(InvalidArgument, match="4 logits per sample"):
        ModuleModel(linear(), input_shape=SHAPE, num_classes=4)
    with pytest.raises(InvalidArgument, match="class_names"):
        network(class_names=("a", "b"))
    with pytest.raises(InvalidArgument, match="input_shape such as"):
        ModuleModel(linear(), input_shape=3)
    with pytest.raises(InvalidArgument, match="unknown loss"):
        network().loss_gradient(*inputs(2), loss="mse")  # type: ignore[arg-type]


def test_evaluation_mode_inside_and_the_callers_mode_outside() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(24, K))
    model = ModuleModel(module, input_shape=SHAPE)
    x, y = inputs(8)
    quiet = model.logits(x)
    module.train()
    np.testing.assert_array_equal(model.logits(x), quiet)
    model.loss_gradient(x, y)
    assert module.training
    module.eval()
    model.loss_gradient(x, y)
    assert not module.training


def test_parameters_get_no_gradient_and_keep_their_flags() -> None:
    model = network()
    model.loss_gradient(*inputs(4))
    for parameter in model.module.parameters():
        assert parameter.grad is None and parameter.requires_grad


def test_the_forward_is_differentiable() -> None:
    model = network(mean=0.5, std=0.25)
    x, y = inputs(3)
    leaf = Tensor(x, requires_grad=True)
    cross_entropy(model.forward(leaf), y).sum().backward()
    assert leaf.grad is not None
    np.testing.assert_allclose(leaf.grad.numpy(), model.loss_gradient(x, y)[1], rtol=1e-5, atol=1e-7)


def test_activations_are_the_layers_outputs() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(24, 6), nn.ReLU(), nn.Linear(6, K))
    model = ModuleModel(module, input_shape=SHAPE)
    x, _ = inputs(9)
    logits, layers = model.tapped(x)
    assert list(layers) == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(layers["3"], logits)
    np.testing.assert_array_equal(layers["2"], np.maximum(layers["1"], 0))
    np.testing.assert_array_equal(model.activations(x)["1"], layers["1"])


def test_a_network_of_probabilities_is_reported() -> None:
    class Softmax(nn.Module):
        def __init__(self) -> None:
            self.inner = linear()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x).softmax(axis=1)  # type: ignore[no-any-return]

    model = ModuleModel(Softmax(), input_shape=SHAPE)
    x, y = inputs(6)
    assert "probabilities" in model.provenance["outputs"]
    plain = network()
    assert plain.provenance["outputs"] == "logits"
    z = plain.logits(x)
    np.testing.assert_allclose(model.logits(x), np.log(softmax(z)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        model.loss_gradient(x, y)[1], plain.loss_gradient(x, y)[1], rtol=1e-3, atol=1e-5
    )


def test_fingerprint() -> None:
    first = network().fingerprint
    assert first == network().fingerprint and len(first) == 64
    assert first != network(mean=0.1).fingerprint
    model = network()
    state = model.state_dict()
    state["1.bias"][0] += 1e-6
    model.module.load_state_dict(state)
    assert first != model.fingerprint
    module = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(24, K, rng=0))
    assert first != ModuleModel(module, input_shape=SHAPE).fingerprint


def test_nonfinite_outputs_are_outputs() -> None:
    model = network()
    state = model.state_dict()
    state["1.weight"][0] = 1e38
    model.module.load_state_dict(state)
    with np.errstate(all="raise"):
        logits = model.logits(np.ones((1, *SHAPE), np.float32))
    assert not np.isfinite(logits).all()


def test_threads() -> None:
    model = network(batch_size=3)
    x, y = inputs(30)
    expected = model.loss_gradient(x, y)[1]
    found: list[np.ndarray] = []

    def work() -> None:
        for _ in range(5):
            found.append(model.loss_gradient(x, y)[1])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20 and all(np.array_equal(f, expected) for f in found)
    assert model.counter.gradients == 30 * 21
    assert all(p.requires_grad for p in model.module.parameters())


def test_black_box() -> None:
    x, y = inputs(6)
    box = CallableModel(network().logits)
    assert box.input_shape is None and not box.can_grad
    np.testing.assert_array_equal(box.logits(x), network().logits(x))
    assert box.input_shape == SHAPE and box.num_classes == K and box.counter.queries == 6
    assert box.provenance["outputs"] == "logits"
    for ask in (lambda: box.loss_gradient(x, y), lambda: box.gradient(x, lambda z: z.sum(axis=1))):
        with pytest.raises(UnsupportedError, match="black box"):
            ask()
    with pytest.raises(UnsupportedError, match="black box"):
        box.activations(x)
    logits, layers = box.tapped(x)
    assert layers == {} and logits.shape == (6, K)


def test_black_box_gradient_above_the_batch_size() -> None:
    box = CallableModel(network().logits, batch_size=2)
    with pytest.raises(UnsupportedError, match="black box"):
        box.gradient(inputs(6)[0], lambda z: z.sum(axis=1))


def test_black_box_of_probabilities() -> None:
    x, _ = inputs(6)
    p = softmax(network().logits(x))
    box = CallableModel(lambda v: softmax(network().logits(v)))
    np.testing.assert_allclose(box.logits(x), np.log(p), rtol=1e-4, atol=1e-6)
    assert "probabilities" in box.provenance["outputs"]
    # Zeros have no logarithm, but a model that is sure has them.
    sure = CallableModel(lambda v: np.eye(K)[np.zeros(len(v), int)])
    assert np.isfinite(sure.logits(x)).all() and (sure.predict(x) == 0).all()


def test_black_box_before_its_first_input() -> None:
    box = CallableModel(network().logits)
    with pytest.raises(InvalidArgument, match="state num_classes="):
        box.logits(np.zeros((0, *SHAPE), np.float32))
    with pytest.raises(InvalidArgument, match="state input_shape="):
        _ = CallableModel(network().logits).fingerprint


def test_black_box_fingerprint() -> None:
    def box(seed: int) -> CallableModel:
        inner = ModuleModel(linear(seed), input_shape=SHAPE)
        return CallableModel(inner.logits, input_shape=SHAPE, name="box")

    assert box(0).fingerprint == box(0).fingerprint != box(1).fingerprint
    assert box(0).counter.queries == 0


@pytest.mark.parametrize("output", [np.zeros((3, 2, 2)), np.zeros((2, 2)), np.array([["a", "b"]] * 3)])
def test_black_box_output_of_another_shape(output: np.ndarray) -> None:
    with pytest.raises(InvalidArgument, match=r"expected logits \(3, classes\)"):
        CallableModel(lambda x: output).logits(inputs(3)[0])


def test_repr_says_what_it_is() -> None:
    model: Model = network(bounds=Bounds(0, 2), name="net")
    assert repr(model) == "ModuleModel('net', input_shape=(2, 3, 4), num_classes=5, bounds=(0.0, 2.0))"
