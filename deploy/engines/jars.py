"""The jars that Maven fetched, against the SHA-256 checksums in this repository.

`python -m deploy.engines.jars check SUMS DIRECTORY` prints one line and exits with 1 if a jar was changed, added or removed.
`python -m deploy.engines.jars write SUMS DIRECTORY` writes the checksums of the jars that are there.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

_NAMED_AT_MOST = 3


class ChangedJars(Exception):
    """The jars are not those of the checksums; the message is one line that names them."""


def check(sums: Path, directory: Path) -> None:
    """Return if the directory holds exactly the jars of the file `sums`. Raises `ChangedJars`."""
    committed, found = _read(sums), _sums(directory)
    wrong = [
        *(f"changed: {name}" for name in sorted(committed) if found.get(name, "") not in {committed[name], ""}),
        *(f"unknown: {name}" for name in sorted(found.keys() - committed)),
        *(f"missing: {name}" for name in sorted(committed.keys() - found)),
    ]  # fmt: skip
    if wrong:
        named = ", ".join(wrong[:_NAMED_AT_MOST]) + (", …" if len(wrong) > _NAMED_AT_MOST else "")
        raise ChangedJars(
            f"refused: {directory} does not match {sums} ({named}). Remove the directory to fetch the jars again; "
            "after a change of versions, write new checksums with `make lock-jars`."
        )


def write(sums: Path, directory: Path) -> None:
    """Replace the file `sums`, in the format of `sha256sum`."""
    sums.write_text("".join(f"{digest}  {name}\n" for name, digest in _sums(directory).items()))


def _sums(directory: Path) -> dict[str, str]:
    return {
        jar.name: hashlib.sha256(jar.read_bytes()).hexdigest()
        for jar in sorted(directory.glob("*.jar"))
    }


def _read(sums: Path) -> dict[str, str]:
    lines = (line.split("  ", 1) for line in sums.read_text().splitlines())
    return {name: digest for digest, name in lines}


if __name__ == "__main__":
    _, action, sums_path, jars = sys.argv
    try:
        {"check": check, "write": write}[action](Path(sums_path), Path(jars))
    except ChangedJars as error:
        sys.exit(str(error))
