"""How uvicorn serves our applications."""

from __future__ import annotations

import uvicorn
from starlette.types import ASGIApp

from fanfold.http.admission import Admission
from fanfold.http.admitting_protocol import AdmittingProtocol
from fanfold.http.protocol import BoundedProtocol, Bounds


def server_config(app: ASGIApp, bounds: Bounds, *, stop_grace_s: int) -> uvicorn.Config:
    """How uvicorn serves an application of ours: within these bounds, without a log or headers of its own."""
    return uvicorn.Config(
        app,
        http=_protocol(app, bounds),
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        # No route uses the client's address or scheme, so forwarding headers are not trusted either.
        proxy_headers=False,
        timeout_graceful_shutdown=stop_grace_s,
    )


def _protocol(app: ASGIApp, bounds: Bounds) -> type[BoundedProtocol]:
    """The protocol with these bounds, as uvicorn takes it: a class."""
    if isinstance(app, Admission):
        return type("Protocol", (AdmittingProtocol,), {"bounds": bounds, "admission": app})
    return type("Protocol", (BoundedProtocol,), {"bounds": bounds})
