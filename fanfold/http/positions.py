"""The `Fanfold-Position` header of the answer to a write."""

from __future__ import annotations

from fastapi import Response

from fanfold.core.ports.log import Position
from fanfold.http.openapi import POSITION_HEADER


def set_position(response: Response, *positions: Position | None) -> None:
    """Name the positions of all events of a write; none of them if the log could not tell one.

    With a part of them, a client would wait for half a write and take it for the whole.
    """
    known = [str(position) for position in positions if position is not None]
    if known and len(known) == len(positions):
        response.headers[POSITION_HEADER] = ", ".join(known)
