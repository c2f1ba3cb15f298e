/** The posts of one feed, as this page knows them: pages that were read, and the changes that the stream sends. Pure. */

/** The newest posts that the stream keeps level. */
export const LIVE = 20;

export const nothing = () => /** @type {Timeline} */ ({ items: new Map(), live: new Set() });

/** A timeline with these posts too; what is known of a post and not sent again stays. */
export function withPosts({ items, live }, posts) {
  return { items: new Map([...items, ...posts.map(post => /** @type {const} */ ([post.post_id, { ...items.get(post.post_id), ...post }]))]), live };
}

/** A timeline without the posts that are to be dropped. */
export function without({ items, live }, dropped) {
  return { items: new Map([...items].filter(([, post]) => !dropped(post))), live };
}

/** A timeline after an event of its stream. */
export function afterEvent(timeline, name, data) {
  const live = new Set(timeline.live);
  switch (name) {
    case "fresh":
      return { ...timeline, live: new Set() };
    case "post":
      return withPosts({ ...timeline, live: live.add(data.post_id) }, [data]);
    case "removed":
      live.delete(data.post_id);
      return { ...timeline, live };
    case "level": {
      // A post that is older than all of a full window has only left the window.
      const oldest = live.size < LIVE ? "" : [...live].reduce((a, b) => (a < b ? a : b));
      return without(timeline, post => post.post_id >= oldest && !live.has(post.post_id));
    }
  }
  return timeline;
}

/** Newest first: the ids begin with the time. */
export const newestFirst = ({ items }) => [...items.values()].sort((a, b) => (a.post_id < b.post_id ? 1 : -1));

/** The newest post's id, or an empty text. */
export const newestId = timeline => newestFirst(timeline)[0]?.post_id ?? "";
