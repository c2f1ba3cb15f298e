"""`LogView` on Kafka. Each call opens connections of its own: an operator asks seldom."""

from __future__ import annotations

from fanfold.adapters.kafka.group import read_backlog
from fanfold.core.ports.log_view import Backlog
from fanfold.core.settings import Settings


class KafkaLogView:
    """See `LogView`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.name = f"Kafka at {settings.kafka_bootstrap}"

    async def backlog(self, *, most_commands: int) -> Backlog:
        return await read_backlog(self._settings, most_commands=most_commands)
