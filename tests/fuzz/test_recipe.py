"""Recipes: exact text round trip, strict parsing, and rebuilding bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import images

from armour.bounds import Bounds
from armour.errors import InvalidArgument
from armour.fuzz.draw import draw_names, draw_steps
from armour.fuzz.mutators import MUTATORS, get, names_for
from armour.fuzz.recipe import MAX_STEPS, Recipe, Step, apply_steps, rebuild
from armour.rng import generator, per_item

BOUNDS = Bounds(0, 1)
ROTATE = Step("rotate", (float(np.float32(3.2)),), 0x1F3A)
NOISE = Step("gaussian-noise", (float(np.float32(0.04)),), 0x9BC0000000000001)


STILL = tuple(name for name in MUTATORS.names() if not get(name).geometric)
MOVING = tuple(name for name in MUTATORS.names() if get(name).geometric)


@st.composite
def steps(draw, names):
    row = get(draw(st.sampled_from(names)))
    values = tuple(
        draw(st.floats(float(np.float32(p.low)), float(np.float32(p.high)), width=32)) for p in row.params
    )
    return Step(row.name, values, draw(st.integers(0, 2**64 - 1)))


@st.composite
def recipes(draw):
    before, moving, after = (
        draw(st.lists(steps(names), max_size=most)) for names, most in ((STILL, 4), (MOVING, 1), (STILL, 3))
    )
    return Recipe(draw(st.integers(0, 10**9)), (*before, *moving, *after))


@given(recipes())
def test_text_round_trip_is_exact(recipe):
    assert Recipe.parse(str(recipe)) == recipe
    assert str(Recipe.parse(str(recipe))) == str(recipe)


def test_the_text_is_what_the_documents_say():
    text = "root=81;rotate(deg=3.2)@0000000000001f3a;gaussian-noise(sigma=0.04)@9bc0000000000001"
    assert str(Recipe(81, (ROTATE, NOISE))) == text
    assert Recipe.parse(
        "root=81;rotate(deg=3.2)@1f3a;gaussian-noise(sigma=.04)@9bc0000000000001"
    ) == Recipe.parse(text)
    assert Recipe.parse("root=0") == Recipe(0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "starts with root=NUMBER"),
        ("root=-1", "starts with root=NUMBER"),
        ("root=1 ", "starts with root=NUMBER"),
        ("root=" + "9" * 40, "starts with root=NUMBER"),
        ("root=1;", "expected a step such as"),
        ("root=1;rotate(deg=3)", "expected a step such as"),
        ("root=1;rotate(deg=3)@", "expected a step such as"),
        ("root=1;rotate(deg=3)@12345678123456789", "expected a step such as"),
        ("root=1;rotate(deg=3)@1F", "expected a step such as"),
        ("root=1;rotate(deg=nan)@1", "expected a step such as"),
        ("root=1;rotate(deg=inf)@1", "expected a step such as"),
        ("root=1;rotate(deg=1_0)@1", "expected a step such as"),
        ("root=1;rotate(deg=3)@1\n", "expected a step such as"),
        ("root=1;rotate(deg=３)@1", "expected a step such as"),
        ("root=1;translate(right=0.1down=0.1)@1", "expected a step such as"),
        ("root=1;translate(right=0.1,)@1", "expected a step such as"),
        ("root=1;rotate(deg=1e300)@1", r"expected deg of rotate in \[-15"),
        ("root=1;rotate(deg=1e999)@1", r"expected deg of rotate in \[-15"),
        ("root=1;rotate(deg=15.1)@1", r"expected deg of rotate in \[-15"),
        ("root=1;gaussian-blur(sigma=-0.01)@1", "expected sigma of gaussian-blur in"),
        ("root=1;rotate(angle=3)@1", r"expected rotate\(deg\)"),
        ("root=1;rotate()@1", r"expected rotate\(deg\)"),
        ("root=1;translate(down=0,right=0)@1", r"expected translate\(right, down\)"),
        ("root=1;rotat(deg=3)@1", "did you mean rotate"),
        ("root=1;__import__(x=1)@1", "expected a step such as"),
        ("root=1;rotate(deg=3)@1;shear(right=0,down=0)@2", "at most one geometric step"),
        ("root=1" + ";brightness(delta=0.1)@1" * 9, "at most 8 steps"),
        ("root=1" + ";brightness(delta=0.1)@1" * 500, "at most 4096 characters"),
        (b"root=1", "at most 4096 characters"),
        (None, "at most 4096 characters"),
    ],
)
def test_anything_else_is_refused(text, message):
    with pytest.raises(InvalidArgument, match=message):
        Recipe.parse(text)


@given(
    st.text(max_size=60)
    | st.from_regex(r"root=[0-9]{1,3};[a-z-]{3,9}\([a-z]{1,5}=[-0-9.e]{1,9}\)@[0-9a-f]{1,4}")
)
def test_hostile_text_ends_in_one_kind_of_error(text):
    try:
        recipe = Recipe.parse(text)
    except InvalidArgument:
        return
    assert Recipe.parse(str(recipe)) == recipe


def test_a_recipe_cannot_be_built_too_long_or_with_two_geometric_steps():
    with pytest.raises(InvalidArgument, match="at most 8 steps"):
        Recipe(0, (NOISE,) * (MAX_STEPS + 1))
    with pytest.raises(InvalidArgument, match="at most one geometric step in a recipe, got rotate, rotate"):
        Recipe(0, (ROTATE, NOISE)).then([ROTATE])


def drawn_steps(n, seed=0, shape=(1, 28, 28), extra=3):
    streams = per_item(generator(seed), n)
    return draw_steps(draw_names(streams.child(0), names_for(shape), extra=extra), streams.child(1))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 23)], ids=str)
def test_a_recipe_alone_rebuilds_the_input_bit_for_bit(shape):
    x = images(48, shape)
    plan = drawn_steps(48, shape=shape, extra=7)
    mutants, refs = apply_steps(x, x, plan, BOUNDS)
    for i in range(0, 48, 3):
        text = str(Recipe(i, plan[i]))
        alone, ref = rebuild(Recipe.parse(text), x[i], BOUNDS)
        assert np.array_equal(alone, mutants[i]) and np.array_equal(ref, refs[i])
    backwards, _ = apply_steps(x[::-1], x[::-1], plan[::-1], BOUNDS)
    assert np.array_equal(backwards[::-1], mutants)


def test_applying_in_two_goes_is_applying_in_one():
    x = images(32, (1, 28, 28))
    plan = drawn_steps(32, seed=3)
    whole, whole_ref = apply_steps(x, x, plan, BOUNDS)
    half, half_ref = apply_steps(x, x, [own[:1] for own in plan], BOUNDS)
    rest, rest_ref = apply_steps(half, half_ref, [own[1:] for own in plan], BOUNDS)
    assert np.array_equal(whole, rest) and np.array_equal(whole_ref, rest_ref)


def test_the_reference_gets_the_geometric_step_alone():
    x = images(3, (1, 28, 28))
    mutants, refs = apply_steps(x, x, [(ROTATE,), (NOISE, ROTATE), (NOISE,)], BOUNDS)
    turned = get("rotate").apply(x, np.float32([ROTATE.params] * 3), per_item(generator(0), 3), BOUNDS)
    assert np.array_equal(refs[:2], turned[:2]) and np.array_equal(refs[2], x[2])
    assert np.array_equal(mutants[0], refs[0])
    assert (mutants[1] != refs[1]).any()


def test_no_steps_change_nothing_and_inputs_are_not_written_to():
    x = images(2, (1, 8, 8))
    before = x.copy()
    mutants, refs = apply_steps(x, x, [(), (NOISE,)], BOUNDS)
    assert np.array_equal(mutants[0], x[0]) and np.array_equal(refs, x) and np.array_equal(x, before)
    empty = x[:0]
    assert apply_steps(empty, empty, [], BOUNDS)[0].shape == (0, 1, 8, 8)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: (x.astype(np.float64), x, [()] * 2),
        lambda x: (x, x[:1], [()] * 2),
        lambda x: (x, x, [()]),
        lambda x: (x[0, 0, 0], x[0, 0, 0], [()] * 8),
    ],
)
def test_wrong_batches_are_refused(change):
    with pytest.raises(InvalidArgument, match="expected float32 inputs"):
        apply_steps(*change(images(2, (1, 8, 8))), BOUNDS)


def test_a_dense_change_is_held_to_a_fifth_of_the_span_and_a_sparse_one_is_not():
    for bounds in (BOUNDS, Bounds(-1, 1)):
        x = images(4, (1, 28, 28), bounds)
        bright = Step("brightness", (float(np.float32(0.2)),), 1)
        noise = Step("impulse-noise", (float(np.float32(0.01)),), 2)
        out, _ = apply_steps(x, x, [(bright, bright), (noise,), (noise, bright), ()], bounds)
        change = np.abs(out - x).max(axis=(1, 2, 3)) / bounds.span
        assert change[0] == pytest.approx(0.2, abs=1e-6) and change[1] > 0.5 and change[2] <= 0.2 + 1e-6


def test_dropping_and_shrinking_steps():
    shift = Step("translate", (float(np.float32(0.1)), float(np.float32(-0.06))), 7)
    grow = Step("contrast", (1.5,), 8)
    recipe = Recipe(5, (shift, grow, NOISE))
    assert recipe.drop(1) == Recipe(5, (shift, NOISE))
    assert recipe.shrink(1, 0.5).steps[1].params == (1.25,)
    assert recipe.shrink(1, 0.0).steps[1].params == (1.0,)
    assert recipe.shrink(0, 1.0) == recipe
    half = recipe.shrink(0, 0.5, param=1).steps[0].params
    assert half == (shift.params[0], float(np.float32(shift.params[1] / 2)))
    assert Recipe.parse(str(recipe.shrink(2, 1 / 3))) == recipe.shrink(2, 1 / 3)
    x = images(1, (1, 28, 28))
    nothing = recipe.shrink(0, 0).shrink(1, 0).shrink(2, 0)
    assert np.array_equal(rebuild(nothing, x[0], BOUNDS)[0], x[0])


def test_families_and_geometry_of_a_recipe():
    assert Recipe(0, (NOISE, ROTATE, NOISE)).families == ("geometry", "noise")
    assert Recipe(0, (NOISE, ROTATE)).geometric and not Recipe(0, (NOISE,)).geometric
