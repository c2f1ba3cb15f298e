/** Calls of the API: retries, refusals, and the writes that later reads must show. */
import { credential, forgetToken } from "./session.js";
import { say } from "./status.js";

const MOST_TRIES = 7;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 8000;
const SHOWN_WITHIN_MS = 10_000;
const MOST_POSITIONS = 10;

/** The answers after which the same request may succeed. */
export const LATER = new Set([429, 503, 504]);

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Where the log holds the latest writes of this tab. */
let written = /** @type {{ position: string, at: number }[]} */ ([]);

export const encoded = text => encodeURIComponent(text);

/** A key that no other request has. It also works where a page has no secure context. */
export const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map(byte => byte.toString(16).padStart(2, "0")).join("");

/** Before a try; the server's own wish counts. */
export function waitMs(tries, answer) {
  const asked = Number(answer?.headers.get("Retry-After") ?? 0) * 1000;
  return Math.min(LONGEST_WAIT_MS, Math.max(asked, FIRST_WAIT_MS * 2 ** tries)) * (0.75 + Math.random() / 4);
}

/** @returns {Promise<void>} */
export const pause = (ms, /** @type {AbortSignal | void} */ signal) => new Promise(done => {
  const end = () => { clearTimeout(timer); signal?.removeEventListener("abort", end); done(); };
  const timer = setTimeout(end, ms);
  signal?.addEventListener("abort", end);
});

/**
 * Send a request until the server has answered it: every request of this page may be repeated, for a post has a key.
 * Throws `Refused`.
 * @param {string} userId @param {string} method @param {string} path
 * @param {{ body?: object, key?: string, signal?: AbortSignal }} [options] @returns {Promise<{ data: any, headers: Headers }>}
 */
export async function call(userId, method, path, { body, key, signal } = {}) {
  for (let tries = 1; ; tries++) {
    const sent = { ...(body && { "Content-Type": "application/json" }), ...(key && { "Idempotency-Key": key }) };
    const headers = { ...credential(userId), ...sent, ...after(method) };
    const request = { method, headers, body: body && JSON.stringify(body), signal, cache: /** @type {const} */ ("no-store") };
    const answer = await fetch(path, request).catch(() => null);
    signal?.throwIfAborted();
    if (answer?.ok) return { data: answer.status === 204 ? null : await answer.json(), headers: noted(answer.headers) };
    if (answer && !LATER.has(answer.status) || tries === MOST_TRIES) throw await refusal(userId, answer);
    if (!answer) written = [];
    say("The server can't answer now. Trying again.");
    await pause(waitMs(tries, answer), signal);
  }
}

/** What to change, from a problem document. */
export const reason = said => said?.errors?.[0]?.detail ?? said?.detail;

export async function refusal(userId, answer) {
  if (!answer) return new Refused(0, "The server does not answer.");
  if (answer.status === 401) forgetToken(userId);
  const said = await answer.json().catch(() => ({}));
  return new Refused(answer.status, reason(said) ?? `The server answered ${answer.status}.`);
}

/** A read names the latest writes, so that it shows them. @returns {Record<string, string>} */
function after(method) {
  written = written.filter(({ at }) => Date.now() - at < SHOWN_WITHIN_MS);
  return method === "GET" && written.length ? { "Fanfold-After": written.map(({ position }) => position).join(", ") } : {};
}

function noted(headers) {
  const position = headers.get("Fanfold-Position");
  if (position) written = [...written, { position, at: Date.now() }].slice(-MOST_POSITIONS);
  return headers;
}
