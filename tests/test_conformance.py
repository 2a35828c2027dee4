"""The runner of ONNX's backend tests: what counts as what, the gate, and the page it keeps."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import sources
from conformance.cases import LIGHT_MODELS, Case, cases
from conformance.outcomes import DISPUTED, Outcome, difference, outcome
from conformance.report import failures, markdown, rows, totals
from conformance.tiers import FIRST, SECOND, subject, tier
from onnx import TensorProto, numpy_helper

from armour.formats.onnx_import import run_model
from tests.onnx_graphs import model, node

ONE = np.float32([[1.0, -2.0]])


def case(raw: bytes, wanted: np.ndarray, name: str = "test_x", skipped: str = "") -> Case:
    return Case("node", name, "Relu", 1, raw, (([ONE], [wanted]),), skipped)


def light(count: int) -> list[Outcome]:
    return [Outcome("light", f"m{i}", f"model m{i}", 1, "passed") for i in range(count)]


def test_a_test_passes_fails_or_is_unsupported_by_what_the_importer_does() -> None:
    raw = model([node("Relu", "x", "y")], "x", "y")
    assert outcome(case(raw, np.float32([[1, 0]])), run_model).status == "passed"
    assert "off by up to 0.5" in outcome(case(raw, np.float32([[1.5, 0]])), run_model).why
    assert "float64" in outcome(case(raw, np.float64([[1, 0]])), run_model).why
    unknown = outcome(case(model([node("Conjure", "x", "y")], "x", "y"), ONE), run_model)
    assert unknown.status == "unsupported" and "Conjure" in unknown.why
    broken = outcome(case(b"no model", ONE), run_model)
    assert broken.status == "failed" and "CheckpointError" in broken.why
    assert outcome(case(raw, ONE, skipped="random numbers"), run_model).status == "skipped"


def test_a_disputed_test_is_so_only_where_we_saturate() -> None:
    def giving(values: np.ndarray) -> Outcome:
        return outcome(case(b"", np.int8([20, 5]), next(iter(DISPUTED))), lambda m, i: [values])

    assert giving(np.int8([-128, 5])).status == "disputed"
    assert giving(np.int8([20, 5])).status == "passed"
    assert giving(np.int8([19, 5])).status == "failed"
    assert giving(np.int16([-128, 5])).status == "failed"


@pytest.mark.parametrize(
    ("got", "wanted", "told"),
    [
        ([], [ONE], "0 outputs"),
        ([ONE, ONE], [ONE], ""),
        ([ONE[0]], [ONE], r"\(2,\)"),
        ([ONE * np.float32(1.0009)], [ONE], ""),
        ([ONE * np.float32(1.002)], [ONE], "off by up to 0.004"),
        ([np.float32([np.nan])], [np.float32([np.nan])], ""),
        ([np.float32([np.inf])], [np.float32([np.nan])], "off by"),
        ([np.array([1, 2])], [np.array([1, 3])], "1 of 2 values"),
    ],
)
def test_outputs_are_compared_in_number_shape_type_and_values(
    got: list[np.ndarray], wanted: list[np.ndarray], told: str
) -> None:
    found = difference(got, wanted, 1e-3, 1e-7)
    assert re.search(told, found) if told else not found


def test_the_gate_shuts_for_a_failure_a_missing_model_or_too_much_unsupported() -> None:
    good = [Outcome("node", f"t{i}", "Add", 1, "passed") for i in range(91)] + light(LIGHT_MODELS)
    assert not failures(good)
    assert failures(good[:-1]) == [f"{LIGHT_MODELS - 1} of {LIGHT_MODELS} whole classifiers pass"]
    refused = [Outcome("node", f"u{i}", "Sub", 1, "unsupported") for i in range(12)]
    assert not failures([*good, *refused[:11]])
    assert failures([*good, *refused]) == ["12 of 112 tests of tier 1 are unsupported"]
    assert failures([*good, Outcome("node", "bad", "Add", 3, "failed", "off")]) == ["node/bad: off"]


def test_tests_are_sorted_by_their_operators() -> None:
    assert FIRST < SECOND and len(FIRST) == 117
    assert (tier({"Add", "Conv"}), tier({"Add", "LSTM"}), tier({"ai.onnx.ml::Scaler"})) == (1, 2, 3)
    assert subject("simple", "t", ["Constant", "Conv", "Reshape"]) == "Conv"
    assert subject("simple", "t", ["Conv", "Relu"]) == "(several operators)"
    assert subject("node", "test_x_expanded", ["Add"]) == "(functions, expanded)"


def test_a_folder_of_tests_is_read_with_what_cannot_be_run(tmp_path: Path) -> None:
    suite = tmp_path / "onnx" / "backend" / "test" / "data" / "node"
    raw = model([node("Relu", "x", "y")], "x", "y")
    for name, made in {"a": raw, "b": model([node("RandomNormalLike", "x", "y")], "x", "y")}.items():
        data = suite / name / "test_data_set_0"
        data.mkdir(parents=True)
        (suite / name / "model.onnx").write_bytes(made)
        for kind, array in (("input", ONE), ("output", np.maximum(ONE, 0))):
            tensor: TensorProto = numpy_helper.from_array(array)
            (data / f"{kind}_0.pb").write_bytes(tensor.SerializeToString())
    found = [outcome(c, run_model) for c in cases(tmp_path)]
    assert [(o.name, o.status, o.why) for o in found] == [
        ("a", "passed", ""),
        ("b", "skipped", "random numbers"),
    ]
    assert [row for row, _ in rows(found)] == ["RandomNormalLike", "Relu"]
    assert totals(found) == {"passed": 1, "skipped": 1}
    assert "| tier 1 | 1 | 1 |" in markdown(found, "1.0")


def test_the_page_in_the_repository_has_no_failure() -> None:
    page = (sources.ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| ([^|]+) \| ([\d,]+) \| ([\d,]*) ?\| ([\d,]*) ?\| ([\d,]*) ?\|", page, re.M)
    found = {name: [int(n.replace(",", "") or 0) for n in numbers] for name, *numbers in table}
    first = found["tier 1"]
    assert first[1] > 900 and first[2] == 0 and first[3] <= first[0] // 10
    assert all(numbers[2] == 0 for numbers in found.values())
    assert sum(name.startswith("model ") for name in found) == LIGHT_MODELS
