"""Fuzzing of what is no image: vectors, signals, whole numbers; one at a time, and black boxes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import small_models
from PIL import Image

from armour.errors import FormatError
from armour.fuzz import Corpus, FuzzConfig, Fuzzer, FuzzResult
from armour.fuzz.execution import Executor
from armour.fuzz.preview import strip
from armour.fuzz.recipe import Recipe
from armour.fuzz.replay import replay
from armour.fuzz.sections import by_sample
from armour.model import CallableModel, Model
from armour.report import Report

SMALL = FuzzConfig(round=256)


def vectors(shape: tuple[int, ...] = (64,)) -> tuple[np.ndarray, np.ndarray, Model]:
    """Digits as arrays of another shape, and a model that reads nine in ten of them."""
    x, y = small_models.digits()
    x = x.reshape(len(x), *shape)
    return x, y, small_models.centroids(x, y)


def whole() -> tuple[np.ndarray, np.ndarray, Model]:
    """Digits as 64 whole numbers 0..16, of a model that says it takes integers."""
    x, y = small_models.digits()
    x = np.rint(x.reshape(len(x), 64) * 16).astype(np.float32)
    model = small_models.centroids(x, y, bounds=(0, 16))
    model.provenance["input"] = {"name": "bytes", "dtype": "int32"}
    return x, y, model


CASES = {"vector": vectors, "signal": lambda: vectors((4, 16)), "whole": whole}


@pytest.fixture(scope="module", params=list(CASES))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, FuzzResult]:
    """A run of each kind with a corpus."""
    x, y, model = CASES[request.param]()
    folder = tmp_path_factory.mktemp("arrays") / "corpus"
    return request.param, Fuzzer(model, x, y, corpus=folder, config=SMALL).run(executions=700)


def test_failures_are_found_counted_and_explained(run: tuple[str, FuzzResult]) -> None:
    name, result = run
    kind = "whole" if name == "whole" else "array"
    assert result.inputs == kind and result.executions == 700 and result.baseline is not None
    assert result.classes >= 5 and result.guided.valid > 600
    assert result.guided.failures == sum(result.guided.class_counts.values())
    assert "no SSIM" in result.validator and "splice" in result.mutators
    assert 0 < result.guided.coverage["kmnc"] <= 1
    assert result.corpus is not None
    manifest = json.loads((result.corpus / "manifest.json").read_text())
    assert (manifest["inputs"], manifest["validator"]) == (kind, result.validator)
    for path in result.corpus.glob("failures/*/*/meta.json"):
        meta = json.loads(path.read_text())
        assert meta["inputs"] == kind and meta["minimised_likeness"] <= 1
        assert meta["likeness"] == {"whole": "1 - changed share", "array": "1 - relative distance"}[kind]
        assert 0 < meta["minimised_changed"] <= 1 or "shift" in meta["class"] or "edit" in meta["class"]


def test_every_failure_is_in_the_domain_and_fails_again(run: tuple[str, FuzzResult]) -> None:
    name, result = run
    x, y, model = CASES[name]()
    for failure in result.failures:
        assert y[failure.source] == failure.true and failure.mutant.shape == x.shape[1:]
        assert model.bounds.contains(failure.mutant) and model.bounds.contains(failure.minimised)
        for mutant in (failure.mutant, failure.minimised):
            assert model.predict(mutant[None])[0] == failure.predicted != failure.true
            assert name != "whole" or np.array_equal(mutant, np.rint(mutant))
    families = {family for failure in result.failures for family in failure.families}
    known = {"element", "order", "edit", "block", "splice"}
    assert families <= (
        known if name == "whole" else {*known, "noise", "level", "smoothing", "extreme", "shift", "gradient"}
    )


def test_the_corpus_is_read_and_replayed_bit_for_bit(run: tuple[str, FuzzResult]) -> None:
    name, result = run
    _, _, model = CASES[name]()
    assert result.corpus is not None
    corpus = Corpus.read(result.corpus)
    cases = replay(corpus, model)
    assert len(cases) == result.guided.failures
    assert all(one.rebuilt and one.fails and one.same and one.validity == "V2" for one in cases)
    stored = corpus.failures()
    for read, found in zip(stored, result.failures, strict=True):
        assert np.array_equal(read.minimised_reference, found.minimised_reference)
        assert np.array_equal(read.mutant, found.mutant)


def test_the_result_does_not_depend_on_processes_or_interruptions(
    run: tuple[str, FuzzResult], tmp_path: Path
) -> None:
    name, result = run
    x, y, model = CASES[name]()
    assert result.corpus is not None
    Fuzzer(model, x, y, corpus=tmp_path / "corpus", config=SMALL).run(executions=384)
    again = Fuzzer(model, x, y, corpus=tmp_path / "corpus", config=SMALL).run(
        executions=700, resume=True, jobs=2
    )
    assert [f.recipe for f in again.failures] == [f.recipe for f in result.failures]
    assert small_models.contents(tmp_path / "corpus") == small_models.contents(result.corpus)


def test_reports_are_made_of_any_shape(run: tuple[str, FuzzResult], tmp_path: Path) -> None:
    name, result = run
    _, _, model = CASES[name]()
    Report.from_fuzz(result, model, mutators=result.mutators).to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "no SSIM" in page and any(failure.id in page for failure in result.failures)


def test_a_damaged_kind_is_no_corpus(tmp_path: Path) -> None:
    x, y, model = vectors()
    result = Fuzzer(model, x[:60], y[:60], corpus=tmp_path / "c", config=SMALL).run(executions=128)
    path = tmp_path / "c" / "manifest.json"
    manifest = json.loads(path.read_text())
    for wrong in ("pictures", 7, ["array"]):
        path.write_text(json.dumps({**manifest, "inputs": wrong}))
        with pytest.raises(FormatError, match="inputs"):
            replay(Corpus.read(tmp_path / "c"), model)
    path.write_text(json.dumps({**manifest, "inputs": "whole"}))
    with pytest.raises(FormatError, match="other inputs"):
        replay(Corpus.read(tmp_path / "c"), model)
    assert result.inputs == "array"


def test_one_sample_at_a_time_gives_the_same_figures() -> None:
    x, y, model = vectors()
    many = Fuzzer(model, x, y, config=SMALL).run(executions=300)
    model.batch_size = 1
    one = Fuzzer(model, x, y, config=SMALL).run(executions=300)
    assert one.guided.valid == many.guided.valid and one.guided.coverage["kmnc"] > 0
    assert abs(one.guided.failures - many.guided.failures) <= 0.1 * many.guided.failures + 2


def test_black_boxes_of_any_shape() -> None:
    x, y, model = vectors((4, 4, 2, 2))
    box = CallableModel(model.logits, outputs="logits", input_shape=(4, 4, 2, 2), num_classes=10)
    result = Fuzzer(box, x, y, config=SMALL).run(executions=300)
    assert result.inputs == "array" and result.guided.failures > 0
    assert result.guided.coverage == {"kmnc": 0.0, "nbc": 0.0, "snac": 0.0}


def test_classes_of_one_seed_are_not_spliced() -> None:
    x, y, model = vectors()
    right = np.flatnonzero(model.predict(x) == y)
    first = [int(right[y[right] == label][0]) for label in range(5)]
    result = Fuzzer(model, x[first], y[first], config=SMALL).run(executions=300)
    assert "splice" not in result.mutators and "block-copy" in result.mutators
    steps = [step.mutator for f in result.failures for step in Recipe.parse(f.recipe).steps]
    assert steps and "splice" not in steps


def test_layers_of_steps_belong_to_their_sample() -> None:
    values = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(6, 4, 5)
    layers = {"steps": values, "flat": values[:2], "lost": values[:5], "one": values[:2, 0, 0]}
    found = by_sample(layers, 2, alone=True)
    assert set(found) == {"steps", "flat"} and found["steps"].shape == (2, 4, 3, 5)
    assert np.array_equal(found["steps"][1, :, 2], values[5])
    assert set(by_sample(layers, 2, alone=False)) == {"flat"}


@pytest.mark.parametrize("alone", [False, True])
def test_large_layers_are_never_held_for_a_whole_batch(alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x, _, model = vectors()
    whole_batch = Executor(model, 64).run(x[:150])
    for name, value in (("_WHOLE", 1 << 10), ("_PART", 1 << 11), ("_SMALL", 1)):
        monkeypatch.setattr(f"armour.fuzz.execution.{name}", value)
    model.batch_size = 1 if alone else 256
    seen: list[int] = []
    tapped = model.tapped
    monkeypatch.setattr(model, "tapped", lambda part: seen.append(len(part)) or tapped(part))
    executor = Executor(model, 64)
    parts = executor.run(x[:150])
    # One look at a few, and then parts of a batch, or the model's own summaries.
    assert seen[0] == 8 and (max(seen[1:]) <= 8 if alone else seen == [8])
    assert parts.neurons.shape == whole_batch.neurons.shape
    np.testing.assert_allclose(parts.neurons, whole_batch.neurons, atol=1e-5)
    np.testing.assert_allclose(parts.logits, whole_batch.logits, atol=1e-5)
    assert executor.executions == 150


@pytest.mark.parametrize("shape", [(5,), (3, 4000), (2, 2, 2, 2)])
def test_previews_of_arrays_are_plots(shape: tuple[int, ...]) -> None:
    low, high = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    image = Image.open(io.BytesIO(strip(low, high, low, (0, 1))))
    assert image.mode == "L" and image.height == 84
    pixels = np.asarray(image)
    width = (image.width - 4 * 4) // 5
    rows = [np.flatnonzero(pixels[:, k * (width + 4)] == 0).tolist() for k in range(5)]
    # The root at the bottom, the mutant and its difference at the top, no difference in the middle.
    assert rows == [[83], [0], [0], [83], [41]]
    assert strip(low * np.nan, high, low, (0, 1)).startswith(b"\x89PNG")
