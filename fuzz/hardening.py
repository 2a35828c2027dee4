"""Fuzz, harden, fuzz again: a network is trained on with failures of some seeds and fuzzed from others.

Every step leaves a file in one folder: corpora, checkpoints, the state of a training. So an interrupted run
goes on where it was and ends with the same bits.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from armour.data import Dataset, split_stratified
from armour.errors import InvalidArgument, NothingEvaluated
from armour.events import Event, OnEvent, emit
from armour.files import write_text
from armour.model import Model, ModuleModel
from armour.rng import generator

from .config import FuzzConfig
from .engine import Fuzzer
from .hardening_data import Failures, draw_evenly, gather, joined, random_mutants, without
from .hardening_result import CLEAN, HARDENED, MUTANTS, OLD, HardenConfig, Hardening, Measured
from .hardening_training import check_trainable, interrupted, resumable, retrained
from .kinds import choose
from .ledger import sha256
from .manifest import is_empty, read_json
from .reading import Corpus
from .result import FuzzResult
from .roots import Roots
from .seed_split import split_seeds
from .validity import ValidityModel

MANIFEST = "harden.json"
_VALIDATION = 0.2
_TRAIN, _MIX, _FUZZ_A, _FUZZ_B = range(4)  # streams of the seed


def harden(
    model: Model,
    seeds: Dataset,
    train: Dataset,
    held_out: Dataset,
    folder: str | os.PathLike[str],
    config: HardenConfig,
    *,
    corpus: Corpus | None = None,
    rng: int = 0,
    resume: bool = False,
    on_event: OnEvent = None,
) -> Hardening:
    """Retrain `model` with failures of half of its seeds, and fuzz old and new from the other half.

    seeds: where fuzzing starts; with `corpus`, a corpus of this model, its failures are taken and its roots
    are the seeds. They are split into A and B (fuzz/seed_split.py). Failures of A at V2, drawn evenly over D2
    classes, join `train`; training goes on from the model's weights, and the epoch is chosen on a fifth of
    A's seeds with their failures, which are left out of training, as is what is in `train` and on B.
    held_out: samples for the accuracy; those on A are left out. The models are then fuzzed from the same
    roots of B, those that all of them read correctly, with the same seed and as many executions.
    folder: for what is made on the way; resume: go on with it.
    Raises UnsupportedError unless the model is a network of armour with plain logits and normalisation,
    NothingEvaluated if A has no failure, InvalidArgument for a folder that is not empty (without resume) or
    of another run, Interrupted on Ctrl-C, with everything so far kept.
    """
    check_trainable(model)
    assert isinstance(model, ModuleModel)
    with threadpool_limits(1):
        return _Run(model, seeds, train, held_out, Path(folder), config, corpus, rng, resume, on_event).go()


class _Run:
    """One call of harden."""

    def __init__(
        self,
        model: ModuleModel,
        seeds: Dataset,
        train: Dataset,
        held_out: Dataset,
        folder: Path,
        config: HardenConfig,
        corpus: Corpus | None,
        seed: int,
        resume: bool,
        on_event: OnEvent,
    ) -> None:
        self.model, self.folder, self.config, self.seed = model, folder, config, seed
        self.corpus, self.on_event = corpus, on_event
        self.notes: list[str] = []
        if corpus is not None:
            _check_corpus(corpus, model)
            seeds = replace(seeds, x=corpus.roots.x, y=corpus.roots.labels)
        self.seeds = seeds
        self.kind = choose(model, seeds.x)
        self.names = (*config.controls, HARDENED)
        self.steps = len(self.names) + 1 + len(self.names) + (corpus is None)
        self.step = 0
        # Whoever is in the training data can only be on side A.
        self.split = split_seeds(
            seeds.x,
            seeds.y,
            part=config.part,
            seed=seed,
            span=model.bounds.span,
            training={sha256(one) for one in train.x},
        )
        other = {sha256(seeds.x[i]) for i in self.split.b}
        self.train = without(train, other)
        self.held_out = without(held_out, {sha256(seeds.x[i]) for i in self.split.a})
        if not len(self.held_out):
            raise InvalidArgument("expected held-out samples beside side A, got none; give fewer seeds")
        self._begin(resume)

    def _begin(self, resume: bool) -> None:
        settings: dict[str, Any] = {
            "kind": "armour-harden",
            "fingerprint": self.model.fingerprint,
            "split": self.split.digest,
            "seeds": self.seeds.digest,
            "training": self.train.digest,
            "held out": self.held_out.digest,
            "corpus": self._digest_of_corpus(),
            "seed": self.seed,
            "config": _plain(self.config),
        }
        path = self.folder / MANIFEST
        if resume and path.is_file():
            stored = read_json(path)
            wrong = sorted(name for name in settings if stored.get(name) != settings[name])
            if wrong:
                raise InvalidArgument(
                    f"{self.folder} was made with another {', '.join(wrong)}; repeat the same command, or "
                    "name another folder"
                )
            return
        if not is_empty(self.folder):
            raise InvalidArgument(
                f"expected an empty folder, got {self.folder}; go on with --resume, or name another"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(settings, indent=1, sort_keys=True) + "\n")

    def _digest_of_corpus(self) -> str:
        if self.corpus is None:
            return ""
        return _sha256_of([str(record["sha256"]) for record in self.corpus.records()])

    # -- the steps -------------------------------------------------------------------------------------------

    def go(self) -> Hardening:
        found = self._failures_of_a()
        sets = self._sets(found)
        models: dict[str, ModuleModel] = {OLD: self.model}
        progress = {OLD: (0, 0)}
        for name in self.names:
            models[name], progress[name] = self._trained(name, *sets[name])
        b = self.seeds[self.split.b]
        common = np.logical_and.reduce([one.predict(b.x) == b.y for one in models.values()])
        if not common.any():
            raise NothingEvaluated("expected a seed of B that all models read correctly, got none")
        roots = b[np.flatnonzero(common)]
        runs = {name: self._fuzzed(one, roots, f"b-{name}") for name, one in models.items()}
        kept = self._failures_of_b()
        if kept is None:
            kept = gather(Corpus.read(self.folder / f"b-{OLD}"), self.model, range(len(roots)), mixing=True)
        measured = []
        for name, one in models.items():
            corpus, result = runs[name]
            own = gather(corpus, one, range(len(corpus.roots)), mixing=True)
            broken = np.zeros(len(roots), bool)
            broken[corpus.roots.source[own.root]] = True
            measured.append(
                Measured(
                    name=name,
                    fingerprint=one.fingerprint,
                    executions=result.executions,
                    failures=len(own),
                    classes=len(set(own.key)),
                    broken=broken,
                    again_b=_fails(one, kept),
                    again_a=_fails(one, found),
                    right=one.predict(self.held_out.x) == self.held_out.y,
                    epochs=progress[name][0],
                    best_epoch=progress[name][1],
                )
            )
        return Hardening(
            model=models[HARDENED],
            models=tuple(measured),
            split=self.split,
            failures_a=len(found),
            classes_a=len(set(found.key)),
            trained=(len(sets[HARDENED][0]), self.added[0]),
            validated=(len(sets[HARDENED][1]), self.added[1]),
            result=runs[HARDENED][1],
            config=self.config,
            seed=self.seed,
            folder=self.folder,
            parent=self.model.fingerprint,
            corpus=str(self.corpus.folder if self.corpus else self.folder / "a-old"),
            seeds_sha256=self.seeds.digest,
            training_sha256=self.train.digest,
            notes=tuple(self.notes),
        )

    def _failures_of_a(self) -> Failures:
        """Failures of the old model whose seed is on side A; `root` counts the seeds."""
        if self.corpus is not None:
            found = gather(self.corpus, self.model, set(self.split.a.tolist()), mixing=False)
            if found.mixed:
                self.notes.append(
                    f"{found.mixed} failures of the corpus mix two seeds and were left out: one may be of B"
                )
        else:
            a = self.seeds[self.split.a]
            corpus, _ = self._fuzzed(self.model, a, "a-old", stream=_FUZZ_A)
            found = gather(corpus, self.model, range(len(corpus.roots)), mixing=True)
            found = replace(found, root=self.split.a[corpus.roots.source[found.root]])
        if not len(found):
            raise NothingEvaluated(
                f"expected failures of seeds of side A to train on, got none at V2 of {len(self.split.a)} "
                "seeds; give more executions or more seeds"
            )
        return found

    def _failures_of_b(self) -> Failures | None:
        if self.corpus is None:
            return None
        return gather(self.corpus, self.model, set(self.split.b.tolist()), mixing=False)

    def _sets(self, found: Failures) -> dict[str, tuple[Dataset, Dataset]]:
        """Training and validation of each model to train: they differ only in the inputs added.

        The epoch is chosen on a fifth of A's seeds with their failures, which are not trained on. The old
        model has learnt the training data by heart, so that a part of these would favour the first epochs.
        """
        rng = self._rng(_MIX)
        a = self.split.a
        apart = a[split_stratified(self.seeds.y[a], _VALIDATION, rng)[1]] if len(a) > 1 else a
        fitting = without(self.train, {sha256(self.seeds.x[i]) for i in apart})
        later = np.isin(found.root, apart)
        validation, part = self.seeds[apart], found.of(np.flatnonzero(~later))
        if not len(part):
            raise NothingEvaluated(
                f"expected failures of more seeds of side A, got {len(found)}, all of seeds that are set "
                "aside; give more executions or more seeds"
            )
        wanted = round(self.config.mix / (1 - self.config.mix) * len(fitting))
        drawn = part.of(draw_evenly(part.key, wanted, self.config.repeats, rng))
        sets: dict[str, list[Dataset]] = {name: [] for name in self.names}
        for data, added in ((fitting, drawn), (validation, found.of(np.flatnonzero(later)))):
            mutants = self._random(added, rng)
            for name in self.names:
                x = {HARDENED: added.x, CLEAN: self.seeds.x[added.root], MUTANTS: mutants}[name]
                sets[name].append(joined(replace(data, name=self.train.name), x, added.label))
        self.added = len(drawn), int(later.sum())
        return {name: (one[0], one[1]) for name, one in sets.items()}

    def _random(self, drawn: Failures, rng: np.random.Generator) -> np.ndarray:
        a = self.seeds[self.split.a]
        classes = int(self.model.num_classes or self.seeds.num_classes)
        roots = Roots(a.x, a.y, np.arange(len(a)), np.zeros((len(a), classes), np.int64))
        validity = ValidityModel.fit(a.x, self.model.bounds, self.kind)
        place = np.searchsorted(self.split.a, drawn.root)
        return random_mutants(roots, place, validity, self.config.mutators, rng)

    def _trained(
        self, name: str, fitting: Dataset, validation: Dataset
    ) -> tuple[ModuleModel, tuple[int, int]]:
        facts = {
            "parent": self.model.fingerprint,
            "split": self.split.digest,
            "corpus": self._digest_of_corpus() or f"{self.config.executions} executions from side A",
            "training_data": self.train.digest,
            "seed": self.seed,
            "config": _plain(self.config),
        }
        return retrained(
            self.model,
            name,
            fitting,
            validation,
            self.config.train,
            self._rng(_TRAIN),
            self.folder,
            facts,
            self._stage("train", f"{name} model"),
        )

    def _fuzzed(
        self, model: ModuleModel, seeds: Dataset, name: str, stream: int = _FUZZ_B
    ) -> tuple[Corpus, FuzzResult]:
        config = FuzzConfig(baseline=False, mutators=self.config.mutators)
        folder = self.folder / name
        fuzzer = Fuzzer(model, seeds.x, seeds.y, corpus=folder, config=config)
        with resumable():
            result = fuzzer.run(
                executions=self.config.executions,
                rng=int(self._rng(stream).integers(0, 2**32)),
                resume=True,
                on_event=self._stage("fuzz", name),
            )
        if result.interrupted:
            raise interrupted()
        return Corpus.read(folder), result

    def _rng(self, stream: int) -> np.random.Generator:
        return generator(np.random.default_rng([self.seed, stream]))

    def _stage(self, stage: str, text: str) -> Callable[[Event], None] | None:
        """Events of the next step, under a name of its own."""
        self.step += 1
        if self.on_event is None:
            return None
        listener, label = self.on_event, f"{self.step}/{self.steps} {stage}"
        emit(listener, label, 0, None, text)
        return lambda event: listener(replace(event, stage=label, text=f"{text} {event.text}"))


def _fails(model: Model, found: Failures) -> tuple[int, int]:
    return (int((model.predict(found.x) != found.label).sum()), len(found)) if len(found) else (0, 0)


def _plain(config: HardenConfig) -> Any:
    """The configuration as JSON gives it back."""
    return json.loads(json.dumps(asdict(config)))


def _sha256_of(texts: list[str]) -> str:
    """Hex sha256 of texts, one a line."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _check_corpus(corpus: Corpus, model: Model) -> None:
    if corpus.manifest["model"]["fingerprint"] != model.fingerprint:
        raise InvalidArgument(
            f"{corpus.folder} is a corpus of another model; name one of {model.name}, or leave --corpus out"
        )
