"""One connection to a server: a request out, a whole answer in, within a deadline and a size."""

from __future__ import annotations

import io
import selectors
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead

from .address import Address
from .deadline import Deadline, TimedReader, TooLarge

_HEAD = 1 << 20  # bytes of status line and headers, and of what chunks add
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server sent. headers: by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Broken(Exception):
    """No whole answer; the text says why. final: asking again will not help."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Connection:
    """A connection that is kept open from one exchange to the next. Raises Broken if it cannot be made."""

    def __init__(self, address: Address, deadline: Deadline) -> None:
        self.address = address
        self.open = False
        try:
            self._sock = socket.create_connection((address.host, address.port), deadline.left())
        except (OSError, UnicodeError) as error:
            raise Broken(f"no connection ({_reason(error)})", final=_is_unknown(error)) from error
        self.open = True
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if address.scheme == "https":
                self._sock.settimeout(deadline.left())
                self._sock = ssl.create_default_context().wrap_socket(
                    self._sock, server_hostname=address.host
                )
        except OSError as error:
            self.close()
            distrust = isinstance(error, ssl.SSLCertVerificationError)
            raise Broken(f"no secure connection ({_reason(error)})", final=distrust) from error

    def exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        deadline: Deadline,
        limit: int,
    ) -> Answer:
        """Send a request and read its answer, of at most `limit` bytes; Broken if there is no whole one."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.address.netloc}", "Accept-Encoding: identity"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode("ascii")
        source = TimedReader(self._sock, deadline, limit + _HEAD)
        try:
            self._sock.settimeout(deadline.left())
            self._sock.sendall(head + body)
            return self._read(source, method, limit)
        except TooLarge:
            self.close()
            raise Broken(f"an answer of more than {limit:,} bytes", final=True) from None
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            raise Broken(_reason(error)) from error
        except BaseException:
            self.close()
            raise

    def stale(self) -> bool:
        """True if the server has ended the connection, or says something unasked, since the last exchange."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._sock, selectors.EVENT_READ)
            return bool(waiting.select(0))

    def close(self) -> None:
        """End the connection."""
        if self.open:
            self.open = False
            self._sock.close()

    def __del__(self) -> None:
        self.close()

    def _read(self, source: TimedReader, method: str, limit: int) -> Answer:
        response = HTTPResponse(_Source(source), method=method)  # type: ignore[arg-type]
        try:
            response.begin()
            stated = response.length
            if stated is not None and stated > limit:
                raise TooLarge
            body = bytearray()
            while piece := response.read(min(_PIECE, limit + 1 - len(body))):
                body += piece
                if len(body) > limit:
                    raise TooLarge
            if stated is not None and len(body) < stated:
                raise IncompleteRead(bytes(body), stated - len(body))
            if response.will_close:
                self.close()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, bytes(body))
        finally:
            response.close()


class _Source:
    """What http.client takes for a socket: something that makes a file to read from."""

    def __init__(self, source: TimedReader) -> None:
        self._source = source

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._source)


def _reason(error: BaseException) -> str:
    """The error in words, on one line."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, IncompleteRead):
        return "the connection ended in the middle of the answer"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:120]


def _is_unknown(error: BaseException) -> bool:
    """True if there is no server of that name."""
    return isinstance(error, UnicodeError) or (
        isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN
    )
