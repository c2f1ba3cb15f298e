/** What the API answers, and what views pass to one another; for the compiler alone, no browser loads it. */
type Delivery = "push" | "pull";
type Ranking = "chronological" | "relevance";
/** `level`: the page shows the feed. `waiting`: until the next try. `refused`: there will be none. */
type LiveState = "connecting" | "level" | "waiting" | "refused";
type Settings = { log: string, auth: "header" | "jwt", post_max_chars: number, pull_threshold: number };
type Explanation = { score: number, recency: number, engagement: number, affinity: number };
type Item = {
  post_id: string, author_id: string, author: string, content: string, created_at: string, edited_at: string | null,
  like_count: number, liked_by_me: boolean, source?: Delivery, explain?: Explanation,
};
type Viewer = { following: boolean, followed_by: boolean, muted: boolean, blocked: boolean };
type Profile = {
  user_id: string, display_name: string, bio: string | null, follower_count: number, following_count: number, post_count: number,
  delivery: Delivery, viewer: Viewer,
};
type Fanout = {
  strategy: Delivery | null, status: string, planned: number, delivered: number, slices_total: number, slices_done: number,
  started_at: string | null, first_slice_at: string | null, finished_at: string | null,
};
/** The posts of one feed as the page knows them, and which of them the stream keeps level. */
type Timeline = { items: Map<string, Item>, live: Set<string>, level: boolean };
type Pages = { order: string[], cursor: string | null, missing: string, read: boolean };
/** The parts of a hash route after its view's name, and its query. */
/** `viewer`: the user as whom the page is read. */
type Route = { path: string[], query: URLSearchParams, viewer: string };
/** `users`: those that a route acts as. Views with `at`, their address, are in the navigation. */
type View = { title: string, view: (route: Route) => any, users: (route: Route) => string[], at?: () => string };
type Kept = { people: string[], tokens: Record<string, string> };
type Step = { name: string, why: string, request: [as: string, method: string, path: string, body?: object], shown: (answer: any) => any };
/** The latest answer of a route of operators, and why there is no later one. */
type Known = { data: any, why: string, status: number };
