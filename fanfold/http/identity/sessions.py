"""Answers that go on for long end when their credential does: at its expiry, or when it is revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanfold.core.clock import Clock
from fanfold.http.identity.credentials import Credential

_STATE = "fanfold.credential"


def remember_credential(scope: Scope, credential: Credential) -> None:
    """Note whose answer this is, for `EndsWithCredential`."""
    held: list[Credential] | None = scope.get(_STATE)
    if held is not None:
        held.append(credential)


class OpenAnswers:
    """The answers of this process that are open, and the credentials that they were opened with."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[object, tuple[Credential, Callable[[], None]]] = {}

    def opened(self, credential: Credential, end: Callable[[], None]) -> Callable[[], None]:
        """Call `end` at the credential's expiry, or when `end_revoked` finds it revoked. The answer calls what is returned when it has ended."""
        name = object()
        self._open[name] = (credential, end)
        timer: asyncio.TimerHandle | None = None
        if credential.expires_s is not None:
            left_s = credential.expires_s - self._clock.now_ms() / 1000
            timer = asyncio.get_running_loop().call_later(max(left_s, 0), end)

        def ended() -> None:
            if timer is not None:
                timer.cancel()
            del self._open[name]

        return ended

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    def end_revoked(self, revoked: Callable[[Credential], bool]) -> None:
        """End those whose credential is revoked."""
        for credential, end in list(self._open.values()):
            if revoked(credential):
                end()


class EndsWithCredential:
    """ASGI middleware: a read that is still answering when its credential ends is cut off there.

    The body ends as if it were whole: an event stream's client connects again and is answered 401, and an export lacks its
    last line. Writes are short, and finished.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            await self.app(scope, receive, send)
            return
        open_answers: OpenAnswers = scope["app"].state.identity.open_answers
        credentials: list[Credential] = []
        answering = cast("asyncio.Task[None]", asyncio.current_task())
        ended: Callable[[], None] | None = None
        cut_off = False

        def cut() -> None:
            nonlocal cut_off
            if not cut_off:
                cut_off = True
                answering.cancel()

        async def watched(message: Message) -> None:
            nonlocal ended
            # Most answers are one message, and cost nothing more.
            if ended is None and credentials and message.get("more_body"):
                ended = open_answers.opened(credentials[0], cut)
            await send(message)

        scope[_STATE] = credentials
        try:
            await self.app(scope, receive, watched)
        except asyncio.CancelledError:
            if not cut_off:
                raise
            answering.uncancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if ended is not None:
                ended()
