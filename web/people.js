/** A user: profile, side of the threshold, posts and lists, as another user sees them. */
import { call, encoded } from "./api.js";
import { html, into, useEffect, useState } from "./html.js";
import { Author, Avatar, Badge, Time, TokenEntry, count, counted, feedOf, profileOf } from "./parts.js";
import { mayActAs, people, remember } from "./session.js";
import { settings } from "./settings.js";
import { say, sayWhy } from "./status.js";

const LISTS = /** @type {const} */ (["posts", "following", "followers", "muted", "blocked"]);
const TIES = /** @type {const} */ ([["following", "following", "Follow", "Unfollow"], ["muted", "muted", "Mute", "Unmute"], ["blocked", "blocked", "Block", "Unblock"]]);

/** @param {Route} route */
export function People({ path: [id = ""], query }) {
  const viewer = query.get("as") || people()[0] || id;
  const shown = query.get("list") ?? "posts";
  const [profile, setProfile] = useState(/** @type {Profile | null} */ (null));
  const [round, setRound] = useState(0);
  const again = () => setRound(round + 1);
  useEffect(() => {
    setProfile(null);
    if (id && mayActAs(viewer)) call(viewer, "GET", `/users/${encoded(id)}`).then(({ data }) => setProfile(data)).catch(error => error.status === 404 || sayWhy(error));
  }, [id, viewer, round]);
  if (!id) return html`<h1>People</h1><${Directory} />`;
  if (!mayActAs(viewer)) return html`<h1><bdi>${id}</bdi></h1><${TokenEntry} userId=${viewer} onEnter=${again} />`;
  return html`
    <p class="soft">As <a href=${feedOf(viewer)}>${viewer}</a> sees</p>
    <h1 class="byline"><${Avatar} id=${id} name=${profile?.display_name ?? id} /><bdi>${profile?.display_name ?? id}</bdi></h1>
    ${profile && html`<${Card} profile=${profile} viewer=${viewer} again=${again} />`}
    ${id === viewer && html`<${Register} key=${`${id} ${profile?.display_name}`} viewer=${viewer} profile=${profile} again=${again} />`}
    <nav class="switch" aria-label="Lists">
      ${LISTS.filter((_, index) => index < 3 || id === viewer).map(list => html`
        <a href=${`${profileOf(id, viewer)}&list=${list}`} aria-current=${list === shown ? "true" : null}>${list}</a>`)}
    </nav>
    <${List} key=${`${id} ${viewer} ${shown} ${round}`} id=${id} viewer=${viewer} list=${shown} />`;
}

function Directory() {
  const [id, setId] = useState("");
  const open = event => { event.preventDefault(); remember(id.trim()); location.hash = profileOf(id.trim(), people()[0] ?? id.trim()); };
  return html`
    <ul class="people">${people().map(person => html`<li class="card"><${Avatar} id=${person} name=${person} /><a href=${profileOf(person, people()[0] ?? person)}>${person}</a><a class="quiet" href=${feedOf(person)}>Feed</a></li>`)}</ul>
    <form class="actions" onSubmit=${open}><label>Another user <input value=${id} onInput=${into(setId)} required /></label><button>Open</button></form>`;
}

function Card({ profile, viewer, again }) {
  const { user_id: id } = profile;
  const act = (tied, tie, done) => call(viewer, tied ? "DELETE" : "PUT", `/users/${encoded(viewer)}/${tie}/${encoded(id)}`).then(() => { say(`${done}: ${profile.display_name}.`); again(); }).catch(sayWhy);
  return html`
    <section class="card stack" aria-label="Profile">
      ${profile.bio && html`<p dir="auto">${profile.bio}</p>`}
      <p class="soft">@${id}, ${counted(profile.follower_count, "follower")}, ${count(profile.following_count)} followed, ${counted(profile.post_count, "post")}${profile.viewer.followed_by && ". Follows you"}</p>
      <${Threshold} profile=${profile} />
      ${id !== viewer && html`<div class="actions">
        ${TIES.map(([flag, tie, tieIt, untieIt]) => html`
          <button type="button" class=${flag === "following" && !profile.viewer[flag] ? "" : "quiet"} onClick=${() => act(profile.viewer[flag], tie, profile.viewer[flag] ? untieIt : tieIt)}>${profile.viewer[flag] ? untieIt : tieIt}</button>`)}
      </div>`}
    </section>`;
}

/** The author's followers against the threshold, on a logarithmic scale. */
function Threshold({ profile }) {
  const { follower_count: followers, delivery } = profile;
  const scale = value => 100 * Math.log10(1 + value) / Math.log10(1 + settings.pull_threshold * 10);
  const side = delivery === "pull" ? "posts are pulled by those who read" : "posts are pushed to each follower";
  return html`
    <p><${Badge} delivery=${delivery} /> ${side}. An author is pulled from ${count(settings.pull_threshold)} followers.</p>
    <svg class=${`threshold ${delivery}`} viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=${`${count(followers)} followers, threshold ${count(settings.pull_threshold)}`}>
      <rect class="trough" width="100" height="8" rx="1" /><rect class="share" width=${Math.min(100, scale(followers))} height="8" rx="1" /><rect class="mark" x=${scale(settings.pull_threshold)} width="0.6" height="8" />
    </svg>`;
}

/** Registers, or changes one's own profile. */
function Register({ viewer, profile, again }) {
  const [name, setName] = useState(profile?.display_name ?? viewer);
  const [bio, setBio] = useState(profile?.bio ?? "");
  const save = event => {
    event.preventDefault();
    call(viewer, "PUT", `/users/${encoded(viewer)}`, { body: { display_name: name, bio } }).then(() => { say("Saved."); again(); }).catch(sayWhy);
  };
  return html`
    <form class="actions card" onSubmit=${save}>
      <label>Name <input value=${name} maxlength="100" onInput=${into(setName)} required /></label>
      <label>About <input value=${bio} onInput=${into(setBio)} /></label>
      <button>${profile ? "Save" : "Register"}</button>
    </form>`;
}

/** A list, page by page. */
function List({ id, viewer, list }) {
  const [items, setItems] = useState(/** @type {any[]} */ ([]));
  const [cursor, setCursor] = useState(/** @type {string | null} */ (""));
  const more = () => call(viewer, "GET", `/users/${encoded(id)}/${encoded(list)}?limit=20${cursor ? `&cursor=${encoded(cursor)}` : ""}`)
    .then(({ data }) => { setItems([...items, ...data.items]); setCursor(data.next_cursor); })
    .catch(error => { setCursor(null); if (error.status !== 404) sayWhy(error); });
  useEffect(() => { more(); }, []);
  return html`
    <ul class="people" aria-label=${list}>
      ${items.map(item => item.post_id
        ? html`<li class="card post"><p dir="auto">${item.content}</p><span class="soft"><${Time} at=${item.created_at} />, ${counted(item.like_count, "like")}</span></li>`
        : html`<li class="card"><${Avatar} id=${item.user_id} name=${item.display_name} /><${Author} id=${item.user_id} name=${item.display_name} viewer=${viewer} /></li>`)}
    </ul>
    ${cursor ? html`<button class="quiet" type="button" onClick=${more}>More</button>` : cursor === null && !items.length && html`<p class="soft">Nobody and nothing here.</p>`}`;
}
