"""The validity ladder: each rule, the right way round, and the data it is fitted to."""

import numpy as np
import pytest
from pictures import images

from armour.bounds import Bounds
from armour.errors import InvalidArgument
from armour.fuzz.draw import draw_names, draw_steps
from armour.fuzz.limits import changed_share, hold_back, within_rule
from armour.fuzz.mutators import get, names_for
from armour.fuzz.recipe import Step, apply_steps
from armour.fuzz.validity import ValidityModel, within_limits
from armour.rng import generator, per_item

BOUNDS = [Bounds(0, 1), Bounds(0, 255), Bounds(-1, 1)]
SHAPE = (1, 28, 28)


def fitted(bounds=BOUNDS[0], shape=SHAPE, n=400):
    return ValidityModel.fit(images(n, shape, bounds), bounds)


def sparse_and_dense(ref, bounds):
    """Of one image: 2 % of its pixels changed by the whole span, all so, and all by a little."""
    pixels = ref.shape[2] * ref.shape[3]
    flipped = np.where(ref > (bounds.low + bounds.high) / 2, bounds.low, bounds.high).astype(np.float32)
    few = ref.copy()
    few.reshape(pixels)[: int(0.02 * pixels)] = flipped.reshape(pixels)[: int(0.02 * pixels)]
    little = ref + np.where(flipped > ref, 0.15, -0.15).astype(np.float32) * np.float32(bounds.span)
    return few, flipped, little.astype(np.float32)


@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_a_dense_full_change_is_refused_and_a_sparse_one_accepted(bounds):
    margin = 0.2 * bounds.span
    ref = np.clip(images(1, SHAPE, bounds), bounds.low + margin, bounds.high - margin)
    x = np.concatenate(sparse_and_dense(ref, bounds))
    refs = np.repeat(ref, 3, axis=0)
    result = fitted(bounds).assess(x, refs, [()] * 3)
    assert (result.level >= 1).tolist() == [True, False, True]
    assert result.l0 == pytest.approx([15 / 784, 1, 1])
    assert result.linf[2] == pytest.approx(0.15, abs=1e-5) and result.linf[1] > 0.5


def test_the_edges_of_the_rule_belong_to_it():
    assert within_rule(np.float32([0.02, 0.021, 0.021, 1]), np.float32([1, 0.2, 0.2001, 0.2])).tolist() == [
        True, True, False, True,
    ]  # fmt: skip


def test_sparse_means_pixels_not_values():
    ref = np.zeros((1, 3, 10, 10), dtype=np.float32)
    x = ref.copy()
    x[0, :, 0, :2] = 1
    assert changed_share(x, ref) == pytest.approx([0.02])
    x[0, 1, 5, 5] = 1
    assert changed_share(x, ref) == pytest.approx([0.03])


@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_held_back_items_meet_the_rule_and_others_are_untouched(bounds):
    ref = images(5, (3, 17, 23), bounds)
    rng = np.random.default_rng(0)
    x = rng.uniform(bounds.low, bounds.high, ref.shape).astype(np.float32)
    x[1], x[2] = ref[1], ref[2]
    x[2, :, 0, 0] = bounds.high
    before = x.copy()
    held = hold_back(x.copy(), ref, bounds)
    linf = abs(held - ref).reshape(5, -1).max(axis=1) / np.float32(bounds.span)
    assert within_rule(changed_share(held, ref), linf).all()
    assert np.array_equal(held[1:3], before[1:3]) and linf[[0, 3, 4]] == pytest.approx([0.2] * 3, abs=1e-5)


def test_v0_is_finite_in_bounds_and_of_the_right_kind():
    model = fitted()
    ref = images(6, SHAPE)
    x = ref.copy()
    x[1, 0, 3, 3], x[2, 0, 3, 3], x[3, 0, 3, 3], x[4, 0, 3, 3] = np.nan, np.inf, -0.01, 1.0001
    with np.errstate(invalid="ignore"):
        assert model.level(x, ref, [()] * 6).tolist() == [2, -1, -1, -1, -1, 2]
    assert model.level(ref.astype(np.float64), ref, [()] * 6).tolist() == [-1] * 6
    assert model.level(ref[:, :, :27], ref[:, :, :27], [()] * 6).tolist() == [-1] * 6
    assert model.level(x[:0], ref[:0], []).shape == (0,)


