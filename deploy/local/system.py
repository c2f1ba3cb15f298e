"""The description of a local system: `system.json` in its directory, written by `make up`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fanfold.core.errors import Fault
from fanfold.ops.installation import DESCRIPTION


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `ready` is the URL that `readiness_of` asks; `log` is a path."""

    name: str
    ready: str
    log: str


@dataclass(frozen=True, slots=True)
class System:
    """A local system. `settings` are fields of `Settings`, `supervisor` is the path of supervisord's socket."""

    settings: dict[str, Any]
    supervisor: str
    gateway: str
    processes: tuple[Process, ...]

    def process(self, name: str) -> Process:
        """The process of that name. Raises `KeyError`."""
        return {process.name: process for process in self.processes}[name]


def write_system(directory: Path, system: System) -> None:
    """Write the description; a reader sees the old one or the new one."""
    draft = directory / f".{DESCRIPTION}.{os.getpid()}"
    draft.write_text(json.dumps(asdict(system), indent=2))
    draft.replace(directory / DESCRIPTION)


def read_system(directory: Path) -> System | None:
    """The description; None if no system was ever started there. Raises `Fault` if it can't be read."""
    path = directory / DESCRIPTION
    try:
        described = json.loads(path.read_text())
        processes = tuple(Process(**process) for process in described.pop("processes"))
        return System(**described, processes=processes)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Fault(f"{path} can't be read ({error}): `make up` writes it again") from error
