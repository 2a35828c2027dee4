"""Functions and modules with a backward of their own, in transforms, under observers and in tracing."""

import gc
import weakref

import numpy as np
import pytest

from armour.errors import InvalidArgument, UnsupportedError
from armour.tensor import (
    Tensor,
    clip,
    compile,
    custom_vjp,
    exp,
    floor,
    grad,
    hvp,
    ir,
    jacobian,
    log,
    nn,
    no_grad,
    per_sample_grad,
    vjp,
)  # fmt: skip
from armour.tensor.core import observers
from armour.tensor.custom import CustomVjp
from armour.tensor.gradcheck import check_grads
from tests.tensor.strict import StrictArray, register

RNG = np.random.default_rng(0)


def cube_with(rule):
    return custom_vjp(lambda x: x * x * x, rule)


true_cube = cube_with(lambda g, y, x: g * (x * x) * 3.0)
doubled = cube_with(lambda g, y, x: g * x * y)  # not the cube's derivative: x^4


def test_the_gradient_is_the_rule_and_its_derivative_the_rules():
    x = RNG.uniform(0.5, 2.0, 5)
    check_grads(true_cube, x, order=2, rng=np.random.default_rng(1))
    first = grad(lambda t: doubled(t).sum())
    np.testing.assert_allclose(first(x).numpy(), x**4, rtol=1e-14)
    # y stands in the rule, so its own derivative counts by the rule: d/dx (x y) = y + x x^4.
    np.testing.assert_allclose(grad(lambda t: first(t).sum())(x).numpy(), x**3 + x**5, rtol=1e-13)
    np.testing.assert_allclose(
        hvp(lambda t: doubled(t).sum(), x, np.ones(5)).numpy(), x**3 + x**5, rtol=1e-13
    )


def test_several_inputs_keywords_and_broadcast_gradients():
    @custom_vjp
    def scaled(x, w, n, *, power):
        return x * w**power

    calls = []

    @scaled.backward
    def _(g, y, x, w, n, *, power):
        calls.append(1)
        return g * w**power, (g * x * w ** (power - 1)) * power, None

    x, w = RNG.standard_normal((3, 4)), RNG.uniform(0.5, 1.5, 4)
    n = np.arange(3)
    check_grads(lambda a, b: scaled(a, b, n, power=3), x, w, order=2, rng=np.random.default_rng(1))
    calls.clear()
    a, b = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
    scaled(a, b, n, power=2).sum().backward()
    assert len(calls) == 1  # once for all inputs
    np.testing.assert_allclose(b.grad.numpy(), 2 * x.sum(0) * w, rtol=1e-14)
    jac = jacobian(lambda t: scaled(t, w, n, power=2).sum(axis=0))(x)
    np.testing.assert_allclose(jac.numpy(), np.broadcast_to(np.diag(w**2)[:, None, :], (4, 3, 4)), rtol=1e-14)


def test_one_call_used_many_times_and_repeated_passes():
    a = Tensor(np.array([2.0]), requires_grad=True)
    y = doubled(a)
    z = y * y + y
    z.backward(retain_graph=True)
    first = a.grad.item()
    assert first == pytest.approx((2 * 8 + 1) * 16)
    a.grad = None
    z.backward(np.array([3.0]))
    assert a.grad.item() == pytest.approx(3 * first)


def test_straight_through():
    rounded = custom_vjp(lambda x: floor(x * 255.0 + 0.5) / 255.0, lambda g, y, x: g)
    x = RNG.random((4, 3)).astype(np.float32)
    g = grad(lambda t: (rounded(t) * 2.0).sum())(x)
    assert (g.numpy() == 2).all() and g.dtype == np.float32
    samples = per_sample_grad(lambda p, v: (rounded(v * p) ** 2.0).sum())(Tensor(np.ones(3)), x)
    np.testing.assert_allclose(samples.numpy(), 2 * (np.floor(x * 255.0 + 0.5) / 255.0) * x, rtol=1e-5)


def test_reversed_gradient_and_clipping_of_gradients():
    reverse = custom_vjp(lambda x: x, lambda g, y, x: -g)
    bounded = custom_vjp(lambda x: x, lambda g, y, x: clip(g, -1.0, 1.0))
    x = np.array([0.5, 3.0])
    np.testing.assert_allclose(grad(lambda t: (reverse(t) ** 2).sum())(x).numpy(), -2 * x)
    np.testing.assert_allclose(grad(lambda t: (bounded(t) ** 2).sum())(x).numpy(), [1.0, 1.0])
    value, pull = vjp(bounded, x)
    assert (value.numpy() == x).all()
    np.testing.assert_allclose(pull(np.array([0.3, -7.0]))[0].numpy(), [0.3, -1.0])


def test_observers_see_one_step_that_can_be_replayed():
    seen = []

    def watch(row, inputs, attrs, out):
        seen.append((row, inputs, attrs, out))

    observers().append(watch)
    try:
        out = exp(true_cube(Tensor(np.array([1.0, 2.0])) + 0.0))
    finally:
        observers().remove(watch)
    assert [row.name for row, *_ in seen] == ["add", "custom:<lambda>", "exp"] and seen[-1][3] is out
    row, (x,), attrs, y = seen[1]
    assert (row.forward(np, x.data * 2, **attrs) == y.numpy() * 8).all()
    assert not observers()


