"""TLS client contexts: the trusted CA certificates and the client certificate."""

from __future__ import annotations

import ssl
from pathlib import Path

from fanfold.core.errors import Fault


def client_context(
    ca: Path, *, cert: Path | None, key: Path | None, check_hostname: bool
) -> ssl.SSLContext:
    """A context that trusts only the certificates in `ca`; all files are PEM. Raises `Fault`, naming the file.

    The files are read at each call: a caller that makes a context for each new client picks up rotated files without a restart.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = check_hostname
    try:
        context.load_verify_locations(ca)
    except OSError as error:  # ssl.SSLError is one too
        raise Fault(f"{ca} can't be used as CA certificates: {error}") from error
    if cert is not None:
        try:
            context.load_cert_chain(cert, key)
        except OSError as error:
            raise Fault(f"{cert} and {key} can't be used as a certificate: {error}") from error
    return context
