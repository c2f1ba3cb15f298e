"""Authors with pulled posts: the set of all of them, and which of them are new in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

ANNOUNCED_KEPT_MS = 6 * 3_600_000
"""How long an announcement can be read. A reader that was away for longer reads the whole set."""

LATE_MS = 15 * 60_000
"""How long after its time an announcement may first be seen: it took a while to be written, and clocks differ; a clock that nobody watches
may be ten minutes off.
"""


class PulledAuthor(NamedTuple):
    """An author in the set. `announced`: since the author came into it, an announcement has been written."""

    until_ms: int
    announced: bool


class PulledPage(NamedTuple):
    """Some authors of the set, and where the next page begins; None after the last one."""

    author_ids: Sequence[str]
    next: tuple[int, str] | None


class PulledAuthors(Protocol):
    """The set of authors with pulled posts. An author leaves it at `until_ms`, by then all those posts have expired.

    A reader reads the set whole, page by page, and from then on only announcements. It misses no author if the writer takes these steps in
    this order, and repeats all of them after a crash: `keep`; `announce`, and again if that took too long; `mark_announced`. An author
    who came into the set before the whole read began is in it; one who came later is announced later.
    """

    async def get(self, author_id: str) -> PulledAuthor | None:
        """The author's row; None if the author is not in the set."""

    async def keep(self, author_id: str, *, until_ms: int) -> None:
        """Put the author into the set, or keep the author in it for longer. The latest time stays."""

    async def announce(self, author_id: str, *, at_ms: int) -> None:
        """Tell readers that the author is new in the set. It counts as told at `at_ms`, the writer's time now."""

    async def mark_announced(self, author_id: str, *, until_ms: int) -> None:
        """Note that the author has been announced. The mark ends at `until_ms`, which must be what was last kept."""

    async def announced(self, *, since_ms: int) -> list[str]:
        """The authors announced since then, in no order, some perhaps twice. Announcements older than `ANNOUNCED_KEPT_MS` are gone."""

    async def page(self, after: tuple[int, str] | None, *, limit: int) -> PulledPage:
        """A page of the set: of as many authors, or fewer. `after`: None for the first page, then `next` of the page before."""
