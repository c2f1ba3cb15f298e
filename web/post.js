/** One post's way to its followers: appended, planned, first slice, last slice. */
import { call, encoded } from "./api.js";
import { html, useEffect, useState } from "./html.js";
import { Author, Avatar, Badge, Command, Time, TokenEntry, count, counted } from "./parts.js";
import { curl, mayActAs } from "./session.js";
import { sayWhy } from "./status.js";

const POLL_MS = 400;
const MEANING = {
  push: "One pointer is written into each follower's timeline. The text itself is stored once.",
  pull: "One row is written for any number of followers. They collect the post when they read.",
};

/** @param {Route} route */
export function Post({ path: [id = ""], query }) {
  const author = query.get("as") ?? "";
  const [post, setPost] = useState(/** @type {Item | null} */ (null));
  const [fanout, setFanout] = useState(/** @type {Fanout | null} */ (null));
  const [entered, enter] = useState(0);
  const mayAct = mayActAs(author);
  useEffect(() => {
    if (!mayAct) return;
    const aborting = new AbortController();
    const { signal } = aborting;
    /** @type {ReturnType<typeof setTimeout>} */
    let timer;
    const poll = async () => {
      const { data } = await call(author, "GET", `/posts/${encoded(id)}/fanout`, { signal });
      setFanout(data);
      if (data.status === "pending" || data.status === "running") timer = setTimeout(() => poll().catch(sayWhy), POLL_MS);
    };
    call(author, "GET", `/posts/${encoded(id)}`, { signal }).then(({ data }) => { setPost(data); return poll(); })
      .catch(error => signal.aborted || sayWhy(error));
    return () => { aborting.abort(); clearTimeout(timer); };
  }, [id, author, entered]);
  return html`<div class="page stack">
    <h1>A post's fan-out</h1>
    ${!mayAct && html`<${TokenEntry} userId=${author} onEnter=${() => enter(entered + 1)} />`}
    ${post && html`
      <article class="item card" aria-label=${`Post by ${post.author}`}>
        <${Avatar} id=${post.author_id} name=${post.author} />
        <div class="stack">
          <p class="byline"><${Author} id=${post.author_id} name=${post.author} viewer=${author} /><${Time} at=${post.created_at} /></p>
          <p class="content" dir="auto">${post.content}</p>
        </div>
      </article>`}
    ${post && fanout && html`<${Progress} fanout=${fanout} appended=${post.created_at} />`}
    <${Command} line=${curl(author, "GET", `/posts/${encoded(id)}/fanout`)} />
  </div>`;
}

function Progress({ fanout, appended }) {
  const { strategy, status, planned, delivered, slices_done: done, slices_total: total } = fanout;
  const share = planned ? delivered / planned : Number(status === "done");
  return html`
    <section class="card stack" aria-label="Progress" data-status=${status}>
      <p>${strategy ? html`<${Badge} delivery=${strategy} /> ${MEANING[strategy]}` : "Not planned yet."}</p>
      <progress aria-label="Deliveries" max="1" value=${share}></progress>
      <p><strong>${count(delivered)} of ${counted(planned, "delivery").replace("deliverys", "deliveries")}</strong>,
        ${" "}${count(done)} of ${counted(total, "slice")}, ${status}</p>
      <${Steps} fanout=${fanout} appended=${appended} />
    </section>`;
}

/** When each step was, on a line. The steps stand evenly; the times between them are written. */
function Steps({ fanout, appended }) {
  const pulled = fanout.strategy === "pull";
  const steps = /** @type {[string, string | null][]} */ ([
    ["appended", appended], ["planned", fanout.started_at],
    ...(pulled ? [] : [["first slice", fanout.first_slice_at], ["last slice", fanout.finished_at]]),
  ]);
  const started = Date.parse(appended);
  const x = index => 60 + index * 160;
  return html`
    <svg class="steps" viewBox=${`0 0 ${x(steps.length - 1) + 60} 62`} role="img" aria-label=${steps.map(([name, at]) => `${name}: ${since(started, at)}`).join(", ")}>
      ${steps.slice(1).map(([, at], index) => html`<line class=${at ? "done" : ""} x1=${x(index)} x2=${x(index + 1)} y1="26" y2="26" />`)}
      ${steps.map(([name, at], index) => html`
        <circle class=${at ? "done" : ""} cx=${x(index)} cy="26" r="7" />
        <text x=${x(index)} y="12">${name}</text><text class="when" x=${x(index)} y="52">${since(started, at)}</text>`)}
    </svg>`;
}

function since(started, at) {
  if (!at) return "not yet";
  const ms = Date.parse(at) - started;
  return ms === 0 ? at.slice(11, 23) : `+${count(ms)} ms`;
}
