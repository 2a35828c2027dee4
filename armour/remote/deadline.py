"""Reading from a socket that may be slow or endless: one deadline and one limit for all of it."""

from __future__ import annotations

import io
import socket
import time
from typing import Any


class Deadline:
    """A moment in time that work must be over by; seconds: from now."""

    __slots__ = ("at",)

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then; TimeoutError if there are none."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


class TooLarge(ValueError):
    """More bytes came than may come."""


class TimedReader(io.RawIOBase):
    """The incoming bytes of a socket until a deadline, however they trickle, and up to a limit.

    deadline and limit may be set anew between messages; count: bytes read since limit was set.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline, limit: int) -> None:
        super().__init__()
        self._sock = sock
        # The socket's own reader keeps it open until this is closed, as http.client expects.
        self._inner: Any = sock.makefile("rb", buffering=0)
        self.deadline = deadline
        self.allow(limit)

    def allow(self, limit: int) -> None:
        """Up to `limit` further bytes."""
        self.limit, self.count = limit, 0

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Some bytes, as soon as there are any; TimeoutError after the deadline, TooLarge past the limit."""
        self._sock.settimeout(self.deadline.left())
        got: int | None = self._inner.readinto(buffer)
        self.count += got or 0
        if self.count > self.limit:
            raise TooLarge(f"more than {self.limit:,} bytes")
        return got

    def close(self) -> None:
        """Give the socket back."""
        if not self.closed:
            self._inner.close()
        super().close()
