/** What runs here, and the story in four steps. */
import { call, encoded, newKey } from "./api.js";
import { html, useState } from "./html.js";
import { Badge, Command, count, counted } from "./parts.js";
import { curl, mayActAs, settings } from "./session.js";

export const CAST = { alice: "Alice", bob: "Bob", nova: "Nova Star" };

async function cast() {
  for (const [id, name] of Object.entries(CAST)) {
    await call(id, "GET", `/users/${id}`).catch(error => {
      if (error.status !== 404) throw error;
      return call(id, "PUT", `/users/${id}`, { body: { display_name: name } });
    });
  }
}

async function published({ post_id: id, author_id: author }) {
  const { data: { delivery, follower_count: followers } } = await call(author, "GET", `/users/${author}`);
  const said = delivery === "pull" ? `One row is written; none of ${count(followers)} followers gets a copy.`
    : `It goes into the ${followers === 1 ? "timeline" : "timelines"} of ${counted(followers, "follower")}.`;
  return html`<${Badge} delivery=${delivery} /> ${said} <a href=${`#/post/${id}?as=${encoded(author)}`}>See its fan-out</a>`;
}

/** @type {Step[]} */
const STORY = [
  {
    name: "Alice follows Bob and Nova", why: "Two authors, and one reader of both.",
    request: ["alice", "PUT", "/users/alice/following", { user_ids: ["bob", "nova"] }],
    shown: ({ followed }) => `Alice follows ${followed.join(" and ")}.`,
  },
  {
    name: "Bob publishes a post", why: "Below the threshold a post is pushed: written into each follower's timeline.",
    request: ["bob", "POST", "/posts", { content: "Hello world!" }], shown: published,
  },
  {
    name: "Nova publishes a post", why: "From the threshold on it is pulled: written once, and collected by each reader.",
    request: ["nova", "POST", "/posts", { content: "New movie announcement!" }], shown: published,
  },
  {
    name: "Alice reads one feed", why: "Both posts are there, the newest first.",
    request: ["alice", "GET", "/users/alice/feed?ranking=chronological&limit=2"],
    shown: ({ items }) => html`<ol class="told">${items.map(item => html`
      <li><${Badge} delivery=${item.source ?? "push"} /> <bdi>${item.author}</bdi>: <bdi>${item.content}</bdi></li>`)}</ol>`,
  },
];

export function Start() {
  const able = Object.keys(CAST).every(mayActAs);
  return html`
    <section class="hero">
      <div>
        <h1>Posts are pushed. Celebrities are pulled. Readers see one feed.</h1>
        <p class="lead">An ordinary author's post is written into each follower's timeline.
          ${" "}A celebrity's post is written once, and collected when a follower reads.</p>
        <p class="actions"><a class="button" href="#/feed/bob/alice">Watch Bob and Alice, live</a>
          <a class="quiet" href="/docs">Read the API</a></p>
      </div>
      <${Picture} />
    </section>
    <dl class="facts">
      <div><dt>Writes are appended to</dt><dd>${settings.log}</dd></div>
      <div><dt>An author is pulled from</dt><dd>${count(settings.pull_threshold)} followers</dd></div>
      <div><dt>Users are named by</dt><dd>${settings.auth === "jwt" ? "bearer tokens" : "the header X-User-Id"}</dd></div>
    </dl>
    <h2>The story, in four steps</h2>
    <ol class="story">${STORY.map(step => html`<${Told} step=${step} able=${able} />`)}</ol>`;
}

/** Steps wait for one another. */
let taken = Promise.resolve();

function Told({ step: { name, why, request: [as, method, path, body], shown }, able }) {
  const [told, setTold] = useState(/** @type {any} */ (null));
  const tell = () => {
    setTold("One moment.");
    taken = taken.then(cast)
      .then(() => call(as, method, path, { body, ...(method === "POST" && { key: newKey() }) }))
      .then(async ({ data }) => setTold(await shown(data))).catch(error => setTold(error.message));
  };
  return html`
    <li class="card stack">
      <button type="button" disabled=${!able} onClick=${tell}>${name}</button>
      <p class="soft">${why}</p>
      <${Command} line=${curl(as, method, path, body)} />
      <div class="told" aria-live="off">${told}</div>
    </li>`;
}

function Picture() {
  const rows = [20, 44, 68, 92, 116];
  return html`
    <svg class="picture" viewBox="0 0 302 136" role="img" aria-label="Lines from Bob to five timelines, and from five readers to Nova">
      ${rows.map(y => html`
        <path class="push" d=${`M34 68C70 68 70 ${y} 104 ${y}`} /><rect class="push" x="104" y=${y - 7} width="26" height="14" rx="4" />
        <path class="pull" d=${`M266 68C230 68 230 ${y} 196 ${y}`} /><circle class="pull" cx="188" cy=${y} r="8" />`)}
      <circle class="push" cx="20" cy="68" r="17" /><text x="20" y="72">Bob</text>
      <circle class="pull" cx="280" cy="68" r="19" /><text x="280" y="72">Nova</text>
    </svg>`;
}
