/** What operators see: views of /ops, which only reads. */
import { encoded, pause, reason } from "./api.js";
import { html, sent, useEffect, useRef, useState, useWhile } from "./html.js";
import { Badge, Command, Time, TokenEntry, count } from "./parts.js";
import { OPERATOR, credential, settings } from "./session.js";

const EVERY_MS = 5000;
/** A line begins with the first sample, but is never wider than so. */
const LEAST_SPAN_MS = 60_000;
const PAGE = 20;

/** @type {Record<string, { title: string, view: (route: { query: URLSearchParams }) => any }>} */
const VIEWS = {
  "": { title: "Overview", view: Overview },
  "fan-outs": { title: "Fan-outs", view: FanOuts },
  "dead-letters": { title: "Dead letters", view: DeadLetters },
  explain: { title: "Explain", view: Explain },
  events: { title: "Events", view: Events },
  sizes: { title: "Sizes", view: Sizes },
};

/** @param {Route} route */
export function Console({ path: [name = ""], query }) {
  const { title, view: View } = VIEWS[name] ?? /** @type {any} */ (VIEWS[""]);
  return html`
    <h1 class="hidden">Console: ${title}</h1>
    <nav class="switch" aria-label="Console">
      ${Object.entries(VIEWS).map(([key, { title }]) => html`
        <a href=${`#/console/${key}`} aria-current=${key === name ? "page" : null}>${title}</a>`)}
    </nav>
    <div class="stack console"><${View} key=${name} query=${query} /></div>`;
}

/** The latest answer below /ops, and why there is no later one. */
function useOps(path) {
  const [known, set] = useState(/** @type {Known} */ ({ data: null, why: "", status: 0 }));
  const headers = credential(OPERATOR);
  useWhile(async signal => {
    while (!signal.aborted) {
      const answer = await fetch(`/ops/${path}`, { headers, signal, cache: "no-store" }).catch(() => null);
      const said = await answer?.json().catch(() => null);
      if (signal.aborted) return;
      const why = answer?.ok && said ? "" : reason(said) ?? "The console does not answer.";
      set(({ data }) => ({ data: why ? data : said, why, status: answer?.status ?? 0 }));
      await pause(EVERY_MS, signal);
    }
  }, [path, headers.Authorization]);
  return known;
}

/** What a view shows of its answer. From another machine a token is asked for. */
const shown = ({ data, why, status }, view) => html`
  ${why && html`<p class="banner">${why}</p>`}
  ${settings.auth === "jwt" && (status === 401 || status === 403) && html`<${TokenEntry} userId=${OPERATOR} />`}
  ${data && view(data)}`;

/** Each column has a name, and a field of the row or a function of it; without either the name is the field.
 * @param {{ caption: string, columns: [string, (string | ((row: any) => any))?][], rows: any[] }} table */
function Table({ caption, columns, rows }) {
  if (!rows.length) return html`<p class="card">${caption}: none.</p>`;
  return html`
    <div class="card scroll" role="region" aria-label=${caption} tabindex="0"><table>
      <caption class="hidden">${caption}</caption>
      <thead><tr>${columns.map(([name]) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>${rows.map(row => html`
        <tr key=${row.position ?? row.post_id}>${columns.map(([name, cell = name]) => html`
          <td>${typeof cell === "string" ? row[cell] : cell(row)}</td>`)}</tr>`)}</tbody>
    </table></div>`;
}

/** Fields that choose what a view shows: set when the address changes, and left alone while somebody types.
 * @param {{ view: string, label: string, asked: URLSearchParams, fields: [string, string, object?][], topics?: string[] }} choice */
function Choice({ view, label, asked, fields, topics }) {
  const choose = chosen => {
    const given = Object.entries(chosen).filter(([, value]) => value);
    const query = given.map(([name, value]) => [name, name === "until_ms" ? String(Date.parse(value)) : value]);
    location.hash = `#/console/${view}?${new URLSearchParams(query)}`;
  };
  const form = useRef(/** @type {any} */ (null));
  useEffect(() => {
    for (const field of form.current.elements) field.value = localTime(field.name, asked.get(field.name));
  }, [String(asked)]);
  return html`
    <form class="readers" ref=${form} onSubmit=${sent(choose)} aria-label=${label}>
      ${topics && html`<label>Topic <select name="topic">${topics.map(topic => html`<option>${topic}</option>`)}</select></label>`}
      ${fields.map(([name, title, more]) => html`<label>${title} <input name=${name} size="14" ...${more} /></label>`)}
      <button>Show</button>
    </form>`;
}

