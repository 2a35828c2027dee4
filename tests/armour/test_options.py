"""What is stated about a model file: kept as checked values, refused in one line otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour.bounds import Bounds
from armour.errors import InvalidArgument
from armour.options import LoadOptions
from armour.preprocessing import Preprocessing


def test_nothing_is_stated_by_default() -> None:
    options = LoadOptions()
    assert options.stated() == () and options.steps is None
    assert (options.device, options.runtime) == ("cpu", "armour")


def test_values_are_checked_and_made_plain() -> None:
    options = LoadOptions(
        bounds=[0, 255],
        input_shape=[3, np.int64(8), 8],
        num_classes=2,
        class_names=["a", "b"],
        mean=0.5,
        fixed={"h": [[0.0]], "rate": 16000},
        runtime="onnxruntime",
        input="x:0",
    )
    assert options.bounds == Bounds(0, 255) and options.input_shape == (3, 8, 8)
    assert options.class_names == ("a", "b") and options.mean == (0.5,)
    assert options.fixed is not None and options.fixed["h"].shape == (1, 1)
    assert options.steps == Preprocessing(mean=(0.5,))
    assert options.stated() == (
        "bounds",
        "input_shape",
        "mean",
        "num_classes",
        "class_names",
        "runtime",
        "input",
        "fixed",
    )
    assert options.vary(mean=None).steps is None


def test_preprocessing_is_stated_once() -> None:
    steps = Preprocessing(scale=255)
    assert LoadOptions(preprocessing=steps).steps is steps
    assert LoadOptions(std=2).steps == Preprocessing(std=(2.0,))
    with pytest.raises(InvalidArgument, match="state them once"):
        LoadOptions(preprocessing=steps, mean=0.5)


def test_what_is_not_needed_is_refused_by_name() -> None:
    options = LoadOptions(arch="mlp", bounds=(0, 1), device="cuda")
    with pytest.raises(InvalidArgument, match=r"a checkpoint holds its network; leave out arch=$"):
        options.refuse("a checkpoint holds its network", ("bounds", "device"))
    options.refuse("a file of weights", ("arch", "bounds", "device"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bounds", (1, 0)),
        ("bounds", 1),
        ("input_shape", 3),
        ("input_shape", ()),
        ("input_shape", (3, 0)),
        ("input_shape", "333"),
        ("input_shape", (3, 2.5)),
        ("preprocessing", {"scale": 255}),
        ("mean", "a"),
        ("std", float("nan")),
        ("num_classes", 0),
        ("class_names", "abc"),
        ("class_names", ["a", 1]),
        ("class_names", ["\x1b[31m"]),
        ("device", "tpu"),
        ("runtime", "torch"),
        ("input", ""),
        ("output", 3),
        ("fixed", [1]),
        ("fixed", {"a": "text"}),
        ("fixed", {1: 2}),
    ],
)
def test_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidArgument) as error:
        LoadOptions(**{field: value})
    assert "\n" not in str(error.value)


def test_as_many_names_as_classes() -> None:
    with pytest.raises(InvalidArgument, match="expected 3 class_names"):
        LoadOptions(num_classes=3, class_names=["a", "b"])
