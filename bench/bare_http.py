"""A bare FastAPI route on the product's server that returns given bytes. `python -m bench.bare_http FILE PORT`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response


def main() -> None:
    body = Path(sys.argv[1]).read_bytes()
    app = FastAPI()

    @app.get("/users/{user_id}/feed")
    async def feed(user_id: str) -> Response:
        return Response(body, media_type="application/json")

    uvicorn.run(
        app,
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
