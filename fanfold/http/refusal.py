"""A request that the server refuses before there is an application to answer it."""

from __future__ import annotations

import json
from http import HTTPStatus

from fanfold.core.request_id import HEADER as REQUEST_ID
from fanfold.core.request_id import new_request_id
from fanfold.http.problems import KEPT_BY_NOBODY, MEDIA_TYPE, problem_fields


class Refusal(Exception):
    """The request can't be taken. The connection is closed after the answer."""

    def __init__(self, status: HTTPStatus, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail

    def answer(self) -> bytes:
        """The whole response, as a problem document."""
        document = problem_fields(
            status=self.status, kind=self.kind, title=self.status.phrase, detail=self.detail
        )
        document["request_id"] = request_id = new_request_id()
        body = json.dumps(document).encode()
        fields = {
            "content-type": MEDIA_TYPE,
            "content-length": str(len(body)),
            "connection": "close",
            REQUEST_ID: request_id,
            **KEPT_BY_NOBODY,
        }
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            fields["retry-after"] = "1"
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {self.status} {self.status.phrase}\r\n{head}\r\n".encode() + body


def not_http(detail: str = "The request is not HTTP/1.1.") -> Refusal:
    """What can't be read as a request, or could be read in two ways."""
    return Refusal(HTTPStatus.BAD_REQUEST, "not-http", detail)
