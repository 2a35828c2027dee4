"""What a server says about a model: its input, its outputs, and what armour's own server adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from armour.checks import suggest
from armour.errors import InvalidArgument, UnsupportedError

from .address import Address
from .client import Client
from .strict import WireError, loads
from .tensors import DATATYPES, EXTENSION, parameters

_SHOWN = 10  # names in a message
_MAX_NAME = 300


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output by its metadata. shape: with the batch in front; -1 where any size will do."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model on a server. output: None if its name is learnt from the first answer. binary: the server can
    do the extension. parameters: what the metadata add beyond the protocol.
    """

    address: Address
    input: TensorSpec
    output: TensorSpec | None
    binary: bool
    platform: str
    versions: tuple[str, ...]
    parameters: dict[str, Any]


def find_model(client: Client) -> Address:
    """The address with its model, the only one of the server if the URL names none; RemoteError otherwise."""
    address = client.address
    if address.model is not None:
        return address
    path = address.path("repository", "index")
    listed = client.json("POST", path, b"{}", missing=True)
    if listed is None:
        path = address.path("models")
        listed = client.json("GET", path, missing=True)
        listed = listed.get("models") if isinstance(listed, dict) else None
    entries = listed if isinstance(listed, list) else []
    found = {name for name in map(_listed_name, entries) if name is not None}
    if len(found) == 1:
        return address.of(found.pop())
    shown = ", ".join(sorted(found)[:_SHOWN]) or "none that is ready"
    raise client.error(
        address.url(path),
        f"expected one model, the server lists {shown}",
        f"name one: {address.url(address.path('models', 'NAME'))}",
    )


def read(client: Client, address: Address, input: str | None, output: str | None) -> Endpoint:
    """The metadata of the model; input, output: the names to choose if there are several.

    Raises RemoteError if the server does not answer as it must, InvalidArgument for a name that is not there
    or that must be stated, UnsupportedError for tensors that are no numbers.
    """
    path = address.model_path()
    found = client.json("GET", path)
    try:
        if not isinstance(found, dict):
            raise WireError("no JSON object")
        inputs, outputs = _specs(found, "inputs"), _specs(found, "outputs")
        told = parameters(found)
        versions = found.get("versions") or []
        names = [str(version)[:40] for version in versions] if isinstance(versions, list) else []
    except WireError as error:
        raise client.error(
            address.url(path), f"the model's metadata hold {error}", "the server does not follow the protocol"
        ) from None
    server = client.json("GET", address.path(), missing=True)
    extensions = server.get("extensions") if isinstance(server, dict) else None
    return Endpoint(
        address=address,
        input=_one(inputs, input, "input", TensorSpec(input or "", "FP32", ())),
        output=None if not outputs and output is None else _one(outputs, output, "output", None),
        binary=isinstance(extensions, list) and EXTENSION in extensions,
        platform=str(found.get("platform", ""))[:40],
        versions=tuple(names[:_SHOWN]),
        parameters=told,
    )


def recorded(endpoint: Endpoint, name: str) -> Any:
    """What armour's server says about `name` (bounds, class_names, data), as JSON; None if it does not."""
    text = endpoint.parameters.get(f"armour.{name}")
    if not isinstance(text, str):
        return None
    try:
        return loads(text.encode())
    except (WireError, UnicodeError):
        return None


def _specs(found: dict[str, Any], key: str) -> list[TensorSpec]:
    listed = found.get(key) or []
    if not isinstance(listed, list):
        raise WireError(f"{key} that are no list")
    specs = []
    for entry in listed[:1000]:
        shape = entry.get("shape", []) if isinstance(entry, dict) else None
        if (
            not isinstance(shape, list)
            or not isinstance(entry.get("name"), str)
            or not 0 < len(entry["name"]) <= _MAX_NAME
            or not all(type(side) is int and -1 <= side < 1 << 31 for side in shape)
        ):
            raise WireError(f"a tensor among the {key} without a name and a shape")
        specs.append(TensorSpec(entry["name"], str(entry.get("datatype"))[:20], tuple(shape)))
    return specs


def _one(specs: list[TensorSpec], name: str | None, kind: str, default: TensorSpec | None) -> TensorSpec:
    names = [spec.name for spec in specs]
    shown = ", ".join(map(ascii, names[:_SHOWN]))
    if name is None and len(specs) != 1:
        raise InvalidArgument(
            f"expected a model with one {kind}, this one has {shown or 'none in its metadata'}; "
            f"state {kind}=NAME"
            + (" (the other inputs cannot be filled)" if kind == "input" and shown else "")
        )
    if kind == "input" and len(specs) > 1:
        raise UnsupportedError(
            f"the model wants several inputs ({shown}); serve it with the others filled in"
        )
    if name is not None and specs and name not in names:
        raise InvalidArgument(f"the model has no {kind} {name!r}{suggest(name, names)}")
    if not specs:
        return default or TensorSpec(name or "", "", ())
    spec = specs[0] if name is None else specs[names.index(name)]
    if spec.datatype not in DATATYPES:
        raise UnsupportedError(
            f"the {kind} {spec.name!r} is of {spec.datatype}; armour sends and reads numbers"
        )
    return spec


def _listed_name(entry: Any) -> str | None:
    """The name of a model in a repository's list, None if it is not ready."""
    if isinstance(entry, str):
        return entry
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        return None
    return entry["name"] if entry.get("state") in (None, "", "READY") else None
