"""Watching module calls: the outputs of leaf layers as they are computed, and the hook that tracing uses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from armour.checks import suggest
from armour.errors import InvalidArgument
from armour.tensor.backend import Array

if TYPE_CHECKING:
    from armour.tensor.module import Module

# (module, forward without watching, inputs, keywords) -> output
Watcher = Callable[["Module", Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


class _State(threading.local):
    current: Watcher | None = None


STATE = _State()  # one per thread: two threads may capture from the same module


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Inside, calls of modules in this thread go through `watcher`, which must call `forward` itself."""
    before = STATE.current
    STATE.current = watcher
    try:
        yield
    finally:
        STATE.current = before


@contextmanager
def capture(module: Module, names: Iterable[str] | None = None) -> Iterator[dict[str, Array]]:
    """Inside, each call of `module` fills the yielded dict: name of a leaf layer -> its output (n, ...).

    names: the layers wanted, as in `leaf_names(module)`; all by default. The arrays are the layers' own
    outputs, not copies: read them, do not change them. A layer called again in one forward pass is `name:2`,
    `name:3`, ... Raises InvalidArgument for an unknown name.
    """
    paths = _leaves(module)
    if names is not None:
        wanted = set(names)
        for name in sorted(wanted - set(paths.values())):
            raise InvalidArgument(f"unknown layer {name!r}{suggest(name, list(paths.values()))}")
        paths = {key: path for key, path in paths.items() if path in wanted}
    outputs: dict[str, Array] = {}
    before = STATE.current

    def watcher(
        called: Module, forward: Callable[..., Any], inputs: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Any:
        if called is module:
            outputs.clear()
        out = forward(*inputs, **keywords) if before is None else before(called, forward, inputs, keywords)
        path = paths.get(id(called))
        if path is not None:
            key, times = path, 1
            while key in outputs:
                times += 1
                key = f"{path}:{times}"
            outputs[key] = out.data
        return out

    with watching(watcher):
        yield outputs


def leaf_names(module: Module) -> list[str]:
    """Names of the leaf layers (modules without modules inside), in order of definition."""
    return list(_leaves(module).values())


def _leaves(module: Module) -> dict[int, str]:
    return {id(m): path for path, m in module.named_modules() if m.is_leaf()}
