"""Models as ONNX files: the same logits in user units elsewhere, what a file says of itself, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import armour
from armour.errors import ArmourError, InvalidArgument, UnsupportedError
from armour.formats import onnx_export
from armour.model import CallableModel, ModuleModel
from armour.preprocessing import Preprocessing
from armour.tensor import Tensor, inv, nn, zoo
from tests.armour.onnx_files import Elsewhere, close, outputs

SHAPE = (3, 8, 8)


def small(**options: Any) -> ModuleModel:
    given = {"input_shape": SHAPE, "num_classes": 4, "name": "small", "mean": (0.4, 0.5, 0.6), "std": 0.25}
    return ModuleModel(zoo.build("resnet8", SHAPE, 4, 1), **(given | options))


def images(n: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(n).random((n, *shape), dtype=np.float32)


def test_the_file_takes_users_units_and_gives_logits(tmp_path: Path) -> None:
    model = small()
    armour.export_onnx(model, tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(str(tmp_path / "m.onnx"), full_check=True)
    for n in (1, 5):
        close(outputs(proto, [images(n)])[0], model.logits(images(n)))
    assert proto.ir_version == 8 and [(o.domain, o.version) for o in proto.opset_import] == [("", 17)]
    assert proto.producer_name == "armour" and proto.producer_version == armour.__version__
    assert [d.dim_param or d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim] == [
        "n",
        *SHAPE,
    ]
    assert [d.dim_param or d.dim_value for d in proto.graph.output[0].type.tensor_type.shape.dim] == ["n", 4]


def test_weights_are_initialisers_with_their_names() -> None:
    model = small()
    found = {t.name: onnx.numpy_helper.to_array(t) for t in onnx_export.to_onnx(model).graph.initializer}
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(found[name], value)


def test_what_the_file_says_of_itself(tmp_path: Path) -> None:
    model = small(bounds=(-1, 2), class_names=["a", "b", "c", "ü"], provenance={"training": {"seed": 3}})
    armour.export_onnx(model, tmp_path / "m.onnx")
    facts = {p.key: p.value for p in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert json.loads(facts["armour.bounds"]) == [-1, 2]
    assert json.loads(facts["armour.class_names"]) == ["a", "b", "c", "ü"]
    assert json.loads(facts["armour.provenance"]) == {"training": {"seed": 3}}
    assert facts["armour.name"] == "small" and facts["armour.num_classes"] == "4"


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        armour.export_onnx(small(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("opset", range(17, 23))
def test_every_opset(opset: int) -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, rng=1), nn.GroupNorm(2, 8), nn.GELU(), nn.Mish(), nn.LPPool2d(2.0, 2),
        nn.Upsample(None, 2.0, "bilinear"), nn.AvgPool2d(3, 2, 1, True), nn.Flatten(),
        nn.Linear(200, 4, rng=2),
    )  # fmt: skip
    model = ModuleModel(net, input_shape=SHAPE, num_classes=4)
    proto = onnx_export.to_onnx(model, opset=opset)
    assert proto.opset_import[0].version == opset
    close(outputs(proto, [images(3)])[0], model.logits(images(3)))


def test_a_fixed_batch() -> None:
    model = small()
    proto = onnx_export.to_onnx(model, batch=2)
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    close(outputs(proto, [images(2)])[0], model.logits(images(2)))


class Bytes(nn.Module):
    """A network for images of whole numbers with the channels last."""

    def __init__(self) -> None:
        self.dense = nn.Linear(192, 4, rng=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x.astype("float32").reshape((-1, 192)) * (1 / 255))  # type: ignore[no-any-return]


def column() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 1, rng=1))


def network(*last: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4, rng=1), *last)


RAW: dict[str, tuple[nn.Module, dict[str, Any]]] = {
    "logits": (network(), {}),
    "probabilities": (network(nn.Softmax(1)), {}),
    "one score": (column(), {"num_classes": 2}),
    "one probability": (nn.Sequential(column(), nn.Sigmoid()), {"num_classes": 2}),
}


@pytest.mark.parametrize("name", RAW)
def test_raw_outputs_become_the_logits_that_the_model_gives(name: str) -> None:
    net, options = RAW[name]
    model = ModuleModel(net, **{"input_shape": SHAPE, "num_classes": 4, **options})
    there = Elsewhere(onnx_export.to_onnx(model))
    for n in (1, 3):
        close(there(images(n))[0], model.logits(images(n)))


@pytest.mark.parametrize("steps", [
    Preprocessing(scale=255.0, mean=(104.0, 117.0, 123.0), std=(50.0,), channels="bgr", layout="NHWC"),
    Preprocessing(resize=(8, 8), mean=(0.5, 0.4, 0.3), std=(0.2,)),
    Preprocessing(scale=255.0, dtype="uint8", layout="NHWC", resize=(8, 8)),
])  # fmt: skip
def test_preprocessing_is_inside(steps: Preprocessing) -> None:
    shape = (3, 8, 8) if steps.resize is None else (3, 11, 9)
    model = ModuleModel(Bytes(), input_shape=shape, num_classes=4, preprocessing=steps)
    proto = onnx_export.to_onnx(model)
    assert proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    there = Elsewhere(proto)
    for n in (1, 3):
        close(there(images(n, shape))[0], model.logits(images(n, shape)))


def test_no_normalisation_adds_no_nodes() -> None:
    model = ModuleModel(zoo.build("lenet5", (1, 12, 12), 4, 1), input_shape=(1, 12, 12), num_classes=4)
    kinds = [node.op_type for node in onnx_export.to_onnx(model).graph.node]
    convolutions = ["Conv", "Relu", "MaxPool"] * 2
    assert kinds == [*convolutions, "Flatten", "Gemm", "Relu", "Gemm", "Relu", "Gemm"]


# -- the operators that MindSpore's exporter knows; its networks are in test_onnx_round_trip.py --------


class Eighteen(nn.Module):
    """One of each operator in MindSpore's list, in its order as far as shapes allow."""

    def __init__(self) -> None:
        self.conv, self.bn = nn.Conv2d(3, 6, 3, padding=1, rng=1), nn.BatchNorm2d(6)
        self.bias = nn.Parameter(np.linspace(-1, 1, 6, dtype=np.float32))
        self.prelu, self.relu, self.sigmoid = nn.PReLU(6), nn.ReLU(), nn.Sigmoid()
        self.max, self.avg, self.simple = nn.MaxPool2d(2), nn.AvgPool2d(2), nn.GlobalAvgPool2d()
        self.flatten, self.dense = nn.Flatten(), nn.Linear(24, 4, rng=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self.conv(x) + self.bias.reshape((1, 6, 1, 1)))  # Conv2D, BiasAdd, Reshape, BatchNorm
        y = self.avg(self.max(self.prelu(y)))  # PReLU, MaxPool, AvgPool
        z = self.dense(self.flatten(self.relu(y)))  # ReLU, Flatten, MatMul
        gate = self.sigmoid(self.simple(y).mean(axis=1, keepdims=True))  # SimpleMean, ReduceMean, Sigmoid
        best = y.reshape((-1, 4, 6)).max(axis=1).argmax(axis=1).astype("float32")  # Argmax, Cast
        return z * gate + best.expand_dims(1).expand_dims(2).squeeze(2) * 0.1  # Mul, TensorAdd, Squeeze


