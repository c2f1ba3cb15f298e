"""Each answer names its request, so that a client's report leads to the log lines about it."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanfold.core import tracing
from fanfold.core.request_id import HEADER, current_request_id, request_id_of

_FIELD = HEADER.lower().encode()
_DECIDED = "fanfold.request_id"


class RequestIds:
    """ASGI middleware: `X-Request-Id` of each answer is that of the request, or a fresh one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # There is another one outside the application, for what is answered there. It names the answer too.
        decided = scope.get(_DECIDED)
        request_id = scope[_DECIDED] = decided or request_id_of(scope["headers"])

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                others = [field for field in message["headers"] if field[0] != _FIELD]
                message["headers"] = [*others, (_FIELD, request_id.encode())]
            await send(message)

        # Not reset, because the server logs an error after this, in the same task; and each request has a task of its own.
        current_request_id.set(request_id)
        if tracing.spans() is not None:
            tracing.describe({"fanfold.request_id": request_id})
        await self.app(scope, receive, send if decided else named)
