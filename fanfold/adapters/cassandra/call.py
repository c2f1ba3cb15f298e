"""One statement in flight."""

from __future__ import annotations

import asyncio
from typing import Any

from cassandra.cluster import ResponseFuture


class Call:
    """`answer` is done once; `next_page` is then the state to ask for the next page with, or None after the last one.

    `counted`: whether it takes one of the session's places.
    """

    __slots__ = ("_answered", "answer", "counted", "next_page", "response")

    def __init__(self, answer: asyncio.Future[Any], *, counted: bool) -> None:
        self.answer = answer
        self.counted = counted
        self.response: ResponseFuture = None
        self.next_page: bytes | None = None
        self._answered = False

    def is_first_answer(self) -> bool:
        """Note an answer. Where two nodes were asked, the driver calls back for both, each on any thread."""
        if self._answered:
            return False
        self._answered = True
        # Now: the other node's answer would overwrite it.
        self.next_page = self.response._paging_state  # noqa: SLF001 - public only on results that block
        return True

    def release(self) -> None:
        """Release the memory of an answered statement: the batches and audiences of a moment. The two refer to each other."""
        self.response = None
