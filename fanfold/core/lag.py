"""How far a consumer group has come."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class PartitionLag:
    """One partition of a topic, as a group sees it.

    `committed` is the offset of the next record that the group would be given, `end` that of the next record to be appended.
    """

    topic: str
    partition: int
    committed: int
    end: int

    @property
    def records(self) -> int:
        """The number of records that the group has not acknowledged."""
        return max(0, self.end - self.committed)
