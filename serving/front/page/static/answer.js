// What is said of an answer: how much was found, how fast and how exactly; and what went wrong.

import { milliseconds, plural } from "./words.js";

const answer = document.getElementById("answer");
const trouble = document.getElementById("trouble");
const more = document.getElementById("more");
const below = document.getElementById("more-trouble");

// Of a search; `shown` hits are there by now, and `filtered` says that some may have been left out.
export function tell(found, result, seconds, shown, filtered) {
  const head = document.createElement("strong");
  head.textContent = shown ? `${shown} best` : "Nothing";
  const of = shown ? ` of ${plural(result.among, "video")}` : filtered ? " fits these filters" : " is in the gallery";
  const exact = found.exact ? "exact: every video was scored" : "not exact: a short list was scored";
  const took = `${milliseconds(found.seconds)} in the server, ${milliseconds(seconds)} until here`;
  answer.replaceChildren(head, `${of} \u00b7 ${took} \u00b7 ${exact}`);
  if (result.cut) answer.append(" \u00b7 the text is longer than the model reads: its end was left out");
}

// Of a list of so many of the gallery's videos.
export function tellListed(count, filtered) {
  const fits = count ? `${plural(count, "video")} that ${count === 1 ? "fits" : "fit"} these filters` : "Nothing fits these filters";
  const all = count ? `${plural(count, "video")} in the gallery` : "The gallery is empty: add videos.";
  answer.textContent = filtered ? fits : all;
}

// That nothing could be found out, and why.
export function tellFailed(words) {
  answer.textContent = "";
  showMore(false);
  complain(words);
}

// What went wrong, or nothing. Wrong words of a filter are marked where they stand.
export function complain(words) {
  trouble.textContent = words;
  trouble.hidden = !words;
  const where = document.getElementById("where");
  if (/^the filter /.test(words)) where.setAttribute("aria-invalid", "true");
  else where.removeAttribute("aria-invalid");
}

// Whether there are further hits, and why they can't be had; `ended` where trying again would not help.
export function showMore(there, words = "", ended = false) {
  more.hidden = !there;
  more.textContent = ended ? "Search again" : words ? "Try again" : "More hits";
  below.textContent = words;
  below.hidden = !words;
}
