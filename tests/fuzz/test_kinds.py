"""Kinds of inputs: which they are, what counts as a change of them, and the levels that follow."""

from __future__ import annotations

import numpy as np
import pytest
import small_models

from armour.bounds import Bounds
from armour.errors import InvalidArgument
from armour.fuzz.kinds import ARRAY, IMAGE, WHOLE, choose
from armour.fuzz.likeness import deviation, relative_closeness
from armour.fuzz.mutators import own_partner
from armour.fuzz.partners import Partners, has_partners
from armour.fuzz.recipe import Recipe, Step, apply_steps, rebuild
from armour.fuzz.roots import Roots
from armour.fuzz.validity import ValidityModel
from armour.model import CallableModel
from armour.preprocessing import Preprocessing
from armour.rng import Streams, generator, per_item

UNIT, BYTES = Bounds(0, 1), Bounds(0, 255)


def model(shape: tuple[int, ...], **options: object) -> CallableModel:
    def logits(x: np.ndarray) -> np.ndarray:
        return np.zeros((len(x), 2), np.float32)

    return CallableModel(
        logits, outputs="logits", input_shape=shape, num_classes=2, bounds=(0, 255), **options
    )


def test_the_kind_follows_from_the_shape_and_what_the_model_declares() -> None:
    whole, fractions = np.full((3, 40), 7, np.float32), np.full((3, 40), 7.5, np.float32)
    bytes_in = model((40,), provenance={"input": {"dtype": "uint8"}})
    tokens_in = model((40,), preprocessing=Preprocessing(dtype="int64"))
    assert choose(model((3, 8, 8)), np.zeros((2, 3, 8, 8), np.float32)) is IMAGE
    assert choose(model((40,)), whole) is ARRAY
    assert choose(bytes_in, whole) is WHOLE and choose(tokens_in, whole) is WHOLE
    assert choose(bytes_in, fractions) is ARRAY
    # Integers of which the user's values are only a scaled form are none to the user.
    assert choose(model((40,), preprocessing=Preprocessing(dtype="uint8", scale=255)), whole) is ARRAY
    assert choose(model((40,)), whole, "whole") is WHOLE
    assert choose(model((3, 8, 8)), np.zeros((2, 3, 8, 8), np.float32), "array") is ARRAY
    with pytest.raises(InvalidArgument, match="expected images"):
        choose(model((40,)), whole, "image")
    with pytest.raises(InvalidArgument, match="whole numbers"):
        choose(model((40,)), fractions, "whole")
    with pytest.raises(InvalidArgument, match="did you mean array"):
        choose(model((40,)), whole, "arrays")


def test_relative_distance_is_in_standard_deviations_of_the_reference() -> None:
    rng = np.random.default_rng(0)
    ref = rng.normal(100, 10, (5, 3, 40)).astype(np.float32)
    x = ref + rng.normal(0, 4, ref.shape).astype(np.float32)
    spread = ref.reshape(5, -1).astype(np.float64).std(axis=1)
    apart = np.sqrt(np.square(x.astype(np.float64) - ref).reshape(5, -1).mean(axis=1)) / spread
    np.testing.assert_allclose(relative_closeness(x, ref, BYTES), 1 - apart, rtol=1e-4)
    np.testing.assert_allclose(relative_closeness(x * 2, ref * 2, Bounds(0, 510)), 1 - apart, rtol=1e-4)
    assert (relative_closeness(ref, ref, BYTES) == 1).all()
    constant = np.full((1, 9), 3, np.float32)
    assert deviation(constant, BYTES) == pytest.approx([2.55])
    assert np.array_equal(deviation(ref, BYTES)[[3]], deviation(ref[[3]], BYTES))


def test_levels_of_arrays() -> None:
    rng = np.random.default_rng(1)
    clean = rng.normal(0.5, 0.1, (12, 200)).clip(0, 1).astype(np.float32)
    fitted = ValidityModel.fit(clean, UNIT, ARRAY)
    ref = np.repeat(clean[:1], 6, axis=0)
    x = ref.copy()
    x[1, :4] = 1 - np.rint(x[1, :4])  # 2 % of the values, without limit
    x[2] += 0.04  # all by less than half of their deviation
    x[3] = np.clip(x[3] + 0.19, 0, 1)  # all within a fifth of the span, but far for such quiet values
    x[4, :20] = 1 - np.rint(x[4, :20])  # a tenth, without limit
    x[5, 0] = 1.5
    result = fitted.assess(x, ref, [()] * 6)
    assert result.level.tolist() == [2, 1, 2, 1, 0, -1]
    assert result.l0[[0, 1, 2]].tolist() == pytest.approx([0, 0.02, 1])
    assert result.likeness[2] == pytest.approx(0.6, abs=0.05) and result.likeness[3] < 0
    back = ValidityModel.from_arrays(fitted.arrays())
    assert back.kind is ARRAY and np.array_equal(back.level(x, ref, [()] * 6), result.level)


