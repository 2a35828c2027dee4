"""https: certificates are checked, and what is wrong with one is not asked again."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import small_models
from http_fakes import guard

from armour.errors import RemoteError
from armour.remote import RemoteModel, RemoteOptions
from armour.serving import Server

X, Y = small_models.digits(60)
MODEL = small_models.centroids(X, Y)
QUICK = RemoteOptions(timeout=5.0, retries=2, backoff=0.01)

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that vouches for itself, for localhost, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return cert, key


@pytest.fixture(scope="module")
def server(certificate: tuple[Path, Path]) -> Iterator[str]:
    """The host and port of a server behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with Server(MODEL) as running:
        listener = running._listener
        plain = listener.get_request

        def get_request() -> tuple[ssl.SSLSocket, object]:
            connection, address = plain()
            return context.wrap_socket(connection, server_side=True), address

        listener.get_request = get_request  # type: ignore[method-assign,assignment]
        yield running.url.split("/")[2].replace("127.0.0.1", "localhost")


@pytest.fixture(autouse=True)
def _no_hanging() -> Iterator[None]:
    with guard():
        yield


def test_a_trusted_certificate(
    server: str, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    model = RemoteModel(f"https://{server}", remote=QUICK, batch_size=20)
    expected = np.concatenate([MODEL.logits(X[i : i + 20]) for i in range(0, 60, 20)])
    np.testing.assert_array_equal(model.logits(X), expected)
    assert model.provenance["url"] == f"https://{server}/v2/models/centroids"


def test_an_unknown_certificate_is_refused_at_once(server: str) -> None:
    with pytest.raises(RemoteError, match=r"no secure connection \(.*certificate.*asked once"):
        RemoteModel(f"https://{server}", remote=QUICK)


def test_a_certificate_for_another_name(
    server: str, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with pytest.raises(RemoteError, match=r"no secure connection \(.*asked once"):
        RemoteModel(f"https://{server.replace('localhost', '127.0.0.1')}", remote=QUICK)


def test_https_to_a_server_that_has_none() -> None:
    with Server(MODEL) as running, pytest.raises(RemoteError, match="no secure connection") as caught:
        RemoteModel(running.url.replace("http:", "https:"), remote=QUICK)
    assert "\n" not in str(caught.value)


def test_http_to_a_server_that_wants_https(server: str) -> None:
    with pytest.raises(RemoteError) as caught:
        RemoteModel(f"http://{server}", remote=QUICK)
    assert "\n" not in str(caught.value)
