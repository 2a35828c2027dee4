"""Every error armour raises on purpose, each with the exit code of the command that meets it.

Messages follow one formula: what was expected, what came, what to do.
"""

from __future__ import annotations

from typing import Any


class ArmourError(Exception):
    """Root of all errors raised on purpose; `exit_code` is what the command line ends with.

    partial: what a long job had done when this ended it (an AttackResult, a FuzzResult), or None.
    """

    exit_code = 2
    partial: Any = None


class InvalidArgument(ArmourError, ValueError):
    """An argument, option, configuration value or input array is not what it must be."""


class UnsupportedError(ArmourError):
    """The request is well formed, but this model, norm or backend cannot do it."""


class CaptureError(UnsupportedError):
    """A function cannot be captured as a plan: it depends on values in a way that tensors do not show."""


class FormatError(ArmourError):
    """A file is missing, damaged, hostile or of another kind than expected."""


class CheckpointError(FormatError):
    """A model file is missing, damaged, hostile, or does not fit its own description."""


class RangeNotStated(CheckpointError):
    """A model file does not say the range of its inputs, and nobody else did."""


class DataError(FormatError):
    """A data set is missing, damaged, empty, or does not fit the model."""


class BackendUnavailable(ArmourError):
    """An optional package is missing; the message names the `pip install` line."""


class RemoteError(ArmourError):
    """A model behind a URL did not answer, or not as it must; the message says what was tried and what to do.

    url: what was asked. status: of the last answer, 0 if there was none. attempts: how often it was asked.
    answered: samples that the model had answered before.
    """

    def __init__(
        self, message: str, *, url: str = "", status: int = 0, attempts: int = 0, answered: int = 0
    ) -> None:
        super().__init__(message)
        self.url, self.status, self.attempts, self.answered = url, status, attempts, answered


class GateFailed(ArmourError):
    """A robustness gate failed, or a fuzzing run asked to fail on findings found one."""

    exit_code = 1


class UnsoundEvidence(ArmourError):
    """The evidence is inconclusive or contradicts itself, so no verdict is given."""

    exit_code = 3


class AnomalyError(ArmourError):
    """Inside `armour.tensor.detect_anomaly`, an operation made the first NaN (or infinite) value."""

    exit_code = 3


class NothingEvaluated(ArmourError):
    """There was nothing to evaluate (no samples left, an empty data set after filters)."""

    exit_code = 5


class Interrupted(ArmourError):
    """The user interrupted a long job; its state has been saved."""

    exit_code = 130
