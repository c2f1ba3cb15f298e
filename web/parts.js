/** Small parts that several views show. */
import { encoded, pause } from "./api.js";
import { html, sent, useState, useWhile } from "./html.js";
import { OPERATOR, enterToken, tokenCommand } from "./session.js";
import { say, sayWhy } from "./status.js";

const TICK_MS = 10_000;
const number = new Intl.NumberFormat("en");

export const count = value => number.format(value);

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
  useWhile(async signal => { for (; !signal.aborted; await pause(TICK_MS, signal)) tick(Date.now()); }, []);
  const s = Math.max(0, Math.round((now - Date.parse(at)) / 1000));
  const shown = s < 5 ? "now" : s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min`
    : s < 86_400 ? `${Math.floor(s / 3600)} h` : at.slice(0, 10);
  return html`<time datetime=${at} title=${at}>${shown}</time>`;
}

export function Command({ line }) {
  const copy = () => navigator.clipboard.writeText(line).then(() => say("Copied."), sayWhy);
  return html`
    <div class="command"><code tabindex="0">${line}</code><button class="quiet" type="button" onClick=${copy}>Copy</button></div>`;
}

/** Where the token of a user, or of an operator, is entered; the server says if it takes it. */
export function TokenEntry({ userId }) {
  const enter = ({ token }) => enterToken(token.trim(), userId)
    .then(entered => { if (entered !== userId) location.hash = feedOf(entered); }).catch(sayWhy);
  const why = userId === OPERATOR ? "From another machine it must have the scope fanfold:admin." : "Here users are named by bearer tokens.";
  return html`
    <form class="card stack" onSubmit=${sent(enter)}>
      <h2>A token for ${userId || "an operator"}</h2>
      <p>${why} It stays in this tab. With the development issuer:</p>
      <${Command} line=${tokenCommand(userId)} />
      <label>Token <input name="token" type="password" autocomplete="off" required /></label>
      <button>Use it</button>
    </form>`;
}
