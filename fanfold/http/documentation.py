"""The page `/docs` and its files, all from this package: it works without a network and loads nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-cache"}


def add_documentation(app: FastAPI) -> None:
    """Serve `/docs` and the files that it names. None of these routes needs a credential."""
    files = StaticFiles(directory=STATIC)

    async def docs(_request: Request) -> Response:
        return FileResponse(STATIC / "docs.html", headers=_HEADERS)

    async def static(request: Request) -> Response:
        response = await files.get_response(request.path_params["name"], request.scope)
        response.headers.update(_HEADERS)
        return response

    app.add_route("/docs", docs, methods=["GET"], include_in_schema=False)
    app.add_route("/docs/static/{name}", static, methods=["GET"], include_in_schema=False)
