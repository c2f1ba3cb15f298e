"""`make run`: the whole system in one process, with a demo."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from all_in_one import demo
from all_in_one.system import System, all_in_one
from fanfold.core.clock import SystemClock
from fanfold.core.data_format import LOG_FILE
from fanfold.core.errors import Fault
from fanfold.core.json_logs import configure_logging
from fanfold.core.read_settings import read_settings
from fanfold.core.settings import Settings
from fanfold.http.app import serve
from fanfold.http.identity.development import KEY_FILE, create_key
from fanfold.http.identity.open_identity import check_identity
from fanfold.http.listen import base_url, check_address

DEFAULT_KEY_DIRECTORY = Path(".fanfold")
"""Where `fanfold token` looks for its key."""
_LAST_PORT = 65535

console = Console(highlight=False)


def run(*, port: int, data: Path | None, with_demo: bool) -> None:
    """Serve on `port` until Ctrl-C. Raises `Fault`, which says what to change, if that is not possible."""
    settings = _settings(port, data)
    configure_logging(settings.log_level)
    check_address(settings.host, port, choose_port=_another(port))
    check_identity(settings)
    with _directory(data) as directory:
        uvloop.run(_serving(settings, directory / LOG_FILE, kept=bool(data), with_demo=with_demo))


async def _serving(settings: Settings, path: Path, *, kept: bool, with_demo: bool) -> None:
    started_s = time.monotonic()
    # An IPv6 address in brackets would be read as markup.
    console.print(f"The page: {escape(base_url(settings.host, settings.port))}")
    console.print(
        f"[bold]Fanfold[/bold] on the embedded adapters; the log is {path if kept else 'temporary'}"
    )
    try:
        async with all_in_one(
            settings, clock=SystemClock(), path=path, with_demo=with_demo
        ) as system:
            took_s = time.monotonic() - started_s
            _show(system, settings, took_s, await _commands(system, settings))
            await serve(system.app, settings)
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    console.print("Stopped.")


def _settings(port: int, data: Path | None) -> Settings:
    """The environment's settings, with other defaults: those that the demo needs, few log lines on the terminal, and the development issuer."""
    settings = read_settings(port=port)
    on_a_laptop: dict[str, Any] = {
        # Live feeds then see what changes without reading their feeds.
        "cache": "memory",
        "log_level": "warning",
    }
    if settings.auth == "jwt" and settings.jwt_issuer is None:
        on_a_laptop["jwt_development_key"] = (data or DEFAULT_KEY_DIRECTORY) / KEY_FILE
    chosen = {
        name: value for name, value in on_a_laptop.items() if name not in settings.model_fields_set
    }
    chosen_settings = demo.suited(settings).model_copy(update=chosen)
    if (key := chosen_settings.jwt_development_key) is not None:
        create_key(key)
    return chosen_settings


def _another(port: int) -> str:
    return f"make run PORT={port + 1 if port < _LAST_PORT else port - 1}"


@contextmanager
def _directory(data: Path | None) -> Iterator[Path]:
    """The log's directory; without `data` one that is gone afterwards. Raises `Fault`."""
    if data is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Fault(
            f"{data} can't be the log's directory ({error.strerror}); choose another: make run DATA=.fanfold-run"
        ) from error
    yield data


def _show(system: System, settings: Settings, took_s: float, commands: list[str]) -> None:
    # An IPv6 address in brackets would be read as markup.
    shown = escape(base_url(settings.host, settings.port))
    loaded = f"replayed {system.replayed} events" if system.replayed else "loaded the demo"
    console.print(f"{loaded} in {took_s:.1f} s\n")
    urls = Table("what", "where", box=None, header_style="bold", pad_edge=False)
    urls.add_row("the API, to read and to try", f"{shown}/docs")
    urls.add_row("its description", f"{shown}/openapi.json")
    urls.add_row("metrics", f"{shown}/metrics")
    console.print(urls)
    console.print(
        f"\n{demo.NAMES['bob']} has {demo.BOB_FOLLOWERS:,} followers and is {_how(demo.BOB_FOLLOWERS, settings)}; "
        f"{demo.NAMES['nova']} has {demo.NOVA_FOLLOWERS:,} and is {_how(demo.NOVA_FOLLOWERS, settings)} "
        f"(the demo's threshold is {settings.pull_threshold:,}).\n"
        f"{demo.NAMES['alice']} follows both. Copy and paste:\n"
    )
    for line in commands:
        # Not wrapped: a command that is copied must be one line.
        console.print(f"  {line}", soft_wrap=True, markup=False)
    console.print("\nCtrl-C stops it.")


def _how(followers: int, settings: Settings) -> str:
    return "pulled" if followers >= settings.pull_threshold else "pushed"


async def _commands(system: System, settings: Settings) -> list[str]:
    """Commands that show push and pull, with the post ids of this run."""
    requests = ["alice /users/alice/feed", "nova /users/nova"]
    for author in ("bob", "nova"):
        newest = await system.engines.stores.posts.by_author(
            author, before=None, since_ms=0, limit=1
        )
        requests += [f"{author} /posts/{post.post_id}/fanout" for post in newest]
    base = base_url(settings.host, settings.port)
    reads = [
        f"curl -s -H {_credential(actor, settings)} {base}{path}"
        for actor, path in (request.split() for request in requests)
    ]
    publish = (
        f"curl -s -H {_credential('bob', settings)} -H 'Content-Type: application/json'"
        f' -d \'{{"content": "Hello again!"}}\' {base}/posts'
    )
    return [*reads, publish]


def _credential(actor: str, settings: Settings) -> str:
    """The header that names the actor, as an argument of a shell's command."""
    if settings.auth == "header":
        return f"'X-User-Id: {actor}'"
    key = settings.jwt_development_key
    if key is None:
        return f'"Authorization: Bearer $TOKEN_OF_{actor.upper()}"'
    elsewhere = (
        "" if key.parent == DEFAULT_KEY_DIRECTORY else f" --data {shlex.quote(str(key.parent))}"
    )
    return f'"Authorization: Bearer $(.venv/bin/fanfold token {actor}{elsewhere})"'
