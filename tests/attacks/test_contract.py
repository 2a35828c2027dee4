"""What every registered attack must keep, in every norm it knows; and what the shared call refuses."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import attack_contract as contract
import linear
import numpy as np
import pytest
import small_models
from attack_contract import BUDGET, every, go, make

from armour import attacks, criteria
from armour.attacks import Attack, DecisionAttack, FixedBudgetAttack
from armour.errors import ArmourError, InvalidArgument, UnsupportedError
from armour.events import Event
from armour.model import CallableModel
from armour.rng import Streams, by_content

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model() -> linear.OneByOne:
    return contract.small()[0]


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return contract.small()[1]


@pytest.fixture(scope="module")
def y() -> np.ndarray:
    return contract.small()[2]


@every
def test_results_are_in_bounds_and_true(name, norm, model, x, y):
    result = go(make(name, norm), model, x, y)
    assert result.adv.shape == (1, *x.shape) and result.adv.dtype == np.float32
    assert result.adv.min() >= 0 and result.adv.max() <= 1
    np.testing.assert_allclose(result.distance[0], contract.length(norm, x, result.adv[0]), rtol=1e-12)
    assert (result.success[0] == (model.predict(result.adv[0]) != y)).all()
    assert result.robust_accuracy[0] == pytest.approx(1 - result.success[0].mean())
    assert result.clean_accuracy == pytest.approx(np.mean(model.predict(x) == y))
    assert result.success[0].mean() > 0.2, "the case is too hard to tell anything"


@every
def test_same_rng_same_result_and_seed_zero_is_a_seed(name, norm, model, x, y, monkeypatch):
    attack = make(name, norm)
    drawn = []
    bits = Streams.bits
    monkeypatch.setattr(Streams, "bits", lambda self, shape=(): drawn.append(shape) or bits(self, shape))
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = go(attack, model, x, y, rng=0)
    again = attack(model, x, y, contract.budget(attack), rng=np.random.default_rng(0))
    np.testing.assert_array_equal(first.adv, again.adv)
    other = go(attack, model, x, y, rng=1)
    assert np.array_equal(first.adv, other.adv) or drawn, "two seeds differ, and nothing was drawn from them"
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@every
def test_neither_order_nor_batch_size_matters(name, norm, model, x, y):
    attack = make(name, norm)
    expected = go(attack, model, x, y, rng=7)
    before = model.batch_size
    model.batch_size = 5
    try:
        small = go(attack, model, x, y, rng=7)
    finally:
        model.batch_size = before
    np.testing.assert_array_equal(small.adv, expected.adv)
    assert (small.queries, small.gradients) == (expected.queries, expected.gradients)
    np.testing.assert_array_equal(small.spent, expected.spent)
    if attack.together:
        return
    order = np.random.default_rng(0).permutation(len(x))
    shuffled = go(attack, model, x[order], y[order], rng=7)
    np.testing.assert_array_equal(shuffled.adv[0], expected.adv[0][order])
    np.testing.assert_array_equal(shuffled.success[0], expected.success[0][order])
    half = go(attack, model, x[9:14], y[9:14], rng=7)
    np.testing.assert_array_equal(half.adv[0], expected.adv[0][9:14])


@every
def test_a_broken_input_is_returned_as_it_is(name, norm, model, x, y):
    result = go(make(name, norm), model, x, y)
    wrong = model.predict(x) != y
    assert wrong.any()
    assert result.success[0][wrong].all() and (result.distance[0][wrong] == 0).all()
    assert result.adv[0][wrong].tobytes() == x[wrong].tobytes()
    only = go(make(name, norm), model, x[wrong], y[wrong])
    assert only.gradients == 0 and only.robust_accuracy[0] == 0 == only.clean_accuracy
    assert (result.broken_by[0][wrong] == -1).all() and (result.spent[0][wrong] == 0).all()


@every
@pytest.mark.parametrize("n", [0, 1])
def test_empty_batch_and_batch_of_one(name, norm, n, model, x, y):
    result = go(make(name, norm), model, x[1 : 1 + n], y[1 : 1 + n])
    assert result.adv.shape == (1, n, 1, 5, 5)
    assert result.success.shape == result.distance.shape == result.spent.shape == (1, n)
    assert np.isnan(result.clean_accuracy) == (n == 0)
    assert np.isnan(result.robust_accuracy).all() == (n == 0)


@every
def test_targeted(name, norm, model, x):
    """The class asked for is what success means, and a search with a direction moves towards it."""
    attack, target = make(name, norm), (model.predict(x) + 1) % 4
    result = go(attack, model, x, criteria.Targeted(target))
    assert (result.success[0] == (model.predict(result.adv[0]) == target)).all()
    if isinstance(attack, FixedBudgetAttack) and attack.needs_gradient:
        before, after = model.logits(x), model.logits(result.adv[0])
        rows = np.arange(len(x))
        gap = lambda z: z[rows, target] - z.max(axis=1)  # noqa: E731
        # One perturbation for all inputs cannot lead each of them to another class.
        assert np.mean(gap(after) > gap(before)) > (0.75 if attack.together else 0.9)


@every
def test_other_bounds_give_the_scaled_result(name, norm, model, x, y):
    """An attack on 0..255 inputs is the attack on 0..1 inputs, in other units (l0 counts have none)."""
    if name in contract.WHOLE:
        pytest.skip("it writes stated whole numbers, which do not come in other units")
    scaled = linear.small_network(bounds=(0.0, 255.0))
    attack, unit = make(name, norm), 1 if norm == "l0" else 255
    right = model.predict(x) == y
    x, goal = x[right], criteria.Misclassified(y[right])
    streams = by_content(np.random.default_rng(0), x)
    if isinstance(attack, FixedBudgetAttack):
        one = attack.run(model, x, goal, BUDGET[norm], rng=streams[:])
        big = attack.run(scaled, x * 255, goal, BUDGET[norm] * unit, rng=streams[:])
        assert (attack.distance.measure(x * 255, big) <= BUDGET[norm] * unit).all()
    else:
        one = attack.run(model, x, goal, rng=streams[:])
        big = attack.run(scaled, x * 255, goal, rng=streams[:])
    assert big.min() >= 0 and big.max() <= 255
    # An answer that rounding turns, near the boundary, sends a search by labels another way for that sample.
    same = 0.93 if isinstance(attack, DecisionAttack) else 0.99
    assert np.mean(np.abs(big / 255 - one) < 1e-4) > same
    assert np.mean(goal(model.logits(one)) == goal(scaled.logits(big))) > 0.95


@every
def test_counts_are_the_models(name, norm, model, x, y):
    model.counter.reset()
    attack = make(name, norm)
    result = go(attack, model, x, y)
    assert (result.queries, result.gradients) == (model.counter.queries, model.counter.gradients)
    assert (0 < result.gradients < result.queries) if attack.needs_gradient else result.gradients == 0
    if not attack.needs_gradient and result.spent.any():
        # One look at each input, one that verifies what came of it, and what the search asked in between.
        assert result.queries == len(x) + int((model.predict(x) == y).sum()) + result.spent.sum()


@every
def test_results_have_one_type(name, norm, model, x, y):
    attack = make(name, norm)
    result = go(attack, model, x, y)
    assert type(result) is attacks.AttackResult
    assert result.norm == norm and result.attack == str(attack) and result.seconds > 0
    assert result.success.dtype == bool and result.distance.dtype == result.epsilons.dtype == np.float64
    with pytest.raises(FrozenInstanceError):
        result.norm = "l0"


@every
def test_black_box_is_refused(name, norm, model, x, y):
    box = CallableModel(model.logits, input_shape=(1, 5, 5), num_classes=4)
    # A row without gradients is what is left of it, and says what is not.
    if not attacks.get(name).needs_gradient or make(name, norm).left_out(box):
        assert go(make(name, norm), box, x, y).gradients == 0
        return
    with pytest.raises(UnsupportedError, match=r"black box.*wrap the network.*armour fuzz"):
        go(make(name, norm), box, x, y)


@every
def test_an_attack_is_a_value(name, norm):
    attack = make(name, norm)
    assert attack == make(name, norm) and hash(attack) == hash(make(name, norm))
    assert repr(attack).startswith(type(attack).__name__ + "(norm=" + repr(norm))
    with pytest.raises(FrozenInstanceError):
        attack.norm = "linf"


def test_each_attack_module_registers_something():
    """Or others of the family import it: nothing lies about."""
    paths = {path.stem: path for path in (ROOT / "attacks").glob("*.py") if path.stem != "__init__"}
    imported = {
        node.module
        for path in paths.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level == 1
    }
    registering = {kind.__module__.rpartition(".")[2] for _, kind in attacks.ATTACKS.items()}
    assert set(paths) - registering <= imported


def test_names_and_get():
    assert attacks.names() == sorted(attacks.names()) and {"fgsm", "bim", "pgd"} <= set(attacks.names())
    assert attacks.get("PGD") is attacks.PGD and attacks.get("r_fgsm") is attacks.RFGSM
    with pytest.raises(InvalidArgument, match="did you mean pgd"):
        attacks.get("pdg")


def test_one_or_many_epsilons_as_text_or_numbers(model, x, y):
    attack = attacks.FGSM()
    listed = attack.attack(model, x, y, ["8/255", 0.1, np.float32(0.25)])
    np.testing.assert_allclose(listed.epsilons, [8 / 255, 0.1, 0.25])
    np.testing.assert_array_equal(attack.attack(model, x, y, "8/255").adv[0], listed.adv[0])
    np.testing.assert_array_equal(attack.attack(model, x, y, np.array([0.1])).adv[0], listed.adv[1])


@pytest.mark.parametrize(
    ("epsilons", "norm", "message"),
    [
        (None, "linf", "expected epsilons for FGSM"),
        ([], "linf", "at least one epsilon"),
        (8, "linf", r"epsilon=8 exceeds the span of the model's bounds \(0.0, 1.0\); did you mean 8/255\?"),
        (2000, "linf", "use a budget up to 1"),
        (5.1, "l2", "exceeds 5, the largest l2 distance"),
        (26, "l1", "exceeds 25, the largest l1 distance"),
        (-0.1, "linf", "at or above 0"),
        (float("nan"), "linf", "at or above 0"),
        ("8/0", "linf", "8/255"),
        (["0.1", "abc"], "linf", "'abc'"),
        (True, "linf", "at or above 0"),
        ([[0.1]], "linf", "at or above 0"),
    ],
)
def test_bad_budgets(epsilons, norm, message, model, x, y):
    with pytest.raises(InvalidArgument, match=message):
        attacks.FGSM(norm=norm).attack(model, x, y, epsilons)


def test_the_whole_range_is_a_budget(model, x, y):
    result = attacks.FGSM().attack(model, x, y, [1.0])
    assert result.adv.min() >= 0 and result.adv.max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, 0], y), "expected inputs of shape"),
        (lambda x, y: ((x * 255).astype(np.uint8), y), "floating-point"),
        (lambda x, y: (x * 2, y), "inside the model's bounds"),
        (lambda x, y: (np.where(x == x.max(), np.nan, x), y), "NaN"),
        (lambda x, y: (x, y[:-1]), "24 inputs, got 23"),
        (lambda x, y: (x, y.astype(float)), "integers"),
        (lambda x, y: (x, y[:, None]), "integers of shape"),
        (lambda x, y: (x, y - 1), r"labels in 0..3, got -1"),
        (lambda x, y: (x, np.full(24, 4)), r"labels in 0..3, got 4..4"),
        (lambda x, y: (x, criteria.Targeted(y[:3])), "24 inputs, got 3"),
        (lambda x, y: (x, criteria.Confident(0.5)), "no labels"),
    ],
)
def test_bad_inputs_and_labels(change, message, model, x, y):
    with pytest.raises(InvalidArgument, match=message):
        attacks.PGD().attack(model, *change(x, y), 0.1)


def test_labels_beyond_an_unknown_number_of_classes(x):
    class Unknown(linear.LinearModel):
        def __init__(self) -> None:
            super().__init__(np.eye(25)[:, :3], np.zeros(3), input_shape=(1, 5, 5))
            self.num_classes = None

    with pytest.raises(InvalidArgument, match=r"labels in 0..2, got 7"):
        attacks.FGSM().attack(Unknown(), x[:1], [7], 0.1)


def test_a_model_must_be_wrapped(model, x, y):
    with pytest.raises(InvalidArgument, match=r"armour.wrap\(model\)"):
        attacks.FGSM().attack(model.module, x, y, 0.1)
    with pytest.raises(InvalidArgument, match="rng"):
        attacks.FGSM().attack(model, x, y, 0.1, rng=-1)


@pytest.mark.parametrize(
    ("make_attack", "message"),
    [
        (lambda: attacks.PGD(norm="l0"), "unknown norm 'l0'"),
        (lambda: attacks.RFGSM(norm="l2"), "unknown norm 'l2'"),
        (lambda: attacks.PGD(steps=0), "steps=0"),
        (lambda: attacks.PGD(steps=2.5), "steps=2.5"),
        (lambda: attacks.PGD(step_size=0), "step_size=0"),
        (lambda: attacks.PGD(restarts=0), "restarts=0"),
        (lambda: attacks.PGD(restarts=2, random_start=False), "restarts=1 without random_start"),
        (lambda: attacks.BIM(loss="crossentropie"), "did you mean cross-entropy"),
        (lambda: attacks.RFGSM(start=1.5), "start=1.5"),
    ],
)
def test_bad_settings(make_attack, message):
    with pytest.raises(InvalidArgument, match=message):
        make_attack()


def test_events_say_how_far_it_is(model, x, y):
    events: list[Event] = []
    model.batch_size = 8
    try:
        attacks.BIM(steps=2).attack(model, x, y, [0.1], on_event=events.append)
    finally:
        model.batch_size = 256
    assert [e.done for e in events] == sorted(e.done for e in events) and events[-1].done == len(x)
    assert {e.total for e in events} == {len(x)} and len(events) > 2
    assert events[0].done == (model.predict(x) != y).sum(), "inputs that were wrong before are done"


def test_the_shared_call_repairs_and_asks_again(model, x, y):
    """An attack that breaks its contract, and claims nothing, cannot make a false result."""

    class Rogue(FixedBudgetAttack):
        def run(self, model, x, criterion, epsilon, *, rng):
            return np.float32(3) - x

    result = Rogue(norm="l2").attack(model, x, y, 0.5)
    assert (result.distance <= 0.5).all() and result.adv.max() <= 1 and result.adv.min() >= 0
    assert (result.success[0] == (model.predict(result.adv[0]) != y)).all()


def test_the_model_is_not_changed(model, x, y):
    before = {name: value.copy() for name, value in model.state_dict().items()}
    data = x.copy()
    attacks.PGD(steps=3).attack(model, x, y, 0.1)
    assert all((before[name] == value).all() for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.module.parameters())
    assert (x == data).all()


def test_subclasses_cannot_be_made_without_run():
    class Nothing(Attack):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Nothing()


def test_errors_survive_python_o():
    """Nothing a user causes is checked by an assert."""
    program = """
