"""On which side of the threshold an author is: decided by the worker, and foreseen by whoever changes the settings."""

from __future__ import annotations

from fanfold.core.ports import Mode


def side_after(follower_count: int, side: Mode, *, threshold: int, hysteresis: float) -> Mode:
    """The author's side once the count is `follower_count`, coming from `side`.

    Pulled from `threshold` on; back to push only below `hysteresis * threshold`, so that an author whose count
    hovers around the threshold doesn't flutter.
    """
    if follower_count >= threshold:
        return "pull"
    if follower_count < hysteresis * threshold:
        return "push"
    return side