const localTime = (name, value) => value && name === "until_ms"
  ? new Date(Number(value) - new Date(Number(value)).getTimezoneOffset() * 60_000).toISOString().slice(0, 19) : value ?? "";

function formatted(value, unit) {
  if (value === null) return "no data";
  if (unit === "%") return `${(value * 100).toFixed(1)}%`;
  if (unit === "s") return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
  return `${Number.isInteger(value) || value >= 100 ? count(Math.round(value)) : value.toFixed(2)}${unit}`;
}

function Overview() {
  return shown(useOps("overview"), ({ log, healthy, log_unknown: unknown, processes, at_ms: times, figures }) => html`
    <p class=${healthy ? "" : "banner"}><strong>${healthy ? "Healthy" : "Not healthy"}</strong>: ${log}${unknown && `. ${unknown}`}</p>
    <div class="figures">${figures.map(figure => html`<${Figure} key=${figure.name} figure=${figure} times=${times} />`)}</div>
    <h2>Processes</h2>
    <${Table} caption="Processes" rows=${processes} columns=${[
      ["process", "name"], ["health", row => html`<span class=${row.healthy ? "" : "bad"}>${row.readiness}</span>`],
    ]} />`);
}

function Figure({ figure: { name, title, unit, values }, times }) {
  const [open, setOpen] = useState(false);
  return html`
    <section class="card" aria-labelledby=${`figure-${name}`} data-figure=${name}>
      <h2 id=${`figure-${name}`}>${title}</h2>
      <p class="value">${formatted(values.at(-1), unit)}</p>
      <svg class="line" viewBox="0 0 180 40" preserveAspectRatio="none" aria-hidden="true"><path d=${lineOf(times, values)} /></svg>
      <details onToggle=${event => setOpen(event.currentTarget.open)}>
        <summary>Fifteen minutes</summary>
        ${open && html`<${Table} caption=${title} rows=${times.map((at, index) => [at, values[index]]).reverse()} columns=${[
          ["time", ([at]) => new Date(at).toLocaleTimeString()], ["value", ([, value]) => formatted(value, unit)],
        ]} />`}
      </details>
    </section>`;
}

function lineOf(times, values) {
  const last = times.at(-1);
  const span = Math.max(LEAST_SPAN_MS, last - times[0]);
  const highest = Math.max(...values) || 1;
  return times.map((at, index) => {
    if (values[index] === null) return "";
    const point = `${(180 * (1 - (last - at) / span)).toFixed(1)} ${(38 - 36 * values[index] / highest).toFixed(1)}`;
    return (values[index - 1] ?? null) === null ? `M${point}h.5` : `L${point}`;
  }).join("");
}

function FanOuts() {
  return shown(useOps("fan-outs?limit=100"), ({ items, more }) => html`
    <${Table} caption="Fan-outs in progress" rows=${items} columns=${[
      ["post", row => html`<a href=${`#/post/${row.post_id}?as=${encoded(row.author_id)}`}>${row.post_id}</a>`],
      ["author", "author_id"], ["started", row => row.started_at && html`<${Time} at=${row.started_at} />`],
      ["followers", row => row.planned && count(row.planned)],
      ["slices left", row => `${count(row.slices_left)}${row.slices_total ? ` of ${count(row.slices_total)}` : ""}`],
    ]} />
    ${more && html`<p>There are others.</p>`}`);
}

/** The way to older records. The way back is the browser's. */
const Older = ({ view, query, cursor }) => cursor && html`
  <p><a class="button" href=${`#/console/${view}?${new URLSearchParams({ ...Object.fromEntries(query), cursor })}`}>Older</a></p>`;

function DeadLetters({ query }) {
  const asked = new URLSearchParams({ limit: String(PAGE), ...Object.fromEntries(query) });
  return shown(useOps(`dead-letters?${asked}`), ({ items, next_cursor: cursor }) => html`
    <${Table} caption="Dead letters" rows=${items} columns=${[
      ["since", row => html`<${Time} at=${row.dead_lettered_at} />`], ["origin", "position"], ["event", "type"],
      ["key"], ["reason"],
      ["to append it again", row => (row.command ? html`<${Command} line=${row.command} />` : "start again")],
    ]} />
    <${Older} view="dead-letters" query=${query} cursor=${cursor} />`);
}

function Explain({ query }) {
  const [user, post] = [query.get("user"), query.get("post")];
  return html`
    <${Choice} view="explain" label="Which post, in which feed" asked=${query} fields=${[
      ["user", "The feed of", { required: true }], ["post", "Post", { required: true, size: 36 }],
    ]} />
    ${user && post && html`<${Explanation} key=${String(query)} asked=${new URLSearchParams({ user, post })} />`}`;
}

