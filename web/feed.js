/** One reader's feed, or two side by side: live, paged, by time or by relevance. */
import { call, encoded } from "./api.js";
import { Composer } from "./composer.js";
import { html, into, useCallback, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { Item } from "./item.js";
import { follow } from "./live.js";
import { Avatar, TokenEntry, counted, profileOf } from "./parts.js";
import { mayActAs, people, remember } from "./session.js";
import { say, sayWhy } from "./status.js";
import { LIVE, afterEvent, newestFirst, newestId, nothing, withPosts, without } from "./timeline.js";

const AGAIN_MS = 4000;
/** Above this, new posts are shown as they come. */
const NEAR_TOP_PX = 160;
const AT_FIRST = /** @type {Pages} */ ({ order: [], cursor: null, missing: "", read: false });
const MISSING = /** @type {Record<string, string>} */ ({
  timeline: "pushed posts", celebrities: "celebrities' posts", graph: "the users that you follow", posts: "the texts of some posts",
  likes: "your likes", rebuilding: "it is being put together after a long absence", behind: "your latest write is not visible yet",
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
    <div class=${`columns columns-${viewers.length}`}>
      ${viewers.map(viewer => html`<${Column} key=${`${viewer} ${ranking}`} viewer=${viewer} ranking=${ranking} />`)}
    </div>`;
}

/** Who reads, and in which order. */
function Readers({ viewers, ranking }) {
  viewers.forEach(remember);
  const address = (chosen, order = ranking) => `#/feed/${chosen.filter(Boolean).map(encoded).join("/")}${order === "relevance" ? "?ranking=relevance" : ""}`;
  const pick = (place, label) => html`
    <label>${label} <input list="people" size="12" autocomplete="off" value=${viewers[place] ?? ""}
      onChange=${e => { location.hash = address(place ? [viewers[0] ?? "", e.target.value.trim()] : [e.target.value.trim(), viewers[1] ?? ""]); }} /></label>`;
  return html`
    <form class="readers" aria-label="Readers" onSubmit=${e => e.preventDefault()}>
      ${pick(0, "Reader")} ${viewers.length > 0 && pick(1, "beside")}
      <datalist id="people">${people().map(person => html`<option value=${person}></option>`)}</datalist>
      <span class="switch" role="group" aria-label="Ranking">
        ${/** @type {Ranking[]} */ (["chronological", "relevance"]).map(order => html`
          <a href=${address(viewers, order)} aria-current=${order === ranking ? "true" : null}>${order === "relevance" ? "By relevance" : "By time"}</a>`)}
      </span>
    </form>`;
}

/** The state of one feed. */
function useFeed(viewer, ranking) {
  const [timeline, change] = useState(nothing);
  const [pages, setPages] = useState(AT_FIRST);
  const [state, setState] = useState(/** @type {{ state: LiveState, why?: string }} */ ({ state: "connecting" }));
  const [seen, setSeen] = useState("");
  const [round, setRound] = useState(0);
  const begun = useRef(false);

  const read = useCallback(async (cursor, signal) => {
    const query = new URLSearchParams({ ranking, limit: String(LIVE), ...(ranking === "relevance" && { explain: "true" }), ...(cursor && { cursor }) });
    const { data, headers } = await call(viewer, "GET", `/users/${encoded(viewer)}/feed?${query}`, { signal });
    const ids = data.items.map(item => item.post_id);
    change(known => withPosts(known, data.items));
    setPages(({ order }) => ({ order: cursor ? [...order, ...ids] : ids, cursor: data.next_cursor, missing: headers.get("Fanfold-Incomplete") ?? "", read: true }));
    if (!cursor) setSeen(newest => [newest, ...ids].reduce((a, b) => (a > b ? a : b)));
  }, [viewer, ranking]);

  useEffect(() => {
    const { signal, abort } = aborting();
    read(null, signal).catch(error => signal.aborted || sayWhy(error));
    return abort;
  }, [read, round]);
  useEffect(() => {
    if (!pages.missing) return;
    const timer = setTimeout(() => setRound(n => n + 1), AGAIN_MS);
    return () => clearTimeout(timer);
  }, [pages]);
  useEffect(() => {
    const { signal, abort } = aborting();
    const onEvent = (name, data) => change(known => afterEvent(known, name, data));
    follow(viewer, { limit: LIVE, signal, onEvent, onState: (next, why) => setState({ state: next, why }) });
    return abort;
  }, [viewer]);
  useEffect(() => {
    // The first level is where the page begins; what comes later is new.
    const newest = newestId(timeline);
    if (ranking === "relevance" || state.state !== "level" || newest <= seen) return;
    if (begun.current && scrollY > NEAR_TOP_PX) return;
    const arrived = newestFirst(timeline).filter(post => post.post_id > seen && post.author_id !== viewer).length;
    if (begun.current && arrived) say(`${counted(arrived, "new post")} in ${viewer}'s feed.`);
    setSeen(newest);
  }, [timeline, state, seen]);
  useEffect(() => { begun.current ||= state.state === "level"; }, [state]);

  const all = newestFirst(timeline);
  const ranked = pages.order.flatMap(id => timeline.items.get(id) ?? []);
  return {
    items: ranking === "relevance" ? ranked : all.filter(post => post.post_id <= seen),
    fresh: all.filter(post => post.post_id > seen && timeline.live.has(post.post_id)).length,
    showFresh: () => { setSeen(newestId(timeline)); if (ranking === "relevance") setRound(n => n + 1); scrollTo({ top: 0 }); },
    older: pages.cursor ? () => read(pages.cursor, new AbortController().signal).catch(sayWhy) : null,
    again: () => setRound(n => n + 1),
    change, pages, ...state,
  };
}

function aborting() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

function Column({ viewer, ranking }) {
  const [, look] = useState(0);
  const again = () => look(n => n + 1);
  if (!mayActAs(viewer)) return html`<${TokenEntry} userId=${viewer} onEnter=${again} />`;
  return html`<${LiveColumn} viewer=${viewer} ranking=${ranking} onRefused=${again} />`;
}

function LiveColumn({ viewer, ranking, onRefused }) {
  const { items, fresh, showFresh, older, again, change, pages, state, why } = useFeed(viewer, ranking);
  const list = useFocusKept();
  // A token that has expired is asked for again.
  useEffect(() => { if (!mayActAs(viewer)) onRefused(); }, [state]);
  const [name, setName] = useState(viewer);
  useEffect(() => { call(viewer, "GET", `/users/${encoded(viewer)}`).then(({ data }) => setName(data.display_name), () => {}); }, []);
  return html`
    <section class="column stack" aria-label=${`${viewer}'s feed`} data-state=${state}>
      <header class="column-top">
        <${Avatar} id=${viewer} name=${name} />
        <h2><a href=${profileOf(viewer, viewer)}><bdi>${name}</bdi></a></h2>
        <span class=${`state ${state}`}>${STATES[state]}</span>
      </header>
      ${why && html`<p class="banner">${why}</p>`}
      <${Composer} viewer=${viewer} />
      ${pages.missing && html`<p class="banner" role="note">This feed is not whole: ${pages.missing.split(", ").map(name => MISSING[name] ?? name).join(", ")}. <button class="quiet" onClick=${again}>Read again</button></p>`}
      ${fresh > 0 && html`<button class="fresh" type="button" onClick=${showFresh}>${counted(fresh, "new post")}</button>`}
      <ol class="items stack" ref=${list} tabindex="-1" aria-label="Posts">
        ${items.map(post => html`<li key=${post.post_id}><${Item} post=${post} viewer=${viewer}
          onChange=${next => change(known => withPosts(known, [next]))}
          onDrop=${dropped => { change(known => without(known, dropped)); again(); }} /></li>`)}
      </ol>
      ${older ? html`<${Older} key=${pages.cursor} read=${older} />` : pages.read && html`<${End} viewer=${viewer} empty=${!items.length} again=${again} />`}
    </section>`;
}

/** The next page, when it comes into view or is asked for. */
function Older({ read }) {
  const button = useRef(/** @type {any} */ (null));
  useEffect(() => {
    const watcher = new IntersectionObserver(([entry]) => { if (entry?.isIntersecting) { watcher.disconnect(); read(); } }, { rootMargin: "600px" });
    watcher.observe(button.current);
    return () => watcher.disconnect();
  }, []);
  return html`<button class="quiet" type="button" ref=${button} onClick=${read}>Older posts</button>`;
}

function End({ viewer, empty, again }) {
  const [target, setTarget] = useState("");
  const followUser = event => {
    event.preventDefault();
    call(viewer, "PUT", `/users/${encoded(viewer)}/following/${encoded(target.trim())}`)
      .then(() => { say(`${viewer} follows ${target.trim()}.`); setTarget(""); again(); }).catch(sayWhy);
  };
  return html`
    <form class="end soft" onSubmit=${followUser}>
      <p>${empty ? "Nothing here yet." : "That is the whole feed."}</p>
      <label>Follow <input list="people" size="12" value=${target} onInput=${into(setTarget)} required /></label> <button class="quiet">Follow</button>
    </form>`;
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
