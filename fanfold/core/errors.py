"""Every error, by what the receiver should do about it.

    FanfoldError
    ├── Transient        try again: with backoff and a budget in the worker, 503 at the HTTP edge
    │   └── Unavailable  an engine did not answer in time
    ├── Rejected         wrong in itself: a dead letter in the worker, a 4xx at the HTTP edge
    │   └── Undecodable  a record that is no event this version knows
    └── Fault            this process can't go on: stop with nothing acknowledged, be restarted

Adapters translate their driver's exceptions into these once; nothing above an adapter sees a driver's.
"""

from __future__ import annotations


class FanfoldError(Exception):
    """The root of all errors that Fanfold raises on purpose."""


class Transient(FanfoldError):
    """The same call may succeed later; nothing is known to be wrong with its arguments."""


class Unavailable(Transient):
    """An engine (the log or a store) did not answer in time. Whether the call took effect is unknown."""


class Rejected(FanfoldError):
    """The input is wrong in itself and will be wrong next time too."""


class Undecodable(Rejected):
    """A record is not an event that this version knows: bad JSON, a wrong shape, an unknown type."""


class Fault(FanfoldError):
    """The process can't do its work. It must stop with nothing acknowledged and be restarted."""
