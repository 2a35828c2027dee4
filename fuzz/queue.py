"""The queue of schedules that choose among whole inputs: the roots, and the survivors that were new.

Entries are numbered, the roots first. There are at most so many descendants; the oldest gives way to a new
one. Inputs of the newest part are held, the rest is rebuilt from recipes when asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .partners import Partners
from .recipe import Recipe, Step, apply_steps
from .schedule import Parents, Scene

MOST = 4096  # descendants
LONGEST = 4  # steps of one: further ones still fit, and long recipes are slow to minimise and no better
_HELD = 1 << 24  # values of inputs, and of references, that are held
_REBUILT = 256  # inputs rebuilt at once


class Queue:
    """R roots and up to `most` descendants, with what is known of each.

    columns: name -> an array of no rows, whose dtype and further shape each entry's value has; roots start
    with zeros. picks: (R + n,) int64, how often an entry was chosen.
    """

    def __init__(self, scene: Scene, columns: Mapping[str, np.ndarray], most: int = MOST) -> None:
        self.scene, self.most = scene, most
        self.added = 0  # descendants ever; the one added as number i has place i % most
        count = len(scene.roots)
        self.root = np.arange(count)
        self.picks = np.zeros(count, np.int64)
        self.columns = {name: np.zeros((count, *one.shape[1:]), one.dtype) for name, one in columns.items()}
        self._steps: list[tuple[Step, ...]] = [()] * count
        self._texts: list[str] = [""] * count  # of descendants' recipes, made when first asked for
        self._most_held = min(most, max(1, _HELD // max(1, scene.roots.x[:1].size)))
        self._x = np.zeros_like(scene.roots.x, shape=(0, *scene.roots.x.shape[1:]))
        self._ref = self._x.copy()

    def __len__(self) -> int:
        return len(self.root)

    def take(self, entries: np.ndarray) -> Parents:
        """The entries (n,) as parents of mutants; each is counted as picked."""
        np.add.at(self.picks, entries, 1)
        roots, root = self.scene.roots, self.root[entries]
        x, ref = roots.x[root], roots.x[root]
        steps = [self._steps[i] for i in entries.tolist()]
        place = entries - len(roots)
        held = (place >= 0) & (place < len(self._x))
        x[held], ref[held] = self._x[place[held]], self._ref[place[held]]
        rest = np.flatnonzero(place >= len(self._x))
        for start in range(0, len(rest), _REBUILT):
            rows = rest[start : start + _REBUILT]
            x[rows], ref[rows] = self._rebuild(root[rows], [steps[i] for i in rows.tolist()])
        return Parents(root, x, ref, steps)

    def latest(self, n: int) -> np.ndarray:
        """The n entries that were added last, the newest first; the roots came before all others."""
        count = len(self.scene.roots)
        number = count + self.added - 1 - np.arange(min(n, len(self)))
        return np.where(number >= count, count + (number - count) % self.most, number)

    def add(
        self,
        root: np.ndarray,
        x: np.ndarray,
        ref: np.ndarray,
        steps: Sequence[tuple[Step, ...]],
        columns: Mapping[str, np.ndarray],
    ) -> None:
        """Take in n descendants in their order: root (n,), inputs, references, steps, values by column."""
        short = np.flatnonzero([len(own) <= LONGEST for own in steps])[-self.most :]
        if not len(short):
            return
        place = (self.added + np.arange(len(short))) % self.most
        self.added += len(short)
        count = len(self.scene.roots)
        self._grow(int(place.max()) + 1)
        entries = count + place
        self.root[entries], self.picks[entries] = root[short], 0
        for name, values in columns.items():
            self.columns[name][entries] = values[short]
        for entry, i in zip(entries.tolist(), short.tolist(), strict=True):
            self._steps[entry], self._texts[entry] = tuple(steps[i]), ""
        fits = place < self._most_held
        self._x[place[fits]], self._ref[place[fits]] = x[short[fits]], ref[short[fits]]

    def arrays(self) -> dict[str, np.ndarray]:
        """The state as arrays; descendants are their recipes."""
        for i in range(len(self.scene.roots), len(self)):
            if not self._texts[i]:
                self._texts[i] = str(Recipe(int(self.root[i]), self._steps[i]))
        texts = "\n".join(self._texts[len(self.scene.roots) :])
        found = {"added": np.array(self.added, np.int64), "picks": self.picks}
        return found | {"recipes": np.frombuffer(texts.encode(), np.uint8), **self.columns}

    @property
    def growing(self) -> tuple[str, ...]:
        """Names of the arrays whose length says how many entries there are."""
        return ("picks", "recipes", *self.columns)

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what arrays() gave; ValueError for what it cannot have given."""
        text = arrays["recipes"].tobytes().decode()
        recipes = [Recipe.parse(line) for line in text.split("\n")] if text else []
        count, added = len(self.scene.roots), int(arrays["added"])
        lengths = {len(arrays[name]) for name in ("picks", *self.columns)}
        if len(recipes) != min(added, self.most) or lengths != {count + len(recipes)}:
            raise ValueError(f"expected a queue of {count} roots and {added} descendants ever")
        if any(recipe.root >= count or len(recipe.steps) > LONGEST for recipe in recipes):
            raise ValueError(f"expected recipes of at most {LONGEST} steps from {count} roots")
        if (arrays["picks"] < 0).any():
            raise ValueError("expected counts of picks at or above 0")
        self.added = added
        self.root = np.concatenate([np.arange(count), np.array([r.root for r in recipes], np.int64)])
        self.picks = arrays["picks"].copy()
        self.columns = {name: arrays[name].copy() for name in self.columns}
        self._steps = [()] * count + [recipe.steps for recipe in recipes]
        self._texts = [""] * count + [str(recipe) for recipe in recipes]
        self._x, self._ref = self._x[:0], self._ref[:0]
        self._hold(len(recipes))
        for start in range(0, len(self._x), _REBUILT):
            part = slice(start, min(start + _REBUILT, len(recipes), len(self._x)))
            if part.start < part.stop:
                entries = slice(count + part.start, count + part.stop)
                self._x[part], self._ref[part] = self._rebuild(self.root[entries], self._steps[entries])

    def _grow(self, descendants: int) -> None:
        """Room for so many descendants, if there is none yet."""
        missing = len(self.scene.roots) + descendants - len(self)
        if missing > 0:
            self.root = np.concatenate([self.root, np.zeros(missing, np.int64)])
            self.picks = np.concatenate([self.picks, np.zeros(missing, np.int64)])
            for name, old in self.columns.items():
                self.columns[name] = np.concatenate([old, np.zeros((missing, *old.shape[1:]), old.dtype)])
            self._steps.extend([()] * missing)
            self._texts.extend([""] * missing)
        self._hold(descendants)

    def _hold(self, descendants: int) -> None:
        if len(self._x) >= min(descendants, self._most_held):
            return
        size = min(self._most_held, max(64, descendants, 2 * len(self._x)))
        for name in ("_x", "_ref"):
            old = getattr(self, name)
            larger = np.zeros((size, *old.shape[1:]), old.dtype)
            larger[: len(old)] = old
            setattr(self, name, larger)

    def _rebuild(self, root: np.ndarray, steps: Sequence[tuple[Step, ...]]) -> tuple[np.ndarray, np.ndarray]:
        origin, scene = self.scene.roots.x[root], self.scene
        partners = Partners(scene.roots, root)
        return apply_steps(origin, origin, steps, scene.bounds, kind=scene.kind, partners=partners)
