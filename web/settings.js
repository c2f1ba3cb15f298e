/** The settings of the server that this page goes by. */

/** @type {Settings} */
export const settings = { log: "unknown", auth: "header", post_max_chars: 2000, pull_threshold: 100_000 };

/** Ask the server once. Without an answer the defaults hold. */
export async function readSettings() {
  try {
    const answer = await fetch("/web/settings.json");
    if (answer.ok) Object.assign(settings, await answer.json());
  } catch { /* the first request of a view says that the server is away */ }
}
