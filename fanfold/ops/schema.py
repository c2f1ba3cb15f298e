"""`fanfold schema`: the tables in Cassandra, and the JSON Schemas of the events."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from fanfold.ops.installation import environment
from fanfold.ops.options import console

app = typer.Typer(no_args_is_help=True, help="The tables in Cassandra and the events' schemas.")


@app.command()
def migrate() -> None:
    """Create the keyspace and apply the missing migrations. Safe to repeat."""
    from fanfold.adapters.cassandra.migrate import migrate as apply

    for line in asyncio.run(apply(environment())):
        console.print(line)


@app.command()
def grant(
    read: Annotated[
        list[str] | None, typer.Option(help="A role that may read the tables; repeatable.")
    ] = None,
    write: Annotated[
        list[str] | None,
        typer.Option(
            help="A role that may write every table too, or role:table for one table; repeatable."
        ),
    ] = None,
) -> None:
    """Give roles of Cassandra these rights on the tables, and revoke their others. Safe to repeat."""
    from fanfold.adapters.cassandra.grants import grant as apply

    for line in asyncio.run(apply(environment(), read=read or [], write=write or [])):
        console.print(line)


@app.command()
def export(directory: Path = Path("schemas/events")) -> None:
    """Write the JSON Schema of every event; beside it, where a README is, asyncapi.yaml and the README's lists."""
    from fanfold.ops.async_api import async_api
    from fanfold.ops.event_schemas import export as write
    from fanfold.ops.schema_lists import write_lists

    for path in write(directory):
        console.print(f"wrote {path}")
    readme, described = directory.parent / "README.md", directory.parent / "asyncapi.yaml"
    if readme.exists():
        described.write_text(async_api())
        console.print(f"wrote {described}")
        write_lists(readme)
        console.print(f"wrote the lists of {readme}")