def test_levels_of_whole_numbers() -> None:
    clean = np.random.default_rng(2).integers(0, 256, (40, 100)).astype(np.float32)
    fitted = ValidityModel.fit(clean, BYTES, WHOLE)
    ref = np.repeat(clean[:1], 6, axis=0)
    x = ref.copy()
    for row, count in ((1, 1), (2, 5), (3, 6), (4, 21)):
        x[row, :count] = (x[row, :count] + 128) % 256
    x[5, 0] = 3.5
    result = fitted.assess(x, ref, [()] * 6)
    assert result.level.tolist() == [2, 2, 2, 1, 0, -1]
    assert result.likeness[:5].tolist() == pytest.approx([1, 0.99, 0.95, 0.94, 0.79])
    assert (result.density == 0).all()
    back = ValidityModel.from_arrays(fitted.arrays())
    assert back.kind is WHOLE and back.shape == (100,)
    few = ValidityModel.fit(clean[:, :4], BYTES, WHOLE)
    one = ref[:1, :4].copy()
    one[0, 2] = (one[0, 2] + 9) % 256
    assert few.level(one, ref[:1, :4], [()]).tolist() == [2], "one value may always change"


@pytest.mark.parametrize(
    "change",
    [
        {"kind": np.frombuffer(b"pictures", np.uint8)},
        {"kind": np.array([255, 254], np.uint8)},
        {"shape": np.array([], np.int64)},
        {"shape": np.array([1] * 9)},
        {"shape": np.array([0, 200])},
    ],
)
def test_hostile_arrays_of_a_validity_model_are_refused(change: dict[str, np.ndarray]) -> None:
    fitted = ValidityModel.fit(np.zeros((3, 200), np.float32), UNIT, ARRAY)
    with pytest.raises(InvalidArgument):
        ValidityModel.from_arrays({**fitted.arrays(), **change})


def some_roots() -> Roots:
    x = np.arange(6, dtype=np.float32)[:, None] * np.ones((1, 20), np.float32)
    return Roots(x, np.array([0, 1, 0, 0, 2, 1]), np.arange(6), np.zeros((6, 3), np.int64))


def test_partners_are_other_seeds_of_the_class() -> None:
    roots = some_roots()
    assert has_partners(roots)
    assert not has_partners(Roots(roots.x[:2], roots.labels[:2], roots.source[:2], roots.gaps[:2]))
    root = np.array([0, 2, 3, 1, 5] * 40)
    streams = per_item(generator(0), len(root))
    chosen = Partners(roots, root).of(range(len(root)), streams)[:, 0].astype(int)
    assert (roots.labels[chosen] == roots.labels[root]).all() and (chosen != root).all()
    assert set(chosen[root == 0].tolist()) == {2, 3}
    part = Partners(roots, root[10:]).of([3, 1], streams[[13, 11]])
    assert part[:, 0].astype(int).tolist() == chosen[[13, 11]].tolist(), "by the item alone"
    alone = np.arange(20, dtype=np.float32)[None]
    only = Roots(alone, np.array([0]), np.arange(1), np.zeros((1, 3), np.int64))
    found = Partners(only, np.array([0])).of([0], streams[:1])
    assert np.array_equal(found, own_partner(alone)) and not np.array_equal(found, alone)


def test_recipes_of_arrays_rebuild_bit_for_bit_from_their_roots() -> None:
    roots = some_roots()
    names = (("splice", 0.1), ("value-gaussian", 0.2), ("shift", -0.1), ("block-copy", 0.05))
    steps = tuple(Step(name, (float(np.float32(p)),), 77 + i) for i, (name, p) in enumerate(names))
    root = np.array([3, 0, 1])
    whole, refs = apply_steps(
        roots.x[root], roots.x[root], [steps] * 3, Bounds(0, 9), partners=Partners(roots, root)
    )
    recipe = Recipe.parse(str(Recipe(0, steps)))
    alone, ref = rebuild(recipe, roots.x[0], Bounds(0, 9), partners=Partners(roots, np.array([0])))
    assert np.array_equal(alone, whole[1]) and np.array_equal(ref, refs[1])
    assert Recipe(0, steps).families == ("block", "noise", "shift", "splice")


def test_mutators_of_other_inputs_are_refused() -> None:
    x = np.zeros((1, 20), np.float32)
    for step in (Step("rotate", (3.0,), 1), Step("element-swap", (0.01,), 1)):
        with pytest.raises(InvalidArgument, match=f"expected mutators of array inputs, got {step.mutator}"):
            apply_steps(x, x, [(step,)], UNIT)
    images = np.zeros((1, 1, 8, 8), np.float32)
    with pytest.raises(InvalidArgument, match="expected mutators of image inputs, got shift"):
        apply_steps(images, images, [(Step("shift", (0.1,), 1),)], UNIT)


def test_dense_changes_of_arrays_are_held_and_whole_numbers_are_not() -> None:
    x = np.tile(np.float32([0, 255]), (4, 50))
    big = [(Step("value-shift", (0.5,), k), Step("value-shift", (0.5,), k + 9)) for k in range(4)]
    out, _ = apply_steps(x, x, big, BYTES)
    assert abs(out - x).max() == pytest.approx(51, abs=1e-3)
    swap = [(Step("element-replace", (float(np.float32(0.02)),), k),) for k in range(4)]
    out, _ = apply_steps(x, x, swap, BYTES, kind=WHOLE)
    assert np.array_equal(out, np.rint(out)) and abs(out - x).max() > 51


def test_streams_of_partners_and_of_the_step_differ() -> None:
    # A splice takes the same piece whatever the partner is: the choice has a stream of its own.
    streams = Streams(np.array([5], np.uint64))
    assert streams.child(7).uniform()[0] != Streams(np.array([5], np.uint64)).uniform()[0]
    x, _ = small_models.digits(20)
    assert has_partners(Roots(x, np.zeros(20, np.int64), np.arange(20), np.zeros((20, 1), np.int64)))
