"""The load of `tests/faults/cluster` counts what goes wrong: each kind of failure is seen, and nothing else."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import pytest

from tests.support.cluster_load import ClusterLoad
from tests.support.cluster_verdict import Verdict, verdict_of
from tests.support.oracle import Oracle

PROBLEM = {"content-type": "application/problem+json"}
IDS = [str(uuid.UUID(int=number)) for number in range(9)]


def a_load(answer: Callable[[httpx2.Request], httpx2.Response] | None = None) -> ClusterLoad:
    transport = httpx2.MockTransport(answer or (lambda _request: httpx2.Response(200)))
    client = httpx2.AsyncClient(transport=transport, base_url="http://gateway")
    return ClusterLoad(client, "x")


@pytest.mark.parametrize(
    ("status", "headers", "silent"),
    [
        (503, {**PROBLEM, "retry-after": "1"}, False),
        (504, {**PROBLEM, "retry-after": "1"}, False),
        (429, PROBLEM, False),
        (503, PROBLEM, True),
        (503, {"content-type": "text/plain", "retry-after": "1"}, True),
        (500, PROBLEM, True),
        (403, PROBLEM, True),
    ],
)
async def test_a_failure_is_silent_unless_it_says_why_and_when_to_ask_again(
    status: int, headers: Mapping[str, str], silent: bool
) -> None:
    load = a_load(lambda _request: httpx2.Response(status, headers=headers))
    await load.read()
    assert bool(load.asked.silent) is silent
    assert load.asked.unanswered == 0


@pytest.mark.parametrize(
    ("body", "named"),
    [(b'{"type": "urn:fanfold:problem:overloaded"}', "overloaded"), (b"gone", "undescribed")],
)
async def test_the_reason_of_a_refusal_is_counted(body: bytes, named: str) -> None:
    load = a_load(lambda _request: httpx2.Response(503, content=body))
    await load.read()
    assert load.asked.reasons == {f"read 503 {named}": 1}


async def test_a_request_without_an_answer_is_counted() -> None:
    def refused(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    load = a_load(refused)
    await load.read()
    assert (load.asked.unanswered, load.asked.silent) == (1, [])


def a_page(*ids: str, complete: bool = True, author: str = "x-author-0") -> httpx2.Response:
    items = [{"post_id": post_id, "author_id": author, "content": "x 0"} for post_id in ids]
    return httpx2.Response(200, json={"items": items, "complete": complete})


@pytest.mark.parametrize(
    ("page", "wrong"),
    [
        (a_page(IDS[1]), False),
        (a_page(complete=False), False),
        (a_page(), True),
        (a_page(IDS[1], IDS[1]), True),
        (a_page(IDS[1], author="a stranger"), True),
    ],
)
async def test_a_page_that_says_it_is_whole_lacks_nothing_and_shows_nothing_twice_or_strange(
    page: httpx2.Response, wrong: bool
) -> None:
    load = a_load(lambda _request: page)
    load.intended["x 0"] = load.star
    await load._look("x-reader-0", "posts.v1/0/1", including=IDS[1])
    assert bool(load.wrong_pages) is wrong


async def test_a_deleted_post_on_a_whole_page_is_wrong() -> None:
    load = a_load(lambda _request: a_page(IDS[1]))
    load.intended["x 0"] = load.star
    await load._look("x-reader-0", "posts.v1/0/2", without=IDS[1])
    assert len(load.wrong_pages) == 1


def an_oracle(load: ClusterLoad, *posts: tuple[str, str]) -> Oracle:
    oracle = Oracle()
    for post_id, content in posts:
        oracle.posts[post_id] = {"content": content, "deleted": False}
        oracle.by_author[load.star].append(post_id)
    return oracle


def numbers(verdict: Verdict) -> tuple[int, int, int, int]:
    return verdict.lost, verdict.duplicate, verdict.ghost, verdict.lost_writes


def test_lost_duplicate_and_ghost_posts_are_counted() -> None:
    load = a_load()
    load.acknowledged |= {"x 0": IDS[0], "x 1": IDS[1], "x 2": IDS[2]}
    right = an_oracle(load, *((post_id, content) for content, post_id in load.acknowledged.items()))
    assert numbers(verdict_of(load, right, [])) == (0, 0, 0, 0)
    # The first is lost, the second is there twice, the last was refused and is there.
    wrong = an_oracle(load, (IDS[1], "x 1"), (IDS[3], "x 1"), (IDS[2], "x 2"), (IDS[4], "x 4"))
    assert numbers(verdict_of(load, wrong, [])) == (1, 1, 2, 0)


def test_writes_that_the_log_does_not_hold_are_counted() -> None:
    load = a_load()
    load.acknowledged["x 0"] = IDS[0]
    oracle = an_oracle(load, (IDS[0], "x 0"))
    load.deleted.add(IDS[0])
    load.likes["x-reader-0", IDS[0]] = True
    load.follows["x-reader-0", load.star] = True
    assert verdict_of(load, oracle, []).lost_writes == 3
    oracle.posts[IDS[0]]["deleted"] = True
    oracle.likers[IDS[0]].add("x-reader-0")
    oracle.following["x-reader-0"].add(load.star)
    assert verdict_of(load, oracle, []).lost_writes == 0


@pytest.mark.parametrize(
    "gone_wrong",
    [
        *({name: 1} for name in ("lost", "duplicate", "ghost", "lost_writes", "unanswered")),
        *({name: ["x"]} for name in ("wrong", "wrong_pages", "silent")),
        {"posts": 3},
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_verdict_with_anything_wrong_fails(gone_wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {
        **dict.fromkeys(("lost", "duplicate", "ghost", "lost_writes", "unanswered"), 0),
        "posts": 21,
        "writes": 0,
        "wrong": [],
        "wrong_pages": [],
        "silent": [],
    }
    Verdict(**right).assert_nothing_went_wrong(gateway_failed=False)
    with pytest.raises(AssertionError):
        Verdict(**right | gone_wrong).assert_nothing_went_wrong(gateway_failed=False)
