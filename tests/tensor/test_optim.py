"""Optimisers against trajectories worked out by hand, exact resume, and refused states."""

import math

import numpy as np
import pytest

from armour.errors import CheckpointError, InvalidArgument
from armour.tensor import Tensor, cross_entropy, nn, optim, schedules


def parameter(*values, dtype=np.float64):
    return nn.Parameter(np.array(values, dtype))


def follow(make, gradients, start=(1.0, -2.0)):
    """Values after each step from `start` with the given gradients (one number for both coordinates)."""
    p = parameter(*start)
    opt = make([p])
    path = []
    for g in gradients:
        opt.step([np.array([g, 2 * g])])
        path.append(p.data.copy())
    return path


def test_sgd_by_hand():
    path = follow(lambda p: optim.SGD(p, 0.1), [1.0, -2.0])
    np.testing.assert_allclose(path, [[0.9, -2.2], [1.1, -1.8]])


def test_momentum_by_hand():
    # velocity: 1, then 0.5 * 1 + 2 = 2.5, then 0.5 * 2.5 + 0 = 1.25
    path = follow(lambda p: optim.SGD(p, 0.1, momentum=0.5), [1.0, 2.0, 0.0])
    np.testing.assert_allclose([v[0] for v in path], [0.9, 0.65, 0.525])


def test_nesterov_by_hand():
    # step: g + 0.5 * velocity = 1.5, then 2 + 0.5 * 2.5 = 3.25
    path = follow(lambda p: optim.SGD(p, 0.1, momentum=0.5, nesterov=True), [1.0, 2.0])
    np.testing.assert_allclose([v[0] for v in path], [0.85, 0.525])


def test_sgd_weight_decay_by_hand():
    # gradient: 1 + 0.1 * value
    path = follow(lambda p: optim.SGD(p, 0.1, weight_decay=0.1), [1.0, 1.0])
    np.testing.assert_allclose([v[0] for v in path], [0.89, 0.7811])


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_by_the_paper(decoupled):
    # Algorithm 1 of the paper in plain numbers.
    lr, b1, b2, eps, decay = 0.1, 0.9, 0.99, 1e-8, 0.05
    kind = optim.AdamW if decoupled else optim.Adam
    path = follow(lambda p: kind(p, lr, (b1, b2), eps, decay), [1.0, -3.0, 0.5])
    value = m = v = None
    value, m, v = 1.0, 0.0, 0.0
    for t, (g, got) in enumerate(zip([1.0, -3.0, 0.5], path, strict=True), start=1):
        if decoupled:
            value -= lr * decay * value
        else:
            g += decay * value
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        value -= lr * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + eps)
        assert got[0] == pytest.approx(value, rel=1e-12)


def test_first_adam_step_is_lr_whatever_the_scale():
    path = follow(lambda p: optim.Adam(p, 0.1), [1e-4])
    np.testing.assert_allclose(path[0], [0.9, -2.1], rtol=1e-3)


def test_updates_in_place_and_skips_none():
    a, b = parameter(1.0), parameter(2.0)
    array = a.data
    opt = optim.Adam([a, b], 0.1)
    opt.step([np.array([1.0]), None])
    assert a.data is array and array[0] < 1.0 and b.data[0] == 2.0
    assert opt.steps == {"0": 1, "1": 0}
    a.grad, b.grad = None, Tensor(np.array([1.0]))
    opt.step()
    assert opt.steps == {"0": 1, "1": 1}
    opt.zero_grad()
    assert b.grad is None
    opt.step({"1": np.array([1.0])})
    assert opt.steps == {"0": 1, "1": 2}


def test_scalar_parameters():
    for kind in (optim.SGD, optim.Adam, optim.AdamW):
        p = nn.Parameter(np.array(1.0))
        kind([p], 0.1).step([np.array(1.0)])
        assert p.shape == () and p.data < 1.0


def test_float32_stays_float32():
    for make in (lambda p: optim.SGD(p, 0.1, 0.9, True, 1e-4), lambda p: optim.AdamW(p, 0.1)):
        p = parameter(1.0, 2.0, dtype=np.float32)
        opt = make([p])
        opt.step([np.ones(2, np.float32)])
        assert p.data.dtype == np.float32 and all(
            v.dtype == np.float32 for s in opt.state.values() for v in s.values()
        )


# -- resume ----------------


