"""Mutes and blocks, made and ended: only events; the worker alone writes what they come to."""

from __future__ import annotations

from dataclasses import dataclass

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
from fanfold.core.ports.log import EventLog, Position
from fanfold.http.problems import Invalid, needs
from graph_service.profile import registered


class MutesOneself(Invalid):
    kind = "mutes-oneself"
    title = "Nobody mutes themselves"


class BlocksOneself(Invalid):
    kind = "blocks-oneself"
    title = "Nobody blocks themselves"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """What one user may do about another.

    Each is idempotent, and appended even if the tables show it already: its opposite may be on its way to them.
    A target who isn't registered answers 404; to end a tie, it is enough that there was one.
    """

    log: EventLog
    stores: Stores
    clock: Clock

    async def mute(self, user_id: str, target_id: str) -> Position | None:
        """Hide the target's posts from the user. A second mute leaves `since` as it was."""
        _refuse_oneself(MutesOneself, user_id, target_id)
        await registered(target_id, stores=self.stores)
        muted_at = from_ms(self.clock.now_ms())
        with needs("the log"):
            return await self.log.append(
                UserMuted(user_id=user_id, target_id=target_id, muted_at=muted_at)
            )

    async def unmute(self, user_id: str, target_id: str) -> Position | None:
        """Show them again."""
        _refuse_oneself(MutesOneself, user_id, target_id)
        with needs("the tables"):
            known = await self.stores.ties.mute_of(user_id, target_id) is not None
        await self._refuse_unknown(target_id, known=known)
        unmuted_at = from_ms(self.clock.now_ms())
        with needs("the log"):
            return await self.log.append(
                UserUnmuted(user_id=user_id, target_id=target_id, unmuted_at=unmuted_at)
            )

    async def block(self, user_id: str, target_id: str) -> list[Position | None]:
        """End the follows of both, then hide each from the other; where all three events lie.

        One that fails half-way has ended follows and made no block: repeated, it does all of it.
        """
        _refuse_oneself(BlocksOneself, user_id, target_id)
        await registered(target_id, stores=self.stores)
        now = from_ms(self.clock.now_ms())
        events = (
            UserUnfollowed(follower_id=target_id, followee_id=user_id, unfollowed_at=now),
            UserUnfollowed(follower_id=user_id, followee_id=target_id, unfollowed_at=now),
            UserBlocked(user_id=user_id, target_id=target_id, blocked_at=now),
        )
        with needs("the log"):
            # One by one: whoever reads of the block finds the follows ended before it.
            return [await self.log.append(event) for event in events]

    async def unblock(self, user_id: str, target_id: str) -> Position | None:
        """End the user's own block. The other's stays, and no follow comes back."""
        _refuse_oneself(BlocksOneself, user_id, target_id)
        with needs("the tables"):
            known = any(
                tie.mine for tie in await self.stores.ties.blocks_between(user_id, target_id)
            )
        await self._refuse_unknown(target_id, known=known)
        unblocked_at = from_ms(self.clock.now_ms())
        with needs("the log"):
            return await self.log.append(
                UserUnblocked(user_id=user_id, target_id=target_id, unblocked_at=unblocked_at)
            )

    async def _refuse_unknown(self, target_id: str, *, known: bool) -> None:
        # Someone who has left can still be taken off a list.
        if not known:
            await registered(target_id, stores=self.stores)


def _refuse_oneself(problem: type[Invalid], user_id: str, target_id: str) -> None:
    if user_id == target_id:
        raise problem.at("path", "target_id", "Name another user.")
