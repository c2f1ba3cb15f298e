"""The issuer's keys, fetched in the background and kept through an outage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from fanfold.core.clock import Clock
from fanfold.http.identity.https_get import FetchFailed
from fanfold.http.identity.key_set import UnusableKeySet, VerificationKey, parse_key_set
from fanfold.http.metrics import ISSUER_FETCHES, ISSUER_KEYS_AGE
from fanfold.http.problems import NotNow

logger = logging.getLogger(__name__)

COOLDOWN_S = 30.0
"""Between two fetches: an unknown `kid` may be a new key, but a flood of them fetches nothing."""

MOST_WAITING = 8
"""Requests that wait for a fetch that is under way. They hold slots of the admission; the others are answered at once."""

_FIRST_RETRY_S = 1.0


class KeysUnknown(NotNow):
    kind = "keys-unknown"
    title = "Issuer's keys unknown"


class FixedKeys:
    """Keys that never change: those of the development issuer."""

    generation = 0

    def __init__(self, keys: Mapping[str, VerificationKey]) -> None:
        self._keys = keys

    def refuse_outdated(self) -> None:
        """They never are."""

    async def find(self, key_id: str) -> VerificationKey | None:
        """The key of that `kid`."""
        return self._keys.get(key_id)


class RemoteKeys:
    """Keys of a JWK set that `fetch` returns; see `fanfold.http.identity.bearer.Keys`.

    `keep_fetching` fetches them every `refresh_s`. A `kid` that is not among them may be new, so it has them fetched early, at
    most once in `COOLDOWN_S`. While fetches fail, the keys stay in use until they are `max_age_s` old.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        clock: Clock,
        refresh_s: float,
        max_age_s: float,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._refresh_s = refresh_s
        self._max_age_s = max_age_s
        self._keys: Mapping[str, VerificationKey] = {}
        self._document = b""
        self._fetched_s: float | None = None
        self._tried_s: float | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._waiting = 0
        self.generation = 0
        began_s = clock.monotonic_s()
        ISSUER_KEYS_AGE.set_function(
            lambda: clock.monotonic_s() - (began_s if self._fetched_s is None else self._fetched_s)
        )

    def refuse_outdated(self) -> None:
        """Answer 503 before the first fetch, and after an outage of `max_age_s`."""
        if self._fetched_s is None or self._clock.monotonic_s() - self._fetched_s > self._max_age_s:
            raise KeysUnknown("The keys of the token's issuer can't be had now. Retry.")

    async def find(self, key_id: str) -> VerificationKey | None:
        """The key of that `kid`; waits for one fetch if the key may be new."""
        if (key := self._keys.get(key_id)) is not None:
            return key
        fetching = self._fetch_early()
        if fetching is None or self._waiting >= MOST_WAITING:
            return None
        self._waiting += 1
        try:
            # The fetch goes on when this request's client hangs up.
            await asyncio.shield(fetching)
        finally:
            self._waiting -= 1
        return self._keys.get(key_id)

    async def keep_fetching(self) -> None:
        """Fetch now and then every `refresh_s`, for ever; after a failure sooner."""
        retry_s = _FIRST_RETRY_S
        while True:
            await asyncio.shield(self._begin())
            if self._fetched_s == self._tried_s:
                retry_s = _FIRST_RETRY_S
                await self._clock.sleep(self._refresh_s)
            else:
                await self._clock.sleep(min(retry_s, self._refresh_s))
                retry_s *= 2

    def _fetch_early(self) -> asyncio.Task[None] | None:
        if self._fetching is not None:
            return self._fetching
        if self._tried_s is not None and self._clock.monotonic_s() - self._tried_s < COOLDOWN_S:
            return None
        return self._begin()

    def _begin(self) -> asyncio.Task[None]:
        """The fetch that is under way, or a new one."""
        if self._fetching is None:
            self._tried_s = self._clock.monotonic_s()
            self._fetching = asyncio.create_task(self._fetch_now(), name="issuer's keys")
            self._fetching.add_done_callback(self._ended)
        return self._fetching

    def _ended(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch_now(self) -> None:
        try:
            document = await self._fetch()
            keys = parse_key_set(document)
        except (FetchFailed, UnusableKeySet) as error:
            ISSUER_FETCHES.labels("failed").inc()
            logger.warning("the issuer's keys can't be fetched", extra={"reason": str(error)})
            return
        ISSUER_FETCHES.labels("ok").inc()
        self._fetched_s = self._tried_s
        if document != self._document:
            self._keys, self._document = keys, document
            self.generation += 1
            logger.info("the issuer's keys are known", extra={"keys": len(keys)})
