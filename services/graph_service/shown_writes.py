"""Which writes the reads of this service show: of posts, a profile shows how many there are."""

from __future__ import annotations

from fanfold.core.events import Change, LikeChanged, PostAdded, PostChanged
from fanfold.http.after_writes import AfterWrites


class ShownWrites(AfterWrites):
    """Waits until profiles and lists show events."""

    __slots__ = ()

    async def shows(self, viewer: str, change: Change, offset: int) -> bool:
        match change:
            case PostAdded(author_id) | PostChanged(author_id, deleted=True):
                counted = (await self.stores.users.get(author_id)).post_offset
                return counted is not None and counted >= offset
            case PostChanged() | LikeChanged():
                return True
        return await super().shows(viewer, change, offset)
