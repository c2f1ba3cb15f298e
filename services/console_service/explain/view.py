"""The values that a feed is read from: the tables, or what the shared cache holds of them.

And the sources that show a post by these values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from console_service.explain.facts import Facts

SourceOfPost = Literal["timeline", "own", "not-materialised", "asleep", "pulled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The values by which a feed is read. `visible`: of the authors concerned."""

    left: bool
    asleep: bool
    visible: frozenset[str]
    unmaterialised: frozenset[str]
    pointed_at: str | None
    authored: bool
    pulled: bool
    author_id: str | None
    deleted: bool
    author_left: bool


def by_tables(facts: Facts) -> View:
    """The tables alone."""
    relations, viewer, post = facts.relations, facts.viewer, facts.post
    relation = facts.relation
    return View(
        left=viewer.left,
        asleep=viewer.asleep,
        visible=frozenset(
            [viewer.user_id, *(name for name, other in relations.items() if other.sees)]
        ),
        unmaterialised=frozenset(
            name
            for name, other in relations.items()
            if other.follow and not other.follow.materialised
        ),
        pointed_at=facts.pointed_at,
        authored=facts.authored is not None,
        pulled=facts.pulled and facts.pulled_author is not None,
        author_id=None if post is None else post.author_id,
        deleted=post is None or post.deleted,
        author_left=viewer.left if facts.is_own else relation is not None and relation.author.left,
    )


def as_served(facts: Facts) -> View:
    """The cache where it holds something, else the tables."""
    tables, cached = by_tables(facts), facts.cached
    graph = cached.graph
    return View(
        left=tables.left if graph is None else graph.left,
        asleep=tables.asleep if graph is None else graph.asleep,
        visible=tables.visible if graph is None else graph.visible,
        unmaterialised=tables.unmaterialised if graph is None else frozenset(graph.unmaterialised),
        pointed_at=tables.pointed_at if cached.listed is None else cached.listed.author_id,
        authored=_or(cached.authored, tables.authored),
        # Which authors are pulled is in no shared cache.
        pulled=_or(cached.pulled, facts.pulled) and facts.pulled_author is not None,
        author_id=tables.author_id if cached.author_id is None else cached.author_id,
        deleted=_or(cached.deleted, tables.deleted),
        author_left=_or(cached.left, tables.author_left),
    )


def _or(cached: bool | None, held: bool) -> bool:
    return held if cached is None else cached


def sources(view: View, viewer: str) -> tuple[SourceOfPost, ...]:
    """The sources that show the post, if nothing hides it: the first of them is the one that the feed names.

    A pointer in the timeline that names another author hides the post: the merge takes the timeline's, and then finds no name for it.
    (It finds one if the feed shows other posts of the author. Then the post is shown after all.)
    """
    author = view.author_id
    if view.pointed_at is not None and view.pointed_at != author:
        return ()
    seen = author is not None and author in view.visible
    shows: Mapping[SourceOfPost, bool] = {
        "timeline": view.pointed_at is not None and seen,
        "own": view.authored and author == viewer,
        "asleep": view.authored and seen and author != viewer and view.asleep,
        "not-materialised": view.authored
        and seen
        and author != viewer
        and not view.asleep
        and author in view.unmaterialised,
        "pulled": view.pulled and seen,
    }
    return tuple(source for source, shown in shows.items() if shown)


def is_served(view: View, facts: Facts) -> bool:
    """Whether the feed shows the post, by this view."""
    hidden = view.left or view.deleted or view.author_left
    return (
        not hidden
        and facts.is_retained
        and facts.newer < facts.depth
        and bool(sources(view, facts.viewer.user_id))
    )
