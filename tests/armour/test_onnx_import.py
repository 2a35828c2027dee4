"""ONNX files as networks of the engine: numbers, names, gradients, batches, inputs and outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_models
import pytest
from onnx import TensorProto, helper
from onnx_models import arrays, conv_net, make, node, write

import armour
from armour.errors import CheckpointError, InvalidArgument, UnsupportedError
from armour.formats.onnx_import import run_model
from armour.tensor import ir


def samples(shape, n=4, seed=0, low=0.0, high=1.0):
    return np.random.default_rng(seed).uniform(low, high, (n, *shape)).astype(np.float32)


def loaded(model, tmp_path: Path, **options):
    options.setdefault("bounds", (0, 1))
    return armour.load(write(model, tmp_path / "model.onnx"), **options)


def directional(model, x, y, steps=(3e-3, 1e-3)):
    """Largest relative error of the loss gradient along random directions, against central differences."""
    rng = np.random.default_rng(1)
    _, gradient = model.loss_gradient(x, y)

    def loss(at):
        z = model.logits(np.clip(at, *model.bounds)).astype(np.float64)
        return np.log(np.exp(z - z[np.arange(len(y)), y][:, None]).sum(axis=1))

    errors = []
    for step in steps:
        v = rng.standard_normal(x.shape).astype(np.float32)
        found = (loss(x + step * v) - loss(x - step * v)) / (2 * step)
        slope = (gradient.astype(np.float64) * v).reshape(len(x), -1).sum(axis=1)
        errors.append(np.abs(found - slope).max() / np.abs(slope).max())
    return min(errors)


# -- numbers, names, gradients ----------------


def test_a_network_with_the_names_and_layers_of_its_source(tmp_path):
    proto = conv_net()
    model = loaded(proto, tmp_path)
    assert model.input_shape == (2, 8, 8) and model.num_classes == 5 and model.can_grad
    assert [n.type for n in model.graph.nodes] == ["Conv2d", "ReLU", "MaxPool2d", "Flatten", "Linear"]
    assert set(model.state_dict()) == {"conv1.weight", "conv1.bias", "fc.weight", "fc.bias"}
    x = samples((2, 8, 8), n=7)
    (want,) = run_model(proto.SerializeToString(), [x])
    for compiled in (True, False):
        model.compiled = compiled
        np.testing.assert_allclose(model.logits(x), want, rtol=1e-5, atol=1e-5)
    assert set(model.activations(x)) == {"conv1", "act.Relu", "maxpool.p", "flatten.f", "fc"}
    x = samples((2, 8, 8), low=0.2, high=0.8)
    assert directional(model, x, model.predict(x)) < 2e-2


def test_weights_in_constant_nodes_are_weights(tmp_path):
    w = arrays(w=(6, 3), b=(3,))
    nodes = [
        node("Constant", [], [name], value=onnx_models.numpy_helper.from_array(array, name))
        for name, array in w.items()
    ]
    nodes += [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["out"])]
    model = loaded(make(nodes, {"x": ("n", 6)}, {"out": ("n", 3)}), tmp_path)
    x = samples((6,))
    np.testing.assert_allclose(model.logits(x), x @ w["w"] + w["b"], rtol=1e-5, atol=1e-6)
    assert sum(v.size for v in model.state_dict().values()) == 21
    assert len(list(model.module.named_parameters())) == 2


def test_shape_arithmetic_is_folded_and_the_batch_stays_free(tmp_path):
    w = arrays(w=(12, 3))
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Slice", ["s", "zero", "one"], ["n"]),
        node("Concat", ["n", "minus"], ["to"], axis=0),
        node("Reshape", ["x", "to"], ["flat"]),
        node("MatMul", ["flat", "w"], ["scores"]),
        node("Expand", ["half", "wide"], ["unused"]),
        node("Concat", ["n", "three"], ["like"], axis=0),
        node("Expand", ["half", "like"], ["offset"]),
        node("Add", ["scores", "offset"], ["out"]),
    ]
    known = {
        "zero": np.array([0]), "one": np.array([1]), "minus": np.array([-1]), "three": np.array([3]),
        "half": np.array([0.5], np.float32), "wide": np.array([2, 3]),
    }  # fmt: skip
    model = loaded(make(nodes, {"x": ("n", 3, 4)}, {"out": ("n", 3)}, {**w, **known}), tmp_path)
    for n in (5, 1, 3):
        x = samples((3, 4), n=n, seed=n)
        np.testing.assert_allclose(model.logits(x), x.reshape(n, 12) @ w["w"] + 0.5, rtol=1e-5, atol=1e-6)
    kinds = {n.type for n in model.graph.nodes}
    assert "Linear" in kinds and len(model.graph.nodes) <= 4


def test_a_model_exported_for_one_sample_takes_batches(tmp_path):
    w = arrays(w=(12, 3))
    nodes = [node("Reshape", ["x", "to"], ["flat"]), node("MatMul", ["flat", "w"], ["out"])]
    proto = make(nodes, {"x": (1, 3, 4)}, {"out": (1, 3)}, {**w, "to": np.array([1, 12])})
    model = loaded(proto, tmp_path)
    x = samples((3, 4), n=6)
    np.testing.assert_allclose(model.logits(x), x.reshape(6, 12) @ w["w"], rtol=1e-5, atol=1e-6)
    assert model.batch_size > 1


def test_rows_that_depend_on_each_other_are_asked_for_one_at_a_time(tmp_path):
    nodes = [
        node("CumSum", ["x", "axis"], ["c"]),  # along the first axis: a sequence
        node("MatMul", ["c", "w"], ["out"]),
    ]
    w = arrays(w=(4, 3))
    model = loaded(make(nodes, {"x": ("n", 4)}, {"out": ("n", 3)}, {**w, "axis": np.array(0)}), tmp_path)
    x = samples((4,), n=5)
    np.testing.assert_allclose(model.logits(x), x @ w["w"], rtol=1e-5, atol=1e-6)
    assert model.batch_size == 1 and "depend on each other" in model.provenance["batch"]
    armour.save(model, tmp_path / "saved.ckpt")
    again = armour.load(tmp_path / "saved.ckpt")
    assert again.batch_size == 1
    np.testing.assert_array_equal(again.logits(x), model.logits(x))


@pytest.mark.parametrize("how", ["last", "mean", "max"])
def test_a_whole_sequence_is_one_sample(tmp_path, how):
    w = arrays(w=(4, 3))
    nodes = [node("CumSum", ["x", "axis"], ["c"]), node("MatMul", ["c", "w"], ["out"])]
    proto = make(nodes, {"x": ("t", 4)}, {"out": ("t", 3)}, {**w, "axis": np.array(0)})
    model = loaded(proto, tmp_path, input_shape=(6, 4), reduce=how)
    x = samples((6, 4), n=3)
    steps = np.cumsum(x, axis=1) @ w["w"]
    want = {"last": steps[:, -1], "mean": steps.mean(axis=1), "max": steps.max(axis=1)}[how]
    np.testing.assert_allclose(model.logits(x), want, rtol=1e-5, atol=1e-5)
    assert directional(model, samples((6, 4), low=0.3, high=0.7), np.zeros(4, np.int64)) < 2e-2
    with pytest.raises(CheckpointError, match="reduce="):
        loaded(proto, tmp_path, input_shape=(6, 4))


# -- outputs ----------------


def test_a_last_softmax_becomes_its_logarithm(tmp_path):
    model = loaded(conv_net(end="Softmax"), tmp_path)
    raw = loaded(conv_net(), tmp_path)
    x = samples((2, 8, 8))
    scores = raw.logits(x).astype(np.float64)
    want = (
        scores
        - np.log(np.exp(scores - scores.max(1, keepdims=True)).sum(1, keepdims=True))
        - scores.max(1, keepdims=True)
    )
    np.testing.assert_allclose(model.logits(x), want, rtol=1e-4, atol=1e-5)
    assert model.graph.nodes[-1].type == "LogSoftmax" and model.provenance["output"]["ending"] == "softmax"


def test_a_softmax_that_saturates_keeps_its_gradient(tmp_path):
    proto = conv_net(end="Softmax")
    for weight in proto.graph.initializer:
        if weight.name == "fc.weight":
            weight.CopyFrom(
                onnx_models.numpy_helper.from_array(
                    onnx_models.numpy_helper.to_array(weight) * np.float32(300), "fc.weight"
                )
            )
    model = loaded(proto, tmp_path)
    x = samples((2, 8, 8))
    loss, gradient = model.loss_gradient(x, (model.predict(x) + 1) % 5)
    assert (loss > 50).all() and (np.abs(gradient).reshape(4, -1).max(axis=1) > 1).all()


def test_a_single_sigmoid_is_two_classes(tmp_path):
    w = arrays(w=(4, 1))
    nodes = [
        node("MatMul", ["x", "w"], ["s"]),
        node("Sigmoid", ["s"], ["p"]),
        node("Squeeze", ["p", "axis"], ["q"]),
    ]
    nodes.append(node("Unsqueeze", ["q", "axis"], ["out"]))
    proto = make(nodes, {"x": ("n", 4)}, {"out": ("n", 1)}, {**w, "axis": np.array([1])})
    model = loaded(proto, tmp_path)
    x = samples((4,), n=6)
    p = 1 / (1 + np.exp(-(x.astype(np.float64) @ w["w"].astype(np.float64))))
    np.testing.assert_allclose(np.exp(model.logits(x)), np.concatenate([1 - p, p], axis=1), rtol=1e-5)
    assert model.num_classes == 2


def test_outputs_by_name_and_what_is_no_classifier(tmp_path):
    w = arrays(w=(4, 3), v=(4, 2))
    nodes = [
        node("MatMul", ["x", "w"], ["first"]),
        node("MatMul", ["x", "v"], ["second"]),
        node("Mystery", ["x"], ["third"]),
    ]
    proto = make(nodes, {"x": ("n", 4)}, {"first": ("n", 3), "second": ("n", 2), "third": ("n", 4)}, w)
    x = samples((4,))
    assert loaded(proto, tmp_path).num_classes == 3  # what the first output does not need may be unknown
    np.testing.assert_allclose(
        loaded(proto, tmp_path, output="second").logits(x), x @ w["v"], rtol=1e-5, atol=1e-6
    )
    with pytest.raises(
        CheckpointError, match="computes no value 'fourth'; its outputs are first, second, third"
    ):
        loaded(proto, tmp_path, output="fourth")
    with pytest.raises(UnsupportedError, match=r"Mystery \(1\)"):
        loaded(proto, tmp_path, output="third")


def test_unknown_operators_are_listed_all_at_once_with_what_to_do(tmp_path):
    nodes = [
        node("Mystery", ["x"], ["a"]),
        node("Mystery", ["a"], ["b"]),
        node("Other", ["b"], ["out"], domain="com.example"),
    ]
    proto = make(nodes, {"x": ("n", 4)}, {"out": ("n", 4)}, domains=["com.example"])
    with pytest.raises(UnsupportedError, match=r"Mystery \(2\), com\.example::Other \(1\).*onnxruntime"):
        loaded(proto, tmp_path)


# -- inputs ----------------


def test_bounds_must_be_stated_or_recorded(tmp_path):
    proto = conv_net()
    path = write(proto, tmp_path / "plain.onnx")
    with pytest.raises(CheckpointError, match=r"range of its inputs.*--bounds"):
        armour.load(path)
    proto.metadata_props.add(key="armour.bounds", value="[0, 255]")
    proto.metadata_props.add(key="armour.class_names", value='["a", "b", "c", "d", "e"]')
    proto.metadata_props.add(key="license", value="MIT")
    model = armour.load(write(proto, tmp_path / "told.onnx"))
    assert tuple(model.bounds) == (0, 255) and model.class_names == ("a", "b", "c", "d", "e")
    assert model.provenance["licence"] == "MIT" and model.provenance["opset"] == 17


def test_open_lengths_must_be_stated(tmp_path):
    w = arrays(w=(3, 2, 3, 3))
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("GlobalAveragePool", ["c"], ["g"]),
        node("Flatten", ["g"], ["out"]),
    ]
    proto = make(nodes, {"x": ("n", 2, "h", "w_")}, {"out": ("n", 3)}, w)
    with pytest.raises(CheckpointError, match=r"\(n, 2, h, w_\); state input_shape="):
        loaded(proto, tmp_path)
    with pytest.raises(CheckpointError, match="input_shape"):
        loaded(proto, tmp_path, input_shape=(3, 8, 8))
    model = loaded(proto, tmp_path, input_shape=(2, 9, 7))
    assert model.logits(samples((2, 9, 7))).shape == (4, 3)


def test_other_inputs_are_fixed_and_grow_with_the_batch(tmp_path):
    w = arrays(w=(4, 3))
    nodes = [
        node("Add", ["x", "state"], ["a"]),
        node("Mul", ["a", "scale"], ["b"]),
        node("MatMul", ["b", "w"], ["out"]),
    ]
    proto = make(nodes, {"x": ("n", 4), "state": ("n", 4), "scale": ()}, {"out": ("n", 3)}, w)
    with pytest.raises(CheckpointError, match=r"inputs x \(n, 4\), state \(n, 4\), scale.*fixed="):
        loaded(proto, tmp_path)
    with pytest.raises(CheckpointError, match=r"'state' .* has no value"):
        loaded(proto, tmp_path, input="x", fixed={"scale": 2})
    model = loaded(proto, tmp_path, fixed={"state": 0.25, "scale": 2})
    x = samples((4,), n=5)
    np.testing.assert_allclose(model.logits(x), (x + 0.25) * 2 @ w["w"], rtol=1e-5, atol=1e-6)


def test_pixels_as_whole_numbers_keep_their_gradient(tmp_path):
    w = arrays(w=(4, 3))
    nodes = [
        node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
        node("Div", ["real", "range"], ["unit"]),
        node("MatMul", ["unit", "w"], ["out"]),
    ]
    proto = make(
        nodes,
        {"x": ("n", 4)},
        {"out": ("n", 3)},
        {**w, "range": np.float32(255)},
        dtypes={"x": TensorProto.UINT8},
    )
    model = loaded(proto, tmp_path, bounds=(0, 255))
    x = samples((4,), high=255)
    np.testing.assert_allclose(model.logits(x), np.rint(x) / 255 @ w["w"], rtol=1e-5, atol=1e-5)
    _, _, logits = model.gradient(x, lambda z: z[:, 0])
    _, gradient, _ = model.gradient(x, lambda z: z[:, 0])
    np.testing.assert_allclose(gradient, np.broadcast_to(w["w"][:, 0] / 255, x.shape), rtol=1e-5)
    assert model.can_grad and logits.shape == (4, 3)


def test_bytes_that_are_looked_up_have_no_gradient_and_say_so(tmp_path):
    w = arrays(w=(5, 3))
    nodes = [
        node("Unsqueeze", ["x", "axis"], ["u"]),
        node("Equal", ["u", "letters"], ["e"]),
        node("Cast", ["e"], ["hot"], to=TensorProto.FLOAT),
        node("ReduceMax", ["hot"], ["seen"], axes=[1], keepdims=0),
        node("MatMul", ["seen", "w"], ["out"]),
    ]
    known = {"axis": np.array([2]), "letters": np.arange(5, dtype=np.int32).reshape(1, 1, 5)}
    proto = make(nodes, {"x": ("n", 6)}, {"out": ("n", 3)}, {**w, **known}, dtypes={"x": TensorProto.INT32})
    model = loaded(proto, tmp_path, bounds=(0, 4))
    x = np.rint(samples((6,), high=4))
    seen = (x[:, :, None] == np.arange(5)).max(axis=1).astype(np.float32)
    np.testing.assert_allclose(model.logits(x), seen @ w["w"], rtol=1e-5, atol=1e-6)
    assert not model.can_grad
    with pytest.raises(UnsupportedError, match="no gradient; use an attack that only asks"):
        model.loss_gradient(x, model.predict(x))


# -- as a file ----------------


def test_a_branch_whose_condition_is_known_is_taken(tmp_path):
    w = arrays(w=(4, 3))
    yes = helper.make_graph(
        [node("MatMul", ["x", "w"], ["y"])], "yes", [], [helper.make_tensor_value_info("y", 1, None)]
    )
    no = helper.make_graph(
        [node("Mystery", ["x"], ["z"])], "no", [], [helper.make_tensor_value_info("z", 1, None)]
    )
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "one"], ["d"]),
        node("Equal", ["d", "four"], ["is"]),
        node("If", ["is"], ["out"], then_branch=yes, else_branch=no),
    ]
    proto = make(nodes, {"x": ("n", 4)}, {"out": ("n", 3)}, {**w, "one": np.array(1), "four": np.array(4)})
    with pytest.raises(UnsupportedError, match="Mystery"):
        loaded(proto, tmp_path)
    known = make(
        [*nodes[:3], node("If", ["is"], ["out"], then_branch=yes, else_branch=yes)],
        {"x": ("n", 4)},
        {"out": ("n", 3)},
        {**w, "one": np.array(1), "four": np.array(4)},
    )
    x = samples((4,))
    np.testing.assert_allclose(loaded(known, tmp_path).logits(x), x @ w["w"], rtol=1e-5, atol=1e-6)


def test_a_checkpoint_of_an_imported_model_is_the_same_model(tmp_path):
    model = loaded(conv_net(end="Softmax"), tmp_path, mean=0.5, std=0.25)
    armour.save(model, tmp_path / "model.ckpt")
    again = armour.load(tmp_path / "model.ckpt")
    x = samples((2, 8, 8))
    np.testing.assert_array_equal(again.logits(x), model.logits(x))
    assert again.fingerprint == model.fingerprint and again.graph == model.graph
    assert ir.Graph.loads(model.graph.dumps()) == model.graph


def test_the_same_weights_in_two_nodes_are_one_layer(tmp_path):
    w = arrays(w=(4, 4), b=(4,))
    nodes = [
        node("Gemm", ["x", "w", "b"], ["a"], name="first"),
        node("Relu", ["a"], ["r"]),
        node("Gemm", ["r", "w", "b"], ["out"], name="second"),
    ]
    model = loaded(make(nodes, {"x": ("n", 4)}, {"out": ("n", 4)}, w), tmp_path)
    x = samples((4,))
    want = np.maximum(x @ w["w"] + w["b"], 0) @ w["w"] + w["b"]
    np.testing.assert_allclose(model.logits(x), want, rtol=1e-5, atol=1e-5)


def test_run_model_says_what_it_takes():
    with pytest.raises(InvalidArgument, match="expected 5 inputs"):
        run_model(conv_net().SerializeToString(), [np.zeros(1)] * 6)
    with pytest.raises(CheckpointError, match="which nothing before it computes"):
        run_model(conv_net().SerializeToString(), [])
