"""What people say of failures: the order of questions, controls, counts and agreement."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import small_models

from armour.errors import FormatError
from armour.fuzz import Corpus, FuzzConfig, Fuzzer, ladder
from armour.fuzz import review as reviews
from armour.fuzz.review import Answer, questions, summarise


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus of 900 executions."""
    x, y = small_models.digits(200)
    folder = tmp_path_factory.mktemp("review") / "corpus"
    Fuzzer(small_models.centroids(x, y), x, y, corpus=folder, config=FuzzConfig(round=256)).run(
        executions=900
    )
    return Corpus.read(folder)


def say(key: str, answer: str, reviewer: str = "a", kind: str = "failure") -> Answer:
    return Answer(key=key, kind=kind, label=0, reviewer=reviewer, answer=answer)  # type: ignore[arg-type]


def test_one_question_for_each_class_and_a_control_for_every_four(corpus: Corpus) -> None:
    asked = questions(corpus, "a")
    stored = [record for record in corpus.records() if record["first"]]
    failures = [one for one in asked if one.kind == "failure"]
    controls = [one for one in asked if one.kind != "failure"]
    assert {one.key for one in failures} == {record["id"] for record in stored} and len(failures) > 8
    assert len(controls) == -(-len(failures) // 4)
    assert abs(sum(one.kind == "clean" for one in controls) - len(controls) / 2) <= 0.5
    for one in controls:
        assert (one.label == corpus.roots.labels[one.number]) == (one.kind == "clean")
        np.testing.assert_array_equal(
            reviews.shown(corpus, one, corpus.records()), corpus.roots.x[one.number]
        )
    for one in failures:
        record = corpus.records()[one.number]
        assert (record["id"], record["true"]) == (one.key, one.label)
        np.testing.assert_array_equal(
            reviews.shown(corpus, one, corpus.records()), corpus.failure(record).mutant
        )


def test_the_order_is_random_and_the_same_each_time(corpus: Corpus) -> None:
    asked = questions(corpus, "a")
    assert asked == questions(corpus, "a")
    assert [one.key for one in asked] != [one.key for one in questions(corpus, "b")]
    assert [one.key for one in asked] != [one.key for one in questions(corpus, "a", seed=1)]
    places = [i for i, one in enumerate(asked) if one.kind != "failure"]
    assert places != list(range(len(asked) - len(places), len(asked)))
    few = questions(corpus, "a", limit=4)
    assert sum(one.kind == "failure" for one in few) == 4 and len(few) == 5


def test_counts_by_hand() -> None:
    total = summarise(
        [
            say("f1", "yes"), say("f1", "yes", "b"), say("f2", "no"), say("f2", "yes", "b"),
            say("f3", "no"), say("f3", "no", "b"), say("f4", "unsure"), say("f4", "yes", "b"),
            say("c1", "yes", kind="clean"), say("c2", "no", kind="clean"), say("c3", "unsure", kind="clean"),
            say("w1", "no", kind="wrong"),
        ]
    )  # fmt: skip
    assert total.valid == ("f1", "f4") and total.unsure == 1
    assert total.confirmed is not None and total.confirmed[:2] == (2, 3)
    assert total.clean is not None and total.clean[:2] == (1, 2)
    assert total.wrong is not None and total.wrong[:2] == (1, 1)
    assert total.controls is not None and total.controls[:2] == (2, 3)
    assert total.agreement is not None and total.agreement[:2] == (2, 3)
    # Said alike: 2/3. Yes: 3 of 6 answers, so chance is 1/2: (2/3 - 1/2) / (1/2).
    assert total.kappa == pytest.approx(1 / 3)
    assert total.reviewers == ("a", "b")


def test_nothing_was_asked() -> None:
    total = summarise([])
    assert total.confirmed is total.controls is total.agreement is total.kappa is None
    assert total.valid == () and total.reviewers == ()


def test_answers_are_kept_and_the_last_one_counts(corpus: Corpus, tmp_path: Path) -> None:
    shutil.copytree(corpus.folder, tmp_path / "c")
    own = Corpus.read(tmp_path / "c")
    asked = [one for one in questions(own, "a") if one.kind == "failure"][:2]
    for one, said in ((asked[0], "no"), (asked[1], "no"), (asked[0], "yes")):
        reviews.append(own, Answer(key=one.key, kind=one.kind, label=one.label, reviewer="a", answer=said))
    assert [(one.key, one.answer) for one in reviews.answers(own)] == [
        (asked[0].key, "yes"),
        (asked[1].key, "no"),
    ]
    ladder.enter(own)
    levels = ladder.levels(own)
    assert levels[asked[0].key] == "V4" and levels[asked[1].key] == "V2"
    record = own.records()[asked[0].number]
    meta = own.folder / "failures" / record["class"] / record["id"] / "meta.json"
    assert '"validity": "V4"' in meta.read_text()
    assert own.failure(record).validity == "V2"  # what the fuzzer judged stays
    with (own.folder / "reviews.jsonl").open("a") as stream:
        stream.write('{"key": "x"}\n')
    with pytest.raises(FormatError, match="line 4"):
        reviews.answers(own)
