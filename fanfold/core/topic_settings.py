"""Settings that decide how `fanfold topics apply` makes the topics of `schemas/topics.yaml`."""

from __future__ import annotations

import re

from pydantic import Field, PositiveInt, field_validator

from fanfold.core.environment_settings import EnvironmentSettings
from fanfold.core.topics import PartitionCount

_TOPIC_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,100}")


class TopicSettings(EnvironmentSettings):
    """A part of `Settings`. All processes have the prefix. Of the rest they ask Kafka, once a topic exists."""

    topic_prefix: str = Field(
        "fanfold", description="Prefix of every topic and group name: `fanfold.posts.v1`."
    )
    partitions: PartitionCount = Field(
        "few",
        description="Partitions of each topic that `topics apply` creates: `few` for one machine, `many` in production, where up to 53 workers "
        "all get work of every kind. Fixed for life.",
    )
    kafka_replication: PositiveInt = Field(
        1, description="Replicas of each topic that `topics apply` creates; 3 in production."
    )

    @field_validator("topic_prefix")
    @classmethod
    def _topic_prefix(cls, given: str) -> str:
        if _TOPIC_PREFIX.fullmatch(given) is None:
            raise ValueError("use 1-100 of A-Z a-z 0-9 . _ -")
        return given
