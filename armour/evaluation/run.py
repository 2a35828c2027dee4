"""The course of an evaluation: first answers, checks of the model, the row of attacks, checks of them."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armour.attacks.budgets import check_epsilons
from armour.attacks.search import Search
from armour.attacks.state import key_of
from armour.checks import describe, positive
from armour.contract import Model
from armour.errors import ArmourError, FormatError, InvalidArgument, NothingEvaluated, UnsupportedError
from armour.events import OnEvent
from armour.report import Report
from armour.report_build import fingerprint, short_name
from armour.report_sections import Check, DataInfo, Provenance
from armour.rng import generator
from armour.stats import clopper_pearson
from armour.threat import Threat

from . import checks_attacks, checks_data, checks_model, presets, rules
from .context import Context, Rows
from .ids import sample_ids
from .journal import Arrays, Journal
from .plan import Plan
from .sections import Extras, build

# Samples read right that the checks use, by preset.
PROBES = {"quick": 128, "standard": 256, "thorough": 512, "black-box": 128}
# Of the time that an evaluation is given, what the row of attacks may use.
ROW_SHARE = 0.75
# Imported for the rules in them.
CHECKS = (checks_attacks, checks_data, checks_model)
_SEARCH = ("adv", "success", "tried", "broken_by", "spent")


def evaluate(
    model: Model,
    x: ArrayLike,
    y: ArrayLike,
    *,
    threat: Threat,
    attacks: presets.Attacks = "standard",
    rng: int | np.random.Generator = 0,
    on_event: OnEvent = None,
    state: str | os.PathLike[str] | None = None,
    seconds: float | None = None,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    surrogates: Sequence[Model] = (),
    targets: ArrayLike | None = None,
    training: tuple[ArrayLike, ArrayLike] | None = None,
    data: DataInfo | None = None,
    adaptive: bool = False,
    provenance: Provenance | None = None,
    title: str = "Robustness evaluation",
) -> Report:
    """Robust accuracy of a model under a threat, as the worst case per sample, with checks of the evidence.

    x (n, ...), y (n,): samples inside the model's bounds and their labels. attacks: a preset ("quick",
    "standard", "thorough", "black-box"), names of attacks with commas between, or a list of names and
    attacks; they run in that order, each on what those before it have left. rng: seed or Generator. state: a
    file that keeps what is finished; the same call with it goes on from there, to the same report. seconds:
    stop after about so long with what is there, which the report then says. groups: (n,) name of each
    sample's group, for a table. surrogates: other models of the same task, whose adversarial inputs are tried
    on this one. targets: (n,) classes that a
    targeted attacker wants, drawn at random if not given. training: (x, y) that the model was trained on, to
    look for overlap. adaptive: the attacks were made for this model. data, provenance, title: for the report.

    Raises InvalidArgument for what does not fit, UnsupportedError for attacks that need gradients of a model
    without, NothingEvaluated without samples. An error or Ctrl-C saves the state first.
    """
    if not isinstance(model, Model):
        raise InvalidArgument(
            f"expected an armour model, got {describe('model', model)}; use armour.wrap(model)"
        )
    if not isinstance(threat, Threat):
        raise InvalidArgument(f"expected an armour.Threat, got {describe('threat', threat)}")
    if seconds is not None:
        positive("seconds", seconds)
    samples = model.check_input(np.asarray(x))
    labels = model.check_labels(np.asarray(y), len(samples))
    if not len(samples):
        raise NothingEvaluated("expected at least one sample to evaluate, got none")
    names = _groups(groups, len(samples))
    root = int(generator(rng).integers(2**62))
    check_epsilons(threat.rising, _distance(threat), model.bounds, int(np.prod(samples.shape[1:])))
    if model.num_classes is None:
        model.logits(samples[:1])
        labels = model.check_labels(labels, len(samples))
    preset, row, notes = presets.resolve(attacks, threat, model)
    context = Context(
        model=model,
        x=samples,
        y=labels,
        aims=_aims(threat, targets, labels, model, root),
        threat=threat,
        attacks=row,
        root=root,
        journal=Journal(None, ""),
        surrogates=tuple(surrogates),
        training=() if training is None else sample_ids(np.asarray(training[0]), np.asarray(training[1])),
        ids=sample_ids(samples, labels),
        probes=PROBES.get(preset, 256),
    )
    for attack in row:
        said = attack.left_out(model, context.criterion())
        notes += [f"Of {type(attack).__name__}, {line}." for line in said]
    context.journal = Journal(state, _key(context, names, preset, adaptive))
    course = _Course(context, preset, seconds, on_event)
    try:
        checks = course.run()
        extras = Extras(
            preset=preset,
            notes=(*notes, *course.notes),
            checks=tuple(checks),
            groups=names,
            adaptive=adaptive,
            data=data,
            seconds=course.seconds(),
            complete=course.complete,
        )
        return build(context, extras, provenance or Provenance(), title)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        if not context.journal.loaded or isinstance(error, ArmourError):
            raise
        raise FormatError(f"{state} does not fit this evaluation ({error}); delete it") from error
    finally:
        context.journal.units["time"] = {"before": np.array(course.seconds())}
        context.journal.save()


class _Course:
    """One run through the units of an evaluation, in their order."""

    def __init__(self, context: Context, preset: str, seconds: float | None, on_event: OnEvent) -> None:
        self.context, self.preset = context, preset
        self.started, self.before = time.monotonic(), 0.0
        if "time" in context.journal.units:
            kept = context.journal.units["time"].get("before", np.zeros(()))
            if kept.shape or kept.dtype.kind != "f":
                raise FormatError(f"{context.journal.path} holds no time; delete it")
            self.before = float(kept)
        self.deadline = None if seconds is None else self.started + seconds
        self.row_deadline = None if seconds is None else self.started + ROW_SHARE * seconds
        self.plan = Plan(context, on_event)
        self.notes: list[str] = []
        self.complete = True

    def run(self) -> list[Check]:
        """Everything; the checks that came to their end."""
        context = self.context
        context.progress = self.plan.show
        self._look()
        checks = rules.run(context, "before")
        self._average()
        context.deadline = self.deadline
        self._row()
        self._nearest()
        checks += rules.run(context, "after")
        context.recall()
        found = context.merge()
        if found:
            self.notes.append(
                f"The checks' own attacks broke {found} more of the samples within the verdict's epsilon."
            )
        checks += rules.run(context, "last")
        self.plan.show("done", 1.0)
        return [*checks, self._worst(), self._intervals()]

    def seconds(self) -> float:
        """Wall time of this run and of those before it."""
        return self.before + time.monotonic() - self.started

    def _look(self) -> None:
        context = self.context
        found = context.unit("look", lambda: {"logits": context.model.logits(context.x)})
        logits = found["logits"]
        if logits.ndim != 2 or len(logits) != len(context.x):
            raise FormatError("the state of the evaluation does not fit its samples; delete it")
        context.logits = logits
        context.right = logits.argmax(axis=1) == context.y
        if context.threat.goal == "targeted":
            context.right &= context.aims != context.y
        # By the samples' content, so that their order does not matter.
        context.order = np.argsort(context.streams(1).bits((1,))[:, 0], kind="stable")
        order = context.order[context.right[context.order]]
        context.probe = np.sort(order[: context.probes])
        context.attacked = np.flatnonzero(context.right)

    def _average(self) -> None:
        """A preset's row for a model that answers at random is another one, of averaged gradients."""
        context = self.context
        if not context.random:
            return
        said = f"an input counts as broken where more than half of {presets.EOT} answers say so"
        row = presets.averaged(self.preset, context.threat, context.model)
        if row:
            context.attacks = row
            self.plan = Plan(context, self.plan.on_event)
            context.progress = self.plan.show
            said = f"gradients were averaged over {presets.EOT} draws for each step (EOT), and {said}"
        self.notes.append(f"The model answers at random: {said}.")

    def _row(self) -> None:
        """The attacks, one after another, each on what is left."""
        context = self.context
        at = context.attacked
        goal, streams = context.criterion(at), context.streams(0, at)
        answers = presets.EOT if context.random else 1
        search = Search(context.model, context.x[at], goal, context.budgets, streams, answers)
        context.search = search
        counts = self._restore(search)
        for number, attack in enumerate(context.attacks):
            last = [context.model.counter.queries, context.model.counter.gradients]

            def keep(number: int = number, last: list[int] = last) -> None:
                now = context.model.counter.queries, context.model.counter.gradients
                counts[number] += np.subtract(now, last)
                last[:] = now
                if not search.stopped:  # half a batch is for this report alone
                    context.journal.put("row", self._arrays(search, counts))

            search.nested = number > 0
            try:
                done = search.run(
                    context.attacks[: number + 1],
                    on_event=self.plan.listener(number, search),
                    until=self.row_deadline,
                    after_batch=keep,
                )
            except UnsupportedError as error:
                if self.preset not in presets.PRESETS or number == 0:
                    raise
                self.notes.append(f"{type(attack).__name__} was left out: {error}")
                search.tried[search.tried == number] = number + 1
                done = True
            if number == 0 and done:
                context.curve = self._own_curve(search)
                search.share()
            self.plan.finished(number)
            if not done:
                self.complete = False
                self._stopped(search, number)
                break
        if self.complete:
            context.journal.put("row", self._arrays(search, counts))
        else:
            context.journal.freeze({"row": self._arrays(search, counts)})

    def _own_curve(self, search: Search) -> NDArray[np.bool_]:
        def copied() -> Arrays:
            return {"success": search.success.copy(), "spent": search.spent.copy()}

        kept = self.context.journal.once("curve", copied)
        if kept["success"].shape != search.success.shape or kept["spent"].shape != search.success.shape:
            raise FormatError("the state of the evaluation does not fit its samples; delete it")
        self.context.asked = kept["spent"]
        return kept["success"].astype(bool)

    def _restore(self, search: Search) -> NDArray[np.int64]:
        kept = self.context.journal.units.get("row")
        counts = np.zeros((len(self.context.attacks), 2), np.int64)
        if kept is None:
            return counts
        mine = {name: getattr(search, name) for name in _SEARCH} | {"counts": counts}
        for name, array in mine.items():
            found = kept.get(name)
            if found is None or found.shape != array.shape or found.dtype != array.dtype:
                raise FormatError("the state of the evaluation does not fit its samples; delete it")
            array[...] = found
        return counts

    def _arrays(self, search: Search, counts: NDArray[np.int64]) -> Arrays:
        # Copies, so that Ctrl-C in the middle of a batch leaves what belonged together; inputs that are
        # written once more to the same values need none.
        small = {name: getattr(search, name).copy() for name in _SEARCH if name != "adv"}
        return small | {"adv": search.adv, "counts": counts.copy()}

    def _stopped(self, search: Search, number: int) -> None:
        """Time is over: what the first attack has not come to is left out of the figures."""
        context = self.context
        name = type(context.attacks[number]).__name__
        left_out = int((~search.finished).sum())
        self.notes.append(f"Time was over during {name}, attack {number + 1} of {len(context.attacks)}.")
        if not left_out:
            return
        if left_out == len(search.finished) and left_out:
            raise NothingEvaluated(
                "the time was over before the first attack had finished a sample; allow more --seconds, "
                "fewer samples or a cheaper attack"
            )
        self.notes.append(f"{left_out:,} samples were not attacked at all and are not counted.")
        context.probe = context.probe[search.finished[np.searchsorted(context.attacked, context.probe)]]
        context.left_out = context.attacked[~search.finished]

    def _nearest(self) -> None:
        context = self.context
        attack = presets.nearest(context.threat, context.model)
        if attack is None or not len(context.probe) or context.threat.goal == "targeted":
            return
        if context.out_of_time and "trial nearest" not in context.journal.units:
            return
        context.nearest = short_name(str(attack))
        if "trial nearest" not in context.journal.units:
            context.progress("smallest distances", 0.0)
        context.trial("nearest", attack, context.probe, None, 16)

    def _worst(self) -> Check:
        n = len(self.context.attacks)
        text = f"The worst case over {n} attacks and all restarts was taken for each sample."
        return Check(id="R04", title="Worst case per sample", status="ok", text=text)

    def _intervals(self) -> Check:
        search, k = self.context.search, self.context.headline
        assert search is not None
        n = len(self.context.x) - len(self.context.left_out)
        left = int((~search.success[k]).sum()) - len(self.context.left_out)
        low, high = clopper_pearson(left, n)
        text = (
            "Wilson at 95 % where shown, the exact one-sided bound where a count is 0 or all. Exact interval "
            f"of the verdict: {100 * low:.1f} to {100 * high:.1f} %. They cover the sampling alone."
        )
        return Check(id="R17", title="Intervals", status="ok", text=text)


