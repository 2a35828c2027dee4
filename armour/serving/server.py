"""Server: a model on a port, in threads of this process, until it is closed."""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
from contextlib import suppress
from http.server import HTTPServer
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from armour.checks import count
from armour.errors import InvalidArgument
from armour.model import Model
from armour.remote.address import Address

from .handler import Handler, is_loopback
from .limits import Limits
from .service import Service, refusal

log = logging.getLogger(__name__)

_BUSY = 1.0  # seconds for telling a client that it must come later


class Listener(socketserver.ThreadingMixIn, HTTPServer):
    """The socket, and a bounded number of threads. private: only this machine can reach it."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, service: Service) -> None:
        self.service = service
        self.private = is_loopback(host)
        self._free = threading.BoundedSemaphore(service.limits.connections)
        self._busy = threading.Condition()
        self._open: set[socket.socket] = set()
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        """Bind, without asking a name server who we are."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the connection, or a word that there is none."""
        if self._free.acquire(blocking=False):
            with self._busy:
                self._open.add(request)
            super().process_request(request, client_address)
            return
        reply = refusal(503, "too many connections; come back later")
        head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
        head += f"Content-Length: {len(reply.body)}\r\nConnection: close\r\n\r\n"
        with suppress(OSError):
            request.settimeout(_BUSY)
            request.sendall(head.encode() + reply.body)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve the connection; its place is free again at the end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._busy:
                self._open.discard(request)
                self._busy.notify_all()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that failed is noted, not printed."""
        log.debug("a connection from %s failed", client_address, exc_info=True)

    def finish(self, seconds: float) -> None:
        """End what is open: no more requests are read, answers under way get so many seconds."""
        with self._busy:
            for request in self._open:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RD)
            self._busy.wait_for(lambda: not self._open, timeout=seconds)


class Server:
    """Serves a model by the Open Inference Protocol v2 until close(), or the end of a `with` block.

    host: an address of this machine; by default only this machine itself can reach the server. port: 0 takes
    a free one. name: what the model is called in URLs, by default model.name. There is no encryption and no
    authentication. Raises InvalidArgument if it cannot listen there.
    """

    def __init__(
        self,
        model: Model,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        count("port", port, 0)
        own = model.name.replace("/", "-") if name is None else name
        service = Service(model, own, limits or Limits(), _version())
        try:
            self._listener = Listener(host, port, service)
        except (OSError, OverflowError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InvalidArgument(
                f"cannot listen on {host} port {port}: {reason}; choose another port, 0 for a free one"
            ) from error
        self.name, self.private = own, self._listener.private
        self._thread = threading.Thread(
            target=self._listener.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="armour-serve",
            daemon=True,
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the model is: http://HOST:PORT/v2/models/NAME."""
        host, port = self._listener.server_name, self._listener.server_port
        return Address("http", host, port, model=self.name).url()

    def close(self, seconds: float = 5.0) -> None:
        """Stop listening, let answers under way finish within so many seconds, and end all connections."""
        self._listener.shutdown()
        self._listener.finish(seconds)
        self._listener.server_close()
        self._thread.join()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _version() -> str:
    try:
        return version("armour-toolkit")
    except PackageNotFoundError:
        return "0+source"
