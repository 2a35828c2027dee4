"""Models that nobody here wrote: agreement with onnxruntime, gradients, and the command line.

`make clients` installs the packages; each test is skipped where its package is missing.
"""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from real_models import CLIENTS, Client, speech

import armour
from armour.cli.main import main
from armour.formats.onnx_import import run_model
from armour.tensor import Tensor, cross_entropy
from armour.tensor.core import no_grad

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is the reference; run `make clients`")


@cache
def opened(name: str) -> tuple[Client, Any, np.ndarray, np.ndarray]:
    """The client, its model, and its real inputs with labels."""
    client = CLIENTS[name]
    if client.path is None:
        pytest.skip(f"the package {client.package} is not installed; run `make clients`")
    x, y = client.inputs()
    return client, armour.load(client.path, **client.options), x, y


def reference(client: Client, model: Any, x: np.ndarray) -> np.ndarray:
    """What onnxruntime gives for x: (n, k) as the file has it, or (n,) of a sequence's last step."""
    session = onnxruntime.InferenceSession(str(client.path), providers=["CPUExecutionProvider"])
    name = client.options.get("input", session.get_inputs()[0].name)
    dtype = {"tensor(int32)": np.int32}.get(session.get_inputs()[0].type, np.float32)
    with no_grad():
        taken = model.preprocessing.apply(Tensor(x)).numpy().astype(dtype)
    if not client.rows:
        return np.asarray(session.run(None, {name: taken, **client.fixed})[0])
    return np.stack([session.run(None, {name: row, **client.fixed})[0][-1] for row in taken])


@pytest.mark.parametrize("name", CLIENTS)
def test_it_agrees_with_onnxruntime_on_real_inputs(name: str) -> None:
    client, model, x, y = opened(name)
    want = reference(client, model, x)
    found = np.exp(model.logits(x).astype(np.float64))  # logits are log-probabilities: all end in a softmax
    if want.ndim == 1:
        found, top = found[:, 1], want > 0.5
        np.testing.assert_array_equal(model.predict(x).astype(bool), top)
    else:
        np.testing.assert_array_equal(model.predict(x), want.argmax(axis=1))
    assert np.abs(found - want).max() <= 1e-4 * np.abs(want).max()
    assert (model.predict(x) == y).mean() >= client.right, (model.predict(x), y)


def test_silero_hears_real_speech() -> None:
    client, model, _, _ = opened("silero-vad")
    x = speech()
    if x is None:
        pytest.skip("needs recordings: set ARMOUR_SPEECH to a folder of .wav files of 16 kHz")
    want = reference(client, model, x)
    assert np.abs(np.exp(model.logits(x).astype(np.float64))[:, 1] - want).max() <= 1e-4
    assert (model.predict(x) == (want > 0.5)).all()
    assert model.predict(x).mean() > 0.6


@pytest.mark.parametrize("name", CLIENTS)
def test_run_model_agrees_with_onnxruntime(name: str) -> None:
    client, model, x, _ = opened(name)
    session = onnxruntime.InferenceSession(str(client.path), providers=["CPUExecutionProvider"])
    with no_grad():
        taken = model.preprocessing.apply(Tensor(x[:2])).numpy()
    first = session.get_inputs()[0]
    taken = (
        taken[0] if client.rows else taken.astype(np.int32 if first.type == "tensor(int32)" else np.float32)
    )
    want = session.run(None, {first.name: taken, **client.fixed})
    found = run_model(client.path, [taken, *client.fixed.values()])
    assert [a.shape for a in found] == [np.shape(a) for a in want]
    for ours, theirs in zip(found, want, strict=True):
        assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("name", [name for name, client in CLIENTS.items() if client.gradient])
def test_the_input_gradient_passes_a_directional_check(name: str) -> None:
    _, model, x, _ = opened(name)
    # Equal pixels make ties in max pooling, where there are several gradients: a little noise parts them.
    low, high = model.bounds
    dither = np.random.default_rng(1).random(x[:2].shape, np.float32) * ((high - low) / 256)
    x = np.clip(x[:2] + dither, low, high)
    y = 1 - np.minimum(model.predict(x), 1)  # a wrong class, so that the loss is not flat
    loss, gradient = model.loss_gradient(x, y)
    exact = copy.deepcopy(model.module).astype("float64")  # the same network, hardly rounded

    def losses(at: Tensor, row: int) -> Tensor:
        found: Tensor = cross_entropy(exact(model.preprocessing.apply(at)), y[row : row + 1])
        return found

    rng = np.random.default_rng(0)
    # Few kinks lie so close; the smaller step has fewer of them, and more rounding.
    steps = [h * (high - low) for h in (1e-9, 1e-10)]
    for row in range(len(x)):
        at = x[row : row + 1].astype(np.float64)
        leaf = Tensor(at, requires_grad=True)
        value = losses(leaf, row)
        value.sum().backward()
        assert leaf.grad is not None
        wide = leaf.grad.numpy()
        np.testing.assert_allclose(loss[row], value.numpy()[0], rtol=1e-3, atol=1e-4)
        # A few units are on the other side of their kink in single precision.
        assert np.linalg.norm(gradient[row] - wide[0]) <= 0.02 * np.linalg.norm(wide)
        for _ in range(3):
            v = rng.standard_normal(at.shape)
            along, apart = (wide * v).sum(), []
            for h in steps:
                with no_grad():
                    up, down = (losses(Tensor(at + s * h * v), row).numpy()[0] for s in (1, -1))
                apart.append(abs((up - down) / (2 * h) - along))
            assert min(apart) <= 1e-3 * np.linalg.norm(wide), (apart, along)


def test_bytes_have_no_gradient_and_say_so() -> None:
    _, model, x, y = opened("magika")
    assert not model.can_grad
    with pytest.raises(armour.errors.UnsupportedError, match="no gradient"):
        model.loss_gradient(x, y)


@pytest.mark.parametrize("name", CLIENTS)
def test_it_is_attacked_and_fuzzed_from_the_command_line(name: str, tmp_path: Any) -> None:
    client, model, x, y = opened(name)
    data = tmp_path / "real.npz"
    np.savez(data, x=x[:8], y=y[:8])
    common = ["--data", str(data), *client.flags, "--json"]
    width = model.bounds.high - model.bounds.low
    if client.gradient:
        budget = ["--attack", "pgd", "--steps", "5", "--epsilon", str(0.03 * width)]
        run = CliRunner().invoke(main, ["attack", str(client.path), *budget, *common])
        assert run.exit_code == 0, run.output
        told = json.loads(run.stdout)
        assert told["samples"] == 8 and told["clean_accuracy"] >= 0.5
    run = CliRunner().invoke(
        main, ["fuzz", str(client.path), "--executions", "200", "--corpus", str(tmp_path / "corpus"), *common]
    )
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["executions"] >= 200
