"""Which ids are users: the ids that have registered, or have written anything else. A first write registers its user, under the id.

Nothing is stored for that: the rows of the write show it. So it is exact, and a registration on its way is never overtaken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from fanfold.core.ports import Stores, User
from fanfold.http.problems import UserNotFound


async def known_users(users: Iterable[User], *, stores: Stores) -> set[str]:
    """Those of these users who exist and have not left. Four reads of one row for each who has neither a name nor ever published."""
    present = [user for user in users if not user.left]
    named = {user.user_id for user in present if _in_its_row(user)}
    others = [user.user_id for user in present if user.user_id not in named]
    have_written = await asyncio.gather(*(_has_written(other, stores=stores) for other in others))
    return named | {other for other, has in zip(others, have_written, strict=True) if has}


async def refuse_unknown(user: User, *, stores: Stores) -> None:
    """Answer 404 for a user who has never written anything, or has left."""
    if _in_its_row(user) and not user.left:
        return
    if not await known_users([user], stores=stores):
        raise UserNotFound("There is no user with this id.")


async def known_user(user_id: str, *, stores: Stores) -> User:
    """The user's row. Answers 404 as `refuse_unknown` does."""
    user = await stores.users.get(user_id)
    await refuse_unknown(user, stores=stores)
    return user


def _in_its_row(user: User) -> bool:
    return user.display_name is not None or user.post_offset is not None


async def _has_written(user_id: str, *, stores: Stores) -> bool:
    """Whether the user has ever followed, muted or blocked someone, or likes a post."""
    found = await asyncio.gather(
        stores.follows.has_followed(user_id),
        stores.likes.recent(user_id, limit=1),
        stores.ties.has_tied(user_id),
    )
    return any(found)
