/** Where a post is written. A retry can't publish it twice: its key stays until the server has answered. */
import { call, encoded, newKey } from "./api.js";
import { html, into, useRef, useState } from "./html.js";
import { settings } from "./session.js";
import { say, sayWhy } from "./status.js";

const characters = new Intl.Segmenter();

export const lengthOf = text => [...characters.segment(text)].length;

export function Composer({ viewer }) {
  const [text, setText] = useState("");
  const [sending, setSending] = useState(false);
  const [posted, setPosted] = useState("");
  const draft = useRef({ text: "", key: "" });
  const left = settings.post_max_chars - lengthOf(text);
  const ready = !sending && text.trim() !== "" && left >= 0;
  const publish = async event => {
    event.preventDefault();
    if (!ready) return;
    // Another text is another post.
    if (draft.current.text !== text || !draft.current.key) draft.current = { text, key: newKey() };
    setSending(true);
    try {
      const { data } = await call(viewer, "POST", "/posts", { body: { content: text }, key: draft.current.key });
      draft.current = { text: "", key: "" };
      // What was typed meanwhile is the next post.
      setText(now => (now === text ? "" : now));
      setPosted(data.post_id);
      say("Published.");
    } catch (error) {
      sayWhy(error);
    }
    setSending(false);
  };
  const shortcut = event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) publish(event); };
  const id = `write-${viewer}`;
  return html`
    <form class="composer card stack" onSubmit=${publish}>
      <label class="hidden" for=${id}>A post by ${viewer}</label>
      <textarea id=${id} dir="auto" rows="2" placeholder=${`What does ${viewer} say?`} aria-describedby=${`${id}-left`} value=${text}
        onInput=${into(setText)} onKeyDown=${shortcut}></textarea>
      <p class="actions">
        <span class=${left < 0 ? "count bad" : "count soft"} id=${`${id}-left`}>${left} left</span>
        ${posted && html`<a href=${`#/post/${posted}?as=${encoded(viewer)}`}>See its fan-out</a>`}
        <button aria-disabled=${!ready}>${sending ? "Publishing" : "Publish"}</button>
      </p>
    </form>`;
}
