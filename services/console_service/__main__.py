"""`python -m console_service`: the page beside the services on Kafka and Cassandra."""

from __future__ import annotations

from console_service.console import open_console
from console_service.http import routers
from console_service.processes import RemoteProcess
from fanfold.adapters.kafka.log_view import KafkaLogView
from fanfold.adapters.stacks import real_tables
from fanfold.core.clock import SystemClock
from fanfold.core.read_settings import read_settings
from fanfold.core.settings import Settings
from fanfold.http.answers import ANY_HOST
from fanfold.http.app import make_app, serve
from fanfold.http.identity.open_identity import open_identity
from fanfold.http.process import run_service
from fanfold.http.readiness import readiness


async def serving(settings: Settings) -> None:
    # Web pages of other host names must not read the routes for operators, whatever a gateway in front of the API checks.
    hosts = ",".join(sorted(settings.known_hosts - {ANY_HOST}))
    settings = settings.model_copy(update={"allowed_hosts": hosts})
    clock = SystemClock()
    processes = [RemoteProcess(name, url) for name, url in settings.processes.items()]
    async with (
        open_identity(settings, clock=clock) as identity,
        real_tables(settings, clock=clock) as tables,
        open_console(
            KafkaLogView(settings), processes, tables, settings=settings, clock=clock
        ) as console,
    ):
        app = make_app(
            title="Fanfold: the page",
            routers=routers(settings, console),
            ready=readiness({}),
            metrics=not settings.metrics_port,
            identity=identity,
        )
        await serve(app, settings)


if __name__ == "__main__":
    run_service(serving, read_settings, name="console_service")
