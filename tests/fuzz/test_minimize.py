"""Minimising failures of models whose smallest failures are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import small_models

from armour.bounds import Bounds
from armour.fuzz.execution import Executor
from armour.fuzz.minimize import Case, Minimiser
from armour.fuzz.oracles.panel import default_panel
from armour.fuzz.recipe import Recipe, Step, apply_steps
from armour.fuzz.roots import Roots
from armour.fuzz.validity import ValidityModel
from armour.model import CallableModel

NOISE = Step("uniform-noise", (0.1,), 5)
BRIGHT = Step("brightness", (float(np.float32(0.18)),), 6)
SHIFT = Step("translate", (float(np.float32(0.1)), 0.0), 7)
CONTRAST = Step("contrast", (1.25,), 8)


def fails_when(rule: Callable[[np.ndarray], bool]) -> tuple[Minimiser, Roots]:
    """A minimiser of a model that says 1 where rule(image) holds and 0 elsewhere."""
    x, _ = small_models.digits(40)
    x = x * np.float32(0.5) + np.float32(0.2)

    def logits(images: np.ndarray) -> np.ndarray:
        hit = np.array([bool(rule(image)) for image in images])
        return np.stack([np.where(hit, 0.0, 1.0), np.where(hit, 1.0, 0.0)], axis=1)

    model = CallableModel(logits, outputs="logits", input_shape=(1, 8, 8), num_classes=2)
    roots = Roots(x, np.zeros(40, np.int64), np.arange(40), np.zeros((40, 2), np.int64))
    panel = default_panel(Executor(model, 128), roots, model.bounds)
    return Minimiser(panel, ValidityModel.fit(x, model.bounds)), roots


def case(roots: Roots, *steps: Step, root: int = 3, level: int = 1) -> Case:
    x, ref = apply_steps(roots.x[[root]], roots.x[[root]], [steps], Bounds(0, 1))
    return Case(Recipe(root, steps), 0, "label-flip", 1, level, x[0], ref[0])


def mean_of(roots: Roots, root: int = 3) -> float:
    return float(roots.x[root].mean())


def test_one_operation_is_enough() -> None:
    minimiser, roots = fails_when(lambda image: image.mean() > mean_of(roots) + 0.1)
    (small,) = minimiser.operations([case(roots, NOISE, BRIGHT, CONTRAST, SHIFT)])
    assert small.recipe.steps == (BRIGHT,)
    assert minimiser.executions <= 16


def test_both_operations_are_needed() -> None:
    def rule(image: np.ndarray) -> bool:
        change = image - roots.x[3]
        return bool(change.mean() > 0.1 and np.abs(np.diff(change)).mean() > 0.01)

    minimiser, roots = fails_when(rule)
    cases = [case(roots, NOISE, BRIGHT), case(roots, CONTRAST, NOISE, BRIGHT)]
    for small in minimiser.operations(cases):
        assert small.recipe.steps == (NOISE, BRIGHT)
        assert rule(small.x)


def test_parameters_go_as_near_to_identity_as_still_fails() -> None:
    minimiser, roots = fails_when(lambda image: image.mean() > mean_of(roots) + 0.05)
    start = case(roots, BRIGHT)
    (small,) = minimiser.parameters([start])
    # Brightness 0.05 is the least; the search ends within 1/64 of the parameter above it.
    (delta,) = small.recipe.steps[0].params
    assert 0.05 <= delta <= 0.05 + 0.18 / 64 + 1e-4
    assert minimiser.executions <= 15


def test_pixels_that_need_not_change_are_put_back() -> None:
    minimiser, roots = fails_when(lambda image: abs(image[0, 2, 5] - roots.x[3, 0, 2, 5]) > 1e-3)
    start = case(roots, NOISE)
    (small,) = minimiser.pixels([start])
    changed = np.argwhere(small.x != small.ref)
    assert [2, 5] in changed[:, 1:].tolist()
    assert len(changed) <= 4  # one block of the 7 x 7 grid
    assert np.abs(small.x - small.ref).sum() < np.abs(start.x - start.ref).sum()


def test_light_is_not_put_back_in_patches() -> None:
    minimiser, roots = fails_when(lambda image: image[0, 2, 5] > roots.x[3, 0, 2, 5] + 0.05)
    (same,) = minimiser.pixels([case(roots, BRIGHT)])
    assert np.array_equal(same.x, case(roots, BRIGHT).x) and minimiser.executions == 0


def test_the_label_and_the_validity_must_stay() -> None:
    minimiser, roots = fails_when(lambda image: image.mean() > mean_of(roots) + 0.1)
    # Nothing reaches V2 + 1, so nothing may be changed.
    start = case(roots, NOISE, BRIGHT, level=3)
    assert minimiser.operations([start]) == [start]
    assert minimiser.parameters([start])[0].recipe == start.recipe


def test_several_at_once_as_one_by_one() -> None:
    minimiser, roots = fails_when(lambda image: image.mean() > 0.45)
    rng = np.random.default_rng(0)
    pool = [NOISE, BRIGHT, SHIFT, CONTRAST]
    cases = []
    for root in range(40):
        made = case(roots, *(pool[i] for i in rng.permutation(4)[:3]), root=root)
        if minimiser.executor.run(made.x[None]).predicted[0] == 1:
            cases.append(made)
    assert len(cases) >= 3
    together = minimiser.parameters(minimiser.operations(cases))
    for one, small in zip(cases, together, strict=True):
        (alone,) = minimiser.parameters(minimiser.operations([one]))
        assert alone.recipe == small.recipe
        assert minimiser.executor.run(small.x[None]).predicted[0] == 1


def test_nothing_to_do() -> None:
    minimiser, _ = fails_when(lambda image: True)
    assert minimiser.operations([]) == [] == minimiser.parameters([]) == minimiser.pixels([])
