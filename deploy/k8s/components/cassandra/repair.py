"""Repair every range of the given tables once, one node after another, through the management API beside each node.

Runs in the cluster, from the image of the services, with the standard library alone. Exits with 1 when a repair failed, or did
not end in time; the other nodes are repaired all the same. A second run repairs everything again, and changes no data.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import ssl
import sys
import time
import urllib.parse
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

CERTIFICATES = Path("/etc/management")
PORT = 8080
ANSWER_S = 60.0
LOOK_AGAIN_S = 15.0

Call = Callable[[str, str, str, object], Any]
"""Node, method, path, body; returns what the JSON of the answer says."""


class Failed(Exception):
    """A node refused, doesn't answer, or has given up a repair."""


class Management:
    """The API of the nodes, by mutual TLS. All nodes have one name in their certificates, and are called by their addresses."""

    def __init__(self, name: str, *, certificates: Path = CERTIFICATES) -> None:
        self._name = name
        self._tls = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        self._tls.load_cert_chain(certificates / "tls.crt", certificates / "tls.key")

    def __call__(self, node: str, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPSConnection(self._name, PORT, context=self._tls)
        try:
            plain = socket.create_connection((node, PORT), timeout=ANSWER_S)
            connection.sock = self._tls.wrap_socket(plain, server_hostname=self._name)
            connection.request(
                method,
                path,
                body=None if body is None else json.dumps(body),
                headers={"Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"{node} doesn't answer {method} {path}: {error}") from error
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise Failed(f"{node} answered {answer.status} to {method} {path}")
        return json.loads(text) if text else None


def ranges_by_node(call: Call, name: str, keyspace: str) -> dict[str, list[dict[str, int]]]:
    """Every range of the ring once, at the first of the nodes that hold it."""
    query = urllib.parse.urlencode({"keyspaceName": keyspace})
    found: Mapping[str, Any] = call(name, "GET", f"/api/v2/tokens/rangetoendpoint?{query}", None)
    by_node: dict[str, list[dict[str, int]]] = defaultdict(list)
    for held in found["token_range_to_endpoints"]:
        start, end = held["tokens"]
        by_node[held["endpoints"][0]].append({"start": start, "end": end})
    return by_node


def repair(
    call: Call, name: str, wanted: Sequence[tuple[str, list[str]]], *, within_s: float
) -> Iterator[str]:
    """Yields a line for each node and keyspace that is repaired. Raises `Failed`, with every failure, after the last.

    `wanted` are keyspaces with their tables; no tables means all of the keyspace.
    """
    deadline = time.monotonic() + within_s
    failures = []
    for keyspace, tables in wanted:
        try:
            nodes = ranges_by_node(call, name, keyspace)
        except Failed as failure:
            failures.append(str(failure))
            continue
        for node, ranges in sorted(nodes.items()):
            try:
                _repair_node(call, node, _request(keyspace, tables, ranges), deadline)
            except Failed as failure:
                failures.append(f"{keyspace}: {failure}")
            else:
                yield f"{keyspace}: {node} has repaired {len(ranges)} ranges"
    if failures:
        raise Failed("; ".join(failures))


def _request(keyspace: str, tables: list[str], ranges: list[dict[str, int]]) -> dict[str, Any]:
    return {
        "keyspace": keyspace,
        "tables": tables,
        "full_repair": True,
        # One replica after another, and one table at a time: it may take long, and reads go on beside it.
        "repair_parallelism": "sequential",
        "repair_thread_count": 1,
        "associated_tokens": ranges,
    }


def _repair_node(call: Call, node: str, request: dict[str, Any], deadline: float) -> None:
    if time.monotonic() > deadline:
        raise Failed(f"no time was left for {node}")
    repair_id = call(node, "PUT", "/api/v2/repairs", request)["repair_id"]
    query = urllib.parse.urlencode({"job_id": repair_id})
    while True:
        # A node that was restarted has forgotten the job: 404.
        job = call(node, "GET", f"/api/v0/ops/executor/job?{query}", None)
        if job["status"] == "COMPLETED":
            return
        if job["status"] == "ERROR":
            raise Failed(f"{node} has given up: {job.get('error')}")
        if time.monotonic() > deadline:
            call(node, "DELETE", "/api/v2/repairs", None)
            raise Failed(f"{node} was not ready in time, and its repair was stopped")
        time.sleep(LOOK_AGAIN_S)


def _keyspace(text: str) -> tuple[str, list[str]]:
    keyspace, _, tables = text.partition(":")
    return keyspace, tables.split(",") if tables else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", required=True, help="the name that all nodes answer to")
    parser.add_argument(
        "--repair", type=_keyspace, action="append", required=True, help="KEYSPACE[:TABLE,…]"
    )
    parser.add_argument("--within-s", type=float, required=True)
    chosen = parser.parse_args()
    try:
        for line in repair(
            Management(chosen.nodes), chosen.nodes, chosen.repair, within_s=chosen.within_s
        ):
            print(line, file=sys.stderr, flush=True)
    except Failed as failure:
        raise SystemExit(str(failure)) from failure


if __name__ == "__main__":
    main()