def test_the_eighteen_operators_of_mindspores_exporter() -> None:
    model = ModuleModel(Eighteen(), input_shape=SHAPE, num_classes=4)
    proto = onnx_export.to_onnx(model)
    wanted = {
        *("Add", "Mul", "Relu", "Sigmoid", "Flatten", "Squeeze", "Conv", "Gemm", "BatchNormalization"),
        *("Reshape", "ReduceMean", "Cast", "PRelu", "ArgMax", "AveragePool", "MaxPool"),
    }
    kinds = {node.op_type for node in proto.graph.node}
    assert wanted | {"GlobalAveragePool"} <= kinds  # TensorAdd and BiasAdd are both Add
    for n in (1, 4):
        close(outputs(proto, [images(n)])[0], model.logits(images(n)))


# -- what is refused ----------------


class Systems(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        square = x[:, 0, :4, :4] * 0.01 + Tensor(np.eye(4, dtype=np.float32))
        return inv(inv(square)).sum(axis=1)


def test_all_that_cannot_be_written_is_named_with_its_number(tmp_path: Path) -> None:
    model = ModuleModel(Systems(), input_shape=SHAPE, num_classes=4, name="solver")
    with pytest.raises(
        UnsupportedError, match=r"solver: .*op inv \(ONNX has no operator .*\), 2 nodes; save it as .ckpt"
    ):
        armour.export_onnx(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_black_box_is_refused(tmp_path: Path) -> None:
    model = CallableModel(lambda x: x.reshape(len(x), -1)[:, :3], input_shape=SHAPE, name="box")
    with pytest.raises(UnsupportedError, match="box is a black box"):
        armour.export_onnx(model, tmp_path / "m.onnx")


def test_more_than_protobuf_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "MAX_BYTES", 1000)
    with pytest.raises(UnsupportedError, match=r"GiB of weights, and one file holds 2 GiB; save it as"):
        armour.export_onnx(small(), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"), [({"opset": 16}, "opset"), ({"opset": 99}, "opset"), ({"batch": 0}, "batch")]
)
def test_bad_settings(tmp_path: Path, options: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        armour.export_onnx(small(), tmp_path / "m.onnx", **options)


def test_bad_places(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="folder"):
        armour.export_onnx(small(), tmp_path / "missing" / "m.onnx")
    with pytest.raises(InvalidArgument, match="folder"):
        armour.export_onnx(small(), tmp_path)


def test_provenance_must_be_json(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="provenance"):
        armour.export_onnx(small(provenance={"x": float("nan")}), tmp_path / "m.onnx")


def test_an_old_file_stays_if_the_new_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    armour.export_onnx(small(), path)
    before = path.read_bytes()
    with pytest.raises(ArmourError):
        armour.export_onnx(ModuleModel(Systems(), input_shape=SHAPE, num_classes=4), path)
    assert path.read_bytes() == before
