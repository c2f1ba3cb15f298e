/** One post's way to its followers: appended, planned, first slice, last slice. */
import { call, encoded, pause } from "./api.js";
import { html, useState, useWhile } from "./html.js";
import { Item } from "./item.js";
import { Badge, Command, count, counted, feedOf } from "./parts.js";
import { curl } from "./session.js";
import { sayWhy } from "./status.js";

const POLL_MS = 400;
const MEANING = {
  push: "One pointer is written into each follower's timeline. The text itself is stored once.",
  pull: "One row is written for any number of followers. They collect the post when they read.",
};

/** @param {Route} route */
export function Post({ path: [id = ""], viewer }) {
  const [post, setPost] = useState(/** @type {Item | null} */ (null));
  const [fanout, setFanout] = useState(/** @type {Fanout | null} */ (null));
  const path = `/posts/${encoded(id)}`;
  useWhile(async signal => {
    setPost(null);
    setFanout(null);
    try {
      setPost((await call(viewer, "GET", path, { signal })).data);
      for (let status = "pending"; status === "pending" || status === "running"; await pause(POLL_MS, signal)) {
        const { data } = await call(viewer, "GET", `${path}/fanout`, { signal });
        setFanout(data);
        ({ status } = data);
      }
    } catch (error) {
      if (!signal.aborted) sayWhy(error);
    }
  }, [path, viewer]);
  return html`<div class="page stack">
    <h1>A post's fan-out</h1>
    ${post && html`<${Item} post=${post} viewer=${viewer} onChange=${change => setPost({ ...post, ...change })}
      onDrop=${() => { location.hash = feedOf(viewer); }} />`}
    ${post && fanout && html`<${Progress} fanout=${fanout} appended=${post.created_at} />`}
    <${Command} line=${curl(viewer, "GET", `${path}/fanout`)} />
    <p><a href=${`#/console/explain?${new URLSearchParams({ user: viewer, post: id })}`}>Why it is, or is not, in a feed</a></p>
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

function Steps({ fanout, appended }) {
  const slices = /** @type {[string, string | null][]} */ ([["first slice", fanout.first_slice_at], ["last slice", fanout.finished_at]]);
  const steps = /** @type {[string, string | null][]} */ ([
    ["appended", appended], ["planned", fanout.started_at], ...(fanout.strategy === "pull" ? [] : slices),
  ]);
  const x = index => 60 + index * 160;
  const when = at => at === appended ? at.slice(11, 23) : at ? `+${count(Date.parse(at) - Date.parse(appended))} ms` : "not yet";
  return html`
    <svg class="steps" viewBox=${`0 0 ${x(steps.length - 1) + 60} 62`} role="img"
      aria-label=${steps.map(([name, at]) => `${name}: ${when(at)}`).join(", ")}>
      ${steps.slice(1).map(([, at], index) => html`<line class=${at ? "done" : ""} x1=${x(index)} x2=${x(index + 1)} y1="26" y2="26" />`)}
      ${steps.map(([name, at], index) => html`
        <circle class=${at ? "done" : ""} cx=${x(index)} cy="26" r="7" />
        <text x=${x(index)} y="12">${name}</text><text class="when" x=${x(index)} y="52">${when(at)}</text>`)}
    </svg>`;
}
