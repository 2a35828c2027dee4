"""Parameter types and shared options."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from armour.cli import options


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5", 1.5),
        ("5m", 300),
        ("1h", 3600),
        ("1h30m", 5400),
        ("2m5s", 125),
        (" 3S ", 3),
        (7, 7),
    ],
)
def test_durations(text: str | int, seconds: float) -> None:
    assert options.DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "5x", "m", "1m1h", "inf", "nan", "1e400", float("nan"), "٣"])
def test_no_durations(text: str | float) -> None:
    with pytest.raises(click.BadParameter, match="expected a length of time"):
        options.DURATION.convert(text, None, None)


@given(st.text(max_size=12))
def test_a_duration_is_a_finite_number_or_a_usage_error(text: str) -> None:
    try:
        seconds = options.DURATION.convert(text, None, None)
    except click.BadParameter:
        return
    assert math.isfinite(seconds) and seconds > 0


def test_epsilons() -> None:
    assert options.EPSILON.convert("8/255", None, None) == 8 / 255
    assert options.EPSILON.convert("0.1", None, None) == 0.1
    with pytest.raises(click.BadParameter, match="8/255"):
        options.EPSILON.convert("eight", None, None)


def test_shared_options_reach_the_command() -> None:
    @click.command()
    @options.data_option
    @options.seed_option
    @options.json_option
    @options.quiet_option
    @options.output_option()
    @options.device_option
    @options.jobs_option
    def command(**values: object) -> None:
        options.print_json(values)

    args = ["--data", "digits", "--seed", "3", "--json", "-q", "-o", "out", "--device", "cpu", "-j", "2"]
    result = CliRunner().invoke(command, args)
    assert json.loads(result.stdout) == {
        "data": "digits",
        "seed": 3,
        "as_json": True,
        "quiet": True,
        "output": "out",
        "device": "cpu",
        "jobs": 2,
    }
    for bad in (["--seed", "-1"], ["--jobs", "0"], ["--device", "tpu"]):
        assert CliRunner().invoke(command, bad).exit_code == 2


def test_json_has_only_what_json_knows() -> None:
    value = {
        "array": np.arange(3),
        "float32": np.float32(0.5),
        "nan": float("nan"),
        "nan32": np.array([np.inf, 1.0], np.float32),
        "bool": np.bool_(True),
        "path": Path("a"),
        1: (None, "x"),
    }
    assert options.plain(value) == {
        "array": [0, 1, 2],
        "float32": 0.5,
        "nan": None,
        "nan32": [None, 1.0],
        "bool": True,
        "path": "a",
        "1": [None, "x"],
    }
