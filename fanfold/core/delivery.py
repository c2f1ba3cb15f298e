"""How an author's posts are delivered: pushed below the threshold, pulled at or above it."""

from __future__ import annotations

from typing import Literal

Delivery = Literal["push", "pull"]


def delivery_after(
    follower_count: int, delivery: Delivery, *, threshold: int, hysteresis: float
) -> Delivery:
    """The author's delivery once the count is `follower_count`, coming from `delivery`.

    Pulled from `threshold` on; pushed again only below `hysteresis * threshold`, so that authors near the threshold
    don't flap.
    """
    if follower_count >= threshold:
        return "pull"
    if follower_count < hysteresis * threshold:
        return "push"
    return delivery
