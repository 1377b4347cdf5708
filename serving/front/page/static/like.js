// What is searched with in the place of a text, or beside it: a video of the gallery, or a file of the reader's.

import { likeKind } from "./served.js";

const chip = document.getElementById("like");
const name = document.getElementById("like-name");
const share = document.getElementById("like-weight");
const input = document.getElementById("like-file");
const text = document.getElementById("text");

let file = null;

export const likeFile = () => file;

// `chosen` is called with an id or a file of the reader's, or with nothing once it is taken away.
export function setUpLike(chosen) {
  input.addEventListener("change", () => {
    if (input.files[0]) chosen({ file: input.files[0] });
    input.value = "";
  });
  document.getElementById("like-none").addEventListener("click", () => chosen({}));
}

// Take a file, or forget it: an address can't name it.
export function keepFile(given) {
  file = given ?? null;
}

// The text that goes with it: none of a model that takes one of both.
export const textBeside = (words) => (likeKind() === "beside" ? words : "");

// Show what a search is made with.
export function showLike(state) {
  const shown = file ? file.name : state.like && state.segment ? `${state.like}, segment ${state.segment}` : state.like;
  chip.hidden = !shown;
  name.textContent = shown;
  share.hidden = !(shown && likeKind() === "beside" && state.q);
  share.querySelector("input").value = state.weight || "0.5";
  text.placeholder = shown ? textBeside("And what else?") : "A dog catches a frisbee";
}
