"""Distilling a corpus: fewer inputs that cover as much, come as near to failing, and fail in as many ways."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from armour.errors import ArmourError
from armour.events import OnEvent
from armour.model import Model

from . import derived
from .content import SECTIONS, Content, Held, Looker, check_model
from .manifest import read_json
from .reading import Corpus
from .setcover import cover
from .store import write_json

_REPAIRS = 3
_EDGE = 2  # units of 1e-4 by which a margin may differ when it is taken again


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """What minimising a corpus brought.

    folder: of the result. before: the corpus; after: the result, read back and run again. edge: cells that
    were not hit again, since float32 values at the edge of a section differ in their last bits from batch to
    batch. missing: kept inputs that the corpus lists and does not hold.
    """

    folder: Path
    criterion: str
    before: Held
    after: Held
    edge: int
    missing: int


def distil(
    corpus: Corpus, model: Model, out: Path, criterion: str = SECTIONS, on_event: OnEvent = None
) -> Distilled:
    """Write the corpus to the new folder `out` with as few inputs as a greedy search finds.

    All seeds stay, every failure that has a folder (one of each class), one failure of each other niche that
    is solved, the kept input nearest to failing of each niche that is not, and what is needed to cover every
    cell of `criterion` that anything in the corpus covers. The result is read back and run again before it
    takes its place; what that run does not cover again is added from the corpus.
    Raises InvalidArgument for another model than the corpus' or if `out` is not empty, FormatError for a
    damaged corpus.
    """
    check_model(corpus, model)
    with threadpool_limits(1), derived.new_folder(out) as folder:
        looker = Looker(corpus, model, criterion, on_event)
        whole = looker.look(corpus)
        kept = cover(whole.hits, whole.seeds.copy(), _needed(whole))
        for attempt in range(_REPAIRS):
            _write(whole.select(kept), folder, out, criterion, whole.held())
            again = looker.look(Corpus.read(folder))
            lost = whole.covered() & ~again.covered()
            more = cover(np.where(lost[whole.hits], whole.hits, -1), ~lost) if lost.any() else []
            if not set(more) - set(kept) or attempt == _REPAIRS - 1:
                break
            kept = sorted({*kept, *more})
            shutil.rmtree(folder)
            folder.mkdir()
        _check(whole, again)
        return Distilled(
            folder=out,
            criterion=criterion,
            before=whole.held(),
            after=again.held(),
            edge=int(lost.sum()),
            missing=whole.missing,
        )


def _needed(whole: Content) -> list[int]:
    """Rows that stay whatever they cover."""
    n = len(whole.survivors)
    rows, solved, classes = [], set(), set()
    order = sorted(range(len(whole.failures)), key=lambda i: not whole.failures[i]["first"])
    for i in order:
        one = whole.failures[i]
        niche = (one["root"], one["predicted"])
        new = one["predicted"] >= 0 and niche not in solved
        if one["first"] or new or one["class"] not in classes:
            rows.append(n + i)
            solved.add(niche)
            classes.add(one["class"])
    return rows + sorted({row for _, row in whole.best().values()})


def _write(kept: Content, folder: Path, out: Path, criterion: str, before: Held) -> None:
    corpus = kept.corpus
    derived.copy_seeds(corpus, folder)
    derived.write_survivors(folder, kept.x[: len(kept.survivors)], kept.survivors)
    (folder / "failures").mkdir()
    for record in kept.failures:
        if record["first"]:
            derived.copy_failure(corpus, record, folder)
    derived.write_lines(folder / "failures" / "index.jsonl", kept.failures)
    for name in ("stats.json", "plot.csv"):
        derived.copy_file(corpus.folder / name, folder / name, needed=False)
    if (folder / "stats.json").is_file():
        write_json(folder / "stats.json", read_json(folder / "stats.json"))
    facts = {"criterion": criterion, "from": corpus.folder.name, "before": asdict(before)}
    derived.write_manifest(folder, derived.derived_manifest(corpus, out, "minimize", **facts))


def _check(whole: Content, again: Content) -> None:
    """ArmourError if anything but rounding was lost."""
    gone = {one["class"] for one in whole.failures} - {one["class"] for one in again.failures}
    gone |= {str(niche) for niche in whole.solved - again.solved}
    nearest = again.best()
    for niche, (gap, _) in whole.best().items():
        edge = again.own[niche] - gap <= _EDGE  # hardly nearer than the seed itself
        if not edge and (niche not in nearest or abs(nearest[niche][0] - gap) > _EDGE):
            gone.add(str(niche))
    if gone:
        raise ArmourError(
            f"the distilled corpus lost {', '.join(sorted(gone)[:3])} when it was run again, and was not "
            "written; the model does not answer alike twice"
        )
