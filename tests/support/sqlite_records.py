"""The embedded log's projected records, as the oracle takes them, read by plain SQL from a copy of the file."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path


def read_records(path: Path) -> list[tuple[str, int, int, str, bytes]]:
    """(topic, partition, offset, ce_type, value) of each projected record.

    The running log holds its file exclusively, so this reads a copy (with its write-ahead log).
    """
    with tempfile.TemporaryDirectory() as directory:
        for part in path.parent.glob(f"{path.name}*"):
            shutil.copy(part, directory)
        with closing(sqlite3.connect(Path(directory) / path.name)) as connection:
            rows = connection.execute(
                'SELECT topic, partition, "offset", headers, value FROM records'
                " WHERE topic IN ('posts.v1', 'graph.v1', 'ties.v1', 'engagement.v1', 'activity.v1')"
            ).fetchall()
    return [
        (topic, partition, offset, json.loads(headers)["ce_type"], value)
        for topic, partition, offset, headers, value in rows
    ]
