/** The users that this tab acts as, by id or each by a token; and the settings of the server. */

/** What the page goes by. @type {Settings} */
export const settings = { log: "unknown", auth: "header", post_max_chars: 2000, pull_threshold: 100_000 };

/** Ask the server once. Without an answer the defaults hold: a view says that the server is away. */
export const readSettings = () => fetch("/web/settings.json")
  .then(async answer => answer.ok && Object.assign(settings, await answer.json())).catch(() => {});

const KEY = "fanfold";

/** In place of a user's id: the token for what operators see. */
export const OPERATOR = "";

/** @type {Kept} */
const kept = { people: ["alice", "bob", "nova"], tokens: {}, ...JSON.parse(sessionStorage.getItem(KEY) ?? "{}") };

const keep = () => sessionStorage.setItem(KEY, JSON.stringify(kept));

/** @type {() => void} */
let changed = () => {};

export const onTokens = call => { changed = call; };

/** The users that this tab has acted as, and those of the demo. */
export const people = () => kept.people;

export function remember(userId) {
  if (userId && !kept.people.includes(userId)) kept.people.push(userId);
  keep();
}

export const mayActAs = userId => settings.auth === "header" || Object.hasOwn(kept.tokens, userId);

/** The headers that name the acting user. @returns {Record<string, string>} */
export function credential(userId) {
  if (settings.auth === "jwt") return mayActAs(userId) ? { Authorization: `Bearer ${kept.tokens[userId]}` } : {};
  return userId === OPERATOR ? {} : { "X-User-Id": userId };
}

/** Keep a token in this tab. Throws if the server refuses it. */
export async function enterToken(token, wanted) {
  const answer = await fetch("/web/me", { headers: { Authorization: `Bearer ${token}` } });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.detail);
  const named = wanted === OPERATOR ? OPERATOR : said.user_id;
  kept.tokens[named] = token;
  remember(named);
  changed();
  return named;
}

export function forgetToken(userId) {
  delete kept.tokens[userId];
  keep();
  changed();
}

/** One word of a shell. A link to this page chooses ids, so nothing in them may end the word, or be a key that a terminal obeys. */
function word(text) {
  const shown = text.replaceAll(/\p{Cc}/gu, "");
  return /^[\w.:/@%+=-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", "'\\''")}'`;
}

export const tokenCommand = userId => `.venv/bin/fanfold token ${userId === OPERATOR ? "operator --scope fanfold:admin" : word(userId)}`;

export function curl(userId, method, path, body) {
  const named = settings.auth === "header" ? word(`X-User-Id: ${userId}`) : `"Authorization: Bearer $(${tokenCommand(userId)})"`;
  const sent = body && ` -H 'Content-Type: application/json' -d ${word(JSON.stringify(body))}`;
  const verb = method === "GET" || (method === "POST" && body) ? "" : ` -X ${method}`;
  return `curl -s${verb} -H ${named}${sent ?? ""} ${word(location.origin + path)}`;
}
