/** What runs here, and how it decides. */
import { html } from "./html.js";
import { settings } from "./settings.js";

export function Start() {
  return html`
    <h1>A feed that is pushed and pulled</h1>
    <p class="lead">
      A post by an ordinary author is <b class="push">pushed</b> into each follower's timeline when it is published. A post by a
      celebrity is <b class="pull">pulled</b> when a follower reads. The reader sees one feed.
    </p>
    <dl class="facts">
      <div><dt>An author is pulled from</dt><dd>${settings.pull_threshold.toLocaleString("en")} followers</dd></div>
      <div><dt>Users are named by</dt><dd>${settings.auth === "jwt" ? "bearer tokens" : "X-User-Id"}</dd></div>
      <div><dt>A post may have</dt><dd>${settings.post_max_chars.toLocaleString("en")} characters</dd></div>
    </dl>
    <p><a href="/docs">Every route, to read and to try</a></p>`;
}
