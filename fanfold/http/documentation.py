"""The page `/docs` and its files, all from this package: it works without a network and loads nothing from elsewhere.

Also the description of all services in one, which the gateway serves as its `/openapi.json`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from fanfold.core.topics import SCHEMAS
from fanfold.http.files import Files

STATIC = Path(__file__).parent / "static"
ALL_SERVICES = "/openapi/all.json"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-cache"}


def add_documentation(app: FastAPI) -> None:
    """Serve `/docs`, the files that it names, and the description of all services. None of these routes needs a credential."""
    files = Files(STATIC, _HEADERS)

    async def docs(request: Request) -> Response:
        return await files.answer(request, "docs.html")

    async def static(request: Request) -> Response:
        return await files.answer(request, request.path_params["name"])

    async def described(_request: Request) -> Response:
        return Response(_all_services(), media_type="application/json")

    app.add_route(ALL_SERVICES, described, methods=["GET"], include_in_schema=False)
    app.add_route("/docs", docs, methods=["GET"], include_in_schema=False)
    app.add_route("/docs/static/{name}", static, methods=["GET"], include_in_schema=False)


@cache
def _all_services() -> bytes:
    """As it was written for this version. A process has the routes of its own service only, so it can't describe the others."""
    return (SCHEMAS / "openapi.json").read_bytes()
