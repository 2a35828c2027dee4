"""Leaf layers against naive NumPy, batch statistics, dropout, and rebuilding a layer from its config."""

import numpy as np
import pytest

from armour.errors import CheckpointError, InvalidArgument
from armour.tensor import Tensor, nn, no_grad
from armour.tensor.gradcheck import check_grads

RNG = np.random.default_rng(0)


def draw(*shape, dtype=np.float64):
    return RNG.standard_normal(shape).astype(dtype)


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


# -- configuration of leaf layers ----------------


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


# -- other arrays ----------------


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_and_optimisers_on_arrays_that_refuse_conversion(training):
    from armour.tensor import optim
    from tests.tensor.strict import StrictArray, register

    register()
    x, g = draw(6, 3, 4, 5, dtype=np.float32), draw(6, 3, 4, 5, dtype=np.float32)
    for make_optimizer in (lambda p: optim.SGD(p, 0.1, 0.9, True, 0.01), lambda p: optim.AdamW(p, 0.1)):
        states = []
        for make in (np.array, StrictArray):
            norm = nn.BatchNorm2d(3).train(training)
            for _, tensor in norm.named_tensors():
                tensor.data = make(tensor.data)
            opt = make_optimizer(norm.named_parameters())
            for _ in range(2):
                leaf = Tensor(make(x), requires_grad=True)
                norm.zero_grad()
                norm(leaf).backward(Tensor(make(g)))
                opt.step()
            assert type(leaf.grad.data) is type(leaf.data)
            states.append([leaf.grad.numpy(), *norm.state_dict().values(), *opt.state_dict().values()])
        for ours, theirs in zip(*states, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
