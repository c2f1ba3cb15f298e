"""An issuer of tokens beside the nodes of a cluster of our own: it publishes its keys over TLS, and may change them or be away."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.engines_at_a_node import NODE, network_of_the_first_node
from tests.support.tokens import key_set

HOST = "identity.example.com"
"""As authentication.yaml names it."""
PATH = "/.well-known/jwks.json"


class Issuer:
    """At the address of the first node, under the name HOST. `keys` is the JWK set; `ca` is what its clients must trust."""

    def __init__(self, directory: Path, *, port: int = 443) -> None:
        self._authority = Authority(directory, name="the issuer's", valid_for=[f"DNS:{HOST}"])
        self._identity = self._authority.identity(HOST)
        self._port = port
        self._server: ThreadingHTTPServer | None = None
        self.keys = key_set()
        self.fetched = 0

    @property
    def ca(self) -> str:
        return self._authority.ca.read_text()

    def start(self) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._identity.cert, self._identity.key)
        with network_of_the_first_node():
            server = ThreadingHTTPServer((NODE, self._port), self._handler())
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._server = server

    def stop(self) -> None:
        """Connections are refused from then on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.path == PATH
                body = issuer.keys if known else b""
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                issuer.fetched += known

            def log_message(self, *_words: object) -> None:
                """Nothing is written for each request."""

        return Handler


@contextmanager
def running_issuer(directory: Path, *, port: int = 443) -> Iterator[Issuer]:
    """Its keys are those of `tests.support.tokens` at first."""
    issuer = Issuer(directory, port=port)
    issuer.start()
    try:
        yield issuer
    finally:
        issuer.stop()
