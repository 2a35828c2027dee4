"""Estimates cover what operations take, and what would take too much is refused before it runs."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from armour.errors import InvalidArgument
from armour.tensor import Tensor, limits, no_grad, zoo
from armour.tensor.demand import demand
from armour.tensor.demand_parts import MIB
from armour.tensor.op import OPS, Case
from armour.tensor.tape import state

ROWS = [(row, case) for row in OPS.values() for case in row.cases or (Case(((3, 4),)),)]
LARGE: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("relu", ((2, 64, 64, 64),), {}),
    ("gelu", ((2, 64, 64, 64),), {}),
    ("elu", ((2, 64, 64, 64),), {"alpha": 1.0}),
    ("softplus", ((2, 64, 64, 64),), {}),
    ("softmax", ((64, 8192),), {"axis": -1}),
    ("logsumexp", ((64, 8192),), {"axis": 1}),
    ("var", ((64, 8192),), {"axis": 1}),
    ("add", ((1, 2000), (400, 1)), {}),
    ("where", (np.ones((400, 1), bool), (1, 2000), (400, 2000)), {}),
    ("matmul", ((2, 300, 400), (2, 400, 500)), {}),
    ("linear", ((600, 400), (700, 400), (700,)), {}),
    ("einsum", ((30, 20, 40), (30, 40, 50)), {"subscripts": "bij,bjk->bik"}),
    ("einsum", ((100, 100), (100, 100), (100, 100)), {"subscripts": "ij,jk,kl->il"}),
    ("pad", ((2, 3, 8, 8),), {"widths": ((0, 0), (0, 0), (200, 100), (0, 300))}),
    ("broadcast_to", ((1, 700),), {"shape": (900, 700)}),
    ("getitem", ((50, 40, 30),), {"index": (slice(None), np.zeros((400,), np.int64))}),
    ("getitem", ((50, 40, 30),), {"index": (np.zeros((40, 1), np.int64), np.zeros((1, 300), np.int64))}),
    ("take_along_axis", ((300, 10), np.zeros((300, 2000), np.int64)), {"axis": 1}),
    ("concat", ((200, 300),) * 8, {"axis": 0}),
    ("one_hot", (np.zeros(300, np.int64),), {"classes": 2000, "dtype": "float64"}),
    ("scale_shift", ((2, 512, 7, 70), (512,), (512,)), {}),
    ("max_pool2d", ((2, 16, 90, 90),), {"kernel": (3, 3), "stride": (1, 1)}),
    ("avg_pool2d", ((2, 16, 90, 90),), {"kernel": (3, 3), "stride": (1, 1)}),
]
LARGE += [
    ("add_n", ((400, 500),) * 5, {}),
    ("argsort", ((64, 8192),), {"axis": 1, "descending": True}),
    ("cumargmax", ((64, 8192),), {"axis": 1}),
    ("diag_embed", ((20, 200),), {"offset": 3}),
    ("index_add", ((50, 400, 30), (50, 4000, 30), np.zeros(4000, np.int64)), {"axis": 1}),
    ("erfc", ((2, 64, 64, 64),), {}),
    ("erfinv", ((2, 64, 64, 64),), {}),
    ("gather", ((50, 40, 30), np.zeros((40, 100), np.int64)), {"axis": 1}),
    ("gather_grad", ((4000, 300), np.zeros(4000, np.int64)), {"axis": 0, "shape": (500, 300)}),
    ("gather_grad", ((50, 4000, 30), np.zeros(4000, np.int64)), {"axis": 1, "shape": (50, 400, 30)}),
    ("gather_nd", ((50, 40, 300), np.zeros((4000, 2), np.int64)), {}),
    ("inv", ((20, 100, 100),), {}),
    ("logaddexp", ((1, 2000), (400, 1)), {}),
    ("recurrence", ((64, 8192), (64, 8192)), {"axis": 0}),
    ("repeat", ((300, 400),), {"repeats": 7, "axis": 0}),
    ("scatter_nd", ((4000, 300), np.zeros((4000, 2), np.int64)), {"shape": (50, 40, 300)}),
    ("scatter_update", ((50, 40, 300), (4000, 300), np.zeros((4000, 2), np.int64)), {}),
    ("solve", ((20, 100, 100), (20, 100, 300)), {}),
    ("tile", ((300, 40),), {"reps": (3, 2, 4)}),
    ("tril", ((20, 200, 200),), {"k": 0}),
]
ONE: dict[str, Any] = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
VALID = ONE | {"padding": (0, 0)}
for settings in (ONE, {"stride": (2, 1), "padding": (40, 2), "dilation": (1, 2), "groups": 1}):
    LARGE.append(("conv2d", ((2, 16, 60, 60), (32, 16, 3, 3), (32,)), settings))
    LARGE.append(("conv2d", ((2, 1, 200, 200), (3, 1, 5, 5)), settings))
LARGE.append(("conv2d", ((2, 32, 60, 60), (32, 1, 3, 3)), ONE | {"groups": 32}))
for row_name in ("conv2d_sample_grad", "conv2d_sample_square"):
    LARGE.append((row_name, ((40, 64, 9, 9), (40, 128, 9, 9)), ONE | {"kernel": (3, 3)}))
    LARGE.append((row_name, ((30, 32, 12, 12), (30, 32, 12, 12)), ONE | {"kernel": (3, 3), "groups": 32}))
LARGE.append(("conv2d_sample_grad", ((300, 1, 28, 28), (300, 6, 28, 28)), ONE | {"kernel": (3, 3)}))
LARGE.append(("conv2d_sample_grad", ((2, 16, 100, 90), (2, 32, 100, 90)), ONE | {"kernel": (3, 3)}))
LARGE.append(("conv2d_input_grad", ((60, 16, 10, 10), (16, 6, 5, 5)), VALID | {"size": (14, 14)}))
LARGE.append(("conv2d_input_grad", ((9, 3, 4, 200), (3, 1, 2, 9)), VALID | {"size": (5, 208)}))
LARGE.append(("sum_places", ((64, 16, 60, 20),), {}))

LARGE += [
    ("sliding_windows", ((2, 3, 20_000),), {"axis": 2, "size": 50, "stride": 1, "dilation": 1}),
    ("overlap_add", ((2, 3, 2_000, 50),), {"axis": 2, "length": 2_049, "stride": 1, "dilation": 1}),
    ("standardise", ((64, 8192),), {"eps": 1e-5, "centred": True}),
    ("standardise_grad", ((64, 8192), (64, 8192), (64, 1)), {"centred": True}),
    ("inverse_deviation", ((64, 8192),), {"eps": 1e-5, "centred": True}),
    ("read_pixels", ((2, 16, 90, 90), np.ones((2, 80, 90)), np.ones((2, 80, 90))), {}),
    ("add_pixels", ((2, 16, 80, 90), np.ones((2, 80, 90)), np.ones((2, 80, 90))), {"size": (90, 90)}),
    ("mish", ((2, 64, 64, 64),), {}),
]


def arrays(shapes: tuple[Any, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        rng.uniform(0.5, 1.5, s).astype(np.float32) if isinstance(s, tuple) else np.asarray(s) for s in shapes
    ]


@pytest.mark.parametrize(("row", "case"), ROWS, ids=lambda v: getattr(v, "name", ""))
def test_every_row_is_estimated_and_never_below_its_output(row: Any, case: Case) -> None:
    given = arrays(case.shapes if row.cases else ((3, 4),) * row_inputs(row))
    with np.errstate(invalid="ignore"):  # the numbers may lie outside the function's domain
        out = row.forward(np, *given, **case.attrs)
    need = demand(row, given, case.attrs)
    assert need.elements >= out.size and need.nanoseconds > 0


def row_inputs(row: Any) -> int:
    return (
        len(row.vjp) if isinstance(row.vjp, tuple) else 2 if row.name in ("equal", "less") else row_arity(row)
    )


def row_arity(row: Any) -> int:
    return row.forward.__code__.co_argcount - 1 if hasattr(row.forward, "__code__") else 1


@pytest.mark.parametrize(("name", "shapes", "attrs"), LARGE, ids=[case[0] for case in LARGE])
def test_memory_stays_below_the_estimate(name: str, shapes: tuple[Any, ...], attrs: dict[str, Any]) -> None:
    row, given = OPS[name], arrays(shapes)
    need = demand(row, given, attrs)
    size = need.elements * max([4, *(a.itemsize for a in given)])
    size *= 2 if attrs.get("dtype") == "float64" else 1
    tracemalloc.start()
    try:
        row.forward(np, *given, **attrs)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= size + 100_000, f"{peak:,} bytes instead of {size:,}"
    assert size <= 40 * peak or name in ("getitem", "broadcast_to", "einsum", "sliding_windows"), (
        "an estimate this high refuses honest networks"
    )


HUGE: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("pad", ((2, 4),), {"widths": ((0, 0), (1 << 40, 0))}),
    ("broadcast_to", ((2, 1),), {"shape": (2, 1 << 40)}),
    ("getitem_grad", ((2,),), {"index": 0, "shape": (1 << 40, 2)}),
    ("one_hot", (np.zeros(2, np.int64),), {"classes": 1 << 40, "dtype": "float32"}),
    ("multiply", ((60_000, 1), (1, 60_000)), {}),
    ("matmul", ((60_000, 1), (1, 60_000)), {}),
    ("einsum", ((60_000,), (60_000,)), {"subscripts": "i,j->ij"}),
    ("einsum", ((60_000,), (60_000,), (60_000,)), {"subscripts": "i,j,k->"}),
    ("getitem", ((20_000, 2),), {"index": (slice(None), np.zeros(90_000, np.int64))}),
    ("conv2d", ((2, 1, 8, 8), (1, 1, 1, 1)), ONE | {"padding": (1 << 20, 1 << 20)}),
    ("conv2d_input_grad", ((2, 1, 8, 8), (1, 1, 3, 3)), ONE | {"size": (1 << 20, 1 << 20)}),
    ("avg_unpool2d", ((2, 1, 8, 8),), {"size": (1 << 20, 1 << 20), "kernel": (2, 2), "stride": (2, 2)}),
    ("avg_pool2d", ((2, 1, 3000, 3000),), {"kernel": (2900, 2900), "stride": (1, 1)}),
    ("conv2d_sample_square", ((1, 1, 400, 400), (1, 1, 400, 400)), ONE | {"kernel": (3, 3)}),
    ("tile", ((2, 3),), {"reps": (1 << 20, 1 << 20)}),
    ("diag_embed", ((2, 3),), {"offset": 1 << 20}),
    ("repeat", ((2, 3),), {"repeats": 1 << 40, "axis": 0}),
    ("gather", ((4, 40_000), np.zeros(90_000, np.int64)), {"axis": 0}),
    ("gather_grad", ((2, 3), np.zeros(2, np.int64)), {"axis": 0, "shape": (1 << 40, 3)}),
    ("scatter_nd", ((2, 3), np.zeros((2, 1), np.int64)), {"shape": (1 << 40, 3)}),
    ("gather_nd", ((2, 40_000), np.zeros((90_000, 1), np.int64)), {}),
    ("inv", ((9_000, 9_000),), {}),
    ("recurrence", ((4_000_000, 1), (4_000_000, 1)), {"axis": 0}),
    ("sliding_windows", ((2, 1 << 17),), {"axis": 1, "size": 1 << 16, "stride": 1, "dilation": 1}),
    ("overlap_add", ((2, 8, 4),), {"axis": 1, "length": 1 << 40, "stride": 1, "dilation": 1}),
    ("add_pixels", ((2, 1, 2, 2), np.ones((2, 2, 2)), np.ones((2, 2, 2))), {"size": (1 << 20, 1 << 20)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shapes", "attrs"), HUGE, ids=[case[0] for case in HUGE])
def test_what_needs_too_much_is_refused_before_it_runs(
    name: str, shapes: tuple[Any, ...], attrs: dict[str, Any]
) -> None:
    tensors = [Tensor(a) for a in arrays(shapes)]
    with limits.limited(), pytest.raises(InvalidArgument, match=f"op {name}"):
        OPS[name](*tensors, **attrs)
    assert not state.guards and not state.observers


def test_memory_alive_and_time_add_up() -> None:
    x = Tensor(np.ones((256, 1024), np.float32))
    with limits.limited(memory=10 * MIB), no_grad():
        for _ in range(20):
            y = x + 1.0  # each is freed before the next
        kept = [x + 1.0 for _ in range(4)]
        views = [kept[0].reshape((1024, 256)) for _ in range(20)]  # take nothing
        with pytest.raises(InvalidArgument, match="limit of 10 MiB"):
            kept += [x + 1.0 for _ in range(20)]
    assert y.shape == (256, 1024) and len(views) == 20
    with limits.limited(seconds=0.001), pytest.raises(InvalidArgument, match=r"more than 0\.001 s"):
        for _ in range(1000):
            x + 1.0


@pytest.mark.parametrize("name", zoo.SMALL)
def test_honest_networks_pass_by_a_wide_margin(name: str) -> None:
    net = zoo.build(name, (3, 32, 32), 10).eval()
    with limits.limited(memory=64 * MIB, seconds=1.0), no_grad():
        assert net(Tensor(np.zeros((2, 3, 32, 32), np.float32))).shape == (2, 10)
