"""Refusals before a route runs, as dependencies that a router declares for all of its routes.

A write needs a writable clock and an actor who has not left; a route of one's own needs one's own user id.
`tests/architecture/test_guards.py` fails for a route that lacks one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Depends

from fanfold.core.ports import User, Users
from fanfold.core.ports.engines import Engines
from fanfold.core.ports.log import EventLog
from fanfold.core.settings import Settings
from fanfold.http.auth import Actor
from fanfold.http.params import UserIdPath
from fanfold.http.problems import Forbidden
from fanfold.http.readiness import refuse_clock_skew


class NotYourself(Forbidden):
    kind = "not-yourself"
    title = "Not your user id"


class HasLeft(Forbidden):
    kind = "has-left"
    title = "This user has left"


def refuse_left(actor: User) -> None:
    """Answer 403 to a write of a user who has left; `actor` is the user's row. Leaving is final."""
    if actor.left:
        raise HasLeft("You have left, for good: nothing can be written under this id any more.")


@dataclass(frozen=True, slots=True)
class OwnUserId:
    """The guard of a route that is for the user of its path alone. It refuses others with this problem."""

    problem: type[Forbidden]
    detail: str

    async def own_user_id(self, user_id: UserIdPath, actor: Actor) -> None:
        """Answer 403 unless the path names the actor."""
        if user_id != actor:
            raise self.problem(self.detail)


def own(problem: type[Forbidden], detail: str) -> list[Any]:
    """The dependencies of a router whose routes are for the user of the path alone."""
    return [Depends(OwnUserId(problem, detail).own_user_id)]


OWN = own(NotYourself, "You can do this only under your own user id.")


@dataclass(frozen=True, slots=True, eq=False)
class WriteGuards:
    """The guards of a service's writes.

    Compared by identity: FastAPI hashes a dependency at each request, and settings are slow to hash.
    """

    log: EventLog
    users: Users
    max_clock_skew_s: float

    async def writable_clock(self, _authenticated: Actor) -> None:
        """Answer 503 while this machine's clock is too far from the log's."""
        refuse_clock_skew(self.log, max_skew_s=self.max_clock_skew_s)

    async def not_left(self, actor: Actor) -> None:
        """Answer 403 to an actor who has left, at the cost of one read."""
        refuse_left(await self.users.get(actor))

    def all(self) -> list[Any]:
        """The dependencies of a router of writes."""
        return [Depends(self.writable_clock), Depends(self.not_left)]

    def clock_only(self) -> list[Any]:
        """Those of a write that a user who has left may make, or that looks at the actor's row itself (`refuse_left`)."""
        return [Depends(self.writable_clock)]


def write_guards(engines: Engines, settings: Settings) -> WriteGuards:
    """The guards over these engines."""
    return WriteGuards(engines.log, engines.stores.users, settings.max_clock_skew_s)
