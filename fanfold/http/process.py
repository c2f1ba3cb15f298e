"""A service as a process: logs, the loop, and the exit status."""

from __future__ import annotations

import logging
import sys
from collections.abc import Coroutine

import uvloop

from fanfold.errors import FanfoldError
from fanfold.json_logs import configure_logging
from fanfold.settings import Settings

logger = logging.getLogger(__name__)


def run_service(serving: Coroutine[None, None, None], settings: Settings) -> None:
    """Run until told to stop. Exits with 1, having logged why, when the service can't start or go on."""
    configure_logging(settings)
    try:
        uvloop.run(serving)
    except FanfoldError as error:
        logger.critical("stopped: %s", error)
        sys.exit(1)
