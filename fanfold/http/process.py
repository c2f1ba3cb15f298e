"""A service as a process: settings, logs, the loop, and the exit status."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager

import uvloop

from fanfold.core import tracing
from fanfold.core.errors import FanfoldError
from fanfold.core.exit_codes import ExitCode
from fanfold.core.json_logs import configure_logging
from fanfold.core.read_settings import read_tracing_settings
from fanfold.core.settings import Settings
from fanfold.http.listen import check_address

logger = logging.getLogger(__name__)

YOUNG_OBJECTS = 20_000
"""Objects made before the collector looks at them. What a batch of 200 events or 32 feeds in flight need lives until they are done: at Python's 700 all of
it was looked at again and again (docs/decisions/0066, 0068)."""


def run_service(
    serving: Callable[[Settings], Coroutine[None, None, None]],
    read: Callable[[], Settings],
    *,
    name: str,
) -> None:
    """Read the settings, and run until SIGINT or SIGTERM.

    Exits with `FAILED`, having logged why in one line, when a setting is wrong or when the service can't start or go on, and with
    `TERMINATED` when SIGTERM came before it served, or a second time while it was stopping.
    """
    configure_logging()
    try:
        settings = read()
        configure_logging(settings.log_level)
        # Before the engines are waited for.
        check_address(settings.host, settings.port)
        if settings.metrics_port:
            check_address(
                settings.host, settings.metrics_port, choose_port="FANFOLD_METRICS_PORT=…"
            )
        gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
        with traced(name):
            uvloop.run(_cancelled_by_sigterm(serving(settings)))
    except FanfoldError as error:
        logger.critical("stopped: %s", error)
        sys.exit(ExitCode.FAILED)
    except asyncio.CancelledError:
        logger.warning("stopped on SIGTERM, not serving")
        sys.exit(ExitCode.TERMINATED)


@contextmanager
def traced(service: str) -> Iterator[None]:
    """Record traces meanwhile, if the environment asks for them. Raises `Fault`."""
    settings = read_tracing_settings()
    if settings.exporter is None:
        yield
        return
    # Imported only if needed: it takes a tenth of a second and 15 MB.
    from fanfold.http.open_telemetry import exported

    with exported(settings, service=service) as spans:
        tracing.use(spans)
        try:
            yield
        finally:
            tracing.use(None)


async def _cancelled_by_sigterm(serving: Coroutine[None, None, None]) -> None:
    """While it serves, `serve` handles the signal; before and after that it cancels what is under way.

    The default handler is not enough: the first process of a container has none, and would ignore the signal until it is killed.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(serving)
    signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(task.cancel))
    await task
