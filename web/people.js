/** A user: profile, side of the threshold, posts and lists, as another user sees them. */
import { call, encoded } from "./api.js";
import { html, sent, useEffect, useState, useWhile } from "./html.js";
import { Author, Avatar, Badge, Time, count, counted, feedOf, profileOf } from "./parts.js";
import { people, remember, settings } from "./session.js";
import { say, sayWhy } from "./status.js";

const LISTS = /** @type {const} */ (["posts", "following", "followers", "muted", "blocked"]);
const TIES = /** @type {const} */ ([["following", "Follow", "Unfollow"], ["muted", "Mute", "Unmute"], ["blocked", "Block", "Unblock"]]);

/** @param {Route} route */
export function People({ path: [id = ""], query, viewer }) {
  const shown = query.get("list") ?? "posts";
  const [profile, setProfile] = useState(/** @type {Profile | null} */ (null));
  const [round, setRound] = useState(0);
  const again = () => setRound(n => n + 1);
  useWhile(signal => {
    setProfile(null);
    if (id) call(viewer, "GET", `/users/${encoded(id)}`, { signal }).then(({ data }) => setProfile(data))
      .catch(error => signal.aborted || error.status === 404 || sayWhy(error));
  }, [id, viewer, round]);
  if (!id) return html`<h1>People</h1><${Directory} />`;
  const name = profile?.display_name ?? id;
  return html`
    <p class="soft">As <a href=${feedOf(viewer)}>${viewer}</a> sees</p>
    <h1 class="byline"><${Avatar} id=${id} name=${name} /><bdi>${name}</bdi></h1>
    ${profile && html`<${Card} profile=${profile} viewer=${viewer} again=${again} />`}
    ${id === viewer && html`<${Register} key=${`${id} ${profile?.display_name}`} viewer=${viewer} profile=${profile} again=${again} />`}
    <nav class="switch" aria-label="Lists">
      ${LISTS.filter((_, index) => index < 3 || id === viewer).map(list => html`
        <a href=${`${profileOf(id, viewer)}&list=${list}`} aria-current=${list === shown ? "true" : null}>${list}</a>`)}
    </nav>
    <${List} key=${`${id} ${viewer} ${shown} ${round}`} id=${id} viewer=${viewer} list=${shown} />`;
}

function Directory() {
  const open = ({ id }) => { remember(id.trim()); location.hash = profileOf(id.trim(), people()[0]); };
  return html`
    <ul class="people">${people().map(id => html`<${Person} id=${id} name=${id} viewer=${people()[0]} />`)}</ul>
    <form class="actions" onSubmit=${sent(open)}><label>Another user <input name="id" required /></label><button>Open</button></form>`;
}

const Person = ({ id, name, viewer }) => html`
  <li class="card"><${Avatar} id=${id} name=${name} /><${Author} id=${id} name=${name} viewer=${viewer} /></li>`;

function Card({ profile, viewer, again }) {
  const { user_id: id, viewer: ties } = profile;
  const act = (tie, method, done) => call(viewer, method, `/users/${encoded(viewer)}/${tie}/${encoded(id)}`)
    .then(() => { say(`${done}: ${profile.display_name}.`); again(); }).catch(sayWhy);
  return html`
    <section class="card stack" aria-label="Profile">
      ${profile.bio && html`<p dir="auto">${profile.bio}</p>`}
      <p class="soft">@${id}, ${counted(profile.follower_count, "follower")}, ${count(profile.following_count)} followed,
        ${" "}${counted(profile.post_count, "post")}${ties.followed_by && ". Follows you"}</p>
      <${Threshold} profile=${profile} />
      ${id !== viewer && html`<div class="actions">${TIES.map(([tie, tieIt, untieIt]) => html`
        <button type="button" class=${tie === "following" && !ties[tie] ? "" : "quiet"}
          onClick=${() => (ties[tie] ? act(tie, "DELETE", untieIt) : act(tie, "PUT", tieIt))}>
          ${ties[tie] ? untieIt : tieIt}</button>`)}</div>`}
    </section>`;
}

function Threshold({ profile: { follower_count: followers, delivery } }) {
  const { pull_threshold: threshold } = settings;
  const scale = value => Math.min(100, 100 * Math.log10(1 + value) / Math.log10(1 + threshold * 10));
  const side = delivery === "pull" ? "posts are pulled by those who read" : "posts are pushed to each follower";
  return html`
    <p><${Badge} delivery=${delivery} /> ${side}. An author is pulled from ${count(threshold)} followers.</p>
    <svg class=${`threshold ${delivery}`} viewBox="0 0 100 8" preserveAspectRatio="none" role="img"
      aria-label=${`${count(followers)} followers, threshold ${count(threshold)}`}>
      <rect class="trough" width="100" height="8" rx="1" /><rect class="share" width=${scale(followers)} height="8" rx="1" />
      <rect class="mark" x=${scale(threshold)} width="0.6" height="8" />
    </svg>`;
}

function Register({ viewer, profile, again }) {
  const save = body => call(viewer, "PUT", `/users/${encoded(viewer)}`, { body }).then(() => { say("Saved."); again(); }).catch(sayWhy);
  return html`
    <form class="actions card" onSubmit=${sent(save)}>
      <label>Name <input name="display_name" defaultValue=${profile?.display_name ?? viewer} maxlength="100" required /></label>
      <label>About <input name="bio" defaultValue=${profile?.bio ?? ""} /></label>
      <button>${profile ? "Save" : "Register"}</button>
    </form>`;
}

function List({ id, viewer, list }) {
  const [items, setItems] = useState(/** @type {any[]} */ ([]));
  const [cursor, setCursor] = useState(/** @type {string | null} */ (""));
  const query = new URLSearchParams({ limit: "20", ...(cursor && { cursor }) });
  const more = () => call(viewer, "GET", `/users/${encoded(id)}/${encoded(list)}?${query}`)
    .then(({ data }) => { setItems([...items, ...data.items]); setCursor(data.next_cursor); })
    .catch(error => { setCursor(null); if (error.status !== 404) sayWhy(error); });
  useEffect(() => { more(); }, []);
  return html`
    <ul class="people" aria-label=${list}>${items.map(item => item.user_id ? html`
      <${Person} id=${item.user_id} name=${item.display_name} viewer=${viewer} />` : html`
      <li class="card post"><p dir="auto">${item.content}</p>
        <span class="soft"><${Time} at=${item.created_at} />, ${counted(item.like_count, "like")}</span></li>`)}</ul>
    ${cursor ? html`<button class="quiet" type="button" onClick=${more}>More</button>`
      : cursor === null && !items.length && html`<p class="soft">Nobody and nothing here.</p>`}`;
}
