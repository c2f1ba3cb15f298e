"""`SharedCache` in one server of Redis or Valkey."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from operator import itemgetter, methodcaller
from typing import Any, NamedTuple

from fanfold.adapters import metrics
from fanfold.adapters.redis import form, scripts
from fanfold.adapters.redis.connection import Connection
from fanfold.adapters.redis.link import Link, ServerError, cause_of, checked, one_each
from fanfold.adapters.redis.memory import memory_by_kind
from fanfold.adapters.redis.tell import STEP, Tell, close_if_useless, steps
from fanfold.core.cache_keys import feed_key
from fanfold.core.clock import Clock
from fanfold.core.errors import CacheUnavailable
from fanfold.core.ports.shared_cache import FeedList, Lease
from fanfold.core.settings import Settings

_log = logging.getLogger(__name__)

LEASE_MS = 5000
_payload: Callable[[Any], bytes] = itemgetter(slice(form.BEFORE_PAYLOAD, None))
_FOUND_OR_NOT = {bytes, type(None)}
# One portion takes some 3 ms of this process and 2 ms of the server; then other work gets its turn.
_MARKS_AT_ONCE = 2000
# Longer than any request reads on after it had to forget a key.
_PASSED_BY_S = 2.0


class _Usable(NamedTuple):
    """An open connection, and the stamp of the values that are kept and found over it."""

    link: Link
    stamp: bytes

    def a_token(self) -> bytes:
        return self.stamp + os.urandom(form.NONCE_BYTES)


class RedisSharedCache:
    """See `fanfold.core.ports.shared_cache.SharedCache`. `epoch` is None while the cache must be bypassed.

    `part`: how much of all that is cached this server holds, for the count of what became void.
    """

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        *,
        clock: Clock,
        epoch: Callable[[], bytes | None],
        of_cluster: bool = False,
        part: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self._ttl_ms = settings.shared_cache_ttl_s * 1000
        self._longest_list = 2 * settings.feed_depth
        # In a cluster the keys of one command must have one slot.
        self._of_cluster = of_cluster
        self._part = part
        self._step = 1 if of_cluster else STEP
        self._connection = connection
        self._tell = Tell(connection, longest_list=self._longest_list, of_cluster=of_cluster)
        self._clock = clock
        self._passed_by_until_s = float("-inf")
        self._epoch = epoch
        self._stamped: tuple[bytes, bytes] = (b"", b"")
        self._refusals: set[str] = set()

    def usable(self) -> bool:
        return self._usable() is not None

    async def look_up(self, keys: Sequence[str]) -> list[bytes | Lease | None]:
        usable = self._usable()
        if usable is None or not keys:
            return [None] * len(keys)
        found: list[bytes | Lease | None] = [None] * len(keys)
        try:
            all_kept = await self._kept(usable.link, keys)
            begins = form.VALUE + usable.stamp
            # Short, because it runs for every candidate of every page.
            if None not in all_kept and all(map(methodcaller("startswith", begins), all_kept)):
                found = [*map(_payload, all_kept)]
            else:
                found = [
                    kept[form.BEFORE_PAYLOAD :]
                    if kept is not None and kept.startswith(begins)
                    else None
                    for kept in all_kept
                ]
                missing = [
                    index
                    for index, kept in enumerate(all_kept)
                    if kept is None or kept[form.STAMP] != usable.stamp
                ]
                await self._lease(usable, keys, missing, found)
        except CacheUnavailable as error:
            self._failed("look_up", usable.link, error)
        metrics.count_lookups(keys, found)
        return found

    async def _kept(self, link: Link, keys: Sequence[str]) -> Sequence[bytes | None]:
        if not self._of_cluster:
            return _joined(checked(await link.ask(*(("MGET", *some) for some in steps(keys)))))
        answers = await link.ask_packed(one_each(keys, b"GET"), len(keys))
        if set(map(type, answers)) <= _FOUND_OR_NOT:
            return answers
        return checked([None if form.is_foreign(answer) else answer for answer in answers])

    async def _lease(
        self,
        usable: _Usable,
        keys: Sequence[str],
        missing: Sequence[int],
        found: list[bytes | Lease | None],
    ) -> None:
        if not missing:
            return
        token = usable.a_token()
        calls = [
            scripts.LEASE.call(step, usable.stamp, form.LEASE + token, LEASE_MS)
            for step in steps([keys[index] for index in missing], self._step)
        ]
        answers = checked(await usable.link.ask(*calls))
        for index, answer in zip(missing, _joined(answers), strict=True):
            if answer == 1:
                found[index] = Lease(keys[index], token)
            elif answer.startswith(form.VALUE):
                # Filled by another process since the first question.
                found[index] = answer[form.BEFORE_PAYLOAD :]

    async def fill(self, values: Sequence[tuple[Lease, bytes]]) -> None:
        usable = self._usable()
        if usable is None or not values:
            return
        keys = [lease.key for lease, _ in values]
        calls = [
            scripts.FILL.call(
                [lease.key for lease, _ in step],
                self._ttl_ms,
                *(form.LEASE + lease.token for lease, _ in step),
                *(form.VALUE + lease.token[form.VALUE_TOKEN] + value for lease, value in step),
            )
            for step in steps(values, self._step)
        ]
        try:
            kept = _joined(checked(await usable.link.ask(*calls)))
            metrics.count_refused_fills(
                key for key, held in zip(keys, kept, strict=True) if not held
            )
        except CacheUnavailable as error:
            self._failed("fill", usable.link, error)

    async def feed(self, user_id: str) -> FeedList | Lease | None:
        usable = self._usable()
        if usable is None:
            return None
        key = feed_key(user_id)
        found: FeedList | Lease | None = None
        try:
            (elements,) = await usable.link.ask(("LRANGE", key, 0, -1))
            # An error means a value of another type: the script replaces it, or gets the error too.
            last = elements[-1] if elements and isinstance(elements, list) else b""
            if last[form.STAMP] != usable.stamp:
                found = await self._lease_feed(usable, key)
            elif last.startswith(form.END):
                found = form.list_of(elements)
                usable.link.say(scripts.PROLONG.call([key], self._ttl_ms, last))
        except CacheUnavailable as error:
            self._failed("feed", usable.link, error)
        metrics.count_lookups([key], [found])
        return found

    async def _lease_feed(self, usable: _Usable, key: str) -> FeedList | Lease | None:
        token = usable.a_token()
        call = scripts.LEASE_FEED.call([key], usable.stamp, form.LEASE + token, LEASE_MS)
        (answer,) = checked(await usable.link.ask(call))
        if answer == 1:
            return Lease(key, token)
        return None if answer == 0 else form.list_of(answer)

    async def fill_feed(self, lease: Lease, entries: Sequence[bytes], *, end: bytes) -> None:
        last = form.LEASE + lease.token
        await self._append("fill_feed", lease.key, last, entries, form.END + lease.token + end)

    async def extend_feed(
        self, user_id: str, known: FeedList, older: Sequence[bytes], *, end: bytes
    ) -> None:
        if len(known.entries) + len(older) > self._longest_list:
            return
        # The lease's token stays in the list, so a list that was filled again since differs, even with the same end.
        last = form.END + known.stamp + known.end
        last_then = form.END + known.stamp + end
        await self._append("extend_feed", feed_key(user_id), last, older, last_then)

    async def _append(
        self, call: str, key: str, last: bytes, entries: Sequence[bytes], new_last: bytes
    ) -> None:
        if (usable := self._usable()) is None or last[form.STAMP] != usable.stamp:
            return
        command = scripts.APPEND.call([key], self._ttl_ms, last, new_last, *entries)
        try:
            (held,) = checked(await usable.link.ask(command))
            metrics.count_refused_fills([] if held else [key])
        except CacheUnavailable as error:
            self._failed(call, usable.link, error)

    async def marks(self, keys: Sequence[str]) -> list[bytes] | None:
        usable = self._usable()
        if usable is None:
            return None
        marks: list[bytes] = []
        try:
            for some in steps(keys, _MARKS_AT_ONCE):
                answers = iter(await usable.link.ask(*form.ask_marks(some), patient=True))
                marks += [form.mark(key, answers, usable.stamp) for key in some]
        except CacheUnavailable as error:
            self._failed("marks", usable.link, error)
            return None
        return marks

    async def memory(self) -> Mapping[str, float] | None:
        if (usable := self._usable()) is None:
            return None
        try:
            return await memory_by_kind(usable.link)
        except CacheUnavailable as error:
            self._failed("memory", usable.link, error)
            return None

    async def forget(self, keys: Sequence[str]) -> None:
        try:
            await self._tell.forget(keys)
        except CacheUnavailable:
            self.pass_by()
            raise

    def pass_by(self) -> None:
        """Find nothing for as long as a request reads that had to forget a key."""
        self._passed_by_until_s = self._clock.monotonic_s() + _PASSED_BY_S

    async def push(self, entries: Sequence[bytes], user_ids: Sequence[str]) -> None:
        await self.push_onto([*map(feed_key, user_ids)], entries)

    async def push_onto(self, keys: Sequence[str], entries: Sequence[bytes]) -> None:
        """The same, by the lists' keys."""
        await self._tell.push(entries, keys)

    async def ping(self) -> None:
        await self._tell.ping()

    def off_for(self, seconds: float) -> None:
        """Count time in which readers got nothing."""
        if cause := self.off_because():
            metrics.OFF.labels(cause).inc(seconds)

    def off_because(self) -> str:
        """The reason why readers get nothing now, as a label of a metric; empty if they do."""
        if self._connection.known is None:
            return "away"
        return "outage" if self._stamped[0] and self._epoch() is None else ""

    def _failed(self, call: str, link: Link, error: CacheUnavailable) -> None:
        metrics.FAILURES.labels(call, cause_of(error)).inc()
        close_if_useless(link, error)
        # The connection itself notices when it is lost.
        if isinstance(error, ServerError) and error.code not in self._refusals:
            self._refusals.add(error.code)
            _log.warning("the shared cache refuses commands: %s", error)

    def _usable(self) -> _Usable | None:
        known, epoch = self._connection.known, self._epoch()
        if known is None or epoch is None or self._clock.monotonic_s() < self._passed_by_until_s:
            return None
        told = epoch + known.identity
        if self._stamped[0] != told:
            if self._stamped[0]:
                metrics.EPOCHS.inc(self._part())
            self._refusals.clear()
            self._stamped = told, blake2b(told, digest_size=form.STAMP_BYTES).digest()
        return _Usable(known.link, self._stamped[1])


def _joined(answers: Sequence[Sequence[Any]]) -> list[Any]:
    return [answer for step in answers for answer in step] if len(answers) > 1 else [*answers[0]]
