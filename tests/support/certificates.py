"""Certificates for a test, as the operator of a cluster issues them: one CA, and a certificate for each client or server."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


@dataclass(frozen=True)
class Identity:
    """Files in PEM; `combined` is the key and then the certificate."""

    cert: Path
    key: Path
    combined: Path


class Authority:
    """A CA in a directory of its own; its certificates are valid for `valid_for`. Needs the `openssl` command."""

    def __init__(
        self,
        directory: Path,
        *,
        name: str,
        valid_for: Sequence[str] = ("IP:127.0.0.1", "DNS:localhost"),
    ) -> None:
        directory.mkdir()
        self._directory = directory
        self._valid_for = ",".join(valid_for)
        self.ca = directory / "ca.crt"
        _openssl("req", "-x509", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.ca)  # fmt: skip

    @property
    def _key(self) -> Path:
        return self._directory / "ca.key"

    def identity(self, name: str) -> Identity:
        """A certificate of that common name, for a server and for a client."""
        made = Identity(*(self._directory / f"{name}.{part}" for part in ("crt", "key", "pem")))
        request, extensions = (self._directory / f"{name}.{part}" for part in ("csr", "ext"))
        extensions.write_text(f"subjectAltName={self._valid_for}\n")
        _openssl(
            "req", *_NEW_KEY[:-2], "-subj", f"/CN={name}", "-keyout", made.key, "-out", request
        )
        _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key, "-CAcreateserial",
                 "-days", "2", "-extfile", extensions, "-out", made.cert)  # fmt: skip
        made.combined.write_text(made.key.read_text() + made.cert.read_text())
        return made


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
