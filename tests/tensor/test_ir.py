"""From module to graph and back: same outputs, same training; what cannot be stored is refused by name."""

import copy
import json
import pickle

import numpy as np
import pytest

from armour.errors import CheckpointError, InvalidArgument, UnsupportedError
from armour.tensor import (
    Tensor,
    broadcast_to,
    concat,
    cross_entropy,
    flatten,
    ir,
    nn,
    no_grad,
    optim,
    where,
    zoo,
)
from armour.tensor.fused import batch_norm_train

RNG = np.random.default_rng(0)


def images(n, shape=(3, 8, 8)):
    return RNG.standard_normal((n, *shape)).astype(np.float32)


class Model(nn.Module):
    """Hand-written residual module with all a user may do: own weights, indexing, constants, sharing."""

    def __init__(self):
        stream = np.random.default_rng(1)
        self.conv = nn.Conv2d(3, 4, 3, padding=1, rng=stream)
        self.norm = nn.BatchNorm2d(4)
        self.shared = nn.ReLU()
        self.gain = nn.Parameter(np.full((4, 1, 1), 0.7, np.float32))
        self.shift = nn.Buffer(np.array([0.1, -0.2, 0.3, 0.4], np.float32))
        self.unused = nn.Linear(2, 2, rng=stream)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8 + 3, 5, rng=stream)

    def forward(self, x):
        y = self.shared(self.norm(self.conv(x)))
        y = self.shared(y * self.gain + self.shift.reshape(-1, 1, 1) + y[:, ::-1] / 2)
        y = where(y > 3.0, 3.0 + (y - 3.0) * 0.1, y)
        y = y.reshape(x.shape[0], 4, 2, 32).mean(axis=(3,))
        y = concat(
            [y.reshape(x.shape[0], 8), x.mean(axis=(2, 3)) * np.array([1.0, 2.0, 3.0], np.float32)], axis=1
        )
        return self.head(self.drop(y))


def rebuilt(module, shape=(3, 8, 8)):
    graph = ir.trace(module, shape)
    again = ir.GraphModule(ir.Graph.loads(graph.dumps()))
    again.load_state_dict(module.state_dict())
    return again.train(module.training)


ZOO = [(name, shape) for name in zoo.SMALL for shape in ((3, 8, 8), (1, 28, 28))]


@pytest.mark.parametrize(("make", "shape"), [(Model, (3, 8, 8)), *ZOO], ids=str)
def test_round_trip(make, shape):
    module = make() if make is Model else zoo.build(make, shape, 5)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.data = RNG.standard_normal(buffer.shape).astype(np.float32)
    module.eval()
    again = rebuilt(module, shape)
    assert set(again.state_dict()) == set(module.state_dict())
    assert {n for n, _ in again.named_parameters()} == {n for n, _ in module.named_parameters()}
    assert set(nn.leaf_names(again)) <= set(nn.leaf_names(module))
    for n in (0, 1, 7):
        x = images(n, shape)
        with nn.capture(module) as theirs, nn.capture(again) as ours, no_grad():
            assert (again(Tensor(x)).numpy() == module(Tensor(x)).numpy()).all()
        assert ours.keys() == theirs.keys() and all((ours[k] == theirs[k]).all() for k in ours)
    assert ir.trace(again, shape) is again.graph


@pytest.mark.parametrize(
    "make", [Model, lambda: zoo.build("resnet8", (3, 8, 8), 5)], ids=["model", "resnet8"]
)
def test_a_rebuilt_network_trains_like_the_original(make):
    module = make()
    again = rebuilt(module)
    for m in (module, again):
        m.seed(3)
    x, y = images(24), RNG.integers(0, 5, 24)
    for m in (module, again):
        opt = optim.SGD(m.named_parameters(), 0.05, momentum=0.9)
        for i in range(3):
            m.zero_grad()
            cross_entropy(m(Tensor(x[i::3])), y[i::3]).mean().backward()
            opt.step()
    ours, theirs = again.state_dict(), module.state_dict()
    # Nodes run in the same order, so the numbers are the same to the last bit but for the order of sums.
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5, err_msg=name)
    assert not np.array_equal(theirs["conv.weight" if "conv.weight" in theirs else "conv1.weight"], 0)


