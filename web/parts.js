/** Small parts that several views show. */
import { encoded } from "./api.js";
import { html, into, useEffect, useState } from "./html.js";
import { enterToken, tokenCommand } from "./session.js";
import { say, sayWhy } from "./status.js";

const number = new Intl.NumberFormat("en");

export const count = value => number.format(value);

/** "1 post", "2 posts". */
export const counted = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/** The address of a user's page, as another user sees it. */
export const profileOf = (userId, viewer) => `#/people/${encoded(userId)}?as=${encoded(viewer)}`;

export const feedOf = viewer => `#/feed/${encoded(viewer)}`;

/** Initials on a colour of the id: an image would come from another origin. */
export function Avatar({ id, name }) {
  const hue = 137 * [...id].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 997, 7) % 360;
  const initials = name.trim().split(/\s+/).slice(0, 2).map(word => /[\p{L}\p{N}]/u.exec(word)?.[0] ?? "").join("");
  return html`<span class="avatar" style=${{ background: `oklch(.48 .11 ${hue})` }} aria-hidden="true">${initials || "?"}</span>`;
}

/** A name from outside: its direction is its own. */
export const Author = ({ id, name, viewer }) => html`<a class="author" href=${profileOf(id, viewer)}><bdi>${name}</bdi></a>`;

export const Badge = ({ delivery }) => html`<span class=${`badge ${delivery}`}>${delivery}</span>`;

export function Time({ at }) {
  const [now, tick] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => tick(Date.now()), 10_000);
    return () => clearInterval(timer);
  }, []);
  const s = Math.max(0, Math.round((now - Date.parse(at)) / 1000));
  const shown = s < 5 ? "now" : s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 86_400 ? `${Math.floor(s / 3600)} h` : at.slice(0, 10);
  return html`<time datetime=${at} title=${at}>${shown}</time>`;
}

/** A command to copy. */
export function Command({ line }) {
  const copy = () => navigator.clipboard.writeText(line).then(() => say("Copied."), sayWhy);
  return html`<div class="command"><code tabindex="0">${line}</code><button class="quiet" type="button" onClick=${copy}>Copy</button></div>`;
}

/** Where a user's token is entered; the server says if it takes it. */
export function TokenEntry({ userId, onEnter }) {
  const [token, setToken] = useState("");
  const enter = event => {
    event.preventDefault();
    enterToken(token.trim()).then(entered => {
      if (entered === userId) return onEnter();
      location.hash = feedOf(entered);
    }).catch(sayWhy);
  };
  return html`
    <form class="card stack" onSubmit=${enter}>
      <h3>A token for ${userId}</h3>
      <p>Here users are named by bearer tokens. This one stays in this tab. With the development issuer:</p>
      <${Command} line=${tokenCommand(userId)} />
      <label>Token <input type="password" autocomplete="off" value=${token} onInput=${into(setToken)} required /></label>
      <button>Use it</button>
    </form>`;
}
