"""Both engines together, as a composition root hands them out."""

from __future__ import annotations

from dataclasses import dataclass

from fanfold.core.ports import Stores
from fanfold.core.ports.log import EventLog


@dataclass(frozen=True, slots=True)
class Engines:
    """A log and the stores that project it."""

    log: EventLog
    stores: Stores