def test_json_is_stable_and_plain():
    graph = ir.trace(Model(), (3, 8, 8))
    text = graph.dumps()
    assert ir.Graph.loads(text).dumps() == text == ir.trace(Model(), (3, 8, 8)).dumps()
    assert ir.Graph.from_dict(json.loads(text)) == graph
    by_name = {node.name: node for node in graph.nodes}
    assert by_name["shared"].path == by_name["shared_2"].path == "shared"
    assert by_name["getitem"].attrs == {"index": (slice(None), slice(None, None, -1))}
    assert by_name["reshape_2"].attrs == {"shape": (-1, 4, 2, 32)}  # the batch size is left open
    assert {w.name: w.trainable for w in graph.weights} == {
        "gain": True, "shift": False, "unused.weight": True, "unused.bias": True,
    }  # fmt: skip
    assert [c.value.tolist() for c in graph.constants] == [[1.0, 2.0, 3.0]]


def test_several_inputs_and_outputs():
    class Two(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Linear(3, 2), nn.Linear(4, 2, rng=1)

        def forward(self, x, y):
            z = self.a(x) + self.b(y)
            return z, z.exp()

    module = Two()
    graph = ir.Graph.loads(ir.trace(module, [(3,), (4,)]).dumps())
    again = ir.GraphModule(graph)
    again.load_state_dict(module.state_dict())
    x, y = Tensor(images(5, (3,))), Tensor(images(5, (4,)))
    for ours, theirs in zip(again(x, y), module(x, y), strict=True):
        assert (ours.numpy() == theirs.numpy()).all()
    with pytest.raises(InvalidArgument, match="takes 2 inputs, got 1"):
        again(x)
    with pytest.raises(InvalidArgument, match=r"takes input_0 of shape \(n, 3\), got \(5, 4\)"):
        again(y, x)


def test_a_leaf_layer_alone():
    layer = nn.Linear(3, 2)
    again = rebuilt(layer, (3,))
    x = Tensor(images(2, (3,)))
    assert set(again.state_dict()) == {"weight", "bias"} and (again(x).numpy() == layer(x).numpy()).all()


def test_dropout_in_one_branch_stays_in_that_branch():
    # Dropout gives its own input in evaluation mode; the skip connection must not be dropped in training.
    class Skip(nn.Module):
        def __init__(self):
            self.drop = nn.Dropout(1.0)

        def forward(self, x):
            return self.drop(x) + x

    again = rebuilt(Skip(), (4,))
    x = images(3, (4,))
    assert (again(Tensor(x)).numpy() == x).all()


def test_trace_leaves_the_module_as_it_was():
    module = Model()
    module.norm.eval()
    state, streams = module.state_dict(), module.rng_state()
    ir.trace(module, (3, 8, 8))
    assert module.training and not module.norm.training
    assert all((v == state[k]).all() for k, v in module.state_dict().items())
    assert module.rng_state() == streams
    assert all(p.grad is None and p.requires_grad for p in module.parameters())


# -- what cannot be stored ----------------


class Function(nn.Module):
    def __init__(self, function, **members):
        self.function = function
        for name, member in members.items():
            setattr(self, name, member)

    def forward(self, x):
        return self.function(self, x)


GROWING = {
    "in broadcast_to": lambda m, x: (
        x + (x.mean(axis=0, keepdims=True) * 0 + 1).reshape(1, 4) * Tensor(np.ones((len(x), 1), np.float32))
    ),
    "in a slice": lambda m, x: x[: len(x)],
    "two lengths in reshape": lambda m, x: (x @ x.T).reshape(len(x), len(x), 1).mean(axis=1),
    "a large constant": lambda m, x: x + Tensor(np.full((len(x), 1000, 4), 0.5, np.float32)).mean(axis=1),
    "with a remainder": lambda m, x: x[1 : len(x)] if len(x) > 1 else x[1:],
}
"""Uses of the batch size that a stored network keeps, as times * n + plus."""


@pytest.mark.parametrize("name", GROWING)
def test_lengths_that_grow_with_the_batch(name):
    module = Function(GROWING[name])
    graph = ir.trace(module, (4,))
    again = ir.Graph.loads(graph.dumps())
    assert again == graph
    replica = ir.GraphModule(again)
    replica.load_state_dict(module.state_dict())
    for n in (7, 1, 2, 7):
        x = np.random.default_rng(n).standard_normal((n, 4)).astype(np.float32)
        np.testing.assert_array_equal(replica(Tensor(x)).numpy(), module(Tensor(x)).numpy())


SHARED = nn.Linear(4, 4)
REFUSED = {
    "batch size in an index array": (
        lambda m, x: x[np.arange(len(x))],
        r"getitem at 'getitem' has the batch size baked in: index=",
    ),
    "a square of the batch size": (
        lambda m, x: broadcast_to(x.sum(), (len(x) * len(x), 4)).sum(axis=0, keepdims=True) + x,
        "differ on a batch of 5",
    ),
    "path by batch size": (lambda m, x: x.relu() if len(x) == 2 else x.abs(), "another path"),
    "path by values": (lambda m, x: x.relu() if x.data.sum() > 0 else x.abs(), "values|another path"),
    "through numpy": (lambda m, x: x + np.sin(x.data), "depends on its input"),
    "through numpy, whole": (lambda m, x: Tensor(np.sin(x.data)), "not computed by tensor operations"),
    "detach": (lambda m, x: x * x.detach(), "gradients"),
    "a layer made in forward": (lambda m, x: nn.ReLU()(x), "made inside forward"),
    "a large constant": (
        lambda m, x: (
            (x.sum() + np.arange(5000, dtype=np.float32)).reshape(1, -1) + x.mean(axis=1, keepdims=True)
        ),
        "nn.Buffer",
    ),
    "a plain return": (lambda m, x: x.data, "returned ndarray"),
    "nothing traced": (lambda m, x: "logits", "returned str"),
    "an attribute that is no data": (
        lambda m, x: batch_norm_train(x, Tensor(np.ones(4)), Tensor(np.zeros(4)), 1e-5)[0],
        "'batch_norm_train' cannot be stored",
    ),
    "a layer called by keyword": (
        lambda m, x: m.relu(x=x),
        r"layer 'relu' \(ReLU\) must be called with tensors only",
    ),
    "random numbers": (
        lambda m, x: x * np.random.default_rng().random(4, dtype=np.float32),
        "depends on its input",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_stored(case):
    function, message = REFUSED[case]
    with pytest.raises(UnsupportedError, match=message):
        ir.trace(Function(function, relu=nn.ReLU()), (4,))


def test_ties_and_double_use_are_refused():
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    with pytest.raises(UnsupportedError, match=r"'0\.weight' and '1\.weight' are one tensor"):
        ir.trace(tied, (4,))
    both = Function(lambda m, x: m.layer(x) @ m.layer.weight, layer=nn.Linear(4, 4))
    with pytest.raises(UnsupportedError, match=r"'layer\.weight' is used outside its layer"):
        ir.trace(both, (4,))
    alone = Function(lambda m, x: x @ m.layer.weight, layer=nn.Linear(4, 4))
    assert {w.name for w in ir.trace(alone, (4,)).weights} == {"layer.weight", "layer.bias"}


def test_flatten_by_hand_is_stored():
    for function in (
        lambda m, x: x.reshape(len(x), -1),
        lambda m, x: flatten(x),
        lambda m, x: x.flatten(1),
        lambda m, x: x.reshape(-1, 6),
        lambda m, x: x.reshape(len(x) * 2, 3).sum(axis=1).reshape(len(x), 2),
    ):
        again = rebuilt(Function(function), (2, 3))
        assert len(again(Tensor(images(7, (2, 3))))) == 7


def test_user_subclass_of_a_layer_is_traced_inside():
    class Doubled(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2.0

    layer = Doubled(3, 2)
    again = rebuilt(nn.Sequential(layer), (3,))
    x = Tensor(images(2, (3,)))
    np.testing.assert_allclose(again(x).numpy(), layer(x).numpy(), rtol=1e-6)
    assert set(again.state_dict()) == {"0.weight", "0.bias"}


def test_outputs_without_gradient_and_integer_inputs():
    again = rebuilt(Function(lambda m, x: x.argmax(axis=1)), (4,))
    assert again(Tensor(np.eye(4, dtype=np.float32))).numpy().tolist() == [0, 1, 2, 3]
    again = rebuilt(Function(lambda m, x: x > 0), (4,))
    assert again(Tensor(np.eye(2, 4, dtype=np.float32))).numpy().sum() == 2
    graph = ir.trace(Function(lambda m, x: x * 3 + 1), (4,), dtype="int64")
    assert graph.nodes[0].inputs == ("input", 3)
    assert ir.GraphModule(graph)(np.arange(4).reshape(1, 4)).numpy().tolist() == [[1, 4, 7, 10]]


def test_names_do_not_collide():
    module = Function(
        lambda m, x: m.input(x) * m.multiply, input=nn.Linear(4, 4), multiply=nn.Parameter(np.ones(4))
    )
    module.astype("float32")
    graph = ir.trace(module, (4,))
    assert [v.name for v in graph.inputs] == ["input"] and graph.nodes[0].path == "input"
    names = [n.name for n in graph.nodes]
    assert names == ["input_2", "multiply_2"]
    assert set(rebuilt(module, (4,)).state_dict()) == {"input.weight", "input.bias", "multiply"}


# -- graph modules ----------------


@pytest.mark.parametrize(
    ("op", "attrs"),
    [
        ("pad", {"widths": ((0, 2**60), (0, 2**60))}),
        ("broadcast_to", {"shape": (2**62, 2**62)}),
        ("conv2d_input_grad", {"size": 3, "stride": None, "padding": 0, "dilation": 1, "groups": 1}),
        ("leaky_relu", {"slope": "steep"}),
        ("activation_grad", {"kind": "steep"}),
        ("sum", {"axis": ((0,),)}),
    ],
)
def test_a_node_that_cannot_run_is_one_clear_error(op, attrs):
    inputs = ("x", "x") if op in ("conv2d_input_grad", "activation_grad") else ("x",)
    graph = ir.Graph(
        inputs=(ir.Input(name="x", shape=(None, 4)),),
        nodes=(ir.Node(name="a", kind="op", type=op, inputs=inputs, attrs=attrs),),
        outputs=("a",),
    )
    with pytest.raises((InvalidArgument, CheckpointError), match="node 'a'"):
        ir.GraphModule(graph)(images(2, (4,)))


def test_weights_must_be_loaded():
    again = ir.GraphModule(ir.trace(zoo.build("lenet5"), (1, 28, 28)))
    with pytest.raises(InvalidArgument, match="load_state_dict"):
        again(images(1, (1, 28, 28)))


def test_errors_name_the_node():
    graph = ir.Graph(
        inputs=(ir.Input(name="x", shape=(None, 4)),),
        nodes=(
            ir.Node(name="a", kind="op", type="reshape", inputs=("x",), attrs={"shape": (-1, 3)}),
            ir.Node(name="b", kind="op", type="exp", inputs=("a",)),
        ),
        outputs=("b",),
    )
    module = ir.GraphModule(graph)
    assert module(images(3, (4,))).shape == (4, 3)
    with pytest.raises(InvalidArgument, match="at node 'a'"):
        module(images(2, (4,)))


def test_intermediate_values_are_freed():
    import weakref

    net = zoo.build("mlp", (1, 8, 8))
    again, alive, most = rebuilt(net, (1, 8, 8)), [], []

    def watch(module, inputs, output):
        alive.append(weakref.ref(output))
        most.append(sum(r() is not None for r in alive))

    for module in again.modules():
        if module is not again:
            module.register_forward_hook(watch)
    with no_grad():
        again(images(4, (1, 8, 8)))
    assert len(most) == 6 and max(most) <= 2


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"]
)
def test_copies_are_independent(copied):
    # Worker processes get the network this way, and weight averaging copies it.
    for module in (zoo.build("resnet8", (3, 8, 8)).eval(), rebuilt(Model().eval())):
        again = copied(module)
        x = Tensor(images(3))
        want = module(x).numpy()
        assert (again(x).numpy() == want).all() and not again.training
        for p in again.parameters():
            p.data[...] = 0
        assert (module(x).numpy() == want).all() and not np.array_equal(again(x).numpy(), want)


# -- folding ----------------


@pytest.mark.parametrize("name", ["resnet8", "vgg-small"])
def test_fold(name):
    net = zoo.build(name, (3, 8, 8))
    for key, buffer in net.named_buffers():
        low = 0.5 if key.endswith("var") else -0.5
        buffer.data = RNG.uniform(low, low + 1, buffer.shape).astype(np.float32)
    for p in net.parameters():
        if p.ndim == 1:
            p.data = RNG.uniform(-1, 1, p.shape).astype(np.float32)
    net.eval()
    folded = ir.fold(rebuilt(net))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules()) and not folded.training
    x = Tensor(images(6), requires_grad=True)
    z = Tensor(x.data, requires_grad=True)
    ours, theirs = folded(x), net(z)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-3, atol=1e-4 * abs(theirs.numpy()).max())
    cross_entropy(ours, np.arange(6)).sum().backward()
    cross_entropy(theirs, np.arange(6)).sum().backward()
    np.testing.assert_allclose(
        x.grad.numpy(), z.grad.numpy(), rtol=1e-2, atol=1e-3 * abs(z.grad.numpy()).max()
    )


def test_fold_leaves_what_it_may_not_fold():
    class Branches(nn.Module):
        def __init__(self):
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.first, self.linear, self.last = (
                nn.BatchNorm2d(3),
                nn.Linear(3, 2, bias=False),
                nn.BatchNorm1d(2),
            )

        def forward(self, x):
            y = self.conv(self.first(x))
            return self.last(self.linear((self.norm(y) + y).mean(axis=(2, 3))))

    net = Branches().eval()
    folded = ir.fold(rebuilt(net))
    assert set(folded.state_dict()) == (set(net.state_dict()) | {"linear.bias"}) - {
        f"last.{k}" for k in ("weight", "bias", "running_mean", "running_var")
    }
    x = images(4)
    np.testing.assert_allclose(folded(x).numpy(), net(Tensor(x)).numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(InvalidArgument, match="GraphModule"):
        ir.fold(net)


def test_same_error_class_for_a_layer_that_cannot_be_made():
    graph = ir.Graph(
        inputs=(ir.Input(name="x", shape=(None, 4)),),
        nodes=(
            ir.Node(
                name="a",
                kind="layer",
                type="Linear",
                inputs=("x",),
                attrs={"in_features": 0, "out_features": 1},
                path="a",
            ),
        ),
        outputs=("a",),
    )
    with pytest.raises(
        CheckpointError, match=r"'a': expected a whole number at or above 1, got in_features=0"
    ):
        ir.GraphModule(graph)
