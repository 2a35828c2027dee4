"""Preprocessing against a plain float64 reference, its gradient, its JSON, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armour.errors import InvalidArgument
from armour.preprocessing import DTYPES, FLOATS, Preprocessing
from armour.tensor import Tensor, cast, compile, grad

RGB = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}
STEPS: list[dict[str, Any]] = [
    {},
    {"scale": 255.0},
    {"mean": 0.5, "std": 0.25},
    RGB,
    {"channels": "bgr"},
    {"layout": "NHWC"},
    {"resize": (4, 9)},
    {"resize": (13, 5)},
    {"resize": (5, 7), "channels": "bgr", "layout": "nhwc", "scale": 2.0} | RGB,
    {"scale": 255.0, "dtype": "uint8", "layout": "NHWC"},
    {"scale": 255.0, "mean": 128.0, "dtype": "int8", "channels": "bgr", "resize": (8, 8)},
    {"scale": 3e4, "mean": (0.0, 1.0, 2.0), "dtype": "int32"},
]


def reference(p: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """The steps in float64 loops over pixels; whole numbers are still floats."""
    x = x.astype(np.float64)
    if p.get("resize"):
        x = resized(resized(x, 2, p["resize"][0]), 3, p["resize"][1])
    if p.get("channels") == "bgr":
        x = x[:, ::-1]
    mean, std = (np.reshape(p.get(k, d), (-1, 1, 1)) for k, d in (("mean", 0.0), ("std", 1.0)))
    x = (x * p.get("scale", 1.0) - mean) / std
    return x.transpose(0, 2, 3, 1) if p.get("layout", "").upper() == "NHWC" else x


def resized(x: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Linear between the centres of pixels, which are at i + 0.5; constant beyond the outermost ones."""
    length = x.shape[axis]
    rows = []
    for i in range(size):
        at = min(max((i + 0.5) * length / size - 0.5, 0), length - 1)
        low = int(np.floor(at))
        high = min(low + 1, length - 1)
        rows.append(x.take(low, axis) * (1 - (at - low)) + x.take(high, axis) * (at - low))
    return np.stack(rows, axis)


def images(n: int = 3, shape: tuple[int, ...] = (3, 5, 7)) -> np.ndarray:
    return np.random.default_rng(0).random((n, *shape)).astype(np.float32)


@pytest.mark.parametrize("p", STEPS, ids=str)
def test_against_the_reference(p: dict[str, Any]) -> None:
    steps, x = Preprocessing(**p), images()
    kept = x.copy()
    found = steps.apply(Tensor(x)).numpy()
    expected = reference(p, x)
    assert found.shape == (3, *steps.network_shape(x.shape[1:])) and found.dtype == steps.dtype
    if steps.dtype in FLOATS:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * max(1, steps.scale))
    else:
        info = np.iinfo(steps.dtype)
        near = np.abs(expected - np.floor(expected) - 0.5) < 1e-3  # float32 may round these otherwise
        whole = np.clip(np.rint(expected), info.min, info.max)
        np.testing.assert_array_equal(found[~near], whole[~near])
        assert near.mean() < 0.1
    np.testing.assert_array_equal(steps.apply_array(x), found)
    np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("p", STEPS, ids=str)
def test_gradient_is_that_of_the_unrounded_steps(p: dict[str, Any]) -> None:
    """All steps are affine, so the gradient of <w, apply(x)> is the difference quotient of any length."""
    steps = Preprocessing(**p)
    x, at = images(2).astype(np.float64), images(2, (3, 5, 7))[::-1].astype(np.float64)
    free = {key: value for key, value in p.items() if key != "dtype"}
    w = np.random.default_rng(1).normal(size=(2, *steps.network_shape((3, 5, 7))))
    slope = grad(lambda t: (cast(steps.apply(t), "float64") * Tensor(w)).sum())(Tensor(x)).numpy()
    assert slope.dtype == np.float64
    rise = (w * (reference(free, at) - reference(free, x))).sum()
    np.testing.assert_allclose((slope * (at - x)).sum(), rise, rtol=1e-5, atol=1e-6)


def test_rounding_without_a_gradient() -> None:
    steps = Preprocessing(scale=255, dtype="uint8", straight_through=False)
    value = Tensor(images())
    slope = grad(lambda t: (cast(steps.apply(t), "float32") ** 2).sum() + (t * 0).sum())(value)
    assert not slope.numpy().any()


@pytest.mark.parametrize("p", STEPS, ids=str)
def test_by_a_captured_plan(p: dict[str, Any]) -> None:
    steps, x = Preprocessing(**p), Tensor(images())

    def total(t: Tensor) -> Tensor:
        return (cast(steps.apply(t), "float32") ** 2).sum()

    np.testing.assert_array_equal(compile(steps.apply)(x).numpy(), steps.apply(x).numpy())
    np.testing.assert_allclose(compile(grad(total))(x).numpy(), grad(total)(x).numpy(), rtol=1e-5)


@pytest.mark.parametrize("dtype", [name for name in DTYPES if name not in FLOATS])
def test_whole_numbers_stay_in_their_range(dtype: str) -> None:
    x = np.array([[-1e9, -0.5, 0.5, 1.5, 2.4, 1e9, 3e38]], np.float32)
    found = Preprocessing(dtype=dtype).apply_array(x)[0].tolist()
    info = np.iinfo(dtype)
    assert found[1:5] == [0, 0, 2, 2]
    assert found[0] == max(info.min, -(10**9)) and found[5] == min(info.max, 10**9)
    assert info.max * (1 - 1e-6) <= found[6] <= info.max


