// What the reader looks at, as the address says it: a link to it shows the same.

const FIELDS = ["q", "like", "weight", "where", "min_score", "top", "play", "t", "model"];

export function readState() {
  const query = new URLSearchParams(location.search);
  return Object.fromEntries(FIELDS.map((name) => [name, query.get(name) ?? ""]));
}

// `replace` where no step back should lead to what is shown now.
export function writeState(state, { replace = false } = {}) {
  const query = new URLSearchParams(FIELDS.filter((name) => state[name]).map((name) => [name, state[name]]));
  const url = query.size ? `?${query}` : location.pathname;
  if (url === location.search || (!query.size && !location.search)) return;
  history[replace ? "replaceState" : "pushState"](null, "", url);
}

// The search that a state asks for, with a file of the reader's if there is one.
export function searchOf(state, file) {
  const values = { top: Number(state.top) || 12 };
  if (state.q) values.text = state.q;
  if (state.like && !file) values.like = state.like;
  if (state.weight && state.q && (state.like || file)) values.weight = Number(state.weight);
  if (state.where) values.where = state.where;
  if (state.min_score) values.min_score = Number(state.min_score);
  return values;
}
