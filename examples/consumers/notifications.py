"""Someone followed you, someone liked your post: from `graph.v1` and `engagement.v1`, with an HTTP API of its own.

    python notifications.py 127.0.0.1:9092 notifications.sqlite 8090

    GET  /users/bob/notifications        {"unread": 2, "items": [{"kind": "follow", "by": "alice", ...}]}
    POST /users/bob/notifications/read   marks all of them as read

The API has no authentication: put it behind your gateway.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import sys
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from exactly_once import Consumer, Event, consume

_Key = tuple[str, str, str, str]
_PATH = re.compile(r"/users/([A-Za-z0-9._-]{1,64})/notifications(/read)?")


class Notifications(Consumer):
    """A row for each reason to notify. A follow or like that repeats has the same row; one that ended takes its row away.

    Topics have no order between them, and rows of one user come from many keys: so a user who left is remembered, and gets no more.
    """

    TOPICS = ("graph.v1", "engagement.v1")
    SCHEMA = """
    CREATE TABLE IF NOT EXISTS notifications (
        user_id, kind, by, post_id, at, read DEFAULT FALSE, PRIMARY KEY (user_id, kind, by, post_id)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS by_actor ON notifications (by);
    CREATE TABLE IF NOT EXISTS gone (user_id PRIMARY KEY) WITHOUT ROWID;
    """

    def apply(self, db: sqlite3.Connection, type_: str, event: Event) -> None:
        match type_:
            case "fanfold.UserFollowed.v1":
                row = (event["followee_id"], "follow", event["follower_id"], "")
                self._add(db, row, event["followed_at"])
            case "fanfold.UserUnfollowed.v1":
                self._end(db, (event["followee_id"], "follow", event["follower_id"], ""))
            case "fanfold.PostLiked.v1":
                row = (event["author_id"], "like", event["user_id"], event["post_id"])
                self._add(db, row, event["liked_at"])
            case "fanfold.PostUnliked.v1":
                self._end(db, (event["author_id"], "like", event["user_id"], event["post_id"]))
            case "fanfold.UserLeft.v1":
                user = (event["user_id"],)
                db.execute("INSERT OR IGNORE INTO gone VALUES (?)", user)
                db.execute("DELETE FROM notifications WHERE user_id = ?", user)
                db.execute("DELETE FROM notifications WHERE by = ?", user)

    def _add(self, db: sqlite3.Connection, row: _Key, at: str) -> None:
        user_id, _, by, _ = row
        gone = db.execute("SELECT 1 FROM gone WHERE user_id IN (?, ?)", (user_id, by)).fetchone()
        if user_id != by and not gone:
            new = "INSERT OR IGNORE INTO notifications VALUES (?, ?, ?, ?, ?, FALSE)"
            db.execute(new, (*row, at))

    def _end(self, db: sqlite3.Connection, row: _Key) -> None:
        which = "user_id = ? AND kind = ? AND by = ? AND post_id = ?"
        db.execute(f"DELETE FROM notifications WHERE {which}", row)

    def of(self, user_id: str, limit: int = 50) -> dict[str, Any]:
        """The newest notifications, and the number of all that are unread."""
        with closing(self.open()) as db:
            rows = db.execute(
                "SELECT kind, by, post_id, at, read FROM notifications WHERE user_id = ? ORDER BY at DESC, by LIMIT ?",
                (user_id, limit),
            ).fetchall()
            ((unread,),) = db.execute(
                "SELECT COUNT(*) FROM notifications WHERE user_id = ? AND NOT read", (user_id,)
            )
        items = [
            {"kind": kind, "by": by, "post_id": post_id or None, "at": at, "read": bool(read)}
            for kind, by, post_id, at, read in rows
        ]
        return {"unread": unread, "items": items}

    def mark_read(self, user_id: str) -> None:
        with closing(self.open()) as db:
            db.execute("UPDATE notifications SET read = TRUE WHERE user_id = ?", (user_id,))


class _Handler(BaseHTTPRequestHandler):
    notifications: Notifications

    def do_GET(self) -> None:
        self._serve(read=False)

    def do_POST(self) -> None:
        self._serve(read=True)

    def _serve(self, *, read: bool) -> None:
        found = _PATH.fullmatch(self.path)
        if found is None or bool(found[2]) != read:
            self._answer(404, {"detail": "GET /users/{id}/notifications, or POST …/read"})
            return
        if read:
            self.notifications.mark_read(found[1])
        self._answer(200, self.notifications.of(found[1]))

    def _answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def server(notifications: Notifications, port: int) -> ThreadingHTTPServer:
    """The API, not yet serving."""
    handler = type("Handler", (_Handler,), {"notifications": notifications})
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


async def main(bootstrap: str, database: str, port: str) -> None:
    notifications = Notifications(Path(database))
    with server(notifications, int(port)) as api:
        serving = asyncio.create_task(asyncio.to_thread(api.serve_forever))
        try:
            await consume(notifications, bootstrap=bootstrap, group="example-notifications")
        finally:
            api.shutdown()
            await serving


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    with suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
