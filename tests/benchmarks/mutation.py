"""What mutating and judging an input costs: each mutator alone, and whole batches of images, in CPU time.

`PYTHONPATH=.:tests OPENBLAS_NUM_THREADS=1 python -m benchmarks.mutation [--data mnist]`. Each figure is the
best of several runs, since other work on the machine can only add to it. Without --data the pictures are made
up (28x28 grey and 32x32 colour); with it, the shares of inputs at each validity level mean something. Without
it the mutators of tables, series, bytes and tokens are timed as well.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from fuzz_inputs import bounds_of, extra, inputs, kind_of
from pictures import images, textures

from armour import data
from armour.bounds import Bounds
from armour.fuzz.draw import draw_names, draw_steps
from armour.fuzz.mutators import MUTATORS, get, names_for
from armour.fuzz.recipe import apply_steps
from armour.fuzz.validity import ValidityModel
from armour.rng import generator, per_item

BATCH = 128
GROUP = 16  # about what one mutator gets of a batch
BOUNDS = Bounds(0, 1)


def microseconds(call: Callable[[], Any], n: int, runs: int = 15) -> float:
    """CPU time of one call for each of n inputs, the best of `runs`."""
    call()
    best = float("inf")
    for _ in range(runs):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best / n * 1e6


def mutators(x: np.ndarray) -> dict[str, float]:
    """Microseconds an input for each mutator, in groups."""
    return {name: cost(name, x[:GROUP], BOUNDS) for name in names_for(x.shape[1:], slopes=True)}


def cost(name: str, x: np.ndarray, bounds: Bounds) -> float:
    """Microseconds an input of the group x for one mutator."""
    row, streams, given = get(name), per_item(generator(0), len(x)), extra(name, x)
    params = row.sample(streams.child(0))
    return microseconds(lambda: row.apply(x, params, streams, bounds, given), len(x))


def kinds() -> None:
    """Print what the mutators of inputs cost that are no images."""
    shapes = {"tabular": (12,), "series": (1, 4096), "bytes": (2048,), "tokens": (128,)}
    for kind, shape in shapes.items():
        print(f"\n{kind} {shape}: microseconds of CPU time an input")
        names = [name for name, row in MUTATORS.items() if kind_of(name) == kind]
        costs = {
            name: cost(name, inputs(name, GROUP, shape, bounds_of(name)[0]), bounds_of(name)[0])
            for name in names
        }
        table(costs)


def table(costs: dict[str, float]) -> None:
    """Print them, the dearest first, and their mean."""
    for name, value in sorted(costs.items(), key=lambda pair: -pair[1]):
        print(f"  {name:20} {value:7.1f}")
    print(f"  {'mean':20} {np.mean(list(costs.values())):7.1f}")


def pipeline(x: np.ndarray, clean: np.ndarray, seed: int) -> tuple[float, float, float, np.ndarray]:
    """Microseconds an input to draw a stack, to apply it and to judge it; shares at levels -1, 0, 1, 2."""
    names, streams = names_for(x.shape[1:]), per_item(generator(seed), len(x))
    validity = ValidityModel.fit(clean, BOUNDS)

    def draw() -> list[Any]:
        return draw_steps(draw_names(streams.child(0), names), streams.child(1))

    steps = draw()
    y, ref = apply_steps(x, x, steps, BOUNDS)
    levels = np.bincount(validity.level(y, ref, steps) + 1, minlength=4) / len(x)
    return (
        microseconds(draw, len(x)),
        microseconds(lambda: apply_steps(x, x, steps, BOUNDS), len(x)),
        microseconds(lambda: validity.level(y, ref, steps), len(x)),
        levels,
    )


def main() -> None:
    """Print both tables for each kind of picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="a data set by name, as for `armour train`")
    name = parser.parse_args().data
    sets = [data.load(name)[0]] if name else [images(600, (1, 28, 28)), textures(600)]
    for clean in sets:
        x = np.ascontiguousarray(clean[:BATCH])
        print(f"\n{x.shape[1:]}: microseconds of CPU time an input")
        table(mutators(x))
        for seed in range(3):
            draw, mutate, judge, levels = pipeline(x, clean, seed)
            parts = f"draw {draw:.0f} + mutate {mutate:.0f} + judge {judge:.0f} = {draw + mutate + judge:.0f}"
            shares = ", ".join(f"V{k} {share:.1%}" for k, share in zip(range(3), levels[1:], strict=True))
            print(f"  batch {seed}: {parts}; {shares}")
    if not name:
        kinds()


if __name__ == "__main__":
    main()
