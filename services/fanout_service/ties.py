"""Mutes and blocks of one user: of the events about one target the last decides, whatever comes again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fanfold.core.events import UserBlocked, UserMuted, UserUnblocked, UserUnmuted, to_ms
from fanfold.core.ports import Stores, Tie
from fanout_service.entries import Entry


class TieChange(NamedTuple):
    """A mute or a block made (`active`) or ended, at a log offset."""

    active: bool
    happened_at_ms: int
    offset: int


def fold_tie(target_id: str, stored: Tie | None, changes: Sequence[TieChange]) -> Tie | None:
    """What the changes, in the order of their offsets, make of what is stored; None if it stays as it is.

    The row holds all up to its position: a change at or below that has been applied. One that is made again while it
    lasts keeps its `since_ms`.
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

    Both sides of a block come from its maker's partition alone: each of two users who block each other has rows of
    their own.
    """

    stores: Stores

    async def project(self, entries: Sequence[Entry]) -> None:
        """Project those of a run of events that are about ties. The run has one user as its key."""
        mutes: defaultdict[str, list[TieChange]] = defaultdict(list)
        blocks: defaultdict[str, list[TieChange]] = defaultdict(list)
        for record, event in entries:
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
                    pass
        user_id = entries[0].event.key
        for target_id, changes in mutes.items():
            await self._mute(user_id, target_id, changes)
        for target_id, changes in blocks.items():
            await self._block(user_id, target_id, changes)

    async def _mute(self, user_id: str, target_id: str, changes: Sequence[TieChange]) -> None:
        tie = fold_tie(target_id, await self.stores.ties.mute_of(user_id, target_id), changes)
        if tie is not None:
            await self.stores.ties.write_mute(
                user_id, target_id, active=tie.active, since_ms=tie.since_ms, offset=tie.offset
            )

    async def _block(self, user_id: str, target_id: str, changes: Sequence[TieChange]) -> None:
        between = await self.stores.ties.blocks_between(user_id, target_id)
        # Judged by the maker's own row, which is written last: if it holds a change, so does the target's.
        own = next((tie for tie in between if tie.mine), None)
        tie = fold_tie(target_id, own, changes)
        if tie is not None:
            await self.stores.ties.write_block(
                user_id, target_id, active=tie.active, since_ms=tie.since_ms, offset=tie.offset
            )