def test_plans_replay_the_rule():
    rounded = custom_vjp(lambda x: floor(x * 4.0) / 4.0, lambda g, y, x: g * y)
    slope = compile(grad(lambda x: (rounded(x) * rounded(x)).sum()))
    for seed in (0, 1, 2):
        x = np.random.default_rng(seed).standard_normal(5).astype(np.float32)
        want = np.floor(x * 4) / 4
        np.testing.assert_allclose(slope(x).numpy(), 2 * want * want, rtol=1e-6)


def test_memory_is_freed_with_the_step():
    a = Tensor(np.ones(3), requires_grad=True)
    gc.disable()
    try:
        y = true_cube(a * 2.0)
        held = weakref.ref(y.node.inputs[0])
        y.sum().backward()
        del y
        assert held() is None
    finally:
        gc.enable()


def test_arrays_that_refuse_conversion():
    register()
    x = StrictArray(np.array([1.0, 2.0]))
    t = Tensor(x, requires_grad=True)
    y = doubled(t)
    y.backward(Tensor(StrictArray(np.ones(2))), create_graph=True)
    assert isinstance(y.data, StrictArray) and t.grad.numpy().tolist() == [1.0, 16.0]


def test_errors_name_the_function():
    @custom_vjp
    def half(x, y):
        return x * 0.5

    with pytest.raises(InvalidArgument, match=r"half has no backward yet; set one with @half\.backward"):
        half(1.0, 2.0)
    half.backward(lambda g, y, a, b: g)
    x = Tensor(np.ones(2), requires_grad=True)
    with pytest.raises(
        InvalidArgument, match=r"backward of half to return 2 gradients in a tuple.*got Tensor"
    ):
        half(x, x).sum().backward()
    with pytest.raises(InvalidArgument, match="at least one tensor"):
        half()
    with pytest.raises(InvalidArgument, match="return one Tensor, got tuple"):
        custom_vjp(lambda x: (x, x), lambda g, y, x: g)(x)
    with pytest.raises(InvalidArgument, match="expected functions"):
        CustomVjp(3)


# -- modules ----------------


class Scale(nn.Module):
    """x * weight, with a gradient for x alone, doubled."""

    def __init__(self):
        self.weight = nn.Parameter(np.array([2.0, 3.0]))

    def forward(self, x):
        return x * self.weight

    def bprop(self, x, *, out, dout):
        return dout * self.weight * 2.0


class Both(Scale):
    def bprop(self, x, *, out, dout):
        return (dout * self.weight * 2.0,), {"weight": dout * x * 10.0}


def test_modules_with_bprop():
    x = np.array([[1.0, 4.0]])
    module, leaf = Scale(), Tensor(x, requires_grad=True)
    module(leaf).sum().backward()
    assert leaf.grad.numpy().tolist() == [[4.0, 6.0]] and module.weight.grad is None
    module, leaf = Both(), Tensor(x, requires_grad=True)
    out = nn.Sequential(module, nn.ReLU())(leaf)
    out.sum().backward()
    assert leaf.grad.numpy().tolist() == [[4.0, 6.0]]
    assert module.weight.grad.numpy().tolist() == [10.0, 40.0]
    # Only the weight wants a gradient.
    module(Tensor(x)).sum().backward()
    assert module.weight.grad.numpy().tolist() == [20.0, 80.0]
    with no_grad():
        assert not module(leaf).requires_grad


def test_bprop_in_nested_transforms():
    class Square(nn.Module):
        def forward(self, x):
            return x * x

        def bprop(self, x, *, out, dout):
            return (dout * log(out),)

    square = Square()
    x = np.array([1.5, 2.5])
    first = grad(lambda t: square(t).sum())
    np.testing.assert_allclose(first(x).numpy(), np.log(x * x), rtol=1e-14)
    # d/dx log(out), where out counts by bprop again: log(out) / out.
    np.testing.assert_allclose(grad(lambda t: first(t).sum())(x).numpy(), np.log(x * x) / (x * x), rtol=1e-13)


def test_hooks_and_capture_see_a_module_with_bprop():
    net = nn.Sequential(Both(), nn.ReLU())
    with nn.capture(net) as outputs:
        net(Tensor(np.ones((2, 2))))
    assert list(outputs) == ["0", "1"] and outputs["0"].tolist() == [[2.0, 3.0]] * 2
    with pytest.raises(InvalidArgument, match="bprop of Wrong gives a gradient for 'w'"):

        class Wrong(Both):
            def bprop(self, x, *, out, dout):
                return (dout,), {"w": dout}

        Wrong()(Tensor(np.ones((1, 2)), requires_grad=True)).sum().backward()


def test_tracing_refuses_what_a_stored_network_would_lose():
    with pytest.raises(UnsupportedError, match="'Scale' has a backward of its own"):
        ir.trace(nn.Sequential(Scale().astype("float32")), (2,))
