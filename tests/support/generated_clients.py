"""The clients that `scripts/generate_clients` makes, and their stories."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

from fanfold.http.identity.credentials import READ, WRITE
from fanfold.http.identity.development import DevelopmentIssuer

ROOT = Path(__file__).parents[2]
GENERATE = ROOT / "scripts" / "generate_clients"
PYTHON = ROOT / ".cache" / "clients" / "python" / "bin" / "python"


def generate(directory: Path) -> Path:
    """Make both clients; redocly has found nothing in the document, and tsc nothing in the types."""
    done = subprocess.run([GENERATE, directory], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # Lines of JSON are read as they are: the one answer that the generator of Python has no form for.
    assert done.stderr.count("WARNING") == 1
    assert "GET /users/{user_id}/export" in done.stderr
    return directory


def story_tokens(issuer: DevelopmentIssuer) -> list[str]:
    """Tokens of the story's users."""
    return [
        issuer.token(
            user, scopes=(READ, WRITE), audience="fanfold", now_s=int(time.time()), lifetime_s=600
        )
        for user in ("ann", "ben")
    ]


async def told(*command: str | Path) -> str:
    """What a program prints."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return output.decode()
