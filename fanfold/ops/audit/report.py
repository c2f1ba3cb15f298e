"""What an audit has found, as counts, rates and examples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MOST_EXAMPLES = 20
MOST_REPAIRS = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong for one user. `what`: missing, extra, duplicate, foreign-pointer or cached; `of`: the post or the cached key."""

    user_id: str
    what: str
    of: str
    ranking: str | None = None
    cause: str | None = None
    says: str | None = None


@dataclass(slots=True)
class Report:
    """The counts of an audit. `posts` are those that the feeds by pull hold, `late` those that still wait for the workers."""

    total: int | None = None
    users: int = 0
    repaired_users: int = 0
    posts: int = 0
    late: int = 0
    cached_values: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    """By what is wrong. Missing, extra and duplicate posts by time and by relevance are counted together."""
    findings: list[Finding] = field(default_factory=list)
    mended: int = 0
    repairs: list[str] = field(default_factory=list)
    """The first repairs."""
    unmended: list[str] = field(default_factory=list)
    """Examples of what a repair can't mend."""
    wrong_ids: set[str] = field(default_factory=set)

    @property
    def wrong_users(self) -> int:
        """Those whose feed is wrong; after repairs, those whose feed still is."""
        return len(self.wrong_ids)

    @property
    def done(self) -> int:
        return self.users

    def add(self, finding: Finding) -> None:
        self.wrong[finding.what] += 1
        self.wrong_ids.add(finding.user_id)
        if len(self.findings) < MOST_EXAMPLES:
            self.findings.append(finding)

    def mend(self, done: str) -> None:
        """Count what was mended. After a disaster there are more such lines than fit in memory."""
        self.mended += 1
        if len(self.repairs) < MOST_REPAIRS:
            self.repairs.append(done)

    def leave(self, what: str) -> None:
        """Note what can't be mended."""
        if len(self.unmended) < MOST_EXAMPLES:
            self.unmended.append(what)

    def rate(self, what: str) -> float:
        """The share of posts, or of cached values, that are wrong in this way."""
        of = self.cached_values if what == "cached" else self.posts
        return self.wrong[what] / of if of else float(bool(self.wrong[what]))

    def describe(self) -> str:
        wrong = ", ".join(f"{count:,} {what}" for what, count in sorted(self.wrong.items()))
        late = f", {self.late:,} late" if self.late else ""
        feeds = f"{self.users:,} {'feed' if self.users == 1 else 'feeds'}"
        posts = f"{self.posts:,} {'post' if self.posts == 1 else 'posts'}"
        return f"{feeds} of {posts}: {wrong or 'nothing is wrong'}{late}"

    def as_json(self) -> dict[str, Any]:
        return {
            "users": self.users,
            "wrong_users": self.wrong_users,
            "repaired_users": self.repaired_users,
            "posts": self.posts,
            "late": self.late,
            "cached_values": self.cached_values,
            "wrong": {what: self.wrong[what] for what in WHAT},
            "rates": {what: self.rate(what) for what in WHAT},
            "examples": [
                {name: getattr(finding, name) for name in Finding.__dataclass_fields__}
                for finding in self.findings
            ],
            "mended": self.mended,
            "repairs": self.repairs,
            "unmended": self.unmended,
        }


WHAT = ("missing", "extra", "duplicate", "foreign-pointer", "cached")
