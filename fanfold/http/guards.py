"""What routes refuse before they run, as dependencies that a router declares for all of its routes.

A write needs a writable clock and an actor who is registered; a route of one's own needs one's own user id.
`tests/architecture/test_guards.py` fails for a route that lacks one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Depends

from fanfold.core.clock import Clock
from fanfold.core.ports import User
from fanfold.core.ports.engines import Engines
from fanfold.core.settings import Settings
from fanfold.http.after_writes import AfterWrites
from fanfold.http.auth import Actor
from fanfold.http.params import UserIdPath
from fanfold.http.problems import Forbidden
from fanfold.http.read_after import reads_after
from fanfold.http.readiness import refuse_clock_skew


class NotYourself(Forbidden):
    kind = "not-yourself"
    title = "Not your user id"


class HasLeft(Forbidden):
    kind = "has-left"
    title = "This user has left"


class NotRegistered(Forbidden):
    kind = "not-registered"
    title = "You are not registered"


def refuse_left(actor: User) -> None:
    """Answer 403 to a write of a user who has left; `actor` is the user's row. Leaving is final."""
    if actor.left:
        raise HasLeft("You have left, for good: nothing can be written under this id any more.")


def refuse_unregistered_actor(actor: User) -> None:
    """Answer 403 to a write of a user who has not registered, or has left; `actor` is the user's row."""
    refuse_left(actor)
    if not actor.registered:
        raise NotRegistered(
            "Register first: PUT /users/ and your user id, with a display_name. If you have, send its Fanfold-Position in Fanfold-After."
        )


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

    after_writes: AfterWrites
    max_clock_skew_s: float

    async def writable_clock(self, _authenticated: Actor) -> None:
        """Answer 503 while this machine's clock is too far from the log's."""
        refuse_clock_skew(self.after_writes.log, max_skew_s=self.max_clock_skew_s)

    async def not_left(self, actor: Actor) -> None:
        """Answer 403 to an actor who has left, at the cost of one read."""
        refuse_left(await self.after_writes.stores.users.get(actor))

    async def registered(self, actor: Actor) -> None:
        """Answer 403 to an actor who has not registered, or has left, at the cost of one read."""
        refuse_unregistered_actor(await self.after_writes.stores.users.get(actor))

    def all(self) -> list[Any]:
        """The dependencies of a router of writes. The writes of `Fanfold-After` are seen first: one may be the registration."""
        clock, registered = Depends(self.writable_clock), Depends(self.registered)
        return [clock, *reads_after(self.after_writes), registered]

    def registering(self) -> list[Any]:
        """Those of the write that registers."""
        return [Depends(self.writable_clock), Depends(self.not_left)]

    def clock_only(self) -> list[Any]:
        """Those of a write that any user may make, or that looks at the actor's row itself."""
        return [Depends(self.writable_clock)]


def write_guards(engines: Engines, *, clock: Clock, settings: Settings) -> WriteGuards:
    """The guards over these engines."""
    after_writes = AfterWrites(engines.log, engines.stores, clock)
    return WriteGuards(after_writes, settings.max_clock_skew_s)
