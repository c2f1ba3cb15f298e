"""Reviews of authors after a change of the threshold: push or pull is decided again, without waiting for a follow.

An author's row belongs to the worker of the author's partition of the graph topic, because that topic's offsets order it.
The worker of a command therefore only reads the row. Where the settings decide otherwise than the row, it appends the
crossing to that partition, and the crossing then changes the row (`fold_follows`).
"""

from __future__ import annotations

from dataclasses import dataclass

from fanfold.core.events import AuthorModeChanged, ReviewDelivery, from_ms
from fanfold.core.ports import Users
from fanfold.core.ports.log import EventLog
from fanout_service.fold_follows import Rules, delivery_by
from fanout_service.recorded_event import RecordedEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReviews:
    """The handler of `ReviewDelivery`. It decides by the same rules as `Follows`."""

    users: Users
    log: EventLog
    rules: Rules

    async def project(self, command: RecordedEvent[ReviewDelivery]) -> None:
        """Append a crossing if the settings ask for one. Repeated before the row shows it, it has the same `ce_id`."""
        author = await self.users.get(command.event.author_id)
        delivery = delivery_by(self.rules, author.follower_count, author.delivery)
        # Without any follow there is nothing to decide, and no offset to name the crossing by.
        if delivery == author.delivery or author.count_offset is None:
            return
        await self.log.append(
            AuthorModeChanged(
                author_id=author.user_id,
                delivery=delivery,
                follower_count=author.follower_count,
                changed_at=from_ms(command.record.appended_at_ms),
                caused_by=author.count_offset,
                cause="review",
            )
        )
