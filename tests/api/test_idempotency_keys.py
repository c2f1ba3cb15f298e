"""`Idempotency-Key`: the same key and body give one post and one answer, whatever happens in between."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import httpx2
import pytest

from fanfold.core.events import PostCreated
from fanfold.core.ports import KeyReservation
from tests.support.app import WriteSide

TIMEOUT_S = 5


async def keyed(
    api: WriteSide, content: str = "once", *, key: str = "k-1", actor: str = "alice"
) -> httpx2.Response:
    return await api(
        "POST",
        "/posts",
        actor=actor,
        json={"content": content},
        headers={"Idempotency-Key": key},
    )


async def posts_in_log(api: WriteSide) -> list[UUID]:
    return [event.post_id for event in await api.events() if isinstance(event, PostCreated)]


async def test_the_same_key_and_body_give_the_same_answer_and_one_post(api: WriteSide) -> None:
    first = await keyed(api)
    again = await keyed(api)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    for header in ("location", "fanfold-position"):
        assert again.headers[header] == first.headers[header]
    assert len(await api.events()) == 1


async def test_the_first_answer_is_given_even_after_the_post_was_edited(api: WriteSide) -> None:
    first = await keyed(api)
    await api("PATCH", first.headers["location"], json={"content": "changed"})
    await api.project()
    assert (await keyed(api)).json() == first.json()


async def test_a_key_with_another_body_is_refused(api: WriteSide) -> None:
    await keyed(api, "once")
    other = await keyed(api, "twice")
    assert other.status_code == 422
    assert other.json()["type"] == "urn:fanfold:problem:idempotency-key-reused"
    assert other.json()["errors"][0]["pointer"] == "Idempotency-Key"
    assert len(await api.events()) == 1


async def test_keys_belong_to_their_author(api: WriteSide) -> None:
    mine, yours = await keyed(api), await keyed(api, actor="bob")
    assert mine.json()["post_id"] != yours.json()["post_id"]


async def test_a_key_is_forgotten_after_a_day(api: WriteSide) -> None:
    first = await keyed(api)
    api.clock.advance(24 * 3600 + 1)
    assert (await keyed(api)).json()["post_id"] != first.json()["post_id"]


async def test_of_simultaneous_requests_one_publishes_and_the_others_are_409(
    api: WriteSide,
) -> None:
    answers = await asyncio.gather(*(keyed(api) for _ in range(8)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 201
    assert set(statuses) <= {201, 409}
    assert len(await posts_in_log(api)) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.headers["retry-after"] == "1"


async def abandoned(api: WriteSide) -> UUID:
    """Leave key k-1 as a server does that dies between reserving and appending; the reserved post id."""
    api.log.away = api.tables.away_after_reserving = True
    await keyed(api)
    api.log.away = api.tables.away = api.tables.away_after_reserving = False
    held = await api.pipeline.stores.idempotency_keys.reserve(
        "alice", "k-1", KeyReservation(UUID(int=0), "", 0)
    )
    assert held is not None
    assert held.answer is None
    return held.post_id


async def test_a_request_in_flight_keeps_its_key_until_the_request_timeout_has_passed(
    api: WriteSide,
) -> None:
    post_id = await abandoned(api)
    assert (await keyed(api)).status_code == 409
    api.clock.advance(TIMEOUT_S + 0.001)
    taken_over = await keyed(api)
    assert taken_over.status_code == 201
    assert taken_over.json()["post_id"] == str(post_id)
    assert (await keyed(api)).json() == taken_over.json()


async def test_of_two_requests_that_take_over_a_key_one_succeeds(api: WriteSide) -> None:
    post_id = await abandoned(api)
    api.clock.advance(TIMEOUT_S + 0.001)
    keys: Any = api.tables.stores.idempotency_keys
    reserve, both_have_looked = keys.reserve, asyncio.Barrier(2)

    async def reserve_and_wait(*args: Any) -> KeyReservation | None:
        held: KeyReservation | None = await reserve(*args)
        await both_have_looked.wait()
        return held

    keys.reserve = reserve_and_wait
    answers = await asyncio.gather(keyed(api), keyed(api))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert await posts_in_log(api) == [post_id]


async def test_after_the_log_was_away_the_next_try_publishes_at_once_and_once(
    api: WriteSide,
) -> None:
    api.log.away = True
    refused = await keyed(api)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "the log" in refused.json()["detail"]
    api.log.away = False
    assert (await keyed(api)).status_code == 201
    assert len(await posts_in_log(api)) == 1


async def test_a_lost_acknowledgement_leads_to_one_post_under_one_id(api: WriteSide) -> None:
    api.log.acknowledges = False
    assert (await keyed(api)).status_code == 503
    api.log.acknowledges = True
    retried = await keyed(api)
    assert retried.status_code == 201
    # Two records, one event: the worker writes the same rows twice.
    assert await posts_in_log(api) == [UUID(retried.json()["post_id"])] * 2


async def test_a_keyed_request_needs_the_tables_and_says_so(api: WriteSide) -> None:
    api.tables.away = True
    refused = await keyed(api)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "Idempotency-Key needs the tables" in refused.json()["detail"]
    assert await api.events() == []


async def test_a_post_stands_though_its_answer_could_not_be_kept(api: WriteSide) -> None:
    append = api.log.append

    async def tables_vanish_after_the_append(event: PostCreated) -> object:
        position = await append(event)
        api.tables.away = True
        return position

    api.log.append = tables_vanish_after_the_append  # type: ignore[method-assign, assignment]
    first = await keyed(api)
    assert first.status_code == 201
    api.log.append = append  # type: ignore[method-assign]
    api.tables.away = False
    assert (await keyed(api)).status_code == 409
    api.clock.advance(TIMEOUT_S + 0.001)
    assert (await keyed(api)).json() == first.json()


async def test_a_refused_request_does_not_use_up_its_key(api: WriteSide) -> None:
    assert (await keyed(api, " ")).status_code == 422
    api.log.skew_ms = 60_000
    assert (await keyed(api, "skewed")).status_code == 503
    api.log.skew_ms = 0
    assert (await keyed(api, "at last")).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "two words", "ü", "a" * 256, "\t"])
async def test_a_key_is_1_to_255_visible_ascii_characters(api: WriteSide, key: str) -> None:
    refused = await keyed(api, key=key.encode("latin-1"))  # type: ignore[arg-type]
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["where"] == "header"
    assert await api.events() == []


async def test_the_longest_key_is_honoured(api: WriteSide) -> None:
    key = "".join(chr(0x21 + n % 94) for n in range(255))
    first, again = await keyed(api, key=key), await keyed(api, key=key)
    assert (first.status_code, again.json()) == (201, first.json())
