"""A service as a process: settings, logs, the loop, and the exit status."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Coroutine

import uvloop

from fanfold.errors import FanfoldError
from fanfold.json_logs import configure_logging
from fanfold.settings import Settings

logger = logging.getLogger(__name__)


def run_service(serving: Callable[[Settings], Coroutine[None, None, None]]) -> None:
    """Run until told to stop. Exits with 1, having logged why, when the service can't start or go on."""
    settings = Settings()
    configure_logging(settings)
    try:
        uvloop.run(serving(settings))
    except FanfoldError as error:
        logger.critical("stopped: %s", error)
        sys.exit(1)
