"""The scripts that bring the manifests into a cluster, run against one."""

from __future__ import annotations

import os
import subprocess

from tests.support.k8s_schemas import ROOT


def run_script(
    script: str, *arguments: str, kubectl: str, timeout_s: int = 60
) -> subprocess.CompletedProcess[str]:
    """With this `kubectl`; no step takes longer than that."""
    return subprocess.run(
        [ROOT / "scripts" / script, *arguments],
        # The script needs PATH and the like.
        env={
            **os.environ,  # noqa: TID251
            "KUBECTL": kubectl,
            "TIMEOUT": f"{timeout_s}s",
            "TIMEOUT_S": str(timeout_s),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
