/** A live feed: server-sent events by `fetch`, which sends a credential, as `EventSource` does not. */
import { LATER, encoded, pause, refusal, waitMs } from "./api.js";
import { credential } from "./session.js";

/** Without a byte for so long, heartbeats included, a stream is dead. */
const SILENCE_MS = 40_000;

/** Follow a user's feed until the signal aborts. After a break it goes on from the last event; the event `fresh`: it begins again. */
export async function follow(viewer, { limit, signal, onEvent, onState }) {
  let lastId = "";
  for (let tries = 1; !signal.aborted; tries++) {
    onState("connecting");
    if (!lastId) onEvent("fresh", {});
    const headers = { ...credential(viewer), Accept: "text/event-stream", ...(lastId && { "Last-Event-ID": lastId }) };
    const path = `/users/${encoded(viewer)}/feed/stream?limit=${limit}`;
    const answer = await fetch(path, { headers, signal, cache: "no-store" }).catch(() => null);
    if (signal.aborted) return;
    if (answer?.ok && answer.body) {
      try {
        for await (const event of events(answer.body)) {
          if (signal.aborted) return;
          lastId = event.id || lastId;
          tries = 0;
          onEvent(event.name, JSON.parse(event.data));
          if (event.name === "level") onState("level");
        }
      } catch { /* cut off: the next stream goes on from the last event */ }
    } else if (answer?.status === 422 && lastId) {
      lastId = "";
      continue;
    } else if (answer && !LATER.has(answer.status)) {
      return onState("refused", (await refusal(viewer, answer)).message);
    }
    if (!signal.aborted) onState("waiting");
    await pause(waitMs(tries, answer), signal);
  }
}

/** The events of a stream, as they come. Ends or throws when the stream does. */
async function* events(body) {
  const reader = body.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  let rest = "";
  try {
    for (;;) {
      const silence = pause(SILENCE_MS).then(() => ({ done: true, value: "" }));
      const { done, value } = await Promise.race([reader.read(), silence]);
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const field = name => new RegExp(`^${name}: ?(.*)$`, "m").exec(block)?.[1] ?? "";
        if (field("data")) yield { name: field("event"), id: field("id"), data: field("data") };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
