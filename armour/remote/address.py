"""Where a model is served: the parts of a URL of the Open Inference Protocol v2."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, urlsplit

from armour.errors import InvalidArgument

_SCHEMES = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9._:%-]+", re.ASCII)
_MAX_URL = 2000
_FORM = "expected a URL such as http://127.0.0.1:8000/v2/models/NAME"


@dataclass(frozen=True, slots=True)
class Address:
    """A server and, if known, the model and its version. prefix: what stands before /v2, or ""."""

    scheme: str
    host: str
    port: int
    prefix: str = ""
    model: str | None = None
    version: str | None = None

    @property
    def netloc(self) -> str:
        """The host and the port, as in a URL and in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _SCHEMES[self.scheme] else f"{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """True if the server is on this machine."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def path(self, *parts: str) -> str:
        """The path of an endpoint of the server: path("health", "live")."""
        return "/".join([self.prefix, "v2", *(quote(part, safe="") for part in parts)])

    def model_path(self, *parts: str) -> str:
        """The path of an endpoint of the model, which must be known."""
        assert self.model is not None
        version = () if self.version is None else ("versions", self.version)
        return self.path("models", self.model, *version, *parts)

    def url(self, path: str = "") -> str:
        """The whole URL of a path, or of the model, or of the server if the model is not known."""
        if not path:
            path = self.prefix if self.model is None else self.model_path()
        return f"{self.scheme}://{self.netloc}{path}"

    def of(self, model: str) -> Address:
        """The same server with this model."""
        return replace(self, model=model)


def is_url(text: object) -> bool:
    """True for text that begins like a URL that armour can speak to."""
    return isinstance(text, str) and text.lower().startswith(("http://", "https://"))


def parse(url: str) -> Address:
    """The address in http(s)://HOST[:PORT][/PREFIX][/v2[/models/NAME[/versions/VERSION]][/infer]].

    Raises InvalidArgument for anything else, and for a URL that holds a password, a query or a fragment: it
    would end up in logs and reports.
    """
    try:
        parts = urlsplit(url)
        host, port, secret = parts.hostname, parts.port, "@" in parts.netloc
    except ValueError:
        raise InvalidArgument(f"{_FORM}, got one that cannot be read") from None
    if secret or parts.query or parts.fragment:
        raise InvalidArgument(
            f"{_FORM}, got one with a {'password or user' if secret else 'query or fragment'}; send secrets "
            "by an environment variable: --header-env TOKEN, or RemoteOptions(header_env=('TOKEN',))"
        )
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > _MAX_URL:
        raise InvalidArgument(f"{_FORM} in printable ASCII, got {ascii(url)[:100]}")
    scheme = parts.scheme.lower()
    if scheme not in _SCHEMES or not host or not _HOST.fullmatch(host) or port == 0:
        raise InvalidArgument(f"{_FORM}, got {url[:100]!r}")
    segments = [part for part in parts.path.split("/") if part]
    before, own = segments, []
    if "v2" in segments:
        at = segments.index("v2")
        before, own = segments[:at], [unquote(part) for part in segments[at + 1 :]]
    model, version = _model(own, url)
    prefix = "".join(f"/{part}" for part in before)
    return Address(scheme, host, port or _SCHEMES[scheme], prefix, model, version)


def _model(segments: list[str], url: str) -> tuple[str | None, str | None]:
    """The model's name and version in what follows /v2."""
    if segments[-1:] == ["infer"] and len(segments) > 2:
        segments = segments[:-1]
    if not segments or segments == ["models"]:
        return None, None
    if segments[0] == "models" and len(segments) == 2:
        return segments[1], None
    if segments[0] == "models" and len(segments) == 4 and segments[2] == "versions":
        return segments[1], segments[3]
    raise InvalidArgument(f"{_FORM}[/versions/VERSION], got {url[:100]!r}")
