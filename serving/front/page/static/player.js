// One hit: its film from the moment on, and every frame with its picture and weight.

import { filmUrl } from "./api.js";
import { drawFrame } from "./frames.js";
import { bar } from "./strip.js";
import { between, clock, percent, shown } from "./words.js";

const dialog = document.getElementById("player");
const film = document.getElementById("film");
const unshown = document.getElementById("unshown");
const frames = document.getElementById("film-strip");
const LATER_S = 0.002;

let hit = null;
let told = () => {};

// `moved` is told which hit is shown at which time, and null once the player is closed; `step` finds its neighbours.
export function setUpPlayer({ moved, step }) {
  told = moved;
  dialog.addEventListener("close", () => {
    film.pause();
    film.removeAttribute("src");
    film.load();
    hit = null;
    told(null);
  });
  for (const button of dialog.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => step(hit, Number(button.dataset.step)));
  }
  film.addEventListener("timeupdate", mark);
  film.addEventListener("error", () => {
    if (film.getAttribute("src")) say("Your browser can't show this film. Its frames' weights are below.");
  });
}

export function play(found, seconds) {
  const same = hit?.id === found.id && dialog.open;
  hit = found;
  if (!same) open();
  jump(seconds);
}

function open() {
  document.getElementById("player-title").textContent = hit.id;
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
  drawFrames();
  drawFacts();
  if (!dialog.open) dialog.showModal();
}

function jump(seconds) {
  told(hit, seconds);
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
    list.append(term, fact);
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
