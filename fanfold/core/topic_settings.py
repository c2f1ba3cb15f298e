"""Settings that decide how `fanfold topics apply` makes the topics of `schemas/topics.yaml`."""

from __future__ import annotations

from pydantic import Field

from fanfold.core.environment_settings import EnvironmentSettings
from fanfold.core.topics import PartitionCount


class TopicSettings(EnvironmentSettings):
    """A part of `Settings`. Once a topic exists, every other process asks Kafka and needs none of these."""

    partitions: PartitionCount = Field(
        "few",
        description="Partitions of each topic that `topics apply` creates: `few` for one machine, `many` in production, where up to 53 workers "
        "all get work of every kind. Fixed for life.",
    )
