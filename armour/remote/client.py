"""Asking a server with patience: retries, pace and budget, and errors that say what was done."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from armour.errors import RemoteError

from .address import Address
from .connection import Answer, Broken, Connection
from .deadline import Deadline
from .options import RemoteOptions
from .strict import WireError, loads

log = logging.getLogger(__name__)

_AGAIN = (429, 500, 502, 503, 504)
_ADVICE = {
    400: "check the inputs, their shape and their bounds",
    401: "send a token: --header-env VARIABLE",
    403: "send a token that may ask this model: --header-env VARIABLE",
    404: "check the model's name and version in the URL",
    413: "send fewer samples at once: a smaller batch_size",
    429: "slow down: --rate",
}
_KEPT = 8  # idle connections


class Client:
    """Asks one server; safe from several threads. answered: samples answered so far; sent: samples sent."""

    def __init__(self, address: Address, options: RemoteOptions) -> None:
        self.address, self.options = address, options
        self.answered = self.sent = 0
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._next = 0.0
        if options.header_env and address.scheme == "http" and not address.loopback:
            log.warning("%s: the token is sent without encryption; use https", address.url())

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        samples: int = 0,
        missing: bool = False,
    ) -> Answer | None:
        """The answer with status 200; samples: how many the body holds.

        missing: None for the statuses 400, 404, 405 and 501, of an endpoint that a server need not have.
        Raises RemoteError, when no retry is left or none would help.
        """
        url, options = self.address.url(path), self.options
        reason, advice, status = "", "", 0
        for attempt in range(1, options.retries + 2):
            self._spend(samples, url, attempt, reason)
            self._pace()
            pause = options.backoff * 2.0 ** (attempt - 1)
            try:
                answer = self._once(method, path, body, headers or {})
            except Broken as error:
                reason, status, final = str(error), 0, error.final
                advice = "check that the server runs, or give it more time with --timeout"
            else:
                status = answer.status
                if status == 200:
                    return answer
                if missing and status in (400, 404, 405, 501):
                    return None
                reason, final = self._said(answer), status not in _AGAIN
                advice = _ADVICE.get(status, "see what the server's log says")
                asked = _retry_after(answer.headers.get("retry-after"))
                if asked is not None and not final:
                    pause = max(pause, asked)
                    if asked > options.longest_pause:
                        reason += f", and it asks to wait {asked:,.0f} s"
                        final = True
            if final or attempt > options.retries:
                raise self.error(url, reason, advice, attempts=attempt, status=status)
            log.info("%s: %s; asking again", url, reason)
            self._wait(min(pause, options.longest_pause))
        raise AssertionError("the loop ends by return or raise")

    def count(self, samples: int) -> None:
        """Note that the answer about so many samples was as it must be."""
        with self._lock:
            self.answered += samples

    def json(self, method: str, path: str, body: bytes = b"", *, missing: bool = False) -> Any:
        """The JSON of an answer, None if `missing` and it is."""
        headers = {"Content-Type": "application/json"} if body else None
        answer = self.ask(method, path, body, headers, missing=missing)
        if answer is None:
            return None
        try:
            self.check_plain(answer)
            return loads(answer.body)
        except WireError as error:
            url = self.address.url(path)
            raise self.error(
                url, f"the answer is {error}", "is this an Open Inference Protocol server?"
            ) from None

    def check_plain(self, answer: Answer) -> None:
        """WireError for an answer that is compressed, or that is a page for people."""
        coding, kind = answer.headers.get("content-encoding", ""), answer.headers.get("content-type", "")
        if coding.lower() not in ("", "identity"):
            raise WireError(f"compressed ({ascii(coding)[:20]}), though it was asked for plain")
        if kind.lower().startswith("text/html"):
            raise WireError("an HTML page")

    def error(
        self, url: str, reason: str, advice: str, *, attempts: int = 1, status: int = 200
    ) -> RemoteError:
        """What is raised: the URL, what happened, how often it was tried and what had been answered."""
        times = {0: "not asked", 1: "asked once"}.get(attempts, f"asked {attempts} times")
        text = f"{url}: {reason}; {times}, {self.answered:,} samples were answered before; {advice}"
        return RemoteError(
            self._without_secrets(text), url=url, status=status, attempts=attempts, answered=self.answered
        )

    def close(self) -> None:
        """End idle connections; later requests make new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    # -- one attempt -----------------------------------------------------------------------------------------

    def _once(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        deadline = Deadline(self.options.timeout)
        own = {"User-Agent": "armour", "Accept": "application/json, application/octet-stream"}
        sent = {**own, **self.options.all_headers(), **headers}
        connection = self._connection(deadline)
        answer = connection.exchange(method, path, sent, body, deadline, self.options.max_bytes)
        with self._lock:
            if connection.open and len(self._idle) < _KEPT:
                self._idle.append(connection)
                return answer
        connection.close()
        return answer

    def _connection(self, deadline: Deadline) -> Connection:
        """An idle connection that the server has not ended meanwhile, or a new one."""
        while True:
            with self._lock:
                if not self._idle:
                    break
                kept = self._idle.pop()
            if not kept.stale():
                return kept
            kept.close()
        return Connection(self.address, deadline)

    def _spend(self, samples: int, url: str, attempt: int, reason: str) -> None:
        budget = self.options.budget
        with self._lock:
            if budget is None or self.sent + samples <= budget:
                self.sent += samples
                return
        before = f" (after: {reason})" if reason else ""
        raise self.error(
            url,
            f"the budget of {budget:,} samples is used up: {self.sent:,} were sent and {samples:,} more are "
            f"wanted{before}",
            "raise --budget",
            attempts=attempt - 1,
        )

    def _pace(self) -> None:
        if self.options.rate is None:
            return
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next)
            self._next = at + 1 / self.options.rate
        time.sleep(at - now)

    def _wait(self, seconds: float) -> None:
        jitter = self.options.jitter
        if jitter is not None:
            with self._lock:
                seconds *= float(jitter.uniform(0.5, 1.0))
        time.sleep(seconds)

    # -- words -----------------------------------------------------------------------------------------------

    def _said(self, answer: Answer) -> str:
        """The status, and the reason if the server gave one."""
        if 300 <= answer.status < 400:
            return f"status {answer.status}, a redirect, which is refused: state the final URL"
        text: Any = ""
        try:
            self.check_plain(answer)
            if answer.headers.get("content-type", "").lower().startswith("text/plain"):
                text = answer.body[:1000].decode("utf-8", "replace")
            elif answer.body:
                told = loads(answer.body)
                # "error" by the protocol; the others are habits of frameworks in front of models.
                known = told if isinstance(told, dict) else {}
                text = next((known[key] for key in ("error", "detail", "message") if key in known), "")
        except WireError as error:
            text = str(error)
        shown = ascii(" ".join(str(text).split()))[1:-1][:200]
        return f"status {answer.status}" + (f" ({shown})" if shown else "")

    def _without_secrets(self, text: str) -> str:
        for secret in self.options.secrets():
            text = text.replace(secret, "***")
        return text

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address, "options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["address"], state["options"])  # type: ignore[misc]


def _retry_after(text: str | None) -> float | None:
    """Seconds to wait, from a number or a date; None if there is neither."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        when = parsedate_to_datetime(text)
        zoned = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        return max(0.0, (zoned - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None
