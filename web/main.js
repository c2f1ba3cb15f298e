/** The page: its frame, and which view a hash route shows. */
import { html, render, useEffect, useState } from "./html.js";
import { readSettings } from "./settings.js";
import { Start } from "./start.js";

/**
 * What a view gets: the parts of the route after its name, as in `#/post/{id}`, and the route's query.
 * @typedef {{ path: string[], query: URLSearchParams }} Route
 */

/** @typedef {{ title: string, view: (route: Route) => any }} View */

/** A view for each first part of a route; its title is its name in the navigation, too.
 * @type {Record<string, View>} */
const VIEWS = {
  "": { title: "Start", view: Start },
};

/** @returns {[string, Route]} */
function route() {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", ...rest] = path.split("/").map(decoded);
  return [Object.hasOwn(VIEWS, name) ? name : "", { path: rest, query: new URLSearchParams(query) }];
}

/** @param {string} part */
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
        ${Object.entries(VIEWS).map(([key, { title }]) => html`
          <a href=${`#/${key}`} aria-current=${key === name ? "page" : null}>${title}</a>`)}
        <a href="/docs">API</a>
      </nav>
    </header>
    <main id="main" tabindex="-1"><${Shown} ...${shown} /></main>`;
}

/** Move the focus without changing the route. @param {Event} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

await readSettings();
render(html`<${Page} />`, document.body);
