"""Special inputs: what a model does with NaN, infinities, empty batches and the like, asked once up front.

They are no valid inputs, so no oracle judges the answers; the check reports whether the model answers,
refuses in one line, or crashes. A network of ours is asked past armour's own checks, in a forked process,
since it may take that down. Any other model is asked as users ask it, so that armour refuses in its place.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Literal

import numpy as np

from armour.errors import ArmourError
from armour.model import Model, ModuleModel

_HUGE = 1e30
_LONGEST = 160  # characters of what a model says
_SECONDS = 20.0  # that one answer may take
Verdict = Literal["answers", "refuses", "crashes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """What a model did with one special input.

    verdict: "answers", "refuses" (with an error that armour means to raise) or "crashes" (with any other, or
    with the process). finite: whether an answer is finite throughout, None if there is none. says: the error
    in one line, or what was answered.
    """

    name: str
    verdict: Verdict
    finite: bool | None
    says: str


def cases(seed: np.ndarray, low: float, high: float) -> dict[str, np.ndarray]:
    """Batches by name, made from one seed (*shape) of a model with those bounds."""
    one = seed[None].astype(np.float32)

    def first(value: float) -> np.ndarray:
        changed = one.copy()
        changed.reshape(-1)[0] = value
        return changed

    return {
        "batch of 1": one,
        "empty batch": one[:0],
        "all zero": np.zeros_like(one),
        "all low": np.full_like(one, low),
        "all high": np.full_like(one, high),
        "denormal": np.full_like(one, 1e-41),
        "one NaN": first(np.nan),
        "one +inf": first(np.inf),
        "one -inf": first(-np.inf),
        "all NaN": np.full_like(one, np.nan),
        "huge": np.full_like(one, _HUGE),
        "float64": one.astype(np.float64),
        "float16": np.clip(one, -65000, 65000).astype(np.float16),
        "integers": np.rint(one).astype(np.int64),
        "no batch axis": one[0],
        "an axis too many": one[:, None],
    }


def probe(model: Model, seed: np.ndarray, *, apart: bool = False) -> tuple[Special, ...]:
    """Give each special input to the model; none of them ends the run. A remote model is not asked.

    apart: in a process of its own, black boxes too.
    """
    if model.remote:
        return ()
    asked = cases(seed, *model.bounds)
    alone = sys.platform == "linux" and isinstance(model, ModuleModel) and model.device == "cpu"
    if alone and threading.current_thread() is threading.main_thread():
        return tuple(_apart(model.unchecked, asked))
    if apart:
        return tuple(_apart(_renewed(model), asked))
    return tuple(_judge(model.logits, name, x) for name, x in asked.items())


def summary(found: Sequence[Special]) -> str:
    """One line for people, "" if nothing was asked."""
    rows = {verdict: [one for one in found if one.verdict == verdict] for verdict in _PAST}
    line = ", ".join(f"{len(own)} {_PAST[verdict]}" for verdict, own in rows.items() if own)
    odd = [one.name for one in rows["answers"] if one.finite is False]
    line += f"; not finite: {', '.join(odd)}" if odd else ""
    crashed = [one.name for one in rows["crashes"]]
    return line + (f"; crashed: {', '.join(crashed)}" if crashed else "")


def _renewed(model: Model) -> Callable[[np.ndarray], np.ndarray]:
    """What asks a black box in a forked process, which onnxruntime's sessions do not survive."""

    def ask(x: np.ndarray) -> np.ndarray:
        if hasattr(model, "_session"):
            model.__setstate__(model.__getstate__())  # type: ignore[attr-defined]
        return model.logits(x)

    return ask


_PAST = {"answers": "answered", "refuses": "refused", "crashes": "crashed"}


def _judge(ask: Callable[[np.ndarray], np.ndarray], name: str, x: np.ndarray) -> Special:
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logits = np.asarray(ask(x))
    except ArmourError as error:
        return Special(name=name, verdict="refuses", finite=None, says=_line(error))
    except Exception as error:
        says = f"{type(error).__name__}: {_line(error)}"
        return Special(name=name, verdict="crashes", finite=None, says=says)
    finite = bool(np.isfinite(logits).all())
    says = "nothing" if not logits.size else f"class {int(logits[0].argmax())}" if finite else "not finite"
    return Special(name=name, verdict="answers", finite=finite, says=says)


def _apart(ask: Callable[[np.ndarray], np.ndarray], asked: Mapping[str, np.ndarray]) -> list[Special]:
    """Ask in a forked process; in another one again after what took it down."""
    found: list[Special] = []
    names = list(asked)
    while len(found) < len(names):
        rest = {name: asked[name] for name in names[len(found) :]}
        before = len(found)
        ended = _child(ask, rest, found)
        if ended is not None:
            name = names[len(found)]
            found.append(Special(name=name, verdict="crashes", finite=None, says=ended))
        assert len(found) > before, "each process answers for one input at least"
    return found


def _child(
    ask: Callable[[np.ndarray], np.ndarray], asked: Mapping[str, np.ndarray], found: list[Special]
) -> str | None:
    """Append what a forked process answers; what ended it before the last one, None if nothing did."""
    context = multiprocessing.get_context("fork")
    pipe, other = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(ask, asked, other), daemon=True)
    with warnings.catch_warnings():
        # Newer Pythons warn that other threads are not copied. The child needs none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    other.close()
    try:
        for _ in asked:
            if not pipe.poll(_SECONDS):
                process.kill()
                return f"no answer in {_SECONDS:.0f} s"
            found.append(Special(**json.loads(pipe.recv_bytes())))
    except (EOFError, OSError):
        process.join(_SECONDS)
        code = process.exitcode
        return f"the process ended with {signal.Signals(-code).name if code and code < 0 else f'code {code}'}"
    finally:
        pipe.close()
        process.join(_SECONDS)
    return None


def _serve(
    ask: Callable[[np.ndarray], np.ndarray], asked: Mapping[str, np.ndarray], pipe: Connection
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for name, x in asked.items():
            pipe.send_bytes(json.dumps(asdict(_judge(ask, name, x))).encode())
    except OSError:
        os._exit(1)
    # Nothing that this process inherited is to be flushed or cleaned up a second time.
    os._exit(0)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:_LONGEST]
