/** One post: what it says, how it came there, and what its reader can do. */
import { call, encoded } from "./api.js";
import { Author, Avatar, Badge, Time } from "./parts.js";
import { html, into, useRef, useState } from "./html.js";
import { say, sayWhy } from "./status.js";

/** The most that a part of a score is here: the bars are shares of it. */
const FULL = { recency: 2 ** -1.8, engagement: 1 + Math.log(1001), affinity: 2 };

function meaning(post, viewer) {
  const pulled = post.source === "pull";
  if (post.author_id === viewer) {
    return `Your own post. ${pulled ? "Followers collect it when they read." : "It is written into each follower's timeline."}`;
  }
  const author = html`<bdi>${post.author}</bdi>`;
  return pulled ? ["Collected from ", author, "'s posts when you read."] : ["Written into your timeline when ", author, " published it."];
}

/** `onChange` gets the fields that are new: what else is known of the post may have changed meanwhile. */
export function Item({ post, viewer, onChange, onDrop }) {
  const [editing, setEditing] = useState(false);
  const asking = useRef(false);
  const { post_id: id, author_id: author } = post;
  const like = async () => {
    // Two requests at a time might arrive in either order.
    if (asking.current) return;
    asking.current = true;
    const { liked_by_me: liked, like_count: count } = post;
    onChange({ post_id: id, liked_by_me: !liked, like_count: count + (liked ? -1 : 1) });
    await call(viewer, liked ? "DELETE" : "PUT", `/posts/${id}/like`)
      .catch(error => { onChange({ post_id: id, liked_by_me: liked, like_count: count }); sayWhy(error); });
    asking.current = false;
  };
  const edit = content => call(viewer, "PATCH", `/posts/${id}`, { body: { content } })
    .then(({ data }) => { onChange(data); setEditing(false); say("Edited."); }).catch(sayWhy);
  return html`
    <article class="item card" aria-label=${`Post by ${post.author}`} data-post=${id}>
      <${Avatar} id=${author} name=${post.author} />
      <div class="stack">
        <p class="byline"><${Author} id=${author} name=${post.author} viewer=${viewer} /><${Time} at=${post.created_at} />
          ${post.edited_at && html`<span class="soft">edited</span>`}</p>
        ${editing ? html`<${Editor} content=${post.content} onSave=${edit} onCancel=${() => setEditing(false)} />`
          : html`<p class="content" dir="auto">${post.content}</p>`}
        ${post.source && html`<p class="source"><${Badge} delivery=${post.source} /> <span>${meaning(post, viewer)}</span></p>`}
        ${post.explain && html`<${Bars} explain=${post.explain} />`}
        <div class="actions">
          <button class="quiet like" type="button" aria-pressed=${post.liked_by_me} onClick=${like}>
            <span aria-hidden="true">${post.liked_by_me ? "♥" : "♡"}</span> Like <span class="soft">${post.like_count || ""}</span>
          </button>
          ${author === viewer ? html`
            <button class="quiet" type="button" onClick=${() => setEditing(!editing)}>Edit</button>
            <${Delete} viewer=${viewer} path=${`/posts/${id}`} onDone=${() => onDrop(other => other.post_id === id)} />
            <a class="quiet" href=${`#/post/${id}?as=${encoded(viewer)}`}>Fan-out</a>`
            : html`<${Menu} post=${post} viewer=${viewer} onDrop=${onDrop} />`}
        </div>
      </div>
    </article>`;
}

function Editor({ content, onSave, onCancel }) {
  const [text, setText] = useState(content);
  return html`
    <label><span class="hidden">The post's text</span>
      <textarea dir="auto" value=${text} onInput=${into(setText)}></textarea></label>
    <p class="actions"><button type="button" onClick=${() => onSave(text)}>Save</button>
      <button class="quiet" type="button" onClick=${onCancel}>Cancel</button></p>`;
}

function Delete({ viewer, path, onDone }) {
  const [asked, setAsked] = useState(false);
  const act = () => asked ? call(viewer, "DELETE", path).then(() => { onDone(); say("Deleted."); }).catch(sayWhy) : setAsked(true);
  return html`
    <button class="quiet" type="button" onClick=${act} onBlur=${() => setAsked(false)}>${asked ? "Really delete" : "Delete"}</button>`;
}

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
        ${[["DELETE", "following", "Unfollow", "Unfollowed"], ["PUT", "muted", "Mute", "Muted"], ["PUT", "blocked", "Block", "Blocked"]]
          .map(([method, tie, name, done]) => html`
            <button class="quiet" type="button" onClick=${() => act(method, tie, done)}>${name}</button>`)}
      </div>
    </details>`;
}

const Bars = ({ explain }) => html`
  <dl class="bars" aria-label="Parts of the score">
    ${/** @type {("recency" | "engagement" | "affinity")[]} */ (["recency", "engagement", "affinity"]).map(part => html`
      <div key=${part}><dt>${part}</dt>
        <dd><progress aria-hidden="true" value=${explain[part]} max=${FULL[part]}></progress>${explain[part].toFixed(3)}</dd></div>`)}
    <div><dt>score</dt><dd>${explain.score.toFixed(3)}</dd></div>
  </dl>`;
