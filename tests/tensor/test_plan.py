"""Plans give what the function itself gives: over the op table, the zoo, random graphs, and after changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour.errors import CaptureError
from armour.tensor import (
    OPS,
    Tensor,
    broadcast_to,
    compile,
    cross_entropy,
    grad,
    max_pool2d,
    nn,
    no_grad,
    optim,
    use_kernels,
    use_plans,
    zoo,
)
from armour.tensor.autodiff import value_and_grad
from armour.tensor.module import frozen
from armour.tensor.op import Case, Op
from armour.tensor.plan import Plan
from tests.tensor.test_op_table import cases, differentiable, samples


def single(row: Op, case: Case, seed: int = 0) -> list[np.ndarray]:
    return [a.astype(np.float32) if a.dtype == np.float64 else a for a in samples(row, case, seed)]


def close(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    if ours.size:
        scale = max(1.0, float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0)))
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * scale)


STATED = ("cast", "one_hot")  # make float64 in an example of theirs, as they are told


@pytest.mark.parametrize(("row", "case"), cases())
def test_every_row_and_its_gradients_as_a_plan(row: Op, case: Case) -> None:
    first, second = single(row, case), single(row, case, seed=1)
    wanted = [] if row.name in STATED else differentiable(row, first)

    def run(*inputs: Tensor) -> Any:
        out = row(*inputs, **case.attrs)
        if not wanted:
            return (out,)
        leaves = [Tensor(t.data, requires_grad=i in wanted) for i, t in enumerate(inputs)]
        with_history = row(*leaves, **case.attrs)
        weight = Tensor(np.full(with_history.shape, 0.7, np.float32))
        with_history.backward(weight)
        return (out, *(leaves[i].grad for i in wanted if leaves[i].grad is not None))

    captured = compile(run)
    for inputs in (first, second, first):
        tensors = [Tensor(a) for a in inputs]
        for ours, theirs in zip(captured(*tensors), run(*tensors), strict=True):
            close(ours.numpy(), theirs.numpy())
    assert len(captured) == 1


def images(name: str, n: int, seed: int = 0) -> np.ndarray:
    shape = (1, 28, 28) if name in ("mlp", "lenet5") else (3, 32, 32)
    return np.random.default_rng(seed).random((n, *shape), dtype=np.float32)


def network(name: str) -> nn.Module:
    net = zoo.build(name, images(name, 1).shape[1:], 10, rng=3).eval()
    rng = np.random.default_rng(4)
    for key, buffer in net.named_buffers():  # fresh statistics would make batch normalisation the identity
        low, high = (0.5, 1.5) if key.endswith("var") else (-0.3, 0.3)
        buffer.data = rng.uniform(low, high, buffer.shape).astype(np.float32)
    return net


def input_gradient(net: nn.Module) -> Any:
    def run(x: Tensor, y: Tensor) -> Any:
        with frozen(net):
            return value_and_grad(lambda leaf: cross_entropy(net(leaf), y).sum())(x)

    return run


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("name", zoo.SMALL)
def test_every_network_forward_and_input_gradient(name: str, n: int) -> None:
    net, y = network(name), np.arange(n)
    forward = compile(net)
    for seed in (1, 2):
        x = images(name, n, seed)
        with no_grad():
            close(forward(x).numpy(), net(Tensor(x)).numpy())
    assert len(forward) == 1
    # In float64, where rounding decides no relu and no maximum.
    net.astype("float64")
    run = input_gradient(net)
    captured = compile(run)
    for seed in (1, 2):
        wide = images(name, n, seed).astype(np.float64)
        for ours, theirs in zip(captured(wide, y), run(Tensor(wide), Tensor(y)), strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", zoo.SMALL)
def test_input_gradients_of_float32(name: str) -> None:
    net, y = network(name), np.arange(4)
    run = input_gradient(net)
    captured = compile(run)
    for seed in (1, 2):
        x = images(name, 4, seed)
        for ours, theirs in zip(captured(x, y), run(Tensor(x), Tensor(y)), strict=True):
            # A relu or a maximum within rounding of a tie may fall otherwise; a sample or two show it.
            a, b = (t.numpy().reshape(-1).astype(np.float64) for t in (ours, theirs))
            assert np.linalg.norm(a - b) <= 0.02 * np.linalg.norm(b)


@pytest.mark.parametrize("name", zoo.SMALL)
def test_a_training_step(name: str) -> None:
    net, x, y = network(name).train(), images(name, 6), np.arange(6)
    names = [key for key, _ in net.named_parameters()]

    def step(x: Tensor, y: Tensor) -> Any:
        net.zero_grad()
        loss = cross_entropy(net(x), y)
        loss.mean().backward()
        grads = {key: p.grad for key, p in net.named_parameters()}
        net.zero_grad()
        return loss, grads

    start = net.state_dict()
    captured, results = compile(step), []
    for run in (captured, step):
        net.load_state_dict(start)
        optimiser = optim.SGD(net.named_parameters(), lr=0.05)
        losses = []
        for _ in range(3):
            loss, grads = run(Tensor(x), Tensor(y))
            assert list(grads) == names
            optimiser.step({key: g for key, g in grads.items()})
            losses.append(loss.numpy())
        results.append((losses, net.state_dict()))
    (ours, state), (theirs, other) = results
    close(np.stack(ours), np.stack(theirs), 1e-4)
    for key in state:  # running statistics too: the plan carries out effects once for each run
        close(state[key], other[key], 1e-3)
    assert not np.allclose(ours[0], ours[-1])


# -- what changes between runs ----------------


def test_weights_are_read_anew_when_written_to_replaced_or_loaded() -> None:
    conv, norm, linear = nn.Conv2d(2, 4, 3, rng=0), nn.BatchNorm2d(4), nn.Linear(36, 3, rng=0)
    net = nn.Sequential(conv, norm, nn.ReLU(), nn.Flatten(), linear).eval()
    x = np.random.default_rng(0).random((2, 2, 5, 5), dtype=np.float32)
    captured = compile(net)
    before = captured(x).numpy()

    def check() -> None:
        with no_grad():
            close(captured(x).numpy(), net(Tensor(x)).numpy())

    check()
    conv.weight.data[0, 0, 0, 0] += 1.0
    check()
    assert not np.allclose(before, captured(x).numpy())
    linear.weight.data[...] *= 2
    check()
    linear.weight.data = linear.weight.data * -1
    check()
    linear.weight.data = linear.weight.data + 1
    check()
    norm.running_var.data = norm.running_var.data * 3
    check()
    net.load_state_dict({key: value * 0.5 + 0.1 for key, value in net.state_dict().items()})
    check()


def test_mode_and_parts_of_a_module_are_part_of_the_key() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.norm, self.act = nn.BatchNorm2d(3), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.act(self.norm(x))
            return out

    net = Net().eval()
    x = np.random.default_rng(0).standard_normal((4, 3, 2, 2)).astype(np.float32)
    captured = compile(net)
    assert captured(x).numpy().min() == 0
    net.act = nn.Identity()
    assert captured(x).numpy().min() < 0
    evaluated = captured(x).numpy()
    net.train()
    assert not np.allclose(captured(x).numpy(), evaluated)
    net.eval()
    with no_grad():
        close(captured(x).numpy(), net(Tensor(x)).numpy())


def test_settings_and_parts_in_lists_and_dicts_are_noticed() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.parts = [nn.Linear(4, 4, rng=1), nn.ReLU()]
            self.named = nn.ModuleDict({"last": nn.Tanh()})
            self.scale = 2.0

        def forward(self, x: Tensor) -> Tensor:
            for part in self.parts:
                x = part(x)
            return self.named["last"](x) * self.scale  # type: ignore[no-any-return]

    net = Net().eval()
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    captured = compile(net)
    results = [captured(x).numpy()]

    def check() -> None:
        with no_grad():
            close(captured(x).numpy(), net(Tensor(x)).numpy())
        assert not any(np.allclose(captured(x).numpy(), other) for other in results)
        results.append(captured(x).numpy())

    net.parts[1] = nn.Identity()
    check()
    net.scale = -3.0
    check()
    net.named["last"] = nn.Sigmoid()
    check()
    net.parts.append(nn.Softplus())
    check()


def test_attributes_that_forward_itself_sets_do_not_make_it_captured_again() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.linear, self.calls = nn.Linear(4, 3, rng=0), 0
            self.last: Any = None

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.last = self.linear(x)
            out: Tensor = self.last
            return out

    net = Net().eval()
    captured, x = compile(net), np.ones((2, 4), np.float32)
    for _ in range(5):
        captured(x)
    assert net.calls == 2


def test_results_are_the_callers_own_and_a_plans_memory_is_not() -> None:
    captured = compile(lambda x: x * 2.0)
    first, second = captured(np.ones(3, np.float32)), captured(np.zeros(3, np.float32))
    assert first.numpy().tolist() == [2.0] * 3 and second.numpy().tolist() == [0.0] * 3
    plan = captured.plan(np.ones(3, np.float32))
    assert plan.run(np.ones(3, np.float32))[0] is plan.run(np.zeros(3, np.float32))[0]


def test_dropout_draws_again_at_each_run_and_goes_on_where_it_was() -> None:
    net = nn.Sequential(nn.Dropout(0.5, rng=7))
    twin = nn.Sequential(nn.Dropout(0.5, rng=7))
    x = np.ones((4, 50), np.float32)
    captured = compile(net)
    for _ in range(3):
        np.testing.assert_array_equal(captured(x).numpy(), twin(Tensor(x)).numpy())


# -- what cannot be captured ----------------


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x * 2.0 if x.sum() > 0 else x, "reads the numbers"),
        (lambda x: x * float(x.max()), "reads the numbers"),
        (lambda x: x + Tensor(np.sqrt(x.data)), "without tensor operations"),
        (lambda x: x[np.argsort(x.data)], "another path|computed from values"),
        (lambda x: x + 1.0 if x.data[0] > 0.69 else x - 1.0, "another path|another number"),
        (lambda x: x * np.float64([1.0, 2.0, 3.0]), "makes float64"),
        (lambda x: x.data, "returns tensors"),
    ],
)
def test_what_depends_on_values_is_refused(function: Any, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        compile(function)(np.array([0.7, 0.2, 0.9], np.float32))


def test_shapes_may_decide() -> None:
    captured = compile(lambda x: x * 2.0 if len(x) > 2 else x)
    assert captured(np.ones(3, np.float32)).numpy().tolist() == [2.0] * 3
    assert captured(np.ones(2, np.float32)).numpy().tolist() == [1.0] * 2
    assert len(captured) == 2


def test_gradients_pass_through_a_compiled_function_and_a_switch_turns_plans_off() -> None:
    captured = compile(lambda x: (x * x * x).sum())
    x = np.array([1.0, 2.0], np.float32)
    close(grad(captured)(x).numpy(), 3 * x * x)
    assert len(captured) == 0
    with use_plans(False):
        close(captured(x).numpy(), np.float32(9.0))
    assert len(captured) == 0
    captured(x)
    assert len(captured) == 1


# -- random graphs ----------------

UNARY = ("relu", "tanh", "sigmoid", "exp", "negative", "abs", "sin", "gelu", "softplus")
BINARY = ("add", "subtract", "multiply", "maximum", "minimum")


@st.composite
def graphs(draw: Any) -> list[tuple[str, int, int]]:
    size = draw(st.integers(1, 12))
    steps = []
    for i in range(size):
        name = draw(st.sampled_from(UNARY + BINARY))
        steps.append((name, draw(st.integers(0, i)), draw(st.integers(0, i))))
    return steps


@settings(max_examples=60, deadline=None)
@given(graphs(), st.sampled_from([(2, 3), (2, 3, 4, 4), (5,), ()]), st.integers(0, 5))
def test_random_graphs_forward_and_backward(steps: list[tuple[str, int, int]], shape: Any, seed: int) -> None:
    def forward(x: Tensor) -> Tensor:
        values = [x * 0.5]
        for name, a, b in steps:
            inputs = (values[a], values[b]) if name in BINARY else (values[a],)
            values.append(OPS["tanh"](OPS[name](*inputs)))
        return sum(values[1:], values[0])

    def run(x: Tensor) -> Any:
        return forward(x), grad(lambda t: forward(t).sum())(x)

    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    captured = compile(run)
    for scale in (1.0, -0.5):
        for ours, theirs in zip(
            captured(x * np.float32(scale)), run(Tensor(x * np.float32(scale))), strict=True
        ):
            close(ours.numpy(), theirs.numpy())


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)), st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)), st.booleans(),
)  # fmt: skip
def test_convolutions_of_every_geometry(
    n: int, c: int, o: int, kernel: Any, stride: Any, padding: Any, dilation: Any, relu: bool
) -> None:
    net = nn.Conv2d(c, o, kernel, stride, padding, dilation, rng=1)
    x = np.random.default_rng(0).standard_normal((n, c, 9, 8)).astype(np.float32)

    def run(x: Tensor) -> Any:
        def loss(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
            out = OPS["conv2d"](x, w, b, **attrs)
            return ((out.relu() if relu else out) * 0.3).sum() + (out * out).sum() * 0.01

        attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": 1}
        gradients = value_and_grad(loss, argnums=(0, 1, 2))(x, net.weight, net.bias)
        return gradients[0], *gradients[1]

    captured = compile(run)
    for ours, theirs in zip(captured(x), run(Tensor(x)), strict=True):
        close(ours.numpy(), theirs.numpy(), 3e-5)


def test_memory_is_used_again() -> None:
    net = network("resnet20")
    plan: Plan = compile(input_gradient(net)).plan(images("resnet20", 32), np.arange(32) % 10)
    made = sum(int(np.prod(v.shape)) * 4 for step in plan.program.steps for v in step.outs)
    assert plan.nbytes < made
    with use_kernels("numpy"):
        assert compile(net).plan(images("resnet20", 32)).nbytes < plan.nbytes


def test_a_function_keeps_the_plans_used_last_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("armour.tensor.compiled.MOST_PLANS", 3)
    captured = compile(lambda x: x * 2.0 + 1.0)
    arrays = [np.ones((n, 1000), np.float32) for n in range(1, 6)]
    plans = [captured.plan(a) for a in arrays]
    assert captured.plan(arrays[4]) is plans[4] and captured.plan(arrays[2]) is plans[2]
    assert captured.plan(arrays[0]) is not plans[0]
    monkeypatch.setattr("armour.tensor.compiled.MOST_MEMORY", 30_000)
    large = captured.plan(np.ones((9, 1000), np.float32))
    assert captured.plan(np.ones((9, 1000), np.float32)) is large, "the newest stays, however large"
    assert captured.plan(arrays[2]) is not plans[2]


def test_a_broadcast_that_spreads_nothing_may_be_written_over():
    def function(x):
        return broadcast_to(x * 2.0, (1, 1, 6)) - 1.0

    x = np.arange(6, dtype=np.float32).reshape(1, 6)
    planned = compile(function)
    for _ in range(2):
        np.testing.assert_array_equal(planned(x).numpy(), (x * 2 - 1)[None])


def test_pooling_comes_before_a_relu_that_nobody_else_needs() -> None:
    def alone(x: Any) -> Any:
        return max_pool2d((x * 2.0).relu(), 2)

    def shared(x: Any) -> Any:
        held = (x * 2.0).relu()
        return max_pool2d(held, 2), held

    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(np.float32) - 1
    x[0, 0, 2, 3], x[1, 2, 0, 0] = np.nan, np.inf
    for function, rows in ((alone, ["max_pool2d", "relu"]), (shared, ["relu", "max_pool2d"])):
        captured = compile(function)
        found, expected = captured(x), function(Tensor(x))
        names = [step.row.name for step in captured.recording(x).program.steps]
        assert [name for name in names if name in rows] == rows
        pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
        for ours, theirs in pairs:
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
