// One hit: its film from the moment on, and every frame with its picture and weight.

import { filmUrl, whyNoFilm } from "./api.js";
import { drawFrame } from "./frames.js";
import { bar } from "./strip.js";
import { between, clock, momentOf, percent, shown } from "./words.js";

const dialog = document.getElementById("player");
const film = document.getElementById("film");
const unshown = document.getElementById("unshown");
const frames = document.getElementById("film-strip");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const LATER_S = 0.002;

let hit = null;
let told = null;
const steps = dialog.querySelectorAll("[data-step]");

// `moved` is told which hit is shown at which time, and `closed` that none is any more; `beside` finds its neighbours.
export function setUpPlayer(tell) {
  told = tell;
  dialog.addEventListener("close", () => {
    film.pause();
    film.removeAttribute("src");
    film.load();
    hit = null;
    told.closed();
  });
  for (const button of steps) {
    button.addEventListener("click", () => {
      const next = told.beside(hit, Number(button.dataset.step));
      if (next) play(next, momentOf(next));
    });
  }
  film.addEventListener("timeupdate", mark);
  film.addEventListener("error", async () => {
    const url = film.getAttribute("src");
    if (!url) return;
    const why = (await whyNoFilm(url)) || "Your browser can't show this film.";
    if (film.getAttribute("src") === url) say(why);
  });
}

// Show a hit, and play its film from there; `still` where nobody has asked for that yet.
export function play(found, seconds, { still = false } = {}) {
  const same = hit?.id === found.id && dialog.open;
  hit = found;
  if (!same) open();
  jump(seconds);
  // It is muted, so browsers let it; who wants less motion begins it by hand.
  if (!still && !calm.matches && film.getAttribute("src")) film.play().catch(() => {});
}

function open() {
  document.getElementById("player-title").textContent = hit.id;
  for (const button of steps) button.ariaDisabled = String(!told.beside(hit, Number(button.dataset.step)));
  const url = filmUrl(hit.id);
  if (url) {
    say("");
    film.src = url;
    film.setAttribute("aria-label", `Film ${hit.id}`);
  } else {
    film.removeAttribute("src");
    film.load();
    say("The server was not told where its films are, so it can't show them: start it with --videos FOLDER.");
  }
  if (!dialog.open) dialog.showModal();
  drawFrames();
  drawFacts();
}

function jump(seconds) {
  told.moved(hit, seconds);
  if (film.getAttribute("src")) film.currentTime = seconds + LATER_S;
  mark(null, seconds);
}

function say(words) {
  unshown.textContent = words;
  unshown.hidden = !words;
  film.hidden = Boolean(words);
}

function drawFrames() {
  const shownHit = hit;
  const weights = hit.attention ?? [];
  const most = Math.max(...weights, 0);
  frames.replaceChildren();
  (hit.timestamps ?? []).forEach((seconds, frame) => {
    const weight = weights[frame];
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.seconds = seconds;
    button.classList.toggle("best", weight === most);
    if (weight !== undefined) {
      const column = document.createElement("span");
      column.className = "weight";
      column.append(bar(most ? weight / most : 0));
      button.append(column);
    }
    const canvas = document.createElement("canvas");
    canvas.width = 160;
    canvas.height = 90;
    canvas.hidden = !filmUrl(hit.id);
    button.append(canvas, words("Jump to", "unseen"), words(clock(seconds)));
    if (weight !== undefined) button.append(words("weight", "unseen"), words(percent(weight)));
    button.addEventListener("click", () => jump(seconds));
    frames.append(button);
    drawFrame(canvas, hit.id, seconds, () => hit === shownHit);
  });
}

function words(text, kind = "") {
  const span = document.createElement("span");
  span.className = kind;
  span.textContent = text;
  return span;
}

function drawFacts() {
  const list = document.getElementById("told");
  const facts = [
    ["Score", hit.score?.toFixed(4)],
    ["Segment", hit.segment && between(hit.segment)],
    ["Duration", hit.duration && clock(hit.duration)],
    ["Source", hit.source],
  ];
  for (const [name, value] of Object.entries(hit.metadata ?? {})) facts.push([name, shown(value)]);
  list.replaceChildren();
  for (const [name, value] of facts) {
    if (value === undefined || value === null || value === "") continue;
    const [term, fact] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    fact.textContent = value;
    fact.dir = "auto";
    list.append(term, fact);
    // What is cut off is reached with the keyboard, too.
    if (fact.scrollHeight > fact.clientHeight) fact.tabIndex = 0;
  }
}

function mark(_, seconds = film.currentTime) {
  const buttons = [...frames.children];
  const current = buttons.findLast((button) => Number(button.dataset.seconds) <= seconds + LATER_S) ?? buttons[0];
  if (current && !current.ariaCurrent) frames.scrollTo({ left: current.offsetLeft - frames.clientWidth / 2, behavior: "smooth" });
  for (const button of buttons) {
    if (button === current) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}
