"""The users with the most followers, from `graph.v1`.

    python leaderboard.py 127.0.0.1:9092 leaderboard.sqlite
    python leaderboard.py 127.0.0.1:9092 leaderboard.sqlite SNAPSHOT    begins with a snapshot, where the file is new

prints the first ten every five seconds.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path

from exactly_once import Consumer, Event, consume
from from_snapshot import load


class Leaderboard(Consumer):
    """`follows` is a set, so an event that repeats a follow counts once. All events about one user's followers have one key."""

    TOPICS = ("graph.v1",)
    SCHEMA = """
    CREATE TABLE IF NOT EXISTS follows (followee_id, follower_id, PRIMARY KEY (followee_id, follower_id)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS users (user_id PRIMARY KEY, display_name, gone DEFAULT FALSE) WITHOUT ROWID;
    """

    def apply(self, db: sqlite3.Connection, type_: str, event: Event) -> None:
        match type_:
            case "fanfold.UserFollowed.v1":
                edge = (event["followee_id"], event["follower_id"])
                db.execute("INSERT OR IGNORE INTO follows VALUES (?, ?)", edge)
            case "fanfold.UserUnfollowed.v1":
                edge = (event["followee_id"], event["follower_id"])
                db.execute("DELETE FROM follows WHERE followee_id = ? AND follower_id = ?", edge)
            case "fanfold.UserRegistered.v1":
                db.execute(
                    "INSERT INTO users (user_id, display_name) VALUES (?, ?)"
                    " ON CONFLICT DO UPDATE SET display_name = excluded.display_name WHERE NOT gone",
                    (event["user_id"], event["display_name"]),
                )
            case "fanfold.UserLeft.v1":
                # For good. What this user followed ends by unfollows, which come later.
                db.execute("REPLACE INTO users VALUES (?, NULL, TRUE)", (event["user_id"],))
                db.execute("DELETE FROM follows WHERE followee_id = ?", (event["user_id"],))

    def top(self, count: int) -> list[tuple[str, int]]:
        """User and number of followers, the most followed first."""
        with closing(self.open()) as db:
            return db.execute(
                "SELECT followee_id, COUNT(*) FROM follows GROUP BY followee_id ORDER BY 2 DESC, 1 LIMIT ?",
                (count,),
            ).fetchall()


async def main(bootstrap: str, database: str, snapshot: str | None = None) -> None:
    board = Leaderboard(Path(database))
    if snapshot:
        load(board, Path(snapshot))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consume(board, bootstrap=bootstrap, group="example-leaderboard"))
        while True:
            await asyncio.sleep(5)
            print(*(f"{followers:>8} {user}" for user, followers in board.top(10)), sep="\n")


if __name__ == "__main__":
    if len(sys.argv) not in {3, 4}:
        sys.exit(__doc__)
    with suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
