"""A real Prometheus as a child process, which scrapes every second and answers queries; `scripts/install_prometheus` fetches it."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.support.probes import free_port, wait_until

_FETCHED = Path(__file__).parents[2] / ".cache" / "prometheus" / "prometheus"
PROGRAM = str(_FETCHED) if _FETCHED.exists() else shutil.which("prometheus")
MISSING = "Prometheus is missing: scripts/install_prometheus fetches it"
_STARTS_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Series:
    """Points are seconds since 1970 and a value, in order; those that are no finite number are left out."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A server that answers at `url`."""

    url: str

    def is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/-/ready", timeout=5).status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    def over(self, expression: str, *, began_s: float, ended_s: float) -> list[Series]:
        """The series of an expression, evaluated at every second of this time. Raises `HTTPStatusError` for one that it can't evaluate."""
        answer = httpx2.get(
            f"{self.url}/api/v1/query_range",
            params={"query": expression, "start": str(began_s), "end": str(ended_s), "step": "1"},
            timeout=60,
        )
        answer.raise_for_status()
        return [
            Series(
                {name: value for name, value in found["metric"].items() if name != "__name__"},
                [
                    (float(at_s), float(value))
                    for at_s, value in found["values"]
                    if math.isfinite(float(value))
                ],
            )
            for found in answer.json()["data"]["result"]
        ]


@contextmanager
def a_prometheus(directory: Path, jobs: Mapping[str, Sequence[str]]) -> Iterator[Prometheus]:
    """It scrapes `/metrics` of the addresses of each job, with the label `job`, and keeps what it knows in the directory. Needs `PROGRAM`."""
    assert PROGRAM is not None, MISSING
    configuration = directory / "prometheus.json"
    scraped = [
        {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
        for job, addresses in jobs.items()
    ]
    every = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    # JSON is YAML.
    configuration.write_text(json.dumps({"global": every, "scrape_configs": scraped}))
    port = free_port()
    log = directory / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                PROGRAM,
                f"--config.file={configuration}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        server = Prometheus(f"http://127.0.0.1:{port}")
        started = wait_until(
            server.is_ready, within_s=_STARTS_WITHIN_S, gone=lambda: process.poll() is not None
        )
        assert started, log.read_text()
        yield server
    finally:
        process.terminate()
        process.wait(timeout=60)