/** Why a post is, or is not, in a feed, and the rows that decide. */
function Explanation({ asked }) {
  return shown(useOps(`explain?${asked}`), ({ in_feed: inFeed, wrong, late, reasons, user_id: user, post_id: post, ...rows }) => html`
    <p class=${wrong ? "banner" : ""} role="note">
      <strong>${inFeed ? "In the feed" : "Not in the feed"}</strong> of ${user}${wrong ? ", which is wrong." : late ? " yet." : "."}
    </p>
    <${Table} caption="Reasons" rows=${reasons} columns=${[
      ["reason"], ["in words", "says"],
      ["by the event", row => row.topic && `${row.topic}, key ${row.key}${row.offset === null ? "" : `, offset ${row.offset}`}`],
      ["at", row => row.at && html`<${Time} at=${row.at} />`],
    ]} />
    <h2>The rows that decide</h2>
    <${Table} caption="The rows that decide" rows=${Object.entries(rows)} columns=${[
      ["row", ([name]) => name.replaceAll("_", " ")], ["value", ([, value]) => valueOf(value)],
    ]} />`);
}

const valueOf = value => value === null ? "none" : typeof value !== "object" ? String(value)
  : Object.entries(value).map(([name, part]) => `${name.replaceAll("_", " ")} ${valueOf(part)}`).join(", ");

function Events({ query }) {
  const asked = new URLSearchParams({ topic: "posts.v1", limit: String(PAGE), ...Object.fromEntries(query) });
  return shown(useOps(`events?${asked}`), ({ items, topics, looked_at: lookedAt, next_cursor: cursor }) => html`
    <${Choice} view="events" label="Which events" asked=${asked} topics=${topics} fields=${[
      ["key", "Key", { maxlength: 256 }], ["type", "Type", { maxlength: 256 }], ["until_ms", "Until", { type: "datetime-local", step: 1 }],
    ]} />
    <${Table} caption="Events" rows=${items} columns=${[
      ["appended", row => html`<${Time} at=${row.appended_at} />`], ["type"], ["key"],
      ["position"], ["from", "source"],
      ["value", row => html`<details><summary>Show</summary><code>${row.value}</code></details>`],
    ]} />
    <p class="soft">${count(items.length)} of ${count(lookedAt)} records</p>
    <${Older} view="events" query=${query} cursor=${cursor} />`);
}

function Sizes() {
  return shown(useOps("sizes"), ({ threshold, threshold_at: at, pushed_again_below: below, users, all_users: all, bars, largest }) => {
    const highest = Math.log2(1 + Math.max(1, ...bars.flatMap(({ push, pull }) => [push, pull])));
    const width = 600 / bars.length;
    const bar = (side, number, x) => {
      const height = 140 * Math.log2(1 + number) / highest;
      return html`<rect class=${side} x=${x} y=${150 - height} width=${width / 2 - 1} height=${height} />`;
    };
    return html`
      <p>An author is pulled from <strong>${count(threshold)} followers</strong>, and pushed again below ${count(below)}.
        ${" "}${all ? "All" : "Some"} users: ${count(users)}, by <${Badge} delivery="push" /> and by <${Badge} delivery="pull" />,
        ${" "}on a logarithmic scale.</p>
      <svg class="sizes card" viewBox="0 0 600 170" role="img"
        aria-label=${`Users by followers; the threshold is ${count(threshold)}. The table has the numbers.`}>
        ${bars.map(({ push, pull }, index) => [bar("push", push, index * width + 1), bar("pull", pull, (index + 0.5) * width)])}
        ${bars.map(({ from }, index) => (String(from).startsWith("1") || !from) && html`
          <text x=${index * width + 1} y="166">${count(from)}</text>`)}
        <line x1=${600 * at} x2=${600 * at} y1="0" y2="150" />
      </svg>
      <h2>Users by followers</h2>
      <${Table} caption="Users by followers" rows=${bars.filter(({ push, pull }) => push + pull)} columns=${[
        ["followers, from", row => count(row.from)], ["pushed", row => count(row.push)], ["pulled", row => count(row.pull)],
      ]} />
      <h2>The largest</h2>
      <${Table} caption="The largest" rows=${largest} columns=${[
        ["user", "user_id"], ["followers", row => count(row.followers)],
        ["delivery", row => html`<${Badge} delivery=${row.delivery} />`],
      ]} />`;
  });
}
