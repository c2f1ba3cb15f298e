"""The page at `/`, and its files: those of `web/`, and nothing from another origin.

The browser itself keeps the promise: the policy lets it load and ask this origin alone, run no inline script, and turn no text into markup.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fanfold.core.settings import Settings
from fanfold.http.auth import Actor
from fanfold.http.files import Files

_PACKAGED = Path(__file__).parent / "web"
WEB = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "web"
"""`web/`: inside the installed package; in a checkout, at its top."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    # Asked again each time, by its ETag: after an upgrade no old module meets a new one.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class PageRoutes:
    """The functions behind the routes."""

    settings: Settings
    log: str
    files: Files

    async def start(self, request: Request) -> Response:
        """The page, for a browser; any other client gets the addresses of what is here, as JSON."""
        if "text/html" in request.headers.get("accept", ""):
            return await self.files.answer(request, "index.html", vary="Accept")
        addresses = {"page": "/", "documentation": "/docs"}
        return JSONResponse(addresses, headers={**HEADERS, "Vary": "Accept"})

    async def file(self, request: Request) -> Response:
        return await self.files.answer(request, request.path_params["name"])

    async def shown_settings(self, _request: Request) -> Response:
        """The settings that the page shows or goes by."""
        shown = {
            "log": self.log,
            "auth": self.settings.auth,
            "post_max_chars": self.settings.post_max_chars,
            "pull_threshold": self.settings.pull_threshold,
        }
        return JSONResponse(shown, headers=HEADERS)

    async def me(self, actor: Actor) -> dict[str, str]:
        """The user that a credential names: a page can't read that from every token."""
        return {"user_id": actor}


def router(settings: Settings, *, log: str) -> APIRouter:
    """The routes of the page, none of which OpenAPI describes; `log` is the log's name in what a person reads. Only `/web/me` needs a credential."""
    do = PageRoutes(settings, log, Files(WEB, HEADERS))
    page = APIRouter(include_in_schema=False)
    page.add_api_route("/web/me", do.me, methods=["GET"])
    page.add_route("/", do.start, methods=["GET"], include_in_schema=False)
    page.add_route("/web/settings.json", do.shown_settings, ["GET"], include_in_schema=False)
    page.add_route("/web/{name:path}", do.file, methods=["GET"], include_in_schema=False)
    return page
