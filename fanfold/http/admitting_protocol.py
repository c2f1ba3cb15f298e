"""HTTP/1.1 for an application with admission: a request is refused when it is read, not when its turn comes."""

from __future__ import annotations

from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from fanfold.http.admission import READS, Admission, Refusal
from fanfold.http.protocol import BoundedProtocol
from fanfold.http.stale_writes import has_hung_up


class AdmittingProtocol(BoundedProtocol):
    """Asks `admission` about each request. A refusal makes no task and is written at once.

    That keeps refusals cheap, and from waiting for the requests that were admitted. A write whose client has hung up is not begun.
    """

    admission: Admission

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.scope["method"] not in READS and has_hung_up(self.transport):
            self.transport.close()
            return
        refusal = self.admission.refusal(cast("Scope", cycle.scope))
        if refusal is None or self.pipeline or self.flow.write_paused:
            # A client that pipelines or does not read is refused by the application, in its turn.
            super()._start_asgi_task(cycle, app)
        else:
            self._answer_at_once(cycle, refusal)

    def _answer_at_once(self, cycle: RequestResponseCycle, refusal: Refusal) -> None:
        headers, content = refusal.naming(cast("Scope", cycle.scope))
        fields = [*headers, *cycle.default_headers]
        if not cycle.keep_alive:
            fields.append((b"connection", b"close"))
        head = b"".join(b"%s: %s\r\n" % field for field in fields)
        body = b"" if cycle.scope["method"] == "HEAD" else content
        self.transport.write(b"%s\r\n%s\r\n%s" % (refusal.status_line, head, body))
        # The rest of the body that the client still sends is read and dropped.
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()
