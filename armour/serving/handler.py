"""HTTP around a Service: one connection, its requests one after the other, within limits of size and time."""

from __future__ import annotations

import io
import ipaddress
import logging
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from armour.remote.deadline import Deadline, TimedReader, TooLarge

from .service import Refused, Reply, refusal

if TYPE_CHECKING:
    from .server import Listener

log = logging.getLogger(__name__)

_HEAD = 1 << 17  # bytes of a request line and its headers


class Handler(BaseHTTPRequestHandler):
    """What http.server makes for each connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is two small writes; the second must not wait for the first
    server_version = "armour"
    sys_version = ""
    server: Listener

    def setup(self) -> None:
        """Reading ends at a deadline and a size, however slowly a client sends."""
        super().setup()
        self._limits = self.server.service.limits
        self._source = TimedReader(self.connection, Deadline(self._limits.wait), _HEAD)
        self.rfile = io.BufferedReader(self._source)

    def handle_one_request(self) -> None:
        """One request, with its own time and size for everything up to the body."""
        self._source.deadline = Deadline(self._limits.wait)
        self._source.allow(_HEAD)
        try:
            super().handle_one_request()
        except TooLarge:
            self._refuse(431, "the headers are too large")
        except OSError as error:
            log.debug("%s: %s", self.client_address, error)
            self.close_connection = True

    def do_GET(self) -> None:
        """Health, metadata, the list of models."""
        self._respond("GET")

    def do_POST(self) -> None:
        """Inference, and the list of models as Triton has it."""
        self._respond("POST")

    def _respond(self, method: str) -> None:
        try:
            self._check_host()
            kind = self.server.service.endpoint(method, self.path)
            body = self._body(method)
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(self.server.service.answer(kind, headers, body))
        except Refused as error:
            self._refuse(error.status, str(error), error.allow)
        except (OSError, TooLarge):
            raise
        except Exception:
            log.exception("a request failed")
            self._refuse(500, "internal error; the server's log says more")

    def _check_host(self) -> None:
        """A page in a browser must not reach a private server under a name of its own (DNS rebinding)."""
        if not self.server.private:
            return
        try:
            name = urlsplit(f"//{self.headers.get('Host', 'localhost')}").hostname
        except ValueError:
            name = None
        if name is None or not is_loopback(name):
            raise Refused(403, "this server answers to localhost only")

    def _body(self, method: str) -> bytes:
        """The whole body, read even if nobody wants it: what follows is the next request."""
        lengths = self.headers.get_all("Content-Length", [])
        if self.headers.get("Transfer-Encoding") is not None:
            raise Refused(411, "expected a Content-Length, got a Transfer-Encoding")
        if not lengths:
            if method == "GET":
                return b""
            raise Refused(411, "expected a Content-Length")
        text = lengths[0].strip()
        if len(lengths) > 1 or not text.isascii() or not text.isdigit():
            raise Refused(400, "expected one whole number as Content-Length")
        size, most = int(text[:20]), self.server.service.max_body
        if size > most:
            raise Refused(413, f"expected a body of at most {most:,} bytes, got {text[:20]}")
        self._source.deadline = Deadline(self._limits.transfer)
        self._source.allow(size + _HEAD)
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionError("the body ended early")
        return body

    def _send(self, reply: Reply, *, close: bool = False) -> None:
        self.connection.settimeout(self._limits.transfer)
        self.request_version = self.protocol_version  # headers for a client that speaks HTTP/0.9, too
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        if close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(reply.body)

    def _refuse(self, status: int, text: str, allow: str = "") -> None:
        """An error; the connection ends, since a body may be unread."""
        self._send(refusal(status, text, allow), close=True)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself finds wrong with a request, in our form."""
        if code == 501:  # a method without do_...
            self._refuse(405, "this server takes GET and POST", "GET, POST")
            return
        self._refuse(code, message or "bad request")

    def log_message(self, format: str, *args: Any) -> None:
        """To the log, not to stderr."""
        log.debug("%s %s", self.client_address[0], " ".join((format % args).split()))


def is_loopback(host: str) -> bool:
    """True for a name or address of this machine that others cannot reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
