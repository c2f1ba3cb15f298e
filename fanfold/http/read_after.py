"""The guard of a read that shows one's own writes: it waits for those that the request names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Depends

from fanfold.http.after_writes import AfterWrites, Awaited
from fanfold.http.auth import Actor
from fanfold.http.positions import AFTER_HEADER, After
from fanfold.http.problems import NotNow


class WriteNotYetVisible(NotNow):
    kind = "write-not-yet-visible"
    title = "A write is not visible yet"


def refuse_behind(awaited: Awaited) -> None:
    """Answer 503 if a write could not be seen in time."""
    if awaited.behind:
        raise WriteNotYetVisible(f"A write of {AFTER_HEADER} is not visible yet. Retry.")


# Compared by identity: FastAPI hashes a dependency at each request.
@dataclass(frozen=True, slots=True, eq=False)
class ReadAfter:
    """The guard of reads from the tables alone, which show a write as soon as the tables do."""

    after_writes: AfterWrites

    async def own_writes(self, actor: Actor, after: After) -> None:
        """Return once the tables show the writes of `Fanfold-After`. Answers 503 if they don't within a second."""
        refuse_behind(await self.after_writes(actor, after))


def reads_after(after_writes: AfterWrites) -> list[Any]:
    """The dependencies of a router of reads."""
    return [Depends(ReadAfter(after_writes).own_writes)]
