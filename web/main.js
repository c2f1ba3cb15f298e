/** The page: its frame, and which view a hash route shows. */
import { Console } from "./console.js";
import { Feed } from "./feed.js";
import { html, render, useEffect, useState } from "./html.js";
import { People } from "./people.js";
import { Post } from "./post.js";
import { people } from "./session.js";
import { readSettings } from "./settings.js";
import { Start } from "./start.js";
import { Status } from "./status.js";

/** A view for each first part of a route. Those with `at`, their address, are in the navigation.
 * @type {Record<string, View>} */
const VIEWS = {
  "": { title: "Start", view: Start, at: () => "#/" },
  feed: { title: "Feed", view: Feed, at: () => `#/feed/${people()[0] ?? ""}` },
  people: { title: "People", view: People, at: () => "#/people" },
  post: { title: "Post", view: Post },
  console: { title: "Console", view: Console, at: () => "#/console/" },
};

/** @returns {[string, Route]} */
function route() {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", ...rest] = path.split("/").map(decoded);
  return [Object.hasOwn(VIEWS, name) ? name : "", { path: rest, query: new URLSearchParams(query) }];
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function Page() {
  const [[name, shown], show] = useState(route);
  useEffect(() => {
    const follow = () => show(route());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  const { title, view: Shown } = /** @type {View} */ (VIEWS[name]);
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
    <main id="main" tabindex="-1"><${Shown} ...${shown} /></main>
    <${Status} />`;
}

/** Move the focus without changing the route. */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

await readSettings();
render(html`<${Page} />`, document.body);
