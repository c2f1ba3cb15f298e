"""Publishing a post: append, then answer; with a key, exactly once."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from uuid import UUID

from fanfold.core.clock import Clock
from fanfold.core.errors import Transient
from fanfold.core.events import PostCreated, from_ms
from fanfold.core.ids import created_at_ms, new_post_id
from fanfold.core.ports import KeyReservation, Post, Posts, Stores, User
from fanfold.core.ports.log import EventLog
from fanfold.core.settings import Settings
from fanfold.http.leavers import refuse_left
from fanfold.http.problems import Conflict, EngineAway, Invalid, needs
from fanfold.http.write_through import best_effort
from post_service.post_answer import PostAnswer, author_of, post_answer

logger = logging.getLogger(__name__)


class KeyReused(Invalid):
    kind = "idempotency-key-reused"
    title = "The key belongs to another request"


class KeyInFlight(Conflict):
    kind = "idempotency-key-in-flight"
    title = "A request with this key is under way"


@dataclass(frozen=True, slots=True)
class Created:
    """The answer to a publication. `position` is None when the log couldn't tell."""

    answer: PostAnswer
    position: str | None


@dataclass(frozen=True, slots=True)
class CreatePost:
    """Publishes posts. Raises problems; then nothing is published, or it is published once a retry succeeds."""

    log: EventLog
    posts: Posts
    stores: Stores
    clock: Clock
    settings: Settings

    async def __call__(self, author_id: str, content: str, *, key: str | None) -> Created:
        """Publish a post, once for each key."""
        # Without the tables posts are taken all the same: readers hide those of an author who has left anyway.
        author = await best_effort(author_of(author_id, stores=self.stores)) or User(author_id)
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
        except EngineAway:
            # Whether the log has it is unknown, so the next try must publish under the same id.
            await best_effort(self.posts.release_key(author_id, key, held))
            raise
        await best_effort(self.posts.answer_key(author_id, key, held, _to_json(created)))
        return created

    async def _hold(self, author_id: str, key: str, content: str) -> KeyReservation:
        """This request's reservation of the key, or the answered one of a request before."""
        now_ms = self.clock.now_ms()
        body_hash = hashlib.sha256(content.encode()).hexdigest()
        wanted = KeyReservation(new_post_id(now_ms), body_hash, now_ms)
        held = await self.posts.reserve_key(author_id, key, wanted)
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
        if not await self.posts.take_over_key(author_id, key, held, now_ms=now_ms):
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
        with needs("the log"):
            position = await self.log.append(event)
        if position is not None:
            await best_effort(self.posts.create(post_id, author_id, content))
        answer = post_answer(Post(post_id, author_id, content), author, liked_by_me=False)
        return Created(answer, None if position is None else str(position))


def _in_flight() -> KeyInFlight:
    return KeyInFlight(
        "Wait for the request with this key, then send it again.", headers={"Retry-After": "1"}
    )


def _to_json(created: Created) -> str:
    return json.dumps(
        {"answer": created.answer.model_dump(mode="json"), "position": created.position}
    )


def _from_json(text: str) -> Created:
    kept = json.loads(text)
    return Created(PostAnswer.model_validate(kept["answer"]), kept["position"])
