"""The figure of an evaluation against closed forms, and what it must not depend on."""

from __future__ import annotations

from typing import Any

import linear
import numpy as np
import pytest

import armour
from armour import attacks
from armour.attacks import PGD, Square, transfer_matrix
from armour.errors import InvalidArgument, NothingEvaluated, UnsupportedError
from armour.evaluation import RULES
from armour.report import Report
from armour.report_checks import all_checks
from armour.stats import wilson

EPSILONS = {"linf": (0.02, 0.05, 0.12), "l2": (0.05, 0.15, 0.4), "l1": (0.1, 0.4, 1.2)}


def problem(n: int = 48, seed: int = 1) -> tuple[linear.LinearModel, np.ndarray, np.ndarray]:
    """A linear model, inputs, and labels of which an eighth are wrong."""
    model = linear.two_classes(seed=seed)
    x = linear.inputs(model, n, seed)
    y = model.predict(x)
    y[::8] = 1 - y[::8]
    return model, x, y


def evaluate(model: Any, x: Any, y: Any, **options: Any) -> Report:
    options.setdefault("threat", armour.Threat(epsilons=EPSILONS["linf"]))
    options.setdefault("attacks", [PGD(steps=10)])
    return armour.evaluate(model, x, y, **options)


def status(report: Report) -> dict[str, str]:
    return {check.id: check.status for check in all_checks(report)}


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_robust_accuracy_is_what_the_closed_form_says(norm: Any) -> None:
    model, x, y = problem()
    budgets = EPSILONS[norm]
    threat = armour.Threat(norm=norm, epsilons=[budgets[1], budgets[0], budgets[2]])
    report = evaluate(model, x, y, threat=threat, attacks=[PGD(norm=norm, steps=40, restarts=2)])
    section = report.attacks[0]
    assert section.epsilons == budgets and section.headline == 1
    margins = linear.margin(model, x, y)
    for k, epsilon in enumerate(budgets):
        drop = linear.largest_drop(linear.slope(model, y), x, epsilon, norm, (0, 1))
        surely = int((margins > drop * (1 + 1e-6)).sum())
        nearly = int(((margins > drop * 0.97) & (margins <= drop * (1 + 1e-6)) & (margins > 0)).sum())
        assert surely <= section.robust[k].k <= surely + (0 if norm == "linf" else nearly)
    assert section.clean.k == int((margins > 0).sum())
    low, high = wilson(section.robust[1].k, len(x))
    assert (section.robust[1].low, section.robust[1].high) == (low, high)
    words = status(report)
    assert words["R05"] == words["R21"] == words["R03"] == words["R14"] == "ok"
    assert report.evaluation is not None and report.evaluation.masking == "none"


def test_every_rule_is_answered_and_the_report_comes_back_equal() -> None:
    model, x, y = problem()
    report = evaluate(model, x, y, groups=["left"] * 18 + ["right"] * 30)
    assert set(RULES) <= {check.id for check in report.checks}
    assert {"R01", "R02", "R04", "R17", "R18", "R19", "R20"} <= set(status(report))
    again = Report.from_json(report.to_json())
    assert again == report and again.sha256 == report.sha256
    section = report.evaluation
    assert section is not None
    assert [(row.name, row.clean.n) for row in section.groups] == [("left", 18), ("right", 30)]
    for k, rate in enumerate(report.attacks[0].robust):
        assert sum(row.robust[k].k for row in section.groups) == rate.k
        assert section.outcomes.fate[k].count(".") == rate.k
        assert section.steps[-1].left[k].k == rate.k
    assert section.outcomes.fate[0].count("x") == len(x) - report.attacks[0].clean.k
    assert len(set(section.outcomes.ids)) == len(x)


