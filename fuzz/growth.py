"""Coverage of a stored corpus: as its campaign counted it, or of the inputs it holds by any criterion."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from armour.errors import FormatError
from armour.events import OnEvent, emit
from armour.model import Model

from .content import UNSAFE, check_model
from .correlation import growth_correlations
from .coverage.measures import Measures, check_names
from .coverage.measures import Roots as Measured
from .execution import Executor, fitting
from .holdings import level_of, read_survivors, rebuild_all, recipe_of, required
from .reading import Corpus, read_lines
from .sections import Profile, SectionMap

_MOST_ROWS = 1 << 20
_MAX_LINE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Coverage of a corpus. executed: of all that its campaign ran, else of the inputs it holds.

    values: at the end, by criterion. correlation: of its growth with the failures found, as in
    armour.fuzz.correlation. rounds, executions, failures: of the campaign, or of what is held.
    """

    executed: bool
    values: dict[str, float]
    correlation: dict[str, list[float] | None]
    rounds: int
    executions: int
    failures: int


def as_counted(corpus: Corpus) -> Coverage:
    """What plot.csv says of the criteria that the campaign was asked for; FormatError if it is damaged."""
    path = corpus.folder / "plot.csv"
    try:
        if path.stat().st_size > _MOST_ROWS * 64:
            raise FormatError(
                f"{path}: expected at most {_MOST_ROWS * 64:,} bytes, got {path.stat().st_size:,}"
            )
        with path.open("rb") as stream:
            head = stream.readline(_MAX_LINE).decode("utf-8", "replace").strip().split(",")
            lines = [line for line in stream.read().split(b"\n")[:-1] if line]
    except OSError as error:
        raise FormatError(
            f"{path}: {error.strerror}; state criteria to measure what the corpus holds: --coverage kmnc,..."
        ) from error
    names = [name.removeprefix("coverage_") for name in head if name.startswith("coverage_")]
    wanted = ["executions", "failures", *(f"coverage_{name}" for name in names)]
    try:
        places = [head.index(name) for name in wanted]
        rows = [line.split(b",") for line in lines]
        table = np.array([[float(row[at]) for at in places] for row in rows]).reshape(-1, len(wanted))
    except (ValueError, IndexError) as error:
        raise FormatError(
            f"{path}: expected columns {', '.join(wanted)} of numbers; it is damaged"
        ) from error
    if not np.isfinite(table).all() or (np.diff(table[:, 0]) <= 0).any():
        raise FormatError(f"{path}: expected finite numbers and rising executions; it is damaged")
    columns = dict(zip(wanted, table.T, strict=True))
    grown = {name: columns[f"coverage_{name}"].tolist() for name in names}
    return Coverage(
        executed=True,
        values={name: values[-1] if values else 0.0 for name, values in grown.items()},
        correlation=growth_correlations(columns["executions"].tolist(), columns["failures"].tolist(), grown),
        rounds=len(table),
        executions=int(table[-1, 0]) if len(table) else 0,
        failures=int(table[-1, 1]) if len(table) else 0,
    )


def of_what_is_held(corpus: Corpus, model: Model, names: Sequence[str], on_event: OnEvent = None) -> Coverage:
    """Any criteria over the seeds' descendants that the corpus holds, kept and failing, round by round.

    Inputs that a campaign ran and did not keep are not seen, so values are lower than its own. Failures that
    crashed or hung the model are not run. Of a corpus made from others there are no rounds, and no
    correlation. Raises InvalidArgument for another model than the corpus' or names that are none, FormatError
    for a damaged corpus.
    """
    check_model(corpus, model)
    chosen = check_names(names)
    kept, records = read_survivors(corpus), corpus.records()
    records = [
        one
        for one in records
        if level_of(corpus, one) >= required(corpus) and not one["oracle"].startswith(UNSAFE)
    ]
    rounds = [one.get("round") for one in (*kept.records, *records)]
    if not all(type(number) is int and 0 <= number < 1 << 40 for number in rounds):
        raise FormatError(f"{corpus.folder / 'failures/index.jsonl'}: expected the round of each failure")
    numbers = [int(number) for number in rounds if number is not None]
    x = np.concatenate([kept.x, rebuild_all(corpus, [recipe_of(corpus, one) for one in records])])
    root = np.array([one["root"] for one in (*kept.records, *records)], np.int64)
    failed = np.arange(len(x)) >= len(kept)
    order = np.argsort(np.array(numbers, np.int64), kind="stable")
    with threadpool_limits(1):
        executor = Executor(model, fitting(128, corpus.roots.x[0].size))
        executor.guarded = True
        seeds = executor.run(corpus.roots.x)
        k = corpus.manifest["config"].get("sections")
        if type(k) is not int or not 0 < k < 1 << 14:
            raise FormatError(f"{corpus.folder / 'manifest.json'}: expected sections as a count")
        sections = SectionMap(Profile.fit(seeds.neurons), k)
        measures = Measures(chosen, sections, Measured.of(seeds, executor))
        sizes = _executions(corpus)
        done, curve = 0, []
        for number, group in itertools.groupby(order.tolist(), key=numbers.__getitem__):
            rows = np.array(list(group))
            outcome = executor.run(x[rows])
            sound = outcome.trouble == ""
            sections.update(sections.ids(outcome.neurons), sound)
            measures.update(outcome, sound, root[rows])
            done += len(rows)
            curve.append((sizes.get(number, done), int(failed[order[:done]].sum()), measures.values()))
            emit(on_event, "coverage", done, len(x), "inputs run")
    if sizes and any(b[0] <= a[0] for a, b in itertools.pairwise(curve)):
        raise FormatError(f"{corpus.folder / 'journal.jsonl'}: expected rising executions; it is damaged")
    grown = {name: [values[name] for _, _, values in curve] for name in chosen}
    ends, failures = [row[0] for row in curve], [row[1] for row in curve]
    return Coverage(
        executed=False,
        values=measures.values(),
        correlation=growth_correlations(ends, failures, grown) if sizes else {},
        rounds=len(curve) if sizes else 0,
        executions=len(x),
        failures=len(records),
    )


def _executions(corpus: Corpus) -> dict[int, int]:
    """Round -> executions after it, as the journal has them; none in a corpus made from others."""
    path = corpus.folder / "journal.jsonl"
    if corpus.manifest.get("derived") is not None:
        return {}
    found: dict[int, int] = {}
    for number, record in read_lines(path):
        if type(record.get("round")) is not int or type(record.get("executions")) is not int:
            raise FormatError(f"{path}, line {number}: expected round and executions as whole numbers")
        found[record["round"]] = record["executions"]
    return found
