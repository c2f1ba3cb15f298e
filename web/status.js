/** The one polite status region: what has happened, for a screen reader and for everyone else. */
import { html, useEffect, useState } from "./html.js";

const SHOWN_MS = 6000;
const AT_MOST = 3;

/** @type {(text: string) => void} */
let show = () => {};

/** Say what has happened, after what was said a moment ago. */
export const say = text => show(text);

export const sayWhy = error => say(error instanceof Error ? error.message : String(error));

export function Status() {
  const [said, setSaid] = useState(/** @type {string[]} */ ([]));
  useEffect(() => { show = text => setSaid(earlier => [...earlier.filter(other => other !== text), text].slice(-AT_MOST)); }, []);
  useEffect(() => {
    const timer = setTimeout(() => setSaid(earlier => (earlier.length ? [] : earlier)), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [said]);
  return html`<p class="status" role="status">${said.join(" ")}</p>`;
}