def test_smallest_distances_are_never_below_the_exact_ones() -> None:
    model, x, y = problem()
    section = evaluate(model, x, y).evaluation
    assert section is not None
    margins = linear.margin(model, x, y)
    for distance, margin, fate in zip(
        section.outcomes.distances, margins, section.outcomes.fate[-1], strict=True
    ):
        if fate == "x":
            assert distance == 0.0
        elif distance is not None:
            exact = margin / np.abs(model.weights[:, 0] - model.weights[:, 1]).sum()
            assert distance >= exact * (1 - 1e-3)
            assert (distance <= EPSILONS["linf"][-1] * (1 + 1e-3)) == (fate != ".")


def test_later_attacks_see_survivors_only_and_what_is_broken_stays_broken() -> None:
    model, x, y = problem()
    row = [PGD(steps=2, step_size=0.1, random_start=False), PGD(steps=20), Square(queries=50)]
    section = evaluate(model, x, y, attacks=row).evaluation
    assert section is not None
    first, second, third = section.steps[:3]
    for k in range(3):
        assert first.given[k] - first.broken[k] == second.given[k]
        assert second.given[k] - second.broken[k] == third.given[k]
        assert first.given[k] == sum(fate != "x" for fate in section.outcomes.fate[k])
    assert sum(second.broken) > 0 and sum(third.broken) == 0
    rows = [np.array([*fate]) != "." for fate in section.outcomes.fate]
    assert not (rows[0] & ~rows[1]).any() and not (rows[1] & ~rows[2]).any()
    assert third.queries > 0 and third.gradients == 0


def test_neither_batch_size_nor_order_nor_neighbours_matter() -> None:
    model, x, y = problem()
    row = [PGD(steps=3, step_size=0.2), Square(queries=20)]
    base = evaluate(model, x, y, attacks=row, rng=3)
    model.batch_size = 7
    assert evaluate(model, x, y, attacks=row, rng=3).sha256 == base.sha256
    model.batch_size = 256
    order = np.random.default_rng(0).permutation(len(x))
    turned = evaluate(model, x[order], y[order], attacks=row, rng=np.random.default_rng(3))
    assert base.evaluation is not None and turned.evaluation is not None
    one, other = base.evaluation.outcomes, turned.evaluation.outcomes
    assert other.ids == tuple(one.ids[i] for i in order)
    for mine, theirs in zip(one.fate, other.fate, strict=True):
        assert theirs == "".join(mine[i] for i in order)
    assert evaluate(model, x, y, attacks=row, rng=4).sha256 != base.sha256


def test_a_targeted_attacker_needs_a_class_of_his_own() -> None:
    model, x, y = problem()
    threat = armour.Threat(epsilons=EPSILONS["linf"], goal="targeted")
    report = evaluate(model, x, y, threat=threat)
    assert report.attacks[0].robust == evaluate(model, x, y).attacks[0].robust  # two classes: the other one
    with pytest.raises(InvalidArgument, match="goal='targeted' only"):
        evaluate(model, x, y, targets=y)


class Blind(linear.LinearModel):
    """The linear model without its gradients."""

    can_grad = False


def test_a_model_without_gradients_gets_attacks_that_need_none() -> None:
    source, x, y = problem()
    model = Blind(source.weights, source.bias)
    threat = armour.Threat(epsilons=EPSILONS["linf"], queries=60)
    report = evaluate(model, x, y, threat=threat, attacks="standard")
    section = report.evaluation
    assert section is not None and section.preset == "black-box" and section.masking == "not examined"
    assert all(step.access == "black-box" for step in section.steps)
    assert "black-box was run instead" in section.notes[0]
    assert report.attacks[0].access == "black-box" and section.threat.queries == 60
    curve = section.queries[0]
    assert curve.queries[-1] <= 60 and list(curve.broken) == sorted(curve.broken, key=lambda rate: rate.k)
    assert status(report)["R10"] == "note" and status(report)["R14"] == "note"
    with pytest.raises(UnsupportedError, match="square"):
        evaluate(model, x, y, threat=threat, attacks="pgd")


