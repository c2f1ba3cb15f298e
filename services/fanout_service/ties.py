"""Mutes and blocks of one user: of the events about one target the last one decides, also after a redelivery."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, assert_never

from fanfold.core.events import TieEvent, UserBlocked, UserMuted, UserUnblocked, UserUnmuted, to_ms
from fanfold.core.ports import Stores, Tie
from fanout_service.blocked_follows import BlockedFollows
from fanout_service.recorded_event import RecordedEvent


class TieChange(NamedTuple):
    """A mute or a block made (`active`) or ended, at a log offset."""

    active: bool
    happened_at_ms: int
    offset: int


def fold_tie(target_id: str, stored: Tie | None, changes: Sequence[TieChange]) -> Tie | None:
    """The tie after the changes, which are in the order of their offsets; None if they change nothing.

    The row includes every change up to its offset. A tie that is made again while it lasts keeps its `since_ms`.
    """
    tie = stored
    for change in changes:
        if tie is not None and tie.offset >= change.offset:
            continue
        if tie is None or (change.active and not tie.active):
            since_ms = change.happened_at_ms
        else:
            since_ms = tie.since_ms
        tie = Tie(target_id, change.active, since_ms, change.offset)
    return None if tie == stored else tie


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """The projection of mutes and blocks.

    The partition of the user who makes a block writes both sides of it, and then ends follows that cross it. Two users who block
    each other have two rows each.
    """

    stores: Stores
    blocked_follows: BlockedFollows

    async def project(self, group: Sequence[RecordedEvent[TieEvent]]) -> None:
        """Project mutes and blocks made by one user."""
        mutes: defaultdict[str, list[TieChange]] = defaultdict(list)
        blocks: defaultdict[str, list[TieChange]] = defaultdict(list)
        for record, event in group:
            match event:
                case UserMuted(target_id=target_id, muted_at=at):
                    mutes[target_id].append(TieChange(True, to_ms(at), record.offset))
                case UserUnmuted(target_id=target_id, unmuted_at=at):
                    mutes[target_id].append(TieChange(False, to_ms(at), record.offset))
                case UserBlocked(target_id=target_id, blocked_at=at):
                    blocks[target_id].append(TieChange(True, to_ms(at), record.offset))
                case UserUnblocked(target_id=target_id, unblocked_at=at):
                    blocks[target_id].append(TieChange(False, to_ms(at), record.offset))
                case _:
                    assert_never(event)
        user_id = group[0].event.user_id
        for target_id, changes in mutes.items():
            await self._mute(user_id, target_id, changes)
        for target_id, changes in blocks.items():
            await self._block(user_id, target_id, changes, group[-1].record.appended_at_ms)

    async def _mute(self, user_id: str, target_id: str, changes: Sequence[TieChange]) -> None:
        stored = await self.stores.ties.mute_of(user_id, target_id)
        # A stored row is written again, because it doesn't show that the write has also returned, and so told the shared cache.
        tie = fold_tie(target_id, stored, changes) or stored
        if tie is not None:
            await self.stores.ties.write_mute(
                user_id, target_id, active=tie.active, since_ms=tie.since_ms, offset=tie.offset
            )

    async def _block(
        self, user_id: str, target_id: str, changes: Sequence[TieChange], appended_at_ms: int
    ) -> None:
        between = await self.stores.ties.blocks_between(user_id, target_id)
        # The maker's own row decides, because it is written last: a change that it holds is in the target's row, too.
        own = next((tie for tie in between if tie.mine), None)
        # Written and ended again even if both are stored: a worker may have died after either.
        tie = fold_tie(target_id, own, changes) or own
        if tie is None:
            return
        await self.stores.ties.write_block(
            user_id, target_id, active=tie.active, since_ms=tie.since_ms, offset=tie.offset
        )
        if tie.active:
            await self.blocked_follows.end_between(
                user_id, target_id, appended_at_ms=appended_at_ms
            )
