// A live feed in a browser: EventSource can send no credential, and gives up for good after one 503.
import type { components } from "./api.js";

export type LiveFeedEvent = components["schemas"]["LiveFeedEvent"];

/** The events of a live feed until `signal` aborts. Goes on where it was after a lost connection, a 503 or a 429; throws at other refusals. */
export async function* liveFeed(url: string, credential: HeadersInit, signal: AbortSignal): AsyncGenerator<LiveFeedEvent> {
  const headers = new Headers(credential);
  while (!signal.aborted) {
    const answer = await fetch(url, { headers, signal }).catch(() => null); // null: no connection
    if (answer?.ok && answer.body) {
      for await (const event of eventsOf(answer.body)) {
        headers.set("Last-Event-ID", event.id);
        yield event;
      }
    } else if (answer && answer.status !== 503 && answer.status !== 429) {
      throw new Error(`${answer.status}: ${await answer.text()}`);
    }
    const seconds = Number(answer?.headers.get("Retry-After") ?? 2);
    if (!signal.aborted) await new Promise((resume) => setTimeout(resume, seconds * 1000));
  }
}

async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<LiveFeedEvent> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  for (let text = ""; ; ) {
    const { done, value } = await reader.read().catch(() => ({ done: true as const, value: undefined }));
    if (done) return;
    const parts = (text + value).replaceAll("\r", "").split("\n\n");
    text = parts.pop() ?? "";
    for (const part of parts) {
      const fields = Object.fromEntries(part.split("\n").map((line) => line.split(/: ?(.*)/s).slice(0, 2)));
      if (fields.data) yield { ...fields, data: JSON.parse(fields.data) } as LiveFeedEvent;
    }
  }
}
