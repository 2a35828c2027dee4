"""What modules promise: names, state, modes, hooks, capture, freezing, containers."""

import threading

import numpy as np
import pytest

from armour.errors import CheckpointError, InvalidArgument
from armour.tensor import Tensor, cross_entropy, nn, no_grad

RNG = np.random.default_rng(0)


def draw(*shape, dtype=np.float64):
    return RNG.standard_normal(shape).astype(dtype)


class Block(nn.Module):
    """What a user writes: sub-modules in attributes and in a list, a parameter and a buffer of its own."""

    def __init__(self, channels, rng):
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, rng=rng)
        self.norms = [nn.BatchNorm2d(channels), nn.Identity()]
        self.gain = nn.Parameter(np.full((channels, 1, 1), 0.5, np.float32))
        self.offset = nn.Buffer(np.float32(0.25))

    def forward(self, x):
        y = self.conv(x)
        for norm in self.norms:
            y = norm(y)
        return (y * self.gain + x + self.offset).relu()


def network(rng=0):
    stream = np.random.default_rng(rng)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=stream),
        Block(4, stream),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 3, rng=stream),
    )


# -- names and state ----------------


def test_names():
    net = network()
    assert [n for n, _ in net.named_modules()] == [
        "",
        "0",
        "1",
        "1.conv",
        "1.norms.0",
        "1.norms.1",
        "2",
        "3",
        "4",
    ]
    assert [n for n, _ in net.named_buffers()] == [
        "1.offset",
        "1.norms.0.running_mean",
        "1.norms.0.running_var",
    ]
    assert [n for n, _ in net.named_parameters()] == [
        *(
            "0.weight",
            "0.bias",
            "1.gain",
            "1.conv.weight",
            "1.conv.bias",
            "1.norms.0.weight",
            "1.norms.0.bias",
        ),
        *("4.weight", "4.bias"),
    ]
    assert nn.leaf_names(net) == ["0", "1.conv", "1.norms.0", "1.norms.1", "2", "3", "4"]
    assert set(net.state_dict()) == {n for n, _ in net.named_parameters()} | {
        n for n, _ in net.named_buffers()
    }
    assert "Conv2d(in_channels=1, out_channels=4" in repr(net)


def test_shared_modules_and_tied_parameters_count_once():
    shared = nn.Linear(3, 3)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "0.bias"]
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    assert [n for n, _ in tied.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert set(tied.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_state_is_a_copy_and_loads_exactly():
    a, b = network(0), network(1)
    x = Tensor(draw(2, 1, 8, 8, dtype=np.float32))
    state = a.state_dict()
    b.load_state_dict(state)
    weights = b[0].weight
    assert (a.eval()(x).numpy() == b.eval()(x).numpy()).all()
    state["0.weight"][:] = 0
    assert a[0].weight.data.any() and b[0].weight.data.any()
    b.load_state_dict({"0.weight": state["0.weight"], "stranger": state["0.bias"]}, strict=False)
    assert b[0].weight is weights and not weights.data.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("4.bias"), "missing '4.bias'"),
        (lambda s: s.update(x=np.zeros(2)), "unknown 'x'"),
        (lambda s: s.update({"4.bias": np.zeros(4, np.float32)}), r"shape \(3,\) for '4.bias'"),
        (lambda s: s.update({"4.bias": np.zeros(3, np.int64)}), "float32 for '4.bias'"),
        (lambda s: s.update({"4.bias": np.array(["a", "b", "c"])}), "float32 for '4.bias'"),
        (lambda s: s.update({"4.bias": [0, 0, 0]}), "4.bias"),
    ],
)
def test_wrong_state_changes_nothing(change, message):
    net = network()
    before = net.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    change(state)
    with pytest.raises(CheckpointError, match=message):
        net.load_state_dict(state)
    assert all((value == before[name]).all() for name, value in net.state_dict().items())


def test_default_rng_and_explicit_rng():
    assert (nn.Linear(4, 4).weight.data == nn.Linear(4, 4, rng=0).weight.data).all()
    stream = np.random.default_rng(0)
    assert (nn.Linear(4, 4, rng=stream).weight.data != nn.Linear(4, 4, rng=stream).weight.data).any()


def test_skip_init_takes_no_memory():
    with nn.skip_init():
        layer = nn.Linear(2**20, 2**20)
        norm = nn.BatchNorm2d(2**30)
    assert layer.weight.shape == (2**20, 2**20) and not any(layer.weight.data.strides)
    assert norm.running_var.shape == (2**30,)
    with nn.skip_init():
        small = nn.Linear(2, 3)
    small.load_state_dict(nn.Linear(2, 3, rng=1).state_dict())
    assert (
        small.weight.data == nn.Linear(2, 3, rng=1).weight.data
    ).all() and small.weight.data.flags.writeable
    with nn.skip_init(), pytest.raises(InvalidArgument, match="2\\^48"):
        nn.Linear(2**30, 2**30)


