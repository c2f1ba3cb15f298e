/** The page: its frame, and which view a hash route shows. */
import { Console } from "./console.js";
import { Feed } from "./feed.js";
import { html, render, useEffect, useState, useWhile } from "./html.js";
import { TokenEntry } from "./parts.js";
import { People } from "./people.js";
import { Post } from "./post.js";
import { mayActAs, onTokens, people, readSettings } from "./session.js";
import { CAST, Start } from "./start.js";
import { Status } from "./status.js";

/** A view for each first part of a route. @type {Record<string, View>} */
const VIEWS = {
  "": { title: "Start", view: Start, users: () => Object.keys(CAST), at: () => "#/" },
  feed: { title: "Feed", view: Feed, users: ({ path }) => path.filter(part => part), at: () => `#/feed/${people()[0]}` },
  people: { title: "People", view: People, users: ({ path, viewer }) => (path[0] ? [viewer] : []), at: () => "#/people" },
  post: { title: "Post", view: Post, users: ({ viewer }) => [viewer] },
  console: { title: "Console", view: Console, users: () => [], at: () => "#/console/" },
};

/** @returns {[string, Route]} */
function route() {
  const [path = "", search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", ...rest] = path.split("/").map(decoded);
  const query = new URLSearchParams(search);
  return [Object.hasOwn(VIEWS, name) ? name : "", { path: rest, query, viewer: query.get("as") || people()[0] || "" }];
}

/** Unlike `decodeURIComponent` it refuses no text. */
const decoded = part => new URLSearchParams(`part=${part.replaceAll("+", "%2B").replaceAll("&", "%26")}`).get("part") ?? "";

function Page() {
  const [[name, shown], show] = useState(route);
  useWhile(signal => addEventListener("hashchange", () => show(route()), { signal }), []);
  const [, look] = useState(0);
  useEffect(() => onTokens(() => look(n => n + 1)), []);
  const { title, users, view: Shown } = /** @type {View} */ (VIEWS[name]);
  const unnamed = users(shown).find(id => !mayActAs(id));
  useEffect(() => { document.title = `${title} · Fanfold`; }, [title]);
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header class="top">
      <a class="brand" href="#/"><img src="/web/icon.svg" alt="" width="28" height="28" />Fanfold</a>
      <nav aria-label="Views">
        ${Object.entries(VIEWS).map(([key, { title, at }]) => at && html`
          <a href=${at()} aria-current=${key === name ? "page" : null}>${title}</a>`)}
        <a href="/docs">API</a>
      </nav>
    </header>
    <main id="main" tabindex="-1">
      ${unnamed && html`<${TokenEntry} key=${unnamed} userId=${unnamed} />`}
      ${(!unnamed || !name) && html`<${Shown} ...${shown} />`}
    </main>
    <${Status} />`;
}

/** Move the focus without changing the route. */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

await readSettings();
render(html`<${Page} />`, document.body);
