"""`fanfold schema`: the tables in Cassandra, and the JSON Schemas of the events."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from fanfold.core.errors import Fault
from fanfold.core.exit_codes import ExitCode
from fanfold.core.topics import SCHEMAS
from fanfold.ops.installation import environment
from fanfold.ops.options import complain, console
from fanfold.ops.run import run_blocking

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
    """Write the JSON Schema of every event; beside it, where a README is, asyncapi.yaml, those of a snapshot, and the README's lists."""
    from fanfold.ops.async_api import async_api
    from fanfold.ops.event_schemas import export as write
    from fanfold.ops.schema_lists import write_lists
    from fanfold.ops.snapshot.schemas import export as write_snapshots

    for path in write(directory):
        console.print(f"wrote {path}")
    readme, described = directory.parent / "README.md", directory.parent / "asyncapi.yaml"
    if readme.exists():
        described.write_text(async_api())
        console.print(f"wrote {described}")
        for path in write_snapshots(directory.parent / "snapshots"):
            console.print(f"wrote {path}")
        write_lists(readme)
        console.print(f"wrote the lists of {readme}")


Released = Annotated[
    Path, typer.Option(help="The directory of the released schemas; by default, the shipped one.")
]


@app.command()
def check(released: Released = SCHEMAS / "released") -> None:
    """Compare the public events of this version with every released one. Exits with 1, and lists each breaking change, if there is one."""
    from fanfold.ops.released_schemas import all_breaking_changes, public_schemas, released_schemas

    versions, schemas = released_schemas(released), public_schemas()
    changes = list(all_breaking_changes(versions, schemas))
    for change in changes:
        complain(change)
    if changes:
        raise typer.Exit(ExitCode.FAILED)
    console.print(f"{len(schemas)} public events agree with {', '.join(versions)}")


@app.command()
def lock(version: str, released: Released = SCHEMAS / "released") -> None:
    """Keep the schemas of the public events as those of this version, for ever. Safe to repeat; refuses a breaking change."""
    from fanfold.ops.released_schemas import lock as keep

    written = keep(released, version)
    for name in written:
        console.print(f"wrote {released / name}")
    if not written:
        console.print(f"{version} has these schemas already")


@app.command()
def publish(
    registry: Annotated[
        str, typer.Option(help="The registry's URL, as https://registry.example:8081.")
    ],
    user: Annotated[str | None, typer.Option(help="For a registry that asks for a user.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="The user's password.")] = None,
    released: Released = SCHEMAS / "released",
) -> None:
    """Register the released schemas in a schema registry, one subject for each event. Safe to repeat.

    Exits with 1 when the registry refuses one, and with 75 when it does not answer.
    """
    from fanfold.ops.released_schemas import released_schemas
    from fanfold.ops.schema_registry import Registry
    from fanfold.ops.schema_registry import publish as register

    def work() -> None:
        chosen = Registry(registry, user, _password(password_file))
        for line in register(chosen, released_schemas(released)):
            console.print(line)

    ended = run_blocking(work)
    if ended.cut_short:
        complain(f"{ended.cut_short}; the same command goes on")
    raise typer.Exit(ended.status)


def _password(file: Path | None) -> str | None:
    try:
        return None if file is None else file.read_text().removesuffix("\n")
    except OSError as error:
        raise Fault(f"{file} can't be read: {error.strerror}") from error
