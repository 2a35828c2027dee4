"""Models that are no classifiers: answers of any shape behind the same contract, and no classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import armour
from armour import attacks
from armour.errors import InvalidArgument, UnsupportedError
from armour.model import CallableModel, ModuleModel
from armour.serving import Limits, Server
from armour.tensor import Tensor, nn

SHAPE = (3, 6, 7)


def network(*end: nn.Module) -> nn.Module:
    """(n, 1, 6, 7) to (n, 3, 6, 7)."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, rng=0), nn.Tanh(), nn.Conv2d(4, 3, 3, padding=1, rng=1), *end
    )


def module_model(**options: Any) -> ModuleModel:
    return ModuleModel(network(), input_shape=(1, 6, 7), output_shape=SHAPE, mean=0.5, std=0.25, **options)


def callable_model(**options: Any) -> CallableModel:
    net = network().eval()
    return CallableModel(
        lambda x: net(Tensor((x - 0.5) / 0.25)), input_shape=(1, 6, 7), output_shape=SHAPE, **options
    )


def batch(n: int) -> np.ndarray:
    return np.random.default_rng(0).random((n, 1, 6, 7), dtype=np.float32)


def by_hand(x: np.ndarray) -> np.ndarray:
    return np.asarray(network().eval()(Tensor((x - 0.5) / 0.25)).numpy())


every = pytest.mark.parametrize("make", [module_model, callable_model])


@every
def test_answers_are_the_networks_own_and_logits_are_those_flattened(make: Callable[..., Any]) -> None:
    model, x = make(batch_size=4), batch(9)
    answers = model.answers(x)
    assert answers.shape == (9, *SHAPE) and answers.dtype == np.float32
    np.testing.assert_allclose(answers, by_hand(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.logits(x), answers.reshape(9, -1))
    assert model.logits(x[:0]).shape == (0, 126) and model.answers(x[:0]).shape == (0, *SHAPE)
    assert (
        model.num_classes is None and model.output_shape == SHAPE and "output_shape=(3, 6, 7)" in repr(model)
    )
    assert model.provenance["outputs"] == "arrays (3, 6, 7), as they are"
    assert model.fingerprint == make().fingerprint
    assert model.counter.queries >= 18


@every
def test_what_speaks_of_classes_is_refused_in_one_line(make: Callable[..., Any], tmp_path: Path) -> None:
    model, x, y = make(), batch(3), np.zeros(3, np.int64)
    server = lambda: Server(model, name="m", limits=Limits())  # noqa: E731
    refused = [
        lambda: model.predict(x),
        lambda: model.accuracy(x, y),
        lambda: model.loss_gradient(x, y),
        lambda: model.check_labels(y, 3),
        lambda: attacks.Square().attack(model, x, y, 0.1),
        lambda: attacks.Square().attack(model, x, armour.criteria.Targeted(y), 0.1),
        lambda: armour.save(model, tmp_path / "m.ckpt"),
        server,
    ]
    for call in refused:
        with pytest.raises(UnsupportedError) as error:
            call()
        assert "\n" not in str(error.value)


@every
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 3}, "got both"),
        ({"class_names": ["a", "b"]}, "got both"),
        ({"outputs": "probabilities"}, "as they are, got outputs='probabilities'"),
    ],
)
def test_contradictions(make: Callable[..., Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        make(**options)


@pytest.mark.parametrize("shape", [(6, 7, 3), (126,), (3, 6), (3, 6, 8)])
def test_another_shape_than_stated(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match=r"expected outputs \(2, .* got output of shape \(2, 3, 6, 7\)"):
        ModuleModel(network(), input_shape=(1, 6, 7), output_shape=shape)
    model = CallableModel(by_hand, input_shape=(1, 6, 7), output_shape=shape)
    with pytest.raises(InvalidArgument, match="expected outputs"):
        model.logits(batch(2))
    for wrong in (0, "3"):
        with pytest.raises(InvalidArgument, match="output_shape"):
            CallableModel(by_hand, output_shape=wrong)


@pytest.mark.parametrize("plans", [True, False])
def test_gradients_are_those_of_finite_differences(plans: bool) -> None:
    model, x = module_model(batch_size=3), batch(5)
    model.compiled = plans
    weights = np.random.default_rng(1).normal(size=(5, 126)).astype(np.float32)
    value, gradient, logits = model.gradient(x, lambda z: (z * weights[: len(z)]).sum(axis=1))
    np.testing.assert_array_equal(logits, model.logits(x))
    np.testing.assert_allclose(value, (logits * weights).sum(axis=1), rtol=1e-4, atol=1e-4)
    for at in [(0, 0, 0, 0), (2, 0, 3, 4), (4, 0, 5, 6)]:
        up, down = x.copy(), x.copy()
        up[at] += 1e-2
        down[at] -= 1e-2
        step = float(up[at] - down[at])
        change = ((by_hand(up) - by_hand(down)).reshape(5, -1) * weights).sum(axis=1)[at[0]]
        assert gradient[at] == pytest.approx(change / step, rel=2e-2, abs=2e-2)


def test_probabilities_at_the_end_stay_what_they_are(tmp_path: Path) -> None:
    """The logarithm, which a classifier's logits are made by, would be another answer."""
    net = network(nn.Sigmoid())
    model = armour.wrap(net, input_shape=(1, 6, 7), output_shape=SHAPE)
    x = batch(4)
    np.testing.assert_allclose(model.answers(x), net(Tensor(x)).numpy(), rtol=1e-5)
    assert isinstance(model, ModuleModel)
    armour.export_onnx(model, tmp_path / "m.onnx")
    again = armour.load(tmp_path / "m.onnx")  # the shape is in the file
    assert again.output_shape == SHAPE and again.can_grad
    np.testing.assert_allclose(again.answers(x), model.answers(x), rtol=1e-5)
    with pytest.raises(armour.ArmourError, match=r"expected \(n, 3, 7, 6\)"):
        armour.load(tmp_path / "m.onnx", output_shape=(3, 7, 6))
    with pytest.raises(armour.ArmourError, match="reduce= or output_shape="):
        armour.load(tmp_path / "m.onnx", reduce="last")


def test_onnxruntime_gives_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = module_model()
    armour.export_onnx(model, tmp_path / "m.onnx")
    other = armour.load(tmp_path / "m.onnx", runtime="onnxruntime", bounds=(0, 1), output_shape=SHAPE)
    np.testing.assert_allclose(other.answers(batch(3)), model.answers(batch(3)), rtol=1e-4, atol=1e-5)
    assert not other.can_grad and other.num_classes is None


def test_a_scikit_learn_classifier_has_no_output_shape() -> None:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(InvalidArgument, match="leave out output_shape"):
        armour.wrap(fitted, output_shape=(2,))
