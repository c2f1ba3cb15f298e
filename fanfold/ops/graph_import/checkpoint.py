"""The progress of an import, in a file that is replaced as a whole or not at all."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from fanfold.core.errors import Rejected

_VERSION = 1
_ENDS_BYTES = 64 * 1024


@dataclass(slots=True)
class Counts:
    """What an import has done over all its runs. `seconds` is the time that it ran."""

    lines: int = 0
    edges: int = 0
    appended: int = 0
    registered: int = 0
    rejected: int = 0
    followee_runs: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Every line before byte `end` (of the unpacked text) is in the log or among the rejected lines.

    `rejected_bytes` is the size of the file of rejected lines at that point.
    """

    counts: Counts
    end: int = 0
    rejected_bytes: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """What a checkpoint is bound to: one edge list, and one log."""

    size: int
    sha256_of_ends: str
    log: str


def identify(path: Path, *, log: str) -> Source:
    """The file's size and a hash of its first and last 64 KiB: enough to notice another file under the same name."""
    size = path.stat().st_size
    with path.open("rb") as file:
        ends = hashlib.sha256(file.read(_ENDS_BYTES))
        file.seek(max(0, size - _ENDS_BYTES))
        ends.update(file.read())
    return Source(size, ends.hexdigest(), log)


class CheckpointFile:
    """The checkpoint of one import."""

    def __init__(self, path: Path, source: Source) -> None:
        self._path = path
        self._source = source

    def load(self) -> Checkpoint | None:
        """The checkpoint to go on from; None at the beginning. Raises `Rejected` if it belongs to another import."""
        try:
            kept: dict[str, Any] = orjson.loads(self._path.read_bytes())
            source, version = Source(**kept.pop("source")), kept.pop("version")
            checkpoint = Checkpoint(counts=Counts(**kept.pop("counts")), **kept)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._refused("is not a checkpoint that this version can read") from error
        if version != _VERSION:
            raise self._refused("is from another version")
        if (source.size, source.sha256_of_ends) != (self._source.size, self._source.sha256_of_ends):
            raise self._refused("belongs to a file with other content")
        if source.log != self._source.log:
            raise self._refused(
                f"belongs to an import into {source.log}, this is {self._source.log}"
            )
        return checkpoint

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint, durably: a crash leaves the old one or the new one."""
        kept = {"version": _VERSION, "source": asdict(self._source), **asdict(checkpoint)}
        draft = self._path.with_name(f"{self._path.name}.new")
        with draft.open("wb") as file:
            file.write(orjson.dumps(kept, option=orjson.OPT_INDENT_2))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _refused(self, why: str) -> Rejected:
        return Rejected(
            f"{self._path} {why}; name another with --checkpoint, or begin at the first line with --start-over"
        )
