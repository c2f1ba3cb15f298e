"""`fanfold explain USER POST`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape

from fanfold.core.clock import SystemClock, rfc3339
from fanfold.core.errors import Fault
from fanfold.core.exit_codes import ExitCode
from fanfold.ops.explain.facts import Facts
from fanfold.ops.explain.reasons import Explanation, Reason
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
    from fanfold.ops.explain.read_facts import ReadFacts
    from fanfold.ops.explain.reasons import explain as explained
    from fanfold.ops.looked_at import looked_at
    from fanfold.ops.served_feed import served_feeds

    clock = SystemClock()
    async with (
        looked_at(data, clock=clock, source=SOURCE) as at,
        served_feeds(at.settings, at.engines, clock=clock) as served,
    ):
        read = ReadFacts(engines=at.engines, served=served, settings=at.settings, clock=clock)
        facts = await read(user, post)
        found.append((facts, explained(facts), at.is_copy))


def described(facts: Facts, explanation: Explanation) -> dict[str, Any]:
    """The explanation as JSON, with the rows that it rests on."""
    return {
        "user_id": facts.viewer.user_id,
        "post_id": str(facts.post_id),
        "in_feed": explanation.in_feed,
        "wrong": explanation.wrong,
        "late": explanation.late,
        "reasons": [_reason(reason) for reason in explanation.reasons],
        **dict(_rows(facts)),
    }


def _reason(reason: Reason) -> dict[str, Any]:
    return {
        "reason": reason.kind,
        "says": reason.says,
        "topic": reason.topic,
        "key": reason.key,
        "offset": reason.offset,
        "at": _time(reason.at_ms),
    }


def _rows(facts: Facts) -> Iterator[tuple[str, Any]]:
    """What the tables have about the two, by name; None for a row that isn't there."""
    post, relation, plan, bucket = facts.post, facts.relation, facts.plan, facts.bucket
    follow = relation.follow if relation else None
    yield "author_id", post.author_id if post else None
    yield "created_at", post and _time(post.created_at_ms)
    yield "asleep", facts.viewer.asleep
    yield (
        "follow",
        follow
        and {
            "active": follow.active,
            "since": _time(follow.since_ms),
            "follow_offset": follow.follow_offset,
            "offset": follow.offset,
            "materialised": follow.materialised,
        },
    )
    yield "strategy", plan and plan.strategy
    yield "planned_at", plan and _time(plan.started_at_ms)
    done = facts.slices.get(bucket) if bucket else None
    yield (
        "slice",
        bucket
        and {
            "generation": bucket.generation,
            "bucket": bucket.bucket,
            "finished_at": done and _time(done.finished_at_ms),
            "delivered": done and done.delivered,
        },
    )
    yield "in_timeline", facts.pointed_at is not None
    yield "in_pulled_posts", facts.pulled
    yield "author_is_pulled", facts.pulled_author is not None
    yield "newer_posts", facts.newer


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


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
    rows = a_table("", "")
    for name, value in _rows(facts):
        rows.add_row(name, escape(_shown(value)))
    console.print("", rows, "")
    if explanation.wrong:
        console.print("[red]wrong[/red]")
    elif explanation.late:
        console.print("[yellow]late[/yellow]: the workers have it before them")
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
