"""The topics of `schemas/topics.yaml`, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import yaml

_PACKAGE = Path(__file__).parent.parent
_PACKAGED = _PACKAGE / "schemas"
SCHEMAS = _PACKAGED if _PACKAGED.is_dir() else _PACKAGE.parent / "schemas"
"""`schemas/`: inside the installed package; in a checkout, beside it."""

PartitionCount = Literal["few", "many"]
"""Which of its two partition counts a topic is created with. The embedded log has few."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One entry; `name` is logical, without `Settings.topic_prefix`.

    `public`: any service may consume it. `projected`: tables are rebuilt from it, so it is kept for ever.
    """

    name: str
    public: bool
    projected: bool
    key: str
    partitions: Mapping[PartitionCount, int]
    retention_ms: int
    events: tuple[str, ...]
    producers: tuple[str, ...]
    consumers: tuple[str, ...]


@cache
def load_topics() -> Mapping[str, Topic]:
    """Every topic by logical name. The file is read once: parsing it takes ten times as long as opening a log."""
    declared = yaml.safe_load((SCHEMAS / "topics.yaml").read_text())
    return MappingProxyType(
        {
            name: Topic(
                name=name,
                **{
                    **entry,
                    **{key: tuple(entry[key]) for key in ("events", "producers", "consumers")},
                },
            )
            for name, entry in declared.items()
        }
    )
