/** The posts of one feed, as this page knows them: pages that were read, and the changes that the stream sends. Pure. */

/** The newest posts that the stream keeps level. */
export const LIVE = 20;

export const nothing = () => /** @type {Timeline} */ ({ items: new Map(), live: new Set(), level: false });

/** The oldest post that the stream answers for: the last one of a full window, else any. */
const oldestLive = live => live.size < LIVE ? "" : [...live].reduce((a, b) => (a < b ? a : b));

const merged = (items, posts) => new Map([...items, ...posts.map(post => [post.post_id, { ...items.get(post.post_id), ...post }])]);

/** A timeline with a page that was read. Of what the stream answers for, a page may be older: a post may be edited since, or gone. */
export function withPage(timeline, posts) {
  const { items, live, level } = timeline;
  const oldest = level ? oldestLive(live) : "~";
  const newest = post => level && live.has(post.post_id) ? { ...post, ...items.get(post.post_id), explain: post.explain } : post;
  return { ...timeline, items: merged(items, posts.filter(({ post_id: id }) => id < oldest || live.has(id)).map(newest)) };
}

/** A timeline in which fields of a post are new, if it is still there. */
export const withChange = (timeline, change) =>
  timeline.items.has(change.post_id) ? { ...timeline, items: merged(timeline.items, [change]) } : timeline;

export const without = (timeline, dropped) => ({ ...timeline, items: new Map([...timeline.items].filter(([, post]) => !dropped(post))) });

/** A timeline after an event of its stream, or after `cut`, when there is no stream. */
export function afterEvent(timeline, name, data) {
  const live = new Set(timeline.live);
  switch (name) {
    case "fresh":
      return { ...timeline, live: new Set(), level: false };
    case "cut":
      return { ...timeline, level: false };
    case "post":
      return { ...timeline, items: merged(timeline.items, [data]), live: live.add(data.post_id) };
    case "removed":
      live.delete(data.post_id);
      return { ...timeline, live };
    case "level": {
      // A post that is older than all of a full window has only left the window.
      const oldest = oldestLive(live);
      return { ...without(timeline, post => post.post_id >= oldest && !live.has(post.post_id)), level: true };
    }
  }
  return timeline;
}

/** Newest first: the ids begin with the time. */
export const newestFirst = ({ items }) => [...items.values()].sort((a, b) => (a.post_id < b.post_id ? 1 : -1));

export const newestId = timeline => newestFirst(timeline)[0]?.post_id ?? "";
