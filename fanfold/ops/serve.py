"""`fanfold serve` and `fanfold dev`: one service on the real engines, or all of them on the embedded adapters."""

from __future__ import annotations

import runpy
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Service(StrEnum):
    """What `fanfold serve` can run."""

    POST = "post"
    GRAPH = "graph"
    FANOUT = "fanout"
    FEED = "feed"
    CONSOLE = "console"


def serve(service: Annotated[Service, typer.Argument(help="The service to run.")]) -> None:
    """Run one service on Kafka and Cassandra until SIGTERM: the same as `python -m post_service`."""
    runpy.run_module(f"{service}_service", run_name="__main__")


def dev(
    port: Annotated[int, typer.Option(help="Port of the whole API.", min=0, max=65535)] = 8080,
    data: Annotated[
        Path | None,
        typer.Option(help="Keep the log in this directory; by default it is temporary."),
    ] = None,
    demo: Annotated[bool, typer.Option(help="Load the demo into an empty log.")] = True,
) -> None:
    """Run every service in one process on the embedded adapters: no Kafka, no Cassandra, no Docker."""
    from all_in_one.__main__ import run

    run(port=port, data=data, with_demo=demo)
