"""Settings that decide how `fanfold topics apply` makes the topics of `schemas/topics.yaml`."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from fanfold.core.environment_settings import EnvironmentSettings
from fanfold.core.topics import PartitionCount

OFFSETS_AN_EPOCH = 2**40
"""More than a partition will ever have: at ten thousand a second, three years and a half of records."""
MOST_EPOCHS = 1023
"""So that every offset is below 2^50: exact in a double, as JSON and Lua have them, and below the microseconds of today, as which Cassandra takes it."""

_TOPIC_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,100}")


class TopicSettings(EnvironmentSettings):
    """A part of `Settings`. All processes use the prefix. Once a topic exists, they ask Kafka for the rest."""

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
    compression: Literal["uncompressed", "lz4", "zstd"] = Field(
        "uncompressed",
        description="How Kafka's brokers compress records; `zstd` in production. Every client must be able to read it. `topics apply` changes it for later "
        "records.",
    )
    log_epoch: int = Field(
        0,
        ge=0,
        le=MOST_EPOCHS,
        description="Raised by one, in all processes, when the log is another than the tables were written from: restored, mirrored, or new. Every offset of it is then "
        "above all earlier ones.",
    )
    log_days: int | None = Field(
        None,
        ge=35,
        description="Days that the projected topics are kept; without it, for ever. Tables that are lost can then be rebuilt only from a backup that is "
        "younger than this.",
    )
    log_local_days: PositiveInt | None = Field(
        None,
        description="Days that the brokers keep the projected topics on their own disks, if the rest is in tiered storage; without it, all is there. The brokers must "
        "have a remote storage.",
    )

    @field_validator("topic_prefix")
    @classmethod
    def _topic_prefix(cls, given: str) -> str:
        if _TOPIC_PREFIX.fullmatch(given) is None:
            raise ValueError("use 1-100 of A-Z a-z 0-9 . _ -")
        return given

    @model_validator(mode="after")
    def _local_is_less(self) -> Self:
        if self.log_days and self.log_local_days and self.log_local_days >= self.log_days:
            raise ValueError("FANFOLD_LOG_LOCAL_DAYS must be less than FANFOLD_LOG_DAYS")
        return self
