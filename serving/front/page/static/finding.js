// The hits of a search, or the videos of the gallery while nothing is searched for: asked for, shown, and gone on with.

import { about } from "./about.js";
import { complain, showMore, tell, tellFailed, tellListed } from "./answer.js";
import { alone, Problem, search, videos } from "./api.js";
import { cardsShown, dim, showHits, undim } from "./cards.js";
import { forgetWaiting } from "./frames.js";
import { likeFile } from "./like.js";
import { play } from "./player.js";
import { asks, filtered, now, searched } from "./state.js";
import { askForToken } from "./token.js";
import { momentOf } from "./words.js";

const SEEN_MS = 300;
const player = document.getElementById("player");

let hits = [];
let cursor = null;
let running = new AbortController();
let alike = () => {};
// Of what was added here: the version that shows it, and how often it is looked for.
let added = { version: 0, tries: 0 };

// `like` is called with the hit whose like is wanted.
export function setUpFinding({ like }) {
  alike = like;
  document.getElementById("more").addEventListener("click", () => find({ further: Boolean(cursor) }));
}

// A hit's neighbour among those that are shown.
export function beside(hit, by) {
  const place = hits.findIndex((each) => each.id === hit.id);
  return place < 0 ? undefined : hits[place + by];
}

// A video was added: lists are asked for until they have it, which takes a second.
export function expect({ version }) {
  added = { version, tries: 20 };
}

// Ask for what is looked at, or for what comes after it.
export async function find({ further = false } = {}) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  if (!further) begin();
  try {
    const { found, next } = await (asks() ? hitsOf : listOf)(further, signal);
    if (signal.aborted) return;
    complain("");
    hits = further ? [...hits, ...found] : found;
    showHits(found, { play, alike, more: further });
    cursor = next ?? null;
    showMore(Boolean(cursor));
    if (!further) await openLinked(signal);
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    if (further) stay(error);
    else fail(error);
    if (error.status === 401 && (await askForToken())) find({ further });
  }
}

function begin() {
  const name = now.q || likeFile()?.name || now.like;
  document.title = name ? `${now.q ? name : `Like ${name}`} \u2013 framesift` : "framesift";
  document.getElementById("hint").hidden = asks();
  document.getElementById("filters").classList.toggle("used", filtered());
  forgetWaiting();
  dim();
  about();
}

async function listOf(further, signal) {
  const page = await videos(now.where, further ? cursor : "", signal);
  tellListed(page.count, Boolean(now.where));
  if (page.version < added.version && added.tries) {
    added.tries -= 1;
    setTimeout(() => signal.aborted || find(), SEEN_MS);
  }
  return { found: page.videos, next: page.next };
}

async function hitsOf(further, signal) {
  const began = performance.now();
  const values = searched();
  if (further) values.after = cursor;
  const told = await search(values, signal, likeFile());
  const [result] = told.results;
  const seconds = (performance.now() - began) / 1000;
  tell(told, result, seconds, (further ? cardsShown() : 0) + result.hits.length, filtered());
  return { found: result.hits, next: result.next };
}

// Show the film that the address names, though it may be none of the first hits.
async function openLinked(signal) {
  if (!now.play || player.open) return;
  try {
    const values = asks() && !likeFile() ? searched() : null;
    const linked = hits.find((hit) => hit.id === now.play) ?? (await alone(now.play, values, signal));
    if (!signal.aborted) play(linked, now.t === "" ? momentOf(linked) : Number(now.t), { still: true });
  } catch (error) {
    if (error instanceof Problem) complain(error.message);
    else throw error;
  }
}

function fail(error) {
  hits = [];
  cursor = null;
  showHits([], { play, alike });
  tellFailed(error.message);
}

// What was found before stays; a cursor that is refused is not asked for again.
function stay(error) {
  undim();
  const ended = error.status === 400;
  if (ended) cursor = null;
  showMore(true, error.message, ended);
}
