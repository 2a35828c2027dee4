"""`armour serve MODEL`: a model over HTTP, by the Open Inference Protocol v2, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from armour.cli.model_options import load_model, model_options
from armour.cli.options import device_option, json_option, print_json, quiet_option
from armour.cli.remote import MODEL, remote_options
from armour.serving import Limits, Server


@click.command()
@click.argument("model", type=MODEL, metavar="MODEL|URL")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; others can then reach it."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--name", default=None, help="What the model is called in URLs. Default: its own name.")
@click.option(
    "--max-batch",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Most samples of one request.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Most connections at a time.",
)
@model_options
@device_option
@remote_options
@json_option
@quiet_option
def serve(
    model: Path | str,
    host: str,
    port: int,
    name: str | None,
    max_batch: int,
    max_connections: int,
    model_options: dict[str, Any],
    device: str,
    remote: dict[str, Any],
    as_json: bool,
    quiet: bool,
) -> None:
    """Serve MODEL over HTTP, by the Open Inference Protocol v2 (as KServe, Triton and MLServer do).

    Inputs are images as the model's users give them, inside its bounds; outputs are logits. Only this machine
    can reach the server unless --host says otherwise: there is no encryption and no authentication. Ctrl-C
    ends it, after the answers under way.
    """
    target = load_model(model, model_options, remote=remote, device=device)
    limits = Limits(batch=max_batch, connections=max_connections)
    with _until_stopped() as stop, Server(target, host=host, port=port, name=name, limits=limits) as server:
        if not server.private:
            click.echo(
                f"warning: anyone who can reach {host} can ask the model; there is no password", err=True
            )
        if as_json:
            print_json(
                {"url": server.url, "name": server.name, "model": str(model), "private": server.private}
            )
        elif not quiet:
            click.echo(f"{server.name} at {server.url} (Ctrl-C ends it)")
        stop.wait()


@contextmanager
def _until_stopped() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set."""
    stop = threading.Event()
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        for one in before:
            signal.signal(one, lambda number, frame: stop.set())
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
