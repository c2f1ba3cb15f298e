"""Asks a second node where the first one is slow to answer: a frozen node keeps its connections, and answers nothing."""

from __future__ import annotations

from typing import Any

from cassandra.policies import SpeculativeExecutionPlan, SpeculativeExecutionPolicy

SHARE = 0.05
"""The largest share of statements that are asked twice: if every node is slow, the second asking adds no more load than this."""
RESERVE = 1_000
"""Statements that may be asked twice before the share counts: enough for the seconds until a heartbeat finds the frozen node."""


class SecondNode(SpeculativeExecutionPolicy):  # type: ignore[misc]  # the driver has no types
    """Asks the next node, once, when a statement was not answered within `after_s`; the first answer counts.

    The driver does so for idempotent statements alone. A cluster of one node has no next one.
    """

    def __init__(self, after_s: float, *, share: float = SHARE, reserve: int = RESERVE) -> None:
        self._after_s = after_s
        self._share = share
        self._reserve = reserve
        self._left = float(reserve)

    def new_plan(self, keyspace: str | None, statement: Any) -> _Once:
        del keyspace, statement
        self._left = min(self._reserve, self._left + self._share)
        return _Once(self)

    def may_ask_after_s(self) -> float:
        """Seconds from now; -1 for not at all."""
        return self._after_s if self._left >= 1 else -1

    def has_asked(self) -> None:
        """Count one. Two threads call this and `new_plan`: a count that is lost between them does no harm."""
        self._left -= 1


class _Once(SpeculativeExecutionPlan):  # type: ignore[misc]
    """The driver asks it before the first sending, and again after the second."""

    __slots__ = ("_begun", "_policy")

    def __init__(self, policy: SecondNode) -> None:
        self._policy = policy
        self._begun = False

    def next_execution(self, host: Any) -> float:
        del host
        if self._begun:
            self._policy.has_asked()
            return -1
        self._begun = True
        return self._policy.may_ask_after_s()
