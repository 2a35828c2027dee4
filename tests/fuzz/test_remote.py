"""Fuzzing a model that may stop answering: nothing that was done is lost but the round at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models

from armour.errors import RemoteError
from armour.fuzz import Corpus, FuzzConfig, Fuzzer, FuzzResult
from armour.fuzz.execution import Executor
from armour.model import CallableModel

X, Y = small_models.digits(120)
NET = small_models.centroids(X, Y)
CONFIG = FuzzConfig(validity="V1")


class Served(CallableModel):
    """Stands for a model behind a URL: a black box that gives an error after so many samples."""

    remote = True

    def __init__(self, samples: float = float("inf"), error: BaseException | None = None) -> None:
        super().__init__(
            NET.logits, input_shape=(1, 8, 8), num_classes=10, name="served", outputs="logits", batch_size=64
        )
        self.left, self.error = samples, error or RemoteError("gone")

    @property
    def fingerprint(self) -> str:
        return "served"

    def _forward(self, x: np.ndarray) -> np.ndarray:
        self.left -= len(x)
        if self.left < 0:
            raise self.error
        return super()._forward(x)


def run(model: Served, corpus: Path | None, **options: Any) -> FuzzResult:
    return Fuzzer(model, X, Y, corpus=corpus, config=CONFIG).run(rng=4, executions=640, **options)


def contents(folder: Path) -> dict[str, bytes]:
    """What is in the corpus, but for the manifest, which tells of this process's threads."""
    return {key: value for key, value in small_models.contents(folder).items() if key != "manifest.json"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[FuzzResult, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("undisturbed") / "corpus"
    result = run(Served(), folder)
    assert result.executions == 640 and result.classes > 3 and not result.interrupted
    return result, contents(folder)


@pytest.mark.parametrize("error", [RemoteError("gone"), KeyboardInterrupt()])
def test_a_run_that_broke_off_again_and_again_ends_as_if_undisturbed(
    undisturbed: tuple[FuzzResult, dict[str, bytes]], tmp_path: Path, error: BaseException
) -> None:
    folder, done = tmp_path / "corpus", [0]
    for samples in (300, 500, 900, 1500):
        with pytest.raises(type(error)) as caught:
            run(Served(samples, error), folder, resume=True)
        part = caught.value.partial  # type: ignore[union-attr]
        assert part.interrupted and part.executions >= done[-1] and part.executions % 32 == 0
        assert len(Corpus.read(folder).records()) == part.guided.failures
        assert len(part.failures) == part.classes
        done.append(part.executions)
    assert 0 < done[-1] < 640 and len(set(done)) > 2
    result = run(Served(), folder, resume=True)
    assert result.guided.class_counts == undisturbed[0].guided.class_counts
    assert contents(folder) == undisturbed[1]


def test_an_error_in_the_first_round_leaves_a_corpus_to_go_on_with(
    undisturbed: tuple[FuzzResult, dict[str, bytes]], tmp_path: Path
) -> None:
    with pytest.raises(RemoteError) as caught:
        run(Served(130), tmp_path / "corpus")
    assert caught.value.partial.executions == 0
    run(Served(), tmp_path / "corpus", resume=True)
    assert contents(tmp_path / "corpus") == undisturbed[1]


def test_an_error_while_the_seeds_are_read_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RemoteError) as caught:
        run(Served(100), tmp_path / "corpus")
    assert caught.value.partial is None and not (tmp_path / "corpus").exists()


def test_without_a_folder_the_error_has_the_result(
    undisturbed: tuple[FuzzResult, dict[str, bytes]],
) -> None:
    with pytest.raises(RemoteError) as caught:
        run(Served(1500), None)
    part = caught.value.partial
    assert 0 < part.executions < 640 and part.corpus is None
    later = undisturbed[0].guided.curve
    same = [point for point in later if point.executions == part.executions]
    assert [(p.failures, p.classes) for p in same] == [(part.guided.failures, part.classes)]


def test_no_sample_is_sent_that_nobody_looks_at() -> None:
    model = Served()
    Executor(model, 128).run(X[:5])
    assert model.counter.queries == 5
    Executor(NET, 128).run(X[:5])
