"""How long the page waits before it asks a server again that could not answer."""

from __future__ import annotations

import json
import subprocess

from console_service.page import WEB

RUN = """
globalThis.sessionStorage = { getItem: () => null, setItem: () => {} };
Math.random = () => 1;
const { waitMs } = await import(process.argv[1] + "/api.js");
const asking = seconds => ({ headers: new Headers(seconds === null ? {} : { "Retry-After": String(seconds) }) });
const tries = [1, 2, 3, 4, 5, 6, 7];
console.log(JSON.stringify([null, 3, 60].map(seconds => tries.map(n => waitMs(n, asking(seconds))))));
Math.random = () => 0;
console.log(JSON.stringify(waitMs(4, null)));
"""


def test_each_wait_is_twice_the_last_and_at_least_what_the_server_wishes() -> None:
    command = ("node", "--input-type=module", "--eval", RUN, str(WEB))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    by_itself, asked, asked_for_long, least = (
        wait for line in done.stdout.splitlines() for wait in _listed(json.loads(line))
    )
    assert by_itself == [500, 1000, 2000, 4000, 8000, 8000, 8000]
    assert asked == [3000, 3000, 3000, 4000, 8000, 8000, 8000]
    # A server that is back sooner is not left alone for a minute.
    assert asked_for_long == [8000] * 7
    # Clients that failed together don't come back together.
    assert least == [3000]


def _listed(found: list[list[float]] | float) -> list[list[float]]:
    return found if isinstance(found, list) else [[found]]
