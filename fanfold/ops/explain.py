"""`fanfold explain USER POST`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape

from console_service.explain.described import described, rows
from console_service.explain.facts import Facts
from console_service.explain.reasons import Explanation, Reason
from fanfold.core.clock import SystemClock, rfc3339
from fanfold.core.errors import Fault
from fanfold.core.exit_codes import ExitCode
from fanfold.ops.installation import why_cut_short
from fanfold.ops.options import (
    DEFAULT_DATA,
    AsJson,
    DataOfEither,
    complain,
    console,
    print_json,
    refuse_no_user_ids,
)
from fanfold.ops.run import run
from fanfold.ops.status import a_table

SOURCE = "fanfold/explain"
_POST_ID_VERSION = 7


def explain(
    user: Annotated[str, typer.Argument(help="The user whose feed it is.")],
    post: Annotated[UUID, typer.Argument(help="The id of the post.")],
    data: DataOfEither = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Say why a post is, or is not, in a user's feed: what the tables and the shared cache hold, and by which event.

    Uses the Kafka that the environment names, else the system in --data; of `make run DATA=…` it reads a copy. It changes nothing and wakes nobody.
    Exits with 0 when the feed is right, with 1 when it is wrong, and with 75 when an engine stayed away.
    """
    refuse_no_user_ids(user)
    if post.version != _POST_ID_VERSION:
        raise Fault(f"{post} is not the id of a post: those are UUIDv7")
    found: list[tuple[Facts, Explanation, bool]] = []
    ended = run(_read(data, user, post, found))
    if ended.cut_short:
        complain(why_cut_short(ended, data))
        raise typer.Exit(ended.status)
    facts, explanation, is_copy = found[0]
    if as_json:
        print_json(described(facts, explanation), indent=2)
    else:
        show(facts, explanation, Console(highlight=False))
        if is_copy:
            # Otherwise the fan-out would seem to have been as late as this command.
            console.print(
                "The tables are rebuilt from the log for this command, so planned_at and finished_at are of now."
            )
    raise typer.Exit(ExitCode.FAILED if explanation.wrong else ExitCode.DONE)


async def _read(
    data: Path, user: str, post: UUID, found: list[tuple[Facts, Explanation, bool]]
) -> None:
    from console_service.explain.explanations import explained
    from fanfold.ops.looked_at import looked_at

    clock = SystemClock()
    async with looked_at(data, clock=clock, source=SOURCE) as at:
        facts, explanation = await explained(
            user, post, at.engines.tables, settings=at.settings, clock=clock
        )
        found.append((facts, explanation, at.is_copy))


def show(facts: Facts, explanation: Explanation, console: Console) -> None:
    """Print it for people: the answer, the reasons, and the rows."""
    answer = "is in" if explanation.in_feed else "is not in"
    console.print(
        f"{facts.post_id} {answer} the feed of {escape(facts.viewer.user_id)}:", soft_wrap=True
    )
    for reason in explanation.reasons:
        console.print(
            f"  {escape(reason.kind)}: {escape(reason.says)}{_where(reason)}", soft_wrap=True
        )
    table = a_table("", "")
    for name, value in rows(facts):
        table.add_row(name, escape(_shown(value)))
    console.print("", table, "")
    if explanation.wrong:
        console.print("[red]wrong[/red]")
    elif explanation.late:
        console.print("[yellow]late[/yellow]: it still waits for the workers")
    else:
        console.print("[green]right[/green]")


def _where(reason: Reason) -> str:
    parts = []
    if reason.topic is not None:
        offset = "" if reason.offset is None else f", offset {reason.offset}"
        parts.append(f"{reason.topic}, key {escape(reason.key or '')}{offset}")
    if reason.at_ms is not None:
        parts.append(rfc3339(reason.at_ms))
    return f" ({'; '.join(parts)})" if parts else ""


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    return str(value)
