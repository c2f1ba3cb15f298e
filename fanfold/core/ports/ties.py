"""Mutes and blocks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Tie:
    """One user's row of a mute or a block. `offset` is the offset of the last event applied.

    `mine` is false if the other user made it, which only a block can be.
    """

    other_id: str
    active: bool
    since_ms: int
    offset: int
    mine: bool = True


class Ties(Protocol):
    """Mutes and blocks of all users. The fan-out worker alone writes them."""

    async def write_mute(
        self, user_id: str, target_id: str, *, active: bool, since_ms: int, offset: int
    ) -> None:
        """Write one mute. With `active=False` it has ended."""

    async def mutes(self, user_id: str) -> dict[str, Tie]:
        """A user's mutes by target, active or not, in order of target id."""

    async def has_tied(self, user_id: str) -> bool:
        """Whether a user has ever muted or blocked someone; two rows are read."""

    async def mute_of(self, user_id: str, target_id: str) -> Tie | None:
        """A user's mute of one target, active or not; None if there never was one."""

    async def mutes_of(self, user_id: str, target_ids: Collection[str]) -> dict[str, Tie]:
        """A user's mutes of these targets, active or not. Users who were never muted are absent."""

    async def write_block(
        self, user_id: str, target_id: str, *, active: bool, since_ms: int, offset: int
    ) -> None:
        """Write one block: the target's row first, then the user's. With `active=False` it has ended."""

    async def blocks_made(self, user_id: str) -> dict[str, Tie]:
        """The blocks that a user has made, by target, active or not, in order of target id."""

    async def blocks_with(self, user_id: str, other_ids: Collection[str]) -> list[Tie]:
        """The blocks between a user and each of these others, made by either, active or not, in no order.

        It costs as much as there are others named, however many users have blocked this one.
        """

    async def blocks_between(self, user_id: str, other_id: str) -> list[Tie]:
        """The blocks between two users, active or not: at most two, the suffered one first."""
