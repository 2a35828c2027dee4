"""AutoAttack: its rows, the worst case over them, state files, limits of time, random models."""

from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import linear
import numpy as np
import pytest

from armour import attacks, criteria
from armour.attacks import clock
from armour.attacks.search import Search
from armour.contract import LossFn
from armour.errors import InvalidArgument, RemoteError, UnsupportedError
from armour.model import CallableModel
from armour.rng import by_content
from armour.tensor import losses

KINDS = {
    ("standard", "linf"): ["APGD", "APGDT", "FABT", "Square"],
    ("standard", "l1"): ["APGD", "APGDT", "FABT", "Square"],
    ("plus", "l2"): ["APGD", "APGDDLR", "FAB", "Square", "APGDT", "FABT"],
    ("rand", "linf"): ["APGD", "APGDDLR"],
}
FIELDS = ("adv", "success", "spent", "broken_by", "distance", "finished", "robust_accuracy")


def many(classes: int = 10, d: int = 16, scale: float = 1.0, seed: int = 0) -> linear.LinearModel:
    """A linear model that sees each sample by itself."""
    rng = np.random.default_rng(seed)
    return linear.LinearModel(rng.normal(size=(d, classes)) * scale, np.zeros(classes))


def row(classes: int = 10, **settings: Any) -> tuple[attacks.Attack, ...]:
    return attacks.AutoAttack(**settings).components(many(classes))


@pytest.mark.parametrize(("version", "norm"), KINDS)
def test_rows_are_those_of_the_public_code(version: str, norm: str) -> None:
    made = row(version=version, norm=norm)
    assert [type(attack).__name__ for attack in made] == KINDS[version, norm]
    assert {attack.norm for attack in made} == {norm}
    by = {type(attack).__name__: attack for attack in made}
    restarts = 5 if version == "plus" or norm == "l1" else 1
    assert by["APGD"].restarts == restarts and by["APGD"].steps == 100  # type: ignore[attr-defined]
    if version == "rand":
        assert [attack.eot for attack in made] == [20, 20]  # type: ignore[attr-defined]
        return
    assert by["APGDT"].targets == (5 if norm == "l1" else 9)  # type: ignore[attr-defined]
    assert by["FABT"].targets == 9 and by["Square"].queries == 5000  # type: ignore[attr-defined]
    if version == "plus":
        assert by["FAB"].restarts == by["APGDDLR"].restarts == 5  # type: ignore[attr-defined]


def test_few_classes_have_a_shorter_row_and_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        made = {k: row(k) for k in (2, 3, 4, 6)}
    assert len(caplog.records) == 4 and "2 classes" in caplog.text
    shown = {k: [type(attack).__name__ for attack in made[k]] for k in made}
    assert shown[2] == ["APGD", "APGD", "FABT", "Square"] and made[2][1].loss == "margin"  # type: ignore[attr-defined]
    assert shown[3] == ["APGD", "APGDDLR", "FABT", "Square"]
    assert shown[4] == ["APGD", "APGDT", "FABT", "Square"]
    assert [made[k][2].targets for k in (2, 3, 4, 6)] == [1, 2, 3, 5]  # type: ignore[attr-defined]
    for k in (2, 3):
        model = many(k)
        x = linear.inputs(model, 8)
        result = attacks.AutoAttack(steps=3, queries=5).attack(model, x, model.predict(x), 0.2)
        assert result.finished.all() and len(result.components) == 4
        (said,) = result.left_out
        assert said.startswith("APGDT was left out: it needs at least 4 classes")
    plus = attacks.AutoAttack(version="plus").left_out(many(2))
    assert [line.partition(" ")[0] for line in plus] == ["APGDDLR", "APGDT"]
    assert attacks.AutoAttack().left_out(many()) == ()


def test_the_worst_case_over_the_row_and_who_broke_what() -> None:
    model = linear.small_network()
    x = linear.inputs(model, 30)
    y = model.predict(x)
    attack = attacks.AutoAttack(norm="l2", steps=2, queries=40)
    result = attack.attack(model, x, y, [0.05, 0.25], rng=3)
    parts = attack.components(model)
    assert result.components == tuple(map(str, parts)) and result.norm == "l2"
    alone = [part.attack(model, x, y, [0.05, 0.25], rng=3) for part in parts]
    assert (result.success >= alone[0].success).all()
    assert (result.broken_by[alone[0].success] == 0).all()
    assert ((result.broken_by >= 0) == result.success).all()
    later = result.broken_by > 0
    assert later.any() and not alone[0].success[later].any()
    # Square alone has a ledger, and asks about what the others have left.
    assert (result.spent[result.broken_by < 0] == 40).all() and not result.spent[result.broken_by == 0].any()
    # Called as a part of something else it is the same.
    search = Search(model, x, attacks.base.Misclassified(y), (0.25,), by_content(np.random.default_rng(3), x))
    search.run([attack])
    np.testing.assert_array_equal(search.adv[0], result.adv[1])
    np.testing.assert_array_equal(search.spent[0], result.spent[1])


