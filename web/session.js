/** Who this tab acts as: by user id where the server trusts `X-User-Id`, else by a token for each user. */
import { settings } from "./settings.js";

const KEY = "fanfold";

const kept = /** @type {{ people: string[], tokens: Record<string, string> }} */ ({ people: ["alice", "bob", "nova"], tokens: {}, ...JSON.parse(sessionStorage.getItem(KEY) ?? "{}") });

const keep = () => sessionStorage.setItem(KEY, JSON.stringify(kept));

/** The users that this tab has acted as, and those of the demo. */
export const people = () => kept.people;

export function remember(userId) {
  if (userId && !kept.people.includes(userId)) kept.people.push(userId);
  keep();
}

export const mayActAs = userId => settings.auth === "header" || Object.hasOwn(kept.tokens, userId);

/** The headers that name the acting user. @returns {Record<string, string>} */
export function credential(userId) {
  if (settings.auth === "header") return { "X-User-Id": userId };
  return mayActAs(userId) ? { Authorization: `Bearer ${kept.tokens[userId]}` } : {};
}

/** Keep a token in this tab; answers its user. Throws if the server refuses it. */
export async function enterToken(token) {
  const answer = await fetch("/web/me", { headers: { Authorization: `Bearer ${token}` } });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.detail);
  kept.tokens[said.user_id] = token;
  remember(said.user_id);
  return said.user_id;
}

/** Forget a token that the server accepts no more. */
export function forgetToken(userId) {
  delete kept.tokens[userId];
  keep();
}

/** One word of a shell. A link to this page chooses ids, so nothing in them may end the word, or be a key that a terminal obeys. */
function word(text) {
  const shown = text.replaceAll(/\p{Cc}/gu, "");
  return /^[\w.:/@%+=-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", "'\\''")}'`;
}

/** The command that prints a token of the development issuer. */
export const tokenCommand = userId => `.venv/bin/fanfold token ${word(userId)}`;

/** A request as a command line of curl. */
export function curl(userId, method, path, body) {
  const named = settings.auth === "header" ? word(`X-User-Id: ${userId}`) : `"Authorization: Bearer $(${tokenCommand(userId)})"`;
  const sent = body && ` -H 'Content-Type: application/json' -d ${word(JSON.stringify(body))}`;
  const verb = method === "GET" || (method === "POST" && body) ? "" : ` -X ${method}`;
  return `curl -s${verb} -H ${named}${sent ?? ""} ${word(location.origin + path)}`;
}
