"""Layers against naive NumPy, and what modules promise: names, state, modes, hooks, capture, freezing."""

import threading

import numpy as np
import pytest

from armour.errors import CheckpointError, InvalidArgument
from armour.tensor import Tensor, cross_entropy, nn, no_grad
from armour.tensor.gradcheck import check_grads

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


# -- layers against naive NumPy ----------------


def naive_conv(x, w, b, stride, padding, dilation, groups):
    x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    o, _, kh, kw = w.shape
    oh = (x.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (x.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.zeros((x.shape[0], o, oh, ow))
    per = o // groups
    for n, k, i, j in np.ndindex(out.shape):
        for c, u, v in np.ndindex(w.shape[1:]):
            source = x[
                n, k // per * w.shape[1] + c, i * stride[0] + u * dilation[0], j * stride[1] + v * dilation[1]
            ]
            out[n, k, i, j] += source * w[k, c, u, v]
    return out + b.reshape(1, -1, 1, 1)


@pytest.mark.parametrize(
    ("args", "stride", "padding", "dilation", "groups"),
    [((3, 4, 3), (1, 1), (1, 1), (1, 1), 1), ((4, 6, (3, 2)), (2, 1), (1, 0), (1, 2), 2)],
)
def test_conv2d(args, stride, padding, dilation, groups):
    layer = nn.Conv2d(*args, stride, padding, dilation, groups).astype("float64")
    layer.bias.data = draw(args[1])
    x = draw(2, args[0], 6, 7)
    want = naive_conv(x, layer.weight.data, layer.bias.data, stride, padding, dilation, groups)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), want, rtol=1e-10, atol=1e-12)
    assert layer.weight.shape == (args[1], args[0] // groups, *layer.kernel_size)


def test_linear():
    layer = nn.Linear(5, 3).astype("float64")
    layer.bias.data = draw(3)
    x = draw(2, 4, 5)
    np.testing.assert_allclose(
        layer(Tensor(x)).numpy(), x @ layer.weight.data.T + layer.bias.data, rtol=1e-12
    )
    assert nn.Linear(5, 3, bias=False).bias is None


def test_pooling_flatten_add():
    x = draw(2, 3, 4, 6)
    windows = x.reshape(2, 3, 2, 2, 3, 2)
    np.testing.assert_allclose(nn.MaxPool2d(2)(Tensor(x)).numpy(), windows.max((3, 5)))
    np.testing.assert_allclose(nn.AvgPool2d(2)(Tensor(x)).numpy(), windows.mean((3, 5)))
    np.testing.assert_allclose(nn.GlobalAvgPool2d()(Tensor(x)).numpy(), x.mean((2, 3)))
    np.testing.assert_allclose(nn.GlobalMaxPool2d()(Tensor(x)).numpy(), x.max((2, 3)))
    assert nn.MaxPool2d(3, 2, 1)(Tensor(x)).shape == (2, 3, 2, 3)
    assert nn.Flatten()(Tensor(x)).shape == (2, 72) and nn.Flatten(2)(Tensor(x)).shape == (2, 3, 24)
    np.testing.assert_allclose(nn.Add()(Tensor(x), Tensor(x), Tensor(x)).numpy(), 3 * x)
    assert nn.Identity()(x) is x


@pytest.mark.parametrize(
    ("layer", "want"),
    [
        (nn.ReLU(), lambda x: np.maximum(x, 0)),
        (nn.LeakyReLU(0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
        (nn.ELU(1.5), lambda x: np.where(x > 0, x, 1.5 * (np.exp(x) - 1))),
        (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
        (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
        (nn.Tanh(), np.tanh),
        (nn.Softplus(), lambda x: np.log(1 + np.exp(x))),
        (nn.Softmax(0), lambda x: np.exp(x) / np.exp(x).sum(0)),
        (nn.LogSoftmax(), lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True))),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Layer) else "",
)
def test_activations(layer, want):
    x = draw(4, 5)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), want(x), rtol=1e-10, atol=1e-12)


def test_gelu():
    from scipy.stats import norm

    x = draw(4, 5)
    np.testing.assert_allclose(nn.GELU()(Tensor(x)).numpy(), x * norm.cdf(x), rtol=1e-10)


# -- normalisation ----------------


@pytest.mark.parametrize(("layer", "shape"), [(nn.BatchNorm2d, (6, 3, 4, 5)), (nn.BatchNorm1d, (7, 3))])
def test_batch_norm_trains_and_evaluates(layer, shape):
    norm = layer(3, eps=1e-3, momentum=0.25).astype("float64")
    norm.weight.data, norm.bias.data = draw(3), draw(3)
    x = draw(*shape) * 2 + 1
    axes = (0, *range(2, x.ndim))
    column = (1, 3) + (1,) * (x.ndim - 2)
    mean, var = x.mean(axes), x.var(axes)
    w, b = norm.weight.data.reshape(column), norm.bias.data.reshape(column)
    want = (x - mean.reshape(column)) / np.sqrt(var.reshape(column) + 1e-3) * w + b
    np.testing.assert_allclose(norm(Tensor(x)).numpy(), want, rtol=1e-10, atol=1e-12)
    m = x.size // 3
    np.testing.assert_allclose(norm.running_mean.data, 0.25 * mean, rtol=1e-10)
    np.testing.assert_allclose(norm.running_var.data, 0.75 + 0.25 * var * m / (m - 1), rtol=1e-10)
    norm.eval()
    kept = norm.running_mean.data, norm.running_var.data
    want = (x - kept[0].reshape(column)) / np.sqrt(kept[1].reshape(column) + 1e-3) * w + b
    np.testing.assert_allclose(norm(Tensor(x)).numpy(), want, rtol=1e-10, atol=1e-12)
    with no_grad():
        np.testing.assert_allclose(norm(Tensor(x)).numpy(), want, rtol=1e-10, atol=1e-12)
    assert norm.running_mean.data is kept[0] and norm.running_var.data is kept[1]


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_gradients(training):
    norm = nn.BatchNorm2d(2).astype("float64").train(training)
    norm.running_mean.data, norm.running_var.data = draw(2), draw(2) ** 2 + 0.5

    def apply(x, weight, bias):
        norm.weight, norm.bias = weight, bias
        return norm(x)

    check_grads(apply, draw(3, 2, 2, 2), draw(2), draw(2), order=2, rng=np.random.default_rng(1))


def test_batch_norm_keeps_digits_far_from_zero():
    x = (draw(64, 2, 8, 8) + 1000.0).astype(np.float32)
    out = nn.BatchNorm2d(2)(Tensor(x)).numpy().astype(np.float64)
    exact = x.astype(np.float64)
    exact = (exact - exact.mean((0, 2, 3), keepdims=True)) / exact.std((0, 2, 3), keepdims=True)
    assert abs(out - exact).max() < 1e-3


def test_batch_norm_blocks_agree():
    # Larger than one block of the fused row, and not a multiple of it.
    x, g = draw(37, 8, 16, 17, dtype=np.float32), draw(37, 8, 16, 17, dtype=np.float32)
    norm, exact = nn.BatchNorm2d(8), nn.BatchNorm2d(8).astype("float64")
    results = []
    for layer, dtype in ((norm, np.float32), (exact, np.float64)):
        leaf = Tensor(x.astype(dtype), requires_grad=True)
        out = layer(leaf)
        out.backward(g.astype(dtype))
        results.append((out.numpy(), leaf.grad.numpy(), layer.weight.grad.numpy(), layer.bias.grad.numpy()))
    for ours, want in zip(*results, strict=True):
        np.testing.assert_allclose(ours, want, rtol=1e-4, atol=1e-4 * abs(want).max())


def test_batch_norm_refuses_and_accepts_edge_batches():
    norm = nn.BatchNorm2d(2)
    assert norm(Tensor(np.zeros((0, 2, 3, 3), np.float32))).shape == (
        0,
        2,
        3,
        3,
    )  # Poisson sampling yields these
    assert (norm.running_mean.data == 0).all()
    with pytest.raises(InvalidArgument, match="larger batch"):
        norm(Tensor(np.zeros((1, 2, 1, 1), np.float32)))
    with pytest.raises(InvalidArgument, match="2 channels"):
        norm(Tensor(np.zeros((1, 3, 1, 1), np.float32)))


def test_layer_norm_and_group_norm():
    x = draw(2, 4, 3, 5)
    norm = nn.LayerNorm((3, 5)).astype("float64")
    norm.weight.data, norm.bias.data = draw(3, 5), draw(3, 5)
    centred = x - x.mean((2, 3), keepdims=True)
    want = centred / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5) * norm.weight.data + norm.bias.data
    np.testing.assert_allclose(norm(Tensor(x)).numpy(), want, rtol=1e-10, atol=1e-12)
    group = nn.GroupNorm(2, 4).astype("float64")
    group.weight.data, group.bias.data = draw(4), draw(4)
    split = x.reshape(2, 2, 30)
    normal = (split - split.mean(2, keepdims=True)) / np.sqrt(split.var(2, keepdims=True) + 1e-5)
    want = normal.reshape(x.shape) * group.weight.data.reshape(-1, 1, 1) + group.bias.data.reshape(-1, 1, 1)
    np.testing.assert_allclose(group(Tensor(x)).numpy(), want, rtol=1e-10, atol=1e-12)
    with pytest.raises(InvalidArgument, match="last axes"):
        norm(Tensor(draw(2, 5, 3)))