def test_rows_of_numbers_and_one_mean_per_feature() -> None:
    x = images(4, (3,))
    steps = Preprocessing(mean=(1, 2, 3), std=(1, 2, 4))
    np.testing.assert_allclose(
        steps.apply_array(x), (x - np.array([1, 2, 3])) / np.array([1, 2, 4]), rtol=1e-6
    )
    assert steps.network_shape((3,)) == (3,) and steps.apply_array(x[:0]).shape == (0, 3)


def test_float64_inputs_stay_so() -> None:
    steps = Preprocessing(**RGB)
    x = images().astype(np.float64)
    found = steps.apply(Tensor(x)).numpy()
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, reference(RGB, x), rtol=1e-12)
    assert Preprocessing(dtype="float64").apply_array(images()).dtype == np.float64


@given(
    scale=st.floats(1e-3, 1e3),
    mean=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=1),
    std=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4),
    layout=st.sampled_from(["NCHW", "NHWC"]),
    channels=st.sampled_from(["rgb", "bgr"]),
    resize=st.none() | st.tuples(st.integers(1, 99), st.integers(1, 99)),
    dtype=st.sampled_from(DTYPES),
    straight_through=st.booleans(),
)
def test_json_gives_the_same_again(**fields: Any) -> None:
    steps = Preprocessing(**fields)
    assert Preprocessing.from_dict(steps.to_dict()) == steps
    assert hash(Preprocessing.from_dict(steps.to_dict())) == hash(steps)


def test_what_it_is() -> None:
    assert Preprocessing().identity and Preprocessing().only_normalises and str(Preprocessing()) == "none"
    assert not Preprocessing(mean=1).identity and Preprocessing(mean=1, std=2).only_normalises
    for step in (
        {"scale": 2},
        {"layout": "nhwc"},
        {"channels": "BGR"},
        {"resize": (2, 2)},
        {"dtype": "int8"},
    ):
        assert not Preprocessing(**step).only_normalises  # type: ignore[arg-type]
    text = str(Preprocessing(scale=255, mean=(1, 2, 3), std=2, layout="NHWC", channels="bgr", resize=(4, 6)))
    assert text == (
        "resized to 4 x 6, channels reversed (bgr), times 255, minus 1, 2, 3, divided by 2, "
        "channels last (NHWC)"
    )
    assert Preprocessing(mean=np.float32(0.5), std=np.array([1, 2])).std == (1.0, 2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scale", 0),
        ("scale", float("nan")),
        ("scale", (1, 2)),
        ("scale", "big"),
        ("mean", ()),
        ("mean", [[1.0]]),
        ("mean", float("inf")),
        ("mean", 1e300),
        ("mean", "a"),
        ("mean", None),
        ("mean", 10**400),
        ("std", 0),
        ("std", (1, -1)),
        ("std", 1e-30),
        ("layout", "HWC"),
        ("layout", None),
        ("channels", "gray"),
        ("resize", 224),
        ("resize", (0, 4)),
        ("resize", (4, 4, 4)),
        ("resize", (4.5, 4)),
        ("resize", "ab"),
        ("resize", (10**6, 10**6)),
        ("dtype", "object"),
        ("dtype", "bool"),
        ("straight_through", 1),
    ],
)
def test_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidArgument) as error:
        Preprocessing(**{field: value})
    assert "\n" not in str(error.value)


def test_as_many_means_as_deviations() -> None:
    with pytest.raises(InvalidArgument, match="as many means"):
        Preprocessing(mean=(1, 2, 3), std=(1, 2))


@pytest.mark.parametrize(
    ("step", "shape"),
    [
        ({"layout": "NHWC"}, (10,)),
        ({"resize": (2, 2)}, (3, 4)),
        ({"channels": "bgr"}, (1, 4, 4)),
        ({"channels": "bgr"}, (3,)),
        ({"mean": (1, 2, 3)}, (1, 4, 4)),
        ({"std": (1, 2)}, (3, 4, 4)),
        ({"resize": (4, 8_000)}, (1, 1, 1 << 20)),
    ],
    ids=str,
)
def test_samples_that_cannot_be_preprocessed_so(step: dict[str, Any], shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument) as error:
        Preprocessing(**step).network_shape(shape)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "tree",
    [
        None,
        [],
        "none",
        {"shear": 1},
        {"mean": "1"},
        {"mean": ["1"]},
        {"mean": [1e300]},
        {"mean": [True]},
        {"std": [0.0]},
        {"scale": "1"},
        {"scale": True},
        {"resize": {}},
        {"resize": [1]},
        {"resize": [10**12, 10**12]},
        {"layout": ["NCHW"]},
        {"dtype": None},
        {"straight_through": "yes"},
        {"mean": [0.0] * (1 << 17)},
        {"mean": [[0.0]]},
    ],
    ids=lambda tree: str(tree)[:30],
)
def test_hostile_json_is_refused(tree: Any) -> None:
    with pytest.raises(InvalidArgument) as error:
        Preprocessing.from_dict(tree)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
