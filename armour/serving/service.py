"""One model under the Open Inference Protocol v2, without a network: requests in, replies out."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import numpy as np

from armour.checks import describe
from armour.errors import ArmourError, InvalidArgument, RemoteError, UnsupportedError
from armour.model import Model
from armour.remote.strict import WireError, dumps
from armour.remote.tensors import EXTENSION, HEADER, decode, encode, entries, pack, parameters, unpack

from .limits import Limits

log = logging.getLogger(__name__)

INPUT, OUTPUT, VERSION = "input", "logits", "1"
JSON = "application/json"
_KINDS = (JSON, "application/octet-stream")


class Refused(Exception):
    """A request that is answered with an error. status: of HTTP. allow: the method that the path takes."""

    def __init__(self, status: int, text: str, allow: str = "") -> None:
        super().__init__(text)
        self.status, self.allow = status, allow


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back. headers: besides Content-Length."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": JSON})


class Service:
    """Answers requests about one model. name: what it is called in URLs. Safe from several threads: the model
    itself is asked by one at a time.

    Raises UnsupportedError for what is no classifier, InvalidArgument for a name that fits no URL, and for a
    model whose input shape is not known.
    """

    def __init__(self, model: Model, name: str, limits: Limits, server_version: str) -> None:
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 200 or "/" in name:
            raise InvalidArgument(
                f"expected a printable name without slashes for the URL, got {describe('name', name)}"
            )
        if model.output_shape is not None:
            raise UnsupportedError(
                f"{model.name} is no classifier (its answers have shape {model.output_shape}); only "
                "classifiers are served"
            )
        if model.input_shape is None:
            raise InvalidArgument(
                f"expected a model of known input shape, got {model.name}; state input_shape"
            )
        self.model, self.name, self.limits, self.server_version = model, name, limits, server_version
        self.max_body = limits.body_bytes(math.prod(model.input_shape))
        self._lock = threading.Lock()

    # -- what is where ---------------------------------------------------------------------------------------

    def endpoint(self, method: str, path: str) -> str:
        """What a request is about: "server", "live", "ready", "models", "model", "infer" or "index".

        Raises Refused: 404 if there is no such path, 405 if it has another method.
        """
        parts = [unquote(part) for part in path.partition("?")[0].split("/")[1:]]
        if parts[:1] != ["v2"]:
            raise Refused(404, "no such path; the protocol begins at /v2")
        kind = self._get(parts[1:]) or self._post(parts[1:])
        if kind is None:
            raise Refused(404, f"no such path or model; the model is at /v2/models/{self.name}")
        allowed = "POST" if kind in ("infer", "index") else "GET"
        if method != allowed:
            raise Refused(405, f"this path takes {allowed}", allowed)
        return kind

    def _get(self, parts: Sequence[str]) -> str | None:
        fixed = {
            (): "server",
            ("health", "live"): "live",
            ("health", "ready"): "ready",
            ("models",): "models",
        }
        own = {(): "model", ("ready",): "ready"}
        rest = self._own(parts)
        return fixed.get(tuple(parts)) or (None if rest is None else own.get(rest))

    def _post(self, parts: Sequence[str]) -> str | None:
        if tuple(parts) == ("repository", "index"):
            return "index"
        return "infer" if self._own(parts) == ("infer",) else None

    def _own(self, parts: Sequence[str]) -> tuple[str, ...] | None:
        """What follows /v2/models/NAME and its version; None if this is another model."""
        if list(parts[:2]) != ["models", self.name]:
            return None
        rest = parts[2:]
        if rest[:1] == ["versions"]:
            return tuple(rest[2:]) if rest[1:2] == [VERSION] else None
        return tuple(rest)

    # -- answers ---------------------------------------------------------------------------------------------

    def answer(self, kind: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The reply of an endpoint. headers: by lower-case name."""
        if kind in ("live", "ready"):
            return Reply(200, b"", {})
        if kind == "server":
            own = {"name": "armour", "version": self.server_version, "extensions": [EXTENSION]}
            return Reply(200, dumps(own))
        if kind == "models":
            return Reply(200, dumps({"models": [self.name]}))
        if kind == "index":
            return Reply(
                200, dumps([{"name": self.name, "version": VERSION, "state": "READY", "reason": ""}])
            )
        if kind == "model":
            return Reply(200, dumps(self.metadata()))
        return self._infer(headers, body)

    def metadata(self) -> dict[str, Any]:
        """The model's metadata; parameters says, as JSON text, what the protocol has no place for."""
        model = self.model
        known: dict[str, Any] = {"bounds": list(model.bounds), "input_shape": list(model.input_shape)}
        if model.class_names:
            known["class_names"] = list(model.class_names)
        data = model.provenance.get("data")
        if isinstance(data, dict) and isinstance(data.get("name"), str):
            known["data"] = data["name"]
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": "armour",
            "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, *model.input_shape]}],
            "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, model.num_classes or -1]}],
            "parameters": {f"armour.{key}": dumps(value).decode() for key, value in known.items()},
        }

    def _infer(self, headers: Mapping[str, str], body: bytes) -> Reply:
        kind = headers.get("content-type", JSON).partition(";")[0].strip().lower()
        if kind not in _KINDS:
            raise Refused(415, f"expected Content-Type {' or '.join(_KINDS)}")
        # One at a time from here: what a body becomes in memory is larger than the body.
        with self._lock:
            try:
                head, rest = unpack(body, headers.get(HEADER.lower()))
                x = self._input(head, rest)
                binary = self._wants_binary(head)
            except WireError as error:
                raise Refused(400, f"the request has {error}") from None
            logits = self._logits(x)
            return self._reply(head, logits, binary)

    def _input(self, head: dict[str, Any], rest: memoryview) -> np.ndarray:
        """(n, *input_shape) float32."""
        found = entries(head, "inputs", rest)
        if len(found) != 1 or found[0][0].get("name") != INPUT:
            raise Refused(400, f"expected one input named {INPUT!r}")
        entry, blob = found[0]
        if entry.get("datatype") != "FP32":
            raise Refused(400, f"expected the input as FP32, got {ascii(entry.get('datatype'))[:20]}")
        shape = entry.get("shape")
        own = list(self.model.input_shape)
        if not isinstance(shape, list) or shape[1:] != own or len(shape) != len(own) + 1:
            raise Refused(400, f"expected shape [n, {', '.join(map(str, own))}], got {ascii(shape)[:60]}")
        if type(shape[0]) is int and shape[0] > self.limits.batch:
            raise Refused(413, f"expected at most {self.limits.batch} samples at once, got {shape[0]}")
        return decode(entry, blob, most=self.limits.batch * math.prod(own))

    def _wants_binary(self, head: dict[str, Any]) -> bool:
        binary = parameters(head).get("binary_data_output", False)
        listed = head.get("outputs")
        if listed is not None:
            if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
                raise WireError("outputs that are no list of objects")
            if [entry.get("name") for entry in listed] not in ([], [OUTPUT]):
                raise Refused(400, f"the only output is named {OUTPUT!r}")
            for entry in listed:
                binary = parameters(entry).get("binary_data", binary)
        if not isinstance(binary, bool):
            raise WireError("a binary_data that is neither true nor false")
        return binary

    def _logits(self, x: np.ndarray) -> np.ndarray:
        try:
            return self.model.logits(x)
        except InvalidArgument as error:
            raise Refused(400, _line(error)) from None
        except RemoteError as error:
            raise Refused(502, _line(error)) from None
        except ArmourError as error:
            raise Refused(500, _line(error)) from None
        except Exception as error:
            log.exception("%s failed", self.name)
            raise Refused(500, "the model failed; the server's log says how") from error

    def _reply(self, head: dict[str, Any], logits: np.ndarray, binary: bool) -> Reply:
        own: dict[str, Any] = {"model_name": self.name, "model_version": VERSION}
        if isinstance(head.get("id"), str):
            own["id"] = head["id"][:200]
        try:
            entry, blob = encode(OUTPUT, logits, "FP32", binary=binary)
        except WireError as error:
            raise Refused(500, f"the model gave {error}; ask for binary_data") from None
        body, headers = pack(own | {"outputs": [entry]}, [blob])
        return Reply(200, body, headers)


def refusal(status: int, text: str, allow: str = "") -> Reply:
    """An error as the protocol has it: one line of JSON. allow: the methods that would be right."""
    headers = {"Content-Type": JSON} | ({"Allow": allow} if allow else {})
    return Reply(status, dumps({"error": " ".join(text.split())[:500]}), headers)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
