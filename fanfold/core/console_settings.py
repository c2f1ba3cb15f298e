"""Settings of the console."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from fanfold.core.environment_settings import EnvironmentSettings

_PROCESS = re.compile(
    r"[A-Za-z0-9._-]{1,64}=http://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)


class ConsoleSettings(EnvironmentSettings):
    """A part of `Settings`. Only `console_service` goes by it."""

    console_processes: str = Field(
        "",
        description="Processes that the console asks for `/readyz` and `/metrics`, as `name=http://host:port` separated by commas. `make up` names its own.",
    )

    @field_validator("console_processes")
    @classmethod
    def _processes(cls, given: str) -> str:
        if not all(_PROCESS.fullmatch(process) for process in _split(given)):
            raise ValueError("use name=http://host:port,name=http://host:port")
        return given

    @property
    def processes(self) -> dict[str, str]:
        """The addresses of `console_processes` by name."""
        return {
            name: url for name, _, url in (p.partition("=") for p in _split(self.console_processes))
        }


def _split(given: str) -> list[str]:
    return [process.strip() for process in given.split(",") if process.strip()]
