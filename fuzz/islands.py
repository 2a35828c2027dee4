"""Islands: several campaigns of one schedule that search side by side and tell each other what they found.

The number of islands is a setting of the campaign and part of its result; the number of processes that run
them is not. Every `leg` steps (a step is one round of each island) all islands meet at a barrier. A single
island is a campaign as it is, and meets nobody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from armour.npz import under

from . import exchange
from .campaign import Campaign, Setup
from .ledger import class_key
from .pool import Brief, Pool
from .result import CampaignResult
from .rounds import Counters, Found, Round

_LEG = 4096  # executions of each island between barriers
_STREAMS = 1 << 16  # between those of two islands


def streams(count: int, first: int) -> list[int]:
    """Numbers of the random streams of `count` islands; first: that of the first one."""
    return [first + _STREAMS * number for number in range(count)]


class Islands:
    """`count` campaigns of one schedule and what they have found together.

    stream: of the first island; shrink: as in Campaign. place: of the first of them in the pool. whole: a
    campaign that makes no rounds but holds the sums; with one island it is that island.
    """

    def __init__(
        self, setup: Setup, schedule: str, count: int, *, stream: int, shrink: bool, place: int
    ) -> None:
        self.campaigns = [
            Campaign(setup, schedule, stream=number, shrink=shrink) for number in streams(count, stream)
        ]
        self.alone = count == 1
        self.places = range(place, place + count)
        self.whole = (
            self.campaigns[0] if self.alone else Campaign(setup, schedule, stream=stream, shrink=shrink)
        )
        self.leg = 1 if self.alone else max(1, _LEG // setup.round)
        self.row: list[float] = []
        self.seen = [Counters() for _ in self.campaigns]  # of each island, as last heard
        self._found: list[list[Any]] = []  # since the last barrier
        self._groups: dict[str, str] = {}
        self._signatures: list[int] = []

    @property
    def executions(self) -> int:
        """Of all islands together."""
        return sum(counters.executions for counters in self.seen)

    @property
    def steps(self) -> int:
        """Rounds of the island that has made the most."""
        return max(counters.rounds for counters in self.seen)

    @property
    def at_barrier(self) -> bool:
        """Whether all islands know what all have found: between rounds, or legs of several islands."""
        return self.steps % self.leg == 0

    def sizes(self, steps: int, left: int | None) -> list[list[int | None]]:
        """For each island the limits of its next `steps` rounds, at most `left` executions in all."""
        limits: list[list[int | None]] = [[] for _ in self.campaigns]
        for step in range(steps):
            planned = [
                campaign.planned(counters.rounds + step)
                for campaign, counters in zip(self.campaigns, self.seen, strict=True)
            ]
            if left is None or sum(planned) <= left:
                for own in limits:
                    own.append(None)
                left = None if left is None else left - sum(planned)
                continue
            share, more = divmod(left, len(planned))
            for number, own in enumerate(limits):
                if share + (number < more):
                    own.append(share + (number < more))
            break
        return limits

    def absorb(self, number: int, brief: Brief) -> Round:
        """A round of island `number` as a round of all of them; rounds come step by step, in their order."""
        before, self.seen[number] = self.seen[number], brief.counters
        if self.alone:
            self.row = brief.row
            return brief.round
        whole, one = self.whole, brief.round
        shift = whole.counters.executions - before.executions
        # Nobody keeps what a baseline brings.
        kept = whole.triage.shrink
        found = [self._enter(each, shift) for each in one.found]
        start = whole.counters.survivors
        survivors = [replace(each, number=start + i) for i, each in enumerate(one.survivors)] if kept else []
        whole.counters = _sum(whole.counters, before, brief.counters)
        whole.coverage.counts += brief.hits
        whole.per_root += brief.per_root
        signatures = brief.signatures.tolist()
        self._signatures += signatures
        whole.signatures.update(signatures)
        whole.state = hashlib.sha256(f"{whole.state}{one.state}".encode()).hexdigest()
        new = [each for each in found if each is not None]
        return replace(
            one, executions=whole.counters.executions, found=new, survivors=survivors, island=number
        )

    def close_step(self) -> None:
        """Note in the growth curve what a step has brought."""
        if not self.alone:
            self.whole.counters.rounds = self.steps
            self.whole.grow()
            self.row = self.whole.curve[-1]

    def _enter(self, found: Found, shift: int) -> Found | None:
        """The failure as one of all islands, `shift` executions later; None if another found it too."""
        ledger, case = self.whole.ledger, found.case
        if not ledger.is_new(found.digest):
            return None
        first = ledger.count(found.pair, found.key, case.recipe.root, case.label, case.predicted)
        group = class_key(found.pair, case.recipe.families)
        if group not in ledger.groups:
            ledger.groups[group] = self._groups[group] = found.key
        self._found.append(
            [found.digest[:16], found.pair, found.key, case.recipe.root, case.label, case.predicted]
        )
        variant = ledger.variant(found.key, found.fingerprint)
        if not self.whole.triage.shrink:
            return found
        small = found.minimised if first else None
        execution = found.execution + shift
        return replace(found, first=first, variant=variant, minimised=small, execution=execution)

    # -- barriers --------------------------------------------------------------------------------------------

    def messages(self, offers: Sequence[exchange.Arrays], pool: Pool) -> list[dict[str, Any]]:
        """What each island is told at a barrier, given the offers of all; empties what was kept for it."""
        tallies = self.whole.schedule.tallies()
        for i, tally in enumerate(tallies):
            grown = sum(one[f"tally.{i}"].astype(np.int64) - tally for one in offers)
            tally += np.asarray(grown, tally.dtype)
        message: dict[str, Any] = {
            "found": self._found,
            "groups": dict(sorted(self._groups.items())),
            "signatures": np.array(self._signatures, np.uint64),
            "per_root": self.whole.per_root,
            "coverage": self.whole.coverage.counts,
            "tallies": tallies,
        }
        self._found, self._groups, self._signatures = [], {}, []
        archive = self.whole.schedule.elites()
        if archive is None:
            return [message] * len(offers)
        chosen = exchange.choose(offers, archive.delta)
        wanted = [
            np.unique(np.concatenate([cells[owner == number] for cells, _, owner in chosen]))
            for number in range(len(offers))
        ]
        asked = [np.zeros(0, np.int64)] * len(pool.campaigns)
        asked[self.places.start : self.places.stop] = wanted
        answers = pool.gifts(asked)[self.places.start : self.places.stop]
        recipes = [
            dict(zip(cells.tolist(), texts, strict=True))
            for cells, texts in zip(wanted, answers, strict=True)
        ]
        open_ = np.logical_and.reduce([one["open"] for one in offers])
        return [
            {
                **message,
                "open": open_,
                "cells": cells,
                "gaps": gaps,
                "recipes": [recipes[k][cell] for k, cell in zip(owner.tolist(), cells.tolist(), strict=True)],
            }
            for cells, gaps, owner in chosen
        ]

    # -- results and state -----------------------------------------------------------------------------------

    def result(self, pool: Pool, seconds: float) -> CampaignResult:
        """The figures of all islands together."""
        return pool.result(self.places.start, seconds) if self.alone else self.whole.result(seconds)

    def arrays(self, states: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The state, given those of all campaigns in the pool."""
        own = states[self.places.start : self.places.stop]
        if self.alone:
            return own[0]
        leg = json.dumps([self._found, self._groups, self._signatures], sort_keys=True)
        arrays = {f"{i}.{name}": array for i, state in enumerate(own) for name, array in state.items()}
        arrays |= {f"all.{name}": array for name, array in self.whole.arrays().items()}
        return {**arrays, "leg": np.frombuffer(leg.encode(), np.uint8)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what arrays() gave, before any of them is at work; ValueError, KeyError or TypeError."""
        if self.alone:
            self.whole.restore(arrays)
        else:
            for number, campaign in enumerate(self.campaigns):
                campaign.restore(under(arrays, f"{number}."))
            self.whole.restore(under(arrays, "all."))
            self._found, self._groups, self._signatures = self._leg(json.loads(arrays["leg"].tobytes()))
        self.row = self.whole.curve[-1] if self.whole.curve else []
        self.seen = [Counters.of(asdict(campaign.counters)) for campaign in self.campaigns]

    def _leg(self, stored: Any) -> tuple[list[list[Any]], dict[str, str], list[int]]:
        """What was kept for the next barrier; ValueError or TypeError for what cannot have been."""
        found, groups, signatures = stored
        ledger = self.whole.ledger
        roots, classes = ledger.distinct.shape
        for digest, pair, key, root, true, predicted in found:
            known = int(digest, 16) in ledger.inputs and pair in ledger.pairs and key in ledger.classes
            if not known or not (0 <= root < roots and 0 <= true < classes and -1 <= predicted < classes):
                raise ValueError("expected failures of this campaign in its leg")
        if any(ledger.groups.get(name) != key for name, key in groups.items()):
            raise ValueError("expected groups of this campaign in its leg")
        if not self.whole.signatures.issuperset(signatures):
            raise ValueError("expected signatures of this campaign in its leg")
        return found, groups, signatures


def meet(groups: Sequence[Islands], pool: Pool) -> None:
    """A barrier of groups of islands, if they have come to one."""
    if all(group.alone or group.steps % group.leg for group in groups):
        return
    offers = pool.offers()
    messages: list[dict[str, Any]] = []
    for group in groups:
        messages += group.messages(offers[group.places.start : group.places.stop], pool)
    pool.adopt(messages)


def _sum(total: Counters, before: Counters, now: Counters) -> Counters:
    """The sums of all islands after one of them went from `before` to `now`."""
    values: dict[str, Any] = {}
    then = asdict(before)
    for name, value in asdict(now).items():
        old, new = getattr(total, name), then[name]
        if isinstance(value, list):
            values[name] = [a + b - c for a, b, c in zip(old, value, new, strict=True)]
        else:
            values[name] = old + value - new
    return Counters(**values)
