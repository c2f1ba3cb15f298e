"""A full-text index of all posts, from `posts.v1` and `graph.v1`, in SQLite's FTS5.

python search.py 127.0.0.1:9092 search.sqlite          keeps the index up to date
python search.py search.sqlite hello world             searches it
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path

from exactly_once import Consumer, Event, consume


class Search(Consumer):
    """`posts` remembers every post, so that one that was deleted never comes back; `words` holds the texts of the others.

    Topics have no order between them: a post may be read after its author's leave, so users who left are remembered too.
    """

    TOPICS = ("posts.v1", "graph.v1")
    SCHEMA = """
    CREATE TABLE IF NOT EXISTS posts (number INTEGER PRIMARY KEY, post_id UNIQUE, author_id, gone DEFAULT FALSE);
    CREATE INDEX IF NOT EXISTS by_author ON posts (author_id);
    CREATE TABLE IF NOT EXISTS gone (user_id PRIMARY KEY) WITHOUT ROWID;
    CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (content);
    """

    def apply(self, db: sqlite3.Connection, type_: str, event: Event) -> None:
        match type_:
            case "fanfold.PostCreated.v1":
                left = db.execute(
                    "SELECT 1 FROM gone WHERE user_id = ?", (event["author_id"],)
                ).fetchone()
                # The same post is appended again after a lost acknowledgement: the second one is ignored.
                added = db.execute(
                    "INSERT OR IGNORE INTO posts (post_id, author_id, gone) VALUES (?, ?, ?)",
                    (event["post_id"], event["author_id"], left is not None),
                )
                if added.rowcount and not left:
                    db.execute(
                        "INSERT INTO words (rowid, content) VALUES (?, ?)",
                        (added.lastrowid, event["content"]),
                    )
            case "fanfold.PostEdited.v1":
                db.execute(
                    "UPDATE words SET content = ? WHERE rowid = (SELECT number FROM posts WHERE post_id = ? AND NOT gone)",
                    (event["content"], event["post_id"]),
                )
            case "fanfold.PostDeleted.v1":
                # A snapshot has the deletion without the post.
                db.execute(
                    "INSERT OR IGNORE INTO posts (post_id, author_id, gone) VALUES (?, ?, TRUE)",
                    (event["post_id"], event["author_id"]),
                )
                self._remove(db, "post_id = ?", event["post_id"])
            case "fanfold.UserLeft.v1":
                db.execute("INSERT OR IGNORE INTO gone VALUES (?)", (event["user_id"],))
                self._remove(db, "author_id = ?", event["user_id"])

    def _remove(self, db: sqlite3.Connection, which: str, value: str) -> None:
        found = f"SELECT number FROM posts WHERE {which}"
        db.execute(f"DELETE FROM words WHERE rowid IN ({found})", (value,))
        db.execute(f"UPDATE posts SET gone = TRUE WHERE {which}", (value,))

    def find(self, words: str, limit: int = 20) -> list[tuple[str, str, str]]:
        """Post, author and text of the posts that hold all of the words, the best match first."""
        # Each word in quotes, so that none is read as an operator.
        query = " ".join('"' + word.replace('"', '""') + '"' for word in words.split())
        with closing(self.open()) as db:
            return db.execute(
                "SELECT post_id, author_id, content FROM words JOIN posts ON number = words.rowid"
                " WHERE words MATCH ? ORDER BY rank, post_id LIMIT ?",
                (query, limit),
            ).fetchall()


async def main(bootstrap: str, database: str) -> None:
    await consume(Search(Path(database)), bootstrap=bootstrap, group="example-search")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    if ":" not in sys.argv[1]:
        for post_id, author, text in Search(Path(sys.argv[1])).find(" ".join(sys.argv[2:])):
            print(post_id, author, text)
        sys.exit()
    with suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
