"""Commands for whoever looks after a running installation; `fanfold.ops.cli` puts them into the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fanfold.core.settings import Settings

modes = typer.Typer(no_args_is_help=True, help="Which authors are pushed, and which pulled.")
activity = typer.Typer(no_args_is_help=True, help="Who reads, and who sleeps.")
dead_letters = typer.Typer(no_args_is_help=True, help="Records that the workers could not handle.")
console = Console(stderr=True, highlight=False)

Data = Annotated[Path, typer.Option(help="The directory of the system that `make up` started.")]
HERE = Path(".fanfold")
AsJson = Annotated[bool, typer.Option("--json", help="The summary as JSON on stdout.")]
Topic = Annotated[str | None, typer.Option(help="Only of this topic, as graph.v1.")]
Type = Annotated[str | None, typer.Option("--type", help="Only of this event, as UserFollowed.")]
At = Annotated[
    list[str] | None,
    typer.Option(help="Only the one of this position, topic/partition/offset; repeatable."),
]


@modes.command("apply")
def apply_modes(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count whom it concerns, append nothing.")
    ] = False,
    as_json: AsJson = False,
    data: Data = HERE,
) -> None:
    """After a change of the threshold: have every author judged again whose side it changes. Safe to repeat.

    Restart the workers with the new settings first; they judge, by theirs. Of the Kafka that the environment names,
    else of the system in that directory. Exits with 0 when all were looked at, 75 when an engine stayed away.
    """
    from fanfold.ops.review_modes import apply_modes

    status = apply_modes(settings_of(data), dry_run=dry_run, as_json=as_json, console=console)
    raise typer.Exit(status)


@activity.command()
def sweep(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count who would fall asleep, append nothing.")
    ] = False,
    rate: Annotated[float, typer.Option(min=0.1, help="Most users a second.")] = 100.0,
    every: Annotated[
        float | None, typer.Option(min=0.01, help="Go on, and sweep again after so many hours.")
    ] = None,
    as_json: AsJson = False,
    data: Data = HERE,
) -> None:
    """Put to sleep whoever has read no feed for FANFOLD_ACTIVE_DAYS: nothing is delivered to them until they read again.

    Once a day is enough, and twice does no harm. On the Kafka that the environment names, else on that of the system in
    that directory. Exits with 0 when all were looked at, 75 when an engine stayed away, 130 on Ctrl-C.
    """
    from fanfold.ops.sweep_activity import sweep_activity

    status = sweep_activity(
        settings_of(data),
        dry_run=dry_run,
        rate=rate,
        every_s=None if every is None else every * 3600,
        as_json=as_json,
        console=console,
    )
    raise typer.Exit(status)


@dead_letters.command("list")
def list_(
    topic: Topic = None,
    type_: Type = None,
    at: At = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="All of it as JSON on stdout, the values too.")
    ] = False,
    data: Data = HERE,
) -> None:
    """Show the records that were set aside, why, and what has become of each.

    `waiting` can be replayed; `unreadable` not by this version; of an `overtaken` one the log holds something later
    about the same thing. Exits with 0, or 75 when an engine stayed away.
    """
    from fanfold.ops.replay_dead_letters import chosen_of, list_dead_letters

    chosen = chosen_of(topic, type_, at or ())
    raise typer.Exit(list_dead_letters(settings_of(data), chosen, as_json=as_json, console=console))


@dead_letters.command()
def replay(  # noqa: PLR0917 - typer calls it by name
    topic: Topic = None,
    type_: Type = None,
    at: At = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also replays that could not be handled either.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count them, append nothing.")
    ] = False,
    as_json: AsJson = False,
    data: Data = HERE,
) -> None:
    """Append those that wait to the log once more, as new records at its end: the workers handle them there.

    After the cause is gone, as by an upgrade. Nothing is replayed twice, or undoes what has happened since: safe to repeat.
    Exits with 0 when all that wait were appended, 75 when an engine stayed away.
    """
    from fanfold.ops.replay_dead_letters import chosen_of, replay_dead_letters

    status = replay_dead_letters(
        settings_of(data),
        chosen_of(topic, type_, at or ()),
        again=again,
        dry_run=dry_run,
        as_json=as_json,
        console=console,
    )
    raise typer.Exit(status)


def settings_of(data: Path) -> Settings:
    """Those of the environment; where it names no Kafka, with those of the system in that directory."""
    from fanfold.ops.system import read_system

    settings = Settings()
    # What is left of a trial in this directory must not take what was meant for another system.
    if "kafka_bootstrap" not in settings.model_fields_set and (system := read_system(data)):
        return Settings(**system.settings)
    return settings
