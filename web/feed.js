/** One reader's feed, or two side by side: live, paged, by time or by relevance. */
import { call, encoded, pause } from "./api.js";
import { Composer } from "./composer.js";
import { html, into, useCallback, useEffect, useLayoutEffect, useRef, useState, useWhile } from "./html.js";
import { Item } from "./item.js";
import { follow } from "./live.js";
import { Avatar, counted, profileOf } from "./parts.js";
import { people, remember } from "./session.js";
import { say, sayWhy } from "./status.js";
import { LIVE, afterEvent, newestFirst, newestId, nothing, withChange, withPage, without } from "./timeline.js";

const AGAIN_MS = 4000;
/** Above this, new posts are shown as they come. */
const NEAR_TOP_PX = 160;
const AT_FIRST = /** @type {Pages} */ ({ order: [], cursor: null, missing: "", read: false });
const MISSING = /** @type {Record<string, string>} */ ({
  timeline: "pushed posts", celebrities: "celebrities' posts", graph: "the users that you follow", likes: "your likes",
  posts: "the texts of some posts", behind: "your latest write is not visible yet",
  rebuilding: "it is being put together after a long absence",
});
const STATES = { connecting: "connecting", level: "live", waiting: "connecting again", refused: "not live" };

/** @param {Route} route */
export function Feed({ path, query }) {
  const viewers = path.filter(viewer => viewer).slice(0, 2);
  const ranking = query.get("ranking") === "relevance" ? "relevance" : "chronological";
  if (!viewers.length) return html`<h1>Whose feed?</h1><${Readers} viewers=${[]} ranking=${ranking} />`;
  return html`
    <h1 class="hidden">${viewers.length > 1 ? "Two feeds" : "A feed"}</h1>
    <${Readers} viewers=${viewers} ranking=${ranking} />
    <div class=${`columns-${viewers.length}`}>
      ${viewers.map(viewer => html`<${Column} key=${`${viewer} ${ranking}`} viewer=${viewer} ranking=${ranking} />`)}
    </div>`;
}

function Readers({ viewers, ranking }) {
  viewers.forEach(remember);
  const address = (chosen, order) => `#/feed/${chosen.filter(id => id).map(encoded).join("/")}?ranking=${order}`;
  const pick = (place, label) => html`
    <label>${label} <input list="people" size="12" autocomplete="off" value=${viewers[place] ?? ""}
      onChange=${into(id => { location.hash = address([0, 1].map(n => (n === place ? id.trim() : viewers[n])), ranking); })} /></label>`;
  return html`
    <form class="readers" aria-label="Readers" onSubmit=${event => event.preventDefault()}>
      ${pick(0, "Reader")} ${viewers.length > 0 && pick(1, "beside")}
      <datalist id="people">${people().map(person => html`<option value=${person}></option>`)}</datalist>
      <span class="switch" role="group" aria-label="Ranking">
        ${[["chronological", "By time"], ["relevance", "By relevance"]].map(([order, name]) => html`
          <a href=${address(viewers, order)} aria-current=${order === ranking ? "true" : null}>${name}</a>`)}
      </span>
    </form>`;
}

