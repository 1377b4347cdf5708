// The page: what the reader does, and what is looked at then.

import { about } from "./about.js";
import { beside, expect, find, setUpFinding } from "./finding.js";
import { setUpHabits } from "./habits.js";
import { keepFile, setUpLike, textBeside } from "./like.js";
import { setUpModels, showModel } from "./models.js";
import { setUpPlayer } from "./player.js";
import { asks, filtered, look, lookAway, now, readState, sameSearch } from "./state.js";
import { askForToken } from "./token.js";
import { setUpUpload } from "./upload.js";

const form = document.getElementById("search");
const player = document.getElementById("player");
const upload = document.getElementById("upload");
// What is not said in the address.
const USUAL = { top: "12", weight: "0.5" };

setUpHabits(form.elements.q);
setUpFinding({ like: searchLike });
setUpLike(searchLike);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const asked = Object.fromEntries(new FormData(form));
  for (const [name, usual] of Object.entries(USUAL)) if (asked[name] === usual) asked[name] = "";
  look({ ...asked, q: asked.q.trim(), where: asked.where.trim(), play: "", t: "" });
  find();
});
addEventListener("popstate", () => {
  const there = readState();
  if (there.play || !sameSearch(there)) show();
  else player.close();
});
setUpPlayer({
  moved(hit, seconds) {
    const film = !now.play;
    look({ play: hit.id, t: String(Math.round(seconds * 1000) / 1000) }, { film, replace: !film });
  },
  closed: lookAway,
  beside,
});
setUpModels((model) => {
  look({ model, play: "", t: "" });
  show();
});
setUpUpload({
  like: (file) => searchLike({ file }),
  done: (indexed) => {
    expect(indexed);
    about();
  },
  unknown: askForToken,
});
upload.addEventListener("close", () => {
  if (!asks()) find();
});
show();

// Search with a video of the gallery or a segment of one, with a file, or without either again.
function searchLike({ id = "", segment = null, file = null }) {
  keepFile(file);
  const q = id || file ? textBeside(form.elements.q.value.trim()) : now.q;
  form.elements.q.value = q;
  if (player.open) player.close();
  look({ q, like: id, segment: segment ? String(segment.number) : "", weight: "", play: "", t: "" });
  find();
}

// Show what the address says.
function show() {
  keepFile(null);
  Object.assign(now, readState());
  for (const name of ["q", "where", "min_score"]) form.elements[name].value = now[name];
  form.elements.top.value = now.top || USUAL.top;
  showModel(now.model);
  if (filtered()) document.getElementById("filters").open = true;
  if (!now.play && player.open) player.close();
  if (!asks()) form.elements.q.focus();
  find();
}