def make_training(make_optimizer):
    stream = np.random.default_rng(3)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False, rng=stream),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.2, rng=stream),
        nn.Linear(4 * 36, 3, rng=stream),
    )
    return net, make_optimizer(net.named_parameters())


def train(net, opt, x, y, steps):
    rate = schedules.warm_up(schedules.cosine(0.05, 12), 3)
    losses = []
    for i in steps:
        opt.lr = rate(i)
        net.zero_grad()
        loss = cross_entropy(net(Tensor(x[i::4])), y[i::4]).mean()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, 0.1),
        lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
        lambda p: optim.Adam(p, 0.1),
        lambda p: optim.AdamW(p, 0.1),
    ],
    ids=["sgd", "nesterov", "adam", "adamw"],
)
def test_resume_is_exact(make, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((48, 1, 8, 8)).astype(np.float32), rng.integers(0, 3, 48)
    net, opt = make_training(make)
    first = train(net, opt, x, y, range(5))
    weights, state, streams = tmp_path / "w.npz", tmp_path / "o.npz", net.rng_state()
    np.savez(weights, **net.state_dict())
    np.savez(state, **opt.state_dict())
    whole = first + train(net, opt, x, y, range(5, 12))
    assert np.mean(whole[-3:]) < np.mean(whole[:3])  # it does learn

    again, opt_again = make_training(make)
    again[0].weight.data += 1  # everything must come from the files
    with np.load(weights, allow_pickle=False) as w, np.load(state, allow_pickle=False) as s:
        again.load_state_dict(dict(w))
        opt_again.load_state_dict(dict(s))
    again.load_rng_state(streams)
    assert first + train(again, opt_again, x, y, range(5, 12)) == whole
    for name, value in net.state_dict().items():
        assert (again.state_dict()[name] == value).all(), name
    for name, value in opt.state_dict().items():
        assert (opt_again.state_dict()[name] == value).all(), name


def test_state_before_the_first_step():
    opt = optim.Adam([parameter(1.0)], 0.1)
    assert set(opt.state_dict()) == {"lr", "steps.0"}
    fresh = optim.Adam([parameter(1.0)], 0.5)
    fresh.load_state_dict(opt.state_dict())
    assert fresh.lr == 0.1 and fresh.state == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("lr"), "'lr'"),
        (lambda s: s.update(lr=np.array(float("nan"))), "below 0"),
        (lambda s: s.update(lr=np.array([0.1])), "'lr'"),
        (lambda s: s.update({"steps.0": np.array(-1)}), "below 0"),
        (lambda s: s.update({"steps.0": np.array(1.5)}), "'steps.0'"),
        (lambda s: s.pop("mean.0"), "'mean.0'"),
        (lambda s: s.update({"mean.0": np.zeros(3)}), "'mean.0'"),
        (lambda s: s.update({"mean.0": np.array(["a", "b"])}), "'mean.0'"),
        (lambda s: s.update({"velocity.0": np.zeros(2)}), "'velocity.0'"),
    ],
)
def test_refused_states(change, message):
    opt = optim.Adam([parameter(1.0, 2.0)], 0.1)
    opt.step([np.ones(2)])
    state = opt.state_dict()
    change(state)
    fresh = optim.Adam([parameter(1.0, 2.0)], 0.3)
    with pytest.raises(CheckpointError, match=message):
        fresh.load_state_dict(state)
    assert fresh.lr == 0.3 and not fresh.state


def test_refused_arguments():
    p = parameter(1.0)
    for bad, message in [
        (lambda: optim.SGD([], 0.1), "at least one"),
        (lambda: optim.SGD([p, p], 0.1), "twice"),
        (lambda: optim.SGD([np.zeros(2)], 0.1), "parameters"),
        (lambda: optim.SGD([p], -0.1), "lr"),
        (lambda: optim.SGD([p], 0.1, nesterov=True), "momentum"),
        (lambda: optim.Adam([p], 0.1, betas=(0.9, 1.0)), "betas"),
        (lambda: optim.SGD([p], 0.1).step([np.zeros(2)]), r"shape \(1,\)"),
        (lambda: optim.SGD([p], 0.1).step([]), "1 gradients"),
        (lambda: optim.SGD([p], 0.1).step({"x": np.zeros(1)}), "unknown parameters: x"),
    ]:
        with pytest.raises(InvalidArgument, match=message):
            bad()
