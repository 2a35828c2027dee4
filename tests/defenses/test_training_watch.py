"""Catastrophic overfitting is told from histories worked out by hand, and ends or does not end a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import training_scene as scene

from armour.defenses.training import Collapse, PGDTraining, Watched, collapse
from armour.defenses.training.watch import Watch
from armour.training import TrainConfig


def history(*pairs: tuple[float, float]) -> list[Watched]:
    """(robust, fgsm) after each epoch."""
    return [Watched(clean=0.9, robust=robust, fgsm=fgsm) for robust, fgsm in pairs]


@pytest.mark.parametrize(
    ("pairs", "epochs"),
    [
        ([(0.4, 0.6), (0.1, 0.9)], (2, 1)),
        ([(0.2, 0.5), (0.4, 0.6), (0.35, 0.6), (0.19, 0.6)], (4, 2)),
        ([(0.4, 0.6), (0.3, 0.7), (0.21, 0.8), (0.15, 0.9)], (4, 1)),
        ([(0.4, 0.6), (0.1, 0.585)], (2, 1)),  # steady within 2 points
        ([(0.4, 0.6), (0.1, 0.4)], None),  # both fall: the epoch was bad, not overfitted
        ([(0.4, 0.6), (0.2, 0.9)], None),  # half is not less than half
        ([(0.4, 0.6), (0.5, 0.7), (0.6, 0.8)], None),
        ([(0.0, 0.6), (0.0, 0.9)], None),  # nothing was there to lose
        ([(0.1, 0.5), (0.1, 0.6), (0.11, 0.7), (0.11, 0.7)], (4, 1)),  # stuck under half of FGSM's
        ([(0.1, 0.5), (0.1, 0.6), (0.12, 0.7), (0.13, 0.7)], None),  # it rises
        ([(0.1, 0.3), (0.1, 0.3), (0.1, 0.3), (0.1, 0.3)], None),  # it has not learnt anything yet
        ([(0.4, 0.7), (0.4, 0.7), (0.4, 0.7), (0.4, 0.7)], None),  # more than half
        ([], None),
    ],
)
def test_collapse(pairs: list[tuple[float, float]], epochs: tuple[int, int] | None) -> None:
    found = collapse(history(*pairs))
    assert (None if found is None else (found.epoch, found.since)) == epochs


def test_being_stuck_counts_only_when_the_budget_has_grown() -> None:
    stuck = history(*[(0.1, 0.6)] * 8)
    found = [collapse(stuck, ramp) for ramp in (0.0, 2.4, 4.0, 5.0)]
    assert [None if one is None else (one.epoch, one.since) for one in found] == [
        (4, 1),
        (7, 4),
        (8, 5),
        None,
    ]
    assert "accuracy under PGD is stuck and went from 10.0% to 10.0% since epoch 1" in str(found[0])


def test_it_is_told_in_one_line() -> None:
    found = collapse(history((0.4, 0.6), (0.1, 0.9)))
    assert found == Collapse(epoch=2, since=1, robust=(0.4, 0.1), fgsm=(0.6, 0.9))
    assert str(found) == (
        "catastrophic overfitting in epoch 2: accuracy under PGD fell from 40.0% to 10.0% since epoch 1, "
        "while under FGSM it went from 60.0% to 90.0%"
    )


def scripted(monkeypatch: pytest.MonkeyPatch, pairs: list[tuple[float, float]]) -> None:
    left = iter(history(*pairs))
    monkeypatch.setattr(Watch, "look", lambda self, model, clean: next(left))


SCRIPT = [(0.3, 0.5), (0.5, 0.6), (0.1, 0.9), (0.1, 0.9), (0.2, 0.9)]


@pytest.mark.parametrize(("on_collapse", "done"), [("warn", 5), ("stop", 3)])
def test_the_run_warns_once_or_stops_and_keeps_the_best_epoch(
    monkeypatch: pytest.MonkeyPatch, on_collapse: str, done: int
) -> None:
    scripted(monkeypatch, SCRIPT)
    config = TrainConfig(epochs=5, batch_size=32, lr=0.01, patience=1.0)
    epochs, result, _ = scene.trained(PGDTraining(steps=1), config, setting={"on_collapse": on_collapse})
    assert [bool(e.warning) for e in epochs] == [False, False, True, False, False][:done]
    assert result.progress.done == done and result.progress.best_epoch == 2 and result.best.robust == 0.5
    assert result.collapse is not None and result.collapse.epoch == 3
    assert [e.best for e in epochs][:3] == [True, True, False]
    assert epochs[1].values == {"robust": 0.5, "fgsm": 0.6}


def test_what_is_watched_is_asked_of_the_model() -> None:
    """The figures are attacks' own results on the first validation samples; the kept weights have them."""
    events: list[Any] = []
    epochs, result, _ = scene.trained(PGDTraining(steps=2), on_event=events.append)
    assert result.watched == 30
    assert result.progress.best_accuracy == result.best.robust == max(e.values["robust"] for e in epochs)
    assert [seen.clean for seen in result.history] == [e.accuracy for e in epochs]
    assert events[-1].values["robust"] == epochs[-2].values["robust"], "progress shows the epoch before"
    net = scene.convolutional()
    _, _, weights = scene.trained(PGDTraining(steps=2), module=net)
    model = scene.network(PGDTraining(), net).model
    data = scene.digits(40, 96)
    root = result.progress.root
    seen = Watch(data.x[:30], data.y[:30], "linf", 0.1, 10, root).look(model, 0.0)
    assert seen.robust == result.best.robust and seen.fgsm >= seen.robust
    assert np.isfinite(weights["0.weight"]).all()
