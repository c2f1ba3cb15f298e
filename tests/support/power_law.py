"""A follower graph like real ones: log-normal popularity with a Pareto tail (arXiv 1108.0027).

Degrees of real networks fit a Pareto-log-normal better than a pure power law. The tail's exponent of 1.15 and the
top percent that it governs reproduce the shares that were published for large networks.
"""

from __future__ import annotations

import random


def popularity(users: int, rng: random.Random, *, tail_alpha: float = 1.15) -> list[float]:
    """Relative popularity of each user, in random order."""
    body = sorted(rng.lognormvariate(0, 2.0) for _ in range(users))
    top = max(1, users // 100)
    floor = body[-top]
    weights = body[:-top] + [floor * rng.paretovariate(tail_alpha) for _ in range(top)]
    rng.shuffle(weights)
    return weights


def follower_graph(
    user_ids: list[str], *, mean_followers: float, largest_share: float, seed: int
) -> dict[str, list[str]]:
    """Followee → followers. The largest audience is capped at that share of all users."""
    rng = random.Random(seed)
    weights = popularity(len(user_ids), rng)
    cap = int(largest_share * len(user_ids))
    low, high = 1e-6, 1e6
    for _ in range(80):
        scale = (low * high) ** 0.5
        mean = sum(min(weight * scale, cap) for weight in weights) / len(user_ids)
        low, high = (scale, high) if mean < mean_followers else (low, scale)
    return {
        followee: [
            follower
            for follower in rng.sample(user_ids, int(min(weight * high, cap) + rng.random()))
            if follower != followee
        ]
        for followee, weight in zip(user_ids, weights, strict=True)
    }