def test_surrogates_fill_the_transfer_table() -> None:
    model, x, y = problem()
    same = linear.LinearModel(model.weights, model.bias, name="twin")
    section = evaluate(model, x, y, surrogates=[same]).evaluation
    assert section is not None
    (row,) = section.transfer
    assert row.source == "twin (1)" and row.itself.k == row.target.k > 0


def test_transfer_is_that_of_the_transfer_matrix_whatever_range_a_surrogate_takes() -> None:
    model, x, y = problem()
    rng = np.random.default_rng(5)
    weights = model.weights + rng.normal(size=model.weights.shape) * np.abs(model.weights).mean()
    other = linear.LinearModel(weights / 255, model.bias, bounds=(0, 255), name="bytes")
    plain = linear.LinearModel(weights, model.bias, name="plain")
    report = evaluate(model, x, y, surrogates=[other, plain])
    section = report.evaluation
    assert section is not None
    found = {row.source: (row.itself.k, row.target.k) for row in section.transfer}
    assert found["bytes (1)"] == found["plain (2)"]
    right = (model.predict(x) == y) & (plain.predict(x) == y)
    epsilon = report.attacks[0].epsilons[report.attacks[0].headline]
    attack = PGD(steps=40, loss="cross-entropy")
    matrix = transfer_matrix([plain, model], x[right], y[right], attack, epsilon)
    # The table counts samples that the surrogate itself misreads too.
    spare = int(((model.predict(x) == y) & ~right).sum())
    both = np.rint(matrix.rates[0] * right.sum())
    assert found["plain (2)"][0] == both[0] + spare and 0 <= found["plain (2)"][1] - both[1] <= spare


def test_training_data_among_the_samples_are_an_error() -> None:
    model, x, y = problem()
    assert status(evaluate(model, x, y, training=(x[:40], y[:40])))["R24"] == "error"
    assert status(evaluate(model, x, y, training=(x[:40] * 0.5, y[:40])))["R24"] == "ok"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"attacks": "standart"}, "did you mean standard"),
        ({"attacks": "pgd,qgd"}, "unknown preset or attack 'qgd'"),
        ({"attacks": []}, "expected a preset"),
        ({"attacks": [PGD(norm="l2")]}, "expected attacks in linf"),
        ({"threat": "linf"}, "expected an armour.Threat"),
        ({"threat": armour.Threat(epsilons=8)}, "exceeds the span"),
        ({"groups": ["a"]}, "expected the group of each of the 48 samples, got 1"),
        ({"seconds": 0}, "above 0"),
        ({"threat": armour.Threat(epsilons=0.1, knowledge="black-box")}, "PGD needs gradients"),
    ],
)
def test_what_does_not_fit_is_one_line(options: dict[str, Any], message: str) -> None:
    model, x, y = problem()
    with pytest.raises(InvalidArgument) as caught:
        evaluate(model, x, y, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_nothing_to_evaluate_is_its_own_error() -> None:
    model, x, y = problem()
    with pytest.raises(NothingEvaluated, match="at least one sample"):
        evaluate(model, x[:0], y[:0])


def test_a_model_that_reads_everything_wrong_is_reported_with_zero() -> None:
    model, x, _ = problem()
    report = evaluate(model, x, 1 - model.predict(x))
    assert report.attacks[0].clean.k == 0 and all(rate.k == 0 for rate in report.attacks[0].robust)
    assert status(report)["R02"] in ("warning", "note")


def test_presets_hold_attacks_that_are_registered() -> None:
    for name, wanted in armour.evaluation.PRESETS.items():
        for entry in wanted:
            assert entry.names, name
    model, x, y = problem(12)
    section = evaluate(model, x, y, attacks="quick", threat=armour.Threat(epsilons=0.05)).evaluation
    assert section is not None and section.preset == "quick" and len(section.steps) >= 3
    assert attacks.names()
