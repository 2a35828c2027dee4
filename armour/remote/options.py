"""How a model behind a URL is asked: patience, pace, budget, headers and size limits."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from armour.checks import count, describe, non_negative, one_of, positive
from armour.errors import InvalidArgument

ENCODINGS = ("auto", "json", "binary")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_VALUE = re.compile(r"[\x20-\x7e]+")
_OWN = {
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "inference-header-content-length",
    "transfer-encoding",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RemoteOptions:
    """Settings of the connection to a served model.

    timeout: seconds that one attempt may take in all, from connecting to the last byte. retries: further
    attempts after the first, on connection errors, timeouts and the statuses 429, 500, 502, 503 and 504.
    backoff: seconds before the first retry, doubled before each further one; jitter: a Generator that
    shortens each pause by up to half at random, so that several clients do not return at once. longest_pause:
    no pause is longer, and a server that asks for a longer one by Retry-After is given up. rate: most
    requests a second, retries included. budget: most samples that may be sent in all, retries included.
    max_bytes: of one answer. encoding: "binary" (exact and smaller), "json", or "auto": binary if the server
    announces that it can. headers: sent with every request. header_env: the same from environment variables:
    "X-Api-Key=VARIABLE" sends its content, "VARIABLE" sends `Authorization: Bearer` and its content. Neither
    is ever shown, logged or recorded. Redirects are refused, and proxies named in the environment are not
    used; SSL_CERT_FILE names further certificates for https. Raises InvalidArgument.
    """

    timeout: float = 30.0
    retries: int = 3
    backoff: float = 0.5
    jitter: np.random.Generator | None = None
    longest_pause: float = 60.0
    rate: float | None = None
    budget: int | None = None
    max_bytes: int = 8 << 20
    encoding: str = "auto"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    header_env: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        positive("timeout", self.timeout)
        count("retries", self.retries, 0)
        non_negative("backoff", self.backoff)
        non_negative("longest_pause", self.longest_pause)
        if self.rate is not None:
            positive("rate", self.rate)
        if self.budget is not None:
            count("budget", self.budget)
        count("max_bytes", self.max_bytes)
        one_of("encoding", self.encoding, ENCODINGS)
        if self.jitter is not None and not isinstance(self.jitter, np.random.Generator):
            raise InvalidArgument(f"expected jitter as a Generator, got {describe('jitter', self.jitter)}")
        if isinstance(self.header_env, str):
            object.__setattr__(self, "header_env", (self.header_env,))
        self.all_headers()

    def all_headers(self) -> dict[str, str]:
        """The headers of a request, environment variables read now; InvalidArgument names no value."""
        found: dict[str, str] = {}
        for name, value in self.headers.items():
            found[_name(name)] = _value(value, f"header {name}")
        for entry in self.header_env:
            name, _, variable = entry.rpartition("=")
            value = _value(os.environ.get(variable, ""), f"environment variable {variable}").strip()
            found[_name(name or "Authorization")] = value if name else f"Bearer {value}"
        return found

    def secrets(self) -> tuple[str, ...]:
        """What must not show up in any message: the values of the headers."""
        values = list(self.all_headers().values())
        bare = [value.removeprefix("Bearer ") for value in values]
        return tuple(value for value in (*values, *bare) if len(value) > 3)


def _name(name: str) -> str:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name) or name.lower() in _OWN:
        raise InvalidArgument(
            f"expected the name of a header that armour does not set itself, got {ascii(name)[:60]}"
        )
    return name


def _value(value: str, what: str) -> str:
    if not isinstance(value, str) or not _VALUE.fullmatch(value) or not value.strip():
        raise InvalidArgument(
            f"expected printable ASCII in the {what}, got nothing or something else; set it"
        )
    return value
