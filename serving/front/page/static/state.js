// What the reader looks at, as the address says it: a link to it shows the same.

import { likeFile } from "./like.js";

const FIELDS = ["q", "like", "segment", "weight", "where", "min_score", "top", "play", "t", "model"];

export const now = readState();

export function readState() {
  const query = new URLSearchParams(location.search);
  return Object.fromEntries(FIELDS.map((name) => [name, query.get(name) ?? ""]));
}

// Whether anything is searched for.
export const asks = () => Boolean(now.q || now.like || likeFile());

// Whether hits may have been left out.
export const filtered = () => Boolean(now.where || now.min_score);

// Whether another state differs, if at all, in the film that is open.
export const sameSearch = (other) => FIELDS.every((name) => ["play", "t"].includes(name) || now[name] === other[name]);

// Look at something else. `replace` where no step back should lead to what is shown now; `film` where one closes a film.
export function look(values, { replace = false, film = false } = {}) {
  Object.assign(now, values);
  const query = new URLSearchParams(FIELDS.filter((name) => now[name]).map((name) => [name, now[name]]));
  const url = query.size ? `?${query}` : location.pathname;
  if (url === location.search || (!query.size && !location.search)) return;
  if (replace) history.replaceState(history.state, "", url);
  else history.pushState({ film }, "", url);
}

// Look at no film any more: the step that opened it is taken back, so that the next one leads to what was before.
export function lookAway() {
  Object.assign(now, { play: "", t: "" });
  if (history.state?.film) history.back();
  else look({}, { replace: true });
}

// The search that is looked at, with a file of the reader's if there is one.
export function searched() {
  const values = { top: Number(now.top) || 12 };
  if (now.q) values.text = now.q;
  if (now.like && !likeFile()) values.like = now.like;
  if (values.like && now.segment) values.segment = Number(now.segment);
  if (now.weight && now.q && (now.like || likeFile())) values.weight = Number(now.weight);
  if (now.where) values.where = now.where;
  if (now.min_score) values.min_score = Number(now.min_score);
  return values;
}
