"""The seeded bugs: mistakes that someone could make in a change, one by one."""

from __future__ import annotations

from typing import NamedTuple


class SeededBug(NamedTuple):
    """`old` stands once in `file`, and `new` takes its place. `killer` is the test that fails then: a file, or a test of it."""

    name: str
    file: str
    old: str
    new: str
    killer: str


_WHOLE = "tests/property/test_whole_system.py"
_FANOUT = "services/fanout_service"
_FEED = "services/feed_service"
_MEMORY = "fanfold/adapters/memory"
_TELLING = "fanfold/adapters/telling_stores"

BUGS: tuple[SeededBug, ...] = (
    # --- the fan-out ---
    SeededBug(
        "skip one slice",
        f"{_FANOUT}/fan_out_post.py",
        "if bucket not in done)",
        "if bucket not in done and bucket != (1, 2))",
        "tests/unit/test_fanout_projections.py",
    ),
    SeededBug(
        "record a slice before it is delivered",
        f"{_FANOUT}/slices.py",
        """        rows = await self.stores.timelines.push([pointer], readers) if readers else 0
        # Only after the push: a slice that is done is never delivered again.
        done = SliceDone(rows, self.clock.now_ms())
        await self.stores.jobs.finish_slice(pointer.post_id, bucket, done, offset=offset)
""",
        """        done = SliceDone(len(readers), self.clock.now_ms())
        await self.stores.jobs.finish_slice(pointer.post_id, bucket, done, offset=offset)
        rows = await self.stores.timelines.push([pointer], readers) if readers else 0
""",
        "tests/unit/test_fanout_crashes.py",
    ),
    SeededBug(
        "store a post after its followers are read",
        f"{_FANOUT}/fan_out_post.py",
        """        create = self.stores.posts.create
        await run_concurrently(
            create(event.post_id, event.author_id, event.content) for _, event in group
        )
""",
        """        create = self.stores.posts.create
        await self.stores.users.get(group[0].event.author_id)
        readers = await self.stores.follows.audience(
            group[0].event.author_id, FollowerBucket(0, 0)
        )
        await run_concurrently(
            create(event.post_id, event.author_id, event.content) for _, event in group
        )
        if not readers.awake_ids:
            return
""",
        "tests/property/test_fanout_races.py",
    ),
    SeededBug(
        "read the posts to backfill before the edge is there",
        f"{_FANOUT}/follows.py",
        """        # 3. The edges on the followee's side: every post planned from now on sees the new followers.
        await self.stores.follows.write_followers(
            followee_id,
            [
                edge
                if copy.generation == edge.generation
                else replace(edge, generation=copy.generation)
                for edge in folded.edges
                for copy in copies.get(edge.follower_id, [edge])
            ],
        )
        # 4. The posts to backfill: every post written before that (see `fan_out_post`).
        fresh = folded.to_backfill
        page = await self.backfill.first_page(followee_id) if fresh else []
""",
        """        fresh = folded.to_backfill
        page = await self.backfill.first_page(followee_id) if fresh else []
        await self.stores.follows.write_followers(
            followee_id,
            [
                edge
                if copy.generation == edge.generation
                else replace(edge, generation=copy.generation)
                for edge in folded.edges
                for copy in copies.get(edge.follower_id, [edge])
            ],
        )
""",
        "tests/property/test_fanout_races.py",
    ),
    SeededBug(
        "ignore an unfollow",
        f"{_FANOUT}/fold_follows.py",
        "    return replace(edge, active=change.active, offset=change.offset)",
        "    return replace(edge, active=edge.active, offset=change.offset)",
        "tests/property/test_fanout_history.py",
    ),
    SeededBug(
        "count a follow again when it is delivered again",
        f"{_FANOUT}/fold_follows.py",
        "        if seen_by_count(followee) >= change.offset:",
        "        if seen_by_count(followee) > change.offset:",
        "tests/unit/test_fanout_crashes.py",
    ),
    SeededBug(
        "append a crossing after the row that includes it",
        f"{_FANOUT}/follows.py",
        """            if folded.crossings:
                await self.log.append_many(folded.crossings)
""",
        """            await self.stores.users.write_follower_count(folded.followee, offset=offset)
            if folded.crossings:
                await self.log.append_many(folded.crossings)
""",
        "tests/unit/test_crossings.py",
    ),
    SeededBug(
        "forget the hysteresis",
        "fanfold/core/delivery.py",
        "    if follower_count < hysteresis * threshold:",
        "    if follower_count < threshold:",
        "tests/unit/test_crossings.py",
    ),
    SeededBug(
        "forget that posts go both ways after a crossing",
        f"{_FANOUT}/push_or_pull.py",
        '        return "both"',
        '        return "pull"',
        "tests/unit/test_push_or_pull.py",
    ),
    SeededBug(
        "keep no pulled author",
        f"{_FANOUT}/fan_out_post.py",
        "        if expiries:",
        "        if not expiries:",
        _WHOLE,
    ),
    SeededBug(
        "let an old backfill vouch for a new follow",
        f"{_MEMORY}/follows.py",
        'row.get("materialised_follow") == follow_offset',
        '"materialised_follow" in row',
        "tests/contract/test_follows_store.py",
    ),
    SeededBug(
        "backfill one page of a long history",
        f"{_FANOUT}/backfill.py",
        "        if self.is_last(page) or copied >= self.depth:",
        "        if page:",
        "tests/unit/test_fanout_backfill.py",
    ),
    SeededBug(
        "leave out posts without a plan when backfilling",
        f"{_FANOUT}/backfill.py",
        """            for post in page
            if post.delivery != "pull"
        ]
        if pointers:""",
        """            for post in page
            if post.delivery == "push"
        ]
        if pointers:""",
        "tests/property/test_fanout_races.py",
    ),
    # --- sleep ---
    SeededBug(
        "mark a sleeper before anyone can know of the sleep",
        f"{_FANOUT}/sleeping.py",
        """        await self.stores.users.set_asleep(user_id, asleep=True, offset=offset)
        await self._mark(user_id, asleep=True, offset=offset)
""",
        """        await self._mark(user_id, asleep=True, offset=offset)
        await self.stores.users.set_asleep(user_id, asleep=True, offset=offset)
""",
        "tests/unit/test_fanout_sleeping.py",
    ),
    SeededBug(
        "call a sleeper awake before the timeline is filled",
        f"{_FANOUT}/sleeping.py",
        "        await self.stores.users.begin_waking(user_id, offset=offset)\n",
        "        await self.stores.users.set_asleep(user_id, asleep=False, offset=offset)\n",
        "tests/unit/test_fanout_sleeping.py",
    ),
    SeededBug(
        "clear the marks of a sleeper in the first generation only",
        f"{_FANOUT}/sleeping.py",
        "range(max(grown.values(), default=-1) + 1)",
        "range(1 if grown else 0)",
        "tests/unit/test_fanout_sleeping.py",
    ),
    SeededBug(
        "trust a step of an awakening that was queued for other tables",
        f"{_FANOUT}/sleeping.py",
        "        if _or_before_all(user.woke_offset) < event.woke_offset:",
        "        if _or_before_all(user.woke_offset) < -1:",
        "tests/unit/test_fanout_sleeping.py",
    ),
    SeededBug(
        "read the timeline of a sleeper",
        f"{_FEED}/caches/viewer_graph.py",
        "if user.asleep or not follow.materialised",
        "if not follow.materialised",
        "tests/unit/test_feed_presence.py",
    ),
    # --- likes, edits, ties, leaving ---
    SeededBug(
        "count a like again when it is delivered again",
        f"{_FANOUT}/fold_likes.py",
        "        if change.offset > seen_by_count(count):",
        "        if change.offset >= 0:",
        "tests/property/test_like_history.py",
    ),
    SeededBug(
        "take a like away that never was",
        f"{_FANOUT}/fold_likes.py",
        "LikeCount(count.likes + change.active - was_active, change.offset)",
        "LikeCount(count.likes + (1 if change.active else -1), change.offset)",
        "tests/property/test_like_history.py",
    ),
    SeededBug(
        "count a deleted post",
        f"{_FANOUT}/post_counts.py",
        "await self._write(author, author.post_count - first, offset=offset)",
        "await self._write(author, author.post_count, offset=offset)",
        "tests/unit/test_post_counts.py",
    ),
    SeededBug(
        "leave the follows across a block",
        f"{_FANOUT}/ties.py",
        "        if tie.active:\n            await self.blocked_follows",
        "        if not tie.active:\n            await self.blocked_follows",
        "tests/property/test_block_races.py",
    ),
    SeededBug(
        "keep a late follow of a user who has left",
        f"{_FANOUT}/leaving.py",
        "        if not follows:\n            return\n",
        "        if follows:\n            return\n",
        "tests/unit/test_leaving.py",
    ),
    SeededBug(
        "end the follows of half of the followers of a user who leaves",
        f"{_FANOUT}/leaving.py",
        "in page if edge.active]",
        "in page[: len(page) // 2] if edge.active]",
        "tests/unit/test_leaving.py",
    ),
    # --- the feed ---
    SeededBug(
        "show muted authors",
        f"{_FEED}/caches/viewer_graph.py",
        "for tie in mutes.values() if tie.active}",
        "for tie in mutes.values() if not tie.active}",
        "tests/unit/test_viewer_graph.py",
    ),
    SeededBug(
        "see a block in one direction",
        f"{_FEED}/caches/viewer_graph.py",
        "blocked = {tie.other_id for tie in blocks if tie.active}",
        "blocked = {tie.other_id for tie in blocks if tie.active and tie.mine}",
        "tests/unit/test_viewer_graph.py",
    ),
    SeededBug(
        "forget the floor of the retention window",
        f"{_FEED}/query/feeds.py",
        "since_ms=max(retained_since_ms, since_ms)",
        "since_ms=since_ms",
        "tests/unit/test_feed_read.py",
    ),
    SeededBug(
        "reuse a cursor's page",
        f"{_FEED}/query/by_time.py",
        "before=start.last if start else None",
        "before=start.newest if start else None",
        "tests/unit/test_feed_read.py",
    ),
    SeededBug(
        "page beyond the depth of a feed",
        f"{_FEED}/query/by_time.py",
        "    room = max(0, min(limit, depth - served))",
        "    room = limit",
        "tests/unit/test_feed_read.py",
    ),
    SeededBug(
        "show a post twice that is pushed and pulled",
        f"{_FEED}/query/merge.py",
        "        if loaded[start].order == self._emitted:",
        "        if loaded[start].order == self._emitted and loaded[start].source == 'push':",
        "tests/unit/test_feed_read.py",
    ),
    SeededBug(
        "leave out the viewer's own posts",
        f"{_FEED}/query/feed_query.py",
        "        sources = [timeline, *own]",
        "        sources = [timeline]",
        "tests/unit/test_feed_read.py",
    ),
    SeededBug(
        "never look for authors who are newly pulled",
        f"{_FEED}/caches/pulled_set.py",
        "            self._add(new)\n",
        "            self._add(new[:0])\n",
        "tests/unit/test_pulled_set.py",
    ),
    SeededBug(
        "show authors who have left",
        f"{_FEED}/caches/shared_reads.py",
        "None if user.left else Author.of(user)",
        "Author.of(user)",
        "tests/property/test_feed_oracle.py",
    ),
    SeededBug(
        "show an author on a later page who is followed no more",
        f"{_FEED}/query/by_relevance.py",
        "        candidates = await merge.take(window, shows)\n",
        "        candidates = await merge.take(window, lambda _: True)\n",
        "tests/unit/test_feed_read.py",
    ),
    SeededBug(
        "close a pulled author on a later page before all ranked posts are found",
        f"{_FEED}/query/by_relevance.py",
        "most_others = rule.posts_per_pulled_author + window - len(wanted)",
        "most_others = 1",
        "tests/unit/test_feed_read.py",
    ),
    # --- who may do what ---
    SeededBug(
        "look for a profile in the user's row alone",
        "fanfold/http/known_users.py",
        "    return named | {other for other, has in zip(others, have_written, strict=True) if has}",
        "    return named if have_written else named",
        "tests/api/test_first_writes.py",
    ),
    SeededBug(
        "let a ticket open its route again",
        f"{_MEMORY}/tickets.py",
        "self._kept.pop(digest, (0.0, None))",
        "self._kept.get(digest, (0.0, None))",
        "tests/api/test_tickets.py",
    ),
    SeededBug(
        "let a ticket outlive its token",
        "fanfold/http/identity/tickets.py",
        "        identity.refuse_ended(credential)\n",
        "",
        "tests/api/test_tickets.py",
    ),
    # --- the shared cache, and the tables ---
    SeededBug(
        "trust an old epoch",
        f"{_MEMORY}/shared_cache.py",
        """        if kept is None or not kept.token.startswith(stamp):
            return self._leased(key, stamp)
        return kept.payload""",
        """        if kept is None:
            return self._leased(key, stamp)
        return kept.payload""",
        "tests/contract/test_shared_cache.py",
    ),
    SeededBug(
        "fill a key whose lease is gone",
        f"{_MEMORY}/shared_cache.py",
        "kept is None or kept.filled or kept.token != lease.token",
        "kept is None or kept.filled",
        "tests/contract/test_shared_cache.py",
    ),
    SeededBug(
        "don't tell the cache of an unfollow",
        f"{_TELLING}/graph.py",
        "        await self._writer.forget(*(graph_key(edge.follower_id) for edge in edges))",
        "        await self._writer.forget(*(graph_key(e.follower_id) for e in edges if e.active))",
        "tests/unit/test_fanout_tells.py",
    ),
    SeededBug(
        "don't tell the cache that a post is deleted",
        f"{_TELLING}/posts.py",
        "await self._writer.forget(post_key(post_id), like_count_key(post_id.int))",
        "await self._writer.forget(like_count_key(post_id.int))",
        "tests/architecture/test_telling_stores.py",
    ),
    SeededBug(
        "call a cached list whole that is not",
        f"{_FEED}/caches/cached_timeline.py",
        "    end = rows[-1].post_id.bytes if more else oldest",
        "    end = oldest",
        "tests/unit/test_shared_reads.py",
    ),
    SeededBug(
        "say nothing when the cache can't be told",
        f"{_TELLING}/writer.py",
        """            _log.info("the shared cache was not told: %s", error)
            await self._rely_on_outage()
""",
        """            _log.info("the shared cache was not told: %s", error)
""",
        "tests/unit/test_telling_stores.py",
    ),
    SeededBug(
        "let the last write win by arrival",
        f"{_MEMORY}/cells.py",
        "        if held is None or offered > held:",
        "        if held is None or offered:",
        "tests/unit/test_cells.py",
    ),
    SeededBug(
        "acknowledge what could not be written",
        f"{_FANOUT}/process_batch.py",
        """        except Fault:
            raise
""",
        """        except Fault:
            return
""",
        "tests/unit/test_fanout_process_batch.py",
    ),
)
