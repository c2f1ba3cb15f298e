"""Which installation a command works on: the environment's, or the one that `make up` started in a directory."""

from __future__ import annotations

import json
from pathlib import Path

from fanfold.core.data_format import LOG_FILE
from fanfold.core.errors import Fault
from fanfold.core.exit_codes import ExitCode
from fanfold.core.read_settings import read_settings
from fanfold.core.settings import Settings
from fanfold.ops.run import Ended

DESCRIPTION = "system.json"
"""The file in which `make up` describes its system; its `settings` are fields of `Settings`."""


def environment() -> Settings:
    """The environment's settings."""
    return read_settings()


def settings_of(data: Path) -> Settings:
    """The environment's settings; where they name no Kafka, those of the system in `data`, if there is one."""
    settings = read_settings()
    # A trial system that is still in this directory must not receive data that is meant for the named Kafka.
    if "kafka_bootstrap" in settings.model_fields_set:
        return settings
    return local_settings(data) or settings


def why_cut_short(ended: Ended, data: Path) -> str:
    """Why a command ended early, and what to type where neither the environment nor `data` names an installation."""
    named = "kafka_bootstrap" in environment().model_fields_set
    kept = any((data / name).exists() for name in (DESCRIPTION, LOG_FILE))
    if ended.status is not ExitCode.TRY_AGAIN or named or kept:
        return f"{ended.cut_short}"
    return f"{ended.cut_short}; nothing names another: --data is the directory of `make up`, or of `make run DATA=`"


def embedded_log(data: Path) -> Path | None:
    """The log of `make run DATA=`; None where Kafka is named, by the environment or by `make up` in `data`, or where there is no log."""
    log = data / LOG_FILE
    named = "kafka_bootstrap" in environment().model_fields_set or (data / DESCRIPTION).exists()
    return log if log.exists() and not named else None


def local_settings(data: Path) -> Settings | None:
    """The settings of the system in `data`; None where `make up` never started one. Raises `Fault` if they can't be read."""
    path = data / DESCRIPTION
    try:
        return read_settings(**json.loads(path.read_text())["settings"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Fault(f"{path} can't be read ({error}): `make up` writes it again") from error
