"""Publishing a post: append, then answer; with an idempotency key, exactly once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from uuid import UUID

from pydantic import TypeAdapter

from fanfold.core.clock import Clock
from fanfold.core.errors import Transient
from fanfold.core.events import PostCreated, from_ms
from fanfold.core.ids import created_at_ms, new_post_id
from fanfold.core.ports import IdempotencyKeys, KeyReservation, Post, Posts, User, Users
from fanfold.core.ports.log import EventLog
from fanfold.core.settings import Settings
from fanfold.http.best_effort import best_effort
from fanfold.http.guards import refuse_left
from fanfold.http.positions import append
from fanfold.http.post_resource import Author, PostResource
from fanfold.http.problems import Conflict, EngineAway, Invalid

_RESOURCE = TypeAdapter(PostResource)


class KeyReused(Invalid):
    kind = "idempotency-key-reused"
    title = "The key belongs to another request"


class KeyInFlight(Conflict):
    kind = "idempotency-key-in-flight"
    title = "A request with this key is in progress"


@dataclass(frozen=True, slots=True)
class Created:
    """The answer to a publication. `position` is None when the log couldn't tell it."""

    post: PostResource
    position: str | None


@dataclass(frozen=True, slots=True)
class CreatePost:
    """Publishes posts. When it raises, nothing is published, or the post may be: a retry with the same key publishes it once."""

    log: EventLog
    posts: Posts
    users: Users
    keys: IdempotencyKeys
    clock: Clock
    settings: Settings

    async def __call__(self, author_id: str, content: str, *, key: str | None) -> Created:
        """Publish a post, once for each key."""
        # Posts are accepted without the tables: reads hide the posts of an author who has left.
        author = await best_effort(self.users.get(author_id)) or User(author_id)
        refuse_left(author)
        if key is None:
            return await self._publish(new_post_id(self.clock.now_ms()), author, content)
        try:
            held = await self._hold(author_id, key, content)
        except Transient as error:
            raise EngineAway(
                "An Idempotency-Key needs the tables, which did not answer in time. Retry."
            ) from error
        if held.answer is not None:
            return _from_json(held.answer)
        try:
            created = await self._publish(held.post_id, author, content)
        except Transient:
            # The log may have the post, so the next try must publish under the same id.
            await best_effort(self.keys.release(author_id, key, held))
            raise
        await best_effort(self.keys.answer(author_id, key, held, _to_json(created)))
        return created

    async def _hold(self, author_id: str, key: str, content: str) -> KeyReservation:
        """This request's reservation of the key, or an earlier one with its answer."""
        now_ms = self.clock.now_ms()
        body_hash = hashlib.sha256(content.encode()).hexdigest()
        wanted = KeyReservation(new_post_id(now_ms), body_hash, now_ms)
        held = await self.keys.reserve(author_id, key, wanted)
        if held is None:
            return wanted
        if held.body_hash != body_hash:
            raise KeyReused.at(
                "header", "Idempotency-Key", "Use a fresh key: this one was sent with another body."
            )
        if held.answer is not None:
            return held
        if now_ms - held.reserved_at_ms <= self.settings.request_timeout_s * 1000:
            raise _in_flight()
        if not await self.keys.take_over(author_id, key, held, now_ms=now_ms):
            raise _in_flight()
        return replace(held, reserved_at_ms=now_ms)

    async def _publish(self, post_id: UUID, author: User, content: str) -> Created:
        author_id = author.user_id
        event = PostCreated(
            post_id=post_id,
            author_id=author_id,
            content=content,
            created_at=from_ms(created_at_ms(post_id)),
        )
        written = await append(self.log, event)
        if written is not None:
            await best_effort(self.posts.create(post_id, author_id, content))
        post = PostResource.of(
            Post(post_id, author_id, content), author=Author.of(author), liked_by_me=False
        )
        return Created(post, None if written is None else str(written))


def _in_flight() -> KeyInFlight:
    return KeyInFlight(
        "Wait for the request with this key, then send it again.", headers={"Retry-After": "1"}
    )


def _to_json(created: Created) -> str:
    post = _RESOURCE.dump_python(created.post, mode="json")
    return json.dumps({"answer": post, "position": created.position})


def _from_json(text: str) -> Created:
    kept = json.loads(text)
    # Answers that were stored by an earlier version lack these fields.
    added = {"like_count": 0, "liked_by_me": False, "author_avatar_url": None}
    post = {**added, **kept["answer"]}
    return Created(_RESOURCE.validate_python(post), kept["position"])
