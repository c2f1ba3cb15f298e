"""`make soak`: every property with new examples, round after round, for as long as asked. It names the seeds of failures."""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys
import time

PYTEST = [
    *(sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:schemathesis"),
    *("-m", "hypothesis and not real", "--hypothesis-profile=soak"),
]
IN_PARALLEL = ["-n", "logical", "--maxprocesses=8"]


def soak(seconds: float) -> list[int]:
    """Run rounds until the time is over, at least one and each to its end. Returns the seeds of those that failed."""
    deadline = time.monotonic() + seconds
    failed: list[int] = []
    rounds = 0
    while not rounds or time.monotonic() < deadline:
        rounds += 1
        seed = secrets.randbelow(2**32)
        print(f"==> round {rounds}, seed {seed}", flush=True)
        done = subprocess.run([*PYTEST, *IN_PARALLEL, f"--hypothesis-seed={seed}"], check=False)
        if done.returncode:
            failed.append(seed)
    print(f"==> {rounds} rounds, {len(failed)} failed")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    failed = soak(parser.parse_args().minutes * 60)
    for seed in failed:
        print(
            f"To repeat: .venv/bin/python {' '.join(map(_quoted, PYTEST[1:]))} --hypothesis-seed={seed}"
        )
    return 1 if failed else 0


def _quoted(argument: str) -> str:
    return f'"{argument}"' if " " in argument else argument


if __name__ == "__main__":
    sys.exit(main())
