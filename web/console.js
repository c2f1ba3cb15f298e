/** What operators see: views of /ops, which only reads. */
import { html, useEffect, useState } from "./html.js";
import { Badge, Command, Time, count } from "./parts.js";

const EVERY_MS = 5000;
/** A line begins with the first sample, but is never wider than so. */
const LEAST_SPAN_MS = 60_000;
const PAGE = 20;

/** @type {Record<string, { title: string, view: (route: { query: URLSearchParams }) => any }>} */
const VIEWS = {
  "": { title: "Overview", view: Overview },
  "fan-outs": { title: "Fan-outs", view: FanOuts },
  "dead-letters": { title: "Dead letters", view: DeadLetters },
  events: { title: "Events", view: Events },
  sizes: { title: "Sizes", view: Sizes },
};

/** @param {Route} route */
export function Console({ path: [name = ""], query }) {
  const { title, view: View } = VIEWS[name] ?? /** @type {any} */ (VIEWS[""]);
  return html`
    <h1 class="hidden">Console: ${title}</h1>
    <nav class="switch" aria-label="Console">
      ${Object.entries(VIEWS).map(([key, { title }]) => html`<a href=${`#/console/${key}`} aria-current=${key === name ? "page" : null}>${title}</a>`)}
    </nav>
    <div class="stack console"><${View} key=${name} query=${query} /></div>`;
}

/** The latest answer below /ops, and why there is no later one. It is asked for again and again. */
function useOps(path) {
  const [known, set] = useState(/** @type {{ data: any, why: string }} */ ({ data: null, why: "" }));
  useEffect(() => {
    const aborting = new AbortController();
    /** @type {ReturnType<typeof setTimeout>} */
    let timer;
    const ask = async () => {
      const answer = await fetch(`/ops/${path}`, { signal: aborting.signal, cache: "no-store" }).catch(() => null);
      const said = await answer?.json().catch(() => null);
      if (aborting.signal.aborted) return;
      set(({ data }) => (answer?.ok && said ? { data: said, why: "" } : { data, why: said?.detail ?? "The console does not answer." }));
      timer = setTimeout(ask, EVERY_MS);
    };
    ask();
    return () => { aborting.abort(); clearTimeout(timer); };
  }, [path]);
  return known;
}

/** What a view shows of its answer, once there is one. */
const shown = ({ data, why }, view) => html`${why && html`<p class="banner">${why}</p>`}${data && view(data)}`;

/** A table that scrolls by itself where it is wider than the screen. @param {{ caption: string, columns: [string, (row: any) => any][], rows: any[] }} table */
function Table({ caption, columns, rows }) {
  if (!rows.length) return html`<p class="card">${caption}: none.</p>`;
  return html`
    <div class="card scroll" role="region" aria-label=${caption} tabindex="0"><table>
      <caption class="hidden">${caption}</caption>
      <thead><tr>${columns.map(([name]) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>${rows.map(row => html`<tr key=${row.position ?? row.post_id}>${columns.map(([, cell]) => html`<td>${cell(row)}</td>`)}</tr>`)}</tbody>
    </table></div>`;
}

