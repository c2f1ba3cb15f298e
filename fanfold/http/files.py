"""Files that are sent as they are: compressed for a client that accepts it, and not again while they have not changed."""

from __future__ import annotations

import asyncio
import gzip
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2s
from http import HTTPStatus
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fanfold.http.compression import accepts_gzip
from fanfold.http.validators import has_present_one


@dataclass(frozen=True, slots=True)
class _Packed:
    """A file as it was at `mtime_ns`."""

    mtime_ns: int
    tag: str
    plain: bytes
    gzipped: bytes


class Files:
    """The files of a directory, each read and compressed once. A file that has changed since is read again; a new one is not found."""

    def __init__(self, directory: Path, headers: Mapping[str, str]) -> None:
        """`headers` are those of every answer. They must let a cache ask before each use: a name does not change with its content."""
        # By their names and not by paths of a request: nothing else can be asked for.
        self._paths = {
            path.relative_to(directory).as_posix(): path
            for path in directory.rglob("*")
            if path.is_file()
        }
        self._headers = headers
        self._packed: dict[str, _Packed] = {}

    async def answer(self, request: Request, name: str, *, vary: str = "") -> Response:
        """The file of this name, or 304 to a client that has it. `vary`: the request's headers by which it was chosen. Raises `HTTPException`, 404."""
        file = await self._present(name)
        headers = {
            **self._headers,
            # Weak, because it may be sent compressed or not.
            "ETag": f"W/{file.tag}",
            "Vary": ", ".join(filter(None, (vary, "Accept-Encoding"))),
        }
        if has_present_one(request, file.tag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        body = file.plain
        accepted = accepts_gzip(request.headers.get("accept-encoding", ""))
        if accepted and len(file.gzipped) < len(body):
            body = file.gzipped
            headers["Content-Encoding"] = "gzip"
        return Response(body, headers=headers, media_type=mimetypes.guess_type(name)[0])

    async def _present(self, name: str) -> _Packed:
        if (path := self._paths.get(name)) is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        mtime_ns = path.stat().st_mtime_ns
        file = self._packed.get(name)
        if file is None or file.mtime_ns != mtime_ns:
            # In a thread: the largest one takes a tenth of a second.
            file = self._packed[name] = await asyncio.to_thread(_pack, path, mtime_ns)
        return file


def _pack(path: Path, mtime_ns: int) -> _Packed:
    plain = path.read_bytes()
    tag = f'"{blake2s(plain, digest_size=12).hexdigest()}"'
    return _Packed(mtime_ns, tag, plain, gzip.compress(plain, mtime=0))
