"""Snapshot every volume of Cassandra by the API server, wait until all are usable, and delete the old ones.

Runs in the cluster, from the image of the services, with the standard library alone. Exits with 1 when a snapshot is not
usable in time; then nothing old is deleted either. A second run at the same minute makes nothing twice.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LOOK_AGAIN_S = 5.0
ANSWER_S = 30.0
MADE_BY = "fanfold.io/backup"
CONFLICT = 409


class Cluster:
    """The API server, with the rights of this pod's account, in one namespace."""

    def __init__(self, url: str, *, token: str, ca: Path, namespace: str) -> None:
        self._url, self._token, self._namespace = url, token, namespace
        self._tls = ssl.create_default_context(cafile=str(ca))

    def volumes(self, selector: str) -> list[str]:
        """Names of the claims."""
        query = urllib.parse.urlencode({"labelSelector": selector})
        found = self._call(
            "GET", f"/api/v1/namespaces/{self._namespace}/persistentvolumeclaims?{query}"
        )
        return sorted(claim["metadata"]["name"] for claim in found["items"])

    def snapshots(self) -> list[dict[str, Any]]:
        """The snapshots that this program has made."""
        items: list[dict[str, Any]] = self._call(
            "GET", f"{self._snapshots()}?labelSelector={MADE_BY}"
        )["items"]
        return items

    def snapshot(self, volume: str, at: str) -> None:
        """Begin a snapshot. Idempotent within a minute."""
        wanted = {
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "metadata": {"name": f"{volume}-{at}", "labels": {MADE_BY: at}},
            "spec": {"source": {"persistentVolumeClaimName": volume}},
        }
        try:
            self._call("POST", self._snapshots(), wanted)
        except urllib.error.HTTPError as error:
            if error.code != CONFLICT:
                raise

    def forget(self, name: str) -> None:
        self._call("DELETE", f"{self._snapshots()}/{name}")

    def _snapshots(self) -> str:
        return f"/apis/snapshot.storage.k8s.io/v1/namespaces/{self._namespace}/volumesnapshots"

    def _call(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the API server's own address
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=ANSWER_S, context=self._tls) as answer:  # noqa: S310
            return json.load(answer)


def back_up(cluster: Cluster, *, volumes: str, keep_days: int, ready_within_s: float) -> list[str]:
    """Returns a line for each action. Raises `SystemExit` when there is nothing to back up, or a snapshot isn't usable in time."""
    names = cluster.volumes(volumes)
    if not names:
        raise SystemExit(f"no volumes with {volumes}: nothing is backed up")
    now = datetime.now(UTC)
    at = f"{now:%Y%m%d-%H%M}"
    for name in names:
        cluster.snapshot(name, at)
    _wait_until_usable(cluster, {f"{name}-{at}" for name in names}, ready_within_s)
    oldest = f"{now - timedelta(days=keep_days):%Y%m%d-%H%M}"
    old = [
        snapshot["metadata"]["name"]
        for snapshot in cluster.snapshots()
        if snapshot["metadata"]["labels"][MADE_BY] < oldest
    ]
    for name in old:
        cluster.forget(name)
    return [*(f"made {name}-{at}" for name in names), *(f"deleted {name}" for name in old)]


def _wait_until_usable(cluster: Cluster, names: set[str], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while left := names - {
        snapshot["metadata"]["name"] for snapshot in cluster.snapshots() if _usable(snapshot)
    }:
        if time.monotonic() > deadline:
            raise SystemExit(f"not usable after {within_s:.0f} s: {', '.join(sorted(left))}")
        time.sleep(LOOK_AGAIN_S)


def _usable(snapshot: dict[str, Any]) -> bool:
    return bool(snapshot.get("status", {}).get("readyToUse"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", required=True, help="label selector of the claims")
    parser.add_argument("--keep-days", type=int, required=True)
    parser.add_argument("--ready-within-s", type=float, required=True)
    chosen = parser.parse_args()
    host, port = (os.environ[f"KUBERNETES_SERVICE_{part}"] for part in ("HOST", "PORT"))  # noqa: TID251 - given to every pod
    cluster = Cluster(
        f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        token=(ACCOUNT / "token").read_text(),
        ca=ACCOUNT / "ca.crt",
        namespace=(ACCOUNT / "namespace").read_text(),
    )
    for line in back_up(
        cluster,
        volumes=chosen.volumes,
        keep_days=chosen.keep_days,
        ready_within_s=chosen.ready_within_s,
    ):
        print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