/** A value with its unit, in few characters. */
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
    <${Table} caption="Processes" rows=${processes} columns=${[["process", row => row.name], ["health", row => html`<span class=${row.healthy ? "" : "bad"}>${row.readiness}</span>`]]} />`);
}

/** One figure: its present value, its last fifteen minutes as a line, and the table behind the line. */
function Figure({ figure: { name, title, unit, values }, times }) {
  const [open, setOpen] = useState(false);
  const newest = times.length - 1;
  const highest = Math.max(...values);
  return html`
    <section class="card" aria-labelledby=${`figure-${name}`} data-figure=${name}>
      <h2 id=${`figure-${name}`}>${title}</h2>
      <p class="value">${formatted(values[newest], unit)}</p>
      <svg class="line" viewBox="0 0 180 40" preserveAspectRatio="none" aria-hidden="true"><path d=${lineOf(times, values, highest || 1)} /></svg>
      <details onToggle=${event => setOpen(event.currentTarget.open)}>
        <summary>Fifteen minutes</summary>
        ${open && html`<${Table} caption=${title} rows=${times.map((at, index) => [at, values[index]]).reverse()}
          columns=${[["time", ([at]) => new Date(at).toLocaleTimeString()], ["value", ([, value]) => formatted(value, unit)]]} />`}
      </details>
    </section>`;
}

/** A path through the values; it is broken where there is no data. */
function lineOf(times, values, highest) {
  const last = times.at(-1);
  const span = Math.max(LEAST_SPAN_MS, last - times[0]);
  let drawing = false;
  return times.map((at, index) => {
    if (values[index] === null) return (drawing = false), "";
    const point = `${(180 * (1 - (last - at) / span)).toFixed(1)} ${(38 - 36 * values[index] / highest).toFixed(1)}`;
    const step = drawing ? `L${point}` : `M${point}h.5`;
    drawing = true;
    return step;
  }).join("");
}

function FanOuts() {
  return shown(useOps("fan-outs?limit=100"), ({ items, more }) => html`
    <${Table} caption="Fan-outs in progress" rows=${items} columns=${[
      ["post", row => html`<a href=${`#/post/${row.post_id}?as=${row.author_id}`}>${row.post_id}</a>`], ["author", row => row.author_id], ["started", row => row.started_at && html`<${Time} at=${row.started_at} />`],
      ["followers", row => row.planned && count(row.planned)], ["slices left", row => `${count(row.slices_left)}${row.slices_total ? ` of ${count(row.slices_total)}` : ""}`],
    ]} />
    ${more && html`<p>There are others.</p>`}`);
}

/** A page of records, and the way to older ones. The way back is the browser's. */
function Older({ view, query, cursor }) {
  const older = new URLSearchParams(query);
  older.set("cursor", cursor ?? "");
  return cursor && html`<p><a class="button" href=${`#/console/${view}?${older}`}>Older</a></p>`;
}

function DeadLetters({ query }) {
  const asked = new URLSearchParams({ limit: String(PAGE), ...Object.fromEntries(query) });
  return shown(useOps(`dead-letters?${asked}`), ({ items, next_cursor: cursor }) => html`
    <${Table} caption="Dead letters" rows=${items} columns=${[
      ["since", row => html`<${Time} at=${row.dead_lettered_at} />`], ["origin", row => row.position], ["event", row => row.type], ["key", row => row.key],
      ["reason", row => row.reason], ["to append it again", row => (row.command ? html`<${Command} line=${row.command} />` : "start again")],
    ]} />
    <${Older} view="dead-letters" query=${query} cursor=${cursor} />`);
}

function Events({ query }) {
  const asked = new URLSearchParams({ topic: "posts.v1", limit: String(PAGE), ...Object.fromEntries(query) });
  const until = asked.get("until_ms");
  const choose = event => {
    event.preventDefault();
    const chosen = /** @type {Record<string, string>} */ (Object.fromEntries(new FormData(event.currentTarget)));
    const { until: time, ...rest } = chosen;
    location.hash = `#/console/events?${new URLSearchParams({ ...rest, ...(time && { until_ms: String(Date.parse(time)) }) })}`;
  };
  return shown(useOps(`events?${asked}`), ({ items, topics, looked_at: lookedAt, next_cursor: cursor }) => html`
    <form class="readers" key=${String(asked)} onSubmit=${choose} aria-label="Which events">
      <label>Topic <select name="topic">${topics.map(topic => html`<option selected=${topic === asked.get("topic")}>${topic}</option>`)}</select></label>
      <label>Key <input name="key" size="14" maxlength="256" defaultValue=${asked.get("key") ?? ""} /></label>
      <label>Type <input name="type" size="14" maxlength="256" defaultValue=${asked.get("type") ?? ""} /></label>
      <label>Until <input name="until" type="datetime-local" step="1" defaultValue=${until ? localTime(Number(until)) : ""} /></label>
      <button>Show</button>
    </form>
    <${Table} caption="Events" rows=${items} columns=${[
      ["appended", row => html`<${Time} at=${row.appended_at} />`], ["type", row => row.type], ["key", row => row.key], ["position", row => row.position],
      ["from", row => row.source], ["value", row => html`<details><summary>Show</summary><code>${row.value}</code></details>`],
    ]} />
    <p class="soft">${count(items.length)} of ${count(lookedAt)} records</p>
    <${Older} view="events" query=${query} cursor=${cursor} />`);
}

const localTime = ms => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);

/** The lowest numbers of bars: 0, 1, 2, 5, 10, 20, 50 and so on, up to the bar of the highest number. */
function lowestUpTo(highest) {
  const lowest = [0];
  for (let decade = 1; decade <= highest; decade *= 10) lowest.push(...[decade, 2 * decade, 5 * decade].filter(step => step <= highest));
  return lowest;
}

function Sizes() {
  return shown(useOps("sizes"), ({ threshold, pushed_again_below: below, users, all_users: all, bars, largest }) => {
    const known = new Map(bars.map(bar => [bar.from, bar]));
    const rows = lowestUpTo(Math.max(threshold, bars.at(-1)?.from ?? 0)).map(from => known.get(from) ?? { from, push: 0, pull: 0 });
    const highest = Math.log2(1 + Math.max(1, ...rows.map(({ push, pull }) => Math.max(push, pull))));
    const width = 600 / rows.length;
    const steps = /** @type {any} */ (lowestUpTo(threshold * 10));
    const index = steps.findLastIndex(step => step <= threshold);
    // Within its bar, on the scale of the bars.
    const at = width * (index + Math.log(threshold / steps[index]) / Math.log(steps[index + 1] / steps[index]));
    const bar = (kind, number, x) => html`<rect class=${kind} x=${x} y=${150 - 140 * Math.log2(1 + number) / highest} width=${width / 2 - 1} height=${140 * Math.log2(1 + number) / highest} />`;
    return html`
      <p>An author is pulled from <strong>${count(threshold)} followers</strong>, and pushed again below ${count(below)}.
        ${" "}${all ? "All" : "Some"} users: ${count(users)}, by <${Badge} delivery="push" /> and by <${Badge} delivery="pull" />, on a logarithmic scale.</p>
      <svg class="sizes card" viewBox="0 0 600 170" role="img" aria-label=${`Users by followers; the threshold is ${count(threshold)}. The table has the numbers.`}>
        ${rows.map(({ push, pull }, index) => [bar("push", push, index * width + 1), bar("pull", pull, (index + 0.5) * width)])}
        ${rows.map(({ from }, index) => (String(from).startsWith("1") || !from) && html`<text x=${index * width + 1} y="166">${count(from)}</text>`)}
        <line x1=${at} x2=${at} y1="0" y2="150" />
      </svg>
      <h2>Users by followers</h2>
      <${Table} caption="Users by followers" rows=${rows.filter(({ push, pull }) => push + pull)}
        columns=${[["followers, from", row => count(row.from)], ["pushed", row => count(row.push)], ["pulled", row => count(row.pull)]]} />
      <h2>The largest</h2>
      <${Table} caption="The largest" rows=${largest}
        columns=${[["user", row => row.user_id], ["followers", row => count(row.followers)], ["delivery", row => html`<${Badge} delivery=${row.delivery} />`]]} />`;
  });
}
