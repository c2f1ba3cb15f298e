"""Where a write lies in the log, as its answer says."""

from __future__ import annotations

from fastapi import Response

from fanfold.core.ports.log import Position
from fanfold.http.openapi import POSITION_HEADER


def say_where(response: Response, *positions: Position | None) -> None:
    """Name the records of a write in `Fanfold-Position`: all of them, or none if the log could not tell of one.

    A part would let a client wait for half a write and take it for the whole.
    """
    known = [str(position) for position in positions if position is not None]
    if known and len(known) == len(positions):
        response.headers[POSITION_HEADER] = ", ".join(known)
