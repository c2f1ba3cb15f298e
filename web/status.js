/** The one polite status region: what has happened, for a screen reader and for everyone else. */
import { html, useEffect, useState } from "./html.js";

const SHOWN_MS = 6000;

/** @type {(text: string) => void} */
let show = () => {};

/** Say what has happened. */
export const say = text => show(text);

/** Say why something failed. */
export const sayWhy = error => say(error instanceof Error ? error.message : String(error));

export function Status() {
  const [said, setSaid] = useState("");
  useEffect(() => { show = setSaid; }, []);
  useEffect(() => {
    const timer = setTimeout(() => setSaid(""), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [said]);
  return html`<p class="status" role="status">${said}</p>`;
}
