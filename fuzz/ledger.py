"""The ledger of failures: what counts as the same failure, at four levels.

D0: sha256 of the input. D1: oracle, true label, predicted label. D2: D1 and the operation families that are
left after minimisation; "unique failure classes" are D2. D3: D2 and how the layer before the last saw the
input, by its fingerprint. Beside them stand the (root, predicted label) pairs, used to compare schedules and
never called classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from .simhash import nearest


def sha256(x: np.ndarray) -> str:
    """Hex sha256 of an input's float32 values."""
    return hashlib.sha256(np.ascontiguousarray(x, dtype="<f4").data).hexdigest()


def pair_key(oracle: str, true: int, predicted: int) -> str:
    """The D1 key: "label-flip-3-8"; "none" where no label was predicted."""
    return f"{oracle}-{true}-{predicted if predicted >= 0 else 'none'}"


def class_key(pair: str, families: tuple[str, ...]) -> str:
    """The D2 key: "label-flip-3-8-blur+noise"; also the name of the class's folder in a corpus."""
    return f"{pair}-{'+'.join(families) or 'identity'}"


@dataclass(slots=True)
class Ledger:
    """Counts of failures at the required validity level.

    inputs: 64 bits of the sha256 of each failing input (D0). groups: D1 key and families as found -> D2 key.
    pairs, classes: failures by D1 and by D2 key. distinct: (R, k) bool, (root, predicted label) seen; broken:
    (R,) bool, roots with any failure; confusion: (k, k) failures by true and predicted label. variants: D2
    key -> (m,) uint64, the fingerprints of its variants (D3).
    """

    inputs: set[int]
    groups: dict[str, str]
    pairs: dict[str, int]
    classes: dict[str, int]
    distinct: np.ndarray
    broken: np.ndarray
    confusion: np.ndarray
    variants: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def empty(cls, roots: int, classes: int) -> Ledger:
        """A ledger of nothing, for that many roots and labels."""
        return cls(
            inputs=set(),
            groups={},
            pairs={},
            classes={},
            distinct=np.zeros((roots, classes), bool),
            broken=np.zeros(roots, bool),
            confusion=np.zeros((classes, classes), np.int64),
        )

    def is_new(self, digest: str) -> bool:
        """True, once, for each input; digest: its sha256."""
        key = int(digest[:16], 16)
        if key in self.inputs:
            return False
        self.inputs.add(key)
        return True

    def count(self, pair: str, key: str, root: int, true: int, predicted: int) -> bool:
        """Enter a failure; True if it is the first of its class (D2)."""
        self.pairs[pair] = self.pairs.get(pair, 0) + 1
        self.classes[key] = self.classes.get(key, 0) + 1
        self.broken[root] = True
        if predicted >= 0:
            self.distinct[root, predicted] = True
            self.confusion[true, predicted] += 1
        return self.classes[key] == 1

    def variant(self, key: str, fingerprint: int) -> int:
        """Number of the failure's variant (D3) in its class (D2), from 0; a new one if none is near."""
        known = self.variants.get(key, np.zeros(0, np.uint64))
        place = nearest(fingerprint, known)
        if place < 0:
            place = len(known)
            self.variants[key] = np.append(known, np.uint64(fingerprint))
        return place

    def classes_of(self, pairs: Iterable[str]) -> dict[str, int]:
        """How many classes (D2) of each of these pairs (D1) there are."""
        counts = dict.fromkeys(pairs, 0)
        lengths = sorted({len(pair) for pair in counts})
        for key in self.classes:
            for length in lengths:
                if key[length : length + 1] == "-" and key[:length] in counts:
                    counts[key[:length]] += 1
        return counts

    def arrays(self) -> dict[str, np.ndarray]:
        """The ledger as arrays."""
        variants = {key: known.tolist() for key, known in self.variants.items()}
        texts = json.dumps([self.groups, self.pairs, self.classes, variants], sort_keys=True)
        return {
            "inputs": np.array(sorted(self.inputs), np.uint64),
            "keys": np.frombuffer(texts.encode(), np.uint8),
            "distinct": self.distinct,
            "broken": self.broken,
            "confusion": self.confusion,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Ledger:
        """The ledger that arrays() gave; ValueError if it cannot be."""
        groups, pairs, classes, variants = json.loads(arrays["keys"].tobytes())
        if not all(isinstance(key, str) and key in classes for key in groups.values()):
            raise ValueError("expected groups of known classes")
        if not all(type(n) is int and n > 0 for n in (*pairs.values(), *classes.values())):
            raise ValueError("expected counts above 0")
        if not variants.keys() <= classes.keys():
            raise ValueError("expected variants of known classes")
        return cls(
            inputs=set(arrays["inputs"].tolist()),
            groups=groups,
            pairs=pairs,
            classes=classes,
            distinct=arrays["distinct"].copy(),
            broken=arrays["broken"].copy(),
            confusion=arrays["confusion"].copy(),
            variants={key: np.array(known, np.uint64) for key, known in variants.items()},
        )
