"""The log and the stores. A composition root makes them."""

from __future__ import annotations

from dataclasses import dataclass

from fanfold.core.ports import Stores
from fanfold.core.ports.log import EventLog


@dataclass(frozen=True, slots=True)
class Engines:
    """A log and the stores that project it."""

    log: EventLog
    stores: Stores
