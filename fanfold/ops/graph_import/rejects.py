"""The rejected lines of an import, in a file that can be corrected and imported."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from fanfold.core.errors import Rejected
from fanfold.ops.graph_import.edge_list import Line, Wrong

SHOWN = 5


class Rejects:
    """A context manager. Each line is kept unchanged, below a comment with its number and the reason.

    The file is also the lock of the import: a second import of the same file is refused. Without a path only the `first` few
    lines are kept, in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._open = ExitStack()
        self.first: list[tuple[Line, Wrong]] = []

    def __enter__(self) -> Self:
        if self.path is not None:
            try:
                self._file = self._open.enter_context(self.path.open("ab"))
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                self._open.close()
                raise Rejected(
                    f"another import has {self.path} open: wait until it ends"
                ) from error
            except OSError as error:
                raise Rejected(
                    f"{self.path} can't be written ({error.strerror}): name another file with --rejected"
                ) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self.path is not None:
            self._file.flush()
            empty = self._size() == 0
            self._open.close()
            if empty:
                self.path.unlink()

    def cut(self, size: int) -> None:
        """Drop what was added after the checkpoint: those lines are read again."""
        if self.path is not None:
            self._file.truncate(min(size, self._size()))

    def add(self, lines: Iterable[tuple[Line, Wrong]]) -> None:
        for line, wrong in lines:
            if len(self.first) < SHOWN:
                self.first.append((line, wrong))
            if self.path is not None:
                cut = "" if line.whole else f"; only the beginning of line {line.number} follows"
                self._file.write(f"# line {line.number}: {wrong.why}{cut}\n".encode())
                self._file.write(line.raw + b"\n")

    def keep(self) -> int:
        """Make the file durable; returns its size."""
        if self.path is None:
            return 0
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._size()

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size
