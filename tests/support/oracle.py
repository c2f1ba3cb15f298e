"""The oracle: what every feed must hold, folded from the log in plain lines that share no code with Fanfold.

feed(v) = the 1000 newest posts p with p.author in following(v) + {v}, p not deleted, p.author not gone, p.author
neither muted by v nor blocked in either direction, and p inside the retention window; newest first.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Oracle:
    posts: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_author: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    following: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    names: dict[str, str] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    muted: set[tuple[str, str]] = field(default_factory=set)
    blocked: set[tuple[str, str]] = field(default_factory=set)

    def fold(self, records: Iterable[tuple[str, int, int, str, bytes]]) -> Oracle:
        """Records are (topic, partition, offset, ce_type, value); the log's order is per partition."""
        for _, _, _, kind, value in sorted(records, key=lambda record: record[:3]):
            self._apply(kind.split(".")[1], json.loads(value))
        return self

    def _apply(self, kind: str, event: dict[str, Any]) -> None:
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
                self.following[event["follower_id"]].add(event["followee_id"])
            case "UserUnfollowed":
                self.following[event["follower_id"]].discard(event["followee_id"])
            case "UserRegistered":
                self.names[event["user_id"]] = event["display_name"]
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

    def feed(self, viewer: str, *, since_ms: int = 0) -> list[tuple[str, str, str, bool]]:
        """(post id, author's name, content, whether edited), newest first."""
        ids = [
            post_id
            for author in (self.following[viewer] | {viewer}) - self.left
            if self._meet(viewer, author)
            for post_id in self.by_author[author]
            if not self.posts[post_id]["deleted"] and _milliseconds(post_id) >= since_ms
        ]
        newest = sorted(ids, reverse=True)[:1000]
        return [
            (
                post_id,
                self.names.get(post["author_id"], post["author_id"]),
                post["content"],
                post["edited"],
            )
            for post_id in newest
            for post in [self.posts[post_id]]
        ]

    def _meet(self, viewer: str, author: str) -> bool:
        hidden = {(viewer, author), (author, viewer)} & self.blocked
        return not hidden and (viewer, author) not in self.muted

    def follower_counts(self) -> dict[str, int]:
        counts: dict[str, int] = defaultdict(int)
        for followees in self.following.values():
            for followee in followees:
                counts[followee] += 1
        return counts


def _milliseconds(post_id: str) -> int:
    return int(post_id.replace("-", "")[:12], 16)
