"""What the version before this one reads and writes: `tests/fixtures/previous`, and how it is made.

    .venv/bin/python -m tests.support.previous DIRECTORY

writes it again from a checkout of that version. It runs *that* version's code in this environment, so it is done once a
release, while the two are still alike enough.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanfold.core.errors import Undecodable
from fanfold.core.events import Event, decode
from fanfold.core.ports.log import Record

FIXTURE = Path(__file__).parents[1] / "fixtures" / "previous"

# Runs in the other version. Its stores are made without a cluster, only to hear which statements they prepare.
_COLLECT = """
import json, runpy, sys
from fanfold.core import events
from fanfold.adapters.cassandra import session, stores
from fanfold.adapters.cassandra.migrate import load_migrations
from fanfold.core.clock import SystemClock
from fanfold.ops.event_schemas import event_schemas
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics

statements = []
session.CassandraSession.statement = lambda self, cql, **_: statements.append(" ".join(cql.split()))
opening = stores.cassandra_stores(Settings(), clock=SystemClock()).__aenter__()
async def silent(self, *_): return self
session.CassandraSession.__aenter__ = session.CassandraSession.__aexit__ = silent
try:
    opening.send(None)
except StopIteration:
    pass
examples = runpy.run_path("tests/unit/test_event_schemas.py")["EXAMPLES"]
records = []
for event in examples:
    topic, key, value, headers = events.encode(event, source="previous", now_ms=0)
    records.append({"topic": topic, "key": key.decode(), "value": json.loads(value),
                    "headers": {name: text.decode() for name, text in headers}})
print(json.dumps({
    "events": {name: json.loads(text) for name, text in sorted(event_schemas().items())},
    "records": records,
    "statements": sorted(set(statements)),
    "migrations": {migration.name: migration.checksum for migration in load_migrations()},
    "partitions": {name: topic.partitions for name, topic in load_topics().items()},
}))
"""
FILES = ("events", "records", "statements", "migrations", "partitions")


def previous(part: str) -> Any:
    """One of `FILES`."""
    return json.loads((FIXTURE / f"{part}.json").read_text())


def types_known() -> set[str]:
    """The `ce_type` of every event that it can read."""
    return {record["headers"]["ce_type"] for record in previous("records")}


@dataclass(frozen=True)
class ReadBefore(Record):
    """A record as seen by a reader that knows only some types, like one of the previous version."""

    known: Collection[str] = ()

    def event(self) -> Event:
        if (found := self.headers.get("ce_type", b"").decode(errors="replace")) not in self.known:
            raise Undecodable(f"unknown event type {found!r}")
        return decode(self.headers, self.value)


def as_read_before(record: Record, known: Collection[str]) -> ReadBefore:
    """The same record for such a reader."""
    values = {name: getattr(record, name) for name in Record.__dataclass_fields__}
    return ReadBefore(**values, known=known)


def main(checkout: Path) -> None:
    collected = subprocess.run(
        [sys.executable, "-c", _COLLECT],
        cwd=checkout,
        # Before the packages of this environment, so that `fanfold` is the other one.
        env={**os.environ, "PYTHONPATH": f"{checkout}:{checkout / 'services'}"},  # noqa: TID251
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    FIXTURE.mkdir(parents=True, exist_ok=True)
    for part, found in json.loads(collected).items():
        (FIXTURE / f"{part}.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
