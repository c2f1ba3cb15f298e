"""Every error, by what its receiver should do.

    FanfoldError
    ├── Transient        retry: with backoff and a budget in the worker, by a 503 at the HTTP edge
    │   └── Unavailable  an engine did not answer in time
    │       ├── LogUnavailable
    │       ├── TablesUnavailable
    │       └── CacheUnavailable
    ├── Rejected         the input is wrong: a dead letter in the worker, a 4xx at the HTTP edge
    │   └── Undecodable  a record that is not an event this version knows
    └── Fault            this process can't go on: stop with nothing acknowledged, to be restarted

Adapters translate their driver's exceptions into these; nothing above an adapter sees a driver's exception.
"""

from __future__ import annotations

from typing import ClassVar


class FanfoldError(Exception):
    """The root of all errors that Fanfold raises on purpose."""


class Transient(FanfoldError):
    """The same call may succeed later; its arguments are not known to be wrong."""


class Unavailable(Transient):
    """An engine (the log or a store) did not answer in time. Whether the call took effect is unknown."""

    engine: ClassVar[str | None] = None
    """The engine, as an answer to a client names it; None where several were asked."""


class LogUnavailable(Unavailable):
    """The log did not answer in time."""

    engine = "the log"


class TablesUnavailable(Unavailable):
    """The tables did not answer in time."""

    engine = "the tables"


class CacheUnavailable(Unavailable):
    """The shared cache did not answer in time. Reads go on without it."""

    engine = "the shared cache"


class Rejected(FanfoldError):
    """The input is wrong; repeating the call does not help."""


class Undecodable(Rejected):
    """A record is not an event that this version knows: bad JSON, a wrong shape, an unknown type."""


class Fault(FanfoldError):
    """The process can't do its work. It must stop, with nothing acknowledged, and be restarted."""
