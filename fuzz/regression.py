"""Failures as a regression suite: arrays and a pytest file that anybody can keep beside a model.

The suite needs no corpus: `failures.npz` holds the inputs, `cases.json` what is known of each, and the test
file asks the model about them, with failures.lock respected.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from armour.contract import Model
from armour.errors import FormatError, InvalidArgument
from armour.files import writable_folder, write_text
from armour.npz import read_arrays

from .lock import NAME as LOCK
from .lock import Lock
from .manifest import read_json
from .reading import Corpus
from .store import save_arrays, write_json

ARRAYS, CASES, TESTS = "failures.npz", "cases.json", "test_failures.py"
_KIND = "armour-failures"
_MAX_CASES = 64 << 20
_MAX_ARRAYS = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A failure of a suite: its id and class (D2), the right label, the wrong one, and how it was made."""

    id: str
    key: str
    oracle: str
    true: int
    predicted: int
    recipe: str
    validity: str

    def __str__(self) -> str:
        return f"{self.key}-{self.id}"


@dataclass(frozen=True, slots=True)
class Suite:
    """Failures with their inputs x (n, *shape) float32; model: where the model was, and what was stated of
    it.
    """

    folder: Path
    cases: tuple[Case, ...]
    x: np.ndarray
    model: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Suite:
        """A suite that `export` wrote; FormatError for anything else."""
        path = folder / CASES
        tree = read_json(path, _MAX_CASES)
        entries, model = tree.get("cases"), tree.get("model")
        if tree.get("kind") != _KIND or not isinstance(entries, list) or not isinstance(model, dict):
            raise FormatError(f"{path}: expected a suite that `armour corpus export` wrote")
        try:
            cases = tuple(Case(**entry) for entry in entries)
        except TypeError as error:
            raise FormatError(f"{path}: an entry is no case ({' '.join(str(error).split())[:80]})") from error
        for one in cases:
            strings = (one.id, one.key, one.oracle, one.recipe, one.validity)
            if not all(isinstance(s, str) for s in strings) or not all(
                type(n) is int for n in (one.true, one.predicted)
            ):
                raise FormatError(
                    f"{path}: case {str(one.id)[:40]} is not as `armour corpus export` writes it"
                )
        x = read_arrays(folder / ARRAYS, FormatError, max_bytes=_MAX_ARRAYS).get("x")
        if x is None or x.dtype != np.float32 or len(x) != len(cases) or not np.isfinite(x).all():
            raise FormatError(f"{folder / ARRAYS}: expected {len(cases)} finite float32 inputs under x")
        return cls(folder, cases, x, model)

    def predicted(self, model: Model) -> dict[str, int]:
        """Case id -> the label that the model gives now, -1 where its logits are not finite."""
        logits = model.logits(self.x) if len(self.x) else np.zeros((0, 1), np.float32)
        sound = np.isfinite(logits).all(axis=1)
        labels = np.where(sound, np.nan_to_num(logits).argmax(axis=1), -1)
        return {case.id: int(label) for case, label in zip(self.cases, labels, strict=True)}

    def known(self, case: Case, today: datetime.date) -> str:
        """Why the case may fail today, from failures.lock beside the suite; empty if it may not."""
        path = self.folder / LOCK
        entry = Lock.read(path).state(case.key, today) if path.exists() else None
        return "" if entry is None else f"{entry.reason} ({entry.owner}, until {entry.expires})"


def export(corpus: Corpus, folder: Path, *, minimised: bool = True, model: Mapping[str, Any]) -> Suite:
    """Write the stored failures of a corpus, one of each class, as a suite; InvalidArgument if it has none.

    minimised: their minimised inputs, otherwise the ones that were found. model: plain values that say where
    the model is. A suite that is there is replaced; its failures.lock stays.
    """
    # What a label cannot mend, such as two models that differ, is not for a suite that asks for labels.
    failures = [one for one in corpus.failures() if one.predicted != one.true]
    if not failures:
        raise InvalidArgument(f"{corpus.folder} holds no wrong labels; there is nothing to export")
    folder = writable_folder(folder)
    x = np.stack([one.minimised if minimised else one.mutant for one in failures])
    cases = tuple(
        Case(
            id=one.id,
            key=one.key,
            oracle=one.oracle,
            true=one.true,
            predicted=one.predicted,
            recipe=one.minimised_recipe if minimised else one.recipe,
            validity=one.validity,
        )
        for one in failures
    )
    tree = {"kind": _KIND, "model": dict(model), "cases": [asdict(one) for one in cases]}
    save_arrays(folder / ARRAYS, x=x, label=np.array([one.true for one in cases], np.int64))
    write_json(folder / CASES, tree)
    write_text(folder / TESTS, _PYTEST)
    return Suite(folder, cases, x, model)


# Nothing of a corpus enters this text: a corpus may be anybody's.
_PYTEST = '''"""Failures that `armour fuzz` found, asked again; written by `armour corpus export`.

    ARMOUR_MODEL=model.ckpt pytest test_failures.py

Without ARMOUR_MODEL it is the model that the failures were found with. A class in failures.lock is expected
to fail until its entry expires.
"""

import datetime
import os
from pathlib import Path

import pytest

from armour.cli.model_options import from_words, load_model
from armour.fuzz.regression import Suite

SUITE = Suite.read(Path(__file__).resolve().parent)


@pytest.fixture(scope="session")
def predicted():
    path = os.environ.get("ARMOUR_MODEL") or (SUITE.folder / SUITE.model["path"])
    return SUITE.predicted(load_model(Path(path), from_words(SUITE.model.get("options", []))))


@pytest.mark.parametrize("case", SUITE.cases, ids=str)
def test_failure_is_mended(case, predicted):
    if predicted[case.id] == case.true:
        return
    known = SUITE.known(case, datetime.date.today())
    if known:
        pytest.xfail(known)
    pytest.fail(f"label {predicted[case.id]}, expected {case.true}: {case.recipe}", pytrace=False)
'''
