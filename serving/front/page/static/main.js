// The page: a search, its hits, and what is done with them.

import { gallery, Problem, search, signOut, videos } from "./api.js";
import { cardsShown, dim, momentOf, showHits } from "./cards.js";
import { forgetWaiting } from "./frames.js";
import { setUpHabits } from "./habits.js";
import { canLike, keepFile, likeFile, setUpLike, showLike, textBeside } from "./like.js";
import { setUpModels, showModel } from "./models.js";
import { play, setUpPlayer } from "./player.js";
import { readState, searchOf, writeState } from "./state.js";
import { askForToken } from "./token.js";
import { setUpUpload } from "./upload.js";
import { milliseconds, plural } from "./words.js";

const form = document.getElementById("search");
const answer = document.getElementById("answer");
const trouble = document.getElementById("trouble");
const more = document.getElementById("more");
const player = document.getElementById("player");
const root = document.documentElement;

let state = readState();
let hits = [];
let cursor = null;
let running = new AbortController();

setUpHabits(form.elements.q);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const asked = Object.fromEntries(new FormData(form));
  const plain = { top: asked.top === "12" ? "" : asked.top, weight: asked.weight === "0.5" ? "" : asked.weight };
  state = { ...state, ...asked, ...plain, q: asked.q.trim(), play: "", t: "" };
  writeState(state);
  run();
});
more.addEventListener("click", () => (asks() ? run : browse)({ further: true }));
addEventListener("popstate", show);
document.getElementById("sign-out").addEventListener("click", async () => {
  await signOut();
  location.assign("/");
});
setUpPlayer({
  moved(hit, seconds) {
    state = { ...state, play: hit?.id ?? "", t: hit ? String(Math.round(seconds * 1000) / 1000) : "" };
    writeState(state, { replace: true });
  },
  step(hit, by) {
    const next = hits[hits.findIndex((each) => each.id === hit.id) + by];
    if (next) play(next, momentOf(next));
  },
});
setUpModels((model) => {
  state = { ...state, model, play: "", t: "" };
  writeState(state);
  show();
  about();
});
setUpLike(searchLike);
setUpUpload({
  like: canLike && ((file) => searchLike({ file })),
  done: () => about(),
  refused: (error) => {
    if (error.status === 401) askForToken().then(about);
  },
});
show();
about();

// Whether anything is searched for.
function asks() {
  return Boolean(state.q || state.like || likeFile());
}

// Search with a video of the gallery, with a file, or without either again.
function searchLike({ id = "", file = null }) {
  keepFile(file);
  const q = id || file ? textBeside(form.elements.q.value.trim()) : state.q;
  state = { ...state, q, like: id, weight: "", play: "", t: "" };
  form.elements.q.value = q;
  if (player.open) player.close();
  writeState(state);
  if (asks()) run();
  else show();
}

// Show what the address says.
function show() {
  keepFile(null);
  state = readState();
  for (const name of ["q", "where", "min_score"]) form.elements[name].value = state[name];
  form.elements.top.value = state.top || "12";
  showModel(state.model);
  const filtered = Boolean(state.where || state.min_score);
  document.getElementById("filters").classList.toggle("used", filtered);
  if (filtered) document.getElementById("filters").open = true;
  if (!state.play && player.open) player.close();
  if (asks()) run();
  else reset();
}

function reset() {
  document.getElementById("hint").hidden = false;
  showLike(state);
  document.title = "framesift";
  answer.textContent = "";
  form.elements.q.focus();
  browse();
}

// What is in the gallery, while nothing is searched for.
async function browse({ further = false } = {}) {
  await load(further, async (signal) => {
    const page = await videos(further ? cursor : "", signal);
    answer.textContent = page.count ? `${plural(page.count, "video")} in the gallery` : "The gallery is empty: add videos.";
    return { found: page.videos, next: page.next };
  });
}

async function run({ further = false } = {}) {
  document.getElementById("hint").hidden = true;
  document.getElementById("filters").classList.toggle("used", Boolean(state.where || state.min_score));
  showLike(state);
  document.title = `${state.q || `Like ${likeFile()?.name ?? state.like}`} \u2013 framesift`;
  const done = await load(further, async (signal) => {
    const began = performance.now();
    const values = searchOf(state, likeFile());
    if (further) values.after = cursor;
    const told = await search(values, signal, likeFile());
    const [result] = told.results;
    const seconds = (performance.now() - began) / 1000;
    const shown = (further ? cardsShown() : 0) + result.hits.length;
    tell(told, result, seconds, shown);
    return { found: result.hits, next: result.next };
  });
  const linked = done && hits.find((hit) => hit.id === state.play);
  if (linked && !player.open) play(linked, state.t === "" ? momentOf(linked) : Number(state.t));
}

// Show what `ask` finds, or what is wrong; only the last one asked is shown. Says whether it was.
async function load(further, ask) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  if (!further) {
    forgetWaiting();
    dim();
  }
  try {
    const { found, next } = await ask(signal);
    if (signal.aborted) return false;
    complain("");
    hits = further ? [...hits, ...found] : found;
    showHits(found, play, { alike: canLike ? (hit) => searchLike({ id: hit.id }) : null, more: further });
    cursor = next ?? null;
    more.hidden = !cursor;
    return true;
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return false;
    if (!(error instanceof Problem)) throw error;
    hits = [];
    showHits([], play);
    answer.textContent = "";
    more.hidden = true;
    complain(error.message);
    if (error.status === 401 && (await askForToken())) {
      about();
      show();
    }
    return false;
  }
}

function tell(found, result, seconds, shown) {
  const head = document.createElement("strong");
  head.textContent = shown ? `${shown} best` : "Nothing";
  const of = shown ? ` of ${plural(result.among, "video")}` : state.where || state.min_score ? " fits these filters" : " is in the gallery";
  const exact = found.exact ? "exact: every video was scored" : "not exact: a short list was scored";
  const took = `${milliseconds(found.seconds)} in the server, ${milliseconds(seconds)} until here`;
  answer.replaceChildren(head, `${of} \u00b7 ${took} \u00b7 ${exact}`);
  if (result.cut) answer.append(" \u00b7 the text is longer than the model reads: its end was left out");
}

function complain(words) {
  trouble.textContent = words;
  trouble.hidden = !words;
}

async function about() {
  try {
    const told = await gallery();
    document.getElementById("facts").textContent = `${plural(told.count, "video")} \u00b7 ${told.system} ${told.fingerprint.slice(0, 12)}`;
    document.getElementById("sign-out").hidden = !root.dataset.tokens;
  } catch (error) {
    if (error.status === 401 && (await askForToken())) about();
  }
}