# -- dropout ----------------


def test_dropout():
    layer = nn.Dropout(0.25, rng=3)
    x = Tensor(np.ones((100, 100), np.float32))
    out = layer(x).numpy()
    assert set(np.unique(out)) == {np.float32(0), np.float32(4 / 3)}
    assert abs((out == 0).mean() - 0.25) < 0.02
    assert layer.eval()(x) is x
    assert nn.Dropout(0.0)(x) is x and (nn.Dropout(1.0)(x).numpy() == 0).all()


def test_dropout_streams():
    net = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5), nn.ReLU()).seed(5)
    x = Tensor(np.ones(64, np.float32))
    state = net.rng_state()
    assert sorted(state) == ["0", "1"]
    a, b = net[0](x).numpy(), net[1](x).numpy()
    assert (a != b).any()  # a stream each
    net.load_rng_state(state)
    assert (net[0](x).numpy() == a).all() and (net[1](x).numpy() == b).all()
    with pytest.raises(CheckpointError, match="missing '1'"):
        net.load_rng_state({"0": state["0"]})
    for hostile in ({"0": {}, "1": {}}, {"0": {"bit_generator": "MT19937"}, "1": state["1"]}):
        with pytest.raises(CheckpointError, match="random state"):
            net.load_rng_state(hostile)


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


