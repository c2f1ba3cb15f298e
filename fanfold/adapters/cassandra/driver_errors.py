"""The errors of Cassandra's driver, and what they are to Fanfold."""

from __future__ import annotations

from cassandra import DriverException, RequestValidationException
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException
from cassandra.pool import NoConnectionsAvailable
from cassandra.protocol import ErrorMessage, SyntaxException

from fanfold.core.errors import FanfoldError, Fault, TablesUnavailable

DRIVER_ERRORS = (
    DriverException,
    ErrorMessage,
    NoHostAvailable,
    NoConnectionsAvailable,
    ConnectionException,
    ConnectionBusy,
)


def translated(error: BaseException) -> FanfoldError:
    """A driver's error as ours. What isn't one of the driver's is a mistake of this package: a `Fault` too."""
    if isinstance(error, FanfoldError):
        return error
    wrong_in_itself = isinstance(error, (RequestValidationException, SyntaxException))
    root = TablesUnavailable if isinstance(error, DRIVER_ERRORS) and not wrong_in_itself else Fault
    ours = root(f"Cassandra: {one_line(error)}")
    ours.__cause__ = error
    return ours


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")
