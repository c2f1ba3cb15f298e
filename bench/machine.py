"""The facts about the machine; without them no figure means anything."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = ("cassandra-driver", "faust-streaming", "aiokafka", "fastapi", "uvicorn", "uvloop")


def facts() -> dict[str, Any]:
    """Read before anything starts, so that the load is that of other programs."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _said("git", "rev-parse", "--short", "HEAD"),
        "changed_since_commit": bool(_said("git", "status", "--porcelain", "fanfold", "services")),
        "cores": os.cpu_count(),
        "cpu": _cpu_model(Path("/proc/cpuinfo").read_text()),
        "memory_gib": round(_memory_kib(Path("/proc/meminfo").read_text()) / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "engines": sorted({*_engine_versions("kafka"), *_engine_versions("cassandra")}),
        "load_before": [round(average, 2) for average in os.getloadavg()],
    }


def _cpu_model(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        name, _, model = line.partition(":")
        if name.strip() == "model name":
            return model.strip()
    return platform.machine()


def _memory_kib(meminfo: str) -> int:
    return int(meminfo.split("MemTotal:", 1)[1].split(maxsplit=1)[0])


def _engine_versions(engine: str) -> list[str]:
    """The jars whose names hold the engine's release."""
    jars = (ROOT / ".cache" / "engines" / engine).glob("*.jar")
    wanted = {"kafka": "kafka_", "cassandra": "apache-cassandra-"}
    alternative = {"kafka": "kafka-server-", "cassandra": "cassandra-all-"}
    return [jar.stem for jar in jars if jar.name.startswith((wanted[engine], alternative[engine]))]


def _said(*command: str) -> str:
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - git
    return answer.stdout.strip()
