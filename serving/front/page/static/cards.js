// Hits as cards: the best frame, the weights, and what is known of the video.

import { drawFrame } from "./frames.js";
import { drawStrip } from "./strip.js";
import { between, caption, clock, momentOf } from "./words.js";

const list = document.getElementById("results");
const template = document.getElementById("hit");
// Pictures are drawn when their card comes near.
const seen = new IntersectionObserver(look, { rootMargin: "300px" });
const hits = new WeakMap();

// `alike` is called with the hit whose like is wanted.
export function showHits(found, { play, alike, more = false }) {
  const cards = found.map((hit) => card(hit, play, alike));
  if (more) list.append(...cards);
  else list.replaceChildren(...cards);
  undim();
}

export const cardsShown = () => list.children.length;

export function dim() {
  list.classList.add("old");
}

export function undim() {
  list.classList.remove("old");
}

function card(hit, play, alike) {
  const item = template.content.firstElementChild.cloneNode(true);
  const still = item.querySelector(".still");
  item.querySelector("h2").textContent = hit.id;
  item.querySelector(".facts").textContent = facts(hit);
  item.querySelector(".caption").textContent = caption(hit);
  item.querySelector(".moment").textContent = typeof hit.moment === "number" ? clock(hit.moment) : "";
  still.querySelector(".unseen").textContent = `Play ${hit.id}`;
  still.addEventListener("click", () => play(hit, momentOf(hit)));
  drawStrip(item.querySelector(".strip"), hit, (seconds) => play(hit, seconds));
  const more = item.querySelector(".alike");
  // Of a film in segments one of them has to be chosen.
  more.hidden = hit.segments > 1;
  if (hit.segment) more.textContent = "More like this moment";
  more.setAttribute("aria-label", `${more.textContent}: ${hit.id}`);
  more.addEventListener("click", () => alike(hit));
  hits.set(item, hit);
  seen.observe(item);
  return item;
}

function facts(hit) {
  const told = typeof hit.score === "number" ? [`score ${hit.score.toFixed(3)}`] : [];
  if (hit.segment) told.push(`${between(hit.segment)}${hit.duration ? ` of ${clock(hit.duration)}` : ""}`);
  else if (hit.duration) told.push(clock(hit.duration));
  return told.join(" \u00b7 ");
}

async function look(entries) {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    const hit = hits.get(target);
    const canvas = target.querySelector("canvas");
    drawFrame(canvas, hit.id, momentOf(hit), () => target.isConnected).then((drawn) => {
      if (drawn) canvas.parentElement.classList.add("drawn");
    });
  }
}