class Ending(linear.LinearModel):
    """Answers so many calls, then raises."""

    calls = 10**9

    def _forward(self, x: np.ndarray) -> np.ndarray:
        self.calls -= 1
        if self.calls < 0:
            raise RemoteError("gone")
        return super()._forward(x)


@pytest.mark.parametrize("calls", [20, 90, 160])
def test_a_row_broken_off_goes_on_to_the_same_result(calls: int, tmp_path: Any) -> None:
    known = many()
    model = Ending(known.weights, known.bias, batch_size=6)
    x = linear.inputs(model, 15, seed=2)
    y = model.predict(x)
    attack = attacks.AutoAttack(steps=2, queries=12)
    whole = attack.attack(model, x, y, 0.08, rng=1)
    assert len(set(whole.broken_by[0])) >= 2
    model.calls = calls
    with pytest.raises(RemoteError):
        attack.attack(model, x, y, 0.08, rng=1, state=tmp_path / "state.npz")
    model.calls = 10**9
    again = attack.attack(model, x, y, 0.08, rng=1, state=tmp_path / "state.npz")
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(again, field), getattr(whole, field))


def ring_after(monkeypatch: pytest.MonkeyPatch, looks: float) -> None:
    """A clock that is past every limit once it has been looked at so often."""
    seen = {"count": 0}

    def monotonic() -> float:
        seen["count"] += 1
        return 0.0 if seen["count"] <= looks else 1e9

    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=monotonic))


