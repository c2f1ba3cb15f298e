"""The version of what is kept on disk: the log of `make run DATA=`, and the directory of `make up`.

It is raised when topics, events or columns change so that this version can't read what an earlier one wrote. Before 0.1 nothing
is converted: data of another version is refused.
"""

from __future__ import annotations

from pathlib import Path

from fanfold.core.errors import Fault

DATA_FORMAT = 2

LOG_FILE = "log.sqlite"
"""The file of the embedded log in its directory."""


def refuse_other_format(found: int, directory: Path, *, delete: str, choose: str) -> None:
    """Raise `Fault` if `found` is not `DATA_FORMAT`. `delete` and `choose` are the commands to type."""
    if found == DATA_FORMAT:
        return
    other = "an earlier" if found < DATA_FORMAT else "a later"
    raise Fault(
        f"{directory} was written by {other} version of Fanfold (data format {found}, this version needs {DATA_FORMAT}):"
        f" delete it with `{delete}`, or choose another directory with `{choose}`"
    )