# -- modes, hooks, capture, freezing ----------------


def test_modes():
    net = network()
    assert all(m.training for m in net.modules())
    net[1].eval()
    with nn.evaluating(net):
        assert not any(m.training for m in net.modules())
    assert net.training and not net[1].conv.training


def test_forward_hooks():
    net, seen = network(), []
    x = Tensor(draw(2, 1, 8, 8, dtype=np.float32))
    first = net[0].register_forward_hook(lambda m, inputs, out: seen.append((m, inputs[0], out.shape)))
    second = net[0].register_forward_hook(lambda m, inputs, out: out * 0.0)
    net(x)
    assert seen[0][0] is net[0] and seen[0][1] is x and seen[0][2] == (2, 4, 6, 6)
    assert not net[0](x).numpy().any()
    first.remove()
    second.remove()
    second.remove()
    assert len(seen) == 2 and net[0](x).numpy().any() and len(seen) == 2


def test_capture():
    net = network().eval()
    x = Tensor(draw(2, 1, 8, 8, dtype=np.float32))
    with nn.capture(net) as layers, no_grad():
        out = net(x)
        assert list(layers) == nn.leaf_names(net)
        assert layers["4"] is out.data and layers["2"].shape == (2, 4, 3, 3)
        net(Tensor(x.data[:1]))
        assert list(layers) == nn.leaf_names(net) and layers["4"].shape == (1, 3)
    net(x)
    assert layers["4"].shape == (1, 3)  # nothing is captured outside
    with nn.capture(net, ["4", "1.conv"]) as some:
        net(x)
    assert set(some) == {"4", "1.conv"}
    with pytest.raises(InvalidArgument, match=r"did you mean 1\.conv"), nn.capture(net, ["1.con"]):
        pass


def test_capture_nests_and_numbers_repeated_layers():
    shared = nn.ReLU()
    net = nn.Sequential(shared, nn.Identity(), shared)
    with nn.capture(net) as outer, nn.capture(net, ["1"]) as inner:
        net(Tensor(draw(2, 2)))
    assert list(outer) == ["0", "1", "0:2"] and list(inner) == ["1"]


def test_capture_is_per_thread():
    net = network().eval()
    x = Tensor(draw(2, 1, 8, 8, dtype=np.float32))
    with nn.capture(net) as layers:
        other = threading.Thread(target=lambda: net(x))
        other.start()
        other.join()
        assert not layers


def test_frozen():
    net = network()
    net[4].bias.requires_grad = False
    x = Tensor(draw(2, 1, 8, 8, dtype=np.float32), requires_grad=True)
    with nn.frozen(net), nn.frozen(net[0]):
        assert not any(p.requires_grad for p in net.parameters())
        cross_entropy(net(x), np.array([0, 1])).sum().backward()
    assert x.grad is not None and all(p.grad is None for p in net.parameters())
    assert [n for n, p in net.named_parameters() if not p.requires_grad] == ["4.bias"]
    assert net.requires_grad_(False) is net and not any(p.requires_grad for p in net.parameters())


def test_frozen_by_two_threads():
    net, entered, leave = network(), threading.Event(), threading.Event()

    def hold():
        with nn.frozen(net):
            entered.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    with nn.frozen(net):
        other.start()
        entered.wait(10)
    assert not any(p.requires_grad for p in net.parameters())  # the other thread still holds it
    leave.set()
    other.join()
    assert all(p.requires_grad for p in net.parameters())


def test_frozen_weight_gradient_is_not_computed(monkeypatch):
    from armour.tensor import OPS

    net = nn.Conv2d(2, 3, 3)
    x = Tensor(draw(1, 2, 5, 5, dtype=np.float32), requires_grad=True)
    called, row = [], OPS["conv2d_weight_grad"]
    monkeypatch.setattr(type(row), "__call__", _recording(type(row).__call__, called))
    with nn.frozen(net):
        net(x).sum().backward()
    assert "conv2d_input_grad" in called and "conv2d_weight_grad" not in called


def _recording(call, names):
    def wrapper(row, *inputs, **attrs):
        names.append(row.name)
        return call(row, *inputs, **attrs)

    return wrapper


# -- containers ----------------


def test_sequential_refuses_other_things():
    with pytest.raises(InvalidArgument, match="modules"):
        nn.Sequential(nn.ReLU(), lambda x: x)


def test_residual():
    x = Tensor(draw(2, 3))
    body = nn.Linear(3, 3).astype("float64")
    np.testing.assert_allclose(nn.Residual(body)(x).numpy(), body(x).numpy() + x.numpy())
    np.testing.assert_allclose(nn.Residual(body, body)(x).numpy(), 2 * body(x).numpy())
