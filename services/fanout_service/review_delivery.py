"""Reviews of authors after a change of the threshold: push or pull is decided again, without waiting for a follow.

An author's row belongs to the worker of the author's partition of the graph topic, because that topic's offsets order it.
The worker of a command therefore only reads the row. Where the settings decide otherwise than the row, it appends the
crossing to that partition, and the crossing changes the row in its turn (`fold_follows`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fanfold.core.events import AuthorModeChanged, ReviewDelivery, from_ms
from fanfold.core.ports import Users
from fanfold.core.ports.log import EventLog
from fanout_service.entries import Entry
from fanout_service.fold_follows import Rules, decided


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReviews:
    """The handler of `ReviewDelivery`: decides as `Follows` does, by the same rules."""

    users: Users
    log: EventLog
    rules: Rules

    async def project(self, entries: Sequence[Entry]) -> None:
        """Take the reviews of a run of commands: several of one author are one.

        Appends a crossing where the settings ask for one. Repeated before the row shows it, it has the same `ce_id`.
        """
        asked = {
            e.event.author_id: e.record for e in entries if isinstance(e.event, ReviewDelivery)
        }
        for author_id, record in asked.items():
            await self._review(author_id, asked_at_ms=record.appended_at_ms)

    async def _review(self, author_id: str, *, asked_at_ms: int) -> None:
        author = await self.users.get(author_id)
        delivery = decided(author.follower_count, author.delivery, self.rules)
        # Without a follow there is nothing to decide, and no offset to name the crossing by.
        if delivery == author.delivery or author.count_offset is None:
            return
        await self.log.append(
            AuthorModeChanged(
                author_id=author.user_id,
                delivery=delivery,
                follower_count=author.follower_count,
                changed_at=from_ms(asked_at_ms),
                caused_by=author.count_offset,
                cause="review",
            )
        )
