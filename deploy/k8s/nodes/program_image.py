"""Write an image of one program and the libraries that it links to, without a registry or a base, for `ctr images import`.

program_image.py NAME PROGRAM OUT.tar
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path


def main(name: str, program: str, out: str) -> None:
    """The program is in /usr/local/bin, and what the image runs, as a user of its own."""
    place = f"usr/local/bin/{Path(program).name}"
    linked = {path.lstrip("/"): Path(path).read_bytes() for path in _libraries(program)}
    layer = _tar({place: Path(program).read_bytes(), **linked}, mode=0o755, temporary="tmp")
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": [f"/{place}"],
                "Env": ["PATH=/usr/local/bin"],
                "User": "65532:65532",
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(layer)}"]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    parts = {
        "config.json": config,
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    Path(out).write_bytes(_tar(parts, mode=0o644))


def _libraries(program: str) -> list[str]:
    """What the loader would load, itself included; nothing for a static program."""
    command = ["/usr/bin/ldd", program]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own build)
    return re.findall(r"(/\S+) \(0x", listed.stdout)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _tar(files: dict[str, bytes], *, mode: int, temporary: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        if temporary:
            directory = tarfile.TarInfo(temporary)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o1777
            archive.addfile(directory)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


if __name__ == "__main__":
    main(*sys.argv[1:])
