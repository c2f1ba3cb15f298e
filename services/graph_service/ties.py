"""Making and ending mutes and blocks: only events. Only the worker writes the rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fanfold.core.clock import Clock
from fanfold.core.events import (
    UserBlocked,
    UserMuted,
    UserUnblocked,
    UserUnfollowed,
    UserUnmuted,
    from_ms,
)
from fanfold.core.ports import Stores
from fanfold.core.ports.log import EventLog
from fanfold.http.known_users import known_user
from fanfold.http.positions import Written, append
from fanfold.http.problems import Invalid
from graph_service.tie_limit import TieLimit


class MutesOneself(Invalid):
    kind = "mutes-oneself"
    title = "You can't mute yourself"


class BlocksOneself(Invalid):
    kind = "blocks-oneself"
    title = "You can't block yourself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """Mutes and blocks, made and ended, within the limits of each.

    Every method is idempotent, and appends its event even if the tables show the tie already: its opposite may be on its way
    to them. A target who has never written anything is 404; a tie that exists can be ended in any case.
    """

    log: EventLog
    stores: Stores
    clock: Clock
    mutes_limit: TieLimit
    blocks_limit: TieLimit

    async def mute(self, user_id: str, target_id: str) -> Written | None:
        """Hide the target's posts from the user. A second mute leaves `since` as it was."""
        _refuse_oneself(MutesOneself, user_id, target_id)
        await known_user(target_id, stores=self.stores)
        limit = self.mutes_limit
        limit.refuse_too_many(await limit.count(user_id, target_id))
        written = await append(
            self.log, UserMuted(user_id=user_id, target_id=target_id, muted_at=self._now())
        )
        limit.made(user_id)
        return written

    async def unmute(self, user_id: str, target_id: str) -> Written | None:
        """Show the target's posts again."""
        _refuse_oneself(MutesOneself, user_id, target_id)
        exists = await self.stores.ties.mute_of(user_id, target_id) is not None
        await self._refuse_end(user_id, target_id, exists=exists, limit=self.mutes_limit)
        return await append(
            self.log, UserUnmuted(user_id=user_id, target_id=target_id, unmuted_at=self._now())
        )

    async def block(self, user_id: str, target_id: str) -> list[Written | None]:
        """End the follows between the two, then hide each from the other. Returns the positions of all three events.

        A block that fails half-way has ended follows and made no block; repeated, it does all of it.
        """
        _refuse_oneself(BlocksOneself, user_id, target_id)
        await known_user(target_id, stores=self.stores)
        limit = self.blocks_limit
        limit.refuse_too_many(await limit.count(user_id, target_id))
        now = self._now()
        events = (
            UserUnfollowed(follower_id=target_id, followee_id=user_id, unfollowed_at=now),
            UserUnfollowed(follower_id=user_id, followee_id=target_id, unfollowed_at=now),
            UserBlocked(user_id=user_id, target_id=target_id, blocked_at=now),
        )
        # One after the other: a consumer that reads the block has read the ends of the follows before it.
        positions = [await append(self.log, event) for event in events]
        limit.made(user_id)
        return positions

    async def unblock(self, user_id: str, target_id: str) -> Written | None:
        """End the user's own block. A block by the target stays, and no follow comes back."""
        _refuse_oneself(BlocksOneself, user_id, target_id)
        blocks = await self.stores.ties.blocks_between(user_id, target_id)
        exists = any(block.mine for block in blocks)
        await self._refuse_end(user_id, target_id, exists=exists, limit=self.blocks_limit)
        return await append(
            self.log, UserUnblocked(user_id=user_id, target_id=target_id, unblocked_at=self._now())
        )

    async def _refuse_end(
        self, user_id: str, target_id: str, *, exists: bool, limit: TieLimit
    ) -> None:
        # A target who has left can still be taken off a list.
        if exists:
            return
        await known_user(target_id, stores=self.stores)
        # The beginning may be on its way to the tables. If there is none, the end leaves a row of its own.
        limit.refuse_too_many_rows(await limit.count(user_id, target_id))
        limit.made(user_id)

    def _now(self) -> datetime:
        return from_ms(self.clock.now_ms())


def _refuse_oneself(problem: type[Invalid], user_id: str, target_id: str) -> None:
    if user_id == target_id:
        raise problem.at("path", "target_id", "Name another user.")
