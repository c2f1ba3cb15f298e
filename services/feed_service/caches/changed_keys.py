"""The keys of the shared cache whose values a change changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from fanfold.core.cache_keys import (
    authored_key,
    graph_key,
    like_count_key,
    name_key,
    post_key,
    recent_likes_key,
)
from fanfold.core.events import (
    AwakeningBegun,
    Change,
    DeliveryChanged,
    LikeChanged,
    NameChanged,
    PostAdded,
    PostChanged,
    UserGone,
    ViewerGraphChanged,
)


def changed_keys(changes: Iterable[Change]) -> frozenset[str]:
    """Every key whose value shows one of these, but for readers' lists: a delivery is waited for by no request."""
    return frozenset(key for change in changes for key in _keys(change))


def _keys(change: Change) -> tuple[str, ...]:
    keys: tuple[str, ...] = ()
    match change:
        case PostAdded(author_id):
            keys = (authored_key(author_id),)
        case PostChanged(post_id=post_id):
            keys = (post_key(post_id), like_count_key(post_id.int))
        case LikeChanged(user_id=user_id, post_id=post_id):
            keys = (like_count_key(post_id.int), recent_likes_key(user_id))
        case NameChanged(user_id):
            keys = (name_key(user_id),)
        case UserGone(user_id):
            keys = (name_key(user_id), graph_key(user_id))
        case ViewerGraphChanged(viewer_id):
            keys = (graph_key(viewer_id),)
        case AwakeningBegun() | DeliveryChanged():
            pass
        case _:
            assert_never(change)
    return keys