def test_v1_has_geometric_limits():
    ok = Step("rotate", (15.0,), 1)
    far = Step("rotate", (16.0,), 1)
    model, x = fitted(), images(2, SHAPE)
    assert within_limits([ok]) and not within_limits([far]) and within_limits([])
    assert model.level(x, x, [[ok], [far]]).tolist() == [2, 0]
    limits = {"rotate": 15, "shear": 0.15, "translate": 0.1}
    for name, most in limits.items():
        assert all(-most <= p.low and p.high <= most for p in get(name).params)
    assert all((p.low, p.high) == (0.85, 1.15) for p in get("scale").params)
    affine = {p.name: (p.low, p.high) for p in get("affine").params}
    assert affine["deg"] == (-15, 15) and affine["wide"] == (0.85, 1.15) and affine["slant"] == (-0.15, 0.15)


def test_v2_asks_for_likeness_and_for_density():
    model = fitted()
    ref = images(60, SHAPE, seed=5)
    clean = model.assess(ref, ref, [()] * 60)
    assert (clean.level == 2).mean() > 0.95 and clean.likeness == pytest.approx(np.ones(60), abs=1e-5)
    # Within 20 % everywhere, but a chessboard: no likeness in the flat parts.
    board = np.where(np.indices((28, 28)).sum(axis=0) % 2, 0.19, 0).astype(np.float32)
    rough = np.minimum(ref + board, 1)
    result = model.assess(rough, ref, [()] * 60)
    assert (result.level == 1).all() and (result.density > 1).all()
    # Like itself, but like none of the data.
    strange = np.random.default_rng(0).uniform(0, 1, ref.shape).astype(np.float32)
    result = model.assess(strange, strange, [()] * 60)
    assert (result.level == 1).all() and (result.likeness > 0.99).all()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 8, 8)], ids=str)
def test_random_stacks_keep_to_v1_and_most_reach_v2(shape):
    model = fitted(shape=shape)
    x = images(256, shape, seed=8)
    streams = per_item(generator(0), 256)
    steps = draw_steps(draw_names(streams.child(0), names_for(shape)), streams.child(1))
    mutants, refs = apply_steps(x, x, steps, BOUNDS[0])
    result = model.assess(mutants, refs, steps)
    assert (result.level >= 1).all()
    assert (result.level == 2).mean() > 0.5


def test_a_verdict_does_not_depend_on_the_batch():
    model = fitted()
    x = images(80, SHAPE, seed=2)
    y = np.clip(x + np.random.default_rng(0).normal(0, 0.06, x.shape), 0, 1).astype(np.float32)
    whole = model.assess(y, x, [()] * 80)
    part = model.assess(y[[70, 3]], x[[70, 3]], [()] * 2)
    for name in ("level", "l0", "linf", "likeness", "density"):
        assert np.array_equal(getattr(whole, name)[[70, 3]], getattr(part, name))
    assert len(set(whole.level.tolist())) > 1


def test_one_clean_input_is_enough_to_start():
    x = images(1, SHAPE)
    model = ValidityModel.fit(x, BOUNDS[0])
    assert model.level(x, x, [()]).tolist() == [2]


@pytest.mark.parametrize("bad", [np.zeros((0, 1, 8, 8)), np.zeros((3, 8, 8)), np.full((2, 1, 8, 8), np.nan)])
def test_bad_clean_data_are_refused(bad):
    with pytest.raises(InvalidArgument, match="expected finite clean inputs of shape"):
        ValidityModel.fit(bad.astype(np.float32), BOUNDS[0])


def test_the_model_can_be_kept_and_hostile_arrays_are_refused():
    model = fitted(BOUNDS[2])
    x = images(20, SHAPE, BOUNDS[2], seed=4)
    back = ValidityModel.from_arrays(model.arrays())
    assert back.bounds == model.bounds and back.shape == model.shape
    steps = [()] * 20
    assert np.array_equal(back.assess(x, x, steps).density, model.assess(x, x, steps).density)
    for change in (
        {"shape": np.array([1, 28])},
        {"shape": np.array([1, 1 << 31, 1 << 31])},
        {"shape": np.array([-1, -28, 28])},
        {"bounds": np.array([1.0, 0.0])},
        {"bounds": np.array([np.nan, 1.0])},
        {"bounds": np.array(["a", "b"])},
    ):
        with pytest.raises(InvalidArgument):
            ValidityModel.from_arrays({**model.arrays(), **change})
    with pytest.raises(InvalidArgument, match="arrays of a validity model"):
        ValidityModel.from_arrays({})
