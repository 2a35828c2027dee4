"""Roots, scenes and rounds of children for tests of schedules, without a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.bounds import Bounds
from armour.fuzz.kinds import IMAGE
from armour.fuzz.recipe import Step, apply_steps
from armour.fuzz.roots import Roots
from armour.fuzz.schedule import Children, Parents, Scene
from armour.fuzz.sections import Profile, SectionMap

BOUNDS = Bounds(0, 1)
MUTATORS, NEURONS, SECTIONS = 5, 6, 4


def roots(gaps: list[list[int]]) -> Roots:
    """Roots of 1 x 8 x 8; each one's label is where its gap is 0."""
    table = np.array(gaps, np.int64)
    x = np.random.default_rng(0).random((len(table), 1, 8, 8)).astype(np.float32)
    return Roots(x, (table == 0).argmax(axis=1), np.arange(len(table)), table)


def many_roots(count: int = 20, classes: int = 4) -> Roots:
    """Roots with random gaps, all above 0 but the own one."""
    rng = np.random.default_rng(1)
    gaps = rng.integers(500, 9000, (count, classes))
    gaps[np.arange(count), rng.integers(0, classes, count)] = 0
    return roots(gaps.tolist())


def scene(given: Roots, mutators: int = MUTATORS, neurons: int = NEURONS) -> Scene:
    """A scene of these roots, with an empty section map of that many neurons."""
    profile = Profile(low=np.zeros(neurons, np.float32), high=np.ones(neurons, np.float32))
    return Scene(
        roots=given,
        mutators=mutators,
        kind=IMAGE,
        bounds=BOUNDS,
        coverage=SectionMap(profile, SECTIONS),
    )


def children(where: Scene, parents: Parents, seed: int, **changes: Any) -> Children:
    """Each parent with one more change of brightness, and outcomes drawn at random; `changes` replace fields.

    A third is invalid, a sixth fails. The scene's coverage is brought up to date, as a campaign does.
    """
    rng, n = np.random.default_rng(seed), len(parents)
    labels, classes = where.roots.labels[parents.root], where.roots.gaps.shape[1]
    new = [(Step("brightness", (float(np.float32(d)),), 1),) for d in rng.uniform(-0.2, 0.2, n)]
    x, ref = apply_steps(parents.x, parents.ref, new, BOUNDS)
    valid = rng.random(n) < 2 / 3
    failed = valid & (rng.random(n) < 1 / 4)
    gaps = rng.integers(1, 9000, (n, classes))
    gaps[np.arange(n), labels] = 0
    predicted = np.where(failed, (labels + 1 + rng.integers(0, classes - 1, n)) % classes, labels)
    ids = where.coverage.ids(rng.normal(0.5, 0.4, (n, where.coverage.neurons)).astype(np.float32))
    gain = where.coverage.update(ids, valid)
    correct = valid & ~failed
    found = {
        "root": parents.root,
        "x": x,
        "ref": ref,
        "steps": [(*before, *own) for before, own in zip(parents.steps, new, strict=True)],
        "used": rng.random((n, where.mutators)) < 0.3,
        "valid": valid,
        "correct": correct,
        "failed": failed,
        "predicted": predicted,
        "gaps": gaps,
        "ids": ids,
        "signature": where.coverage.signatures(ids),
        "gain": gain,
        "novel": correct & (rng.random(n) < 0.5),
    }
    return Children(**(found | changes))
