"""V4: people say whether a failing input still shows what its seed's label says.

Failures are asked about in random order, with controls between them: clean seeds under their own label, which
a careful reader accepts, and clean seeds under another label, which one refuses. Nobody is told which is
which, and the answers to the controls say how far the others can be trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np

from armour.errors import FormatError, InvalidArgument
from armour.stats import wilson

from .reading import Corpus, read_lines

Kind = Literal["failure", "clean", "wrong"]
ANSWERS = ("yes", "no", "unsure")
_FILE = "reviews.jsonl"
_EVERY = 4  # failures for one control


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Is this input a `label`? number: of the failure's record, or of the control's root. key: names it."""

    key: str
    kind: Kind
    number: int
    label: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a reviewer said to a question: "yes", "no" or "unsure"."""

    key: str
    kind: Kind
    label: int
    reviewer: str
    answer: str


def questions(corpus: Corpus, reviewer: str, seed: int = 0, limit: int | None = None) -> list[Question]:
    """The stored failures of a corpus, one of each class, at most `limit`, and a control for every four.

    Controls are half clean seeds under their own label and half under one that is another's. The order
    depends on the seed and the reviewer alone. Failures without a label (not finite) are left out: nobody can
    see those.
    """
    records = [(i, one) for i, one in enumerate(corpus.records()) if one["first"] and one["predicted"] >= 0]
    word = int.from_bytes(hashlib.sha256(reviewer.encode()).digest()[:8], "little")
    rng = np.random.Generator(np.random.Philox(key=[seed, word]))
    records = [records[i] for i in rng.permutation(len(records))[:limit].tolist()]
    asked = [Question(key=r["id"], kind="failure", number=i, label=r["true"]) for i, r in records]
    controls = -(-len(asked) // _EVERY) if asked else 0
    roots = rng.choice(len(corpus.roots), min(controls, len(corpus.roots)), replace=False).tolist()
    classes = int(corpus.manifest["model"]["num_classes"])
    for turn, root in enumerate(roots):
        label = int(corpus.roots.labels[root])
        if turn % 2 and classes > 1:
            other = (label + 1 + int(rng.integers(classes - 1))) % classes
            asked.append(Question(key=f"wrong-{root}-{other}", kind="wrong", number=root, label=other))
        else:
            asked.append(Question(key=f"clean-{root}", kind="clean", number=root, label=label))
    return [asked[i] for i in rng.permutation(len(asked)).tolist()]


def shown(corpus: Corpus, question: Question, records: Sequence[dict[str, Any]]) -> np.ndarray:
    """The input (*shape) that is asked about: the failing one, or the seed."""
    if question.kind != "failure":
        x: np.ndarray = corpus.roots.x[question.number]
        return x
    return corpus.failure(records[question.number]).mutant


def append(corpus: Corpus, answer: Answer) -> None:
    """Keep an answer at once, so that none is lost however the review ends."""
    line = json.dumps(asdict(answer), sort_keys=True) + "\n"
    with (corpus.folder / _FILE).open("ab") as stream:
        stream.write(line.encode())
        stream.flush()
        os.fsync(stream.fileno())


def answers(corpus: Corpus) -> list[Answer]:
    """All answers, the last of each reviewer to each question; FormatError for a damaged file."""
    path = corpus.folder / _FILE
    if not path.is_file():
        return []
    held: dict[tuple[str, str], Answer] = {}
    for number, tree in read_lines(path):
        try:
            one = Answer(**tree)
        except TypeError as error:
            raise FormatError(f"{path}, line {number}: no answer of a review") from error
        strings = (one.key, one.kind, one.reviewer, one.answer)
        if (
            not all(isinstance(s, str) for s in strings)
            or type(one.label) is not int
            or one.answer not in ANSWERS
        ):
            raise FormatError(f"{path}, line {number}: expected one of {', '.join(ANSWERS)} to a question")
        held[one.reviewer, one.key] = one
    return list(held.values())


class Share(NamedTuple):
    """k of n with the ends of the Wilson interval at 95 %."""

    k: int
    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the reviews of a corpus say; shares are None where nobody was asked.

    confirmed: failures whose label most reviewers saw, of those with a clear answer (V4). controls: answers
    to controls that were right, of those that were clear; by kind in clean and wrong. agreement: pairs of
    reviewers that said the same of a failure; kappa: Cohen's, over these pairs. valid: ids at V4. unsure:
    failures most reviewers could not tell, or that were a draw.
    """

    reviewers: tuple[str, ...]
    confirmed: Share | None
    controls: Share | None
    clean: Share | None
    wrong: Share | None
    agreement: Share | None
    kappa: float | None
    valid: tuple[str, ...]
    unsure: int


def summarise(given: Iterable[Answer]) -> Summary:
    """Count the answers."""
    given = list(given)
    by_case: dict[str, list[str]] = {}
    for one in given:
        if one.kind == "failure":
            by_case.setdefault(one.key, []).append(one.answer)
    votes = {key: said.count("yes") - said.count("no") for key, said in sorted(by_case.items())}
    valid = tuple(key for key, vote in votes.items() if vote > 0)
    clear = sum(vote != 0 for vote in votes.values())
    right = {"clean": "yes", "wrong": "no"}
    counts = {}
    for kind, wanted in right.items():
        said = [one.answer for one in given if one.kind == kind and one.answer != "unsure"]
        counts[kind] = (said.count(wanted), len(said))
    pairs = [pair for said in by_case.values() for pair in combinations(said, 2) if "unsure" not in pair]
    same = sum(a == b for a, b in pairs)
    return Summary(
        reviewers=tuple(sorted({one.reviewer for one in given})),
        confirmed=_share(len(valid), clear),
        controls=_share(*(sum(part) for part in zip(*counts.values(), strict=True))),
        clean=_share(*counts["clean"]),
        wrong=_share(*counts["wrong"]),
        agreement=_share(same, len(pairs)),
        kappa=_kappa(pairs),
        valid=valid,
        unsure=len(votes) - clear,
    )


def _share(k: int, n: int) -> Share | None:
    return Share(k, n, *wilson(k, n)) if n else None


def _kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of yes and no; which of two reviewers is the first does not matter (Scott's chance)."""
    if not pairs:
        return None
    same = sum(a == b for a, b in pairs) / len(pairs)
    yes = sum((a == "yes") + (b == "yes") for a, b in pairs) / (2 * len(pairs))
    chance = yes**2 + (1 - yes) ** 2
    return None if chance == 1 else (same - chance) / (1 - chance)


def check_name(reviewer: str) -> str:
    """The name of a reviewer; InvalidArgument if it is empty, long or not printable."""
    if not reviewer.strip() or len(reviewer) > 60 or not reviewer.isprintable():
        raise InvalidArgument(f"expected a reviewer's name of 1 to 60 characters, got {reviewer[:40]!r}")
    return reviewer
