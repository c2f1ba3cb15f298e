"""What an installation is asked to do: its users and what they do in a day. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from fanfold.core.errors import Rejected
from fanfold.ops.plan.audience import Audience

DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Rates are a day and for each active user. Shares are between 0 and 1. Raises `Rejected` where two options contradict."""

    users: int
    audience: Audience
    active: float
    """The share of the users who are active on a day."""
    awake: float
    """The share of the users who have read a feed within FANFOLD_ACTIVE_DAYS: only they receive deliveries."""
    turnover: float
    """The share of the users who fall asleep on a day; as many wake up."""
    posts: float
    likes: float
    follows: float
    """New follows and ended ones, without the initial ones."""
    reads: float
    peak: float
    """The rate of the busiest hour, in means of the day."""
    threshold: int
    """Followers at which an author is pulled: FANFOLD_PULL_THRESHOLD."""
    bucket_followers: int
    retention_days: int
    replication: int
    """Replicas of each row and of each record."""
    years: float
    """The age of the installation for which disk is counted: posts, likes and the log are kept for ever."""
    delivery_age_s: float
    """Target: from the acknowledgement of a post to the last follower, with the usual load at the peak."""
    feed_p99_ms: float
    """Target for the first page of a feed."""
    utilisation: float
    """The share of its cores that a tier may use at the peak."""

    def __post_init__(self) -> None:
        if self.awake < self.active:
            raise Rejected(
                f"{self.active:g} of the users are active on a day, so at least as many are awake: raise --awake from {self.awake:g}"
            )

    @property
    def follows_a_user(self) -> float:
        return self.audience.mean

    @property
    def posts_per_s(self) -> float:
        """Mean of the day: users x active share x posts a day / 86,400 s."""
        return self.users * self.active * self.posts / DAY_S

    @property
    def likes_per_s(self) -> float:
        """Mean of the day, like `posts_per_s`."""
        return self.users * self.active * self.likes / DAY_S

    @property
    def follows_per_s(self) -> float:
        """Mean of the day, like `posts_per_s`."""
        return self.users * self.active * self.follows / DAY_S

    @property
    def reads_per_s(self) -> float:
        """Mean of the day, like `posts_per_s`."""
        return self.users * self.active * self.reads / DAY_S

    @property
    def turnover_per_s(self) -> float:
        """Users who fall asleep in a second, and as many who wake. Mean of the day."""
        return self.users * self.turnover / DAY_S

    @property
    def events_per_s(self) -> float:
        """Records on the projected topics. Mean of the day; a turnover is two."""
        return self.posts_per_s + self.likes_per_s + self.follows_per_s + 2 * self.turnover_per_s

    @property
    def readers_of_the_hour(self) -> float:
        """Users who read in the busiest hour. Reads are a Poisson process, and users with at least one read count."""
        reads = self.reads / 24 * self.peak
        return self.users * self.active * (1 - exp(-reads))
