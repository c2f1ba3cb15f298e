"""The description of a system on this machine: `system.json` in its directory, written by `make up`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fanfold.core.errors import Fault

FILE = "system.json"


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `ready` is what to ask: `http://…` must answer 200, `kafka://…` and `cql://…` their protocol; empty: nothing."""

    name: str
    ready: str
    log: str


@dataclass(frozen=True, slots=True)
class System:
    """Where everything is. `settings` are fields of `Settings`; `supervisor` is the path of its socket."""

    settings: dict[str, Any]
    supervisor: str
    gateway: str
    processes: tuple[Process, ...]

    def process(self, name: str) -> Process:
        """The process of that name. Raises `KeyError`."""
        return {each.name: each for each in self.processes}[name]


def write_system(directory: Path, system: System) -> None:
    """Write the description; a reader sees the old one or the new one."""
    draft = directory / f".{FILE}.{os.getpid()}"
    draft.write_text(json.dumps(asdict(system), indent=2))
    draft.replace(directory / FILE)


def read_system(directory: Path) -> System | None:
    """The description, or None where no system was ever started. Raises `Fault` if it can't be read."""
    try:
        described = json.loads((directory / FILE).read_text())
        processes = tuple(Process(**each) for each in described.pop("processes"))
        return System(**described, processes=processes)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Fault(
            f"{directory / FILE} can't be read ({error}): `make up` writes it again"
        ) from error
