"""The limits on follows, mutes and blocks of one user, kept without counting the rows at every change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

from cachetools import TTLCache

from fanfold.core.clock import Clock
from fanfold.core.ports import Follows
from fanfold.http.problems import Conflict

COUNT_TTL_S = 10.0
COUNTED_USERS = 10_000
MARGIN = 0.1
"""Within this share of a maximum, rows are counted at every change."""

ROWS_PER_TIE = 4
"""Rows of ties, ended ones too, for each that may be active. A row stays when its tie ends, and a feed reads them all."""


class TooManyTies(Conflict):
    """The user has the maximum number of active ties of this kind."""

    advice: ClassVar[str]


class TooManyFollowed(TooManyTies):
    kind = "follows-too-many"
    title = "Too many followed users"
    advice = "Unfollow someone first"


class TooManyMuted(TooManyTies):
    kind = "mutes-too-many"
    title = "Too many muted users"
    advice = "Unmute someone first"


class TooManyBlocked(TooManyTies):
    kind = "blocks-too-many"
    title = "Too many blocked users"
    advice = "Unblock someone first"


class TooManyChanges(Conflict):
    """The user has the maximum number of rows, those of ended ties included. Only earlier targets can be chosen again."""

    kind = "too-many-changes"
    title = "Too many changes"


class HasEnd(Protocol):
    """A row of a follow, a mute or a block."""

    @property
    def active(self) -> bool: ...


class Look(NamedTuple):
    """What the tables have of a user's ties: active ones, all of them, and those with the targets asked about."""

    active: int
    rows: int
    of_targets: Mapping[str, HasEnd]


class LookAt(NamedTuple):
    """How to look up a user's ties."""

    ties: Callable[[str, Collection[str]], Awaitable[Look]]
    """With some targets."""
    rows: Callable[[str], Awaitable[int]] | None = None
    """Their number alone, ended ones too, where that costs less."""


def by_rows(read: Callable[[str], Awaitable[Mapping[str, HasEnd]]]) -> LookAt:
    """By reading all ties of a user."""

    async def look(user_id: str, target_ids: Collection[str]) -> Look:
        ties = await read(user_id)
        known = {target_id: ties[target_id] for target_id in target_ids if target_id in ties}
        return Look(sum(tie.active for tie in ties.values()), len(ties), known)

    return LookAt(look)


def by_counts(follows: Follows) -> LookAt:
    """By counts of a user's follows that the engine makes."""

    async def look(user_id: str, target_ids: Collection[str]) -> Look:
        # The targets first: a follow that is written meanwhile then counts among the others, and the count is rather too high.
        known = await follows.follows_of(user_id, target_ids)
        active, rows = await follows.following_counts(user_id)
        return Look(active, rows, known)

    return LookAt(look, follows.following_rows)


@dataclass(slots=True)
class Counted:
    """Ties with users other than the one asked about. `rows` counts ended ones too; `known`: that user has a row."""

    active: int
    rows: int
    known: bool = False


class TieLimit:
    """Refuses ties of one kind beyond `most` active ones and `ROWS_PER_TIE` times as many rows.

    A user's rows are counted in the tables, the ended ones too while there are few, and the counts are kept for ten seconds; each tie made by this process raises them.
    An end doesn't lower them, since it may have ended nothing: the kept counts are rather too high, and then the rows are counted
    again. Within a tenth of a maximum no kept count is used, so the limit is as exact as the tables are. Ties made through other processes
    are missed for up to ten seconds: a user exceeds the limit only by making more than a tenth of it through them within that time.
    """

    def __init__(
        self,
        look: LookAt,
        *,
        clock: Clock,
        most: int,
        too_many: type[TooManyTies],
    ) -> None:
        self._look = look
        self._too_many = too_many
        self._most, self._most_rows = most, most * ROWS_PER_TIE
        self._counts: TTLCache[str, Counted] = TTLCache(
            COUNTED_USERS, ttl=COUNT_TTL_S, timer=clock.monotonic_s
        )

    async def count(self, user_id: str, target_id: str) -> Counted:
        """The user's ties with others than the target: from the tables near a maximum, else the kept counts."""
        kept = self._counts.get(user_id)
        if (
            kept is not None
            and kept.active < _kept_below(self._most)
            and kept.rows < _kept_below(self._most_rows)
        ):
            return kept
        if kept is None and self._look.rows is not None:
            rows = await self._look.rows(user_id)
            # No more are active, so with few rows nothing else has to be looked up.
            if rows < _kept_below(self._most):
                return self._counts.setdefault(user_id, Counted(rows, rows))
        return await self._others(user_id, [target_id])

    async def count_without(self, user_id: str, target_ids: Collection[str]) -> Counted:
        """The user's ties with others than these targets, from the tables."""
        return await self._others(user_id, target_ids)

    async def _others(self, user_id: str, target_ids: Collection[str]) -> Counted:
        active, rows, known = await self._look.ties(user_id, target_ids)
        self._counts[user_id] = Counted(active, rows)
        active_known = sum(tie.active for tie in known.values())
        return Counted(active - active_known, rows - len(known), known=bool(known))

    def refuse_beyond(self, others: Counted, made: int) -> None:
        """Answer 409 if this many ties and the others together are more than the maximum, in active ones or in rows."""
        if others.active + made > self._most:
            raise self._too_many(f"{self._too_many.advice}: {self._most} is the most.")
        if others.rows + made > self._most_rows:
            raise self._too_many_rows()

    def refuse_too_many(self, counted: Counted) -> None:
        """Answer 409 to one tie more than the maximum, and to one row more."""
        if counted.active >= self._most:
            raise self._too_many(f"{self._too_many.advice}: {self._most} is the most.")
        self.refuse_too_many_rows(counted)

    def refuse_too_many_rows(self, counted: Counted) -> None:
        """Answer 409 to one row more than the maximum: an end without a beginning leaves a row too."""
        if not counted.known and counted.rows >= self._most_rows:
            raise self._too_many_rows()

    def _too_many_rows(self) -> TooManyChanges:
        return TooManyChanges(
            f"{self._most_rows} users are the most in all, those of earlier times included. They can be chosen again."
        )

    def made(self, user_id: str) -> None:
        """Note a tie whose beginning, or end without a beginning, was appended."""
        if (counted := self._counts.get(user_id)) is not None:
            counted.active += 1
            counted.rows += 1


def too_many(verb: str, most: int) -> dict[str, str]:
    """The 409 of a route in OpenAPI."""
    return {
        "description": f"You {verb} {most} users already (the maximum); or you did so with {most * ROWS_PER_TIE} users at some time, "
        "and this is another one (`too-many-changes`): those of earlier times can be chosen again."
    }


def _kept_below(most: int) -> int:
    return most - max(1, round(most * MARGIN))
