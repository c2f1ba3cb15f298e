"""The scripts that bring the manifests into a cluster, run against one."""

from __future__ import annotations

import os
import subprocess

from tests.support.k8s_schemas import ROOT


def run_script(script: str, *arguments: str, kubectl: str) -> subprocess.CompletedProcess[str]:
    """With this `kubectl`; no step takes longer than a minute."""
    return subprocess.run(
        [ROOT / "scripts" / script, *arguments],
        # The script needs PATH and the like.
        env={**os.environ, "KUBECTL": kubectl, "TIMEOUT": "60s"},  # noqa: TID251
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
