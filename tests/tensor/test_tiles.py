"""Batches in tiles: every sample once, the same bits for any number of workers, two stages, errors."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour.errors import InvalidArgument
from armour.tensor import Tensor, no_grad, use_workers, zoo
from armour.tensor.core import backward_pass
from armour.tensor.plan import Plan
from armour.tensor.recording import later
from armour.tensor.tiles import Tiled
from armour.tensor.workers import share, workers

NET = zoo.build("lenet5", (1, 28, 28), 10, rng=0).eval()


def forward(x: Tensor) -> Tensor:
    with no_grad():
        out: Tensor = NET(x)
    return out


def images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 1, 28, 28), dtype=np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300))
def test_tiles_cover_every_sample_once_by_falling_powers_of_two(n: int) -> None:
    tiled = Tiled(lambda x: x * 2.0)
    parts = tiled.tiles(n, [np.zeros((n, 3), np.float32)])
    rows = [i for part in parts for i in range(part.start, part.stop)]
    sizes = [part.stop - part.start for part in parts]
    assert rows == list(range(n))
    assert sizes == sorted(sizes, reverse=True) and all(s & (s - 1) == 0 for s in sizes)
    assert len(sizes) <= n // max(sizes) + max(sizes).bit_length()


def test_larger_values_make_smaller_tiles() -> None:
    wide = Tiled(lambda x: x.reshape((-1, 1, 64)) * np.ones((1, 256, 64), np.float32))
    slim = Tiled(lambda x: x * 2.0)
    x = np.zeros((256, 64), np.float32)
    assert wide.tiles(256, [x])[0].stop < slim.tiles(256, [x])[0].stop


def test_the_parts_together_are_what_the_network_gives() -> None:
    x = images(77)
    (ours,) = Tiled(forward)(x)
    np.testing.assert_allclose(ours, forward(Tensor(x)).numpy(), atol=1e-5)


@pytest.mark.parametrize("n", [1, 50, 131, 300])
def test_the_number_of_workers_changes_no_bit(n: int) -> None:
    x, results = images(n), []
    for count in (1, 2, 4):
        with use_workers(count):
            results.append(Tiled(forward)(x)[0])
    assert np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2])


def test_workers_run_at_the_same_time_and_each_has_its_own_plan() -> None:
    tiled, seen = Tiled(forward), set()
    inside, most = 0, 0
    lock, meeting = threading.Lock(), threading.Barrier(2, timeout=20)

    def job() -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        meeting.wait()  # only passes if another worker is here too
        seen.add(id(tiled.compiled.plan(images(4))))
        with lock:
            inside -= 1

    with use_workers(2):
        share([job, job])
    assert most == 2 and len(seen) == 2


def test_no_tile_goes_first_while_other_workers_wait() -> None:
    x = images(256)
    tiled = Tiled(forward)
    expected = tiled(x)[0]
    plans = [tiled.compiled.plan(x[rows]) for rows in tiled.tiles(256, [x])]
    assert len(plans) >= 4 and len({id(plan) for plan in plans}) == 1
    meeting, threads, run = threading.Barrier(2, timeout=20), [], Plan.run

    def met(plan: Plan, *inputs: Any) -> Any:
        threads.append(threading.get_ident())
        meeting.wait()  # only passes if another tile runs at the same time
        return run(plan, *inputs)

    with use_workers(2), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Plan, "run", met)
        assert np.array_equal(tiled(x)[0], expected)
    assert len(threads) == len(plans) and len(set(threads)) == 2


def test_workers_do_not_share_among_themselves_again() -> None:
    found: list[int] = []
    with use_workers(3):
        share([lambda: found.append(workers()) for _ in range(3)])
        assert workers() == 3
    assert found == [1, 1, 1]


def test_an_error_in_a_worker_is_raised_and_the_rest_stops() -> None:
    done: list[int] = []

    def job(number: int) -> None:
        if number == 3:
            raise InvalidArgument("number three")
        time.sleep(0.005)  # the other worker must not be through with all of them before that
        done.append(number)

    with use_workers(2), pytest.raises(InvalidArgument, match="number three"):
        share([lambda number=i: job(number) for i in range(200)])  # type: ignore[misc]
    assert 3 not in done and len(done) < 199


# -- two stages ----------------


def pulled(x: Tensor) -> Any:
    leaf = Tensor(x.data, requires_grad=True)
    out = NET(leaf)
    gradients = dict(backward_pass([out], [later(out)], [leaf], False, False))
    return out, gradients[leaf]


@pytest.mark.parametrize("n", [1, 5, 100])
def test_what_comes_later_may_depend_on_what_came_first(n: int) -> None:
    x, tiled = images(n), Tiled(pulled)
    weights = np.random.default_rng(1).standard_normal((n, 10)).astype(np.float32)

    def eager() -> tuple[np.ndarray, np.ndarray]:
        leaf = Tensor(x, requires_grad=True)
        out = NET(leaf)
        out.backward(out.data * weights)
        assert leaf.grad is not None
        return out.numpy(), leaf.grad.numpy()

    by_tile = tiled.staged(x, lambda rows, found: found[0] * weights[rows])
    at_once = tiled.held(x, lambda found: found[0] * weights)
    for ours in (by_tile, at_once):
        for mine, theirs in zip(ours, eager(), strict=True):
            scale = np.abs(theirs).max()
            assert np.mean(np.abs(mine - theirs) <= 1e-4 * scale) > 0.99
    np.testing.assert_array_equal(by_tile[1], at_once[1])


def test_later_is_for_captured_functions_alone() -> None:
    with pytest.raises(Exception, match="inside compile only"):
        later(Tensor(np.ones(2, np.float32)))


def test_what_is_lent_is_the_borrowers_until_it_lets_go() -> None:
    tiled = Tiled(forward)
    x = [images(8, seed) for seed in range(6)]
    expected = [forward(Tensor(a)).numpy() for a in x]
    held = [tiled.lent(a)[0] for a in x]  # more than there are plans to lend
    for ours, theirs in zip(held, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    address = held[0].__array_interface__["data"][0]
    part = held[0][2:3, 1:]  # a view of a view keeps it too
    del held
    again = tiled.lent(x[5])[0]
    np.testing.assert_allclose(part, expected[0][2:3, 1:], atol=1e-5)
    assert again.__array_interface__["data"][0] != address
    del part, again
    assert tiled.lent(x[1])[0].__array_interface__["data"][0] == address


def test_workers_treat_overflow_as_the_caller_does() -> None:
    tiled = Tiled(lambda x: x * np.float32(3e38))
    x = np.full((600, 20), 9.0, np.float32)  # three tiles
    with use_workers(3):
        with np.errstate(over="ignore"):
            assert np.isinf(tiled(x)[0]).all()
        with np.errstate(over="raise"), pytest.raises(FloatingPointError):
            tiled(x)
