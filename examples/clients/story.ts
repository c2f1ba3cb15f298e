// The demo's story with a generated client: node story.js http://127.0.0.1:8080, or with a token of ann and one of ben after it
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./api.js";
import { liveFeed } from "./live_feed.js";

const url = process.argv[2] ?? "http://127.0.0.1:8080";
const names = { ann: "Ann", ben: "Ben" };
const tokens = { ann: process.argv[3], ben: process.argv[4] };
const shownBy = (user: keyof typeof names): Record<string, string> => (tokens[user] ? { Authorization: `Bearer ${tokens[user]}` } : { "X-User-Id": user });
const as = (user: keyof typeof names) => createClient<paths>({ baseUrl: url, headers: shownBy(user) });
const [ann, ben] = [as("ann"), as("ben")];

for (const [user, display_name] of Object.entries(names)) {
  const { response } = await as(user as keyof typeof names).PUT("/users/{user_id}", { params: { path: { user_id: user } }, body: { display_name } });
  assert.ok(response.ok);
}
const followed = await ann.PUT("/users/{user_id}/following/{target_id}", { params: { path: { user_id: "ann", target_id: "ben" } } });
let after = followed.response.headers.get("Fanfold-Position");

const stop = new AbortController();
const live = liveFeed(`${url}/users/ann/feed/stream`, shownBy("ann"), stop.signal);
while ((await live.next()).value?.event !== "level"); // it shows what is there, and is open then

const texts = ["one", "two", "three"];
for (const content of texts) {
  const { data, response } = await ben.POST("/posts", { body: { content } });
  assert.equal(data?.content, content);
  after = [after, response.headers.get("Fanfold-Position")].join(", ");
}

// Reads that hold the writes above, page by page. Older posts come after them: the story may be told again.
const read: string[] = [];
let cursor: string | null | undefined;
do {
  const { data, error } = await ann.GET("/users/{user_id}/feed", {
    params: { path: { user_id: "ann" }, query: { ranking: "chronological", limit: 2, cursor }, header: { "Fanfold-After": after } },
  });
  assert.ok(data, JSON.stringify(error));
  read.push(...data.items.map((item) => item.content));
  cursor = data.next_cursor;
} while (cursor);
assert.deepEqual(read.slice(0, texts.length), texts.toReversed());

const shown = new Set<string>();
for await (const event of live) {
  if (event.event === "post") shown.add(event.data.content);
  if (texts.every((text) => shown.has(text))) break;
}
stop.abort();

const explained = await ann.GET("/users/{user_id}/feed", { params: { path: { user_id: "ann" }, query: { explain: true } } });
const item = explained.data?.items[0];
assert.ok(item && "explain" in item && item.explain.score > 0);

// A write that no engine has: 503, with the seconds to wait.
const { error, response } = await ann.GET("/users/{user_id}", {
  params: { path: { user_id: "ben" }, header: { "Fanfold-After": "graph.v1/0/999999999" } },
});
assert.equal(response.status, 503);
assert.equal(error?.type, "urn:fanfold:problem:write-not-yet-visible");
assert.ok(Number(response.headers.get("Retry-After")) > 0);
console.log("the story is told");
