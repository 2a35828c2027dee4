"""RemoteModel: a model behind a URL, as a black box."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from armour.bounds import Bounds
from armour.errors import InvalidArgument, RemoteError
from armour.model import CallableModel
from armour.outputs import Kind
from armour.preprocessing import Preprocessing

from .address import parse
from .client import Client
from .metadata import Endpoint, find_model, read, recorded
from .options import RemoteOptions
from .scores import as_table, read_scores
from .strict import WireError
from .tensors import DATATYPES, encode, pack

_PROBES = 16


class RemoteModel(CallableModel):
    """A served classifier of the Open Inference Protocol v2 (KServe, Triton, MLServer, armour serve).

    url: of the model, http://HOST:PORT/v2/models/NAME, or of a server that has only one. remote: how it is
    asked. bounds, input_shape, num_classes, class_names: what the server does not say itself; the caller's
    word counts. preprocessing: an armour.preprocessing.Preprocessing done before sending. input, output:
    names of the tensors, where there are several. outputs: what they are, as in armour.outputs.Outputs.
    flatten: send each sample as one row of numbers, as metadata with one size ask for by themselves.
    batch_size: samples in one request.

    Its metadata are read at once. Raises InvalidArgument for what contradicts them, UnsupportedError for
    tensors that are no numbers, and RemoteError, here and at every call, if the server does not answer or not
    as it must: wrong shape, fewer rows, NaN or infinite scores.
    """

    remote = True

    def __init__(
        self,
        url: str,
        *,
        remote: RemoteOptions | None = None,
        bounds: Bounds | Sequence[float] | None = None,
        input_shape: Sequence[int] | None = None,
        num_classes: int | None = None,
        class_names: Sequence[str] = (),
        preprocessing: Preprocessing | None = None,
        input: str | None = None,
        output: str | None = None,
        outputs: Kind = "auto",
        flatten: bool = False,
        name: str | None = None,
        batch_size: int = 64,
    ) -> None:
        self.client = Client(parse(url), remote or RemoteOptions())
        self.client.address = find_model(self.client)
        self.endpoint = endpoint = read(self.client, self.client.address, input, output)
        classes = num_classes or _classes(endpoint)
        names = tuple(class_names) or _class_names(endpoint, classes)
        super().__init__(
            self._ask,
            outputs=outputs,
            bounds=_bounds(endpoint, bounds),
            input_shape=_input_shape(endpoint, input_shape, preprocessing),
            num_classes=classes or len(names) or None,
            class_names=names,
            name=name or str(endpoint.address.model),
            preprocessing=preprocessing,
            batch_size=batch_size,
        )
        self._path = endpoint.address.model_path("infer")
        encoding = self.client.options.encoding
        self._binary = encoding == "binary" or (encoding == "auto" and endpoint.binary)
        self._flat = flatten or len(endpoint.input.shape) == 2
        self._datatype = _datatype(endpoint, preprocessing)
        self._print: str | None = None
        self._note()

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the name, the metadata and the labels given to 16 fixed inputs, asked for once."""
        if self._print is None:
            low, high = self.bounds
            shape = (_PROBES, *self._known_shape())
            probes = np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)
            labels = np.concatenate([self._forward(probes[rows]).argmax(1) for rows in self._chunks(_PROBES)])
            spec = self.endpoint.input
            head = [self.name, self.endpoint.versions, spec.name, spec.datatype, spec.shape, self.num_classes]
            head += [] if self.preprocessing.identity else [self.preprocessing.to_dict()]
            text = json.dumps(head, sort_keys=True).encode()
            self._print = hashlib.sha256(text + labels.astype("<i8").tobytes()).hexdigest()
        return self._print

    def close(self) -> None:
        """End idle connections."""
        self.client.close()

    # -- one request -----------------------------------------------------------------------------------------

    def _ask(self, sent: np.ndarray) -> np.ndarray:
        """Scores (n, classes) of preprocessed samples."""
        fixed = self.endpoint.input.shape[:1]
        size = fixed[0] if fixed and fixed[0] > 0 else len(sent)
        parts = [self._request(sent[at : at + size], size) for at in range(0, len(sent), size)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _request(self, rows: np.ndarray, size: int) -> np.ndarray:
        """Scores of rows, sent as `size` of them: a model of fixed batch is given the last row repeatedly."""
        n = len(rows)
        if n < size:
            rows = np.concatenate([rows, np.repeat(rows[-1:], size - n, axis=0)])
        if self._flat and rows.ndim > 2:
            rows = rows.reshape(size, -1)
        entry, blob = encode(self.endpoint.input.name, rows, self._datatype, binary=self._binary)
        head: dict[str, Any] = {"inputs": [entry]}
        output = None if self.endpoint.output is None else self.endpoint.output.name
        wanted = {"parameters": {"binary_data": True}} if self._binary else {}
        if output is not None:
            head["outputs"] = [{"name": output, **wanted}]
        elif self._binary:
            head["parameters"] = {"binary_data_output": True}
        body, headers = pack(head, [blob])
        answer = self.client.ask("POST", self._path, body, headers, samples=size)
        assert answer is not None
        try:
            return as_table(read_scores(self.client, answer, size, output)[:n], self.num_classes)
        except WireError as error:
            raise self._wrong(f"the answer has {error}") from None

    def _forward(self, x: np.ndarray) -> np.ndarray:
        try:
            out = super()._forward(x)
        except InvalidArgument as error:  # no scores can be made of what came
            raise self._wrong(str(error)) from None
        self.client.count(len(x))
        return out

    def _wrong(self, what: str) -> RemoteError:
        advice = "the model or its server is at fault, or another output is meant (output=)"
        return self.client.error(self.client.address.url(self._path), what, advice)

    def _known_shape(self) -> tuple[int, ...]:
        if self.input_shape is None:
            raise InvalidArgument(
                "expected input_shape to be known; state input_shape=, or ask the model once"
            )
        return tuple(self.input_shape)

    def _note(self) -> None:
        """What is known of it: no headers, no tokens."""
        endpoint = self.endpoint
        self.provenance["url"] = endpoint.address.url()
        self.provenance["encoding"] = "binary" if self._binary else "json"
        if endpoint.platform:
            self.provenance["platform"] = endpoint.platform
        if not self.preprocessing.identity:
            self.provenance["preprocessing"] = self.preprocessing.to_dict()
        data = recorded(endpoint, "data")
        if isinstance(data, str) and 0 < len(data) <= 100 and data.isprintable():
            self.provenance["data"] = {"name": data}


def _bounds(endpoint: Endpoint, stated: Bounds | Sequence[float] | None) -> Bounds:
    if stated is not None:
        return Bounds.of(stated)
    told = recorded(endpoint, "bounds")
    if isinstance(told, list) and len(told) == 2 and all(type(v) in (int, float) for v in told):
        return Bounds.of(told)
    raise InvalidArgument(
        f"{endpoint.address.url()} does not say the range of its inputs; state it: bounds=(0, 1), "
        "or --bounds 0,1"
    )


def _input_shape(
    endpoint: Endpoint, stated: Sequence[int] | None, preprocessing: Preprocessing | None
) -> Sequence[int] | None:
    """The users' shape: as stated, if the metadata allow it; else the metadata's, if they say all of it."""
    own = endpoint.input.shape[1:]
    if stated is None:
        plain = preprocessing is None or preprocessing.identity or preprocessing.only_normalises
        told = recorded(endpoint, "input_shape")
        if isinstance(told, list) and told and all(type(v) is int and v > 0 for v in told) and plain:
            return told
        return own if plain and own and all(side > 0 for side in own) else None
    sent = tuple(stated) if preprocessing is None else preprocessing.network_shape(stated)
    flat = len(own) == 1 and own[0] in (-1, math.prod(sent))
    fits = len(own) == len(sent) and all(a in (-1, b) for a, b in zip(own, sent, strict=True))
    if endpoint.input.shape and not fits and not flat:
        raise InvalidArgument(
            f"the model takes inputs of shape {own} (-1: any size), not {sent}; state another input_shape, "
            "or preprocessing such as layout='NHWC' or resize="
        )
    return stated


def _classes(endpoint: Endpoint) -> int | None:
    shape = () if endpoint.output is None else endpoint.output.shape[1:]
    return shape[0] if len(shape) == 1 and shape[0] > 1 else None


def _class_names(endpoint: Endpoint, classes: int | None) -> tuple[str, ...]:
    """What armour's server says, if it can be true."""
    told = recorded(endpoint, "class_names")
    if not isinstance(told, list) or not all(isinstance(one, str) and one.isprintable() for one in told):
        return ()
    return tuple(told) if classes in (None, len(told)) and len(told) <= 100_000 else ()


def _datatype(endpoint: Endpoint, preprocessing: Preprocessing | None) -> str:
    """What is sent; whole numbers only if preprocessing makes some."""
    wanted = DATATYPES[endpoint.input.datatype]
    given = np.dtype("float32" if preprocessing is None else preprocessing.dtype)
    if wanted.kind == "f" or (wanted.kind in "iu" and np.can_cast(given, wanted)):
        return endpoint.input.datatype
    raise InvalidArgument(
        f"the model takes {endpoint.input.datatype}; say what they mean: "
        "Preprocessing(dtype='uint8', scale=255), or --input-dtype uint8 --scale 255"
    )
