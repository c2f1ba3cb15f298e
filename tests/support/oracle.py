"""The oracle: what every feed must hold, folded from the log in plain lines that share no code with Fanfold.

feed(v) = the 1000 newest posts p with p.author in following(v) + {v}, p not deleted, p.author not gone, p.author
neither muted by v nor blocked in either direction, and p inside the retention window; newest first.

Likes of posts, authors' deliveries and users' sleep are folded too. Sleep changes no feed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Shown(NamedTuple):
    """What an item of a feed must say."""

    post_id: str
    author: str
    content: str
    edited: bool
    like_count: int
    liked_by_me: bool


class Crossing(NamedTuple):
    """An author who crossed the threshold, at an offset of the author's partition."""

    author_id: str
    delivery: str
    follower_count: int
    caused_by: int


@dataclass
class Oracle:
    pull_threshold: int = 100_000
    pull_hysteresis: float = 0.8
    posts: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_author: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    following: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    names: dict[str, str] = field(default_factory=dict)
    registered_at: dict[str, str] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    muted: set[tuple[str, str]] = field(default_factory=set)
    blocked: set[tuple[str, str]] = field(default_factory=set)
    likers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    asleep: set[str] = field(default_factory=set)
    awakenings: list[str] = field(default_factory=list)
    sides: dict[str, str] = field(default_factory=lambda: defaultdict(lambda: "push"))
    crossings: list[Crossing] = field(default_factory=list)
    told: list[Crossing] = field(default_factory=list)
    """The crossings that the log tells of."""
    _followers: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def fold(self, records: Iterable[tuple[str, int, int, str, bytes]]) -> Oracle:
        """Records are (topic, partition, offset, ce_type, value); the log's order is per partition."""
        for _, _, offset, kind, value in sorted(records, key=lambda record: record[:3]):
            self._apply(kind.split(".")[1], json.loads(value), offset)
        return self

    def _apply(self, kind: str, event: dict[str, Any], offset: int) -> None:
        match kind:
            case "PostCreated":
                if event["post_id"] not in self.posts:
                    self.posts[event["post_id"]] = {**event, "deleted": False, "edited": False}
                    self.by_author[event["author_id"]].append(event["post_id"])
            case "PostEdited":
                post = self.posts[event["post_id"]]
                post["edited"] = post["edited"] or event["content"] != post["content"]
                post["content"] = event["content"]
            case "PostDeleted":
                self.posts[event["post_id"]]["deleted"] = True
            case "UserFollowed":
                if event["followee_id"] not in self.following[event["follower_id"]]:
                    self.following[event["follower_id"]].add(event["followee_id"])
                    self._count(event["followee_id"], 1, offset)
            case "UserUnfollowed":
                if event["followee_id"] in self.following[event["follower_id"]]:
                    self.following[event["follower_id"]].remove(event["followee_id"])
                    self._count(event["followee_id"], -1, offset)
            case "UserRegistered":
                self.names[event["user_id"]] = event["display_name"]
                self.registered_at.setdefault(event["user_id"], event["registered_at"])
            case "UserLeft":
                self.left.add(event["user_id"])
            case "UserMuted":
                self.muted.add((event["user_id"], event["target_id"]))
            case "UserUnmuted":
                self.muted.discard((event["user_id"], event["target_id"]))
            case "UserBlocked":
                self.blocked.add((event["user_id"], event["target_id"]))
            case "UserUnblocked":
                self.blocked.discard((event["user_id"], event["target_id"]))
            case "PostLiked":
                self.likers[event["post_id"]].add(event["user_id"])
            case "PostUnliked":
                self.likers[event["post_id"]].discard(event["user_id"])
            case "UserFellAsleep":
                self.asleep.add(event["user_id"])
            case "UserWoke":
                self.asleep.discard(event["user_id"])
                self.awakenings.append(event["user_id"])
            case "AuthorModeChanged":
                self.told.append(Crossing(*(event[name] for name in Crossing._fields)))

    def _count(self, author: str, change: int, offset: int) -> None:
        """Whether an author is pulled: from the threshold on, until the count is below the hysteresis' share of it."""
        self._followers[author] += change
        count = self._followers[author]
        before = self.sides[author]
        if count >= self.pull_threshold:
            self.sides[author] = "pull"
        elif count < self.pull_threshold * self.pull_hysteresis:
            self.sides[author] = "push"
        if self.sides[author] != before:
            self.crossings.append(Crossing(author, self.sides[author], count, offset))

    def feed(self, viewer: str, *, since_ms: int = 0) -> list[Shown]:
        """The whole feed, newest first."""
        ids = [
            post_id
            for author in (self.following[viewer] | {viewer}) - self.left
            if not self.blocks(viewer, author) and (viewer, author) not in self.muted
            for post_id in self.by_author[author]
            if not self.posts[post_id]["deleted"] and _milliseconds(post_id) >= since_ms
        ]
        return [self.shown(post_id, viewer) for post_id in sorted(ids, reverse=True)[:1000]]

    def shown(self, post_id: str, viewer: str) -> Shown:
        """What a post says to a viewer who may see it."""
        post = self.posts[post_id]
        return Shown(
            post_id,
            self.names.get(post["author_id"], post["author_id"]),
            post["content"],
            post["edited"],
            len(self.likers[post_id]),
            viewer in self.likers[post_id],
        )

    def sees(self, viewer: str, post_id: str) -> bool:
        """Whether a post can be read by its id."""
        post = self.posts[post_id]
        author = post["author_id"]
        return not (post["deleted"] or author in self.left or self.blocks(viewer, author))

    def blocks(self, one: str, other: str) -> bool:
        """Whether there is a block between the two, in either direction."""
        return not self.blocked.isdisjoint({(one, other), (other, one)})

    def followers(self, author: str) -> set[str]:
        """The author's followers."""
        return {user_id for user_id, followees in self.following.items() if author in followees}

    def follower_counts(self) -> dict[str, int]:
        return self._followers


def _milliseconds(post_id: str) -> int:
    return int(post_id.replace("-", "")[:12], 16)
