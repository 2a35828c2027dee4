"""Plans replayed as CUDA graphs: when one is made, what rules it out, and that results stay right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour.tensor import Tensor, compile, nn, no_grad
from armour.tensor.stages import HOST_ROWS, Stage
from tests.tensor.device_graphs import Graph, Stream
from tests.tensor.pretend import cupy as cupy
from tests.tensor.pretend import kernels as kernels
from tests.tensor.strict import StrictArray, transfers
from tests.tensor.test_op_table import cases, samples
from tests.tensor.test_plan import close, images, input_gradient
from tests.tensor.test_plan_device import host, moved_network, network, there


def test_a_stage_is_captured_at_its_second_call_and_launched_at_its_third(cupy: Any) -> None:
    calls: list[int] = []
    stage = Stage(cupy, [lambda: calls.append(1)], ())
    stage()
    assert calls == [1] and not stage.captured
    stage()  # the run itself, and once more to capture
    assert calls == [1, 1, 1] and stage.captured and stage.plain == ""
    graph = stage._graph
    assert isinstance(graph, Graph) and graph.launched == 0
    stage()
    assert graph.launched == 1 and calls == [1, 1, 1]
    stage.forget()
    stage()
    assert not stage.captured and len(calls) == 4


def test_what_needs_the_host_is_never_captured(cupy: Any) -> None:
    calls: list[int] = []
    stage = Stage(cupy, [lambda: calls.append(1)], ["op draw", "op draw"])
    for _ in range(3):
        stage()
    assert len(calls) == 3 and not stage.captured and stage.plain == "op draw needs the host"


def test_a_capture_that_fails_ends_and_says_why(cupy: Any) -> None:
    x = there(np.ones(3))
    stage = Stage(cupy, [lambda: cupy.asnumpy(x)], ())
    for _ in range(3):
        stage()
    assert "capturing failed" in stage.plain and "asnumpy" in stage.plain and not stage.captured
    seen: list[int] = []

    def once_too_often() -> None:
        seen.append(1)
        if len(seen) == 3:  # while it is captured
            raise ValueError("not now")

    other = Stage(cupy, [once_too_often], ())
    other()
    other()
    assert other.plain == "capturing failed: ValueError: not now" and Stream.made[-1].ended
    other()
    assert len(seen) == 4 and not other.captured


def test_a_plans_stages(kernels: Any) -> None:
    net, x, y = moved_network("lenet5"), images("lenet5", 3), np.arange(3)
    captured = compile(input_gradient(net))
    plan = captured.plan(there(x), there(y))
    for _ in range(3):
        plan.run(there(x), there(y))
    stages = [c for c in (*plan._calls, *plan._loads) if isinstance(c, Stage)]
    assert len(stages) == 2 and plan.plain == [] and all(s.captured for s in stages)
    for p in net.parameters():
        p.data = p.data * np.float32(0.5)
    for ours, theirs in zip(
        captured(there(x), there(y)), input_gradient(net)(Tensor(there(x)), Tensor(there(y))), strict=True
    ):
        close(host(ours), host(theirs))


def test_dropout_is_drawn_anew_and_so_not_captured(kernels: Any) -> None:
    net, x = nn.Sequential(nn.Dropout(0.5, rng=7)), there(np.ones((4, 50), np.float32))
    captured = compile(net)
    outs = [host(captured(x)).copy() for _ in range(4)]
    assert not any(np.array_equal(outs[0], other) for other in outs[1:])
    assert "needs the host" in captured.plan(x).plain[0]


def test_rows_that_copy_or_wait_are_listed(cupy: Any) -> None:
    found = set()
    for parameter in cases():
        row, case = parameter.values
        arrays = [StrictArray(a) for a in samples(row, case)]
        with transfers() as moves, np.errstate(all="ignore"):
            row.forward(cupy, *arrays, **case.attrs)
        if moves:
            found.add(row.name)
    assert sorted(found) == sorted(HOST_ROWS)


def test_networks_give_the_same_before_and_after_capturing(kernels: Any) -> None:
    net, x = moved_network("resnet8"), images("resnet8", 2)
    captured = compile(net)
    for shift in (0.0, 0.25, -0.5, 0.0):
        with no_grad():
            expected = network("resnet8")(Tensor(x + np.float32(shift))).numpy()
        close(host(captured(there(x + np.float32(shift)))), expected, 1e-4)
    assert all(c.captured for c in captured.plan(there(x))._calls)


@pytest.mark.parametrize("n", [0, 2])
def test_without_a_device_the_reason_is_told(cupy: Any, n: int) -> None:
    from armour.tensor.backend import has_cuda, why_no_cuda

    cupy.cuda.runtime.getDeviceCount = lambda: n
    assert has_cuda() == bool(n)
    assert (why_no_cuda() is None) == bool(n)