@pytest.mark.parametrize("looks", [1, 3, 30, 70, 100, 150, 250])
def test_out_of_time_gives_what_is_known(looks: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Wherever the clock rings: a bound, every success verified, and the same end when it goes on."""
    known = many()
    model = linear.LinearModel(known.weights, known.bias, batch_size=10)
    x = linear.inputs(model, 24, seed=2)
    y = model.predict(x)
    y[0] = (y[0] + 1) % 10
    attack = attacks.AutoAttack(steps=6, queries=12, seconds=5)
    ring_after(monkeypatch, np.inf)
    whole = attack.attack(model, x, y, [0.03, 0.06], rng=1)
    assert not whole.stopped and whole.finished.all()
    assert len(whole.components) == 5 and "steps=1," in whole.components[0]
    ring_after(monkeypatch, looks)
    part = attack.attack(model, x, y, [0.03, 0.06], rng=1, state=tmp_path / "state.npz")
    assert part.stopped
    assert (part.robust_accuracy >= whole.robust_accuracy).all()
    np.testing.assert_allclose(part.robust_accuracy, (~part.success).mean(axis=1))
    np.testing.assert_allclose(part.withstood, part.robust_accuracy)
    for k in range(2):
        np.testing.assert_array_equal(part.success[k], model.predict(part.adv[k]) != y)
    assert part.finished[0] and (part.finished.all() if looks >= 30 else not part.finished.all())
    ring_after(monkeypatch, np.inf)
    again = attack.attack(model, x, y, [0.03, 0.06], rng=1, state=tmp_path / "state.npz")
    # What was broken off began anew and has asked more; what it found is the same.
    for field in set(FIELDS) - {"spent"}:
        np.testing.assert_array_equal(getattr(again, field), getattr(whole, field))
    assert (again.spent >= whole.spent).all()
    assert not again.stopped and again.finished.all()


class Doubtful(linear.LinearModel):
    """A sure linear model that gives another answer every `period` calls."""

    period, asked = 4, 0

    def _forward(self, x: np.ndarray) -> np.ndarray:
        self.asked += 1
        logits = super()._forward(x)
        return -logits if self.asked % self.period == 0 else logits

    def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return super()._pullback(x, loss_fn)


def test_a_lucky_answer_is_no_success_of_rand() -> None:
    model = Doubtful(many().weights, np.zeros(10))
    x = linear.inputs(model, 12)
    y = many().predict(x)
    epsilon = 1e-4  # nothing can be broken but by luck
    lucky = []
    for model.period in (3, 4, 5, 7):
        lucky.append(attacks.AutoAttack(steps=2, queries=5).attack(model, x, y, epsilon).success.any())
        sure = attacks.AutoAttack(version="rand", steps=2).attack(model, x, y, epsilon)
        assert not sure.success.any() and sure.clean_accuracy == 1
    assert any(lucky), "the case must have lucky answers"
    # A model that is wrong in most of its answers is wrong.
    wrong = attacks.AutoAttack(version="rand", steps=2).attack(model, x, (y + 1) % 10, epsilon)
    assert wrong.success.all() and wrong.clean_accuracy == 0 and wrong.gradients == 0
    found = attacks.AutoAttack(version="rand", steps=5).attack(model, x, y, 0.5)
    assert found.success.mean() > 0.5


def test_a_mask_leaves_fab_out() -> None:
    mask = np.zeros(16, bool)
    mask[:5] = True
    attack = attacks.AutoAttack(mask=mask, steps=2, queries=5)
    assert [type(part).__name__ for part in attack.components(many())] == ["APGD", "APGDT", "Square"]
    assert attack.left_out(many()) == ("FABT was left out: it knows no mask and no grid",)


ROWS = {
    ("standard", None): ["APGD", "Square"],
    ("plus", None): ["APGD", "Square"],
    ("rand", None): ["APGD"],
    ("standard", 30.0): ["APGD", "APGD", "Square"],
}
OUT = {
    ("standard", None): ["APGDT", "FABT"],
    ("plus", None): ["APGDDLR", "FAB", "APGDT", "FABT"],
    ("rand", None): ["APGDDLR"],
    ("standard", 30.0): ["APGDT", "FABT"],
}


@pytest.mark.parametrize(("version", "seconds"), ROWS)
def test_a_criterion_without_labels_has_what_climbs_its_loss(version: str, seconds: float | None) -> None:
    """The row is what can be run, each as by itself; the rest is named with a reason."""
    model = many()
    x = linear.inputs(model, 20, seed=2)
    y = model.predict(x)
    goal = criteria.Custom(lambda z, k: z.argmax(axis=1) != k, losses.margin, data=(y,), name="wrong")
    attack = attacks.AutoAttack(version=version, seconds=seconds, steps=4, queries=20)  # type: ignore[arg-type]
    result = attack.attack(model, x, goal, 0.06, rng=1)
    kinds = [line.partition("(")[0] for line in result.components]
    assert kinds == ROWS[version, seconds] and result.finished.all()
    assert [line.partition(" ")[0] for line in result.left_out] == OUT[version, seconds]
    assert all("Custom('wrong') has no labels" in line and "\n" not in line for line in result.left_out)
    assert 0 < result.success.mean() < 1
    np.testing.assert_array_equal(result.success[0], model.predict(result.adv[0]) != y)
    # By labels the same loss, in the same row, finds the same: nothing of the criterion was lost on the way.
    same = [replace(part, loss="margin") for part in attack.components(model, goal)]  # type: ignore[call-arg]
    streams = by_content(np.random.default_rng(1), x)
    search = Search(model, x, criteria.Misclassified(y), (0.06,), streams, 20 if version == "rand" else 1)
    search.run(same)
    np.testing.assert_array_equal(search.adv, result.adv)


def test_without_gradients_there_is_square_alone_and_rand_says_what_works() -> None:
    known = many()
    x = linear.inputs(known, 12, seed=2)
    y = known.predict(x)
    box = CallableModel(known.logits, input_shape=x.shape[1:], num_classes=10)
    result = attacks.AutoAttack(queries=30, seconds=60).attack(box, x, y, 0.08, rng=1)
    alone = attacks.Square(queries=30).attack(box, x, y, 0.08, rng=1)
    assert result.components == alone.components and result.gradients == 0
    np.testing.assert_array_equal(result.adv, alone.adv)
    assert [line.partition(" ")[0] for line in result.left_out] == ["APGD", "APGD", "APGDT", "FABT"]
    assert all("it needs gradients" in line for line in result.left_out)
    with pytest.raises(UnsupportedError, match=r"needs gradients.*outputs alone: .*square") as one:
        attacks.AutoAttack(version="rand").attack(box, x, y, 0.08)
    assert "\n" not in str(one.value)


@pytest.mark.parametrize("name", ["apgd-t", "fab", "fab-t", "ead", "jsma"])
def test_what_goes_through_classes_says_so_before_it_asks(name: str) -> None:
    model = many()
    x = linear.inputs(model, 6)
    goal = criteria.Custom(lambda z: z[:, 0] > 9, lambda z: z[:, 0])
    attack = attacks.get(name)()
    budget = 0.1 if isinstance(attack, attacks.FixedBudgetAttack) else None
    before = model.counter.queries
    with pytest.raises(UnsupportedError, match=r"goes through classes, and .* has no labels; use one that"):
        attack.attack(model, x, goal, budget)
    assert model.counter.queries == before


def test_settings_are_checked() -> None:
    for settings in ({"version": "custom"}, {"seconds": 0}, {"steps": 0}, {"queries": 0}, {"norm": "l0"}):
        with pytest.raises(InvalidArgument):
            attacks.AutoAttack(**settings)  # type: ignore[arg-type]