import numpy as np, linear
from armour import attacks
from armour.errors import ArmourError
model = linear.small_network()
x = linear.inputs(model, 2)
for make in (
    lambda: attacks.PGD(steps=0), lambda: attacks.PGD(norm="l3"), lambda: attacks.get("nothing"),
    lambda: attacks.FGSM().attack(model, x, [0, 1], 8),
    lambda: attacks.FGSM().attack(model, x * 3, [0, 1], 0.1),
    lambda: attacks.FGSM().attack(model, x, [0, 9], 0.1),
    lambda: attacks.FGSM().attack(model, x[:, 0], [0, 1], 0.1),
):
    try:
        make()
    except ArmourError as error:
        print(type(error).__name__)
assert False, "asserts are off"
"""
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-O", "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["InvalidArgument"] * 7
    assert issubclass(InvalidArgument, ArmourError)


@every
def test_batch_size_does_not_matter_to_blas_either(name, norm):
    """A matrix product of another shape rounds otherwise; what breaks and what does not stays the same."""
    data, labels = small_models.digits(120)
    net = small_models.centroids(data, labels)
    attack = make(name, norm)
    epsilon = BUDGET[norm] / 2 if isinstance(attack, FixedBudgetAttack) else None
    results = []
    for size in (256, 7):
        net.batch_size = size
        results.append(attack.attack(net, data, labels, epsilon, rng=1))
    assert (results[0].success == results[1].success).mean() > 0.99
    if not isinstance(attack, FixedBudgetAttack) or norm == "l0":
        # Near the boundary a search by halves goes another way after a rounding: as near, not the same.
        np.testing.assert_allclose(*(np.median(r.distance) for r in results), rtol=0.02)
        return
    assert (np.abs(results[0].adv - results[1].adv) < 1e-4).mean() > 0.99
    assert 0.05 < results[0].success.mean() < 1


@every
def test_a_state_file_changes_nothing_and_is_gone_on_with(name, norm, model, x, y, tmp_path):
    attack, path = make(name, norm), tmp_path / "state.npz"
    whole = go(attack, model, x, y, rng=4)
    kept = go(attack, model, x, y, rng=4, state=path)
    model.counter.reset()
    again = go(attack, model, x, y, rng=4, state=path)
    assert model.counter.gradients == 0 and model.counter.queries == len(x), "nothing was left to do"
    for result in (kept, again):
        for field in ("adv", "success", "spent", "broken_by", "distance", "finished"):
            np.testing.assert_array_equal(getattr(result, field), getattr(whole, field))
        assert result.gradients == whole.gradients
    with pytest.raises(InvalidArgument, match="state of another attack"):
        go(attack, model, x, y, rng=5, state=path)
