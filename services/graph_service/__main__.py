"""`python -m graph_service`: the service on Kafka and Cassandra."""

from __future__ import annotations

from fanfold.adapters.stacks import real
from fanfold.core.clock import SystemClock
from fanfold.core.read_settings import read_settings
from fanfold.core.settings import Settings
from fanfold.http.app import make_app, serve
from fanfold.http.identity.deny_list import denying
from fanfold.http.identity.open_identity import open_identity
from fanfold.http.process import run_service
from graph_service.http import ready, routers


async def serving(settings: Settings) -> None:
    clock = SystemClock()
    async with (
        open_identity(settings, clock=clock) as identity,
        real(settings, clock=clock, source="fanfold/graph_service") as engines,
        denying(identity, engines.stores.revocations, clock=clock),
    ):
        app = make_app(
            title="Fanfold: users and follows",
            routers=routers(engines, clock=clock, settings=settings),
            ready=ready(engines, settings),
            metrics=not settings.metrics_port,
            identity=identity,
        )
        await serve(app, settings)


if __name__ == "__main__":
    run_service(serving, read_settings, name="graph_service")