function useFeed(viewer, ranking) {
  const [timeline, change] = useState(nothing);
  const [pages, setPages] = useState(AT_FIRST);
  const [state, setState] = useState(/** @type {{ state: LiveState, why?: string }} */ ({ state: "connecting" }));
  const [seen, setSeen] = useState("");
  const [round, setRound] = useState(0);
  const again = () => setRound(n => n + 1);
  const begun = useRef(false);
  const isLevel = useRef(false);
  /** Of the reads of this round: a page of an earlier one has another order. */
  const reading = useRef(AbortSignal.abort());
  const byRelevance = ranking === "relevance";

  const read = useCallback(async cursor => {
    const signal = reading.current;
    const query = new URLSearchParams({ ranking, limit: String(LIVE), ...(byRelevance && { explain: "true" }), ...(cursor && { cursor }) });
    try {
      const { data, headers } = await call(viewer, "GET", `/users/${encoded(viewer)}/feed?${query}`, { signal });
      const ids = data.items.map(item => item.post_id);
      const missing = headers.get("Fanfold-Incomplete") ?? "";
      change(known => withPage(known, data.items));
      setPages(({ order }) => ({ order: cursor ? [...order, ...ids] : ids, cursor: data.next_cursor, missing, read: true }));
      // What the stream will bring is announced when it comes.
      if (!cursor && (byRelevance || !isLevel.current)) setSeen(newest => [newest, ...ids].reduce((a, b) => (a > b ? a : b)));
    } catch (error) {
      if (!signal.aborted) sayWhy(error);
    }
  }, [viewer, ranking]);

  useWhile(signal => { reading.current = signal; read(null); }, [read, round]);
  useWhile(signal => pages.missing && pause(AGAIN_MS, signal).then(() => signal.aborted || again()), [pages]);
  useWhile(signal => {
    const onEvent = (name, data) => change(known => afterEvent(known, name, data));
    const onState = (next, why) => {
      isLevel.current = next === "level";
      if (!isLevel.current) onEvent("cut", {});
      setState({ state: next, why });
    };
    follow(viewer, { limit: LIVE, signal, onEvent, onState });
  }, [viewer]);
  useEffect(() => {
    // The first level is where the page begins; what comes later is new.
    const newest = newestId(timeline);
    if (byRelevance || state.state !== "level" || newest <= seen) return;
    if (begun.current && scrollY > NEAR_TOP_PX) return;
    const arrived = newestFirst(timeline).filter(post => post.post_id > seen && post.author_id !== viewer).length;
    if (begun.current && arrived) say(`${counted(arrived, "new post")} in ${viewer}'s feed.`);
    setSeen(newest);
  }, [timeline, state, seen]);
  useEffect(() => { begun.current ||= state.state === "level"; }, [state]);

  const all = newestFirst(timeline);
  const ranked = pages.order.flatMap(id => timeline.items.get(id) ?? []);
  return {
    items: byRelevance ? ranked : all.filter(post => post.post_id <= seen),
    fresh: all.filter(post => post.post_id > seen && timeline.live.has(post.post_id)).length,
    showFresh: () => { setSeen(newestId(timeline)); if (byRelevance) again(); scrollTo({ top: 0 }); },
    older: pages.cursor ? () => read(pages.cursor) : null,
    again, change, pages, ...state,
  };
}

function Column({ viewer, ranking }) {
  const { items, fresh, showFresh, older, again, change, pages, state, why } = useFeed(viewer, ranking);
  const list = useFocusKept();
  return html`
    <section class="column stack" aria-label=${`${viewer}'s feed`} data-state=${state}>
      <header class="byline">
        <${Avatar} id=${viewer} name=${viewer} />
        <h2><a href=${profileOf(viewer, viewer)}>${viewer}</a></h2>
        <span class=${`state ${state}`}>${STATES[state]}</span>
      </header>
      ${why && html`<p class="banner">${why}</p>`}
      <${Composer} viewer=${viewer} />
      ${pages.missing && html`<p class="banner" role="note">
        This feed is not whole: ${pages.missing.split(", ").map(name => MISSING[name] ?? name).join(", ")}.
        ${" "}<button class="quiet" onClick=${again}>Read again</button></p>`}
      ${fresh > 0 && html`<button class="fresh" type="button" onClick=${showFresh}>${counted(fresh, "new post")}</button>`}
      <ol class="items stack" ref=${list} tabindex="-1" aria-label="Posts">
        ${items.map(post => html`<li key=${post.post_id}><${Item} post=${post} viewer=${viewer}
          onChange=${next => change(known => withChange(known, next))}
          onDrop=${dropped => { change(known => without(known, dropped)); again(); }} /></li>`)}
      </ol>
      ${older ? html`<${Older} key=${pages.cursor} read=${older} />`
        : pages.read && html`<p class="end soft">${items.length ? "That is the whole feed." : "Nothing here yet."}
          ${" "}<a href="#/people">Find people</a></p>`}
    </section>`;
}

/** The next page, when it comes into view or is asked for: one request at a time. */
function Older({ read }) {
  const button = useRef(/** @type {any} */ (null));
  const asking = useRef(false);
  const ask = async () => {
    if (asking.current) return;
    asking.current = true;
    await read();
    asking.current = false;
  };
  useEffect(() => {
    const watcher = new IntersectionObserver(([entry]) => { if (entry?.isIntersecting) ask(); }, { rootMargin: "600px" });
    watcher.observe(button.current);
    return () => watcher.disconnect();
  }, []);
  return html`<button class="quiet" type="button" ref=${button} onClick=${ask}>Older posts</button>`;
}

/** A list in which the focus stays when items move; where the focused one is gone, the list takes it. */
function useFocusKept() {
  const list = useRef(/** @type {any} */ (null));
  const focused = useRef(/** @type {Element | null} */ (null));
  if (list.current?.contains(document.activeElement)) focused.current = document.activeElement;
  useLayoutEffect(() => {
    const before = /** @type {HTMLElement | null} */ (focused.current);
    focused.current = null;
    if (!before || document.activeElement === before) return;
    (before.isConnected ? before : list.current)?.focus({ preventScroll: true });
  });
  return list;
}
