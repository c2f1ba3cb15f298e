"""The merge is the sorted union without duplicates, whatever the sources, their pages and the takes."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.ids import first_post_id_at
from feed_service.candidates import Candidate, Page
from feed_service.query.merge import Merge, Source
from tests.support.examples import examples

lists_of_posts = st.lists(st.integers(0, 60), unique=True).map(
    lambda moments: [
        Candidate(-first_post_id_at(ms).int, f"author-{ms % 5}", "push")
        for ms in sorted(moments, reverse=True)
    ]
)


@st.composite
def sources(draw: st.DrawFn) -> tuple[list[Candidate], Source]:
    """A newest-first list; some of it loaded, the rest in pages of any size, empty ones too."""
    posts = draw(lists_of_posts)
    loaded = draw(st.integers(0, len(posts)))
    sizes = draw(st.lists(st.integers(0, 4), max_size=20))

    async def fetch(before: UUID | None) -> Page:
        rest = [post for post in posts if before is None or post.post_id < before]
        size = sizes.pop() if sizes else len(rest)
        # `more` may be true although nothing follows: the last page was full.
        return Page(rest[:size], more=size < len(rest) or (bool(rest) and size == len(rest) % 3))

    before = posts[loaded - 1].post_id if loaded else None
    return posts, Source(posts[:loaded], fetch, before)


@examples()
@given(st.lists(sources(), max_size=6), st.lists(st.integers(1, 9), min_size=1), st.integers(0, 5))
async def test_the_merge_is_the_sorted_union_without_duplicates(
    given_sources: list[tuple[list[Candidate], Source]], takes: list[int], hidden: int
) -> None:
    def keep(post: Candidate) -> bool:
        return post.author_id != f"author-{hidden}"

    merge = Merge([source for _, source in given_sources])
    merged: list[Candidate] = []
    turn = 0
    while True:
        count = takes[turn % len(takes)]
        taken = await merge.take(count, keep)
        merged += taken
        turn += 1
        if len(taken) < count:
            break
    union = {post for posts, _ in given_sources for post in posts if keep(post)}
    assert merged == sorted(union, key=lambda post: post.post_id, reverse=True)
