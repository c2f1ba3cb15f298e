"""The demo: one ordinary author, one celebrity, and Alice who follows both."""

from __future__ import annotations

from datetime import UTC, datetime

from fanfold.core.events import Event, PostCreated, UserFollowed, UserRegistered
from fanfold.core.ids import created_at_ms, new_post_id
from fanfold.core.settings import Settings

BOB_FOLLOWERS = 1_000
NOVA_FOLLOWERS = 1_500

# The demo's celebrity has 1,500 followers instead of 100,000, and the demo doesn't wait a minute for the overlap.
PULL_THRESHOLD = 1_500
OVERLAP_S = 0.0

NAMES = {"alice": "Alice", "bob": "Bob", "nova": "Nova Star"}


def suited(settings: Settings) -> Settings:
    """The settings with the demo's threshold and overlap, where the environment chose none."""
    chosen = {"pull_threshold": PULL_THRESHOLD, "overlap_s": OVERLAP_S}
    return settings.model_copy(
        update={
            name: value for name, value in chosen.items() if name not in settings.model_fields_set
        }
    )


def graph(now_ms: int) -> list[Event]:
    """Bob gets 1,000 followers and Nova 1,500; Alice is among both."""
    at = _datetime(now_ms)
    fans = [f"fan-{number:04}" for number in range(1, NOVA_FOLLOWERS)]
    follows = [("nova", fan) for fan in ("alice", *fans[: NOVA_FOLLOWERS - 1])]
    follows += [("bob", fan) for fan in ("alice", *fans[: BOB_FOLLOWERS - 1])]
    registered: list[Event] = [
        UserRegistered(user_id=user_id, display_name=name, registered_at=at)
        for user_id, name in NAMES.items()
    ]
    return registered + [
        UserFollowed(follower_id=follower, followee_id=followee, followed_at=at)
        for followee, follower in follows
    ]


def posts(now_ms: int) -> list[PostCreated]:
    """Bob's post, which is pushed, and a second later Nova's, which is pulled."""
    return [
        _post("bob", "Hello world!", now_ms - 1_000),
        _post("nova", "New movie announcement!", now_ms),
    ]


def _post(author_id: str, content: str, at_ms: int) -> PostCreated:
    post_id = new_post_id(at_ms)
    return PostCreated(
        post_id=post_id,
        author_id=author_id,
        content=content,
        created_at=_datetime(created_at_ms(post_id)),
    )


def _datetime(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
