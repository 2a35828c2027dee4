"""What islands of a campaign tell each other at a barrier.

Each island is a campaign with a random stream of its own. At a barrier all of them learn which failures,
sections and signatures any of them has seen, which niches are solved, and how often each mutator has won;
and each takes over the best elites of the others, 64 at most. All of it is decided in the order of the
islands, so that it does not matter where or when they ran.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from .archive import Archive
from .campaign import Campaign
from .partners import Partners
from .recipe import Recipe, apply_steps
from .wire import pack

ELITES = 64  # that an island takes over from the others at a barrier
_FAR = 1 << 40  # a gap that no input holds a niche with
Arrays = dict[str, np.ndarray]


def offer(campaign: Campaign) -> Arrays:
    """What an island has to tell: its schedule's tallies, and the gaps of its niches, open and held ones."""
    found = {f"tally.{i}": tally for i, tally in enumerate(campaign.schedule.tallies())}
    archive = campaign.schedule.elites()
    if archive is not None:
        found |= {"gaps": archive.gaps, "open": archive.open, "held": archive.holder >= 0}
    return found


def gifts(campaign: Campaign, cells: np.ndarray) -> list[str]:
    """The recipes of the descendants that hold these niches (m,), numbered root by root."""
    archive = campaign.schedule.elites()
    if archive is None or not len(cells):
        return []
    root, label = np.divmod(cells, archive.gaps.shape[1])
    steps = archive.parents(root, label)[2]
    return [str(Recipe(own, done)) for own, done in zip(root.tolist(), steps, strict=True)]


def choose(offers: Sequence[Arrays], delta: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each island the niches to take over: their numbers, gaps, and the islands that have them.

    Of those that are solved nowhere and that another island has come nearer to by more than delta, the ones
    with the smallest gaps, the first in order on ties.
    """
    open_ = np.logical_and.reduce([one["open"] for one in offers]).reshape(-1)
    held = np.stack(
        [np.where(one["held"].reshape(-1) & open_, one["gaps"].reshape(-1), _FAR) for one in offers]
    )
    chosen = []
    for number, one in enumerate(offers):
        foreign = held.copy()
        foreign[number] = _FAR
        owner = foreign.argmin(axis=0)
        best = foreign.min(axis=0)
        cells = np.flatnonzero(best < one["gaps"].reshape(-1) - delta)
        cells = cells[np.argsort(best[cells], kind="stable")[:ELITES]]
        chosen.append((cells, best[cells], owner[cells]))
    return chosen


def adopt(campaign: Campaign, message: dict[str, Any]) -> None:
    """Take over what a barrier says; ledger and maps then agree with those of all islands together."""
    ledger = campaign.ledger
    for digest, pair, key, root, true, predicted in message["found"]:
        if ledger.is_new(digest):
            ledger.count(pair, key, root, true, predicted)
    # Where two islands have classed the same group, the first in order is right from now on.
    ledger.groups.update({name: key for name, key in message["groups"].items() if key in ledger.classes})
    campaign.signatures.update(message["signatures"].tolist())
    campaign.per_root[:] = message["per_root"]
    campaign.coverage.counts[:] = message["coverage"]
    for tally, merged in zip(campaign.schedule.tallies(), message["tallies"], strict=True):
        tally[:] = merged
    archive = campaign.schedule.elites()
    if archive is not None:
        _settle(campaign, archive, message)
    campaign.state = hashlib.sha256(campaign.state.encode() + pack(message)).hexdigest()


def _settle(campaign: Campaign, archive: Archive, message: dict[str, Any]) -> None:
    """Close the niches that are solved elsewhere, and let others' elites into those they are best at."""
    setup = campaign.setup
    archive.solve(*np.nonzero(archive.open & ~message["open"]))
    recipes = [Recipe.parse(text) for text in message["recipes"]]
    if not recipes:
        return
    root = np.array([recipe.root for recipe in recipes], np.int64)
    steps = [recipe.steps for recipe in recipes]
    origin = setup.roots.x[root]
    x, ref = apply_steps(
        origin,
        origin,
        steps,
        setup.validity.bounds,
        kind=setup.validity.kind,
        partners=Partners(setup.roots, root),
    )
    gaps = np.full((len(root), archive.gaps.shape[1]), _FAR)
    gaps[np.arange(len(root)), message["cells"] % gaps.shape[1]] = message["gaps"]
    archive.improve(root, gaps, x, ref, steps)
