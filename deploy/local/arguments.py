"""The arguments of `make up`, `make down` and `make status`. A wrong one is one line that says what to change."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from fanfold.core.exit_codes import ExitCode


class OneLineParser(argparse.ArgumentParser):
    """Exits with `USAGE` and one line, without the usage of a command that `make` calls."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}\n")
        sys.exit(ExitCode.USAGE)


class Port:
    """An argument's type: a port with room for this many more behind it."""

    def __init__(self, more: int = 0) -> None:
        self._last = 65535 - more

    def __call__(self, given: str) -> int:
        if not given.isdecimal() or not 1 <= int(given[:6]) <= self._last:
            raise argparse.ArgumentTypeError(f"use a port from 1 to {self._last}")
        return int(given)
