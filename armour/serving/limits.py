"""What a served model lets strangers do: sizes, numbers and times."""

from __future__ import annotations

from dataclasses import dataclass

from armour.checks import count, positive

_MIB = 1 << 20
_PER_VALUE = 32  # bytes of one number as JSON, generously


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """batch: samples of one request. body: bytes of one request; by default what `batch` samples need as
    JSON, 64 MiB at most. connections: at a time; further ones are told to come later (503). wait: seconds
    for the next request and all of its headers on one connection. transfer: seconds for a request's body,
    and again for the answer. Raises InvalidArgument.
    """

    batch: int = 256
    body: int | None = None
    connections: int = 32
    wait: float = 30.0
    transfer: float = 60.0

    def __post_init__(self) -> None:
        count("batch", self.batch)
        if self.body is not None:
            count("body", self.body)
        count("connections", self.connections)
        positive("wait", self.wait)
        positive("transfer", self.transfer)

    def body_bytes(self, values: int) -> int:
        """The largest body, for inputs of so many values each."""
        if self.body is not None:
            return self.body
        return min(64 * _MIB, self.batch * values * _PER_VALUE + _MIB // 4)
