"""What hardening trains on: failing inputs of the seeds of side A, and what its controls get instead."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from armour.data import Dataset
from armour.model import Model
from armour.rng import per_item

from .draw import draw_names, draw_steps
from .ledger import sha256
from .mutation import mutate
from .mutators import get
from .partners import has_partners
from .reading import Corpus
from .rebuilding import rebuilt
from .recipe import Recipe
from .roots import Roots
from .rounds import LEVELS
from .schedule import Parents
from .selection import select
from .validity import ValidityModel

ORACLE, LEVEL = "label-flip", LEVELS.index("V2")
_CHUNK = 512
_REQUIRED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """n failing inputs of a corpus: x (n, *shape), label and root (n,) int64, D2 class of each.

    mixed: records left out because their recipe mixes two seeds, of which one may be of the other side.
    """

    x: np.ndarray
    label: np.ndarray
    root: np.ndarray
    key: tuple[str, ...]
    mixed: int = 0

    def __len__(self) -> int:
        return len(self.label)

    def of(self, rows: np.ndarray) -> Failures:
        """Those at an index array."""
        keys = tuple(self.key[i] for i in rows.tolist())
        return replace(self, x=self.x[rows], label=self.label[rows], root=self.root[rows], key=keys)


def gather(corpus: Corpus, model: Model, roots: Collection[int], *, mixing: bool) -> Failures:
    """The inputs of `corpus` at V2 that `model` gives another label than their root, one of `roots`, has.

    Only failures of the oracle label-flip: others have no right answer to learn. mixing: also those whose
    recipe mixes two seeds; only for a corpus all of whose roots are on one side. In the order of the corpus.
    FormatError for a damaged corpus.
    """
    wanted, mixed = [], 0
    for record in corpus.records():
        fits = record["oracle"] == ORACLE and record["validity"] in LEVELS[LEVEL:]
        if not fits or record["root"] not in roots:
            continue
        if not mixing and any(get(step.mutator).paired for step in Recipe.parse(record["recipe"]).steps):
            mixed += 1
            continue
        wanted.append(record)
    root = np.array([record["root"] for record in wanted], np.int64)
    parts = [rebuilt(corpus, wanted[i : i + _CHUNK])[0] for i in range(0, len(wanted), _CHUNK)]
    x = np.concatenate(parts) if parts else corpus.roots.x[:0]
    label = corpus.roots.labels[root]
    fails = model.predict(x) != label if len(x) else np.zeros(0, bool)
    found = Failures(
        x=x, label=label, root=root, key=tuple(record["class"] for record in wanted), mixed=mixed
    )
    return found.of(np.flatnonzero(fails))


def draw_evenly(keys: tuple[str, ...], n: int, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """At most n indices of `keys`, as many of each kind of key as of any other while it lasts.

    Each index comes up at most `repeats` times, and all of its kind do before any of them comes up again.
    """
    kinds: dict[str, list[int]] = {}
    for i, key in enumerate(keys):
        kinds.setdefault(key, []).append(i)
    queues = [rng.permutation(own).tolist() * repeats for _, own in sorted(kinds.items())]
    queues = [queues[k] for k in rng.permutation(len(queues)).tolist()]
    turns = [
        own[turn] for turn in range(max(map(len, queues), default=0)) for own in queues if turn < len(own)
    ]
    return np.array(turns[:n], np.int64)


def random_mutants(
    roots: Roots, root: np.ndarray, validity: ValidityModel, mutators: str, rng: np.random.Generator
) -> np.ndarray:
    """(n, *shape): a random stack of mutators on each of root (n,), at V2; the root itself where none is.

    What stacked random search makes, whether or not the model reads it correctly.
    """
    names = select(mutators, roots.x.shape[1:], validity.kind, paired=has_partners(roots))
    made = [np.zeros((0, *roots.x.shape[1:]), np.float32)]
    for i in range(0, len(root), _CHUNK):
        own = root[i : i + _CHUNK]
        streams = per_item(rng, len(own))
        origin = roots.x[own]
        parents = Parents(own, origin, origin, [()] * len(own))
        steps = draw_steps(draw_names(streams.child(0), names), streams.child(1))
        depth = np.array([len(one) for one in steps], np.int64)
        mutants = mutate(parents, steps, depth, validity, _REQUIRED, roots)
        valid = (mutants.level >= _REQUIRED).reshape((-1,) + (1,) * (origin.ndim - 1))
        made.append(np.where(valid, mutants.x, origin))
    return np.concatenate(made)


def without(data: Dataset, others: Collection[str]) -> Dataset:
    """The samples whose sha256 is not among `others`."""
    kept = [i for i, one in enumerate(data.x) if sha256(one) not in others]
    return data[np.array(kept, np.int64)]


def joined(data: Dataset, x: np.ndarray, y: np.ndarray) -> Dataset:
    """The data with more samples at its end."""
    return replace(data, x=np.concatenate([data.x, x]), y=np.concatenate([data.y, y]))
