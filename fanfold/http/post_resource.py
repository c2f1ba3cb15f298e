"""A post as the API shows it: one resource, on its own and in every list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Self
from uuid import UUID

from pydantic import Field

from fanfold.core.clock import rfc3339
from fanfold.core.ports import Post, User
from fanfold.http.openapi import Rfc3339


class Author(NamedTuple):
    """What a post shows of its author."""

    name: str
    avatar_url: str | None = None

    @classmethod
    def of(cls, user: User) -> Self:
        """The author with this row."""
        return cls(user.name, user.avatar_url)


# A dataclass, because orjson writes it as it is: validating our own answer would cost more than reading a feed. A frozen one takes
# nearly three times as long to make, and a page has ten.
@dataclass(slots=True, kw_only=True)
class PostResource:
    """A post, with its author's name and its likes."""

    post_id: UUID
    author_id: str
    author: Annotated[
        str, Field(description="The author's display name now; the id if there is none.")
    ]
    author_avatar_url: Annotated[
        str | None, Field(description="The author's avatar now; null if there is none.")
    ]
    content: str
    created_at: Rfc3339
    edited_at: Annotated[
        Rfc3339 | None, Field(description="When the text last changed; null if it never did.")
    ]
    like_count: Annotated[
        int, Field(ge=0, description="How many users like it. In lists at most about a second old.")
    ]
    liked_by_me: Annotated[bool, Field(description="Whether the acting user likes it.")]

    @classmethod
    def of(cls, post: Post, *, author: Author, liked_by_me: bool, **own_fields: Any) -> Self:
        """The resource of a stored post. `own_fields` are those that a subclass adds."""
        edited_at_ms = post.edited_at_ms
        return cls(
            post_id=post.post_id,
            author_id=post.author_id,
            author=author.name,
            author_avatar_url=author.avatar_url,
            content=post.content,
            created_at=rfc3339(post.created_at_ms),
            edited_at=None if edited_at_ms is None else rfc3339(edited_at_ms),
            like_count=post.like_count,
            liked_by_me=liked_by_me,
            **own_fields,
        )
