from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.buckets import TIME_BUCKET_MS
from fanfold.core.ports import AuthoredPost, Counted, LikeCount, Post, Stores
from tests.support.clock import START_MS, ManualClock
from tests.support.examples import examples_in_one_store
from tests.support.stores import (
    a_post_id,
    all_pages,
    fresh,
    shuffled_with_repetitions,
    stores_of_each_adapter,
)

stores = stores_of_each_adapter()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_a_created_post_is_read_as_it_was_written(stores: Stores) -> None:
    post_id, author = a_post_id(), fresh("bob")
    await stores.posts.create(post_id, author, "Grüße 👋🏽\n")
    assert await stores.posts.get([post_id]) == {post_id: Post(post_id, author, "Grüße 👋🏽\n")}
    assert await stores.posts.by_author(author, before=None, since_ms=0, limit=10) == [
        AuthoredPost(post_id, None)
    ]


async def test_only_posts_that_exist_are_found_deleted_ones_too(stores: Stores) -> None:
    kept, deleted, absent = a_post_id(), a_post_id(), a_post_id()
    for post_id in (kept, deleted):
        await stores.posts.create(post_id, fresh("bob"), "hello")
    await stores.posts.delete(deleted, offset=0)
    found = await stores.posts.get([kept, deleted, absent, kept])
    assert {post_id: post.deleted for post_id, post in found.items()} == {
        kept: False,
        deleted: True,
    }
    assert found[deleted].offset == 0
    assert await stores.posts.get([]) == {}


async def test_what_ranking_needs_is_what_the_whole_posts_say(stores: Stores) -> None:
    liked, deleted, edited_only, absent = (a_post_id() for _ in range(4))
    for post_id in (liked, deleted):
        await stores.posts.create(post_id, fresh("bob"), "hello")
    await stores.likes.write_counts({liked: LikeCount(17, 3)})
    await stores.posts.delete(deleted, offset=0)
    await stores.posts.edit(edited_only, "early", edited_at_ms=START_MS, offset=1)
    assert await stores.posts.counted([liked, deleted, edited_only, absent, liked]) == {
        liked: Counted(17, deleted=False),
        deleted: Counted(0, deleted=True),
    }
    assert await stores.posts.counted([]) == {}


@examples_in_one_store
@given(
    changes=st.lists(st.sampled_from(["edit", "delete", "note"]), min_size=1, max_size=6),
    seed=st.integers(),
)
async def test_a_post_is_the_same_whatever_the_order_and_number_of_writes(
    stores: Stores, changes: list[str], seed: int
) -> None:
    post_id, author, posts = a_post_id(), fresh("bob"), stores.posts
    writes = [partial(posts.create, post_id, author, "as created")]
    expected = Post(post_id, author, "as created")
    for at, change in enumerate(changes):
        if change == "edit":
            # Later edits have smaller values, so that nothing but their position can let them win.
            text, edited_at_ms = f"edit {9 - at}", START_MS - at
            writes.append(partial(posts.edit, post_id, text, edited_at_ms=edited_at_ms, offset=at))
            expected = replace(expected, content=text, edited_at_ms=edited_at_ms)
        elif change == "delete":
            writes.append(partial(posts.delete, post_id, offset=at))
            expected = replace(expected, deleted=True)
        else:
            writes.append(partial(posts.note_offset, post_id, offset=at))
        expected = replace(expected, offset=at)
    for write in shuffled_with_repetitions(writes, seed):
        await write()
    assert await posts.get([post_id]) == {post_id: expected}


async def test_a_post_that_was_only_edited_is_not_there_yet(stores: Stores) -> None:
    post_id = a_post_id()
    await stores.posts.edit(post_id, "edited", edited_at_ms=START_MS, offset=3)
    assert await stores.posts.get([post_id]) == {}
    await stores.posts.create(post_id, fresh("bob"), "as created")
    assert (await stores.posts.get([post_id]))[post_id].content == "edited"


async def test_the_delivery_with_the_highest_offset_stays(stores: Stores) -> None:
    post_id, author = a_post_id(), fresh("bob")
    await stores.posts.create(post_id, author, "hello")
    await stores.posts.set_delivery(author, post_id, "pull", offset=7)
    await stores.posts.set_delivery(author, post_id, "push", offset=6)
    await stores.posts.create(post_id, author, "hello")
    assert await stores.posts.by_author(author, before=None, since_ms=0, limit=10) == [
        AuthoredPost(post_id, "pull")
    ]


@examples_in_one_store
@given(
    ages=st.lists(st.integers(0, 40 * TIME_BUCKET_MS), min_size=1, max_size=12),
    window=st.integers(0, 40 * TIME_BUCKET_MS),
    limit=st.integers(1, 5),
)
async def test_pages_of_an_author_s_posts_are_the_whole_list(
    stores: Stores, ages: list[int], window: int, limit: int
) -> None:
    author, since_ms = fresh("bob"), START_MS - window
    post_ids = [a_post_id(START_MS - age) for age in ages]
    for post_id in post_ids:
        await stores.posts.create(post_id, author, "hello")

    found: list[AuthoredPost] = await all_pages(
        lambda before: stores.posts.by_author(
            author, before=before, since_ms=since_ms, limit=limit
        ),
        limit=limit,
        cursor=lambda post: post.post_id,
    )

    in_window = [post_id for post_id, age in zip(post_ids, ages, strict=True) if age <= window]
    assert [post.post_id for post in found] == sorted(in_window, reverse=True)


@examples_in_one_store
@given(
    ages=st.lists(
        st.tuples(st.sampled_from(["bob", "carl"]), st.integers(0, 5 * TIME_BUCKET_MS)), max_size=12
    ),
    window=st.integers(0, 5 * TIME_BUCKET_MS),
    limit=st.integers(1, 5),
)
async def test_the_newest_posts_of_several_authors_are_the_first_pages_of_each(
    stores: Stores, ages: list[tuple[str, int]], window: int, limit: int
) -> None:
    authors = {name: fresh(name) for name in ("carl", "nobody", "bob")}
    for name, age in ages:
        await stores.posts.create(a_post_id(START_MS - age), authors[name], "hello")
    span = {"since_ms": START_MS - window, "limit": limit}

    found = await stores.posts.newest_by_authors(list(authors.values()), **span)

    assert list(found) == list(authors.values())
    assert found[authors["nobody"]] == []
    for author, page in found.items():
        assert page == await stores.posts.by_author(author, before=None, **span)


async def test_a_list_goes_to_the_author_s_first_post_past_years_of_silence(stores: Stores) -> None:
    author = fresh("bob")
    first, last = a_post_id(START_MS - 200 * TIME_BUCKET_MS), a_post_id()
    for post_id in (first, last):
        await stores.posts.create(post_id, author, "hello")
    found = await stores.posts.by_author(author, before=None, since_ms=0, limit=10)
    assert [post.post_id for post in found] == [last, first]


async def test_the_lower_bound_of_a_list_is_inclusive_and_the_upper_exclusive(
    stores: Stores,
) -> None:
    author = fresh("bob")
    post_ids = [a_post_id(START_MS + ms) for ms in range(3)]
    for post_id in post_ids:
        await stores.posts.create(post_id, author, "hello")
    found = await stores.posts.by_author(author, before=post_ids[2], since_ms=START_MS, limit=10)
    assert [post.post_id for post in found] == [post_ids[1], post_ids[0]]