def _distance(threat: Threat) -> Any:
    from armour.distances import distance

    return distance(threat.norm)


def _aims(threat: Threat, targets: ArrayLike | None, y: Rows, model: Model, root: int) -> Rows:
    """The classes that a targeted attacker wants; zeros for any other."""
    if threat.goal != "targeted":
        if targets is not None:
            raise InvalidArgument("expected targets with goal='targeted' only; leave them out")
        return np.zeros(len(y), np.int64)
    if targets is not None:
        return model.check_labels(np.asarray(targets), len(y))
    classes = int(model.num_classes)
    if classes < 2:
        raise InvalidArgument(f"expected at least 2 classes for a targeted attack, got {classes}")
    away = np.random.default_rng([root, 2]).integers(1, classes, len(y))
    return (y + away) % classes


def _groups(groups: Sequence[Any] | NDArray[Any] | None, n: int) -> tuple[str, ...]:
    if groups is None:
        return ()
    names = tuple(str(name) for name in (groups.tolist() if isinstance(groups, np.ndarray) else groups))
    if len(names) != n:
        raise InvalidArgument(f"expected the group of each of the {n} samples, got {len(names)}")
    return names


def _key(context: Context, groups: tuple[str, ...], preset: str, adaptive: bool) -> str:
    """Hex sha256 of everything that the report depends on."""
    search_like = _Like(context)
    digest = hashlib.sha256(key_of(search_like, context.attacks).encode())  # type: ignore[arg-type]
    digest.update(str((context.threat, groups, preset, adaptive, context.root)).encode())
    digest.update(context.aims.tobytes())
    for surrogate in context.surrogates:
        digest.update(fingerprint(surrogate).encode())
    digest.update("".join(context.training).encode())
    return digest.hexdigest()


class _Like:
    """What key_of asks of a search, before there is one."""

    def __init__(self, context: Context) -> None:
        # What cannot be written down is told apart by its name and shapes.
        known = fingerprint(context.model) or repr(context.model)
        self.model, self.x, self.budgets = SimpleNamespace(fingerprint=known), context.x, context.budgets
        self.streams, self.criterion = context.streams(0), context.criterion()
