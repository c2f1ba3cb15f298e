"""What `kubectl port-forward` makes reachable, from the first node's own loopback address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.k8s_cluster import SCRIPT
from tests.support.probes import wait_until


@contextmanager
def forwarded(namespace: str, target: str, port: int, *, to: int) -> Iterator[str]:
    """`to` on 127.0.0.1 leads to that port of the target; yields its URL. Call it in the network of the first node."""
    words = ("--namespace", namespace, "port-forward", target, f"{to}:{port}")
    # A group of its own: kubectl is a child of what enters the node.
    with subprocess.Popen([SCRIPT, "kubectl", *words], start_new_session=True) as process:
        try:
            listens = wait_until(
                lambda: _listens(to), within_s=30, gone=lambda: process.poll() is not None
            )
            assert listens, f"{target} is not forwarded"
            yield f"http://127.0.0.1:{to}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0
