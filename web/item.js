/** One post in a feed: what it says, how it came there, and what its reader can do. */
import { call, encoded } from "./api.js";
import { Author, Avatar, Badge, Time } from "./parts.js";
import { html, into, useRef, useState } from "./html.js";
import { say, sayWhy } from "./status.js";

/** The most that a part of a score is here: the bars are shares of it. */
const FULL = { recency: 2 ** -1.8, engagement: 1 + Math.log(1001), affinity: 2 };

/** What a push or a pull means for this post. */
function meaning(post, viewer) {
  if (post.author_id === viewer) {
    return post.source === "pull" ? "Your own post. Followers collect it when they read." : "Your own post. It is written into each follower's timeline.";
  }
  return post.source === "pull"
    ? ["Collected from ", html`<bdi>${post.author}</bdi>`, "'s posts when you read."]
    : ["Written into your timeline when ", html`<bdi>${post.author}</bdi>`, " published it."];
}

export function Item({ post, viewer, onChange, onDrop }) {
  const [editing, setEditing] = useState(false);
  const path = `/posts/${post.post_id}`;
  const own = post.author_id === viewer;
  const like = () => {
    const change = { ...post, liked_by_me: !post.liked_by_me, like_count: post.like_count + (post.liked_by_me ? -1 : 1) };
    onChange(change);
    call(viewer, post.liked_by_me ? "DELETE" : "PUT", `${path}/like`).catch(error => { onChange(post); sayWhy(error); });
  };
  const edit = content => call(viewer, "PATCH", path, { body: { content } })
    .then(({ data }) => { onChange({ ...post, ...data }); setEditing(false); say("Edited."); }).catch(sayWhy);
  return html`
    <article class="item card" aria-label=${`Post by ${post.author}`} data-post=${post.post_id}>
      <${Avatar} id=${post.author_id} name=${post.author} />
      <div class="stack">
        <p class="byline"><${Author} id=${post.author_id} name=${post.author} viewer=${viewer} /><${Time} at=${post.created_at} />${post.edited_at && html`<span class="soft">edited</span>`}</p>
        ${editing
          ? html`<${Editor} content=${post.content} onSave=${edit} onCancel=${() => setEditing(false)} />`
          : html`<p class="content" dir="auto">${post.content}</p>`}
        ${post.source && html`<p class="source"><${Badge} delivery=${post.source} /> <span>${meaning(post, viewer)}</span></p>`}
        ${post.explain && html`<${Bars} explain=${post.explain} />`}
        <div class="actions">
          <button class="quiet like" type="button" aria-pressed=${post.liked_by_me} onClick=${like}><span aria-hidden="true">${post.liked_by_me ? "♥" : "♡"}</span> Like <span class="soft">${post.like_count || ""}</span></button>
          ${own
            ? html`<button class="quiet" type="button" onClick=${() => setEditing(!editing)}>Edit</button>
              <${Delete} viewer=${viewer} path=${path} onDone=${() => onDrop(({ post_id }) => post_id === post.post_id)} />
              <a class="quiet" href=${`#/post/${post.post_id}?as=${encoded(viewer)}`}>Fan-out</a>`
            : html`<${Menu} post=${post} viewer=${viewer} onDrop=${onDrop} />`}
        </div>
      </div>
    </article>`;
}

function Editor({ content, onSave, onCancel }) {
  const [text, setText] = useState(content);
  return html`
    <label class="hidden" for="edited">The post's text</label>
    <textarea id="edited" dir="auto" autofocus value=${text} onInput=${into(setText)}></textarea>
    <p class="actions"><button type="button" onClick=${() => onSave(text)}>Save</button><button class="quiet" type="button" onClick=${onCancel}>Cancel</button></p>`;
}

/** Asks once more, in place. */
function Delete({ viewer, path, onDone }) {
  const [asked, setAsked] = useState(false);
  const act = () => (asked ? call(viewer, "DELETE", path).then(() => { onDone(); say("Deleted."); }).catch(sayWhy) : setAsked(true));
  return html`<button class="quiet" type="button" onClick=${act} onBlur=${() => setAsked(false)}>${asked ? "Really delete" : "Delete"}</button>`;
}

/** What its reader can do about the author. */
function Menu({ post, viewer, onDrop }) {
  const menu = useRef(/** @type {any} */ (null));
  const act = (method, tie, done) => {
    menu.current.open = false;
    call(viewer, method, `/users/${encoded(viewer)}/${tie}/${encoded(post.author_id)}`)
      .then(() => { onDrop(({ author_id }) => author_id === post.author_id); say(`${done} ${post.author}.`); }).catch(sayWhy);
  };
  return html`
    <details class="menu" ref=${menu}>
      <summary class="quiet" aria-label=${`More about ${post.author}`}>More</summary>
      <div class="card">
        <button class="quiet" type="button" onClick=${() => act("DELETE", "following", "Unfollowed")}>Unfollow</button>
        <button class="quiet" type="button" onClick=${() => act("PUT", "muted", "Muted")}>Mute</button>
        <button class="quiet" type="button" onClick=${() => act("PUT", "blocked", "Blocked")}>Block</button>
      </div>
    </details>`;
}

/** Why a post has its rank: three factors as bars; the score is their product. */
function Bars({ explain }) {
  const factors = /** @type {const} */ (["recency", "engagement", "affinity"]);
  return html`
    <dl class="bars" aria-label="Parts of the score">
      ${factors.map(factor => html`
        <div key=${factor}><dt>${factor}</dt><dd>
          <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="trough" width="100" height="6" /><rect width=${Math.min(100, 100 * explain[factor] / FULL[factor])} height="6" /></svg>
          ${explain[factor].toFixed(3)}</dd></div>`)}
      <div><dt>score</dt><dd>${explain.score.toFixed(3)}</dd></div>
    </dl>`;
}
