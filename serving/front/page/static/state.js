// What the reader looks at, as the address says it: a link to it shows the same.

const FIELDS = ["q", "where", "min_score", "top", "play", "t", "model"];

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

// The search that a state asks for.
export function searchOf(state) {
  const values = { text: state.q, top: Number(state.top) || 12 };
  if (state.where) values.where = state.where;
  if (state.min_score) values.min_score = Number(state.min_score);
  return values;
}
