"""`fanfold rebuild USER`: a user's timeline written again from the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from fanfold.core.cache_keys import feed_key, graph_key
from fanfold.core.clock import Clock, SystemClock
from fanfold.core.ports import Pointer
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.ops.options import (
    DEFAULT_DATA,
    AsJson,
    Data,
    complain,
    console,
    print_json,
    refuse_no_user_ids,
)
from fanfold.ops.run import run

if TYPE_CHECKING:
    from fanfold.ops.audit.repair import Repair

SOURCE = "fanfold/rebuild"
_ROWS = 500


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild has written: pointers pushed and corrected, and follows whose posts are all in the timeline now."""

    asleep: bool = False
    pushed: int = 0
    corrected: int = 0
    materialised: list[str] = field(default_factory=list)

    def describe(self) -> str:
        if self.asleep:
            return "asleep: every followee is pulled, and the timeline is filled when the user reads again"
        return (
            f"{self.pushed:,} pointers pushed, {self.corrected:,} corrected, "
            f"{len(self.materialised):,} follows materialised"
        )


async def rebuild_timeline(
    viewer: str, engines: Engines, settings: Settings, *, clock: Clock
) -> Rebuilt:
    """Push every pointer that the timeline should hold, correct those that name another author, and let the cache forget the user.

    As a backfill does, for all followees: a post that is published meanwhile finds the follow, so it is delivered as well. Idempotent. Raises `Unavailable`.
    """
    from fanfold.ops.audit.by_pull import timeline_rows
    from fanfold.ops.audit.opened import a_repair

    stores, rebuilt = engines.stores, Rebuilt()
    if (await stores.users.get(viewer)).asleep:
        rebuilt.asleep = True
        return rebuilt
    repair = a_repair(engines, settings, clock=clock)
    since_ms = max(0, clock.now_ms() - settings.retention_ms)
    follows = await stores.follows.following(viewer)
    active = [follow for follow in follows.values() if follow.active]
    named = {
        post: author async for post, author in timeline_rows(stores, viewer, since_ms=since_ms)
    }
    for follow in active:
        author = follow.followee_id
        posts = await stores.posts.by_author(
            author, before=None, since_ms=since_ms, limit=settings.feed_depth
        )
        pushed = [Pointer(p.post_id, author) for p in posts if p.delivery != "pull"]
        await _write(pushed, named, viewer, repair, rebuilt)
        if not follow.materialised:
            # After the copy: until it is marked, the follow's posts are pulled. The mark is for this follow and no later one.
            mark = (viewer, follow.follow_offset)
            await repair.stores.follows.mark_materialised(author, [mark])
            rebuilt.materialised.append(author)
    if engines.cache_epoch is not None:
        await repair.forget([feed_key(viewer), graph_key(viewer)])
    return rebuilt


async def _write(
    pointers: Sequence[Pointer],
    named: Mapping[UUID, str],
    viewer: str,
    repair: Repair,
    rebuilt: Rebuilt,
) -> None:
    """Push those pointers to posts of one author that the timeline lacks, and correct those that name another author than the post has."""
    from fanfold.ops.audit.repair import foreign_pointers

    missing = [pointer for pointer in pointers if pointer.post_id not in named]
    for start in range(0, len(missing), _ROWS):
        await repair.push(missing[start : start + _ROWS], viewer)
    rebuilt.pushed += len(missing)
    doubtful = {
        post_id: named[post_id]
        for post_id, author in pointers
        if named.get(post_id, author) != author
    }
    for pointer in await foreign_pointers(doubtful, repair.stores.posts):
        await repair.correct(pointer, viewer)
        rebuilt.corrected += 1


def rebuild(
    user: Annotated[str, typer.Argument(help="The user whose timeline it is.")],
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Write a user's timeline again from the tables: the missing pointers, and those that name another author. Safe to repeat.

    It writes as a worker does, beside the workers, so it needs a worker's settings and rights. Uses the Kafka that the environment names, else the
    system in --data. Exits with 0 when it is done, and with 75 when an engine stayed away: what is written stays.
    """
    refuse_no_user_ids(user)
    done: list[Rebuilt] = []
    ended = run(_rebuild(data, user, done))
    if ended.cut_short:
        complain(f"{ended.cut_short}; the same command starts over")
    elif as_json:
        print_json({"user_id": user, **asdict(done[0])})
    else:
        console.print(f"{user}: {done[0].describe()}", soft_wrap=True, markup=False)
    raise typer.Exit(ended.status)


async def _rebuild(data: Path, user: str, done: list[Rebuilt]) -> None:
    from fanfold.ops.audit.opened import to_mend

    clock = SystemClock()
    async with to_mend(data, clock=clock, source=SOURCE) as at:
        done.append(await rebuild_timeline(user, at.engines, at.settings, clock=clock))
