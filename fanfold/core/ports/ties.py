"""Mutes and blocks."""

from __future__ import annotations

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
    """Mutes and blocks. Only the fan-out worker writes them."""

    async def write_mute(
        self, user_id: str, target_id: str, *, active: bool, since_ms: int, offset: int
    ) -> None:
        """Write one mute. With `active=False` it has ended."""

    async def mutes(self, user_id: str) -> dict[str, Tie]:
        """A user's mutes by target, active or not, in order of target id."""

    async def mute_of(self, user_id: str, target_id: str) -> Tie | None:
        """A user's mute of one target, active or not; None if there never was one."""

    async def write_block(
        self, user_id: str, target_id: str, *, active: bool, since_ms: int, offset: int
    ) -> None:
        """Write one block: the target's row first, then the user's. With `active=False` it has ended."""

    async def blocks(self, user_id: str) -> list[Tie]:
        """The blocks that a user made and those made against the user, active or not, in order of the other user's id."""

    async def blocks_between(self, user_id: str, other_id: str) -> list[Tie]:
        """The blocks between two users: at most two."""
