"""Models behind a URL on the command line: MODEL as a path or a URL, and how a server is asked."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from armour.cli.options import DURATION
from armour.contract import Model
from armour.errors import InvalidArgument

F = TypeVar("F", bound=Callable[..., Any])

FLAGS = ("timeout", "retries", "rate", "budget", "header_env", "flatten")


class ModelType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer click
    """A model: the path of a file, as a Path, or a URL, as text."""

    name = "model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        """The URL as it is, anything else as a Path."""
        from armour.remote import is_url

        return value if is_url(value) or isinstance(value, Path) else Path(value)


MODEL = ModelType()


def remote_options(function: F) -> F:
    """--timeout, --retries, --rate, --budget, --header-env, --flatten: give `remote`, for read_model."""

    @wraps(function)
    def command(*args: Any, **values: Any) -> Any:
        given = {name: values.pop(name) for name in FLAGS}
        stated = {
            name: value for name, value in given.items() if value not in (None, ()) and value is not False
        }
        return function(*args, remote=stated, **values)

    shown: Any = command
    for option in (
        click.option(
            "--timeout", type=DURATION, default=None, help="URL: time of one attempt. Default: 30 s."
        ),
        click.option(
            "--retries", type=click.IntRange(0), default=None, help="URL: attempts after the first."
        ),
        click.option("--rate", type=float, default=None, metavar="N", help="URL: most requests a second."),
        click.option(
            "--budget", type=click.IntRange(1), default=None, help="URL: most samples to send in all."
        ),
        click.option(
            "--header-env",
            multiple=True,
            metavar="[HEADER=]VARIABLE",
            help="URL: send the content of an environment variable as this header; as a bearer token without "
            "HEADER. May be given several times.",
        ),
        click.option("--flatten", is_flag=True, help="URL: send each sample as one row of numbers."),
    ):
        shown = option(shown)
    result: F = shown
    return result


def read_model(model: Path | str, remote: dict[str, Any], *, device: str = "cpu", **stated: Any) -> Model:
    """The model in a file or at a URL. remote: what remote_options gave; stated: bounds and the like.

    Raises InvalidArgument for flags of the wrong kind of model, and what loading or asking raises.
    """
    import armour
    from armour.python_model import is_function

    if isinstance(model, Path):
        if remote:
            flags = ", ".join("--" + name.replace("_", "-") for name in remote)
            raise InvalidArgument(f"{flags} is for a model behind a URL, got the file {model}; leave it out")
        if is_function(model):
            return _function(model, device, stated)
        loaded: Model = armour.load(model, device=device, **stated)
        return loaded
    from numpy.random import default_rng

    from armour.remote import RemoteOptions

    if device != "cpu":
        raise InvalidArgument(f"--device {device} is for a model in a file; a server chooses by itself")
    settings = dict(remote)
    flat: dict[str, Any] = {"flatten": True} if settings.pop("flatten", False) else {}
    options = RemoteOptions(**settings, jitter=default_rng())
    asked: Model = armour.wrap(model, remote=options, **flat, **stated)
    return asked


def repeated(context: click.Context, names: Collection[str]) -> list[str]:
    """The options among `names` that were given, as they would be written again."""
    written: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        if name not in names or context.get_parameter_source(name) != ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        for one in value if parameter.multiple else [value]:
            written += [parameter.opts[-1]] if isinstance(one, bool) else [parameter.opts[-1], _text(one)]
    return written


def _text(value: Any) -> str:
    """A value as the command line takes it: bounds with a comma, a whole number without a point."""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, (str, int)) else ",".join(f"{v:g}" for v in value)


def _function(model: Path, device: str, stated: dict[str, Any]) -> Model:
    from armour.python_model import PythonModel

    allowed = {"bounds", "input_shape", "num_classes", "class_names", "mean", "std", "preprocessing"}
    refused = [f"--{name.replace('_', '-')}" for name in sorted(set(stated) - allowed)]
    refused += ["--device"] if device != "cpu" else []
    if refused:
        raise InvalidArgument(f"{', '.join(refused)} is not for a Python function, {model}; leave it out")
    return PythonModel(model, **stated)
