"""The locked packages against published advisories, by pip-audit. What could not be compared is named, never passed over.

`python -m tests.support.advisories PIP_AUDIT`, from `scripts/audit`, which explains the exit status.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 3
_WITHIN_S = 60


class Verdict(NamedTuple):
    """The exit status, and one line that says it."""

    status: int
    line: str


def verdict(dependencies: Iterable[Mapping[str, Any]], *, ignored: Collection[str]) -> Verdict:
    """Judge the `dependencies` of pip-audit's JSON reports."""
    found, skipped, seen = set(), set(), set()
    for dependency in dependencies:
        name = f"{dependency['name']} {dependency.get('version', '')}".strip()
        seen.add(name)
        if "skip_reason" in dependency:
            skipped.add(name)
        for advisory in dependency.get("vulns", ()):
            if set(ignored).isdisjoint({advisory["id"], *advisory.get("aliases", ())}):
                found.add(f"{name}: {advisory['id']}")
    if found:
        return Verdict(VULNERABLE, f"VULNERABLE: {', '.join(sorted(found))}")
    if skipped or not seen:
        first = sorted(skipped)[:1] or ["any package"]
        return Verdict(
            NOT_AUDITED,
            f"NOT AUDITED: no advisories can be had from here ({first[0]} is the first without). Run `make audit` where they can.",
        )
    return Verdict(CLEAN, f"{len(seen)} locked packages, no known vulnerability")


def read_ignored(path: Path = REQUIREMENTS / "advisories-ignored.txt") -> set[str]:
    """The ids; each must have a reason."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    unexplained = [line for line in lines if len(line.split(maxsplit=1)) < 2]
    if unexplained:
        raise ValueError(f"{path.name}: write a reason after {', '.join(unexplained)}")
    return {line.split()[0] for line in lines}


def locked() -> list[Path]:
    """The requirements that are installed somewhere: those that are compiled with hashes."""
    return sorted(path.with_suffix(".txt") for path in REQUIREMENTS.glob("*.in"))


def report(pip_audit: str, requirements: Path) -> list[dict[str, Any]]:
    """One report. pip-audit's own failure is a package that was not compared."""
    try:
        ran = subprocess.run(
            [pip_audit, "--require-hashes", "--disable-pip", "--format", "json",
             "--progress-spinner", "off", "--timeout", "5", "--requirement", requirements],
            capture_output=True, text=True, check=False, timeout=_WITHIN_S,
        )  # fmt: skip
        dependencies: list[dict[str, Any]] = json.loads(ran.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError):
        return [{"name": requirements.name, "skip_reason": "pip-audit failed"}]
    return dependencies


def reports(pip_audit: str) -> list[dict[str, Any]]:
    """All reports, or those until the first that compared nothing: then the advisories can't be reached, and asking on takes minutes."""
    dependencies: list[dict[str, Any]] = []
    # The shortest list first.
    for path in sorted(locked(), key=lambda path: path.stat().st_size):
        found = report(pip_audit, path)
        dependencies += found
        if all("skip_reason" in dependency for dependency in found):
            break
    return dependencies


def main(pip_audit: str) -> None:
    dependencies = reports(pip_audit)
    judged = verdict(dependencies, ignored=read_ignored())
    print(f"==> advisories: {judged.line}")
    sys.exit(judged.status)


if __name__ == "__main__":
    main(sys.argv[1])
