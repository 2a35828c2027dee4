"""Threat: what is not a threat model is refused in one line; the first epsilon is the verdict's."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import armour
from armour.errors import InvalidArgument
from armour.threat import Threat


def test_budgets_keep_their_order_and_rise_where_they_are_used() -> None:
    threat = Threat(epsilons=["8/255", 0.1, 0.01, 0.1])
    assert threat.epsilons == (8 / 255, 0.1, 0.01)
    assert threat.rising == (0.01, 8 / 255, 0.1) and threat.headline == 1
    assert Threat(epsilons=0.5).epsilons == (0.5,) and Threat(epsilons="1/2").rising == (0.5,)
    assert (threat.norm, threat.knowledge, threat.queries, threat.goal) == (
        "linf",
        "white-box",
        None,
        "untargeted",
    )
    assert armour.Threat is Threat


def test_it_is_a_value() -> None:
    threat = Threat(norm="l2", epsilons=[1, 2], queries=100)
    assert threat == Threat(norm="l2", epsilons=(1.0, 2.0), queries=100)
    assert hash(threat) == hash(Threat(norm="l2", epsilons=(1.0, 2.0), queries=100))
    assert dataclasses.replace(threat, norm="l1").norm == "l1"
    with pytest.raises(dataclasses.FrozenInstanceError):
        threat.norm = "l1"  # type: ignore[misc]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"epsilons": []}, "expected 1 to 64 epsilons, got 0"),
        ({"epsilons": [0.0]}, "expected epsilons above 0, got 0"),
        ({"epsilons": ["8/0"]}, "8/0"),
        ({"epsilons": [float("nan")]}, "nan"),
        ({"epsilons": 0.1, "norm": "linfty"}, "did you mean linf"),
        ({"epsilons": 0.1, "knowledge": "black box"}, "did you mean black-box"),
        ({"epsilons": 0.1, "goal": "any"}, "unknown goal 'any'"),
        ({"epsilons": 0.1, "queries": 0}, "at or above 1"),
    ],
)
def test_what_is_no_threat_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Threat(**arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)