# -- configuration of leaf layers ----------------

LAYERS = [
    *(
        nn.Linear(3, 2, bias=False),
        nn.Conv2d(2, 4, (3, 1), 2, (1, 0), groups=2),
        nn.MaxPool2d(3, 2, 1),
        nn.AvgPool2d(2),
    ),
    *(
        nn.BatchNorm2d(3, eps=1e-3),
        nn.BatchNorm1d(3),
        nn.LayerNorm((2, 3)),
        nn.GroupNorm(2, 4),
        nn.Dropout(0.3),
    ),
    *(nn.Flatten(2), nn.Identity(), nn.Add(), nn.GlobalAvgPool2d(), nn.GlobalMaxPool2d()),
    *(
        nn.ReLU(),
        nn.LeakyReLU(0.2),
        nn.ELU(2.0),
        nn.GELU(),
        nn.SiLU(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.Softplus(),
    ),
    *(nn.Softmax(1), nn.LogSoftmax(1)),
]


def test_every_layer_is_rebuilt_from_its_config():
    import json

    assert sorted(type(layer).__name__ for layer in LAYERS) == nn.LAYERS.names()
    for layer in LAYERS:
        config = json.loads(json.dumps(layer.config()))
        again = type(layer).from_config(config)
        assert again.config() == layer.config()
        assert {n: p.shape for n, p in again.named_parameters()} == {
            n: p.shape for n, p in layer.named_parameters()
        }


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        (nn.Linear, {"in_features": 3}, "out_features"),
        (nn.Linear, {"in_features": 3, "out_features": 2.0}, "out_features of type int"),
        (nn.Linear, {"in_features": True, "out_features": 2}, "in_features"),
        (nn.Linear, {"in_features": 3, "out_features": 0}, "at or above 1"),
        (nn.Linear, {"in_features": 3, "out_features": 2, "rng": 1}, "no argument 'rng'"),
        (nn.Linear, {"in_features": 2**40, "out_features": 2}, "in_features"),
        (nn.Conv2d, {"in_channels": 3, "out_channels": 2, "kernel_size": [1, 2, 3]}, "kernel_size"),
        (nn.Conv2d, {"in_channels": 3, "out_channels": 2, "kernel_size": 3, "groups": 2}, "divide"),
        (nn.Conv2d, {"in_channels": 3, "out_channels": 2, "kernel_size": 3, "padding": -1}, "padding"),
        (nn.MaxPool2d, {"kernel_size": 2, "padding": 2}, "half the window"),
        (nn.Dropout, {"p": 1.5}, r"\[0, 1\]"),
        (nn.BatchNorm2d, {"num_features": 3, "eps": float("nan")}, "eps"),
        (nn.LayerNorm, {"normalized_shape": []}, "at least one axis"),
        (nn.ReLU, {"inplace": True}, "no argument 'inplace'"),
    ],
)
def test_hostile_configs(cls, config, message):
    with pytest.raises(InvalidArgument, match=message):
        cls.from_config(config)


def test_sequential_refuses_other_things():
    with pytest.raises(InvalidArgument, match="modules"):
        nn.Sequential(nn.ReLU(), lambda x: x)


def test_residual():
    x = Tensor(draw(2, 3))
    body = nn.Linear(3, 3).astype("float64")
    np.testing.assert_allclose(nn.Residual(body)(x).numpy(), body(x).numpy() + x.numpy())
    np.testing.assert_allclose(nn.Residual(body, body)(x).numpy(), 2 * body(x).numpy())
