"""Blocks between two users: what every service refuses across one, in the same words."""

from __future__ import annotations

from collections.abc import Iterable

from fanfold.core.ports import Tie, Ties
from fanfold.http.problems import Forbidden


class Blocked(Forbidden):
    kind = "blocked"
    title = "Blocked"


async def blocked_between(user_id: str, other_id: str, *, ties: Ties) -> bool:
    """Whether either blocks the other now."""
    return _active(await ties.blocks_between(user_id, other_id))


async def refuse_blocked(user_id: str, other_id: str, *, ties: Ties) -> None:
    """Answer 403 across a block."""
    refuse_active(await ties.blocks_between(user_id, other_id))


def refuse_active(blocks: Iterable[Tie]) -> None:
    """Answer 403 if one of the blocks between two users is active. The answer doesn't say which of them made it."""
    if _active(blocks):
        raise Blocked("There is a block between you and this user.")


def _active(blocks: Iterable[Tie]) -> bool:
    return any(block.active for block in blocks)
